"""Forecasts: how far they lie from what came, and whether one is ahead of another beyond chance."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from headstart.paired import Difference, by_error, difference_of_means
from headstart.statistics import Metric
from headstart.tasks import MEDIAN, QUANTILES, Task

TINY = 1e-12

FEWEST_ORIGINS = 3
"""Below so many origins nothing is told."""

MANY_REACHES = 4
"""Times as many origins as hang together, from which on their own autocovariances tell something."""

OVERLAPPING = 1.5
"""Times as much as of futures that lie apart is known of a variance from all that overlap (Lo and MacKinlay 1988)."""

ROUNDING = 0.01
"""Of a horizon: by how much futures may overlap and still lie apart, since months are unlike."""

MASE = "the mean absolute scaled error (MASE)"


def scaled_errors(task: Task, truth: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return the mean absolute scaled error (n,) of medians, over the steps (Hyndman and Koehler 2006).

    1 is what a seasonal random walk erred by within the history, one step ahead.
    """
    return np.asarray(np.abs(task.paths(truth) - task.decide(outputs)).mean(1))


def quantile_errors(task: Task, truth: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return twice the pinball loss (n,), in units of the scale, over steps and quantiles: a proper score.

    (Koenker and Bassett 1978; Gneiting and Raftery 2007, section 6.1.)
    """
    gaps = task.paths(truth)[:, :, None] - task.by_step(outputs)
    levels = np.array(QUANTILES)
    return np.asarray(2 * np.maximum(levels * gaps, (levels - 1) * gaps).mean((1, 2)))


def forecast_metrics(task: Task, truth: np.ndarray, outputs: np.ndarray) -> dict[str, Metric]:
    """Return the metrics of forecasts, each taken within an example over its steps, then averaged over examples.

    "mase": see `scaled_errors`. "smape": 200·|y − f| / (|y| + |f|), in per cent (Makridakis 1993).
    "weighted_quantile_loss": the sum of twice the pinball loss beside that of |y|, every history in units of its scale,
    so that large numbers do not count for more.
    "coverage_80": the share of steps within the interval from the first decile to the last.
    "direction": the share of steps that went the way the median said, from the last value or, where a series is of
    changes such as returns, from 0; a median that says neither counts half. Steps that went neither way do not count.
    """
    path, forecast = task.paths(truth), task.by_step(outputs)
    centre, scale, base = (truth[:, task.horizon + place, None] for place in range(3))
    median = forecast[:, :, MEDIAN]
    true, said = path * scale + centre, median * scale + centre
    mase = scaled_errors(task, truth, outputs)
    sizes = np.abs(true) + np.abs(said)
    smape = 200 * np.divide(np.abs(true - said), sizes, out=np.zeros_like(sizes), where=sizes > 0).mean(1)
    losses, levels = quantile_errors(task, truth, outputs), np.abs(true / scale).mean(1)
    inside = ((path >= forecast[:, :, 0]) & (path <= forecast[:, :, -1])).mean(1)
    found = {
        "mase": Metric.mean(mase),
        "smape": Metric.mean(smape),
        "weighted_quantile_loss": Metric.ratio(losses, levels, least=TINY),
        "coverage_80": Metric.mean(inside),
    }
    went = np.sign(true - base)
    agrees = np.where(went == 0, 0.0, (1 + went * np.sign(said - base)) / 2).sum(1)
    counted = (went != 0).sum(1)
    used = counted > 0
    if used.any():
        found["direction"] = Metric.mean(agrees[used] / counted[used], used)
    return found


def walking(task: Task, n: int) -> np.ndarray:
    """Return the outputs (n, h·9) of the random walk without a spread: the last value, which is 0 in its own scale."""
    return np.zeros((n, task.n_outputs))


def spread_factor(task: Task, truth: np.ndarray, outputs: np.ndarray, units: int) -> float:
    """Return by what the distances of quantiles from their median are to be multiplied for 80 % intervals to hold 80 %.

    This is split-conformal prediction with the half-width as the score (Lei et al. 2018, section 5.2), pooled over
    examples and steps; what is exchangeable are whole units, and of few of them the level is higher, at most 0.9.

    Args:
        task: forecasting.
        truth: (n, h + 4) of examples that were not learned from.
        outputs: (n, h·9) of them.
        units: series or origins that they are of.
    """
    forecast, path = task.by_step(outputs), task.paths(truth)
    median = forecast[:, :, MEDIAN]
    half = np.where(path < median, median - forecast[:, :, 0], forecast[:, :, -1] - median)
    is_spread = half > 1e-9
    if is_spread.mean() < 0.5:
        return 1.0
    scores = np.abs(path - median)[is_spread] / half[is_spread]
    level = min(QUANTILES[-1], math.ceil((units + 1) * (QUANTILES[-1] - QUANTILES[0]) - TINY) / units)
    return float(np.clip(np.quantile(scores, level), 0.2, 5.0))


def difference_of_forecasts(
    task: Task, truth: np.ndarray, gaps: np.ndarray, units: np.ndarray | None, level: float
) -> Difference:
    """Test a mean gap between losses: of few series over origins, of many over series and over times as well.

    Series of one time are not independent: what moves all of them is one event, however many they are. By how much
    series differ from each other is no such event: over times each is looked at about its own mean.

    Args:
        task: forecasting; its `overlap` tells whether units are origins.
        truth: (n, h + 4).
        gaps: (n,) by how much the first contender is ahead on each example.
        units: (n,) the number of each example's series or origin; None where every example stands for itself.
        level: of the interval, in (0, 1).

    Returns:
        Of both tests the larger p and the wider interval.
    """
    when, own = truth[:, -1], np.arange(len(gaps)) if units is None else units
    if task.overlap is not None:
        return difference_over_time(gaps, when, level)
    over_series = difference_of_means(gaps, np.zeros(len(gaps)), units, level=level)
    if not _share_time(when, own):
        return replace(over_series, method="t test over series, taken as independent")
    number = np.unique(own, return_inverse=True)[1]
    alike = gaps - (np.bincount(number, gaps) / np.bincount(number))[number] + gaps.mean()
    over_time = difference_over_time(alike, _joined(when, own), level)
    seen = [one.detectable for one in (over_series, over_time)]
    are_apart = "the more doubtful of both" if math.isfinite(over_time.low) else "which lie too near to tell"
    return replace(
        over_series,
        low=min(over_series.low, over_time.low),
        high=max(over_series.high, over_time.high),
        p=max(over_series.p, over_time.p),
        method=f"t tests over series and over {over_time.units} origins, {are_apart}",
        detectable=None if None in seen else max(one for one in seen if one is not None),
    )


def difference_over_time(gaps: np.ndarray, when: np.ndarray, level: float) -> Difference:
    """Test a mean gap between losses over origins, whose futures overlap (Diebold and Mariano 1995).

    Gaps at one time are averaged. Of two origins they are taken to correlate by as much of a future as both share, as
    sums of independent steps do; how far they scatter is what generalised least squares leave or, where that is more,
    what origins differ by that lie apart. Where origins are many, four times as many as hang together or more, the
    variance is not taken for smaller than that of Newey and West (1987) with the factor of Harvey et al.
    (1997, eq. 9), which asks for no form but of few origins claims far too often. Where any two futures overlap nothing
    is told.

    Args:
        gaps: (n,) by how much the first contender is ahead on each example.
        when: (n,) where each example's origin lies in time, in horizons.
        level: of the interval, in (0, 1).
    """
    places, own = np.unique(when, return_inverse=True)
    k, n, value = len(places), len(gaps), float(gaps.mean())
    words = "Diebold-Mariano test over origins"
    if k < FEWEST_ORIGINS or places[-1] - places[0] < 1 - ROUNDING:
        return by_error(value, math.inf, k, n, level, f"{words}, which are too few or lie too near")
    shares = np.bincount(own) / n
    means = np.bincount(own, gaps) / (n * shares)
    later = places - places[:, None]
    together = np.maximum(0.0, 1 - np.abs(later))
    ones = np.linalg.solve(together, np.ones(k))
    centred = means - (ones @ means) / ones.sum()
    near = float(centred @ np.linalg.solve(together, centred)) / (k - 1)
    far = float(((means - means[:, None]) ** 2)[later >= 1 - ROUNDING].mean()) / 2
    variance = max(near, far) * float(shares @ together @ shares)
    reach = int(((later > 0) & (later < 1 - ROUNDING)).sum(1).max()) + 1
    if k >= MANY_REACHES * reach:
        variance = max(variance, newey_west(k * shares * (means - value), reach))
        words += ", Harvey's correction"
    freedom = min(k - 1, OVERLAPPING * float(places[-1] - places[0]))
    return by_error(value, math.sqrt(variance), k, n, level, words, freedom)


def newey_west(centred: np.ndarray, reach: int) -> float:
    """Return the variance of a mean of what hangs together over `reach` places, with the factor of Harvey et al.

    Args:
        centred: (k,) about 0, in order of time.
        reach: places, 1 or more.
    """
    k = len(centred)
    products = [float(centred[lag:] @ centred[: k - lag]) / k for lag in range(reach)]
    total = products[0] + 2 * sum((1 - lag / reach) * one for lag, one in enumerate(products) if lag)
    return total / (k + 1 - 2 * reach + reach * (reach - 1) / k)


def _share_time(when: np.ndarray, series: np.ndarray) -> bool:
    """Tell whether futures of two series overlap."""
    order = np.lexsort((when, series))
    begins = np.flatnonzero(np.append(True, np.diff(series[order]) != 0))
    first, last = when[order][begins], when[order][np.append(begins[1:], len(when)) - 1]
    later = np.argsort(first)
    return bool((first[later][1:] < np.maximum.accumulate(last[later])[:-1] + 1 - ROUNDING).any())


def _joined(when: np.ndarray, series: np.ndarray) -> np.ndarray:
    """Return times (n,) on a grid as wide as series step themselves: those of unlike series that lie nearer are one."""
    order = np.lexsort((when, series))
    steps = np.diff(when[order])[np.diff(series[order]) == 0]
    width = float(np.median(steps[steps > 0])) if (steps > 0).any() else 1.0
    return np.asarray(-width * np.round((when.max() - when) / width))
