"""What is learned by: the loss of each kind of task, one number an example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import entr
from torch import Tensor
from torch.nn import functional

from headstart.tasks import QUANTILES, UNKNOWN, Several, Task


def weakest_direction(features: Tensor) -> Tensor:
    """Return the square of the smallest singular value of a batch's features (n, d): BSS (Chen et al. 2019, eq. 5)."""
    return torch.as_tensor(torch.linalg.svdvals(features)[-1] ** 2)


@dataclass(frozen=True, eq=False)
class Target:
    """What a network is taught: the truth in the network's own scale, and the loss.

    Attributes:
        task: what is predicted.
        centre, spread: of the numbers of the training examples (regression); what is learned is
            (value - centre) / spread.
        weights: (c,) of the classes in the loss; None weighs every example alike.
        smoothing: the share of the truth that all classes get alike, in [0, 1) (Szegedy et al. 2016, section 7).
    """

    task: Task
    centre: float = 0.0
    spread: float = 1.0
    weights: Tensor | None = None
    smoothing: float = 0.0

    @classmethod
    def of(cls, task: Task, truth: np.ndarray, *, balanced: bool = False, smoothing: float = 0.0) -> Target:
        """Return the target for the training examples' truth, as `Task.encode` gives it."""
        if task.form == "path":
            return cls(task)
        if task.form == "number":
            return cls(task, float(truth.mean()), float(truth.std()) or 1.0)
        if task.is_remembered or task.form == "text":
            return cls(task)
        if not balanced or task.form != "label":
            return cls(task, smoothing=smoothing)
        counts = np.bincount(truth[truth != UNKNOWN], minlength=task.n_outputs)
        shares = counts.sum() / np.maximum(counts, 1) / max(1, int((counts > 0).sum()))
        return cls(task, weights=torch.tensor(shares, dtype=torch.float32), smoothing=smoothing)

    def scaled(self, truth: np.ndarray) -> Tensor:
        """Return the truth as the loss takes it: (n,) indices, (n, c) zeros and ones, or (n,) scaled numbers."""
        if self.task.form == "path":
            return torch.from_numpy(self.task.paths(truth)).float()
        if self.task.form == "label":
            return torch.from_numpy(truth)
        return torch.from_numpy((truth - self.centre) / self.spread).float()

    def outputs(self, logits: np.ndarray) -> np.ndarray:
        """Return the task's outputs: probabilities (n, c), or numbers (n,) in their own scale."""
        return self.task.outputs(logits * self.spread + self.centre)

    def chance(self, truth: np.ndarray) -> float:
        """Return the mean loss of always answering the shares, or the mean, of a truth; of series the last value."""
        if self.task.form == "path":
            return float(np.abs(self.task.paths(truth)).mean())
        if self.task.form == "number":
            return float(((truth - truth.mean()) ** 2).mean() / self.spread**2)
        if self.task.form == "labels":
            return float((entr(truth.mean(0)) + entr(1 - truth.mean(0))).mean())
        if self.task.is_remembered:
            return float(entr(truth.mean(0)).sum())
        known = truth[truth != UNKNOWN]
        return float(entr(np.bincount(known, minlength=self.task.n_outputs) / len(known)).sum())

    def loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return the loss (n,): cross-entropy, mean binary cross-entropy over labels, or squared error.

        Of forecasts it is twice the pinball loss, over steps and quantiles.
        With what a model answered in place of labels it is distillation (Hinton et al. 2015, temperature 1).
        """
        if self.task.form == "path":
            gaps = truth[:, :, None] - logits.reshape(len(logits), -1, len(QUANTILES))
            levels = torch.tensor(QUANTILES, device=logits.device)
            return 2 * torch.maximum(levels * gaps, (levels - 1) * gaps).mean((1, 2))
        if self.task.form == "number":
            return functional.mse_loss(logits[:, 0], truth, reduction="none")
        if self.task.form == "labels":
            return functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1)
        if self.task.is_remembered:
            return functional.cross_entropy(logits, truth, reduction="none")
        weights = None if self.weights is None else self.weights.to(logits.device)
        return functional.cross_entropy(
            logits, truth, weights, ignore_index=UNKNOWN, reduction="none", label_smoothing=self.smoothing
        )


@dataclass(frozen=True, eq=False)
class Targets:
    """What a network is taught that has several targets: each by its own loss, on the examples that have it.

    Attributes:
        task: the targets.
        parts: what each of them is taught by.
        weights: of each in the sum.
    """

    task: Several
    parts: tuple[Target, ...]
    weights: tuple[float, ...]

    @classmethod
    def of(
        cls,
        task: Several,
        truth: np.ndarray,
        *,
        balanced: Sequence[bool],
        smoothing: float = 0.0,
        is_weighed: bool = True,
    ) -> Targets:
        """Return the targets for the training examples' truth (n, w), as `Several.encode` gives it.

        A target is weighed by the root of how rare it is, as if a small one were drawn more often: between every
        example alike, which drowns it, and every target alike, which learns it by heart (temperature 2 of Raffel et al.
        2020, section 3.5.2).

        Args:
            task: the targets.
            truth: of the examples learned from.
            balanced: whether the classes of each target are weighed alike.
            smoothing: of single labels.
            is_weighed: False where rare targets are drawn more often instead.
        """
        parts, weights = [], []
        for place, part in enumerate(task.parts):
            known, own = task.of(truth, place)
            own_part = Target.of(part, own, balanced=balanced[place], smoothing=smoothing) if len(own) else Target(part)
            parts.append(own_part)
            weights.append(rarity(known) if is_weighed else 1.0)
        return cls(task, tuple(parts), tuple(weights))

    @property
    def centre(self) -> np.ndarray:
        """What each output (c,) is learned less of."""
        return self._each([part.centre for part in self.parts])

    @property
    def spread(self) -> np.ndarray:
        """What each output (c,) is learned in units of."""
        return self._each([part.spread for part in self.parts])

    def _each(self, values: Sequence[float]) -> np.ndarray:
        return np.concatenate([np.full(p.n_outputs, one) for p, one in zip(self.task.parts, values, strict=True)])

    def scaled(self, truth: np.ndarray) -> Tensor:
        """Return the truth (n, w) as the loss takes it: numbers scaled."""
        table = truth.copy()
        for part, columns in zip(self.parts, self.task.columns, strict=True):
            if part.task.form == "number":
                table[:, columns] = (table[:, columns] - part.centre) / part.spread
        return torch.from_numpy(table).float()

    def outputs(self, logits: np.ndarray) -> np.ndarray:
        """Return the outputs of all targets (n, c)."""
        return self.task.outputs(logits * self.spread + self.centre)

    def chance(self, truth: np.ndarray, chances: np.ndarray | None = None) -> float:
        """Return the mean loss of always answering the shares, or the means, of a truth (n, w).

        Args:
            truth: of the examples.
            chances: (n,) that each is drawn with; all alike otherwise.
        """
        drawn = np.full(len(truth), 1 / len(truth)) if chances is None else chances
        found = [(part, weight, *self.task.of(truth, place)) for place, (part, weight) in enumerate(self._weighed())]
        return float(
            sum(weight * drawn[known].sum() * part.chance(own) for part, weight, known, own in found if len(own))
        )

    def loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return the losses (n, t): the weighted one of each target, 0 where an example does not have it."""
        losses = []
        for (part, weight), span, columns in zip(self._weighed(), self.task.spans, self.task.columns, strict=True):
            own = truth[:, columns]
            known = ~own[:, 0].isnan()
            labels = torch.where(known[:, None], own, 0.0)
            if part.task.form == "number":
                labels = labels[:, 0]
            elif part.task.form == "label" and not part.task.is_remembered:
                labels = labels[:, 0].long()
            losses.append(weight * torch.where(known, part.loss(logits[:, span], labels), 0.0))
        return torch.stack(losses, 1)

    def _weighed(self) -> list[tuple[Target, float]]:
        return list(zip(self.parts, self.weights, strict=True))


def rarity(known: np.ndarray) -> float:
    """Return the weight of a target that some examples (n,) have: the root of one over their share."""
    return float(1 / np.sqrt(max(known.mean(), 1 / len(known))))
