"""Logistic heads: the penalised log loss, minimised by L-BFGS, for all parts of the examples at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from headstart.heads.chunks import Standardised, summed, times
from headstart.heads.spanned import Spanned

ITERATIONS = 500
HISTORY = 10
SMALLEST_CHANGE = 1e-12
AT_ONCE = 2**22
"""Weights in all parts, at most, that are found at once: L-BFGS keeps twenty times as many numbers."""

NEVER = -1e30
"""Added to the logit of a class that a part does not hold: its probability is exactly 0."""

VECTOR = 16
"""Classes from which torch's own log_softmax, which works in vectors of so many, is the faster one."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What p heads of c classes or labels are fitted on.

    Attributes:
        examples: n standardised examples, or sparse ones in what they span.
        own: (p, d) by what the features of each part are multiplied.
        truth: (n,) label indices, or (n, c) zeros and ones, where every label is a question of its own.
        weights: (n, p) how much each example counts in each part; 0 where it is not in it.
        open: (p, c) which classes or labels there is something to learn of.
        strengths: (p,) of the inverse penalty C.
    """

    examples: Standardised | Spanned
    own: Tensor
    truth: Tensor
    weights: Tensor
    open: Tensor
    strengths: Tensor

    def solved(self, tolerance: float, start: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Return weights (p, c, d) and biases (p, c), found from such a start or from zero by L-BFGS.

        It is torch's, after Nocedal and Wright 2006, algorithms 7.5 and 3.5. It moves in coordinates in which the loss
        is about equally steep every way, as far as that is soon seen, so that it arrives early; and it stops where no
        entry of the gradient of the mean loss in them is above `tolerance`.
        """
        (p, c), d = self.open.shape, self.examples.d
        weight, bias = start or (torch.zeros(p, c, d), torch.zeros(p, c))
        if p > 1 and p * c * d > AT_ONCE:
            alone = [self.of(k).solved(tolerance, (weight[[k]], bias[[k]])) for k in range(p)]
            return torch.cat([one for one, _ in alone]), torch.cat([one for _, one in alone])
        weight, bias = (one.to(self.examples.precision, copy=True) for one in (weight, bias))
        level, root = self._level, math.sqrt(self._steepness)
        bias *= root
        if level is not None:
            flat = torch.linalg.solve_triangular(level, weight.view(p * c, d), upper=False, left=False)
            weight = flat.contiguous().view(p, c, d)
        descent = torch.optim.LBFGS(
            [weight, bias],
            max_iter=ITERATIONS,
            tolerance_grad=tolerance,
            tolerance_change=SMALLEST_CHANGE,
            history_size=HISTORY,
            line_search_fn="strong_wolfe",
        )

        def evaluate() -> float:
            loss, slope, shift = self.evaluated(weight if level is None else weight @ level, bias / root)
            weight.grad, bias.grad = slope if level is None else slope @ level.T, shift / root
            return loss

        descent.step(evaluate)  # type: ignore[no-untyped-call]
        return weight if level is None else weight @ level, bias / root

    @cached_property
    def _own(self) -> Tensor:
        return self.own.to(self.examples.precision)[:, None]

    @cached_property
    def _sizes(self) -> Tensor:
        """What the examples of each part (p,) count together."""
        return self.weights.sum(0, dtype=torch.float64).clamp_min(1e-12)

    @property
    def _steepness(self) -> float:
        """The second derivative of an example's loss by a logit where all answers are as likely (Böhning 1992)."""
        share = 1 / (2 if self.truth.ndim == 2 else max(2, self.open.shape[1]))
        return share * (1 - share)

    @property
    def _level(self) -> Tensor | None:
        """The lower triangle (d, d) that times coordinates gives weights; None where these are the coordinates.

        The second derivative of the mean loss in such coordinates is about 1 in every direction.
        """
        products: Tensor | None = self.examples.products
        if products is None:
            return None
        size = float(self._sizes.mean())
        every = torch.eye(len(products), dtype=torch.float64)
        steep = self._steepness * products / len(self.truth) + every / (size * float(self.strengths.mean()))
        level: Tensor = torch.linalg.solve_triangular(torch.linalg.cholesky(steep), every, upper=False)
        return level.to(self.examples.precision)

    def of(self, part: int) -> Problem:
        """Return the problem of one part."""
        one = slice(part, part + 1)
        return replace(
            self,
            own=self.own[one],
            weights=self.weights[:, one],
            open=self.open[one],
            strengths=self.strengths[one],
        )

    def evaluated(self, weight: Tensor, bias: Tensor) -> tuple[float, Tensor, Tensor]:
        """Return the sum over parts of the mean penalised loss, and its gradient; sums over chunks are in fp64."""
        p, c, d = weight.shape
        own, sizes = self._own, self._sizes
        flat = (weight * own).view(p * c, d)
        loss = torch.zeros(p, dtype=torch.float64)
        slope, shift = torch.zeros(p * c, d, dtype=torch.float64), torch.zeros(p, c, dtype=torch.float64)
        for span, rows in self.examples:
            losses, residuals = self._residuals(times(rows, flat).view(-1, p, c) + bias, span)
            loss += losses.sum(0, dtype=torch.float64)
            shift += residuals.sum(0, dtype=torch.float64)
            slope += summed(residuals.view(-1, p * c), rows)
        penalty = (weight.double() ** 2).sum((1, 2)) / (2 * self.strengths)
        pull = weight / self.strengths[:, None, None]
        slope = (slope.view(p, c, d) * own + pull) / sizes[:, None, None]
        total = float(((loss + penalty) / sizes).sum())
        return total, slope.to(weight.dtype), (shift / sizes[:, None]).to(weight.dtype)

    def _residuals(self, logits: Tensor, span: slice) -> tuple[Tensor, Tensor]:
        """Return weighted losses (m, p), and weighted probabilities less the truth (m, p, c)."""
        weights = self.weights[span].to(logits.dtype)
        if self.truth.ndim == 2:
            truth = self.truth[span, None].to(logits.dtype)
            open_now = self.open.to(logits.dtype)
            losses = ((torch.nn.functional.softplus(logits) - logits * truth) * open_now).sum(2)
            return losses * weights, (torch.sigmoid(logits) - truth) * open_now * weights[:, :, None]
        logits = logits.masked_fill(~self.open, NEVER)
        places = self.truth[span, None, None].expand(-1, logits.shape[1], 1)
        shares, losses = _softmax(logits, places)
        residuals = shares.scatter_add_(2, places, logits.new_full(places.shape, -1.0))
        return torch.where(weights > 0, losses[:, :, 0] * weights, 0), residuals * weights[:, :, None]


def _softmax(logits: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Return probabilities (m, p, c), and less the logarithm of those at some places (m, p, 1)."""
    if logits.shape[2] >= VECTOR:
        logs = torch.log_softmax(logits, 2)
        losses = -logs.gather(2, places)
        return logs.exp_(), losses
    top = logits.amax(2, keepdim=True)
    shares = (logits - top).exp_()
    sums = shares.sum(2, keepdim=True)
    return shares / sums, sums.log() + top - logits.gather(2, places)


def class_weights(
    truth: np.ndarray, parts: np.ndarray, classes: int, *, balanced: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return how much examples count in each part (n, p), and how many of each class there are (p, c).

    Balanced, a class counts n / (k · its size), of k classes (King and Zeng 2001): all of them alike.
    """
    counts = np.stack([np.bincount(truth[part], minlength=classes) for part in parts.T])
    if not balanced:
        return parts, counts
    by_class = counts.sum(1, keepdims=True) / ((counts > 0).sum(1, keepdims=True) * np.maximum(counts, 1))
    return np.where(parts, by_class[:, truth].T, 0.0), counts
