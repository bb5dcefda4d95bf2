"""What is learned by: the loss of each kind of task, one number an example."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import entropy
from torch import Tensor
from torch.nn import functional

from headstart.tasks import UNKNOWN, Task


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
        if task.kind == "regression":
            return cls(task, float(truth.mean()), float(truth.std()) or 1.0)
        if not balanced or task.kind != "classification":
            return cls(task, smoothing=smoothing)
        counts = np.bincount(truth[truth != UNKNOWN], minlength=task.n_outputs)
        shares = counts.sum() / np.maximum(counts, 1) / max(1, int((counts > 0).sum()))
        return cls(task, weights=torch.tensor(shares, dtype=torch.float32), smoothing=smoothing)

    def scaled(self, truth: np.ndarray) -> Tensor:
        """Return the truth as the loss takes it: (n,) indices, (n, c) zeros and ones, or (n,) scaled numbers."""
        if self.task.kind == "classification":
            return torch.from_numpy(truth)
        return torch.from_numpy((truth - self.centre) / self.spread).float()

    def outputs(self, logits: np.ndarray) -> np.ndarray:
        """Return the task's outputs: probabilities (n, c), or numbers (n,) in their own scale."""
        return self.task.outputs(logits * self.spread + self.centre)

    def chance(self, truth: np.ndarray) -> float:
        """Return the mean loss of always answering the shares, or the mean, of a truth."""
        if self.task.kind == "regression":
            return float(((truth - truth.mean()) ** 2).mean() / self.spread**2)
        if self.task.kind == "multilabel":
            return float(entropy(np.stack([truth.mean(0), 1 - truth.mean(0)])).mean())
        return float(entropy(np.bincount(truth[truth != UNKNOWN], minlength=self.task.n_outputs)))

    def loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return the loss (n,): cross-entropy, mean binary cross-entropy over labels, or squared error."""
        if self.task.kind == "regression":
            return functional.mse_loss(logits[:, 0], truth, reduction="none")
        if self.task.kind == "multilabel":
            return functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1)
        weights = None if self.weights is None else self.weights.to(logits.device)
        return functional.cross_entropy(
            logits, truth, weights, ignore_index=UNKNOWN, reduction="none", label_smoothing=self.smoothing
        )
