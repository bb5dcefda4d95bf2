"""Histories: what is known of a series at an origin, and nothing of what came after."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from headstart.data.times import number_text
from headstart.tasks import Future

LONGEST = 2048
"""Values of a history that are kept, the latest: as many as the longest source reads."""

LEAST = 8
"""Values that a history has at least."""

TINY = 1e-6
"""Of the largest value: what a scale is at least."""

SEASONS = {"Y": 1, "Q": 4, "QE": 4, "M": 12, "ME": 12, "W": 52, "D": 7, "B": 1, "h": 24}
"""Steps after which a pattern may come back, by frequency; of trading days ("B") there is no such number."""

WORDS = {
    "Y": "yearly",
    "Q": "quarterly",
    "QE": "quarterly",
    "M": "monthly",
    "ME": "monthly",
    "W": "weekly",
    "D": "daily",
    "B": "daily but for weekends",
    "h": "hourly",
    "": "numbered",
}


def rhythm(frequency: str) -> str:
    """Return a frequency in words: "monthly", "every 1800 s"."""
    return WORDS.get(frequency) or f"every {float(frequency):g} s"


@dataclass(frozen=True, eq=False)
class History:
    """A series up to an origin.

    Attributes:
        values: (l,) finite numbers, equally spaced, the last one at the origin; at most `LONGEST`.
        season: steps after which a pattern may come back, 1 or more; 1 is none.
        name: of the series.
        end: the time of the last value, as text; "" where there are only numbers.
        frequency: "Y", "Q", "M", "W", "D", "B", "h", or seconds between two values; "" of numbered steps. "QE" and
            "ME" are of month ends.
        step: what lies between two numbered steps.
    """

    values: np.ndarray
    season: int = 1
    name: str = "series"
    end: str = ""
    frequency: str = ""
    step: float = 1.0

    @property
    def centre(self) -> float:
        """The last value."""
        return float(self.values[-1])

    @cached_property
    def scale(self) -> float:
        """The mean absolute seasonal difference (Hyndman and Koehler 2006): of this history alone, above 0.

        Where seasons do not differ it is that of steps, the standard deviation, or 1.
        """
        return self._measured or 1.0

    @property
    def is_flat(self) -> bool:
        """Whether nothing changes that a scale could be of."""
        return not self._measured

    @cached_property
    def _measured(self) -> float:
        values, floor = self.values, TINY * max(float(np.abs(self.values).max()), TINY)
        steps = np.abs(np.diff(values))
        seasons = np.abs(values[self.season :] - values[: -self.season])
        for found in (seasons, steps):
            if len(found) and float(found.mean()) > floor:
                return float(found.mean())
        return float(values.std()) if float(values.std()) > floor else 0.0

    @cached_property
    def scaled(self) -> np.ndarray:
        """The values (l,) in units of the scale from the centre."""
        return (self.values - self.centre) / self.scale

    @cached_property
    def content(self) -> str:
        """The SHA-256 of values and season: the same history of another series is the same."""
        return hashlib.sha256(self.array.tobytes()).hexdigest()

    @property
    def array(self) -> np.ndarray:
        """Season and values (1 + l,), as a saved model keeps its golden inputs."""
        return np.concatenate([[float(self.season)], self.values]).astype(np.float64)

    @classmethod
    def of(cls, values: object, season: int = 1) -> History:
        """Return numbers as a history; its latest `LONGEST` values."""
        return cls(np.asarray(values, dtype=np.float64)[-LONGEST:], season)

    @classmethod
    def from_array(cls, array: np.ndarray) -> History:
        """Return the history whose `array` this is."""
        return cls(np.asarray(array[1:], dtype=np.float64), int(array[0]))

    def future(self, path: np.ndarray, *, are_changes: bool = False) -> Future:
        """Return what came next (h,), measured by this history; of changes such as returns, up is above 0."""
        return Future(tuple(path.tolist()), self.centre, self.scale, 0.0 if are_changes else self.centre)

    def times(self, horizon: int) -> list[str]:
        """Return the times of the next steps; their numbers from the origin on where no time is known."""
        if not self.end:
            return [f"+{step}" for step in range(1, horizon + 1)]
        if not self.frequency:
            return [number_text(float(self.end) + k * self.step) for k in range(1, horizon + 1)]
        start, steps = pd.Timestamp(self.end), range(1, horizon + 1)
        offsets: dict[str, Any] = {
            "Y": lambda k: pd.DateOffset(years=k),
            "Q": lambda k: pd.DateOffset(months=3 * k),
            "QE": lambda k: pd.offsets.MonthEnd(3 * k),
            "M": lambda k: pd.DateOffset(months=k),
            "ME": pd.offsets.MonthEnd,
            "W": lambda k: pd.DateOffset(weeks=k),
            "D": lambda k: pd.DateOffset(days=k),
            "B": pd.offsets.BusinessDay,
            "h": lambda k: pd.DateOffset(hours=k),
        }
        after = offsets.get(self.frequency) or (lambda k: pd.Timedelta(seconds=k * float(self.frequency)))
        found = [start + after(step) for step in steps]
        is_date = all(one == one.normalize() for one in (start, *found))
        return [one.strftime("%Y-%m-%d") if is_date else one.isoformat() for one in found]


def forecast_of(history: History, quantiles: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Return the quantiles (h, 9) of a forecast in the user's unit, with times, as `predict` prints it."""
    rows = (np.asarray(quantiles) * history.scale + history.centre).tolist()
    steps = [
        {"time": time, "value": row[len(row) // 2], "low": row[0], "high": row[-1], "quantiles": row}
        for time, row in zip(history.times(len(rows)), rows, strict=True)
    ]
    return {"series": history.name, "forecast": steps}
