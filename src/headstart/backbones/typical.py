"""What a source's features are like on the examples it learned from: how far a target lies from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

DIRECTIONS, EACH = 16, 8
"""Principal directions that features are described in, at most, and the examples there are for each, at least."""

EDGE = 0.99
"""The share of a source's own examples that lie in its typical set."""

DRAWS = 20
"""Samples that say how far from a source as few of its own examples would lie."""

PREFIX = "typical."
SMALLEST = 1e-6


@dataclass(frozen=True, eq=False)
class Typical:
    """The features of a source's own examples as a normal distribution in their principal directions.

    Attributes:
        mean: (d,).
        directions: (k, d), each of length 1.
        spreads: (k,) along each.
        edge: the distance from the mean, in spreads, that 99 of 100 examples lie within.
    """

    mean: np.ndarray
    directions: np.ndarray
    spreads: np.ndarray
    edge: float

    @classmethod
    def of(cls, features: np.ndarray) -> Typical | None:
        """Describe features (n, d): directions and spreads on every other example, the edge on the rest.

        None of too few.
        """
        own, others = features[::2].astype(np.float64), features[1::2]
        k = min(DIRECTIONS, len(own) // EACH, features.shape[1])
        if k < 1:
            return None
        mean = own.mean(0)
        _, sizes, directions = np.linalg.svd(own - mean, full_matrices=False)
        spreads = np.maximum(sizes[:k] / np.sqrt(len(own) - 1), SMALLEST)
        found = cls(mean, directions[:k], spreads, 0.0)
        return cls(mean, directions[:k], spreads, float(np.quantile(found._distances(others), EDGE)))

    def outside(self, features: np.ndarray) -> float:
        """Return the share of features (n, d) that lie outside the typical set."""
        return float((self._distances(features) > self.edge).mean())

    def distance(self, features: np.ndarray) -> float:
        """Return Fréchet's distance from features (n, d), squared, beside the source's own variance.

        |μ − μ′|² + tr(C + C′ − 2(CC′)^½), of normal distributions in these directions (Dowson and Landau 1982), over
        tr(C): 1 is as far off as the source's own examples are spread. What as few of its own examples would be off by
        chance is taken away: 0 is no farther than that.
        """
        dice, n = np.random.default_rng(0), len(features)
        by_chance = [self._frechet(dice.normal(size=(n, len(self.spreads))) * self.spreads) for _ in range(DRAWS)]
        return max(0.0, self._frechet(self._placed(features)) - float(np.mean(by_chance)))

    def _frechet(self, own: np.ndarray) -> float:
        """Return the distance of places (n, k) in these directions."""
        k, whole = len(self.spreads), float((self.spreads**2).sum())
        covariance = np.cov(own, rowvar=False).reshape(k, k) if len(own) > 1 else np.zeros((k, k))
        inner = self.spreads[:, None] * covariance * self.spreads
        roots = float(np.sqrt(np.maximum(np.linalg.eigvalsh(inner), 0)).sum())
        return (float((own.mean(0) ** 2).sum()) + whole + float(np.trace(covariance)) - 2 * roots) / whole

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what a saved model holds of it."""
        fields = {"mean": self.mean, "directions": self.directions, "spreads": self.spreads}
        return {f"{PREFIX}{name}": one.astype(np.float32) for name, one in fields.items()} | {
            f"{PREFIX}edge": np.array([self.edge], dtype=np.float32)
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Typical | None:
        """Return what `tensors` wrote; None where there is nothing."""
        if f"{PREFIX}mean" not in tensors:
            return None
        mean, directions, spreads, edge = (
            tensors[f"{PREFIX}{name}"].numpy().astype(np.float64) for name in ("mean", "directions", "spreads", "edge")
        )
        return cls(mean, directions, spreads, float(edge[0]))

    def _placed(self, features: np.ndarray) -> np.ndarray:
        """Return features (n, k) in these directions, less the mean."""
        return np.asarray((features.astype(np.float64) - self.mean) @ self.directions.T)

    def _distances(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(np.sqrt(((self._placed(features) / self.spreads) ** 2).sum(1)))
