"""Sentences: a text taken apart, in its own order."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby, pairwise
from textwrap import wrap

from headstart.writing.overlap import words_of

LONG_LINE = 40
"""Words from which on a line of a text of several lines is no single sentence."""

LONGEST = 1500
"""Characters of a sentence; a longer one is cut at blanks, as texts are that have no full stop."""

WRAPPED = 40
"""Characters that the usual line has at least where lines are broken to a width."""

CLOSING = tuple(".!?:;…\"')]}»”’。！？।")
KEPT = 50_000
"""Texts whose sentences are kept in memory, at most."""


@lru_cache(KEPT)
def sentences_of(text: str) -> tuple[str, ...]:
    """Return the sentences of a text, at least one.

    Lines are sentences, or turns of a dialogue, where there are several; a long one is taken apart by sentencex. Lines
    that were only broken to a width are joined first, as far as the next blank line.
    """
    lines = [line.strip() for line in text.splitlines()]
    are_wrapped = _are_wrapped(lines)
    lines = [line for line in (_joined(lines) if are_wrapped else lines) if line]
    found = []
    for line in lines:
        is_sentence = len(lines) > 1 and not are_wrapped and len(words_of(line)) <= LONG_LINE
        found += [line] if is_sentence else _segmented(line)
    return tuple(piece for one in found for piece in _bounded(one)) or (text,)


def _are_wrapped(lines: list[str]) -> bool:
    """Tell whether most lines are as long as a width, and end in the middle of a sentence."""
    pairs = [(one, other) for one, other in pairwise(lines) if one and other]
    breaks = [one for one, other in pairs if not one.endswith(CLOSING) and other[0].islower()]
    usual = sorted(len(one) for one, _ in pairs)[len(pairs) // 2] if pairs else 0
    return usual >= WRAPPED and len(breaks) * 2 >= len(pairs)


def _joined(lines: list[str]) -> list[str]:
    """Return the paragraphs of lines: a blank one stands between two."""
    return [" ".join(part) for is_blank, part in groupby(lines, key=lambda line: not line) if not is_blank]


def _bounded(sentence: str) -> list[str]:
    return [sentence] if len(sentence) <= LONGEST else wrap(sentence, LONGEST, break_on_hyphens=False)


def _segmented(text: str) -> list[str]:
    from sentencex import segment

    return [one.strip() for one in segment("en", text) if one.strip()]
