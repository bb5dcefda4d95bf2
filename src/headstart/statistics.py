"""Intervals: numbers that need no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtri, stdtrit

LEVEL = 0.95
RESAMPLES = 1000
FEWER_RESAMPLES = 200
LARGE = 1_000_000
"""From this many examples × classes on, fewer resamples are drawn."""

AT_ONCE = 4_000_000
"""Weights of examples that are in memory at once."""


Weighted = Callable[[np.ndarray], np.ndarray]
"""From weights (r, n) to a metric's value in each of r samples (r,)."""


@dataclass(frozen=True)
class Metric:
    """A metric on one set of answers.

    Attributes:
        weighted: its form for samples of the n examples that it takes.
        n: how many these are.
        used: which they are of all, as a mask; None where it takes all.
    """

    weighted: Weighted
    n: int
    used: np.ndarray | None = None

    @classmethod
    def mean(cls, values: np.ndarray, used: np.ndarray | None = None) -> Metric:
        """Return the mean of some values (n,)."""
        return cls(lambda weights: (weights @ values) / weights.sum(1), len(values), used)

    @classmethod
    def ratio(cls, above: np.ndarray, below: np.ndarray, least: float = 0.0) -> Metric:
        """Return the ratio of two sums (n,), the lower one at least so much; NaN where both are 0."""

        def weighted(weights: np.ndarray) -> np.ndarray:
            with np.errstate(invalid="ignore"):
                return np.asarray((weights @ above) / np.maximum(weights @ below, least))

        return cls(weighted, len(below))

    @cached_property
    def value(self) -> float:
        """What it is on these examples, each taken once; NaN where that says nothing."""
        with np.errstate(all="ignore"):
            return float(self.weighted(np.ones((1, self.n)))[0])


@dataclass(frozen=True)
class Measure:
    """A number with its interval and its counts.

    Attributes:
        value: the estimate.
        low, high: the closed 95 % interval.
        n: examples it is taken over.
        units: groups that were resampled; equal to `n` where there are no groups.
    """

    value: float
    low: float
    high: float
    n: int
    units: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}], n={self.n}"

    def as_dict(self) -> dict[str, float | int]:
        """Return the fields as JSON holds them."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n, "units": self.units}


def two_sided(level: float, freedom: float = math.inf) -> float:
    """Return how many standard errors lie on either side of such an interval's middle.

    They are those of a normal distribution, or of Student's t with so many degrees of freedom.
    """
    return float(stdtrit(freedom, 0.5 + level / 2) if math.isfinite(freedom) else ndtri(0.5 + level / 2))


def midranks(values: np.ndarray) -> np.ndarray:
    """Return the rank (n,) of each value, the smallest one's 1; equal ones share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def wilson(successes: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Return Wilson's score interval for a share (Wilson 1927; Brown, Cai and DasGupta 2001, eq. 4).

    Raises:
        ValueError: `n` is 0.
    """
    if n == 0:
        raise ValueError("no examples")
    z = two_sided(level)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def resampled_weights(units: np.ndarray, resamples: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield, some samples at a time, (r, n) how often each example stands in bootstrap samples of whole units.

    (Efron 1979.) All of them together would not fit in memory where there are many examples.

    Args:
        units: (n,) number of the unit (group) of each example.
        resamples: of them in all.
        seed: the same seed gives the same samples.
    """
    _, place = np.unique(units, return_inverse=True)
    k = int(place.max()) + 1
    dice = np.random.default_rng(seed)
    most = max(1, AT_ONCE // len(units))
    for start in range(0, resamples, most):
        weights = np.empty((min(most, resamples - start), len(units)), dtype=np.float32)
        for row in weights:
            row[:] = np.bincount(dice.integers(0, k, k), minlength=k)[place]
        yield weights


def percentile_interval(value: float, resampled: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Return the percentile interval of resampled values, widened to hold the estimate itself."""
    finite = resampled[np.isfinite(resampled)]
    if not len(finite):
        return value, value
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return min(value, float(low)), max(value, float(high))


def resamples_for(n: int, classes: int) -> int:
    """Return how many bootstrap samples a set of this size gets."""
    return RESAMPLES if n * classes < LARGE else FEWER_RESAMPLES
