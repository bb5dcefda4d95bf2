"""Telling: what numbers, contenders and choices are called where a person reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headstart.metrics import BOUNDED
from headstart.paired import Difference
from headstart.statistics import Measure
from headstart.wording import count

STRATEGIES = {
    "majority": "majority",
    "classical": "classical",
    "zeroshot": "the source as it is",
    "probe": "probe",
    "finetune": "fine-tuning",
    "lora": "LoRA",
    "refine": "REFINE",
    "scratch": "from scratch",
}
LOCAL = {
    "random_walk": "random walk",
    "drift": "random walk with drift",
    "seasonal_naive": "seasonal random walk",
    "ets": "ETS",
    "theta": "Theta",
    "arima": "ARIMA",
    "classical": "ETS, Theta, ARIMA combined",
}
"""What forecasts a history by itself."""

OF_TEXTS = {
    "majority": "the first sentences",
    "centroid": "the centroid",
    "classical": "sentences by words",
    "oracle": "the best extract",
}
"""What baselines and the oracle are called where texts are summarized."""

TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "auroc": "AUROC",
    "sensitivity_90": "sensitivity at 90 %",
    "log_loss": "log loss ↓",
    "calibration_error": "calibration ↓",
    "exact_match": "exact match",
    "entity_f1": "entity F1",
    "entity_precision": "entity precision",
    "entity_recall": "entity recall",
    "brier_score": "Brier score ↓",
    "rougeL": "ROUGE-L",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "length": "length / reference's",
    "copied": "words copied",
    "novel_bigrams": "novel bigrams",
    "r2": "R²",
    "mae": "mean absolute error ↓",
    "rmse": "root mean squared error ↓",
    "mase": "MASE ↓",
    "smape": "sMAPE ↓",
    "weighted_quantile_loss": "weighted quantile loss ↓",
    "coverage_80": "in the 80 % interval",
    "direction": "direction of change",
}


def measure_in_words(metric: str, measure: Measure | None) -> str:
    """Say a measure in 17 characters: shares in per cent, the rest in three digits."""
    if measure is None:
        return "–"
    if metric in BOUNDED or metric == "calibration_error":
        return percent(measure.value, measure.low, measure.high)
    if metric == "log_loss":
        return f"{measure.value:.2f} [{measure.low:.2f}, {measure.high:.2f}]"
    return f"{measure.value:.3g} [{measure.low:.3g}, {measure.high:.3g}]"


def percent(value: float, low: float, high: float) -> str:
    """Say a share and its interval in per cent."""
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def gap(ahead: Difference) -> str:
    """Say how far two shares lie apart, without the sign, in points: "8.9 points [7.5, 10.4]"."""
    value, low, high = (100 * one for one in (ahead.value, ahead.low, ahead.high))
    if value < 0:
        value, low, high = -value, -high, -low
    return f"{value:.1f} points [{low:.1f}, {high:.1f}]"


def standing(ahead: Difference) -> str:
    """Say which way two lie apart."""
    return "behind" if ahead.value < 0 else "ahead of"


def arm_in_words(arm: dict[str, Any], words: str = ", cut {}") -> str:
    """Name a contender, and where it is cut; nothing of one that is read at the top, or where there is none.

    One that was given up says so, and what on.
    """
    own = STRATEGIES
    if arm.get("headline") == "mase":
        own = {**STRATEGIES, "majority": arm["word"], "classical": LOCAL["classical"]}
    name = arm["word"] if arm["strategy"] == "finetune" else own[arm["strategy"]]
    place = words.format(arm["cut"]) if isinstance(arm["cut"], int) else ""
    if not arm.get("given_up"):
        return f"{name}{place}"
    return f"{name}{place}, given up after {count(arm['metrics'][arm['headline']]['n'], 'example')}"


def why_chosen(arms: Sequence[dict[str, Any]]) -> str:
    """Say in a sentence why the chosen contender was chosen, by the rule that chose: see `arms.choose`.

    The first is taken that is within one standard error of the best; what was given up takes no part. Where something
    else decided, the contender says it itself ("why").
    """
    arms = [arm for arm in arms if arm["chosen"] or not arm.get("given_up")]
    names = [arm_in_words(arm, " (cut {})") for arm in arms]
    chosen = next(place for place, arm in enumerate(arms) if arm["chosen"])
    own, best = arms[chosen], min(range(len(arms)), key=lambda place: float(arms[place]["behind"]))
    by_rule = next((place for place, arm in enumerate(arms) if arm["behind"] <= arm["standard_error"]), best)
    if "why" in own:
        words = f"{names[chosen]} is taken: {own['why']}"
        return f"{words}; ± is one standard error" if "±" in words else words
    if chosen != by_rule:
        return f"{names[chosen]} is taken, though by the errors alone it would have been {names[by_rule]}"
    if chosen != best:
        behind, error = _apart(own)
        return (
            f"{names[best]} was better by {behind}, no more than one standard error (± {error}): "
            f"{names[chosen]} is taken, which comes first"
        )
    if not chosen:
        return f"{names[chosen]} is taken: it comes first, and none was better"
    near = min(range(chosen), key=lambda place: float(arms[place]["behind"]))
    behind, error = _apart(arms[near])
    return (
        f"{names[chosen]} is taken: {names[near]}, which comes before it, was worse by {behind}, "
        f"more than one standard error (± {error})"
    )


def _apart(arm: dict[str, Any]) -> tuple[str, str]:
    """Return by how much a contender is behind, and its standard error, in as many digits as tell them apart."""
    behind, error = float(arm["behind"]), float(arm["standard_error"])
    said = [(f"{behind:.{digits}f}", f"{error:.{digits}f}") for digits in range(4, 16)]
    return next((one for one in said if one[0] != one[1]), said[0] if behind == error else (repr(behind), repr(error)))
