"""Sentences: a text taken apart, in its own order."""

from __future__ import annotations

from functools import lru_cache

LONG_LINE = 40
"""Words from which on a line of a text of several lines is no single sentence."""

KEPT = 50_000
"""Texts whose sentences are kept in memory, at most."""


@lru_cache(KEPT)
def sentences_of(text: str) -> tuple[str, ...]:
    """Return the sentences of a text, at least one.

    Lines are sentences, or turns of a dialogue, where there are several; a long one is taken apart by sentencex.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = []
    for line in lines:
        is_sentence = len(lines) > 1 and len(line.split()) <= LONG_LINE
        found += [line] if is_sentence else _segmented(line)
    return tuple(found) or (text,)


def _segmented(text: str) -> list[str]:
    from sentencex import segment

    return [one.strip() for one in segment("en", text) if one.strip()]
