"""Mistakes: how wrong each single answer is, by the kind of task; what contenders are chosen and compared by."""

from __future__ import annotations

import numpy as np

from headstart.forecasts import quantile_errors, scaled_errors
from headstart.summaries import rouges
from headstart.tasks import UNKNOWN, Task

TINY = 1e-15
TEMPERATURES = np.geomspace(1 / 16, 16, 65)


def errors_of(task: Task, truth: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return (n,) what a claim is about: 1 for each wrong label or, where no label is single, the quadratic error.

    Forecasting: the mean absolute scaled error.
    """
    if task.form == "path":
        return scaled_errors(task, truth, outputs)
    if task.form == "label":
        return np.asarray(task.decide(outputs) != truth, dtype=np.float64)
    return quadratic_errors(task, truth, outputs)


def quadratic_errors(task: Task, truth: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return how far each answer (n,) lies from the truth: a proper score of every kind of task.

    Classification: Brier's score, the squared distance of probabilities and truth, in [0, 2] (Brier 1950); a label
    never seen in training counts as 1 and the probabilities given elsewhere.
    Multi-label: its mean over labels.
    Regression: the squared error beside the variance of the truth.
    Forecasting: twice the pinball loss of the quantiles, which is not quadratic, but as proper.
    A text: what ROUGE-L lacks to 1.
    """
    if task.form == "path":
        return quantile_errors(task, truth, outputs)
    if task.form == "text":
        return np.asarray(1 - rouges(truth, outputs)[:, -1])
    if task.form == "number":
        return np.asarray((truth - outputs) ** 2 / (float(np.var(truth)) or 1.0))
    if task.form == "labels":
        return np.asarray(((outputs - truth) ** 2).mean(1))
    known = truth != UNKNOWN
    squares = (outputs**2).sum(1)
    given = np.where(known, outputs[np.arange(len(truth)), np.where(known, truth, 0)], 0.0)
    return np.asarray(squares - 2 * given + 1)


def calibrated_errors(task: Task, truth: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return the quadratic errors (n,) once how sure the answers are is set right, by the temperature that errs least.

    What is left is how well examples are told apart (Guo et al. 2017). Numbers, forecasts and texts are as they are.
    """
    if task.form in ("number", "path", "text"):
        return quadratic_errors(task, truth, outputs)
    likely = np.clip(outputs, TINY, 1 - TINY)
    logits = np.log(likely) if task.form == "label" else np.log(likely / (1 - likely))
    tried = (quadratic_errors(task, truth, task.outputs(logits / temperature)) for temperature in TEMPERATURES)
    return min(tried, key=lambda errors: float(errors.mean()))
