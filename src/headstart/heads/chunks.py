"""Standardised features, read in chunks of rows: a million examples need no more memory than a thousand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from torch import Tensor

SMALLEST_SPREAD = 1e-6

CHUNK = 2**22
"""Numbers in a chunk: 16 MB in fp32, which a processor's cache holds."""

KEPT = 2**26
"""Numbers kept standardised, at most, so that not every pass has to do it again: 256 MB in fp32."""

FEW = 512
"""Features up to which their products with each other are soon computed, and worth it."""

Chunk = tuple[slice, Any]
"""Which of the rows, and the rows (m, d): a tensor, or a sparse matrix."""


def spans(n: int, d: int) -> Iterator[slice]:
    """Yield the ranges of rows to read (n, d) features in."""
    size = max(1, CHUNK // max(1, d))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


class Standardised:
    """Features of some examples, in which each has mean 0 and spread 1; one that hardly varies keeps its scale.

    Each part of the examples has a spread of its own: what is held out of a part does not count there.
    Sparse features are taken as they are.

    Attributes:
        places: (n,) the examples that are in any part.
        parts: (n, p) which of them are in each part.
        mean: (d,) over all parts.
        spread: (d,) over all parts.
        own: (p, d) by what a part's features are to be multiplied to have spread 1.
    """

    def __init__(self, features: Any, parts: np.ndarray) -> None:
        self.features = features
        self.places = np.flatnonzero(parts.any(1))
        self.whole = len(self.places) == len(parts)
        self.parts = torch.from_numpy(np.ascontiguousarray(parts[self.places]))
        self.n, self.d = len(self.places), features.shape[1]
        self.sparse = issparse(features)
        self.precision = torch.float64 if features.dtype == np.float64 else torch.float32
        self.mean, self.spread, self.own = self._moments()
        self.kept = list(self._scaled()) if self.sparse or self.n * self.d <= KEPT else None

    def __iter__(self) -> Iterator[Chunk]:
        """Yield every row once, in order."""
        return iter(self.kept) if self.kept is not None else self._scaled()

    @cached_property
    def products(self) -> Tensor | None:
        """The products (d, d) of all features with each other, over all examples, in fp64; None where they are many."""
        if self.sparse or self.d > FEW or not self.n:
            return None
        found = torch.zeros(self.d, self.d, dtype=torch.float64)
        for _, rows in self:
            found += rows.T @ rows
        return found

    def rows_of(self, member: np.ndarray) -> Any:
        """Return the sparse rows of some of the examples (n,)."""
        return self.features[self.places[member]]

    def _raw(self) -> Iterator[tuple[slice, Tensor]]:
        for span in spans(self.n, self.d):
            rows = self.features[span] if self.whole else self.features[self.places[span]]
            yield span, copied(rows, self.precision)

    def _scaled(self) -> Iterator[Chunk]:
        if self.sparse:
            yield slice(0, self.n), self.features if self.whole else self.features[self.places]
            return
        mean, spread = self.mean.to(self.precision), self.spread.to(self.precision)
        for span, rows in self._raw():
            yield span, rows.sub_(mean).div_(spread)

    def _moments(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return means, spreads and how much larger they are than each part's own, by one pass in fp64."""
        p = self.parts.shape[1]
        if self.sparse or not self.n:
            return torch.zeros(self.d).double(), torch.ones(self.d).double(), torch.ones(p, self.d).double()
        members = torch.cat([self.parts, torch.ones(self.n, 1, dtype=torch.bool)], 1)
        counts = members.sum(0)[:, None].double().clamp_min(1)
        sums, squares = (torch.zeros(p + 1, self.d, dtype=torch.float64) for _ in range(2))
        origin: Tensor | None = None
        for span, raw in self._raw():
            rows = raw.double()
            origin = rows.mean(0) if origin is None else origin
            rows -= origin
            weights = members[span].double().T
            sums += weights @ rows
            squares += weights @ rows.square_()
        means = sums / counts
        spreads = (squares / counts - means.square()).clamp_min_(0).sqrt_()
        spreads[spreads <= SMALLEST_SPREAD] = 1
        assert origin is not None
        return origin + means[-1], spreads[-1], spreads[-1] / spreads[:-1]


def copied(rows: np.ndarray, precision: torch.dtype) -> Tensor:
    """Return rows as a tensor of their own: what is mapped from a file may be read-only."""
    return torch.tensor(np.ascontiguousarray(rows), dtype=precision)


def times(rows: Any, weight: Tensor) -> Tensor:
    """Return rows (m, d) · weightᵀ (d, k)."""
    return rows @ weight.T if isinstance(rows, Tensor) else torch.from_numpy(rows @ weight.numpy().T)


def summed(values: Tensor, rows: Any) -> Tensor:
    """Return valuesᵀ (k, m) · rows (m, d)."""
    return values.T @ rows if isinstance(rows, Tensor) else torch.from_numpy((rows.T @ values.numpy()).T)
