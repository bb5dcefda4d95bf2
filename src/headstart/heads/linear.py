"""Linear heads: on fixed features, by L-BFGS or in closed form; and one that goes on learning."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
from scipy.sparse import issparse
from torch import Tensor, nn

from headstart.heads.chunks import KEPT, SMALLEST_SPREAD, Standardised, copied, spans
from headstart.heads.closed import SHRINKAGE, Sums, discriminants, naive_bayes, ridge, sums_of
from headstart.heads.logistic import Problem, class_weights
from headstart.heads.paths import as_it_is, moved, widened
from headstart.heads.spanned import Spanned
from headstart.tasks import UNKNOWN, Task

__all__ = ["ABSENT", "MANY", "SHRINKAGE", "Head", "LinearHead", "Parts", "as_met", "fit_head", "imbalance"]

Scale: TypeAlias = float | np.ndarray
"""Of all outputs, or of each (c,)."""

ABSENT = -30.0
"""The logit of a class that no training example has."""

TOLERANCE = 1e-4
MANY = 200
"""From this many classes on heads are found in closed form: the time L-BFGS takes grows with their number."""

LEAST_WIDTH = 0.1


@dataclass(frozen=True, eq=False)
class LinearHead:
    """Logits = features · weightᵀ + bias.

    Attributes:
        weight: (c, d).
        bias: (c,).
    """

    weight: np.ndarray
    bias: np.ndarray

    def part(self, span: slice) -> LinearHead:
        """Return the head of some of the outputs: numbers in double precision where this one has them so."""
        return LinearHead(self.weight[span], self.bias[span])

    @classmethod
    def as_it_is(cls, d: int, task: Task) -> LinearHead:
        """Return the head that gives a network's own forecast, which its features (n, d) begin with."""
        return cls(as_it_is(d, task.horizon), np.zeros(task.n_outputs, dtype=np.float32))

    def widened(self, factor: float) -> LinearHead:
        """Return the head of forecasts whose quantiles lie so many times as far from their median."""
        return LinearHead(*widened(self.weight, self.bias, factor))

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return (n, c) from features (n, d), which are read in chunks."""
        if issparse(features):
            return np.asarray(features @ self.weight.T + self.bias)
        weight, bias = torch.from_numpy(self.weight), torch.from_numpy(self.bias)
        logits = torch.empty(len(features), len(bias), dtype=weight.dtype)
        for span in spans(*features.shape):
            rows = copied(features[span], weight.dtype)
            torch.addmm(bias, rows, weight.T, out=logits[span])
        return logits.numpy()


class Head(nn.Module):
    """A linear head on standardised features that a network learns together with its stages.

    It stands in the target's own scale from outside, and in units of the target's spread inside.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, mean: Tensor, spread: Tensor, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (n, c) from features (n, d)."""
        return nn.functional.linear((features - self.mean) / self.spread, self.weight, self.bias)

    @classmethod
    def on(cls, features: np.ndarray, start: LinearHead, centre: Scale = 0.0, spread: Scale = 1.0) -> Head:
        """Return a head for features (n, d) that begins as a linear head; its logits are (linear - centre) / spread.

        Features that hardly vary are not blown up: none is scaled by less than a tenth of what is usual.
        """
        mean, width = features.mean(0), features.std(0)
        width = np.maximum(width, max(SMALLEST_SPREAD, LEAST_WIDTH * float(np.sqrt((width**2).mean()))))
        weight = start.weight * width / np.reshape(spread, (-1, 1))
        bias = (start.bias + start.weight @ mean - centre) / spread
        return cls(*(torch.tensor(array, dtype=torch.float32) for array in (mean, width, weight, bias)))

    @classmethod
    def blank(cls, d: int, c: int) -> Head:
        """Return a head that gives zeros (n, c), on features (n, d) as they are."""
        return cls(torch.zeros(d), torch.ones(d), torch.zeros(c, d), torch.zeros(c))

    @classmethod
    def as_it_is(cls, d: int, task: Task) -> Head:
        """Return a head that gives a network's own forecast, on features (n, d) as they are."""
        weight = torch.from_numpy(LinearHead.as_it_is(d, task).weight)
        return cls(torch.zeros(d), torch.ones(d), weight, torch.zeros(task.n_outputs))

    def widened(self, k: int) -> Head:
        """Return a head for k more features, as they are, which counts them for nothing yet."""
        c = len(self.weight)
        return Head(
            torch.cat([self.mean, torch.zeros(k)]),
            torch.cat([self.spread, torch.ones(k)]),
            torch.cat([self.weight.detach(), torch.zeros(c, k)], 1),
            self.bias.detach(),
        )

    def as_linear(self, centre: Scale = 0.0, spread: Scale = 1.0) -> LinearHead:
        """Return the head as a linear one, with answers in the target's own scale."""
        mean, width, weight, bias = (
            one.detach().cpu().double().numpy() for one in (self.mean, self.spread, self.weight, self.bias)
        )
        weight = weight / width * np.reshape(spread, (-1, 1))
        bias = bias * spread + centre - weight @ mean
        is_scaled = bool(np.any(centre) or np.any(np.asarray(spread) != 1.0))
        precision = np.float64 if is_scaled else np.float32
        return LinearHead(weight.astype(precision), bias.astype(precision))


def fit_head(
    features: np.ndarray,
    truth: np.ndarray,
    task: Task,
    strength: float,
    *,
    rows: np.ndarray | None = None,
    balanced: bool = False,
    tolerance: float = TOLERANCE,
) -> LinearHead:
    """Fit a linear head with an L2 penalty on standardised features.

    Of `MANY` classes or more the head is that of normal distributions around the classes' means with one covariance
    (linear discriminant analysis, shrunk towards the identity: Friedman 1989); on sparse counts, of naive Bayes.

    Args:
        features: (n, d), read in chunks; a sparse matrix is taken as it is, not standardised.
        truth: (n,) label indices, (n, c) zeros and ones, (n,) numbers, or (n, h + 3) futures, as `Task.encode`
            gives them.
        task: what is predicted.
        strength: C, the inverse of the penalty (the larger, the freer): the penalty is |w|²/2C beside the summed loss.
        rows: the examples to fit on, as places or as a mask (n,); None is all.
        balanced: weigh every class alike, whatever its size (classification).
        tolerance: of the gradient at which L-BFGS stops.

    Returns:
        The head, with the standardisation folded into its weights.
    """
    fitted = np.ones(len(truth), dtype=bool)
    if rows is not None:
        fitted = np.isin(np.arange(len(truth)), rows) if rows.dtype != bool else rows
    return Parts(features, truth, task, [fitted]).heads(strength, balanced=balanced, tolerance=tolerance)[0]


def as_met(features: Any, asked: np.ndarray, fitted: np.ndarray) -> Any:
    """Return rows (m, d) that are asked as a head meets them that was fitted on others.

    Of sparse rows only what occurs there is left, at unit length again: a word that no fitted text holds weighs
    nothing, and would only make what the others say of a text the less.

    Args:
        features: (n, d), dense or sparse.
        asked: their places, or a mask (n,).
        fitted: the places that the head was fitted on, or a mask (n,).
    """
    rows = features[asked]
    if not issparse(features):
        return rows
    from sklearn.preprocessing import normalize  # a model that only answers needs none of scikit-learn

    occurs = np.asarray((features[fitted] != 0).sum(0)).ravel() > 0
    return normalize(rows.multiply(occurs).tocsr())


class Parts:
    """Examples of which heads are fitted on several parts at once; what they share is computed once.

    Args:
        features: (n, d), as `fit_head` takes them.
        truth: as `Task.encode` gives it.
        task: what is predicted.
        parts: masks (n,).
    """

    def __init__(self, features: np.ndarray, truth: np.ndarray, task: Task, parts: Sequence[np.ndarray]) -> None:
        self.task, self.given = task, truth
        self.scaled = Standardised(features, np.stack(parts, 1))
        self.truth = truth[self.scaled.places]
        known = self.truth != UNKNOWN if task.form == "label" else np.ones(len(self.truth), dtype=bool)
        self.members = self.scaled.parts.numpy() & known[:, None]
        self._sums: dict[int, Sums] = {}
        self._last: tuple[float, tuple[Tensor, Tensor]] | None = None

    def heads(self, strength: float, *, balanced: bool = False, tolerance: float = TOLERANCE) -> list[LinearHead]:
        """Return the head of each part."""
        places = range(self.scaled.parts.shape[1])
        if self.task.form == "path":
            return [self._of_paths(part, strength) for part in places]
        if self.task.form == "number":
            return [self._of_numbers(part, strength) for part in places]
        if self.task.form == "label" and self.task.n_outputs >= MANY:
            return [self._of_many(part, strength, balanced=balanced) for part in places]
        return self._logistic(strength, balanced=balanced, tolerance=tolerance)

    def _logistic(self, strength: float, *, balanced: bool, tolerance: float) -> list[LinearHead]:
        """Fit by L-BFGS, from where a stricter penalty led to.

        A penalty on both of two classes is half of one on their difference: they get C/2.
        """
        c = self.task.n_outputs
        if self.task.form == "labels":
            truth, weights = self.truth, self.members
            counts = weights.T.astype(np.float64) @ truth
            learned = (counts > 0) & (counts < weights.sum(0)[:, None])
            constant, strengths = np.where(counts > 0, -ABSENT, ABSENT), np.full(len(counts), strength)
        else:
            truth = np.maximum(self.truth, 0)
            weights, counts = class_weights(truth, self.members, c, balanced=balanced)
            learned, constant = counts > 0, np.full(counts.shape, ABSENT)
            strengths = np.where(learned.sum(1) == 2, strength / 2, strength)
        given = (torch.from_numpy(array) for array in (truth, weights, learned, strengths))
        start = self._last[1] if self._last is not None and self._last[0] <= strength else None
        if start is None and self.scaled.kept is None:
            start = self._begun(strength, balanced=balanced, tolerance=tolerance)
        spanned = self._spanned
        own = self.scaled.own if spanned is None else torch.ones(len(learned), spanned.d)
        weight, bias = Problem(spanned or self.scaled, own, *given).solved(tolerance, start)
        self._last = strength, (weight, bias)
        weight = weight if spanned is None else spanned.in_full(weight)
        bias = torch.where(torch.from_numpy(learned), bias.double(), torch.from_numpy(constant))
        return [self._unscaled(part, weight[part], bias[part]) for part in range(len(bias))]

    @cached_property
    def _spanned(self) -> Spanned | None:
        return Spanned.of(self.scaled)

    def _begun(self, strength: float, *, balanced: bool, tolerance: float) -> tuple[Tensor, Tensor]:
        """Return weights (p, c, d) and biases (p, c) found on few enough examples to keep, under a like penalty."""
        step = math.ceil(self.scaled.n * self.scaled.d / KEPT)
        few = [self.scaled.places[part.numpy()][::step] for part in self.scaled.parts.T]
        found = [
            fit_head(
                self.scaled.features,
                self.given,
                self.task,
                strength * step,
                rows=rows,
                balanced=balanced,
                tolerance=tolerance,
            )
            for rows in few
        ]
        weight = torch.from_numpy(np.stack([head.weight for head in found])).double()
        bias = torch.from_numpy(np.stack([head.bias for head in found])).double()
        bias = torch.where(bias.abs() == -ABSENT, 0.0, bias + weight @ self.scaled.mean)
        return weight * (self.scaled.spread / self.scaled.own)[:, None], bias

    def _of_numbers(self, part: int, strength: float) -> LinearHead:
        """Fit on targets of mean 0 and spread 1, so that large numbers lose no digits."""
        fitted = self.truth[self.members[:, part]]
        centre, spread = float(fitted.mean()), float(fitted.std()) or 1.0
        numbers = (self.truth - centre) / spread
        if self.scaled.sparse:
            from sklearn.linear_model import Ridge  # a model that only answers needs none of scikit-learn

            rows = self.scaled.rows_of(self.members[:, part])
            model = Ridge(alpha=1 / strength).fit(rows, numbers[self.members[:, part]])
            weight, bias = torch.from_numpy(model.coef_[None]), torch.tensor([float(model.intercept_)])
        else:
            table = torch.from_numpy(np.stack([np.ones(len(numbers)), numbers], 1))
            weight, bias = ridge(self._sums_of(part, table.__getitem__), strength)
        return self._unscaled(part, weight * spread, bias.double() * spread + centre)

    def _of_paths(self, part: int, strength: float) -> LinearHead:
        rows = self.scaled.places[self.members[:, part]]
        return LinearHead(*moved(self.scaled.features[rows], self.given[rows], self.task, strength))

    def _of_many(self, part: int, strength: float, *, balanced: bool) -> LinearHead:
        """Fit in closed form; of sparse counts the freer, the less they are smoothed."""
        c, member = self.task.n_outputs, self.members[:, part]
        seen, place = np.unique(self.truth[member], return_inverse=True)
        weight, bias = torch.zeros(c, self.scaled.d, dtype=torch.float64), torch.full((c,), ABSENT, dtype=torch.float64)
        if self.scaled.sparse:
            found = naive_bayes(self.scaled.rows_of(member), place, strength, balanced=balanced)
        else:
            position = torch.zeros(len(member), dtype=torch.int64)
            position[torch.from_numpy(member)] = torch.from_numpy(place)
            sums = self._sums_of(part, lambda span: nn.functional.one_hot(position[span], len(seen)))
            found = discriminants(sums, strength, balanced=balanced)
        weight[seen], bias[seen] = found
        return self._unscaled(part, weight, bias)

    def _sums_of(self, part: int, target: Callable[[slice], Tensor]) -> Sums:
        if part not in self._sums:
            self._sums[part] = sums_of(self.scaled, part, torch.from_numpy(self.members[:, part]), target)
        return self._sums[part]

    def _unscaled(self, part: int, weight: Tensor, bias: Tensor) -> LinearHead:
        weight = weight.contiguous().double() * self.scaled.own[part] / self.scaled.spread
        bias = bias - weight @ self.scaled.mean
        precision = np.float64 if self.task.form == "number" else np.float32
        return LinearHead(weight.numpy().astype(precision), bias.numpy().astype(precision))


def imbalance(truth: np.ndarray) -> float:
    """Return how many times larger the largest class is than the smallest that occurs."""
    _, counts = np.unique(truth[truth != UNKNOWN], return_counts=True)
    return float(counts.max() / counts.min())
