"""Paired differences of accuracy, over examples and seeds, with their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """Ours minus theirs, in shares of examples.

    Attributes:
        value: the mean over sets of the mean difference.
        low, high: the closed 95 % percentile interval.
        p: two-sided, from the same resamples.
        seeds: the smallest number of seeds a set has.
    """

    value: float
    low: float
    high: float
    p: float
    seeds: int


def difference(pairs: list[tuple[np.ndarray, np.ndarray]], seed: int = 0) -> Difference:
    """Return the difference over sets, each a pair of (seeds, examples) of zeros and ones: ours, theirs.

    Seeds and examples are resampled independently within each set (Owen 2007, the pigeonhole bootstrap).
    """
    dice = np.random.default_rng(seed)
    tables = [ours.astype(float) - theirs for ours, theirs in pairs]
    samples = np.mean([_resampled(table, dice) for table in tables], axis=0)
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    p = min(1.0, 2 * min(float((samples <= 0).mean()), float((samples >= 0).mean())))
    value = float(np.mean([table.mean() for table in tables]))
    return Difference(value, float(low), float(high), p, min(len(table) for table in tables))


def _resampled(table: np.ndarray, dice: np.random.Generator) -> np.ndarray:
    seeds, examples = table.shape
    rows = dice.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    columns = np.empty(RESAMPLES)
    by_seed = rows @ table
    for place, weighted in enumerate(by_seed):
        columns[place] = weighted[dice.integers(0, examples, examples)].mean()
    return columns
