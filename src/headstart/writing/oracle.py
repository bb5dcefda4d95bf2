"""Oracle: which sentences of a text say a reference best, found by a search that sees the reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from headstart.writing.overlap import matched_row, places_in, words_of
from headstart.writing.sentences import sentences_of

CANDIDATES = 40
"""Sentences that are looked at: those that say most by themselves."""

MOST_CHOSEN = 30
"""Sentences that are put together, at most."""

CHOICES = 4000
"""Choices that are looked at before the search ends with the best so far."""


def oracle(reference: str, text: str) -> tuple[int, ...]:
    """Return the places of the sentences of a text that come nearest to a reference by ROUGE-L, in order.

    No choice is better where the search comes to its end (branch and bound: a text of a dozen sentences, mostly). In
    longer ones it is the best that was found: no worse than the first sentences, however many, and than adding what
    helps most as long as it helps (Nallapati et al. 2017, section 3.2).
    """
    search = _Search(words_of(reference), [words_of(one) for one in sentences_of(text)])
    search.begin()
    search.go_on(search.full, 0, 0, ())
    return search.best or (0,)


class _Search:
    """A search through the choices of sentences.

    Attributes:
        best: the places chosen so far, and `score` their ROUGE-L.
        left: choices that may still be looked at.
    """

    def __init__(self, reference: Sequence[str], sentences: Sequence[Sequence[str]]) -> None:
        self.wanted, self.sentences = len(reference), sentences
        self.full, self.where = (1 << len(reference)) - 1, places_in(reference)
        self.best: tuple[int, ...] = ()
        self.score, self.left = 0.0, CHOICES
        alone = [self._f1(self._after(self.full, place), len(own)) for place, own in enumerate(sentences)]
        self.places = sorted(np.argsort(-np.array(alone), kind="stable")[:CANDIDATES].tolist())
        self.rest = self._matches_left(Counter(reference))

    def begin(self) -> None:
        """Look at the first sentences, and at what adding the best one each time comes to."""
        for size in range(1, 1 + min(len(self.sentences), MOST_CHOSEN)):
            self._look(tuple(range(size)))
        chosen: tuple[int, ...] = ()
        rises = True
        while rises and len(chosen) < MOST_CHOSEN:
            tried = [tuple(sorted((*chosen, place))) for place in self.places if place not in chosen]
            scores = [self._look(one) for one in tried]
            rises = bool(scores) and max(scores) > self._scored(chosen)
            chosen = tried[scores.index(max(scores))] if rises else chosen

    def go_on(self, row: int, size: int, start: int, chosen: tuple[int, ...]) -> None:
        """Look at all choices that begin with a chosen one, but for those that can be no better than the best."""
        for number in range(start, len(self.places)):
            if self.left <= 0 or len(chosen) == MOST_CHOSEN or self._bound(row, size, number) <= self.score:
                return
            self.left -= 1
            place = self.places[number]
            after, longer = self._after(row, place), size + len(self.sentences[place])
            self._keep((*chosen, place), self._f1(after, longer))
            self.go_on(after, longer, number + 1, (*chosen, place))

    def _bound(self, row: int, size: int, number: int) -> float:
        """Return what ROUGE-L may come to with further sentences from a place on: every word is at best a match."""
        common = self.wanted - row.bit_count()
        more = min(self.wanted - common, self.rest[number])
        return 2 * (common + more) / max(1, self.wanted + size + more)

    def _matches_left(self, reference: Counter[str]) -> list[int]:
        """Return how many words of the reference the candidates from each one on have."""
        found, left = [], Counter[str]()
        for place in reversed(self.places):
            left += Counter(self.sentences[place])
            found.append((left & reference).total())
        return found[::-1]

    def _look(self, chosen: tuple[int, ...]) -> float:
        score = self._scored(chosen)
        self._keep(chosen, score)
        return score

    def _keep(self, chosen: tuple[int, ...], score: float) -> None:
        if score > self.score:
            self.best, self.score = chosen, score

    def _scored(self, chosen: tuple[int, ...]) -> float:
        row = self.full
        for place in chosen:
            row = self._after(row, place)
        return self._f1(row, sum(len(self.sentences[place]) for place in chosen))

    def _after(self, row: int, place: int) -> int:
        return matched_row(row, self.full, self.where, self.sentences[place])

    def _f1(self, row: int, size: int) -> float:
        return 2 * (self.wanted - row.bit_count()) / max(1, self.wanted + size)
