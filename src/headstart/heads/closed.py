"""Heads in closed form, from sums over examples: ridge regression, and normal distributions around many classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.heads.chunks import Standardised

SHRINKAGE = 100.0


@dataclass(frozen=True, eq=False)
class Sums:
    """What a closed form needs to know of the examples in one part, in its own standardised scale.

    Attributes:
        products: (d, d) the sum of features · features.
        targets: (t, d) the sum of targets · features.
        counts: (t,) the sum of targets.
    """

    products: Tensor
    targets: Tensor
    counts: Tensor


def sums_of(examples: Standardised, part: int, member: Tensor, target: Callable[[slice], Tensor]) -> Sums:
    """Add up the examples of one part; sums over chunks are in fp64.

    Args:
        examples: n of them.
        part: whose scale the sums are in.
        member: (n,) which examples are added up.
        target: gives the targets (m, t) of a range of examples.
    """
    products: Tensor | float = 0.0
    crossed: Tensor | float = 0.0
    counts: Tensor | float = 0.0
    for span, rows in examples:
        chosen, wanted = rows[member[span]], target(span)[member[span]].to(rows.dtype)
        products += (chosen.T @ chosen).double()
        crossed += (wanted.T @ chosen).double()
        counts += wanted.sum(0, dtype=torch.float64)
    own = examples.own[part]
    return Sums(products * own[:, None] * own, crossed * own, torch.as_tensor(counts))


def ridge(sums: Sums, strength: float) -> tuple[Tensor, Tensor]:
    """Return weights (1, d) and bias (1,) of targets (1, y): ones, and numbers of mean 0 (Hoerl and Kennard 1970)."""
    n, mean = sums.counts[0], sums.targets[0] / sums.counts[0]
    within = sums.products - n * torch.outer(mean, mean)
    within.diagonal().add_(1 / strength)
    weight = torch.linalg.solve(within, sums.targets[1] - mean * sums.counts[1])
    return weight[None], (sums.counts[1] / n - weight @ mean)[None]


def discriminants(sums: Sums, strength: float, *, balanced: bool) -> tuple[Tensor, Tensor]:
    """Return weights (c, d) and biases (c,) of classes that all have examples; targets are their indicators.

    The freer, the less the covariance is shrunk towards the identity (Friedman 1989). Logits are centred, so that the
    likeliest class is never below one without examples.
    """
    counts, n = sums.counts, float(sums.counts.sum())
    means = sums.targets / counts[:, None]
    kept = 1 / (1 + SHRINKAGE * strength)
    within = sums.products - means.T @ sums.targets
    covariance = within * ((1 - kept) / max(1.0, n - len(counts)))
    covariance.diagonal().add_(kept)
    own = torch.linalg.solve(covariance, means.T).T
    prior = torch.zeros_like(counts) if balanced else torch.log(counts / n)
    free = prior - (own * means).sum(1) / 2
    return own - own.mean(0), free - free.mean()


def naive_bayes(counts: Any, truth: np.ndarray, strength: float, *, balanced: bool) -> tuple[Tensor, Tensor]:
    """Return weights (c, d) and biases (c,) of classes that all have examples, from sparse counts (n, d), centred."""
    from sklearn.naive_bayes import MultinomialNB  # a model that only answers needs none of scikit-learn

    own = torch.from_numpy(MultinomialNB(alpha=1 / strength).fit(counts, truth).feature_log_prob_)
    sizes = torch.from_numpy(np.bincount(truth)).double()
    free = torch.zeros_like(sizes) if balanced else torch.log(sizes / len(truth))
    return own - own.mean(0), free - free.mean()
