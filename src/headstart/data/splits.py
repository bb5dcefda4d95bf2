"""Splits that are pure functions of content, group and seed.

Every unit (what must not be separated) draws a number in [0, 1) from the hash of its content or group and the
seed, and goes to the test side when the number is below the share asked for.
So a unit stays where it is when others are added, but for the few nearest a boundary that has to be corrected:
the draw is corrected, class by class and only at the boundary, where it would leave a class's held-out part more
than one example and more than a quarter larger or smaller than what was asked for.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from numbers import Integral

import numpy as np

from headstart.errors import OptionError

TEST_SHARE = 0.2
"""What is held out where nothing is said."""

TOLERATED = 0.25
UNITS_FOR_TEST = 3
FULL_RANGE = 2**64
SEEDS = 2**32


def require_seed(seed: int) -> int:
    """Return a seed that every library here takes.

    Raises:
        OptionError: it is none.
    """
    if not isinstance(seed, Integral) or isinstance(seed, bool) or not 0 <= seed < SEEDS:
        raise OptionError(
            "the seed is out of range.", expected=f"a whole number from 0 to {SEEDS - 1:,}", got=repr(seed)
        )
    return int(seed)


def draw(key: str, seed: int) -> float:
    """Return the number in [0, 1) that a unit draws: uniform in its key, the same for ever."""
    digest = hashlib.sha256(f"{seed}:{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / FULL_RANGE


def held_out(units: np.ndarray, keys: Sequence[str], strata: Sequence[object], share: float, seed: int) -> np.ndarray:
    """Tell (n,) which examples are held out.

    Args:
        units: (n,) number of the unit of each example.
        keys: (n,) content or group of each example; a unit draws by the smallest of its members' keys.
        strata: (n,) class of each example; a unit counts for the commonest class in it.
        share: of each class to hold out, in (0, 1).
        seed: other seeds give other splits.
    """
    members, key_of, stratum_of = _by_unit(units, keys, strata)
    chosen: set[int] = set()
    for stratum in sorted(set(stratum_of.values()), key=str):
        ordered = sorted((draw(key_of[unit], seed), unit) for unit in members if stratum_of[unit] == stratum)
        sizes = [len(members[unit]) for _, unit in ordered]
        count = _boundary([drawn for drawn, _ in ordered], sizes, share)
        chosen.update(unit for _, unit in ordered[:count])
    return np.isin(units, list(chosen))


def fold_of(units: np.ndarray, keys: Sequence[str], strata: Sequence[object], k: int, seed: int) -> np.ndarray:
    """Return (n,) the fold in [0, k) of each example: units whole, classes even, then sizes even."""
    members, key_of, stratum_of = _by_unit(units, keys, strata)
    fold = np.zeros(len(units), dtype=np.int64)
    total = [0] * k
    of_class: dict[object, list[int]] = defaultdict(lambda: [0] * k)
    for unit in sorted(members, key=lambda unit: (-len(members[unit]), draw(key_of[unit], seed))):
        counts = of_class[stratum_of[unit]]
        best = min(range(k), key=lambda place: (counts[place], total[place], place))
        fold[members[unit]] = best
        counts[best] += len(members[unit])
        total[best] += len(members[unit])
    return fold


def spread(n: int, most: int) -> np.ndarray:
    """Return at most so many places from 0 to n - 1, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(int))


def _by_unit(
    units: np.ndarray, keys: Sequence[str], strata: Sequence[object]
) -> tuple[dict[int, list[int]], dict[int, str], dict[int, object]]:
    members: dict[int, list[int]] = defaultdict(list)
    for index, unit in enumerate(units.tolist()):
        members[unit].append(index)
    key_of = {unit: min(keys[index] for index in indices) for unit, indices in members.items()}
    stratum_of = {unit: _commonest([strata[index] for index in indices]) for unit, indices in members.items()}
    return members, key_of, stratum_of


def _commonest(values: list[object]) -> object:
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], str(value)))


def _boundary(drawn: list[float], sizes: list[int], share: float) -> int:
    """Return how many of a class's units, in the order they drew, are held out."""
    if len(drawn) < UNITS_FOR_TEST:
        return int(len(drawn) > 1 and drawn[0] < share)
    held = np.concatenate([[0], np.cumsum(sizes)])
    wanted = max(1.0, share * held[-1])
    by_draw = int(np.searchsorted(drawn, share))
    allowed = range(1, len(drawn))
    tolerated = max(1.0, TOLERATED * wanted)
    return min(allowed, key=lambda count: (max(tolerated, abs(held[count] - wanted)), abs(count - by_draw)))
