"""Adaptation: one backbone and one strategy make a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from headstart import baselines
from headstart.backbones.backbone import Backbone
from headstart.backbones.catalogue import DEFAULTS
from headstart.backbones.sources import load_backbone
from headstart.data import Dataset
from headstart.errors import DataError, OptionError
from headstart.features import extract
from headstart.model import Model, fingerprints
from headstart.progress import Progress, silent
from headstart.strategies.probe import Probe, fit_probe
from headstart.tasks import Task


def adapt(
    train: Dataset,
    *,
    backbone: str | Backbone | None = None,
    strategy: Probe | None = None,
    validation: Dataset | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Model:
    """Make a model from labelled examples, a backbone and a strategy.

    Args:
        train: what is learned from; a given test part in it never is.
        backbone: a name as `load_backbone` takes it, or a loaded backbone; the modality's default otherwise.
        strategy: `Probe()` by default.
        validation: what choices are made on; cross-validation inside `train` otherwise. It is learned from as well,
            once the choices are made.
        seed: of the folds.
        progress: called with (phase, done, total).

    Raises:
        DataError: the examples do not fit the backbone, or there is nothing to learn.
        BackboneError: there is no such backbone.

    Example:
        >>> import headstart as hs
        >>> data = hs.read([("good film", "yes"), ("bad film", "no"), ("fine play", "yes"), ("dull", "no")])
        >>> hs.adapt(data, backbone="wordllama", strategy=hs.Probe()).record["strategy"]
        'probe'
    """
    strategy = _checked(train, strategy, seed)
    train, validation = _without_test(train, validation)
    loaded = backbone if isinstance(backbone, Backbone) else load_for(train, backbone)
    require_modality(loaded, train)
    examples = train if validation is None else train.joined_with(validation)
    held = None if validation is None else np.arange(len(examples)) >= len(train)
    task = learned_task(examples)
    features = extract(loaded, examples.inputs, cut=strategy.cut, progress=progress)
    fitted = fit_probe(strategy, features, examples, held, task, seed=seed, progress=progress)
    cut = None if strategy.cut is None else loaded.replay.resolve(strategy.cut)
    record = {
        "strategy": strategy.name,
        "cut": cut if cut is not None else "top",
        "strength": fitted.strength,
        "balanced": fitted.balanced,
        "losses": {f"{strength:g}": loss for strength, loss in fitted.losses.items()},
        "chosen_on": fitted.chosen_on,
        "seed": seed,
        "n": {"train": len(train), "validation": len(validation) if validation is not None else 0},
        "majority": baselines.majority(examples, task, 1).reshape(-1).tolist(),
        "notes": list(fitted.notes),
    }
    return Model(loaded, cut, fitted.head, task, train.columns, record, fingerprints(examples.contents))


def _checked(train: object, strategy: object, seed: object) -> Probe:
    if not isinstance(train, Dataset):
        raise DataError("this is not a data set.", expected="what hs.read returns", got=type(train).__name__)
    if strategy is not None and not isinstance(strategy, Probe):
        raise OptionError("the strategy is unknown.", expected="hs.Probe()", got=repr(strategy))
    if not isinstance(seed, int):
        raise OptionError("the seed is no whole number.", expected="a whole number", got=repr(seed))
    return strategy or Probe()


def _without_test(train: Dataset, validation: Dataset | None) -> tuple[Dataset, Dataset | None]:
    """Keep a given test part out of training, and make a given validation part what choices are made on."""
    if train.given is None or set(train.given) == {"train"}:
        return train, validation
    given = train.given_part("validation")
    learned = train.given_part("train")
    if not len(learned):
        raise DataError("the given split has no train part.", expected="train, and validation or test")
    return learned, validation if validation is not None or not len(given) else given


def require_modality(backbone: Backbone, data: Dataset) -> None:
    """Raise a `DataError` unless a backbone reads what a data set holds."""
    if backbone.card.modality != data.modality:
        raise DataError(
            f"{backbone.name} reads {backbone.card.modality}s.",
            expected=f"a backbone for {data.modality}s",
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
    if task.kind == "regression":
        return task
    values: Sequence[object] = examples.values
    if task.kind == "multilabel":
        values = [label for labels in examples.values if isinstance(labels, tuple) for label in labels]
    labels = tuple(sorted({str(value) for value in values}))
    if len(labels) < (2 if task.kind == "classification" else 1):
        raise DataError(
            f"the training examples hold only one label of {task.target!r}: nothing to learn.",
            expected="two or more labels",
            got=", ".join(labels) or "none",
        )
    return replace(task, labels=labels)
