"""A lesson: what is learned, from what, and what a step on it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from headstart.backbones.backbone import Backbone
from headstart.backbones.writers import Writer
from headstart.frozen.states import States
from headstart.heads import Head
from headstart.learning.balance import Sum
from headstart.learning.draws import batches_of
from headstart.learning.kernels import learned_from
from headstart.learning.losses import Target, Targets, weakest_direction
from headstart.learning.relation import Relation
from headstart.learning.vocabulary import NarrowedTable
from headstart.strategies.schedule import Schedule


@dataclass(frozen=True, eq=False)
class Lesson:
    """What is learned, from what.

    Attributes:
        backbone: a copy of its own: the tensors of its trunk that require a gradient are changed.
        head: from features to logits, or to a text; changed.
        states: the examples at each cut that the cut passes on its way down, the last one where it stays.
        truth: (n,) or (n, c) of the examples, as `Task.encode` or `Several.encode` gives it.
        target: the loss.
        schedule: the rates and their like, all settled.
        fitted: (m,) the places learned from.
        held: (k,) the places that are only answered, after each epoch; may be empty.
        stop_after: epochs of the schedule that are run, where an earlier choice found fewer to be better.
        seed: of the order, of dropout and of mixing.
        precision: "fp32" or "bf16" (autocast; weights and loss stay fp32).
        word: what progress calls it.
        relation: of the source's classes to the target's, where both heads learn together; None otherwise.
        vocabulary: the rows that the network's table of token vectors holds meanwhile; None where it holds all.
        balance: how the losses of several targets become one gradient.
        chances: (m,) of the places learned from, to be drawn for an epoch's steps; None where each is taken once.
    """

    backbone: Backbone
    head: Head | Writer
    states: Sequence[States]
    truth: np.ndarray
    target: Target | Targets
    schedule: Schedule
    fitted: np.ndarray
    held: np.ndarray
    stop_after: int | None = None
    seed: int = 0
    precision: str = "fp32"
    word: str = "learning"
    relation: Relation | None = None
    vocabulary: NarrowedTable | None = None
    balance: Sum = field(default_factory=Sum)
    chances: np.ndarray | None = None

    @cached_property
    def labels(self) -> Tensor:
        """The truth as the loss takes it."""
        if isinstance(self.head, Writer):
            return self.head.labels(self.truth.tolist())
        return self.target.scaled(self.truth)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.backbone.trunk.parameters()).device

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return math.ceil(len(self.states[-1].read_apart(self.fitted)) / self.schedule.batch_size)

    @property
    def epochs(self) -> int:
        """Epochs that are run, at most."""
        return self.schedule.epochs if self.stop_after is None else min(self.stop_after, self.schedule.epochs)

    @property
    def learnable(self) -> int:
        """How many numbers may change, the head's not counted."""
        resting = 0 if self.vocabulary is None else self.vocabulary.resting
        return sum(one.numel() for one in self.backbone.trunk.parameters() if one.requires_grad) - resting

    def at(self, epoch: int) -> States:
        """Return the examples at the cut of an epoch: the cut goes down in equal parts of the whole schedule."""
        return self.states[epoch * len(self.states) // self.schedule.epochs]

    @property
    def chance(self) -> float:
        """The mean loss of always answering the shares, or the means, on what is learned from."""
        if isinstance(self.head, Writer):
            return self.head.chance
        truth = self.truth[self.fitted]
        if isinstance(self.target, Targets):
            return self.target.chance(truth, self.chances)
        return self.target.chance(truth)

    def batches(self, epoch: int) -> list[list[int]]:
        """Return the places of an epoch's batches."""
        places, key = self.fitted, (self.seed, epoch)
        if self.chances is not None:
            places = np.random.default_rng((*key, 1)).choice(places, len(places), p=self.chances)
        return batches_of(self.at(epoch), places, self.schedule.batch_size, key)

    def losses(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return a batch's losses (n,), or of several targets (n, t), and what holds learning back on it, a number.

        Args:
            features: (n, d) of the batch, or (n, l, d + 1) where a text is written from them.
            labels: its truth, as the loss takes it.
        """
        held_back = torch.zeros((), device=features.device)
        if isinstance(self.head, Writer):
            with learned_from(self.device, self.precision):
                return self.head.losses(features, labels), held_back
        if self.relation is not None:
            held_back = held_back + self.schedule.relation * self.relation.loss(features, labels).mean()
        if self.schedule.shrinkage:
            held_back = held_back + self.schedule.shrinkage * weakest_direction(features)
        return self.target.loss(self.head(features), labels), held_back
