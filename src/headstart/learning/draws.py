"""What chance decides while learning: pure functions of a seed, so that nothing depends on what ran before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from headstart.backbones.replay import Batch, State
from headstart.frozen.states import States

GROUPED = 16
"""Batches among which texts are sorted by length, so that little padding is computed."""


def batches_of(states: States, fitted: np.ndarray, size: int, seed: tuple[int, int]) -> list[list[int]]:
    """Return an epoch's batches: a random order, texts of like length together within groups of batches.

    All words of a text are in one batch, whose size counts texts.
    """
    if states.parts is not None:
        return _of_words(states, fitted, size, seed)
    return _drawn(fitted, {place: states.length(place) for place in fitted.tolist()}, size, seed)


def _of_words(states: States, fitted: np.ndarray, size: int, seed: tuple[int, int]) -> list[list[int]]:
    assert states.parts is not None
    members: dict[int, list[int]] = {}
    for place in fitted.tolist():
        members.setdefault(int(states.parts[place]), []).append(place)
    lengths = {text: states.length(words[0]) for text, words in members.items()}
    drawn = _drawn(np.array(list(members)), lengths, size, seed)
    return [[place for text in batch for place in members[text]] for batch in drawn]


def _drawn(units: np.ndarray, length_of: Mapping[int, int], size: int, seed: tuple[int, int]) -> list[list[int]]:
    """Return batches of units in a random order, those of like length together within groups of batches."""
    dice = np.random.default_rng(seed)
    order = dice.permutation(units)
    lengths = np.array([length_of[unit] for unit in order.tolist()])
    chunks: list[list[int]] = []
    for start in range(0, len(order), size * GROUPED):
        part = slice(start, start + size * GROUPED)
        grouped = order[part][np.argsort(lengths[part], kind="stable")]
        chunks += [grouped[place : place + size].tolist() for place in range(0, len(grouped), size)]
    return [chunks[place] for place in dice.permutation(len(chunks))]


def mixed(
    batch: Batch, state: State, strength: float, seed: tuple[int, int]
) -> tuple[Batch, State, Tensor | None, float]:
    """Mix each picture, or its state, with another one's (Zhang et al. 2018; Verma et al. 2019); texts stay whole."""
    if not strength or "x" not in batch:
        return batch, state, None, 1.0
    dice = np.random.default_rng(seed)
    share = float(dice.beta(strength, strength))
    other = torch.from_numpy(dice.permutation(len(batch["x"]))).to(batch["x"].device)

    def mix(tensor: Tensor) -> Tensor:
        return share * tensor + (1 - share) * tensor[other]

    if torch.is_tensor(state):
        return batch, mix(state), other, share
    if state == ():
        return {**batch, "x": mix(batch["x"])}, state, other, share
    return batch, state, None, 1.0


def seed_of(*numbers: int) -> int:
    """Return one seed made of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
