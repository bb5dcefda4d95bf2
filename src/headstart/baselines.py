"""What no transfer gives: the commonest answer, and a linear model on classical features."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from itertools import combinations
from typing import Any

import numpy as np
import torch

from headstart.backbones import local
from headstart.backbones.backbone import Backbone
from headstart.backbones.classical import DESCRIPTORS, Vocabulary, descriptor, on_descriptors, on_words
from headstart.cache import the_cache
from headstart.data import Dataset
from headstart.data.histories import History
from headstart.data.words import counted_of
from headstart.heads import LinearHead
from headstart.mistakes import TINY, errors_of
from headstart.strategies.probe import Fitted, Probe, calibrated, fit_probe
from headstart.strategies.without import Classical, Majority
from headstart.summarizing import fit_without_transfer
from headstart.tasks import UNKNOWN, Task

TEXT_FOLDS = 3
MAJORITY, CLASSICAL, LEXICON = Majority.name, Classical.name, "lexicon"


def majority(train: Dataset, task: Task, n: int) -> np.ndarray:
    """Return the outputs (n, c) or (n,) of always giving the training set's shares, or its mean; of series nothing."""
    if task.form == "path":
        return np.zeros((0, task.n_outputs))
    return np.tile(_shares(task, task.encode(train.values)), (n, 1) if task.form != "number" else n)


def lexicon(train: Dataset, test: Dataset, task: Task) -> np.ndarray:
    """Return the outputs (n, c) of giving each word the tags it had in training, by their shares; others all shares."""
    tags: dict[str, np.ndarray] = {}
    for word, tag in zip(train.inputs, task.encode(train.values).tolist(), strict=True):
        if tag != UNKNOWN:
            tags.setdefault(str(word).lower(), np.zeros(task.n_outputs))[tag] += 1
    usual = _shares(task, task.encode(train.values))
    rows = [tags.get(str(word).lower(), usual) for word in test.inputs]
    return np.stack([row / row.sum() for row in rows])


def classical(
    train: Dataset, test: Dataset, task: Task, *, held: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """Return the outputs on `test` of a linear model on classical features; see `Classical`."""
    words = Vocabulary.of(counted_of(train.inputs)) if train.modality == "text" else None
    setting = Classical(folds=TEXT_FOLDS) if train.modality == "text" else Classical()
    fitted = fit_probe(_probe(setting, train), _features(train, words), train, held, task, seed=seed)
    return task.outputs(fitted.head.logits(_features(test, words)))


def fit_without(
    strategy: Classical | Majority,
    train: Dataset,
    task: Task,
    *,
    held: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[Backbone, Fitted]:
    """Fit what needs no source, say what it answers to examples it was not fitted on, and return it as a network.

    Words are counted over all texts, those that are held out included: that takes no label.

    Args:
        strategy: which.
        train: the examples, validation included.
        task: with the labels that occur in `train`.
        held: (n,) which of them are the validation set; None answers out of fold, on a probe's own folds.
        seed: of the folds.
    """
    if task.form == "path":
        return _alone(strategy, train, task, held)
    if task.form == "text":
        return fit_without_transfer(strategy, train, task, held=held, seed=seed)
    if isinstance(strategy, Majority):
        return _constant(train, task, [held] if held is not None else train.held_in_turn(strategy.folds, seed=seed))
    words = Vocabulary.of(counted_of(train.inputs)) if train.modality == "text" else None
    fitted = fit_probe(_probe(strategy, train), _features(train, words), train, held, task, seed=seed)
    weight = fitted.head.weight
    own = on_words(words, weight) if words is not None else on_descriptors(train.channels or 3, weight)
    head = LinearHead(np.eye(len(weight), dtype=np.float32), fitted.head.bias.astype(np.float32))
    return own, replace(fitted, head=head)


def _constant(train: Dataset, task: Task, folds: list[np.ndarray]) -> tuple[Backbone, Fitted]:
    """Return a network that gives the same answer to everything."""
    truth, c = task.encode(train.values), task.n_outputs
    bias = _as_logits(task, _shares(task, truth))
    outputs = np.zeros((len(train),) if task.form == "number" else (len(train), c))
    for fold in folds:
        outputs[fold] = _shares(task, truth[~fold])
    own = on_words(Vocabulary((), np.zeros(0)), np.zeros((c, 0)))
    if train.modality == "image":
        own = on_descriptors(train.channels or 3, np.zeros((c, len(descriptor(train.inputs[0])))))
    head = LinearHead(np.eye(c, dtype=np.float32), bias.astype(np.float32))
    seen = np.logical_or.reduce(folds) if folds else np.zeros(len(train), dtype=bool)
    return own, Fitted(head, 0.0, False, {}, "nothing: there is nothing to choose", outputs, seen)


def _alone(
    strategy: Classical | Majority, train: Dataset, task: Task, held: np.ndarray | None
) -> tuple[Backbone, Fitted]:
    """Return what forecasts each history by itself: on others it is seen how wide intervals are, and what is combined.

    Of exponential smoothing, Theta and ARIMA the median of those is taken that erred least on held-out examples.
    """
    asked = np.flatnonzero(np.ones(len(train), dtype=bool) if held is None else held)
    shown, methods = train.take(asked), local.FITTED if isinstance(strategy, Classical) else (walk_of(train),)
    found, truth = local.forecasts(histories_of(shown), methods, task.horizon), task.encode(shown.values)
    several = [one for k in range(len(methods), 0, -1) for one in combinations(range(len(methods)), k)]
    each = [local.combined(found[:, list(places)]) for places in several]
    best = min(range(len(each)), key=lambda place: float(errors_of(task, truth, each[place]).mean()))
    own = local.on_histories([methods[place] for place in several[best]], task.horizon)
    outputs, seen = np.zeros((len(train), task.n_outputs)), np.zeros(len(train), dtype=bool)
    outputs[asked], seen[asked] = each[best], True
    c = task.n_outputs
    head = LinearHead(np.eye(c, dtype=np.float32), np.zeros(c, dtype=np.float32))
    head, outputs = calibrated(task, head, outputs, seen, train, least=1.0)
    return own, Fitted(head, 0.0, False, {}, "nothing: there is nothing to choose", outputs, seen)


def each_alone(data: Dataset, task: Task) -> dict[str, np.ndarray]:
    """Return the outputs (n, h·9) of each local method on histories, by its name, and of what is combined of them."""
    found = local.forecasts(histories_of(data), local.METHODS, task.horizon)
    own = {name: local.combined(found[:, place, None]) for place, name in enumerate(local.METHODS)}
    return {**own, CLASSICAL: local.combined(found[:, -len(local.FITTED) :])}


def walk_of(data: Dataset) -> str:
    """Return which walk gives series their last season again: where there is none it is the random walk."""
    return "seasonal_naive" if any(one.season > 1 for one in histories_of(data)) else "random_walk"


def histories_of(data: Dataset) -> list[History]:
    """Return the inputs of a data set of series."""
    return [one for one in data.inputs if isinstance(one, History)]


def _shares(task: Task, truth: np.ndarray) -> np.ndarray:
    """Return the answer () or (c,) that suits all of some examples best."""
    if task.form == "number":
        return np.asarray(truth.mean())
    if task.form == "labels":
        return np.asarray(truth.mean(0))
    counts = np.bincount(truth[truth != UNKNOWN], minlength=task.n_outputs)
    return np.asarray(counts / counts.sum())


def _as_logits(task: Task, shares: np.ndarray) -> np.ndarray:
    """Return the logits (c,) whose outputs are some shares."""
    if task.form == "number":
        return shares.reshape(1)
    shares = np.clip(shares, TINY, 1 - TINY)
    return np.asarray(np.log(shares) if task.form == "label" else np.log(shares / (1 - shares)))


def features_without(data: Dataset) -> Any:
    """Return the features (n, d) that nobody pretrained, sparse for texts; see `Classical`."""
    return _features(data, Vocabulary.of(counted_of(data.inputs)) if data.modality == "text" else None)


def _probe(strategy: Classical, train: Dataset) -> Probe:
    return Probe(strengths=strategy.tried(train.modality), folds=strategy.folds)


def _features(data: Dataset, words: Vocabulary | None) -> Any:
    """Return words counted (n, d), sparse, or the descriptors of pictures (n, d)."""
    return words.counted(counted_of(data.inputs)) if words is not None else _descriptors(data)


def _descriptors(data: Dataset) -> np.ndarray:
    """Return the descriptors (n, d) of pictures, from the cache where they were computed before."""
    shelf = the_cache().shelf({"kind": "descriptors", "version": DESCRIPTORS, "pillow": version("pillow")})
    found = shelf.find(data.contents)
    lacking = np.flatnonzero(found[:, 0] < 0)
    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(descriptor, [data.inputs[place] for place in lacking.tolist()]))
    if not rows:
        return np.asarray(shelf.stacked(found).numpy())
    computed = np.stack(rows)
    shelf.add_many([data.contents[place] for place in lacking.tolist()], torch.from_numpy(computed))
    shelf.write()
    descriptors = np.empty((len(data), computed.shape[1]), dtype=np.float32)
    descriptors[lacking] = computed
    if len(rows) < len(data):
        known = found[:, 0] >= 0
        descriptors[known] = shelf.stacked(found[known]).numpy()
    return descriptors
