"""Affinity: whether targets pull one shared layer the same way, from cached features, before anything is learned."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.cluster.hierarchy import average, fcluster
from scipy.spatial.distance import squareform

from headstart.adaptation import Adapted
from headstart.data import spread
from headstart.heads import LinearHead
from headstart.strategies import HEAD_ONLY, Probe
from headstart.tasks import UNKNOWN, Task

AT_ODDS = -0.05
"""Cosine below which two targets are not proposed to share a network: chance alone stays well above."""

MOST = 5_000
"""Examples of a target that are looked at, at most."""

SMALLEST = 1e-12


def affinities(alone: Mapping[str, Adapted]) -> np.ndarray:
    """Return the cosines (t, t) between what targets would do to one linear layer on the features, which all share.

    Of a layer x → Mx that begins as the identity, under each target's own head, it is the gradient of the target's
    loss at examples that the head had not learned from: as Yu et al. (2020) and Fifty et al. (2021) compare gradients,
    without training. Targets need no example in common. A target without such examples has no affinity: 0.

    Args:
        alone: what came of each target by itself, with the probe that it began from.
    """
    pulls = [_pull(one) for one in alone.values()]
    norms = np.array([max(float(np.linalg.norm(one)), SMALLEST) for one in pulls])
    cosines = np.array([[float((one * other).sum()) for other in pulls] for one in pulls]) / np.outer(norms, norms)
    np.fill_diagonal(cosines, 1.0)
    return np.asarray(np.clip(cosines, -1.0, 1.0))


def proposed(cosines: np.ndarray) -> list[list[int]]:
    """Return which targets (places) should share a network: groups that are on average not at odds."""
    if len(cosines) < 2:
        return [[place] for place in range(len(cosines))]
    apart = squareform(1 - (cosines + cosines.T) / 2, checks=False)
    groups = fcluster(average(np.maximum(apart, 0.0)), 1 - AT_ODDS, criterion="distance")
    return [np.flatnonzero(groups == number).tolist() for number in dict.fromkeys(groups.tolist())]


def _pull(alone: Adapted) -> np.ndarray:
    """Return the mean gradient (d, d) of a target's loss by the shared layer."""
    ground, probe = alone.ground, alone.choice.probe
    features = ground.features
    strategy = alone.choice.strategy
    if isinstance(strategy, HEAD_ONLY) and strategy != Probe():
        probe = ground.probe(Probe())
    outputs, seen = probe.outputs, probe.seen
    if not seen.any():
        return np.zeros((features.shape[1], features.shape[1]))
    places = np.flatnonzero(seen)
    places = places[spread(len(places), MOST)]
    rows = np.asarray(features[places], dtype=np.float64)
    width = rows.std(0)
    width[width < SMALLEST] = 1.0
    scaled = (rows - rows.mean(0)) / width
    residuals = _residuals(ground.task, ground.truth[places], outputs[places])
    pull = (residuals @ (_own(probe.head, ground.task, ground.truth) * width)).T @ scaled / len(rows)
    return np.asarray(pull)


def _own(head: LinearHead, task: Task, truth: np.ndarray) -> np.ndarray:
    """Return a head's weights (c, d): a number's in units of its spread."""
    scale = float(truth.std()) or 1.0 if task.form == "number" else 1.0
    return np.asarray(head.weight, dtype=np.float64) / scale


def _residuals(task: Task, truth: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return the gradient (n, c) of the loss by the logits: what is answered minus the truth."""
    if task.form == "number":
        return np.asarray(((outputs - truth) / (float(truth.std()) or 1.0))[:, None])
    if task.form == "labels":
        return np.asarray((outputs - truth) / outputs.shape[1])
    known = truth != UNKNOWN
    wanted = np.zeros_like(outputs)
    wanted[np.flatnonzero(known), truth[known]] = 1.0
    return np.asarray(np.where(known[:, None], outputs - wanted, 0.0))
