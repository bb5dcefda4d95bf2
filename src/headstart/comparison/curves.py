"""Learning curves, and how many labels no transfer would need to come as far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from headstart import metrics
from headstart.heads import fit_head
from headstart.statistics import FEWER_RESAMPLES, LEVEL, resampled_weights
from headstart.tasks import UNKNOWN, Task

SHARES = (0.125, 0.25, 0.5, 1.0)
"""Of what may be learned from: where a learning curve is measured."""

LEAST = 8
"""Examples that the shortest piece of a curve is learned from, at least."""

EXPONENTS = np.linspace(0.05, 1.5, 30)
FARTHEST = 100.0
"""Times the labels at hand beyond which no curve is drawn out."""

VAGUE = 4.0
"""An interval whose ends differ by more than this factor says no more than its lower end."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Errors on examples not learned from, by how many labels were.

    Attributes:
        name: of the contender.
        sizes: (s,) labels learned from, ascending.
        errors: (s, n) of each example: 1 for a wrong label, or the quadratic error.
    """

    name: str
    sizes: np.ndarray
    errors: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """The mean error (s,) at each size."""
        return np.asarray(self.errors.mean(1))

    def as_dict(self) -> dict[str, Any]:
        """Return the curve as JSON holds it."""
        return {"name": self.name, "labels": self.sizes.tolist(), "error": self.means.tolist()}


@dataclass(frozen=True)
class Labels:
    """How many labels no transfer would need to come as far as transfer did.

    Attributes:
        given: labels that transfer had.
        value: the estimate; None where no number of labels would do.
        low: the lower end of the 95 % interval.
        high: its upper end; None where the interval is open: more than `low`.
    """

    given: int
    value: float | None
    low: float
    high: float | None

    @property
    def words(self) -> str:
        """The number in words, such as "2,400 [1,700, 3,900]" or "more than 6,900"."""
        if self.high is None or self.value is None:
            return f"more than {_rounded(self.low):,}"
        return f"{_rounded(self.value):,} [{_rounded(self.low):,}, {_rounded(self.high):,}]"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        return asdict(self)


def errors_of(task: Task, truth: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return (n,) 1 for each wrong label; where there are no single labels, the quadratic error."""
    if task.kind == "classification":
        return np.asarray(task.decide(outputs) != truth, dtype=np.float64)
    return metrics.quadratic_errors(task, truth, outputs)


def learning_curve(
    name: str,
    features: Any,
    truth: np.ndarray,
    task: Task,
    folds: Sequence[np.ndarray],
    *,
    strength: float,
    balanced: bool = False,
    seed: int = 0,
) -> Curve:
    """Fit heads on growing parts of each fold's other examples, and answer the fold.

    Args:
        name: what the contender is called.
        features: (n, d), a sparse matrix too.
        truth: (n,) or (n, c), as `Task.encode` gives it.
        task: what is predicted.
        folds: masks (n,) of what is held out.
        strength: the penalty C.
        balanced: weigh every class alike.
        seed: of the parts, each of which holds the smaller ones.
    """
    whole = min(int((~held).sum()) for held in folds)
    sizes = sorted({max(LEAST, round(share * whole)) for share in SHARES if share * whole >= LEAST} | {whole})
    errors = np.zeros((len(sizes), len(truth)))
    for number, held in enumerate(folds):
        order = _drawn(task, truth, np.flatnonzero(~held), (seed, number))
        for row, size in enumerate(sizes):
            head = fit_head(features, truth, task, strength, rows=np.sort(order[:size]), balanced=balanced)
            errors[row, held] = errors_of(task, truth[held], task.outputs(head.logits(features[held])))
    tested = np.logical_or.reduce(folds)
    return Curve(name, np.array(sizes), errors[:, tested])


def _drawn(task: Task, truth: np.ndarray, places: np.ndarray, seed: tuple[int, int]) -> np.ndarray:
    """Return places in an order every beginning of which has the classes in their shares, and each at least once."""
    dice = np.random.default_rng(seed)
    order = dice.permutation(places)
    if task.kind != "classification":
        return order
    labels = truth[order]
    rank = np.empty(len(order))
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        rank[own] = (np.arange(len(own)) + (0.0 if label != UNKNOWN else 0.5)) / len(own)
    return np.asarray(order[np.argsort(rank, kind="stable")])


def labels_to_match(curve: Curve, reached: np.ndarray, given: int, units: np.ndarray) -> Labels:
    """Return how many labels a contender would need to err as rarely as another one did.

    Its curve is drawn out as a + b·m^(−c) with a, b ≥ 0 (Hestness et al. 2017, section 3), anew in every bootstrap
    sample of whole units. Where the interval has no end, or its ends lie too far apart, its lower end is what is said.

    Args:
        curve: of the contender.
        reached: (n,) errors of the other one on the same examples.
        given: labels that it had.
        units: (n,) the number of the unit (group) of each example.
    """
    estimate = float(_needed(curve.sizes, curve.means[None], np.array([reached.mean()]))[0])
    found = []
    for weights in resampled_weights(units, FEWER_RESAMPLES):
        shares = weights / weights.sum(1, keepdims=True)
        found.append(_needed(curve.sizes, shares @ curve.errors.T, shares @ reached))
    low, high = np.quantile(np.concatenate(found), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
    low, farthest = min(low, estimate), FARTHEST * float(curve.sizes[-1])
    if max(high, estimate) > min(farthest, VAGUE * low):
        return Labels(given, estimate if math.isfinite(estimate) else None, float(min(low, farthest)), None)
    return Labels(given, estimate, float(low), float(max(high, estimate)))


def _needed(sizes: np.ndarray, means: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the labels (r,) at which curves with means (r, s) come to errors (r,); infinite where they never do."""
    best = np.full(len(means), np.inf)
    needed = np.full(len(means), np.inf)
    for exponent in EXPONENTS:
        x = (sizes / sizes[-1]) ** -exponent
        centred = x - x.mean()
        slope = np.maximum(0.0, (means @ centred) / (centred @ centred))
        start = means.mean(1) - slope * x.mean()
        through = (means @ x) / (x @ x)
        slope, start = np.where(start < 0, through, slope), np.maximum(start, 0.0)
        squares = ((means - start[:, None] - slope[:, None] * x) ** 2).sum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = ((wanted - start) / slope) ** (-1 / exponent)
        reach = np.where((wanted > start) & (slope > 0), factor * sizes[-1], np.inf)
        closer = squares < best - 1e-15
        best, needed = np.where(closer, squares, best), np.where(closer, reach, needed)
    return needed


def _rounded(number: float) -> int:
    """Return a number in two digits."""
    if number < 10:
        return math.ceil(number)
    digits = math.floor(math.log10(number)) - 1
    return int(round(number, -digits))
