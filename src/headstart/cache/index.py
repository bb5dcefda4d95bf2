"""Where each key stands in the blocks of a shelf."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.cache.blocks import Block
from headstart.cache.chunks import Numbers


@dataclass(frozen=True, eq=False)
class Index:
    """The keys of all blocks, sorted by their first halves.

    Attributes:
        first, second: (n,) the halves of the keys.
        rows: (n,) where each key stood in all blocks, one after another.
        numbers, starts: (b,) the numbers of the blocks, and where the rows of each start.
    """

    first: NDArray[np.uint64]
    second: NDArray[np.uint64]
    rows: Numbers
    numbers: Numbers
    starts: Numbers

    def find(self, keys: NDArray[np.uint64]) -> Numbers:
        """Return the place (k, 2) of each key, or -1 and -1."""
        at, places = np.searchsorted(self.first, keys[:, 0]), np.full((len(keys), 2), -1)
        sought = np.arange(len(keys))
        while len(sought):
            sought = sought[at[sought] < len(self.first)]
            sought = sought[self.first[at[sought]] == keys[sought, 0]]
            is_found = self.second[at[sought]] == keys[sought, 1]
            found = sought[is_found]
            rows = self.rows[at[found]]
            block = np.searchsorted(self.starts, rows, "right") - 1
            places[found] = np.stack([self.numbers[block], rows - self.starts[block]], 1)
            sought = sought[~is_found]
            at[sought] += 1
        return places


def indexed(blocks: Sequence[Block], numbers: Sequence[int]) -> Index:
    """Return the index of those of some blocks that have the given numbers."""
    keys = np.concatenate([np.empty((0, 2), np.uint64), *(blocks[number].keys for number in numbers)])
    lengths = np.array([len(blocks[number].keys) for number in numbers], dtype=np.int64)
    rows = np.argsort(keys[:, 0], kind="stable")
    numbered = np.array(numbers, dtype=np.int64)
    return Index(keys[rows, 0], keys[rows, 1], rows, numbered, np.cumsum(lengths) - lengths)
