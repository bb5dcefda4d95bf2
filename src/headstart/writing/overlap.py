"""Overlap: ROUGE between texts, as rouge-score computes it, remembered; and what a text takes over from another one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

from headstart.writing.words import words_of

KINDS = ("rouge1", "rouge2", "rougeL")
KEPT = 200_000
"""Pairs of texts that are remembered, at most."""


@lru_cache(KEPT)
def rouge(reference: str, answer: str) -> tuple[float, float, float]:
    """Return the F1 of ROUGE-1, ROUGE-2 and ROUGE-L between two texts (Lin 2004), without stemming.

    They are rouge-score's; its longest common subsequence is found a hundred times as fast.
    """
    found = _scorer().score(reference, answer)
    wanted, own = words_of(reference), words_of(answer)
    common = 2 * common_words(wanted, own) / max(1, len(wanted) + len(own))
    return float(found["rouge1"].fmeasure), float(found["rouge2"].fmeasure), common


def common_words(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, a row of its table being a number (Hyyrö 2004)."""
    places, full = places_in(one), (1 << len(one)) - 1
    return len(one) - grown(full, [places[word] for word in other if word in places], full).bit_count()


def places_in(words: Sequence[str]) -> dict[str, int]:
    """Return where each word stands, as bits of a number."""
    places: dict[str, int] = {}
    for place, word in enumerate(words):
        places[word] = places.get(word, 0) | 1 << place
    return places


def grown(row: int, matches: Iterable[int], full: int) -> int:
    """Return a row of the table of common subsequences after more words, by where each stands in the other text.

    Args:
        row: before them; as long as nothing is in common it is `full`.
        matches: of each word its places as bits.
        full: a bit for each word of the other text.
    """
    for bits in matches:
        matched = row & bits
        row = (row + matched | row - matched) & full
    return row


def gain(reference: str, sentence: str) -> float:
    """Return how much of a reference a sentence says: the mean of its three ROUGE scores, in [0, 1]."""
    return sum(rouge(reference, sentence)) / len(KINDS)


def novel_bigrams(text: str, source: str) -> float | None:
    """Return the share of a text's pairs of words that its source has not (See et al. 2017, figure 6)."""
    known, own = _pairs(words_of(source)), _pairs(words_of(text))
    return sum(pair not in known for pair in own) / len(own) if own else None


def copied(text: str, source: str) -> float | None:
    """Return the share of a text's words that its source has too: the coverage of single words."""
    known, own = frozenset(words_of(source)), words_of(text)
    return sum(word in known for word in own) / len(own) if own else None


def trigrams_of(text: str) -> frozenset[tuple[str, ...]]:
    """Return the triples of words that follow each other in a text."""
    words = words_of(text)
    return frozenset(zip(words, words[1:], words[2:], strict=False))


class _Words:
    """What rouge-score asks for the words of a text."""

    def tokenize(self, text: str) -> Sequence[str]:
        return words_of(text)


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rouge2"], tokenizer=_Words())


def _pairs(words: Sequence[str]) -> frozenset[tuple[str, str]]:
    return frozenset(pairwise(words))
