"""Entities: parts of a text that tags mark, one tag a word, and how many of them were found.

Tags are in the BIO scheme (Ramshaw and Marcus 1995; Tjong Kim Sang and Veenstra 1999): B-x begins an entity of kind x,
I-x goes on with it, O is no entity. An entity is right where its words and its kind are (Tjong Kim Sang and De Meulder
2003); what the scheme forbids is read as seqeval reads it by default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.statistics import Metric

OUTSIDE = "O"
SCHEME = re.compile(r"O|[BIESLU]-\S+")
"""A tag in the BIO scheme, or in its kin that also mark an entity's end or its only word."""

IN_BIO = {"S": "B", "U": "B", "E": "I", "L": "I"}


@dataclass(frozen=True)
class Entity:
    """A part of a text and what it is.

    Attributes:
        start, end: its characters in the text, or its words in a list of tags; `end` is not included.
        label: what it is.
    """

    start: int
    end: int
    label: str


def in_bio(tags: Sequence[str]) -> list[str]:
    """Return tags of a kin of the BIO scheme in BIO itself: whatever goes on with nothing begins."""
    found, before = [], ""
    for tag in marked(tags):
        mark, _, label = tag.partition("-")
        found.append(f"B-{label}" if mark == "I" and label != before else tag)
        before = label
    return found


def marked(tags: Sequence[str]) -> list[str]:
    """Return tags of a kin of the BIO scheme with its marks, whether or not they follow on one another."""
    return [IN_BIO.get(tag[0], tag[0]) + tag[1:] for tag in tags]


def entities_in(tags: Sequence[str]) -> list[Entity]:
    """Return the entities that tags mark, by the numbers of their words; what goes on with nothing begins."""
    own = in_bio(tags)
    begun = [place for place, tag in enumerate(own) if tag.startswith("B-")]
    closed = np.array([place for place, tag in enumerate(own) if not tag.startswith("I-")] + [len(own)])
    ends = closed[np.searchsorted(closed, begun, side="right")].tolist() if begun else []
    return [Entity(start, end, own[start][2:]) for start, end in zip(begun, ends, strict=True)]


def sequences(breaks: np.ndarray) -> Iterator[slice]:
    """Yield where each run of equal values lies: the words of one text after another."""
    start = 0
    for place in range(1, len(breaks) + 1):
        if place == len(breaks) or breaks[place] != breaks[start]:
            yield slice(start, place)
            start = place


@dataclass(frozen=True)
class Found:
    """How many entities begin at each word (n,).

    Attributes:
        true: those of the truth.
        said: those of the answers.
        hits: those of both, with the same words and of the same kind.
    """

    true: np.ndarray
    said: np.ndarray
    hits: np.ndarray

    @classmethod
    def by_kind(cls, truth: Sequence[str], answers: Sequence[str], breaks: np.ndarray) -> dict[str, Found]:
        """Return the entities of each kind that the truth or the answers hold.

        Args:
            truth: (n,) tags.
            answers: (n,) tags.
            breaks: (n,) equal for the words of one text, which stand after one another.
        """
        found: dict[str, Found] = {}
        for own in sequences(breaks):
            true, said = (set(entities_in(tags[own])) for tags in (truth, answers))
            for one in true | said:
                kind = found.setdefault(one.label, cls(*np.zeros((3, len(truth)))))
                kind.true[own.start + one.start] += one in true
                kind.said[own.start + one.start] += one in said
                kind.hits[own.start + one.start] += one in true & said
        return dict(sorted(found.items()))

    @classmethod
    def of(cls, truth: Sequence[str], answers: Sequence[str], breaks: np.ndarray) -> Found:
        """Return the entities of all kinds; the arguments are as `by_kind` takes them."""
        kinds = cls.by_kind(truth, answers, breaks).values()
        empty = np.zeros(len(truth))
        return cls(*(sum((getattr(one, name) for one in kinds), empty) for name in ("true", "said", "hits")))

    @property
    def metrics(self) -> dict[str, Metric]:
        """F1, precision and recall of entities; what there is nothing to take a share of is left out."""
        shares = {
            "entity_f1": (2 * self.hits, self.true + self.said),
            "entity_precision": (self.hits, self.said),
            "entity_recall": (self.hits, self.true),
        }
        return {name: Metric.ratio(above, below) for name, (above, below) in shares.items() if below.any()}
