"""Metrics that fit the task, each with an interval and a count.

Intervals: Wilson's for shares of ungrouped examples; otherwise the percentile bootstrap, groups resampled whole.
The bootstrap weighs every example by how often it was drawn, so all samples are computed at once, and the value itself
like one more of them, in which each was drawn once; tests hold both against scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from headstart.entities import Found
from headstart.forecasts import forecast_metrics
from headstart.mistakes import TINY
from headstart.statistics import (
    FEWER_RESAMPLES,
    Measure,
    Metric,
    Weighted,
    midranks,
    percentile_interval,
    resampled_weights,
    resamples_for,
    wilson,
)
from headstart.summaries import HEADLINE as SUMMARY
from headstart.summaries import SHARES, summary_metrics
from headstart.tasks import UNKNOWN, Task

BINS = 10
STRANGE = "B-?"
FEW_UNITS = 10
SPECIFICITY, SENSITIVITY = 0.9, "sensitivity_90"
ROUNDING = 1e-9
MOST_CLASSES = 30
"""Classes that a sensitivity is averaged over, at most: each is sorted anew in every sample."""

ENTITIES = ("entity_f1", "entity_precision", "entity_recall")
OF_CLASSES = ("accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "auroc", "exact_match", SENSITIVITY)
BOUNDED = SHARES | {*OF_CLASSES, *ENTITIES, "coverage_80", "direction"}
LOWER = frozenset({"log_loss", "calibration_error", "brier_score", "mae", "rmse", "mase", "smape"})
"""Metrics that are the better the lower they are, of those that may be shown first or held beside others."""

PAIRS = 2_000_000
"""Of examples, that are set beside each other at once at most: beyond that ranks are added up."""

HEADLINE = {
    "classification": "accuracy",
    "multilabel": "macro_f1",
    "regression": "r2",
    "tagging": "entity_f1",
    "forecasting": "mase",
    "summarization": SUMMARY,
}


def measure(
    task: Task,
    truth: np.ndarray,
    outputs: np.ndarray,
    units: np.ndarray | None = None,
    *,
    resamples: int | None = None,
    breaks: np.ndarray | None = None,
) -> dict[str, Measure]:
    """Return every metric of a task with its interval; only shares where a single unit tells of no spread.

    Args:
        task: what is predicted.
        truth: (n,) label indices (-1: a label never seen in training), (n, c) zeros and ones, or (n,) numbers or texts.
        outputs: (n, c) probabilities, or (n,) numbers or texts.
        units: (n,) the group of each example; None where every example stands for itself.
        resamples: of the bootstrap; by default as many as suit the number of examples.
        breaks: (n,) the text that each word stands in, where words are tagged; without it the group.
    """
    own = np.arange(len(truth)) if units is None else np.unique(units, return_inverse=True)[1]
    if task.kind == "tagging":
        found = entities(task, truth, outputs, own if breaks is None else breaks)
    elif task.form == "path":
        found = forecast_metrics(task, truth, outputs)
    else:
        ways = {"label": _classification, "labels": _multilabel, "number": _regression, "text": summary_metrics}
        found = ways[task.form](truth, outputs)
    samples = _sampled(found, own, resamples or resamples_for(len(truth), task.n_outputs))
    measured = {name: _with_interval(name, found[name], samples[name], own, units is None) for name in found}
    return {name: one for name, one in measured.items() if one.units > 1 or name in BOUNDED}


def entities(task: Task, truth: np.ndarray, outputs: np.ndarray, breaks: np.ndarray) -> dict[str, Metric]:
    """Return the metrics of tagged words, without their intervals; the arguments are as `measure` takes them."""
    answers = task.decide(outputs)
    found = Found.of(_tags(task, truth), _tags(task, answers), breaks)
    return {**found.metrics, "accuracy": Metric.mean((answers == truth) * 1.0)}


def per_class(
    task: Task,
    truth: np.ndarray,
    outputs: np.ndarray,
    units: np.ndarray | None = None,
    breaks: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """Return precision, recall and F1 of each label, the first two with intervals and counts; groups resampled.

    Where words are tagged they are those of each kind of entity that the labels name; the arguments are as `measure`
    takes them.
    """
    if task.form in ("number", "path", "text"):
        return []
    if task.kind == "tagging":
        texts = np.arange(len(truth)) if units is None else units
        return _per_kind(task, truth, outputs, texts, texts if breaks is None else breaks)
    decided = task.decide(outputs)
    rows = []
    for place, label in enumerate(task.labels):
        is_true = truth == place if task.form == "label" else truth[:, place] == 1
        is_said = decided == place if task.form == "label" else decided[:, place] == 1
        true, said, hits = int(is_true.sum()), int(is_said.sum()), int((is_true & is_said).sum())
        rows.append(
            {
                "label": label,
                "n": true,
                "recall": _share(is_said[is_true], None if units is None else units[is_true]),
                "precision": _share(is_true[is_said], None if units is None else units[is_said]),
                "f1": 2 * hits / (true + said) if true + said else None,
            }
        )
    return rows


def confusion(task: Task, truth: np.ndarray, outputs: np.ndarray) -> list[list[int]]:
    """Return the counts (c, c) of true label (row) against answer (column); empty but for classification."""
    if task.kind != "classification":
        return []
    known, c = truth != UNKNOWN, len(task.labels)
    pairs = c * truth[known] + task.decide(outputs)[known]
    table: list[list[int]] = np.bincount(pairs, minlength=c * c).reshape(c, c).tolist()
    return table if known.any() else []


def _share(right: np.ndarray, units: np.ndarray | None) -> dict[str, float | int] | None:
    """Return the share that is right with its interval; None where there is nothing to take a share of."""
    n = len(right)
    if n == 0:
        return None
    own = np.arange(n) if units is None else np.unique(units, return_inverse=True)[1]
    metric = Metric.mean(right.astype(float))
    samples = _sampled({"share": metric}, own, FEWER_RESAMPLES)["share"] if units is not None else np.zeros(0)
    return _with_interval("accuracy", metric, samples, own, units is None).as_dict()


def _sampled(found: dict[str, Metric], units: np.ndarray, resamples: int) -> dict[str, np.ndarray]:
    """Return each metric's value (r,) in bootstrap samples of whole units, the same samples for all."""
    samples: dict[str, list[np.ndarray]] = {name: [] for name in found}
    with np.errstate(all="ignore"):
        for weights in resampled_weights(units, resamples):
            for name, metric in found.items():
                own = weights if metric.used is None or metric.used.all() else weights[:, metric.used]
                samples[name].append(metric.weighted(own))
    return {name: np.concatenate(parts) for name, parts in samples.items()}


def _with_interval(name: str, metric: Metric, samples: np.ndarray, units: np.ndarray, alone: bool) -> Measure:
    """Return a metric with Wilson's interval for a share of lone examples, otherwise the bootstrap's.

    Where the bootstrap sees too little spread (all right, all wrong, few units), the interval is widened to Wilson's
    for so many units; a single unit tells nothing.
    """
    used = slice(None) if metric.used is None else metric.used
    own = units[used]
    count, k = len(own), len(np.unique(own))
    if alone and name in ("accuracy", "exact_match"):
        return Measure(metric.value, *wilson(round(metric.value * count), count), count, k)
    if k < 2:
        return Measure(metric.value, 0.0, 1.0, count, k)
    low, high = percentile_interval(metric.value, samples)
    if name in BOUNDED and (metric.value in (0.0, 1.0) or k < FEW_UNITS):
        by_count = wilson(metric.value * k, k)
        low, high = min(low, by_count[0]), max(high, by_count[1])
    return Measure(metric.value, low, high, count, k)


def _tags(task: Task, encoded: np.ndarray) -> list[str]:
    """Return tags (n,); one never seen in training begins an entity of a kind that no answer has."""
    return [task.labels[place] if place != UNKNOWN else STRANGE for place in encoded.tolist()]


def _per_kind(
    task: Task, truth: np.ndarray, outputs: np.ndarray, units: np.ndarray, breaks: np.ndarray
) -> list[dict[str, Any]]:
    rows = []
    true_tags, answers = (_tags(task, encoded) for encoded in (truth, task.decide(outputs)))
    known = {label[2:] for label in task.labels}
    kinds = {kind: found for kind, found in Found.by_kind(true_tags, answers, breaks).items() if kind in known}
    for kind, found in kinds.items():
        true, said = np.flatnonzero(found.true), np.flatnonzero(found.said)
        rows.append(
            {
                "label": kind,
                "n": len(true),
                "recall": _share(found.hits[true] > 0, units[true]),
                "precision": _share(found.hits[said] > 0, units[said]),
                "f1": found.metrics["entity_f1"].value,
            }
        )
    return rows


def _classification(truth: np.ndarray, outputs: np.ndarray) -> dict[str, Metric]:
    """A label never seen in training is a class of its own that is always missed; probabilities do not know it."""
    answers = outputs.argmax(1)
    known = truth != UNKNOWN
    found = {
        "accuracy": Metric.mean((answers == truth).astype(float)),
        "balanced_accuracy": Metric(_by_class(truth, answers, _recall), len(truth)),
        "macro_f1": Metric(_by_class(truth, answers, _f1), len(truth)),
    }
    if not known.any():
        return found
    t, p = truth[known], outputs[known]
    found |= _ranking(np.eye(p.shape[1])[t], p, known)
    losses = -np.log(np.clip(p[np.arange(len(t)), t], TINY, 1))
    found["log_loss"] = Metric.mean(losses, known)
    found["calibration_error"] = _calibration(answers[known] == t, p.max(1), known)
    return found


def _multilabel(truth: np.ndarray, outputs: np.ndarray) -> dict[str, Metric]:
    answers = (outputs >= 0.5).astype(int)
    exact = (answers == truth).all(1)
    losses = -(truth * np.log(np.clip(outputs, TINY, 1)) + (1 - truth) * np.log(np.clip(1 - outputs, TINY, 1))).mean(1)
    found = {
        "exact_match": Metric.mean(exact.astype(float)),
        "macro_f1": Metric(_label_f1(truth, answers), len(truth)),
        "micro_f1": Metric(_label_f1(truth, answers, pooled=True), len(truth)),
    }
    found |= _ranking(truth, outputs)
    found["brier_score"] = Metric.mean(((outputs - truth) ** 2).mean(1))
    return {**found, "log_loss": Metric.mean(losses)}


def _regression(truth: np.ndarray, outputs: np.ndarray) -> dict[str, Metric]:
    errors, centred = truth - outputs, truth - truth.mean()

    def r2(weights: np.ndarray) -> np.ndarray:
        mean = (weights @ centred) / weights.sum(1)
        spread = weights @ centred**2 - weights.sum(1) * mean**2
        return np.asarray(1 - (weights @ errors**2) / spread)

    found = {
        "mae": Metric.mean(np.abs(errors)),
        "rmse": Metric(lambda weights: np.sqrt((weights @ errors**2) / weights.sum(1)), len(truth)),
    }
    if len(truth) < 2 or np.ptp(truth) == 0:
        return found
    return {"r2": Metric(r2, len(truth)), **found}


def _by_class(truth: np.ndarray, answers: np.ndarray, score: Callable[..., np.ndarray]) -> Weighted:
    labels = np.union1d(truth, answers)
    true, said = truth[:, None] == labels, answers[:, None] == labels

    def weighted(weights: np.ndarray) -> np.ndarray:
        counts = [weights @ table.astype(np.float32) for table in (true & said, true, said)]
        return score(*counts)

    return weighted


def _recall(hits: np.ndarray, true: np.ndarray, _said: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that stand in the sample."""
    return _mean_where(true > 0, hits / true)


def _f1(hits: np.ndarray, true: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that stand in the sample or were answered."""
    return _mean_where(true + said > 0, 2 * hits / (true + said))


def _mean_where(there: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the mean (r,) over the columns that are there, NaN where none is."""
    return np.asarray(np.where(there, values, 0).sum(1) / there.sum(1))


def _label_f1(truth: np.ndarray, answers: np.ndarray, *, pooled: bool = False) -> Weighted:
    def weighted(weights: np.ndarray) -> np.ndarray:
        hits, both = weights @ (truth & answers).astype(np.float32), weights @ (truth + answers).astype(np.float32)
        if pooled:
            hits, both = hits.sum(1, keepdims=True), both.sum(1, keepdims=True)
        return np.asarray(np.where(both > 0, 2 * hits / np.maximum(both, TINY), 0.0).mean(1))

    return weighted


def _ranking(truth: np.ndarray, outputs: np.ndarray, used: np.ndarray | None = None) -> dict[str, Metric]:
    """Return what the order of the outputs tells, averaged over one-against-rest of classes where both sides occur.

    The area under the ROC curve and, of no more than `MOST_CLASSES`, the sensitivity at a specificity of 90 %: of two
    classes as well, the mean of both.
    """
    both = [c for c in range(truth.shape[1]) if 0 < truth[:, c].sum() < len(truth)]
    columns = [1] if truth.shape[1] == 2 and len(both) == 2 else both
    if not columns:
        return {}

    def averaged(score: Callable[..., np.ndarray], columns: Sequence[int]) -> Weighted:
        def weighted(weights: np.ndarray) -> np.ndarray:
            each = np.stack([score(weights, truth[:, c] == 1, outputs[:, c]) for c in columns], axis=1)
            return _mean_where(np.isfinite(each), each)

        return weighted

    found = {"auroc": Metric(averaged(_auroc, columns), len(truth), used)}
    if len(both) <= MOST_CLASSES:
        found[SENSITIVITY] = Metric(averaged(_sensitivity, both), len(truth), used)
    return found


def _sensitivity(weights: np.ndarray, positive: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the largest share of positives (r,) above a threshold that at most a tenth of the others reach."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    good, bad = (np.cumsum(weights[:, order].astype(np.float64) * side[order], 1) for side in (positive, ~positive))
    is_allowed = bad[:, ends] <= (1 - SPECIFICITY) * (1 + ROUNDING) * bad[:, -1:]
    return np.asarray(np.where(is_allowed, good[:, ends], 0.0).max(1) / good[:, -1])


def _auroc(weights: np.ndarray, positive: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Mann-Whitney form with weights: the share of pairs ranked rightly, ties counting half.

    What is rarer of positives and others is set beside every example: of many classes each has few positives, and
    among themselves they win as often as they lose.
    """
    weights = weights.astype(np.float32)
    if 2 * positive.sum() > len(positive):
        positive, scores = ~positive, -scores
    if positive.sum() * len(positive) > PAIRS:
        return _ranked(weights, positive, scores)
    ahead = np.sign(scores[positive][:, None] - scores).astype(np.float32)
    good = weights[:, positive]
    total = good.sum(1, dtype=np.float64)
    won = ((weights @ ahead.T) * good).sum(1, dtype=np.float64)
    return np.asarray(0.5 + won / (total * (weights.sum(1, dtype=np.float64) - total)) / 2)


def _ranked(weights: np.ndarray, positive: np.ndarray, scores: np.ndarray) -> np.ndarray:
    order = np.argsort(scores, kind="stable")
    _, starts = np.unique(scores[order], return_index=True)
    ordered = weights[:, order].astype(np.float64)
    good, bad = ordered * positive[order], ordered * ~positive[order]
    if len(starts) < len(order):
        good, bad = (np.add.reduceat(one, starts, axis=1) for one in (good, bad))
    below = np.cumsum(bad, axis=1) - bad / 2
    return np.asarray((good * below).sum(1) / (good.sum(1) * bad.sum(1)))


def _calibration(hits: np.ndarray, confidence: np.ndarray, used: np.ndarray) -> Metric:
    """Expected calibration error over ten bins of equal count (Nguyen and O'Connor 2015); ties share a bin."""
    bins = np.eye(BINS, dtype=np.float32)[((midranks(confidence) - 0.5) * BINS / len(confidence)).astype(int)]
    gap = (hits - confidence).astype(np.float32)[:, None] * bins

    def weighted(weights: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(weights @ gap).sum(1) / weights.sum(1))

    return Metric(weighted, len(hits), used)
