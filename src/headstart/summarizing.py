"""Summarizing: what chooses sentences, fitted on the overlap with references, with transfer and without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from headstart.backbones.backbone import Backbone
from headstart.backbones.classical import Vocabulary, on_words
from headstart.data import Dataset, spread
from headstart.extracts import BESIDE, PLACE, STEADY, Decoding, Documents, counted_cosines, sentence_features
from headstart.frozen.execution import Execution
from headstart.heads import LinearHead, Parts
from headstart.progress import Progress, silent
from headstart.strategies.probe import DEFAULT_STRENGTH, Fitted, Probe
from headstart.strategies.without import Classical, Majority
from headstart.summaries import rouges
from headstart.tasks import Task
from headstart.writing.overlap import gain
from headstart.writing.texts import as_array
from headstart.writing.words import words_of

GAIN = Task("gain", "regression")
"""What the head learns of a sentence: how much of the reference it says."""

WORD_STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0)
DECODED_ON = 400
"""Texts that how many sentences are put together is chosen on, at most."""

AROUND = (0.75, 1.0, 1.25, 1.5)
"""Times as long as the references are: shares of the text that are tried."""

CENTROID = "centroid"
WORDS = {
    "majority": "the first sentences",
    "classical": "choosing sentences by their words",
    "probe": "choosing sentences by {}",
}
"""What contenders are called that choose sentences."""


def fit_extracts(
    probe: Probe,
    backbone: Backbone,
    train: Dataset,
    task: Task,
    *,
    held: np.ndarray | None = None,
    execution: Execution = STEADY,
    seed: int = 0,
    progress: Progress = silent,
) -> Fitted:
    """Fit what scores sentences by a source's frozen features; penalty and decoding are chosen out of fold.

    Args:
        probe: the settings.
        backbone: the source.
        train: the texts with their references, validation included.
        task: of the texts.
        held: (n,) which of them are the validation set; None chooses by cross-validation over texts.
        execution: how the frozen stages are run.
        seed: of the folds.
        progress: called with (phase, done, total).
    """
    documents = Documents.of(train.inputs)
    features = sentence_features(backbone, documents, probe.cut, execution=execution, progress=progress)
    return _chosen(features, documents, train, task, _folds(probe, train, held, seed), probe.strengths)


def fit_without_transfer(
    strategy: Classical | Majority, train: Dataset, task: Task, *, held: np.ndarray | None = None, seed: int = 0
) -> tuple[Backbone, Fitted]:
    """Fit what needs no source: the first sentences or, on words counted, the same scoring as a probe's.

    A sentence's cue words, place and length are Edmundson's (1969) and learned as Kupiec et al. (1995) do.
    """
    documents, folds = Documents.of(train.inputs), _folds(strategy, train, held, seed)
    if isinstance(strategy, Majority):
        fitted = _decoded(only(PLACE, -1.0, 1), _earliness(documents), documents, task.encode(train.values), folds)
        return on_words(Vocabulary((), np.zeros(0)), np.zeros((1, 0))), fitted
    words = Vocabulary.of(documents.texts)
    found = _chosen(_on_words(words, documents), documents, train, task, folds, strategy.strengths or WORD_STRENGTHS)
    weight = found.head.weight
    d = len(words.words)
    head = LinearHead(np.concatenate([np.ones((1, 1)), weight[:, d:]], 1), found.head.bias)
    return on_words(words, weight[:, :d]), replace(found, head=head)


def rivals(train: Dataset, test: Dataset, task: Task) -> dict[str, np.ndarray]:
    """Return what the first sentences, and those nearest to the centroid of a text's words, answer test texts.

    How many they are is chosen on the training texts.
    """
    asked = Documents.of(test.inputs)
    words = Vocabulary.of(tuple(map(str, train.inputs)))
    decodings = lead(train, task)
    return {name: asked.chosen(_plain(name, words, asked), Decoding(**own)) for name, own in decodings.items()}


def lead(train: Dataset, task: Task) -> dict[str, dict[str, Any]]:
    """Return how many of the first sentences, and of those nearest to the centroid, suit references, as JSON holds it.

    Each stands by the name of the baseline.
    """
    documents, truth = Documents.of(train.inputs), task.encode(train.values)
    words = Vocabulary.of(documents.texts)
    return {
        name: asdict(_decoding(_plain(name, words, documents), documents, truth)) for name in (Majority.name, CENTROID)
    }


def led(decodings: dict[str, dict[str, Any]], inputs: Sequence[object]) -> dict[str, np.ndarray]:
    """Return what `lead` says of texts, where the training texts are not at hand: words are weighed by these texts."""
    documents = Documents.of(inputs)
    words = Vocabulary.of(documents.texts)
    return {name: documents.chosen(_plain(name, words, documents), Decoding(**own)) for name, own in decodings.items()}


def _plain(name: str, words: Vocabulary, documents: Documents) -> np.ndarray:
    """Return the score (m,) of sentences that a baseline gives which learns nothing."""
    return _earliness(documents) if name == Majority.name else counted_cosines(words, documents)


def only(place: int, weight: float, before: int = 0) -> LinearHead:
    """Return a head that counts one feature of those beside a sentence's own, of which there are some before."""
    row = np.zeros((1, before + len(BESIDE)))
    row[0, before + place] = weight
    return LinearHead(row, np.zeros(1))


def _earliness(documents: Documents) -> np.ndarray:
    """Return a score (m,) that falls from sentence to sentence."""
    return -documents.beside(np.zeros(len(documents.sentences)))[:, PLACE]


def _folds(
    strategy: Probe | Classical | Majority, train: Dataset, held: np.ndarray | None, seed: int
) -> list[np.ndarray]:
    return [held] if held is not None else train.held_in_turn(strategy.folds, seed=seed)


def _on_words(words: Vocabulary, documents: Documents) -> Any:
    """Return words counted and what stands beside them (m, d + 10), sparse."""
    from scipy.sparse import csr_matrix, hstack

    beside = documents.beside(counted_cosines(words, documents))
    return hstack([words.counted(documents.sentences), csr_matrix(beside)]).tocsr()


def _chosen(
    features: Any,
    documents: Documents,
    train: Dataset,
    task: Task,
    folds: list[np.ndarray],
    strengths: Sequence[float],
) -> Fitted:
    """Choose the penalty by the error out of fold, then what is put together; fit on every sentence."""
    truth = task.encode(train.values)
    gains = np.array([gain(str(truth[n]), one) for n, one in zip(documents.member, documents.sentences, strict=True)])
    held = [fold[documents.member] for fold in folds]
    seen = np.logical_or.reduce(held) if held else np.zeros(len(gains), dtype=bool)
    losses, strength, best = {}, DEFAULT_STRENGTH, np.zeros(len(gains))
    parts = Parts(features, gains, GAIN, [~one for one in held]) if held else None
    for tried in sorted(strengths) if parts is not None else ():
        assert parts is not None
        scores = np.zeros(len(gains))
        for rows, head in zip(held, parts.heads(tried), strict=True):
            scores[rows] = head.logits(features[rows])[:, 0]
        losses[tried] = float(((scores - gains)[seen] ** 2).mean())
        if losses[tried] == min(losses.values()):
            strength, best = tried, scores
    (head,) = Parts(features, gains, GAIN, [np.ones(len(gains), dtype=bool)]).heads(strength)
    scores = best if held else head.logits(features)[:, 0]
    return replace(_decoded(head, scores, documents, truth, folds), strength=strength, losses=losses)


def _decoded(
    head: LinearHead, scores: np.ndarray, documents: Documents, truth: np.ndarray, folds: list[np.ndarray]
) -> Fitted:
    """Return a head with the decoding that suits best what it says of sentences (m,) it was not fitted on."""
    seen = np.logical_or.reduce(folds) if folds else np.zeros(len(truth), dtype=bool)
    decoding = _decoding(scores, documents, truth, np.flatnonzero(seen) if folds else None)
    words = f"{len(folds)}-fold cross-validation over the training texts" if len(folds) > 1 else "the validation set"
    chosen_on = words if folds else "nothing: too few examples"
    outputs = documents.chosen(scores, decoding)
    return Fitted(head, 0.0, False, {}, chosen_on, outputs, seen, decoding=asdict(decoding))


def _decoding(
    scores: np.ndarray, documents: Documents, truth: np.ndarray, places: np.ndarray | None = None
) -> Decoding:
    """Return how many sentences of some scores (m,) come nearest to the references (n,) by ROUGE-L, on some places."""
    places = np.arange(len(truth)) if places is None else places
    few = places[spread(len(places), DECODED_ON)]
    spans, texts = documents.spans, documents.texts
    sentences = [documents.sentences[spans[place]] for place in few]
    best, found = -1.0, Decoding()
    for tried in _tried([str(truth[place]) for place in few], [texts[place] for place in few], sentences):
        answers = [
            " ".join(own[one] for one in tried.places(scores[spans[place]], own))
            for place, own in zip(few.tolist(), sentences, strict=True)
        ]
        mean = float(rouges(truth[few], as_array(answers))[:, -1].mean())
        if mean > best:
            best, found = mean, tried
    return found


def _tried(references: Sequence[str], texts: Sequence[str], sentences: Sequence[Sequence[str]]) -> list[Decoding]:
    """Return how many sentences may suit: about as many, or as large a share of a text, as the references take."""
    wanted = [len(words_of(one)) for one in references]
    each = [max(1.0, len(words_of(text)) / len(own)) for text, own in zip(texts, sentences, strict=True)]
    usual = float(np.median([one / size for one, size in zip(wanted, each, strict=True)]))
    share = float(np.median([one / max(1, len(words_of(text))) for one, text in zip(wanted, texts, strict=True)]))
    counts = sorted({max(1, round(usual) + step) for step in (-1, 0, 1, 2)})
    plain = [Decoding(count) for count in counts]
    if max(map(len, sentences)) > 1:
        plain += [Decoding(1, round(min(1.0, share * times), 3)) for times in AROUND]
    return plain + [replace(one, is_varied=True) for one in plain if one.count > 1 or one.share]
