"""Tuning: a strategy that changes the network, from frozen features to what is saved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from headstart.backbones.backbone import Backbone, weights_hash
from headstart.backbones.card import MADE_HERE
from headstart.backbones.decoders import pooled, script_for
from headstart.backbones.forecasters import note_taught
from headstart.backbones.sources import source_head
from headstart.backbones.writers import Writer
from headstart.checkpoints import Checkpoints, digest_of
from headstart.data import Dataset
from headstart.devices import Precision, choose_device
from headstart.errors import OptionError
from headstart.frozen.execution import EXACT, Execution
from headstart.frozen.features import extract
from headstart.frozen.states import States, Storage, states_at
from headstart.heads import Head, LinearHead, fit_head
from headstart.learning.balance import BALANCES, Rule
from headstart.learning.lesson import Lesson
from headstart.learning.losses import Target, Targets, rarity
from headstart.learning.rates import RangeTest, range_test, seconds_a_step
from headstart.learning.relation import Relation
from headstart.learning.training import Trained, train
from headstart.learning.vocabulary import NarrowedTable, tokens_of
from headstart.progress import Progress, silent
from headstart.strategies import Learning, LoRA, below
from headstart.strategies.schedule import Schedule
from headstart.tasks import Several, Task
from headstart.writing.texts import Written

SOFTEST = 1e-3
"""The penalty C of the head that learning begins with, at most: a sharper one, fitted to more features than examples,
leaves the stages nothing to learn but its own noise (decisions/0007)."""

NO_HEAD = LinearHead(np.zeros((1, 1), dtype=np.float32), np.zeros(1, dtype=np.float32))
"""Of what writes: a decoder stands in its place."""

RANGE_TESTED = 512
"""Examples that a range test learns from, at most."""


@dataclass(frozen=True, eq=False)
class Tuning:
    """One strategy on one set of examples, ready to be trained on any part of them.

    What lies below the cuts is computed once, and shared by every training.

    Attributes:
        strategy: what may change, and how.
        source: the backbone it begins from; never changed.
        examples: all that may be learned from or answered.
        task: with the labels that can be learned, or several of them.
        schedule: all settled.
        states: the examples at each cut on the way down.
        features: (n, d) of the source's top, which the head begins on; None from scratch.
        strength: the penalty C of each target's head that learning begins with.
        balanced: whether the classes of each are weighed alike.
        seed: of everything drawn.
        precision: "fp32" or "bf16".
        keeper: where unfinished work is kept.
        known_head: what the source was trained with, where its classes are used; None otherwise.
        tokens: (m,) that the examples hold, the only ones whose vectors learn; None of what has no table of them.
        balance: how several targets are balanced.
        heads: of each of several targets the one that learning begins with; None where it is fitted.
    """

    strategy: Learning
    source: Backbone
    examples: Dataset
    task: Task | Several
    schedule: Schedule
    states: Sequence[States]
    features: np.ndarray | None
    strength: tuple[float, ...]
    balanced: tuple[bool, ...]
    seed: int
    precision: Precision
    keeper: Checkpoints
    known_head: tuple[np.ndarray, np.ndarray] | None = None
    tokens: np.ndarray | None = None
    balance: Rule = "sum"
    heads: tuple[LinearHead | None, ...] = ()

    @cached_property
    def truth(self) -> np.ndarray:
        """The examples' targets as numbers."""
        if isinstance(self.task, Several):
            return self.task.encode(self.examples.targets)
        return self.task.encode(self.examples.values)

    @property
    def cut(self) -> int:
        """Where the cut stays."""
        return self.states[-1].cut

    def train(
        self,
        fitted: np.ndarray,
        held: np.ndarray,
        name: str,
        *,
        stop_after: int | None = None,
        progress: Progress = silent,
    ) -> tuple[Lesson, Trained]:
        """Learn from some places, answer others after each epoch, and return both the lesson and how it went."""
        lesson = self.lesson(fitted, held, stop_after)
        trained = train(lesson, checkpoints=self.keeper, name=name, progress=progress)
        if lesson.vocabulary is not None:
            lesson.vocabulary.restore()
        return lesson, trained

    def lesson(self, fitted: np.ndarray, held: np.ndarray, stop_after: int | None = None) -> Lesson:
        """Return what a training on some places is made of."""
        own = self.strategy.begin(self.source, self.seed)
        target = self._target(self.truth[fitted])
        head = self._head(own, fitted, target)
        vocabulary = NarrowedTable.narrowed(own.trunk, self.tokens)
        return Lesson(
            own,
            head,
            self.states,
            self.truth,
            target,
            self.schedule,
            fitted,
            held,
            stop_after=stop_after,
            seed=self.seed,
            precision=self.precision,
            word=self.strategy.word,
            relation=self._relation(fitted),
            vocabulary=vocabulary,
            balance=BALANCES[self.balance]([one.kind for one in self._parts]),
            chances=self._chances(self.truth[fitted]),
        )

    @property
    def _parts(self) -> tuple[Task, ...]:
        return self.task.parts if isinstance(self.task, Several) else (self.task,)

    def _chances(self, truth: np.ndarray) -> np.ndarray | None:
        """Return how often the examples learned from are drawn, where rare targets are drawn more often."""
        if not (isinstance(self.task, Several) and self.balance == "sampled"):
            return None
        known = np.stack([self.task.of(truth, place)[0] for place in range(len(self.task.parts))], 1)
        weights = known @ np.array([rarity(one) for one in known.T])
        return np.asarray(weights / weights.sum())

    def _target(self, truth: np.ndarray) -> Target | Targets:
        """Return what is learned by, for the truth of the examples that are learned from."""
        if isinstance(self.task, Several):
            return Targets.of(
                self.task,
                truth,
                balanced=self.balanced,
                smoothing=self.schedule.smoothing,
                is_weighed=self.balance != "sampled",
            )
        return Target.of(self.task, truth, balanced=self.balanced[0], smoothing=self.schedule.smoothing)

    def _relation(self, fitted: np.ndarray) -> Relation | None:
        """Return how the source's classes stand to the target's, by the examples learned from, where that is used."""
        if self.known_head is None or self.features is None:
            return None
        return Relation.between(self.known_head, self.features[fitted], self.truth[fitted], self.task.n_outputs)

    def _head(self, own: Backbone, fitted: np.ndarray, target: Target | Targets) -> Head | Writer:
        """Return the head to begin with: the probe's, one that says nothing, or what writes."""
        if self.source.writes:
            return self._writer([str(text) for text in self.truth[fitted]])
        if isinstance(self.task, Task) and self.task.form == "path":
            return Head.as_it_is(self._width(own), self.task)
        if self.features is None:
            return Head.blank(self._width(own), self.task.n_outputs)
        features = self.features[fitted]
        start = self._start(features, self.truth[fitted])
        head = Head.on(features, start, target.centre, target.spread)
        return head if self.strategy.cuts_source else head.widened(self._width(own) - features.shape[1])

    def _writer(self, references: list[str]) -> Writer:
        """Return what writes to begin with: the source's own decoder, its layers as one, or one of random weights."""
        if self.strategy.cuts_source:
            writer = Writer.above(self.source, self.seed)
        else:
            script = script_for(self.strategy.begin(self.source, self.seed))
            writer = Writer.drawn(script, self.source.prepare.tokenizer, self.seed)  # type: ignore[attr-defined]
        own = writer.suited(references)
        own.smoothing = self.schedule.smoothing
        if own.continues and isinstance(self.strategy, LoRA):
            own.requires_grad_(False)
        return own

    def _start(self, features: np.ndarray, truth: np.ndarray) -> LinearHead:
        """Return the probe on features (n, d); of several targets their probes, one below the other."""
        task = self.task
        if not isinstance(task, Several):
            return fit_head(features, truth, task, self.strength[0], balanced=self.balanced[0])
        own = []
        for place, settings in enumerate(zip(task.parts, self.strength, self.balanced, strict=True)):
            (part, strength, balanced), (known, labels) = settings, task.of(truth, place)
            given = self.heads[place] if self.heads else None
            if given is not None:
                own.append(given)
            elif known.any():
                own.append(fit_head(features[known], labels, part, strength, balanced=balanced))
            else:
                own.append(LinearHead(np.zeros((part.n_outputs, features.shape[1])), np.zeros(part.n_outputs)))
        return LinearHead(np.concatenate([one.weight for one in own]), np.concatenate([one.bias for one in own]))

    def _width(self, own: Backbone) -> int:
        return int(extract(own, self.examples.inputs[:1]).shape[1])

    def finished(self, lesson: Lesson, data: str) -> tuple[Backbone, LinearHead]:
        """Return the trained network, with a card that says what it was made from, and its head.

        Of several targets it is their heads, one below the other.
        """
        own = self.strategy.finished(lesson.backbone)
        if self.source.writes:
            own = pooled(own)
        card = own.card
        if isinstance(self.task, Task) and self.task.form == "path":
            note_taught(own, self.source, self.task.horizon)
        learned = f"{len(lesson.fitted):,} examples of {data}"
        taught = learned if card.trained_on == "nothing" else f"{card.trained_on}; then {learned}"
        card = replace(
            card,
            name=f"{card.name}+{data}",
            trained_on=taught,
            source=MADE_HERE,
            sha256=weights_hash(own.trunk),
            lineage=(card.name, *card.lineage) if card.trained_on != "nothing" else (),
        )
        if isinstance(lesson.head, Writer):
            return replace(own, card=card), NO_HEAD
        head = lesson.head.as_linear(lesson.target.centre, lesson.target.spread)
        return replace(own, card=card), head

    def seconds_a_step(self) -> float:
        """Return what a step takes on this machine."""
        every = np.arange(len(self.examples))
        return seconds_a_step(self.lesson(every, every[:0]))

    def test_rates(self, *, progress: Progress = silent) -> RangeTest:
        """Find a rate on some of the examples."""
        every = np.arange(len(self.examples))
        fitted = every[:: math.ceil(len(every) / RANGE_TESTED)]
        return range_test(self.lesson(fitted, every[:0]), progress=progress)

    def at_rate(self, rate: float) -> Tuning:
        """Return the tuning with another rate; the head's changes in proportion."""
        head_rate = self.schedule.head_rate * rate / self.schedule.rate
        return replace(self, schedule=replace(self.schedule, rate=rate, head_rate=head_rate))


def begin_tuning(
    strategy: Learning,
    source: Backbone,
    examples: Dataset,
    task: Task | Several,
    *,
    features: np.ndarray | None,
    strength: float | Sequence[float],
    balanced: bool | Sequence[bool],
    storage: Storage = "whole",
    execution: Execution = EXACT,
    seed: int = 0,
    precision: Precision = "fp32",
    keeper: Checkpoints | None = None,
    tokens: np.ndarray | None = None,
    progress: Progress = silent,
) -> Tuning:
    """Compute what lies below a strategy's cuts, and settle its schedule.

    Args:
        strategy: what may change.
        source: where it begins.
        examples: all that may be learned from or answered.
        task: with the labels that can be learned.
        features: (n, d) of the source's top; None where the strategy does not begin from a probe.
        strength: the penalty C that the probe has chosen; of several targets each one's.
        balanced: whether the probe weighs classes alike; of several targets each one's.
        storage: how the states below a cut are kept.
        execution: how what lies below is run.
        seed: of everything drawn.
        precision: "fp32" or "bf16".
        keeper: where unfinished work is kept.
        tokens: (m,) whose vectors learn beside those that the examples hold.
        progress: called with (phase, done, total).

    Raises:
        OptionError: there is no such cut, or nothing above it to learn.
        DataError: an input cannot be read.
    """
    source.trunk.to(choose_device())
    first = below(strategy, source, seed)
    inputs, contents = _read_of(source, examples)
    states = [
        states_at(
            first,
            inputs,
            cut,
            storage=storage,
            augment=strategy.augment,
            views=strategy.views,
            execution=replace(execution, precision=precision),
            contents=contents,
            keeper=keeper,
            progress=progress,
        )
        for cut in strategy.cuts(source)
    ]
    schedule = strategy.settled(source)
    return Tuning(
        strategy,
        source,
        examples,
        task,
        schedule,
        states,
        features if strategy.starts_from_probe else None,
        tuple(min(float(one), SOFTEST) for one in np.atleast_1d(strength)),
        tuple(bool(one) for one in np.atleast_1d(balanced)),
        seed,
        precision,
        keeper or Checkpoints(),
        _head_of(source, task) if schedule.relation else None,
        tokens_of(first, states[-1].encoded, tokens) if states[-1].cut == 0 else None,
    )


def _read_of(source: Backbone, examples: Dataset) -> tuple[Sequence[Any], Sequence[str] | None]:
    """Return what is read of examples, and its hashes: a causal model reads a text's summary with it."""
    if not (source.writes and source.trunk.positions):
        return examples.inputs, examples.contents
    both = [digest_of(one, value) for one, value in zip(examples.contents, examples.values, strict=True)]
    return [Written(value, text) for value, text in zip(examples.values, examples.inputs, strict=True)], both  # type: ignore[arg-type]


def _head_of(source: Backbone, task: Task | Several) -> tuple[np.ndarray, np.ndarray]:
    """Return the head that a source was trained with.

    Raises:
        OptionError: it is not known, or the target has no single labels.
    """
    kind = task.kind if isinstance(task, Task) else "several targets"
    found = source_head(source.card) if kind == "classification" else None
    if found is None:
        raise OptionError(
            "Co-Tuning relates a source's classes to the target's.",
            expected="a backbone whose own classes are packaged, such as efficientnet_lite0, and one label an example",
            got=f"{source.name} for {kind}",
            hint="leave cotuning out",
        )
    return found
