"""The guard of accuracy: faster may not be worse. Ours minus theirs on the same test examples, pooled over sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pairs import Difference, difference
from benchmarks.speed.races import RACES
from benchmarks.speed.summary import read


def report(results: Path, isa: str) -> None:
    """Print the difference of each pair, over its sets, and the lower bound of its 95 % interval."""
    everything = []
    for (race, ours, theirs), sets in pairs(read(results, isa)).items():
        everything += list(sets.values())
        for name, pair in sets.items():
            print(f"  {race:8} {ours} - {theirs}, {name}: {_words(difference([pair]))}")
        print(f"{race:8} {ours} - {theirs}, {', '.join(sets)}: {_words(difference(list(sets.values())))}\n")
    if everything:
        pooled = difference(everything)
        print(f"all of it: {_words(pooled)}; lower bound {100 * pooled.low:+.2f} points")


def pairs(lines: list[dict[str, Any]]) -> dict[tuple[str, str, str], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Return (race, ours, theirs) to set to what each got right: (seeds, examples), the same seeds for both."""
    found: dict[tuple[str, str, str], dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for race in RACES:
        for ours, theirs in race.guards:
            mine, others = (_right(lines, race.name, race.case, name) for name in (ours, theirs))
            seeds = sorted(mine.keys() & others.keys())
            if seeds:
                own = found.setdefault((race.name, ours, theirs), {})
                own[race.case["set"]] = tuple(np.stack([side[seed] for seed in seeds]) for side in (mine, others))
    return found


def _right(lines: list[dict[str, Any]], race: str, case: dict[str, Any], name: str) -> dict[int, np.ndarray]:
    return {
        line["seed"]: np.array(list(line["right"]), dtype=int)
        for line in lines
        if (line["race"], line["case"], line["contender"]) == (race, case, name) and "right" in line
    }


def _words(one: Difference) -> str:
    return f"{100 * one.value:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}] points, {one.seeds} seeds"
