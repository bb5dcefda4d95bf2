"""Clocks: what the times of a series say: their order, their frequency, and where a value is missing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.data.histories import LONGEST, SEASONS
from headstart.data.times import DAY, are_month_ends, as_texts, months_of

SPANS = (("Y", 360, 372), ("Q", 88, 94), ("M", 27, 32), ("W", 6.9, 7.1), ("D", 0.99, 1.01))
"""Frequencies, by the days that lie between two values at the median."""

MONTHS = {"Y": 12, "Q": 3, "M": 1}
"""Months of a step, by frequency."""

CROWDED = 0.05
"""The share of values that may fall into one step with another before steps are no longer told by time."""

SPARSE = 0.3
"""The share of steps that may lack a value before steps are no longer told by time."""

NUMBERED_SEASONS, CLEAR, SURE, NEARLY = (4, 7, 12, 24, 48, 52, 96), 0.2, 4.0, 0.7
"""Seasons that are looked for where steps are only numbered, and the autocorrelation of differences that makes one
plain: so much, so many standard errors, and more than half a season apart. The shortest counts of those that come
near the plainest, since whole multiples of a season are as plain."""


BALANCED = 0.2
"""Of the standard deviation: how far from 0 the mean of changes may lie."""


@dataclass(frozen=True, eq=False)
class Clock:
    """The values of one series, in order.

    Attributes:
        values: (l,) one a step; what is missing is carried forward from the last one known.
        times: (l,) as text; of a step without a value that of the last one.
        frequency: as `History` has it.
        filled: (l,) which steps had no value.
        step: what lies between two values, at the median: seconds, or numbers.
        doubled: values that were left out, since a later one has the same time or step.
        is_irregular: the times do not tell steps: every value is one.
    """

    values: np.ndarray
    times: tuple[str, ...]
    frequency: str
    filled: np.ndarray
    step: float
    doubled: int = 0
    is_irregular: bool = False


def wound(seconds: np.ndarray, values: np.ndarray, *, is_date: bool) -> Clock:
    """Return a series as equal steps.

    Args:
        seconds: (n,) times, or numbers of steps, in ascending order.
        values: (n,) NaN where there is none; the first is known.
        is_date: whether they are times.
    """
    frequency, step = _frequency(seconds, is_date)
    ordinals = _ordinals(seconds, frequency, step)
    last = np.append(np.diff(ordinals) != 0, True)
    kept, doubled = np.flatnonzero(last), int((~last).sum())
    total = int(ordinals[-1] - ordinals[0]) + 1
    if doubled > CROWDED * len(values) and len(np.unique(seconds)) > len(kept):
        distinct = np.flatnonzero(np.append(np.diff(seconds) != 0, True))
        return _plain(seconds[distinct], values[distinct], is_date, len(values) - len(distinct))
    if total - len(kept) > SPARSE * total:
        return _plain(seconds[kept], values[kept], is_date, doubled)
    places = (ordinals[kept] - ordinals[0]).astype(np.int64)
    grid, times = np.full(total, np.nan), np.full(total, np.nan)
    grid[places], times[places] = values[kept], seconds[kept]
    written = as_texts(_forward(times), is_date=is_date)
    return Clock(_forward(grid), written, frequency, np.isnan(grid), step, doubled)


def _plain(seconds: np.ndarray, values: np.ndarray, is_date: bool, doubled: int) -> Clock:
    """Return the values as they come, every one a step."""
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0
    frequency, written = str(step) if is_date else "", as_texts(seconds, is_date=is_date)
    return Clock(_forward(values), written, frequency, np.isnan(values), step, doubled, is_irregular=True)


def _frequency(seconds: np.ndarray, is_date: bool) -> tuple[str, float]:
    """Return the frequency, and the length of a step in seconds or in numbers."""
    gaps = np.diff(np.unique(seconds))
    middle = round(float(np.median(gaps)), 6) if len(gaps) else 1.0
    if not is_date:
        return "", middle
    for name, low, high in SPANS:
        if low <= middle / DAY <= high:
            is_work = name == "D" and len(gaps) > 10 and not np.isin(_weekdays(seconds), (5, 6)).any()
            is_end = name in ("M", "Q") and are_month_ends(seconds)
            return ("B" if is_work else name + "E" * is_end), middle
    return ("h" if middle == 3600.0 else str(middle)), middle


def season_of(clock: Clock, known: int) -> int:
    """Return after how many steps a pattern may come back: by the frequency, or else by the first `known` values."""
    if clock.frequency in SEASONS:
        return SEASONS[clock.frequency]
    if clock.frequency and not clock.is_irregular:
        steps = round(DAY / clock.step)
        if 2 <= steps <= LONGEST // 3 and abs(steps * clock.step - DAY) < clock.step / 100:
            return steps
    return season_of_numbers(clock.values[max(0, known - LONGEST) : known])


def season_of_numbers(values: np.ndarray) -> int:
    """Return after how many numbered steps a pattern plainly comes back in a history (l,); 1 where none does."""
    steps = np.diff(values)
    lags = [lag for lag in NUMBERED_SEASONS if len(steps) > 3 * lag]
    found = {lag: _correlation(steps, lag) for lag in lags}
    plain = [lag for lag in lags if found[lag] > max(CLEAR, SURE / len(steps) ** 0.5, _correlation(steps, lag // 2))]
    return next((lag for lag in plain if found[lag] > NEARLY * max(found[one] for one in plain)), 1)


def are_changes(values: np.ndarray) -> bool:
    """Tell whether values (l,) go up and down around 0, as returns do: their mean is next to nothing beside them."""
    return bool(values.min() < 0 < values.max() and abs(values.mean()) < BALANCED * values.std())


def _correlation(values: np.ndarray, lag: int) -> float:
    centred = values - values.mean()
    total = float(centred @ centred)
    return float(centred[lag:] @ centred[:-lag]) / total if total else 0.0


def _weekdays(seconds: np.ndarray) -> np.ndarray:
    return (np.floor(seconds / DAY).astype(np.int64) + 3) % 7


def _ordinals(seconds: np.ndarray, frequency: str, step: float) -> np.ndarray:
    """Return the number (n,) of each value's step; trading days are counted as they come, holidays or not."""
    if frequency[:1] in MONTHS:
        return months_of(seconds) // MONTHS[frequency[0]]
    if frequency == "B":
        return np.unique(np.floor(seconds / DAY), return_inverse=True)[1]
    return np.asarray(np.round((seconds - seconds[0]) / step)).astype(np.int64)


def _forward(values: np.ndarray) -> np.ndarray:
    """Return values with what is missing taken from the last one known: nothing later may tell of it."""
    places = np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(len(values))))
    return np.asarray(values[places])
