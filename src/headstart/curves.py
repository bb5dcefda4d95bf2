"""Learning curves, and how many labels no transfer would need to come as far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from headstart.heads import as_met, fit_head
from headstart.mistakes import errors_of
from headstart.statistics import LEVEL, RESAMPLES, resampled_weights
from headstart.tasks import UNKNOWN, Task

SHARES = (0.125, 0.25, 0.5, 1.0)
"""Of what may be learned from: where a learning curve is measured."""

LEAST = 8
"""Examples that the shortest piece of a curve is learned from, at least."""

FEWEST_SIZES = 3
"""Points that a curve is drawn out from, at least."""

EXPONENTS = np.linspace(0.1, 1.2, 23)
"""How steeply errors may fall with labels."""

FLOORS = np.array([0.0, 0.2, 0.4, 0.6, 0.8])
"""What share of the last error may never go away."""

FARTHEST = 100.0
"""Times the labels at hand beyond which no curve is drawn out."""

VAGUE = 4.0
"""An interval whose ends differ by more than this factor says no more than its lower end."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Errors on examples not learned from, by how many labels were.

    Attributes:
        name: of the contender, in words.
        side: "with" transfer or "without".
        sizes: (s,) labels learned from, ascending.
        errors: (s, n) of each example: 1 for a wrong label, or the quadratic error.
    """

    name: str
    side: str
    sizes: np.ndarray
    errors: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """The mean error (s,) at each size."""
        return np.asarray(self.errors.mean(1))

    def as_dict(self) -> dict[str, Any]:
        """Return the curve as JSON holds it."""
        return {"name": self.name, "side": self.side, "labels": self.sizes.tolist(), "error": self.means.tolist()}


@dataclass(frozen=True)
class Labels:
    """How many labels no transfer would need to come as far as transfer did.

    Attributes:
        given: labels that transfer had.
        value: the estimate; None where no number of labels would do.
        low: the lower end of the 95 % interval.
        high: its upper end; None where the interval is open: more than `low`.
        by: whose learning curve says so.
    """

    given: int
    value: float | None
    low: float
    high: float | None
    by: str = "no transfer"

    @property
    def sentence(self) -> str:
        """What that saves, in a sentence."""
        if self.low > self.given:
            return f"to err as rarely, {self.by} would need {self.words} labels in place of {self.given:,}"
        if self.high is None:
            return f"whether labels are saved cannot be told: {self.by} would need {self.words}, beside {self.given:,}"
        return f"to err as rarely, {self.by} would need {self.words} labels, beside {self.given:,}"

    @property
    def words(self) -> str:
        """The number in words, such as "2,400 [1,700, 3,900]" or "more than 6,900"."""
        if self.high is None or self.value is None:
            return f"more than {_rounded(self.low):,}"
        return f"{_rounded(self.value):,} [{_rounded(self.low):,}, {_rounded(self.high):,}]"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        return asdict(self)


def learning_curve(
    name: str,
    side: str,
    features: Any,
    truth: np.ndarray,
    task: Task,
    folds: Sequence[np.ndarray],
    *,
    strength: float,
    balanced: bool = False,
    seed: int = 0,
    breaks: np.ndarray | None = None,
) -> Curve:
    """Fit heads on growing parts of each fold's other examples, and answer the fold.

    Args:
        name: what the contender is called.
        side: "with" transfer or "without".
        features: (n, d), a sparse matrix too.
        truth: (n,) or (n, c), as `Task.encode` gives it.
        task: what is predicted.
        folds: masks (n,) of what is held out.
        strength: the penalty C.
        balanced: weigh every class alike.
        seed: of the parts, each of which holds the smaller ones.
        breaks: (n,) the text that each word stands in, where words are tagged: texts are drawn whole.
    """
    whole = min(int((~held).sum()) for held in folds)
    sizes = sorted({max(LEAST, round(share * whole)) for share in SHARES if share * whole >= LEAST} | {whole})
    outputs = [np.zeros(truth.shape if task.form != "label" else (len(truth), task.n_outputs)) for _ in sizes]
    for number, held in enumerate(folds):
        order = _drawn(task, truth, np.flatnonzero(~held), (seed, number), breaks)
        for row, size in enumerate(sizes):
            fitted = np.sort(order[:size])
            head = fit_head(features, truth, task, strength, rows=fitted, balanced=balanced)
            outputs[row][held] = task.outputs(head.logits(as_met(features, held, fitted)))
    tested = np.logical_or.reduce(folds)
    errors = np.stack([errors_of(task, truth[tested], answered[tested]) for answered in outputs])
    return Curve(name, side, np.array(sizes), errors)


def _drawn(
    task: Task, truth: np.ndarray, places: np.ndarray, seed: tuple[int, int], breaks: np.ndarray | None
) -> np.ndarray:
    """Return places in an order every beginning of which has the classes in their shares, and each at least once."""
    dice = np.random.default_rng(seed)
    if breaks is not None:
        rank_of = dice.permutation(int(breaks.max()) + 1)
        return np.asarray(places[np.argsort(rank_of[breaks[places]], kind="stable")])
    order = dice.permutation(places)
    if task.form != "label":
        return order
    labels = truth[order]
    rank = np.empty(len(order))
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        rank[own] = (np.arange(len(own)) + (0.0 if label != UNKNOWN else 0.5)) / len(own)
    return np.asarray(order[np.argsort(rank, kind="stable")])


def labels_to_match(curve: Curve, reached: np.ndarray, given: int, units: np.ndarray) -> Labels | None:
    """Return how many labels a contender would need to err as rarely as another one did; None of too short a curve.

    Within what was measured its curve is read off; beyond, it is drawn out as a + b·m^(−c) with a, b ≥ 0 (Hestness et
    al. 2017, section 3) through its last point. What a and c are is not known from a few points: every pair that might
    be counts by how well it fits them, and in every bootstrap sample of whole units one of them is drawn.
    Samples are spread out as far as Nadeau and Bengio (2003, eq. 12) widen a variance over folds: their training
    examples are mostly the same, and others would have taught otherwise.
    Where the interval has no end, or its ends lie too far apart, its lower end is what is said.

    Args:
        curve: of the contender.
        reached: (n,) errors of the other one on the same examples.
        given: labels that it had.
        units: (n,) the number of the unit (group) of each example.
    """
    if len(curve.sizes) < FEWEST_SIZES:
        return None
    means, wanted = [curve.means[None]], [np.array([reached.mean()])]
    for weights in resampled_weights(units, RESAMPLES):
        shares = (weights / weights.sum(1, keepdims=True)).astype(np.float64)
        means.append(shares @ curve.errors.T)
        wanted.append(shares @ reached)
    wider = math.sqrt(1 + len(reached) / given)
    drawn, aims = (_widened(np.concatenate(one), wider) for one in (means, wanted))
    needed = _needed(curve.sizes, drawn, aims, len(np.unique(units)))
    low, value, high = np.quantile(needed, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2], method="nearest").tolist()
    farthest = FARTHEST * float(curve.sizes[-1])
    if high > min(farthest, VAGUE * low):
        return Labels(given, value if math.isfinite(value) else None, min(low, farthest), None, curve.name)
    return Labels(given, value, low, high, curve.name)


def _widened(samples: np.ndarray, times: float) -> np.ndarray:
    """Return errors (r, …) so many times as far from the first of them, none below 0."""
    return np.asarray(np.maximum(0.0, samples[:1] + times * (samples - samples[:1])))


def drawn_out(curve: Curve, sizes: Sequence[int], units: np.ndarray) -> np.ndarray:
    """Return the mean error (r, m) after so many labels, at least those of the curve's end, as it may turn out.

    Row 0 begins at the curve as it was measured; every other one is a bootstrap sample of whole units, drawn out as
    `labels_to_match` does. A curve of too few points is drawn out level.

    Args:
        curve: of the contender.
        sizes: (m,) numbers of labels.
        units: (n,) the number of the unit (group) of each example.
    """
    means = [curve.means[None]]
    for weights in resampled_weights(units, RESAMPLES):
        means.append((weights / weights.sum(1, keepdims=True)).astype(np.float64) @ curve.errors.T)
    end = curve.sizes[-1]
    drawn = _widened(np.concatenate(means), math.sqrt(1 + curve.errors.shape[1] / float(end)))
    if len(curve.sizes) < FEWEST_SIZES:
        return np.repeat(drawn[:, -1:], len(sizes), 1)
    steepness, floor = _shapes(curve.sizes, drawn, len(np.unique(units)))
    further = np.maximum(1.0, np.array(sizes) / end)[None]
    left = floor[:, None] + (1 - floor[:, None]) * further ** -steepness[:, None]
    return np.asarray(drawn[:, -1:] * left)


def _needed(sizes: np.ndarray, means: np.ndarray, wanted: np.ndarray, units: int) -> np.ndarray:
    """Return the labels (r,) at which curves with means (r, s) come to errors (r,); infinite where they never do."""
    falling = np.minimum.accumulate(means, axis=1)
    steepness, floor = _shapes(sizes, means, units)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = (wanted / falling[:, -1] - floor) / (1 - floor)
        beyond = np.where(left > 0, sizes[-1] * left ** (-1 / steepness), np.inf)
    return np.where(wanted >= falling[:, -1], _read_off(sizes, falling, wanted), beyond)


def _shapes(sizes: np.ndarray, means: np.ndarray, units: int) -> tuple[np.ndarray, np.ndarray]:
    """Return of curves with means (r, s) how steeply each may go on falling (r,), and what share never goes away (r,).

    Of every row one pair is drawn, by how well it fits the points before the last.
    """
    falling = np.minimum.accumulate(means, axis=1)
    spread = np.sqrt(np.maximum(means * (1 - np.minimum(means, 1)), (0.5 / units) ** 2) / units)
    last = falling[:, -1:]
    exponents, floors = (grid.ravel() for grid in np.meshgrid(EXPONENTS, FLOORS))
    rise = (sizes[:-1] / sizes[-1])[:, None] ** -exponents
    drawn = last[..., None] * (floors + (1 - floors) * rise)
    misfit = (((falling[:, :-1, None] - drawn) / spread[:, :-1, None]) ** 2).sum(1)
    chances = np.exp(-0.5 * (misfit - misfit.min(1, keepdims=True)))
    chances /= chances.sum(1, keepdims=True)
    dice = np.random.default_rng(len(means)).random((len(means), 1))
    place = np.minimum((chances.cumsum(1) < dice).sum(1), len(exponents) - 1)
    return exponents[place], floors[place]


def _read_off(sizes: np.ndarray, falling: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return where (r,) falling curves (r, s) come to errors (r,) within what was measured; its ends otherwise."""
    rows = np.arange(len(falling))
    at = np.minimum((falling > wanted[:, None]).sum(1), len(sizes) - 1)
    before = np.maximum(at - 1, 0)
    high, low = falling[rows, before], falling[rows, at]
    share = np.where(high > low, (high - wanted) / np.where(high > low, high - low, 1.0), 1.0)
    logs = np.log(sizes)
    return np.asarray(np.exp(logs[before] + np.clip(share, 0, 1) * (logs[at] - logs[before])))


def _rounded(number: float) -> int:
    """Return a number in two digits."""
    if number < 10:
        return math.ceil(number)
    digits = math.floor(math.log10(number)) - 1
    return int(round(number, -digits))
