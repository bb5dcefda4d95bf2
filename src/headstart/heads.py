"""Linear heads: on fixed features, by L-BFGS or in closed form; and one that goes on learning."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import MultinomialNB
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn

from headstart.tasks import UNKNOWN, Task

ABSENT = -30.0
"""The logit of a class that no training example has."""

TOLERANCE = 1e-4
ITERATIONS = 500
MANY = 200
"""From this many classes on heads are found in closed form: the time L-BFGS takes grows with their number."""

SHRINKAGE = 100.0
SMALLEST_SPREAD = 1e-6
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

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return (n, c) from features (n, d)."""
        return np.asarray(features @ self.weight.T + self.bias)


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
    def on(cls, features: np.ndarray, start: LinearHead, centre: float = 0.0, spread: float = 1.0) -> Head:
        """Return a head for features (n, d) that begins as a linear head; its logits are (linear - centre) / spread.

        Features that hardly vary are not blown up: none is scaled by less than a tenth of what is usual.
        """
        mean, width = features.mean(0), features.std(0)
        width = np.maximum(width, max(SMALLEST_SPREAD, LEAST_WIDTH * float(np.sqrt((width**2).mean()))))
        weight = start.weight * width / spread
        bias = (start.bias + start.weight @ mean - centre) / spread
        return cls(*(torch.tensor(array, dtype=torch.float32) for array in (mean, width, weight, bias)))

    @classmethod
    def blank(cls, d: int, c: int) -> Head:
        """Return a head that gives zeros (n, c), on features (n, d) as they are."""
        return cls(torch.zeros(d), torch.ones(d), torch.zeros(c, d), torch.zeros(c))

    def as_linear(self, centre: float = 0.0, spread: float = 1.0) -> LinearHead:
        """Return the head as a linear one, with answers in the target's own scale."""
        mean, width, weight, bias = (
            one.detach().cpu().double().numpy() for one in (self.mean, self.spread, self.weight, self.bias)
        )
        weight = weight / width * spread
        bias = bias * spread + centre - weight @ mean
        precision = np.float64 if (centre, spread) != (0.0, 1.0) else np.float32
        return LinearHead(weight.astype(precision), bias.astype(precision))


def fit_head(
    features: np.ndarray,
    truth: np.ndarray,
    task: Task,
    strength: float,
    *,
    balanced: bool = False,
    tolerance: float = TOLERANCE,
) -> LinearHead:
    """Fit a linear head with an L2 penalty on standardised features.

    Of `MANY` classes or more the head is that of normal distributions around the classes' means with one covariance
    (linear discriminant analysis, shrunk towards the identity: Friedman 1989); on sparse counts, of naive Bayes.

    Args:
        features: (n, d); a sparse matrix is taken as it is, not standardised.
        truth: (n,) label indices, (n, c) zeros and ones, or (n,) numbers, as `Task.encode` gives them.
        task: what is predicted.
        strength: C, the inverse of the penalty (the larger, the freer): the penalty is |w|²/2C beside the summed loss.
        balanced: weigh every class alike, whatever its size (classification).
        tolerance: of the gradient at which L-BFGS stops.

    Returns:
        The head, with the standardisation folded into its weights.
    """
    scaled, mean, spread = _standardised(features)
    if task.kind == "regression":
        weight, bias = _ridge(scaled, truth, strength)
    elif task.kind == "multilabel":
        parts = [_binary(scaled, truth[:, column], _solver(strength, tolerance)) for column in range(truth.shape[1])]
        weight, bias = np.stack([part[0] for part in parts]), np.array([part[1] for part in parts])
    else:
        known = truth != UNKNOWN
        if task.n_outputs >= MANY:
            weight, bias = _of_many(scaled[known], truth[known], task.n_outputs, strength, balanced=balanced)
        else:
            solver = _solver(strength, tolerance, balanced=balanced)
            weight, bias = _softmax(scaled[known], truth[known], task.n_outputs, solver)
    weight = weight / spread
    precision = np.float64 if task.kind == "regression" else np.float32
    return LinearHead(weight.astype(precision), (bias - weight @ mean).astype(precision))


def _standardised(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scaled features, means and spreads; a feature that hardly varies keeps its scale."""
    if issparse(features):
        return features, np.zeros(features.shape[1]), np.ones(features.shape[1])
    mean, spread = features.mean(0), features.std(0)
    spread = np.where(spread > SMALLEST_SPREAD, spread, np.float32(1))
    return (features - mean) / spread, mean, spread


def _softmax(
    scaled: np.ndarray, truth: np.ndarray, classes: int, solver: LogisticRegression
) -> tuple[np.ndarray, np.ndarray]:
    weight, bias = np.zeros((classes, scaled.shape[1])), np.full(classes, ABSENT)
    seen = np.unique(truth)
    if len(seen) == 1:
        bias[seen] = 0.0
        return weight, bias
    model = _solve(solver, scaled, truth)
    if len(seen) == 2:
        weight[seen] = np.stack([-model.coef_[0] / 2, model.coef_[0] / 2])
        bias[seen] = [-model.intercept_[0] / 2, model.intercept_[0] / 2]
    else:
        weight[seen], bias[seen] = model.coef_, model.intercept_
    return weight, bias


def _of_many(
    scaled: np.ndarray, truth: np.ndarray, classes: int, strength: float, *, balanced: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Fit in closed form; the freer, the less the covariance is shrunk (or the counts smoothed).

    Logits are centred, so that the likeliest class is never below one without examples.
    """
    weight, bias = np.zeros((classes, scaled.shape[1])), np.full(classes, ABSENT)
    seen, place, counts = np.unique(truth, return_inverse=True, return_counts=True)
    prior = np.zeros(len(seen)) if balanced else np.log(counts / len(truth))
    if issparse(scaled):
        own, free = MultinomialNB(alpha=1 / strength).fit(scaled, truth).feature_log_prob_, prior
    else:
        means = np.zeros((len(seen), scaled.shape[1]))
        np.add.at(means, place, scaled)
        means /= counts[:, None]
        within = scaled - means[place]
        kept = 1 / (1 + SHRINKAGE * strength)
        covariance = (1 - kept) * within.T @ within / max(1, len(truth) - len(seen)) + kept * np.eye(scaled.shape[1])
        own = np.linalg.solve(covariance, means.T).T
        free = prior - (own * means).sum(1) / 2
    weight[seen], bias[seen] = own - own.mean(0), free - free.mean()
    return weight, bias


def _binary(scaled: np.ndarray, truth: np.ndarray, solver: LogisticRegression) -> tuple[np.ndarray, float]:
    if truth.min() == truth.max():
        return np.zeros(scaled.shape[1]), -ABSENT if truth[0] else ABSENT
    model = _solve(solver, scaled, truth)
    return model.coef_[0], float(model.intercept_[0])


def _solver(strength: float, tolerance: float, *, balanced: bool = False) -> LogisticRegression:
    weights = "balanced" if balanced else None
    return LogisticRegression(C=strength, tol=tolerance, max_iter=ITERATIONS, class_weight=weights)


def _solve(solver: LogisticRegression, scaled: np.ndarray, truth: np.ndarray) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes is greater", UserWarning)
        return solver.fit(scaled, truth)


def _ridge(scaled: np.ndarray, truth: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Fit on targets of mean 0 and spread 1, so that large numbers lose no digits."""
    centre, spread = float(truth.mean()), float(truth.std()) or 1.0
    model = Ridge(alpha=1 / strength).fit(scaled, (truth - centre) / spread)
    return spread * model.coef_[None, :], np.array([spread * float(model.intercept_) + centre])


def imbalance(truth: np.ndarray) -> float:
    """Return how many times larger the largest class is than the smallest that occurs."""
    labels = np.unique(truth[truth != UNKNOWN])
    weights = compute_class_weight("balanced", classes=labels, y=truth[truth != UNKNOWN])
    return float(weights.max() / weights.min())
