"""Heads of forecasts: what a network says of the future itself, moved by what its other features tell.

The features of every network for series begin with its own forecast, `STEPS` steps of nine quantiles each, in units of
the history's scale from its centre: a head that takes them as they are is the source as it is.
"""

from __future__ import annotations

import numpy as np

from headstart.tasks import MEDIAN, QUANTILES, STEPS, Task

PENALTY = 100.0
"""Times the penalty of other heads: a head is drawn to the source's own forecast, and has many steps to go wrong at."""

FAR = 4.0
"""Median deviations from which on an example's errors count for less: a few wild series would decide otherwise."""


def as_it_is(d: int, horizon: int) -> np.ndarray:
    """Return the weight (h·9, d) that gives a network's own forecast; beyond its steps the last of them again."""
    k = len(QUANTILES)
    weight = np.zeros((horizon * k, d), dtype=np.float32)
    steps = np.minimum(np.arange(horizon), STEPS - 1)
    columns = (steps[:, None] * k + np.arange(k)).ravel()
    weight[np.arange(horizon * k), columns] = 1.0
    return weight


def moved(features: np.ndarray, truth: np.ndarray, task: Task, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Fit a ridge regression of what a network's own medians lack, and move all its quantiles by that: weight and bias.

    The stricter the penalty, the closer it is to the source as it is. Examples whose errors lie far out weigh less.

    Args:
        features: (n, d) that begin with the network's own forecast.
        truth: (n, h + 3).
        task: forecasting.
        strength: the freer the larger.
    """
    rows = np.asarray(features, dtype=np.float64)
    own = as_it_is(rows.shape[1], task.horizon)
    lacking = task.paths(truth) - task.by_step(rows @ own.T.astype(np.float64))[:, :, MEDIAN]
    sizes = np.sqrt((lacking**2).mean(1))
    weights = 1 / np.maximum(1.0, sizes / (FAR * float(np.median(sizes)) or 1.0)) ** 2
    mean = weights @ rows / weights.sum()
    spread = np.sqrt(weights @ (rows - mean) ** 2 / weights.sum())
    spread[spread < 1e-6] = np.inf
    scaled = (rows - mean) / spread
    middle = weights @ lacking / weights.sum()
    weighed = scaled * weights[:, None]
    penalty = PENALTY / strength
    if len(rows) <= rows.shape[1]:
        root = np.sqrt(weights)[:, None]
        thin = scaled * root
        dual = np.linalg.solve(thin @ thin.T + penalty * np.eye(len(thin)), root * (lacking - middle))
        slope = thin.T @ dual
    else:
        slope = np.linalg.solve(weighed.T @ scaled + penalty * np.eye(rows.shape[1]), weighed.T @ (lacking - middle))
    shift = (slope / spread[:, None]).T
    kept = float(weights.sum() / (weights.sum() + penalty))
    constant = kept * middle - shift @ mean
    k = len(QUANTILES)
    return (own + np.repeat(shift, k, axis=0)).astype(np.float32), np.repeat(constant, k).astype(np.float32)


def widened(weight: np.ndarray, bias: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Return weight (h·9, d) and bias of a head whose quantiles lie so many times as far from their median."""
    k = len(QUANTILES)
    rows, constants = weight.reshape(-1, k, weight.shape[1]), bias.reshape(-1, k)
    rows = rows[:, MEDIAN, None] + factor * (rows - rows[:, MEDIAN, None])
    constants = constants[:, MEDIAN, None] + factor * (constants - constants[:, MEDIAN, None])
    return rows.reshape(weight.shape), constants.reshape(-1)


def widened_outputs(task: Task, outputs: np.ndarray, factor: float) -> np.ndarray:
    """Return outputs (n, h·9) whose quantiles lie so many times as far from their median."""
    forecast = task.by_step(outputs)
    median = forecast[:, :, MEDIAN, None]
    return np.asarray((median + factor * (forecast - median)).reshape(outputs.shape))
