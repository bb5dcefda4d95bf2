"""Forecasts: how far they lie from what came, and whether one is ahead of another beyond chance."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import t

from headstart.paired import Difference
from headstart.statistics import Metric, mean_of
from headstart.tasks import MEDIAN, QUANTILES, Task

TINY = 1e-12
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
        "mase": _mean(mase),
        "smape": _mean(smape),
        "weighted_quantile_loss": Metric(
            float(losses.sum() / max(levels.sum(), TINY)),
            lambda weights: (weights @ losses) / np.maximum(weights @ levels, TINY),
        ),
        "coverage_80": _mean(inside),
    }
    went = np.sign(true - base)
    agrees = np.where(went == 0, 0.0, (1 + went * np.sign(said - base)) / 2).sum(1)
    counted = (went != 0).sum(1)
    used = counted > 0
    if used.any():
        rate = agrees[used] / counted[used]
        found["direction"] = Metric(float(rate.mean()), mean_of(rate), used)
    return found


def _mean(values: np.ndarray) -> Metric:
    return Metric(float(values.mean()), mean_of(values))


def walking(task: Task, n: int) -> np.ndarray:
    """Return the outputs (n, h·9) of the random walk without a spread: the last value, which is 0 in its own scale."""
    return np.zeros((n, task.n_outputs))


def spread_factor(task: Task, truth: np.ndarray, outputs: np.ndarray, units: int) -> float:
    """Return by what the distances of quantiles from their median are to be multiplied for 80 % intervals to hold 80 %.

    This is split-conformal prediction with the half-width as the score (Lei et al. 2018, section 5.2), pooled over
    examples and steps; what is exchangeable are whole units, and of few of them the level is higher, at most 0.9.

    Args:
        task: forecasting.
        truth: (n, h + 3) of examples that were not learned from.
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


def difference_over_time(gaps: np.ndarray, origins: np.ndarray, overlap: int, level: float) -> Difference:
    """Test a mean gap between losses over origins: Diebold and Mariano (1995), corrected for few of them.

    Gaps of several series at one origin are averaged. The variance is that of Newey and West (1987), with as many lags
    as futures overlap, the factor that of Harvey, Leybourne and Newbold (1997, eq. 9), whose Student's t it is.

    Args:
        gaps: (n,) by how much the first contender is ahead on each example.
        origins: (n,) the number of each example's origin, ascending in time.
        overlap: later origins that a future reaches over.
        level: of the interval, in (0, 1).
    """
    places, own = np.unique(origins, return_inverse=True)
    k = len(places)
    means = np.bincount(own, gaps) / np.bincount(own)
    value, words = float(means.mean()), "Diebold-Mariano test over origins, Harvey's correction"
    if k < 3:
        return Difference(value, -math.inf, math.inf, 1.0, len(gaps), k, level, words)
    centred, lags = means - value, min(overlap, k - 2)
    products = [float(centred[lag:] @ centred[: k - lag]) / k for lag in range(lags + 1)]
    variance = products[0] + 2 * sum((1 - lag / (lags + 1)) * one for lag, one in enumerate(products) if lag)
    reach = lags + 1
    factor = (k + 1 - 2 * reach + reach * (reach - 1) / k) / k
    error = math.sqrt(max(variance, products[0] / reach) / k / max(factor, 1 / k))
    if error == 0:
        return Difference(value, value, value, 1.0 if value == 0 else 0.5 ** (k - 1), len(gaps), k, level, words)
    half = float(t.ppf(0.5 + level / 2, k - 1)) * error
    p = float(2 * t.sf(abs(value) / error, k - 1))
    return Difference(value, value - half, value + half, p, len(gaps), k, level, words)
