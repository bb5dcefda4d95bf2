"""The ground that strategies stand on: one backbone and one set of examples, the same for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np

from headstart import __version__
from headstart.asking import answered_as_it_is, asker
from headstart.backbones.backbone import Backbone
from headstart.backbones.card import CLASSICAL
from headstart.backbones.catalogue import DEFAULTS
from headstart.backbones.decoders import by_token
from headstart.backbones.forecasters import forecasts_for
from headstart.backbones.series import LIBRARY
from headstart.backbones.sources import load_backbone
from headstart.checkpoints import Checkpoints, digest_of
from headstart.data import Dataset, splits
from headstart.data.words import texts_of
from headstart.errors import BackboneError, DataError, OptionError
from headstart.frozen.execution import EXACT, Execution
from headstart.frozen.features import count_lacking, features_at
from headstart.frozen.passes import top_shelf
from headstart.frozen.states import Storage, states_at
from headstart.frozen.trials import exact_few
from headstart.heads import LinearHead, fit_head
from headstart.progress import Progress
from headstart.strategies import Strategy, as_fields
from headstart.strategies.probe import CHOOSING_TOLERANCE, DEFAULT_STRENGTH, Fitted, Probe, fit_probe, is_learned
from headstart.strategies.zeroshot import asked_of, fit_zero_shot
from headstart.summarizing import fit_extracts
from headstart.tasks import Task
from headstart.wording import plural

UNFINISHED = 5
"""Goes up whenever unfinished work of another commit could not be gone on with."""

DEPENDENCIES = ("torch", "timm", "transformers", "tokenizers", "peft", "numpy", "pillow")
WAVERS = 0.1
"""What an answer's probability may differ by, or a number's share of the spread, where the answer itself differs."""


@dataclass(frozen=True, eq=False)
class Ground:
    """What strategies are compared and learned on.

    Attributes:
        backbone: the source; never changed.
        train: the examples that are learned from.
        validation: those that choices are made on, and then learned from as well; None chooses by cross-validation.
        seed: of the folds and of everything drawn.
        keeper: where unfinished work is kept.
        progress: called with (phase, done, total).
        execution: how frozen stages are run.
        cuts: where features are read beside the top.
        keeps: a cut whose states are kept in the same pass, and how; None keeps none.
    """

    backbone: Backbone
    train: Dataset
    validation: Dataset | None
    seed: int
    keeper: Checkpoints
    progress: Progress
    execution: Execution = EXACT
    cuts: tuple[int, ...] = ()
    keeps: tuple[int, Storage] | None = None

    @cached_property
    def network(self) -> Backbone:
        """What learns: the source or, where texts are written, the source token by token.

        Raises:
            BackboneError: it cannot write.
        """
        return by_token(self.backbone) if self.task.form == "text" else self.backbone

    @cached_property
    def examples(self) -> Dataset:
        """Everything that is learned from in the end."""
        return self.train if self.validation is None else self.train.joined_with(self.validation)

    @cached_property
    def held(self) -> np.ndarray | None:
        """Tell (n,) which examples are the validation set, where there is one."""
        return None if self.validation is None else np.arange(len(self.examples)) >= len(self.train)

    @property
    def held_share(self) -> float | None:
        """The share of the examples that is the validation set, where there is one."""
        return None if self.held is None else float(self.held.mean())

    @property
    def n_read(self) -> int:
        """How many inputs the network reads: the examples or, of words, their texts."""
        return int(texts_of(self.examples.inputs).max()) + 1

    @cached_property
    def task(self) -> Task:
        """The task with the labels that occur."""
        return learned_task(self.examples)

    @cached_property
    def truth(self) -> np.ndarray:
        """The examples' targets as numbers."""
        return self.task.encode(self.examples.values)

    @cached_property
    def units(self) -> np.ndarray | None:
        """The group (n,) of each example, where there are groups."""
        groups = self.examples.groups
        return np.unique(groups, return_inverse=True)[1] if groups is not None else None

    @property
    def features(self) -> np.ndarray:
        """The examples' features (n, d) at the top."""
        return self.features_at(None)

    def features_at(self, cut: int | None) -> np.ndarray:
        """Return the examples' features (n, d) at the top (None) or at one of `cuts`."""
        return self._features[cut]

    @cached_property
    def _features(self) -> dict[int | None, np.ndarray]:
        """The examples' features (n, d) by cut, None for the top, from one pass."""
        self._keep_states()
        cuts = [None, *dict.fromkeys(self.cuts)]
        return dict(zip(cuts, self.features_of(self.examples, cuts), strict=True))

    def _keep_states(self) -> None:
        """Leave the states at a cut in the cache, with the features at the top: what stands below is run once."""
        if self.keeps is None or not top_shelf(self.backbone, self.execution).keeps:
            return
        cut, storage = self.keeps
        states_at(
            self.backbone,
            self.examples.inputs,
            cut,
            storage=storage,
            execution=self.execution,
            contents=self.examples.contents,
            to_top=True,
            keeper=self.keeper,
            progress=self.progress,
        )

    def features_of(self, examples: Dataset, cuts: Sequence[int | None] = (None,)) -> list[np.ndarray]:
        """Return the features (n, d) of some examples at each cut, None for the top."""
        return features_at(
            self.backbone,
            examples.inputs,
            cuts,
            execution=self.execution,
            contents=examples.contents,
            keeper=self.keeper,
            progress=self.progress,
        )

    @property
    def lacking(self) -> int:
        """How many examples' features the cache has not."""
        return count_lacking(self.backbone, self.examples.contents, self.execution)

    @cached_property
    def is_faithful(self) -> bool:
        """Whether a head answers a few examples on fp32 features as on those it is fitted on, but where it wavers."""
        is_exact = (self.execution.precision, self.execution.backend) == (EXACT.precision, EXACT.backend)
        if is_exact or self.task.form == "text":
            return True
        few, exact = exact_few(self.backbone, self.examples.inputs, self.examples.contents)
        head = fit_head(self.features, self.truth, self.task, DEFAULT_STRENGTH, tolerance=CHOOSING_TOLERANCE)
        wanted, got = (self.task.outputs(head.logits(rows)) for rows in (exact, self.features[few]))
        scale = self.truth.std() if self.task.form == "number" else 1.0
        close = (np.abs(got - wanted) <= WAVERS * scale).reshape(len(few), -1).all(1)
        same = (self.task.decide(got) == self.task.decide(wanted)).reshape(len(few), -1).all(1)
        return bool((close | same).all())

    def probe(self, probe: Probe) -> Fitted:
        """Fit a probe on all examples."""
        if self.task.form == "text":
            return fit_extracts(
                probe,
                self.backbone,
                self.examples,
                self.task,
                held=self.held,
                execution=self.execution,
                seed=self.seed,
                progress=self.progress,
            )
        features = self.features_at(probe.cut)
        return fit_probe(probe, features, self.examples, self.held, self.task, seed=self.seed, progress=self.progress)

    def zero_shot(self) -> Fitted:
        """Return what the source says of the examples as it is: it has learned from none of them.

        Raises:
            OptionError: it has nothing to answer with or, of series, forecasts fewer steps.
        """
        if self.task.form != "path":
            return self._asked()
        own = forecasts_for(self.backbone)
        is_blank = not own and self.backbone.library == LIBRARY  # learning begins there, where nothing is learned yet
        if own < self.task.horizon and not is_blank:
            raise OptionError(
                "the source as it is does not answer this.",
                expected="a horizon up to the steps that the source forecasts",
                got=f"{self.backbone.name} forecasts {own} steps",
                hint="use --strategy probe",
            )
        asked = asked_of(self.examples, self.held)
        (features,) = self.features_of(self.examples.take(asked))
        return fit_zero_shot(features, self.examples, asked, self.held, self.task)

    def _asked(self) -> Fitted:
        writer, seen = asker(self.backbone, self.task, self.examples.values), np.ones(len(self.examples), dtype=bool)
        inputs = [str(text) for text in self.examples.inputs]
        outputs = answered_as_it_is(self.backbone, writer, self.task, inputs, self.progress)
        nothing = LinearHead(np.zeros((self.task.n_outputs, 1)), np.zeros(self.task.n_outputs))
        return Fitted(nothing, 0.0, False, {}, "nothing: nothing is learned", outputs, seen)

    def folds(self, k: int) -> list[np.ndarray]:
        """Return the held-out masks (n,) to compare by: the validation set, or k folds that hold something known."""
        if self.held is not None:
            return [self.held]
        masks = self.examples.held_in_turn(k, seed=self.seed)
        return [mask for mask in masks if (mask & is_learned(self.task, self.truth, ~mask)).any()]

    def question(self, strategies: Sequence[Strategy] | None, budget: float) -> dict[str, Any]:
        """Return what unfinished work must agree on to be gone on with."""
        return {
            "examples": digest_of(self.examples.contents, self.examples.values, self.examples.groups),
            "fold": digest_of(self.examples.fold),
            "validation": len(self.validation) if self.validation is not None else 0,
            "backbone": self.backbone.card.sha256,
            "strategies": None if strategies is None else [as_fields(strategy) for strategy in strategies],
            "budget": budget,
            "seed": self.seed,
            "format": UNFINISHED,
            "versions": {"headstart": __version__, **{name: version(name) for name in DEPENDENCIES}},
        }


def begin(
    train: Dataset,
    validation: Dataset | None,
    backbone: str | Backbone | None,
    seed: int,
    keeper: Checkpoints,
    progress: Progress,
) -> Ground:
    """Return the ground that strategies stand on, without a given test part.

    Raises:
        DataError: the examples do not fit the backbone.
        OptionError: the seed is below 0.
        BackboneError: there is no such backbone, or it has learned nothing.
    """
    require_one_target(train)
    seed = splits.require_seed(seed)
    train, validation = _without_test(train, validation)
    loaded = backbone if isinstance(backbone, Backbone) else load_for(train, backbone)
    require_source(loaded, train)
    return Ground(loaded, train, validation, seed, keeper, progress)


def require_one_target(data: Dataset) -> None:
    """Raise an `OptionError` where there are several targets: each is learned and judged by itself.

    Raises:
        OptionError: there are several.
    """
    if data.tasks:
        names = ", ".join(task.target for task in data.tasks)
        raise OptionError(
            "there are several targets.", expected="one", got=names, hint="use hs.fit_together, or name one"
        )


def _without_test(train: Dataset, validation: Dataset | None) -> tuple[Dataset, Dataset | None]:
    """Keep a given test part out of training, and make a given validation part what choices are made on."""
    if train.given is None or set(train.given) == {"train"}:
        return train, validation
    given = train.given_part("validation")
    learned = train.given_part("train")
    if not len(learned):
        raise DataError("the given split has no train part.", expected="train, and validation or test")
    return learned, validation if validation is not None or not len(given) else given


def require_source(backbone: Backbone, data: Dataset) -> None:
    """Raise a `DataError` unless a backbone reads what a data set holds, a `BackboneError` if it has learned nothing.

    A model without transfer counts words or describes pictures: there is no stage to carry over.
    """
    if backbone.library == CLASSICAL:
        raise BackboneError(
            "a model without transfer is no source: there is nothing in it to carry over.",
            expected="a pretrained backbone, or a model made from one",
            got=backbone.name,
            hint="headstart backbones lists what is available",
        )
    if backbone.card.modality != data.modality:
        raise DataError(
            f"{backbone.name} reads {plural(backbone.card.modality)}.",
            expected=f"a backbone for {plural(data.modality)}",
            got=backbone.name,
        )


def load_for(data: Dataset, name: str | None) -> Backbone:
    """Load the backbone of that name, or the modality's default, for pictures of the data's channel count."""
    return load_backbone(name or DEFAULTS[data.modality], channels=data.channels or 3)


def learned_task(examples: Dataset) -> Task:
    """Return the task with only the labels that occur: others cannot be learned.

    Raises:
        DataError: fewer than two labels occur.
    """
    task = examples.task
    if task.form in ("number", "path", "text"):
        return task
    values: Sequence[object] = examples.values
    if task.form == "labels":
        values = [label for labels in examples.values if isinstance(labels, tuple) for label in labels]
    labels = tuple(sorted({str(value) for value in values}))
    if len(labels) < (2 if task.form == "label" else 1):
        raise DataError(
            f"the training examples hold only one label of {task.target!r}: nothing to learn.",
            expected="two or more labels",
            got=", ".join(labels) or "none",
        )
    return replace(task, labels=labels)
