"""Paired comparisons: two contenders on the same examples, the difference with its interval, and what could be seen.

Numbers that need no torch. Where examples hang together in groups, the group is the unit of every interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import bdtr, ndtr, ndtri, stdtr

from headstart.statistics import LEVEL, RESAMPLES, Metric, midranks, percentile_interval, resampled_weights, two_sided

POWER = 0.8
"""The chance to see a difference from which on it counts as one that can be seen."""

ROUNDING = 1e-12
"""Of a difference: what its standard error may be and still be rounding alone."""

NUDGE = 1e-9
"""Of the way from an estimate to the end of the scale: at the estimate itself nothing may vary."""


@dataclass(frozen=True)
class Difference:
    """By how much one contender is ahead of the other on the same examples.

    Attributes:
        value: the estimate; above 0 the first one is ahead.
        low, high: the closed interval; infinite where nothing can be told, of which JSON makes null.
        p: of the hypothesis that there is no difference, two-sided.
        n: examples.
        units: groups; equal to `n` where there are no groups.
        level: of the interval, in (0, 1).
        method: of the test and the interval, in words.
        detectable: the smallest difference that would be seen in four cases of five; None where nothing would be.
    """

    value: float
    low: float
    high: float
    p: float
    n: int
    units: int
    level: float
    method: str
    detectable: float | None = None

    @property
    def is_claimed(self) -> bool:
        """Whether there is a difference: by the test and by the interval, which need not agree at the edge."""
        return self.p <= 1 - self.level and (self.low > 0 or self.high < 0)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        return {name: _finite(value) for name, value in asdict(self).items()}


def difference_of_shares(
    one: np.ndarray, other: np.ndarray, units: np.ndarray | None = None, *, level: float = LEVEL
) -> Difference:
    """Compare the shares of right answers: McNemar's exact test and Tango's interval; with groups, `of_means`.

    Groups of one example each are examples.

    Args:
        one: (n,) whether the first contender is right.
        other: (n,) whether the second one is.
        units: (n,) the number of each example's group; None where every example stands for itself.
        level: of the interval, in (0, 1).
    """
    if units is not None and len(np.unique(units)) < len(units):
        return difference_of_means(one.astype(float), other.astype(float), units, level=level)
    n, wins, losses = len(one), int((one & ~other).sum()), int((other & ~one).sum())
    low, high = tango(wins, losses, n, level)
    return Difference(
        (wins - losses) / n,
        low,
        high,
        mcnemar(wins, losses),
        n,
        n,
        level,
        "McNemar's exact test, Tango's interval",
        detectable_share(n, (wins + losses + 1) / (n + 2), level=level),
    )


def difference_of_metrics(
    one: Metric, other: Metric, units: np.ndarray, *, level: float = LEVEL, resamples: int = RESAMPLES
) -> Difference:
    """Compare two values of a metric that is no mean over examples, by the bootstrap of whole units (Efron 1979).

    Both are taken of the same samples, but for those that one of them has no value of; the interval is that of their
    percentiles.

    Args:
        one: of the first contender.
        other: of the second one.
        units: (n,) the number of each example's group.
        level: of the interval, in (0, 1).
        resamples: of the bootstrap.
    """
    drawn = [one.weighted(weights) - other.weighted(weights) for weights in resampled_weights(units, resamples)]
    gaps, value, k = np.concatenate(drawn), one.value - other.value, len(np.unique(units))
    gaps = gaps[np.isfinite(gaps)]
    low, high = percentile_interval(value, gaps, level)
    p = min(1.0, 2 * (1 + min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))) / (1 + len(gaps)))
    return Difference(value, low, high, p, len(units), k, level, "bootstrap of groups")


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm 1979)."""
    order = np.argsort(ps)
    adjusted = np.maximum.accumulate([min(1.0, ps[place] * (len(ps) - rank)) for rank, place in enumerate(order)])
    return [float(one) for one in adjusted[np.argsort(order)]]


def difference_of_means(
    one: np.ndarray, other: np.ndarray, units: np.ndarray | None = None, *, level: float = LEVEL
) -> Difference:
    """Compare the means of what is larger the better it is: Student's t over units.

    The variance is that of a ratio estimate over units (Cochran 1977, section 6.4), with k - 1 degrees of freedom; of
    examples that stand for themselves this is the paired t test. That of groups is never taken for smaller than that
    of as many single examples: a few groups agree by chance.

    Args:
        one: (n,) of the first contender on each example.
        other: (n,) of the second one.
        units: (n,) the number of each example's group; None where every example stands for itself.
        level: of the interval, in (0, 1).
    """
    gaps = np.asarray(one, dtype=float) - np.asarray(other, dtype=float)
    own = np.arange(len(gaps)) if units is None else np.unique(units, return_inverse=True)[1]
    value, k = float(gaps.mean()), len(np.unique(own))
    error = max(standard_error(gaps, own), standard_error(gaps, np.arange(len(gaps))))
    words = "paired t test" if units is None else "t test over groups"
    return by_error(value, error, k, len(gaps), level, words)


def difference_of_auroc(
    truth: np.ndarray,
    one: np.ndarray,
    other: np.ndarray,
    units: np.ndarray | None = None,
    *,
    level: float = LEVEL,
) -> Difference:
    """Compare two areas under the ROC curve on the same examples (DeLong et al. 1988; with groups Obuchowski 1997).

    Args:
        truth: (n,) whether each example is a positive; both kinds occur.
        one: (n,) scores of the first contender, larger for positives.
        other: (n,) scores of the second one.
        units: (n,) the number of each example's group; None where every example stands for itself.
        level: of the interval, in (0, 1).
    """
    truth = np.asarray(truth, dtype=bool)
    (first, parts), (second, others) = placements(truth, one), placements(truth, other)
    gaps = parts - others
    value = first - second
    if units is None:
        positives, negatives = gaps[truth], gaps[~truth]
        variance = sum(float(side.var(ddof=1)) / len(side) for side in (positives, negatives) if len(side) > 1)
        z = two_sided(level)
        error = math.sqrt(variance)
        p = float(2 * ndtr(-abs(value) / error)) if error > 0 else float(value == 0)
        own, words, half = len(truth), "DeLong's test", z * error
    else:
        m = {True: int(truth.sum()), False: int((~truth).sum())}
        means = np.where(truth, gaps[truth].mean(), gaps[~truth].mean())
        each = (gaps - means) / np.where(truth, m[True], m[False])
        place = np.unique(units, return_inverse=True)[1]
        sums = np.bincount(place, each)
        own = len(sums)
        error = math.sqrt(own / max(1, own - 1) * float((sums**2).sum()))
        p = float(2 * ndtr(-abs(value) / error)) if error > 0 else float(value == 0)
        words, half = "DeLong's test over groups", two_sided(level) * error
    low, high = max(-1.0, value - half), min(1.0, value + half)
    return Difference(value, low, high, p, len(truth), own, level, words, _seen_by(error, level))


def placements(truth: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the area under the ROC curve, and for each example (n,) the share of the other kind it is placed rightly.

    These are DeLong's structural components V10 and V01 (1988, eq. 3 and 4), from ranks (Sun and Xu 2014).
    """
    positives, negatives = scores[truth], scores[~truth]
    m, n = len(positives), len(negatives)
    everywhere = midranks(scores)
    parts = np.empty(len(scores))
    parts[truth] = (everywhere[truth] - midranks(positives)) / n
    parts[~truth] = 1 - (everywhere[~truth] - midranks(negatives)) / m
    return float(parts[truth].mean()), parts


def mcnemar(wins: int, losses: int) -> float:
    """Return the two-sided p of McNemar's exact test: wins among the pairs that differ, against a fair coin."""
    return min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5)))


def tango(wins: int, losses: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the score interval of a difference of paired shares (Tango 1998, eq. 10 to 12).

    Args:
        wins: pairs that only the first one has right.
        losses: pairs that only the second one has right.
        n: pairs in all, 1 or more.
        level: of the interval, in (0, 1).
    """
    z, value = two_sided(level), (wins - losses) / n

    def beyond(shift: float) -> float:
        linear = (2 * n - wins + losses) * shift - wins - losses
        constant = -losses * shift * (1 - shift)
        only_second = (math.sqrt(max(0.0, linear**2 - 8 * n * constant)) - linear) / (4 * n)
        spread = n * (2 * only_second + shift * (1 - shift))
        gap = wins - losses - n * shift
        return gap**2 - z**2 * max(spread, 0.0)

    return _root(beyond, -1.0, value), _root(beyond, 1.0, value)


def _root(beyond: Callable[[float], float], end: float, value: float) -> float:
    """Return where between a value and an end of the scale a difference stops being credible."""
    start = value + NUDGE * (end - value)
    if value == end or beyond(end) <= 0:
        return end
    return float(brentq(beyond, min(start, end), max(start, end), xtol=1e-12)) if beyond(start) < 0 else value


def corrected_t(differences: np.ndarray, test_share: float, *, level: float = LEVEL) -> Difference:
    """Compare over repeated splits: the corrected resampled t test (Nadeau and Bengio 2003, eq. 12).

    Training sets overlap, so the plain variance of the mean is too small: 1/J grows by n_test / n_train.

    Args:
        differences: (j,) first minus second, in each of j splits, 2 or more.
        test_share: n_test / (n_test + n_train), in (0, 1).
        level: of the interval, in (0, 1).
    """
    j = len(differences)
    variance = float(np.var(differences, ddof=1)) * (1 / j + test_share / (1 - test_share))
    return by_error(
        float(np.mean(differences)), math.sqrt(variance), j, j, level, "corrected resampled t test over splits"
    )


def standard_error(values: np.ndarray, units: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the standard error of the mean of values (n,) over units (n,): infinite where there is but one.

    With weights (n,) it is that of a ratio estimate (Cochran 1977, section 6.4).
    """
    own = np.ones(len(values)) if weights is None else weights
    mean = (own * values).sum() / own.sum()
    sums = np.bincount(np.unique(units, return_inverse=True)[1], own * (values - mean))
    k = len(sums)
    return float(math.sqrt(k / (k - 1) * (sums**2).sum()) / own.sum()) if k > 1 else math.inf


def detectable_share(n: int, discordant: float, *, level: float = LEVEL, power: float = POWER) -> float | None:
    """Return the smallest difference of paired shares that McNemar's test would see (Connor 1987, eq. 3).

    Args:
        n: pairs.
        discordant: the share of pairs in which the two differ, in (0, 1].
        level: 1 less the level of the test.
        power: the chance to see it.

    Returns:
        None where even a contender that wins every pair that differs would not be seen.
    """
    z, beta = two_sided(level), float(ndtri(power))

    def lacking(shift: float) -> float:
        return z * math.sqrt(discordant) + beta * math.sqrt(max(0.0, discordant - shift**2)) - shift * math.sqrt(n)

    return float(brentq(lacking, 0.0, discordant)) if lacking(discordant) < 0 else None


def by_error(
    value: float, error: float, k: int, n: int, level: float, words: str, freedom: float | None = None
) -> Difference:
    """Return a difference with Student's interval, from its standard error.

    Where all k units differ by the same, the test is the sign test; an infinite error is of what tells nothing.

    Args:
        value: the estimate.
        error: its standard error, 0 or more.
        k: units.
        n: examples.
        level: of the interval, in (0, 1).
        words: the method.
        freedom: degrees of it; k - 1 where nothing is said.
    """
    if not math.isfinite(error):
        return Difference(value, -math.inf, math.inf, 1.0, n, k, level, words)
    freedom = k - 1 if freedom is None else freedom
    if error <= ROUNDING * abs(value):
        return Difference(value, value, value, 0.5**freedom if value else 1.0, n, k, level, words)
    half = two_sided(level, freedom) * error
    p = float(2 * stdtr(freedom, -abs(value) / error))
    return Difference(value, value - half, value + half, p, n, k, level, words, _seen_by(error, level))


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _seen_by(error: float, level: float) -> float | None:
    return (two_sided(level) + float(ndtri(POWER))) * error if math.isfinite(error) else None
