"""Words of a text, each with a tag: an example is a word in its text, and its text a group that is never separated."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.entities import OUTSIDE, Entity, entities_in, in_bio

PATTERNS: dict[str, str] = {"blanks": r"\S+", "pieces": r"\w+|[^\w\s]"}
"""What a word is: what stands between blanks, or a run of letters and digits, or any other sign."""


NEAR = 60
"""Characters beside a word that its neighbours are looked for in."""

SHOWN = 160
"""Characters that are shown on either side of a word."""

TRAILING = ",.;:!?"
CLOSES = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "„": "“"}
"""Signs that enclose, by what opens: what closes."""

APOSTROPHES = "'’"
OPENS = {closing: opening for opening, closing in CLOSES.items()}
INITIALS = re.compile(r"(?<!\w)(?:[^\W\d_]\.){2,}$")
"""Letters that each have a full stop, the last of which is theirs."""

BETWEEN = re.compile(r"\W")


@dataclass(frozen=True)
class Word:
    """A word in its text.

    Attributes:
        text: it stands in.
        start, end: its characters there, `end` not included.
    """

    text: str
    start: int
    end: int

    def __str__(self) -> str:
        return self.text[self.start : self.end]

    @property
    def shown(self) -> str:
        """The word marked in its text, of a long text in what stands around it."""
        before, after = self.text[: self.start], self.text[self.end :]
        before = before if len(before) <= SHOWN else f"… {before[-SHOWN:]}"
        after = after if len(after) <= SHOWN else f"{after[:SHOWN]} …"
        return f"{before}[{self}]{after}"

    @property
    def around(self) -> str:
        """The word with its neighbours, its beginning and its end, marked as what they are: what is counted of it."""
        before = self.text[max(0, self.start - NEAR) : self.start].split()[-1:] or ["^"]
        after = self.text[self.end : self.end + NEAR].split()[:1] or ["^"]
        word = str(self)
        parts = {"p": before[0], "w": word, "n": after[0], "b": word[:3], "e": word[-3:], "s": _shape(word)}
        return " ".join(f"{mark}_{BETWEEN.sub('_', part)}" for mark, part in parts.items())

    @property
    def content(self) -> str:
        """The SHA-256 of the text and of the word's place in it."""
        whole = f"{self.start} {self.end} {self.text}"
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


class Marked(list[int]):
    """The token ids of a text, or of the part of it that is read, in which a word's tokens are marked.

    Attributes:
        first, last: the word's tokens, `last` not included.
    """

    def __init__(self, ids: Sequence[int], first: int, last: int) -> None:
        super().__init__(ids)
        self.first, self.last = first, last


def counted_of(inputs: Sequence[object]) -> list[str]:
    """Return what is counted of texts: all of them, and of words what stands around."""
    return [one.around if isinstance(one, Word) else str(one) for one in inputs]


def _shape(word: str) -> str:
    """Return what a word looks like: digits, capitals, or neither."""
    if any(map(str.isdigit, word)):
        return "digits"
    return "capital" if word[:1].isupper() else "small"


def words_of(text: str, splitting: str) -> list[Word]:
    """Return the words of a text, in order."""
    return [Word(text, *match.span()) for match in re.finditer(PATTERNS[splitting], text)]


def tagged_by(entities: Sequence[Entity], words: Sequence[Word]) -> list[str]:
    """Return the tag of each word by entities given in characters, which do not overlap: all words that one touches."""
    tags = [OUTSIDE] * len(words)
    for one in entities:
        own = [place for place, word in enumerate(words) if word.start < one.end and one.start < word.end]
        for place in own:
            tags[place] = f"{'B' if place == own[0] else 'I'}-{one.label}"
    return tags


def tagging_of(words: Sequence[Word], answers: Sequence[dict[str, Any]], splitting: str) -> dict[str, Any]:
    """Return what is said of a text: its words, their tags, and the entities that these make.

    An entity is as sure as the least sure of its words.

    Args:
        words: of the text, in order.
        answers: for each of them its label and its probability.
        splitting: what a word is; of what stands between blanks an entity leaves out the signs around it.
    """
    tags = in_bio([one["label"] for one in answers])
    entities = []
    for one in entities_in(tags):
        own = words[one.start : one.end]
        start, end = bare(own) if splitting == "blanks" else (own[0].start, own[-1].end)
        sure = min(answer["probability"] for answer in answers[one.start : one.end])
        text = own[0].text[start:end]
        entities.append({"label": one.label, "text": text, "start": start, "end": end, "probability": sure})
    return {"words": [str(word) for word in words], "tags": tags, "entities": entities}


def bare(words: Sequence[Word]) -> tuple[int, int]:
    """Return where words begin and end in their text without the signs that trail them and what encloses them.

    A bracket or a quotation mark stays where its partner lies within, and so do the full stop of initials ("U.S.") and
    a word that is all signs.
    """
    text, start, end = words[0].text, words[0].start, words[-1].end
    may_start, may_end = (any(map(str.isalnum, str(word))) for word in (words[0], words[-1]))
    while True:
        before, after = _around(text[start:end])
        if not (before or after) or (before and not may_start) or (after and not may_end):
            return start, end
        start, end = start + before, end - after


def _around(part: str) -> tuple[int, int]:
    """Return how many signs, one at most on either side, do not belong to a part of a text."""
    first, last, within = part[0], part[-1], part[1:-1]
    if last in TRAILING and not INITIALS.search(part):
        return 0, 1
    if CLOSES.get(first) == last and last not in within:
        return 1, 1
    if first in CLOSES and first not in APOSTROPHES and CLOSES[first] not in part[1:]:
        return 1, 0
    return 0, int(last in OPENS and last not in APOSTROPHES and OPENS[last] not in part[:-1])


def texts_of(inputs: Sequence[object]) -> np.ndarray:
    """Return the number (n,) of the text that each of some words stands in, in order; equal texts are told apart."""
    numbers: list[int] = []
    before: Word | None = None
    for one in inputs:
        is_next = isinstance(one, Word) and before is not None and one.text == before.text and one.start > before.start
        numbers.append((numbers[-1] if numbers else -1) + (not is_next))
        before = one if isinstance(one, Word) else None
    return np.array(numbers, dtype=np.int64)


def parts_of(encoded: Sequence[object]) -> np.ndarray | None:
    """Return the number (n,) of the part of a text that each of some words is read in; None of what are no words.

    Args:
        encoded: (n,) examples, as a preparer's `encode` returns them.
    """
    if not len(encoded) or not isinstance(encoded[0], Marked):
        return None
    places: dict[tuple[int, ...], int] = {}
    return np.array([places.setdefault(tuple(one), len(places)) for one in encoded if isinstance(one, Marked)])
