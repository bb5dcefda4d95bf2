"""Sentences: a text taken apart, in its own order."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

from headstart.writing.words import words_of

LONG_LINE = 40
"""Words from which on a line of a text of several lines is no single sentence."""

LONGEST = 200
"""Words of a sentence, at most: what is longer is no sentence, and is cut into pieces."""

KEPT = 50_000
"""Texts whose sentences are kept in memory, at most."""

ENDS = re.compile(r"[.!?…:;。！？।॥؟۔།။៕]['\")\]”’»]*$")
"""How a line ends whose sentence is over."""

BEGINS = re.compile(r"[^\W\d_]{1,3}[.)]\s|\S{1,20}(\s\S{1,20})?\s?:")
"""How a point of a list or a turn of a dialogue begins."""

MOSTLY, ALIKE = 0.8, 0.6
"""Lines that are wrapped by their width: how many of them are at least which share of the longest."""


@lru_cache(KEPT)
def sentences_of(text: str) -> tuple[str, ...]:
    """Return the sentences of a text, at least one.

    Lines are sentences, or turns of a dialogue, where there are several; a long one is taken apart by sentencex. Lines
    that are wrapped by their width are no sentences: they are joined first, up to the next blank line. That is seen by
    small letters, so a wrapped text of a script that has none keeps its lines. No sentence has more than `LONGEST`
    words: where punctuation is missing, pieces are cut at blanks, so that an extract is never all of a long text.
    """
    lines = [line.strip() for line in text.splitlines()]
    is_wrapped = _are_wrapped(lines)
    lines = _paragraphs(lines) if is_wrapped else [line for line in lines if line]
    found = []
    for line in lines:
        is_sentence = len(lines) > 1 and not is_wrapped and len(words_of(line)) <= LONG_LINE
        found += [line] if is_sentence else _segmented(line)
    return tuple(piece for one in found for piece in _pieces(one)) or (text,)


def _are_wrapped(lines: list[str]) -> bool:
    """Tell whether lines end where they are full: mostly in mid-sentence, and all about as long."""
    pairs = [(one, after) for one, after in pairwise(lines) if one and after]
    going_on = sum(after[0].islower() and not ENDS.search(one) and not BEGINS.match(after) for one, after in pairs)
    if not pairs or 2 * going_on < len(pairs):
        return False
    longest = max(map(len, lines))
    return sum(len(one) >= ALIKE * longest for one, _ in pairs) >= MOSTLY * len(pairs)


def _paragraphs(lines: list[str]) -> list[str]:
    """Return lines joined, up to a blank one each."""
    return [" ".join(part.split("\n")) for part in re.split(r"\n\n+", "\n".join(lines).strip("\n")) if part]


def _pieces(sentence: str) -> list[str]:
    """Return a sentence in halves of halves, until none is too long; cut at blanks, or anywhere where there is none."""
    if len(words_of(sentence)) <= LONGEST:
        return [sentence]
    parts, between = (sentence.split(), " ") if len(sentence.split()) > 1 else (list(sentence), "")
    middle = len(parts) // 2
    return [piece for half in (parts[:middle], parts[middle:]) for piece in _pieces(between.join(half))]


def _segmented(text: str) -> list[str]:
    from sentencex import segment

    return [one.strip() for one in segment("en", text) if one.strip()]
