"""Thresholds: from which probability on to answer with a label, where the two mistakes cost unlike much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.comparison.proof import Tested

RATIOS = (1, 2, 5, 10, 20)


def best_threshold(scores: np.ndarray, truth: np.ndarray, ratio: float) -> float:
    """Return the threshold in [0, 1] that costs the least: a miss so many false alarms (Elkan 2001).

    Args:
        scores: (n,) probabilities of the positive label.
        truth: (n,) whether it is the true one.
        ratio: what a miss costs, in false alarms.
    """
    tried = np.concatenate([[0.0], np.unique(scores), [1.0]])
    middle = (tried[1:] + tried[:-1]) / 2
    costs = [cost_at(scores, truth, threshold, ratio)[2] for threshold in middle]
    best = np.flatnonzero(np.array(costs) == min(costs))
    return float(middle[best[len(best) // 2]])


def cost_at(scores: np.ndarray, truth: np.ndarray, threshold: float, ratio: float) -> tuple[int, int, float]:
    """Return misses, false alarms, and what they cost together in false alarms."""
    said = scores >= threshold
    missed, alarms = int((truth & ~said).sum()), int((~truth & said).sum())
    return missed, alarms, ratio * missed + alarms


def thresholds(tested: Tested, ratios: Sequence[int] = RATIOS) -> list[dict[str, Any]]:
    """Return a threshold for each cost of a miss, chosen on held-out training examples, and its cost in the test."""
    assert tested.held_out is not None
    outputs, truth = tested.held_out
    rows = []
    for ratio in ratios:
        threshold = best_threshold(outputs[:, 1], truth == 1, ratio)
        missed, alarms, cost = cost_at(tested.outputs[:, 1], tested.truth == 1, threshold, ratio)
        plain = cost_at(tested.outputs[:, 1], tested.truth == 1, 0.5, ratio)[2]
        rows.append(
            {
                "ratio": ratio,
                "threshold": f"{threshold:.2f}",
                "missed": missed,
                "alarms": alarms,
                "cost": f"{cost:,.0f}",
                "plain": f"{plain:,.0f}",
            }
        )
    return rows
