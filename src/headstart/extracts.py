"""Extracts: texts taken apart into sentences, a score for each from frozen features, and which are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from headstart.backbones.card import CLASSICAL
from headstart.frozen.execution import EXACT, Execution
from headstart.frozen.features import features_of
from headstart.heads import LinearHead
from headstart.progress import Progress, silent
from headstart.writing.overlap import trigrams_of
from headstart.writing.sentences import sentences_of
from headstart.writing.texts import Written, as_array
from headstart.writing.words import words_of

if TYPE_CHECKING:
    from headstart.backbones.backbone import Backbone

STEADY = replace(EXACT, cached=True)
"""How sentences are read where they are answered: rounded alike, however many there are."""

BESIDE = ("first", "second", "third", "last", "before_last", "place", "words", "words²", "sentences", "cosine")
"""What stands beside a sentence's embedding or words, in this order."""

PLACE, COSINE = BESIDE.index("place"), BESIDE.index("cosine")


@dataclass(frozen=True)
class Decoding:
    """Which sentences are put together, once each has a score.

    Attributes:
        count: how many of a text, 1 or more; where there is a share, the least.
        share: how many of a text's sentences, in [0, 1]; 0 goes by the count.
        is_varied: whether a sentence is passed over that has three words in a row in common with one that is chosen
            (trigram blocking: Paulus et al. 2018, section 2.5).
    """

    count: int = 1
    share: float = 0.0
    is_varied: bool = False

    def places(self, scores: np.ndarray, sentences: Sequence[str]) -> tuple[int, ...]:
        """Return the places of the sentences that score highest (m,), in the order of the text; at least one."""
        wanted = max(self.count, round(self.share * len(scores)))
        chosen: list[int] = []
        taken: frozenset[tuple[str, ...]] = frozenset()
        for place in np.argsort(-scores, kind="stable").tolist():
            own = trigrams_of(sentences[place]) if self.is_varied else frozenset()
            if len(chosen) < wanted and not own & taken:
                chosen.append(place)
                taken |= own
        return tuple(sorted(chosen))


@dataclass(frozen=True, eq=False)
class Documents:
    """Texts and their sentences.

    Attributes:
        texts: (n,) as they are.
        sentences: (m,) of all of them, one after another.
        starts: (n + 1,) where each text's sentences begin, and where the last one's end.
    """

    texts: tuple[str, ...]
    sentences: tuple[str, ...]
    starts: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[object]) -> Documents:
        """Return texts with their sentences."""
        parts = [sentences_of(str(text)) for text in texts]
        starts = np.cumsum([0, *map(len, parts)])
        return cls(tuple(map(str, texts)), tuple(one for part in parts for one in part), starts)

    @cached_property
    def member(self) -> np.ndarray:
        """The text (m,) that each sentence belongs to."""
        return np.repeat(np.arange(len(self.texts)), np.diff(self.starts))

    @property
    def spans(self) -> list[slice]:
        """Where the sentences of each text stand."""
        return [slice(start, end) for start, end in pairwise(self.starts.tolist())]

    def means(self, rows: np.ndarray) -> np.ndarray:
        """Return the mean (n, d) over each text's sentences of some rows (m, d)."""
        return np.asarray(np.add.reduceat(rows, self.starts[:-1], axis=0) / np.diff(self.starts)[:, None])

    def chosen(self, scores: np.ndarray, decoding: Decoding) -> np.ndarray:
        """Return the summaries (n,) that sentences of some scores (m,) are put together to."""
        found = []
        for text, span in zip(self.texts, self.spans, strict=True):
            own = self.sentences[span]
            places = decoding.places(scores[span], own)
            found.append(Written(" ".join(own[place] for place in places), text, places))
        return as_array(found)

    def beside(self, cosines: np.ndarray) -> np.ndarray:
        """Return what `BESIDE` names of each sentence (m, 10): where it stands, how long it is, and its cosine (m,)."""
        sizes = np.diff(self.starts)[self.member]
        places = np.arange(len(self.sentences)) - self.starts[:-1][self.member]
        words = np.log1p([len(words_of(one)) for one in self.sentences]) / 3
        ends = [places == 0, places == 1, places == 2, places == sizes - 1, places == sizes - 2]
        return np.stack([*ends, places / np.maximum(1, sizes - 1), words, words**2, sizes / 10, cosines], 1)


def cosines_with(rows: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return the cosine (m,) between rows (m, d) and others (m, d)."""
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(means, axis=1)
    return np.asarray((rows * means).sum(1) / np.maximum(lengths, 1e-9))


def sentence_features(
    backbone: Backbone,
    documents: Documents,
    cut: int | None = None,
    *,
    execution: Execution = STEADY,
    progress: Progress = silent,
) -> np.ndarray:
    """Return the features (m, d + 10) of sentences: the backbone's, and what stands beside them.

    Of what counts words they are the sum of the words' weights, and the cosine is with the text's TF-IDF: the centroid
    of Radev et al. (2004); otherwise it is with the mean over the text's sentences.
    """
    own = features_of(backbone, documents.sentences, cut=cut, execution=execution, progress=progress)
    if backbone.library == CLASSICAL:
        cosines = counted_cosines(backbone.prepare.tokenizer, documents)  # type: ignore[attr-defined]
    else:
        cosines = cosines_with(own, documents.means(own)[documents.member])
    return np.concatenate([own, documents.beside(cosines)], 1)


def counted_cosines(words: object, documents: Documents) -> np.ndarray:
    """Return the cosine (m,) between the TF-IDF of each sentence and the sum over its text's."""
    from scipy.sparse import csr_matrix

    rows, m = words.counted(documents.sentences), len(documents.sentences)  # type: ignore[attr-defined]
    texts = csr_matrix((np.ones(m), (documents.member, np.arange(m)))) @ rows
    lengths = np.sqrt(np.asarray(texts.multiply(texts).sum(1))).ravel()[documents.member]
    found = np.asarray(rows.multiply(texts[documents.member]).sum(1), dtype=np.float64).ravel()
    return np.asarray(found / np.maximum(lengths, 1e-9))


def scored(
    backbone: Backbone, head: LinearHead, cut: int | None, documents: Documents, progress: Progress = silent
) -> np.ndarray:
    """Return the score (m,) of every sentence."""
    return head.logits(sentence_features(backbone, documents, cut, progress=progress))[:, 0]


def extracted(
    backbone: Backbone,
    head: LinearHead,
    cut: int | None,
    decoding: Decoding,
    inputs: Sequence[object],
    progress: Progress = silent,
) -> np.ndarray:
    """Return the summaries (n,) of texts: their best sentences by a head on frozen features, in the texts' order."""
    documents = Documents.of(inputs)
    return documents.chosen(scored(backbone, head, cut, documents, progress), decoding)
