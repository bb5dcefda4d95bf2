"""Few sparse rows in many dimensions, as coordinates in what they span: no longer than there are rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.linalg import cholesky, solve_triangular
from torch import Tensor

from headstart.heads.chunks import Chunk, Standardised

FEW = 2_500
"""Rows up to which products of all pairs of them are soon computed, and kept."""

JITTER = 1e-10
"""Of the mean square, added to each row's own: rows that stand twice, or are empty, span nothing new."""


@dataclass(frozen=True, eq=False)
class Spanned:
    """Sparse rows in an orthonormal basis of what they span.

    The weights that make a penalised loss on rows the smallest lie in the span of these rows (the representer theorem:
    Schölkopf, Herbrich and Smola 2001), so that a head found here is the one that would be found in all dimensions.

    Attributes:
        rows: the sparse rows (n, d).
        coordinates: (n, n), lower triangular: their products with each other are those of the rows.
        precision: in which heads are found.
        products: of the coordinates with each other: they are too many to be looked at.
    """

    rows: Any
    coordinates: np.ndarray
    precision: torch.dtype
    products: None = None

    @classmethod
    def of(cls, examples: Standardised) -> Spanned | None:
        """Return sparse examples in what they span; None where there are too many of them, or too few dimensions."""
        if not examples.sparse or not 0 < examples.n <= min(FEW, examples.d):
            return None
        rows = examples.rows_of(np.ones(examples.n, dtype=bool))
        products = (rows @ rows.T).toarray().astype(np.float64)
        products[np.diag_indices_from(products)] += JITTER * max(float(np.trace(products)), 1.0) / len(products)
        return cls(rows, cholesky(products, lower=True), examples.precision)

    @property
    def d(self) -> int:
        """Dimensions of what the rows span: as many as there are rows."""
        return len(self.coordinates)

    def __iter__(self) -> Iterator[Chunk]:
        """Yield the coordinates of all rows at once."""
        yield slice(0, self.d), torch.from_numpy(self.coordinates).to(self.precision)

    def in_full(self, weight: Tensor) -> Tensor:
        """Return weights (p, c, n) that were found here in all dimensions, (p, c, d)."""
        p, c, n = weight.shape
        shares = solve_triangular(self.coordinates.T, weight.double().numpy().reshape(p * c, n).T)
        return torch.from_numpy(np.ascontiguousarray((self.rows.T @ shares).T)).view(p, c, -1)
