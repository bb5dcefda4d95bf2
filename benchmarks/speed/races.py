"""All races, by benchmark."""

from __future__ import annotations

from benchmarks.speed import encode, growth, many, partial, peak, pool, probe, start, texts
from benchmarks.speed.race import Contender, Race

RACES: tuple[Race, ...] = tuple(
    race for module in (probe, partial, texts, encode, peak, growth, start, many, pool) for race in module.RACES
)
NAMES = tuple(dict.fromkeys(race.name for race in RACES))


def contender(race: str, name: str, case: dict[str, object]) -> Contender:
    """Return a race's contender by name."""
    found = next(one for one in RACES if one.name == race and one.case == case)
    return next(one for one in found.contenders if one.name == name)
