"""What no transfer gives: the commonest answer, and a linear model on classical features."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from headstart.backbones.backbone import Backbone
from headstart.backbones.classical import DESCRIPTORS, Vocabulary, descriptor, on_descriptors, on_words
from headstart.cache import the_cache
from headstart.data import Dataset
from headstart.heads import LinearHead
from headstart.metrics import TINY
from headstart.strategies.probe import Fitted, Probe, fit_probe
from headstart.strategies.without import Classical, Majority
from headstart.tasks import UNKNOWN, Task

TEXT_FOLDS = 3
MAJORITY, CLASSICAL = Majority.name, Classical.name


def majority(train: Dataset, task: Task, n: int) -> np.ndarray:
    """Return the outputs (n, c) or (n,) of always giving the training set's shares, or its mean."""
    return np.tile(_shares(task, task.encode(train.values)), (n, 1) if task.kind != "regression" else n)


def classical(
    train: Dataset, test: Dataset, task: Task, *, held: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """Return the outputs on `test` of a linear model on classical features; see `Classical`."""
    words = Vocabulary.of([str(text) for text in train.inputs]) if train.modality == "text" else None
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
    if isinstance(strategy, Majority):
        return _constant(train, task, [held] if held is not None else train.held_in_turn(strategy.folds, seed=seed))
    words = Vocabulary.of([str(text) for text in train.inputs]) if train.modality == "text" else None
    fitted = fit_probe(_probe(strategy, train), _features(train, words), train, held, task, seed=seed)
    weight = fitted.head.weight
    own = on_words(words, weight) if words is not None else on_descriptors(train.channels or 3, weight)
    head = LinearHead(np.eye(len(weight), dtype=np.float32), fitted.head.bias.astype(np.float32))
    return own, replace(fitted, head=head)


def _constant(train: Dataset, task: Task, folds: list[np.ndarray]) -> tuple[Backbone, Fitted]:
    """Return a network that gives the same answer to everything."""
    truth, c = task.encode(train.values), task.n_outputs
    bias = _as_logits(task, _shares(task, truth))
    outputs = np.zeros((len(train),) if task.kind == "regression" else (len(train), c))
    for fold in folds:
        outputs[fold] = _shares(task, truth[~fold])
    own = on_words(Vocabulary((), np.zeros(0)), np.zeros((c, 0)))
    if train.modality == "image":
        own = on_descriptors(train.channels or 3, np.zeros((c, len(descriptor(train.inputs[0])))))
    head = LinearHead(np.eye(c, dtype=np.float32), bias.astype(np.float32))
    seen = np.logical_or.reduce(folds) if folds else np.zeros(len(train), dtype=bool)
    return own, Fitted(head, 0.0, False, {}, "nothing: there is nothing to choose", outputs, seen)


def _shares(task: Task, truth: np.ndarray) -> np.ndarray:
    """Return the answer () or (c,) that suits all of some examples best."""
    if task.kind == "regression":
        return np.asarray(truth.mean())
    if task.kind == "multilabel":
        return np.asarray(truth.mean(0))
    counts = np.bincount(truth[truth != UNKNOWN], minlength=task.n_outputs)
    return np.asarray(counts / counts.sum())


def _as_logits(task: Task, shares: np.ndarray) -> np.ndarray:
    """Return the logits (c,) whose outputs are some shares."""
    if task.kind == "regression":
        return shares.reshape(1)
    shares = np.clip(shares, TINY, 1 - TINY)
    return np.asarray(np.log(shares) if task.kind == "classification" else np.log(shares / (1 - shares)))


def features_without(data: Dataset) -> Any:
    """Return the features (n, d) that nobody pretrained, sparse for texts; see `Classical`."""
    return _features(data, Vocabulary.of([str(text) for text in data.inputs]) if data.modality == "text" else None)


def _probe(strategy: Classical, train: Dataset) -> Probe:
    return Probe(strengths=strategy.tried(train.modality), folds=strategy.folds)


def _features(data: Dataset, words: Vocabulary | None) -> Any:
    """Return words counted (n, d), sparse, or the descriptors of pictures (n, d)."""
    return words.counted([str(text) for text in data.inputs]) if words is not None else _descriptors(data)


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
