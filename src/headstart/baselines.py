"""What no transfer gives: the commonest answer, and a linear model on classical features."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.feature_extraction.text import TfidfVectorizer

from headstart.cache import the_cache
from headstart.data import Dataset
from headstart.data.images import open_image
from headstart.strategies.probe import Fitted, Probe, fit_probe
from headstart.tasks import UNKNOWN, Task

TEXT_STRENGTHS = (1.0, 10.0, 100.0)
TEXT_FOLDS = 3
RARE_FROM = 2000
"""From this many texts on, words and pairs that stand in one text only are left out."""

SIDE = 64
CELLS = 4
ORIENTATIONS = 8
COLOURS = 8
DESCRIPTORS = 1
"""Goes up whenever descriptors are computed otherwise."""

MAJORITY, CLASSICAL = "majority", "classical"


def majority(train: Dataset, task: Task, n: int) -> np.ndarray:
    """Return the outputs (n, c) or (n,) of always giving the training set's shares, or its mean."""
    truth = task.encode(train.values)
    if task.kind == "regression":
        return np.full(n, truth.mean())
    if task.kind == "multilabel":
        return np.tile(truth.mean(0), (n, 1))
    counts = np.bincount(truth[truth != UNKNOWN], minlength=task.n_outputs)
    return np.tile(counts / counts.sum(), (n, 1))


def classical(
    train: Dataset, test: Dataset, task: Task, *, held: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """Return the outputs on `test` of a linear model on features that nobody pretrained.

    Texts: TF-IDF of words and word pairs.
    Images: histograms of colour and of gradient directions on a grid (after Dalal and Triggs 2005), and a thumbnail.
    The penalty is chosen as the probe's is.
    """
    if train.modality == "text":
        words = _words_of(train)
        features, tested = words.transform(list(train.inputs)), words.transform(list(test.inputs))
    else:
        features, tested = _descriptors(train), _descriptors(test)
    fitted = fit_probe(_probe(train, TEXT_FOLDS), features, train, held, task, seed=seed)
    return task.outputs(fitted.head.logits(tested))


def fit_classical(train: Dataset, task: Task, *, seed: int = 0) -> Fitted:
    """Fit the same model, and say what it answers out of fold, on a probe's own folds.

    Words are counted over all texts, those that are held out included: that takes no label.
    """
    features = _words_of(train).transform(list(train.inputs)) if train.modality == "text" else _descriptors(train)
    return fit_probe(_probe(train), features, train, None, task, seed=seed)


def _probe(train: Dataset, text_folds: int | None = None) -> Probe:
    if train.modality != "text":
        return Probe()
    return Probe(strengths=TEXT_STRENGTHS, folds=text_folds or Probe().folds)


def _words_of(train: Dataset) -> TfidfVectorizer:
    """Return what counts the words and pairs of words of texts."""
    rarest = 2 if len(train) >= RARE_FROM else 1
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=rarest, token_pattern=r"(?u)\b\w+\b|[^\w\s]")
    return words.fit(list(train.inputs))


def _descriptors(data: Dataset) -> np.ndarray:
    """Return the descriptors (n, d) of pictures, from the cache where they were computed before."""
    shelf = the_cache().shelf({"kind": "descriptors", "version": DESCRIPTORS, "pillow": version("pillow")})
    found = shelf.find(data.contents)
    lacking = np.flatnonzero(found[:, 0] < 0)
    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(_descriptor, [data.inputs[place] for place in lacking.tolist()]))
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


def _descriptor(source: Any) -> np.ndarray:
    picture = open_image(source, hint_size=SIDE)
    if isinstance(picture, np.ndarray):
        bands = [Image.fromarray(band).resize((SIDE, SIDE)) for band in np.moveaxis(picture, 2, 0)]
        pixels = np.stack([np.asarray(band) for band in bands], 2)
    else:
        pixels = np.asarray(picture.resize((SIDE, SIDE)), dtype=np.float32) / 255
    grey = pixels.mean(2)
    colours = [np.histogram(band, COLOURS, (0, 1))[0] / band.size for band in np.moveaxis(pixels, 2, 0)]
    thumbnail = grey.reshape(CELLS * 2, -1, CELLS * 2, SIDE // CELLS // 2).mean((1, 3)).ravel()
    return np.concatenate([*colours, _directions(grey), thumbnail]).astype(np.float32)


def _directions(grey: np.ndarray) -> np.ndarray:
    """Return histograms of gradient directions, weighted by strength, in a grid of cells, each of unit length."""
    down, right = np.gradient(grey)
    strength = np.hypot(down, right)
    direction = (np.arctan2(down, right) % np.pi * ORIENTATIONS / np.pi).astype(int) % ORIENTATIONS
    rows, columns = np.indices(grey.shape) * CELLS // SIDE
    place = (rows * CELLS + columns) * ORIENTATIONS + direction
    cells = np.bincount(place.ravel(), strength.ravel(), CELLS * CELLS * ORIENTATIONS).reshape(-1, ORIENTATIONS)
    return np.asarray((cells / (np.linalg.norm(cells, axis=1, keepdims=True) + 1e-3)).ravel())
