"""Calendars: where the origins of unlike series lie in the time they share, if they share one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from headstart.data.dataset import Finding
from headstart.data.histories import History
from headstart.wording import count, some

MONTHS = {"Y": 12, "Q": 3, "QE": 3, "M": 1, "ME": 1}
"""Months from a value to the next, by frequency."""

DAYS = {name: 30.4375 * months for name, months in MONTHS.items()} | {"W": 7.0, "D": 1.0, "B": 1.4, "h": 1 / 24}
"""Days from a value to the next, by frequency."""

FAR = 1e6
"""Horizons from one series to the next where they share no time."""

SLACK = 0.01
"""Of a horizon: by how much times may differ and still be the same."""


def in_horizons(histories: Sequence[History], behind: Sequence[int], horizon: int, *, by_origin: bool) -> np.ndarray:
    """Return where (n,) origins lie in time, in horizons of the commonest frequency, from the last one on.

    Where origins are the units it is the slowest one's: all of what they share is to be seen there. Where steps are
    only numbered they are counted from the ends of series, which are taken for one time where origins are the units of
    intervals, and else for times that have nothing in common.

    Args:
        histories: n of them, each up to its origin.
        behind: (n,) steps from each origin to the last one of its series.
        horizon: steps that are forecast.
        by_origin: whether origins are the units.
    """
    if not all(one.frequency for one in histories):
        _, own = np.unique([one.name for one in histories], return_inverse=True)
        steps = -np.asarray(behind, dtype=np.float64)
        return np.asarray((steps - steps.max()) / horizon + (0.0 if by_origin else FAR * own))
    unit = unit_of(histories, slowest=by_origin)
    stamps = pd.DatetimeIndex(pd.to_datetime([one.end for one in histories], format="ISO8601", utc=True))
    if unit in MONTHS:
        steps = np.asarray(stamps.year * 12 + stamps.month) / MONTHS[unit]
    elif unit == "B":
        days_of = stamps.to_numpy(dtype="datetime64[D]")
        steps = np.busday_count("1970-01-01", days_of).astype(np.float64)
    else:
        steps = stamps.to_numpy(dtype="datetime64[s]").astype(np.float64) / (86_400 * days(unit))
    return np.asarray((steps - steps.max()) / horizon, dtype=np.float64)


def unit_of(histories: Sequence[History], *, slowest: bool) -> str:
    """Return the frequency that time is counted by: the slowest or, of the commonest ones, the slowest."""
    found = Counter(one.frequency for one in histories)
    return max(found, key=lambda one: (0 if slowest else found[one], days(one)))


def days(frequency: str) -> float:
    """Return the days from a value to the next of a frequency that is known."""
    return DAYS[frequency] if frequency in DAYS else float(frequency) / 86_400


def learned_later(
    histories: Sequence[History], parts: Sequence[str], when: np.ndarray, *, by_origin: bool
) -> tuple[Finding, ...]:
    """Say which series are learned from, or chosen on, at times at which others are tested.

    Args:
        histories: n of them, each up to its origin.
        parts: (n,) "train", "validation" or "test".
        when: (n,) where each origin lies in time, as `in_horizons` gives it.
        by_origin: as it was given.
    """
    tested = np.array(parts) == "test"
    if not all(one.frequency for one in histories) or not tested.any():
        return ()
    unit = days(unit_of(histories, slowest=by_origin))
    widths = np.array([days(one.frequency) / unit for one in histories])
    later = ~tested & (when + widths > when[tested].min() + SLACK)
    names = sorted({histories[place].name for place in np.flatnonzero(later).tolist()})
    if not names:
        return ()
    text = (
        f"{count(len(names), 'series is', 'series are')} learned from or chosen on at times at which others are "
        f"tested already, so that what moved all of them is known there: {some(names)}"
    )
    return (Finding("learned_later", text),)
