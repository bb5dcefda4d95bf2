"""Which examples are the same, or nearly, and so must not stand on both sides of a split.

Images: 64-bit perceptual hash, near when at most `IMAGE_BITS` bits differ.
Texts: sets of 5-character shingles of the case-folded text with single blanks, near when their Jaccard
similarity is at least `TEXT_JACCARD`; candidates come from MinHash (Broder 1997) with locality-sensitive
hashing, and each is checked exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

IMAGE_BITS = 4
TEXT_JACCARD = 0.8
SHINGLE = 5
PERMUTATIONS = 64
TIED_SHARE = 0.05

Pair = tuple[int, int]
T = TypeVar("T", str, int)


def exact_pairs(hashes: Sequence[str]) -> list[Pair]:
    """Link every example to the previous one of the same content."""
    return _equal_pairs(_distinct(hashes)[1])


def near_images(hashes: Sequence[int]) -> list[Pair]:
    """Link the pictures whose perceptual hashes are at most `IMAGE_BITS` bits apart; equal hashes form a chain."""
    distinct, places = _distinct(hashes)
    near = _near_codes(distinct)
    return [*_equal_pairs(places), *((places[one][0], places[other][0]) for one, other in near)]


def near_texts(texts: Sequence[str]) -> list[Pair]:
    """Link the texts whose shingle sets have a Jaccard similarity of `TEXT_JACCARD` or more; equals form a chain."""
    distinct, places = _distinct([" ".join(text.casefold().split()) for text in texts])
    near = _near_shingles([_shingles(text) for text in distinct])
    return [*_equal_pairs(places), *((places[one][0], places[other][0]) for one, other in near)]


def clusters(n: int, pairs: Iterable[Pair]) -> np.ndarray:
    """Return for each of `n` examples the number (n,) of the connected cluster it belongs to."""
    edges = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1])


def oversized(cluster: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Tell (n,) which examples lie in a cluster that ties more than 5 % of a class together.

    Two examples of a small class may always be tied: they cost a split nothing.
    """
    _, stratum = np.unique(strata, return_inverse=True)
    sizes = np.bincount(stratum)
    tied: dict[Pair, int] = defaultdict(int)
    for key in zip(cluster.tolist(), stratum.tolist(), strict=True):
        tied[key] += 1
    large = {group for (group, label), count in tied.items() if count > max(2, TIED_SHARE * sizes[label])}
    return np.isin(cluster, list(large))


def _distinct(values: Sequence[T]) -> tuple[list[T], list[list[int]]]:
    """Return the distinct values in order of first sight, and where each stands."""
    places: dict[T, list[int]] = defaultdict(list)
    for index, value in enumerate(values):
        places[value].append(index)
    return list(places), list(places.values())


def _equal_pairs(places: list[list[int]]) -> list[Pair]:
    return [pair for same in places for pair in pairwise(same)]


def _near_codes(hashes: Sequence[int]) -> list[Pair]:
    """Compare only hashes that share a band: near ones agree wholly in one of `IMAGE_BITS + 1` (pigeonhole)."""
    bits = np.array([[(value >> bit) & 1 for bit in range(64)] for value in hashes], dtype=np.uint8).reshape(-1, 64)
    pairs: set[Pair] = set()
    for band in np.array_split(np.arange(64), IMAGE_BITS + 1):
        for members in _buckets(bits[:, band]):
            for position, first in enumerate(members[:-1]):
                others = members[position + 1 :]
                near = others[(bits[others] != bits[first]).sum(axis=1) <= IMAGE_BITS]
                pairs.update((int(first), int(other)) for other in near)
    return sorted(pairs)


def _near_shingles(sets: Sequence[frozenset[bytes]]) -> list[Pair]:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=TEXT_JACCARD, num_perm=PERMUTATIONS, weights=(0.2, 0.8))
    pairs: list[Pair] = []
    for position, sketch in enumerate(MinHash.generator(sets, num_perm=PERMUTATIONS, seed=1)):
        candidates = index.query(sketch)
        pairs += [(other, position) for other in candidates if _jaccard(sets[position], sets[other]) >= TEXT_JACCARD]
        index.insert(position, sketch, check_duplication=False)
    return sorted(pairs)


def _buckets(codes: np.ndarray) -> Iterator[np.ndarray]:
    _, inverse = np.unique(codes, axis=0, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(inverse[order])) + 1):
        if len(members) > 1:
            yield members


def _shingles(text: str) -> frozenset[bytes]:
    return frozenset(text[start : start + SHINGLE].encode() for start in range(max(1, len(text) - SHINGLE + 1)))


def _jaccard(one: frozenset[bytes], other: frozenset[bytes]) -> float:
    return len(one & other) / len(one | other)
