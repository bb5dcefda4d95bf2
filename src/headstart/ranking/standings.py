"""Standings: how contenders compare on the same examples, and which cannot be told apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from headstart.statistics import LEVEL, resampled_weights, resamples_for, two_sided

FEWEST_UNITS = 6
"""Below so many examples or groups no contenders are told apart: how far they scatter is not known."""

Interval: TypeAlias = tuple[float, float, float]
"""A value and the ends of its interval."""


@dataclass(frozen=True)
class Standing:
    """Where a contender stands among others.

    Attributes:
        rank: 1 is the best.
        low, high: the ranks that it may have, with 95 % confidence.
        behind: the error it has more than the best one.
        behind_low, behind_high: the interval of that; those of all contenders hold together in 95 % of cases.
        standard_error: of what it is behind.
    """

    rank: int
    low: int
    high: int
    behind: float
    behind_low: float
    behind_high: float
    standard_error: float

    @property
    def ties(self) -> bool:
        """Whether it cannot be told from the best."""
        return self.behind_low <= 0

    def as_dict(self) -> dict[str, Any]:
        """Return the standing as JSON holds it."""
        behind = as_interval((self.behind, self.behind_low, self.behind_high))
        return {"rank": self.rank, "low": self.low, "high": self.high, "behind": behind, "tied": self.ties}


def standings(errors: np.ndarray, units: np.ndarray) -> list[Standing]:
    """Return how contenders stand by their mean error, with bootstrap intervals (Efron 1979), whole units drawn.

    The same samples serve all of them, so what is hard for everyone tells nothing. A rank is as low as there are
    contenders that are surely better (Mogstad et al. 2024), where one is compared with all others at once: among ten
    sources one is soon ahead by chance.

    Args:
        errors: (m, n) of each contender on each example; smaller is better.
        units: (n,) the number of the unit (group) of each example.
    """
    means, seen = errors.mean(1), _Resampled.of(errors, units)
    best = int(means.argmin())
    order = np.argsort(np.argsort(means, kind="stable"), kind="stable")
    widths = np.stack([seen.width(place) for place in range(len(means))])
    surely = means - means[:, None] > widths
    error = seen.error(best)
    found = []
    for place, mean in enumerate(means):
        rank, behind, width = int(order[place]) + 1, float(mean - means[best]), widths[best, place]
        low, high = 1 + int(surely[:, place].sum()), len(means) - int(surely[place].sum())
        ends = float(behind - width), float(behind + width)
        found.append(Standing(rank, min(low, rank), max(high, rank), behind, *ends, float(error[place])))
    return found


def told_apart(errors: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Tell (m, m) which contender, by its row, errs surely less than which other, by its column; see `standings`."""
    means, seen = errors.mean(1), _Resampled.of(errors, units)
    return np.stack([means - mean > seen.width(place) for place, mean in enumerate(means)])


def gain_over(errors: np.ndarray, units: np.ndarray, own: int, other: int) -> Interval:
    """Return by how much one of several contenders errs less than another, with the interval that `standings` gives.

    It is that of the better one of both beside all others.

    Args:
        errors: (m, n) of each contender on each example.
        units: (n,) the number of the unit (group) of each example.
        own: the place of the one.
        other: that of the other.
    """
    means = errors.mean(1)
    first, second = sorted((own, other), key=lambda place: means[place])
    value, width = float(means[other] - means[own]), float(_Resampled.of(errors, units).width(first)[second])
    return value, value - width, value + width


def as_interval(interval: Interval | None) -> dict[str, float | None]:
    """Return a value and its interval as JSON holds them; null where it has no end."""
    ends = interval or (math.nan, math.nan, math.nan)
    return {name: end if math.isfinite(end) else None for name, end in zip(("value", "low", "high"), ends, strict=True)}


@dataclass(frozen=True, eq=False)
class _Resampled:
    """The mean errors (m, r) of contenders in bootstrap samples of k units.

    Attributes:
        means: (m, r).
        units: k.
        step: what one example more or less that is answered rightly changes a mean by; 0 of errors that are no counts.
    """

    means: np.ndarray
    units: int
    step: float

    @classmethod
    def of(cls, errors: np.ndarray, units: np.ndarray) -> _Resampled:
        step = 1 / errors.shape[1] if np.isin(errors, (0.0, 1.0)).all() else 0.0
        return cls(_resampled(errors, units), len(np.unique(units)), step)

    def error(self, place: int) -> np.ndarray:
        """Return the standard errors (m,) of differences from one contender.

        A bootstrap of k units makes them smaller than they are, by the root of (k - 1)/k.
        """
        return np.asarray((self.means - self.means[place]).std(1) * math.sqrt(self.units / max(self.units - 1, 1)))

    def width(self, place: int) -> np.ndarray:
        """Return by how much (m,) others must differ from one contender not to do so by chance.

        The largest of all differences at once, beside its standard error, stays below in 95 % of samples, as in Dunnett
        (1955); of few units by as much more as Student's t lies beyond the normal law. Of counts it is a step more
        (Edwards 1948). Of fewer than `FEWEST_UNITS` nothing is told.
        """
        gaps, error = self.means - self.means[place], self.error(place)
        known = error > 0
        if self.units < FEWEST_UNITS:
            return np.where(np.arange(len(gaps)) == place, 0.0, math.inf)
        if not known.any():
            return error
        off = np.abs(gaps[known] - gaps[known].mean(1, keepdims=True)) / gaps[known].std(1)[:, None]
        few = two_sided(LEVEL, self.units - 1) / two_sided(LEVEL)
        return np.where(known, few * float(np.quantile(off.max(0), LEVEL)) * error + self.step, 0.0)


def optimism(errors: np.ndarray, units: np.ndarray) -> float:
    """Return by how much the best of several mean errors looks better than it is, as a bootstrap tells (Efron 1983).

    In every sample of whole units the best one is chosen anew: what it errs by there, less what it errs by on all.

    Args:
        errors: (m, n) of each contender on each example.
        units: (n,) the number of the unit (group) of each example.
    """
    samples, means = _resampled(errors, units), errors.mean(1)
    best = samples.argmin(0)
    return max(0.0, float((means[best] - samples[best, np.arange(samples.shape[1])]).mean()))


def _resampled(errors: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return the mean errors (m, r) in bootstrap samples of whole units."""
    parts = [
        errors @ weights.T.astype(np.float64) / weights.sum(1)
        for weights in resampled_weights(units, resamples_for(errors.shape[1], 1))
    ]
    return np.concatenate(parts, axis=1)
