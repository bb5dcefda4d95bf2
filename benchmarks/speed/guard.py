"""The guard of accuracy: faster may not be worse. Ours minus theirs on the same test examples, pooled over sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from benchmarks.pairs import Difference, difference
from benchmarks.speed.races import RACES
from benchmarks.speed.summary import read

BySeed: TypeAlias = dict[int, tuple[np.ndarray, np.ndarray]]
"""Seed to which test examples (n,) ours and theirs got right."""


def report(results: Path, isa: str) -> None:
    """Print the difference of each pair, over its sets, and the lower bound of its 95 % interval."""
    by_set: dict[str, list[BySeed]] = {}
    for (race, ours, theirs), sets in pairs(read(results, isa)).items():
        for name, one in sets.items():
            by_set.setdefault(name, []).append(one)
            print(f"  {race:8} {ours} - {theirs}, {name}: {_words(difference([_tables([one])]))}")
        over = difference([_tables([one]) for one in sets.values()])
        print(f"{race:8} {ours} - {theirs}, {', '.join(sets)}: {_words(over)}\n")
    if by_set:
        pooled = difference([_tables(several) for several in by_set.values()])
        print(f"all of it: {_words(pooled)}; lower bound {100 * pooled.low:+.2f} points")


def pairs(lines: list[dict[str, Any]]) -> dict[tuple[str, str, str], dict[str, BySeed]]:
    """Return (race, ours, theirs) to set to what each got right, for the seeds that both have."""
    found: dict[tuple[str, str, str], dict[str, BySeed]] = {}
    for race in RACES:
        for ours, theirs in race.guards:
            mine, others = (_right(lines, race.name, race.case, name) for name in (ours, theirs))
            seeds = sorted(mine.keys() & others.keys())
            if seeds:
                both = {seed: (mine[seed], others[seed]) for seed in seeds}
                found.setdefault((race.name, ours, theirs), {})[race.case["set"]] = both
    return found


def _tables(several: list[BySeed]) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares (seeds, n) of pairs in which ours, and theirs, got an example of one set right.

    Pairs on one set share its examples, so they are averaged before anything is resampled.
    """
    seeds = sorted(set.intersection(*(set(one) for one in several)))
    ours, theirs = (np.mean([[one[seed][side] for seed in seeds] for one in several], axis=0) for side in (0, 1))
    return ours, theirs


def _right(lines: list[dict[str, Any]], race: str, case: dict[str, Any], name: str) -> dict[int, np.ndarray]:
    return {
        line["seed"]: np.array(list(line["right"]), dtype=int)
        for line in lines
        if (line["race"], line["case"], line["contender"]) == (race, case, name) and "right" in line
    }


def _words(one: Difference) -> str:
    return f"{100 * one.value:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}] points, {one.seeds} seeds"
