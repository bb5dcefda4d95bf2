"""What the results show: medians, ranges, and ratios taken run by run within a repeat."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.speed.race import Race
from benchmarks.speed.races import RACES
from benchmarks.speed.runs import QUALIFYING, measured

RESULTS = Path(__file__).parents[1] / "results" / "speed.jsonl"
KINDS = ("a second", "share", "gflops", "accuracy", "peak_mb")


@dataclass(frozen=True)
class Spread:
    """A middle value with the lowest and the highest, and of how many."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of values, of which there is at least one."""
        values = list(values)
        return cls(median(values), min(values), max(values), len(values))

    def __str__(self) -> str:
        return f"{self.median:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True)
class Standing:
    """A contender in a race.

    Attributes:
        contender: its name.
        settings: the choice that raced.
        seconds: as the race compares them.
        ratio: its seconds over those of the race's first contender, pair by pair; None where it is the first.
        others: spreads of what else was kept, by name.
        phases: the mean seconds of each phase.
    """

    contender: str
    settings: dict[str, Any]
    seconds: Spread
    ratio: Spread | None
    others: dict[str, Spread]
    phases: dict[str, float]


def read(results: Path, isa: str) -> list[dict[str, Any]]:
    """Return the runs of the machine, the source and the versions that the file's last line of an ISA was made with."""
    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if line["isa"] == isa and "failed" not in line and line["repeat"] != QUALIFYING]
    same = ("source", "machine", "tiny")
    return [line for line in lines if all(line[name] == lines[-1][name] for name in same)]


def standings(race: Race, lines: list[dict[str, Any]]) -> list[Standing]:
    """Return how the contenders of a race stand; those without runs are left out."""
    runs = _runs(race, lines)
    return [_standing(race, lines, list(own.values())) for one in race.contenders if (own := runs.get(one.name))]


def ratio(race: Race, lines: list[dict[str, Any]], ours: str, theirs: str) -> Spread | None:
    """Return their seconds over ours, pair by pair within a repeat; None where there is no pair."""
    runs = _runs(race, lines)
    mine, others = runs.get(ours, {}), runs.get(theirs, {})
    pairs = [measured(race, others[repeat]) / measured(race, mine[repeat]) for repeat in mine.keys() & others.keys()]
    return Spread.of(pairs) if pairs else None


def report(results: Path, isa: str, names: Iterable[str]) -> None:
    """Print every race that has runs."""
    lines = read(results, isa)
    if lines:
        where = lines[-1]["machine"]
        print(f"{where['cpu']} ({where['family']}), {where['cores']} cores, {' '.join(where['isa'])}; {isa}")
    for race in (one for one in RACES if one.name in set(names)):
        found = standings(race, lines)
        if found:
            print(f"\n{race.title}" + (f" (seconds of: {', '.join(race.clocked)})" if race.clocked else ""))
        for one in found:
            ratio = f"  × {one.ratio}" if one.ratio else ""
            print(f"  {one.contender:34} {one.seconds} s, n={one.seconds.n}{ratio}")
            details = [f"{name} {spread}" for name, spread in one.others.items()]
            details += [f"{name} {seconds:.2f} s" for name, seconds in one.phases.items()]
            print(f"      {one.settings or ''} {'; '.join(details)}")


def _runs(race: Race, lines: list[dict[str, Any]]) -> dict[str, dict[int, dict[str, Any]]]:
    """Return contender to repeat to run."""
    runs: dict[str, dict[int, dict[str, Any]]] = {}
    for line in lines:
        if line["race"] == race.name and line["case"] == race.case:
            runs.setdefault(line["contender"], {})[line["repeat"]] = line
    return runs


def _standing(race: Race, lines: list[dict[str, Any]], own: list[dict[str, Any]]) -> Standing:
    name, first = own[0]["contender"], race.contenders[0].name
    kept = {kind: Spread.of(line[kind] for line in own) for kind in KINDS if all(kind in line for line in own)}
    names = dict.fromkeys(phase for line in own for phase in line.get("phases", {}))
    return Standing(
        name,
        own[-1]["settings"],
        Spread.of(measured(race, line) for line in own),
        None if name == first else ratio(race, lines, first, name),
        kept,
        {phase: mean(line["phases"].get(phase, 0.0) for line in own) for phase in names},
    )
