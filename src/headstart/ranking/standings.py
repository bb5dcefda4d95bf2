"""Standings: how contenders compare on the same examples, and which cannot be told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.statistics import percentile_interval, resampled_weights, resamples_for


@dataclass(frozen=True)
class Standing:
    """Where a contender stands among others.

    Attributes:
        rank: 1 is the best.
        low, high: the ranks that 95 % of the bootstrap samples give it.
        behind: the error it has more than the best one.
        behind_low, behind_high: the 95 % interval of that.
    """

    rank: int
    low: int
    high: int
    behind: float
    behind_low: float
    behind_high: float

    @property
    def ties(self) -> bool:
        """Whether it cannot be told from the best."""
        return self.behind_low <= 0

    def as_dict(self) -> dict[str, Any]:
        """Return the standing as JSON holds it."""
        behind = {"value": self.behind, "low": self.behind_low, "high": self.behind_high}
        return {"rank": self.rank, "low": self.low, "high": self.high, "behind": behind, "tied": self.ties}


def standings(errors: np.ndarray, units: np.ndarray) -> list[Standing]:
    """Return how contenders stand by their mean error, with bootstrap intervals (Efron 1979), whole units drawn.

    The same samples serve all of them, so what is hard for everyone tells nothing.

    Args:
        errors: (m, n) of each contender on each example; smaller is better.
        units: (n,) the number of the unit (group) of each example.
    """
    means, samples = errors.mean(1), _resampled(errors, units)
    best = int(means.argmin())
    order = np.argsort(np.argsort(means, kind="stable"), kind="stable")
    ranks = 1 + np.argsort(np.argsort(samples, axis=0, kind="stable"), axis=0, kind="stable")
    found = []
    for place, mean in enumerate(means):
        low, high = np.quantile(ranks[place], [0.025, 0.975], method="nearest")
        rank, behind = int(order[place]) + 1, float(mean - means[best])
        between = percentile_interval(behind, samples[place] - samples[best])
        found.append(Standing(rank, min(int(low), rank), max(int(high), rank), behind, *between))
    return found


def difference(one: np.ndarray, other: np.ndarray, units: np.ndarray) -> tuple[float, float, float]:
    """Return by how much the mean error of one contender is larger than the other's, with its 95 % interval."""
    gap = (one - other)[None]
    value = float(gap.mean())
    return (value, *percentile_interval(value, _resampled(gap, units)[0]))


def _resampled(errors: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return the mean errors (m, r) in bootstrap samples of whole units."""
    parts = [
        errors @ weights.T.astype(np.float64) / weights.sum(1)
        for weights in resampled_weights(units, resamples_for(errors.shape[1], 1))
    ]
    return np.concatenate(parts, axis=1)
