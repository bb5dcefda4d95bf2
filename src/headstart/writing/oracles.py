"""Oracles: the sentences of a text that say a reference best, found by a search that sees the reference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headstart.writing.overlap import common_words, grown, places_in
from headstart.writing.sentences import sentences_of
from headstart.writing.words import words_of

STEPS = 20_000
"""Choices that are looked at of a text, at most, to be sure of the best."""

TINY = 1e-9
"""Of a bound: what is rounding alone."""

CLIMBED = 200
"""Steps uphill from a start, at most."""


@dataclass(frozen=True)
class Oracle:
    """What was found.

    Attributes:
        places: (k,) of the sentences, in order; the first one where none says a word of the reference.
        score: their ROUGE-L, in [0, 1].
        is_exact: whether no other choice of sentences scores higher: the search went to its end.
    """

    places: tuple[int, ...]
    score: float
    is_exact: bool


def oracle(reference: str, text: str, known: Iterable[Sequence[int]] = ()) -> Oracle:
    """Return the extract of a text that comes nearest to a reference by the F1 of ROUGE-L.

    From the best single sentence, and from each extract that is known already, sentences are put in, left out and
    swapped as long as it rises; then all choices are gone through that may still be better (branch and bound). What is
    found is at least as good as every extract that is known. Where the search ends within `STEPS` choices, which it
    does for most texts of some twenty sentences, it is the ceiling of extracts; otherwise it is a good one.

    Args:
        reference: what is to be said.
        text: what its sentences are taken from.
        known: places of sentences that a search may begin from.
    """
    search = _Search.of(reference, sentences_of(text))
    singles = [(place,) for place in range(len(search.sizes))]
    search.take(max(singles, key=search.score))
    for start in ((), search.best, *(tuple(sorted(one)) for one in known)):
        search.climb(start)
    is_exact = search.exhaust()
    return Oracle(search.best, search.best_score, is_exact)


@dataclass(eq=False)
class _Search:
    """A reference, and what each sentence has in common with it.

    Attributes:
        wanted: words of the reference.
        sizes: (m,) words of each sentence.
        matches: (m,) for each sentence where its words stand in the reference, as bits; of those that do.
        gains: (m,) the longest common subsequence of each sentence alone.
        best, best_score: the best choice so far.
    """

    wanted: int
    sizes: list[int]
    matches: list[list[int]]
    gains: list[int]
    best: tuple[int, ...] = (0,)
    best_score: float = 0.0

    @classmethod
    def of(cls, reference: str, sentences: Sequence[str]) -> _Search:
        """Return a search among some sentences."""
        own, words = words_of(reference), [words_of(one) for one in sentences]
        bits = places_in(own)
        matches = [[bits[word] for word in one if word in bits] for one in words]
        return cls(len(own), [len(one) for one in words], matches, [common_words(own, one) for one in words])

    def score(self, places: Sequence[int]) -> float:
        """Return the F1 of ROUGE-L of a choice of sentences, in order."""
        row = self.blank
        for place in places:
            row = self.grown(row, place)
        return self.f1(row, sum(self.sizes[place] for place in places))

    @property
    def blank(self) -> int:
        """The row of the table where nothing is in common yet: a bit for each word of the reference."""
        return (1 << self.wanted) - 1

    def grown(self, row: int, place: int) -> int:
        """Return the row of the table of common subsequences after one more sentence."""
        return grown(row, self.matches[place], self.blank)

    def f1(self, row: int, size: int) -> float:
        """Return the F1 of ROUGE-L of some words, by the row of the table after them."""
        return 2 * (self.wanted - row.bit_count()) / max(1, self.wanted + size)

    def take(self, places: tuple[int, ...]) -> None:
        """Remember a choice that is better than the best."""
        score = self.score(places)
        if score > self.best_score:
            self.best, self.best_score = places, score

    def useful(self) -> list[int]:
        """Return the sentences that a better choice may hold: what adds less than half its F1 a word lowers it."""
        return [place for place, gain in enumerate(self.gains) if 2 * gain > self.best_score * self.sizes[place]]

    def climb(self, places: tuple[int, ...]) -> None:
        """Put in, leave out and swap sentences as long as the score rises; swap only where nothing else helps."""
        own, height = places, self.score(places)
        self.take(own)
        for _ in range(CLIMBED):
            inside, useful = set(own), [place for place in self.useful() if place not in own]
            steps = [inside | {place} for place in useful] + [inside - {place} for place in own]
            swaps = ((inside - {one}) | {other} for one in own for other in useful)
            for moves in (steps, swaps):
                tried = [tuple(sorted(move)) for move in moves]
                found = max(tried, key=self.score, default=own)
                if self.score(found) > height:
                    break
            else:
                return
            own, height = found, self.score(found)
            self.take(own)

    def exhaust(self) -> bool:
        """Go through all choices that may be better than the best; tell whether none had to be passed over.

        What is to come adds at most what each sentence has in common with the reference by itself.
        """
        useful, floor = self.useful(), self.best_score
        slack = [2 * self.gains[place] - floor * self.sizes[place] for place in useful]
        left = [sum(slack[at:]) for at in range(len(useful) + 1)]
        waiting: list[tuple[int, int, int, tuple[int, ...]]] = [(0, self.blank, 0, ())]
        for _ in range(STEPS):
            if not waiting:
                return True
            at, row, size, places = waiting.pop()
            most = min(2 * (self.wanted - row.bit_count()) + left[at], 2.0 * self.wanted)
            if at == len(useful) or most <= self.best_score * (self.wanted + size) + TINY:
                continue
            place = useful[at]
            one = (at + 1, self.grown(row, place), size + self.sizes[place], (*places, place))
            waiting += [(at + 1, row, size, places), one]
            score = self.f1(*one[1:3])
            if score > self.best_score:
                self.best, self.best_score = one[3], score
        return not waiting
