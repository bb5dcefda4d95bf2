"""Words of texts in any script: what ROUGE counts, and what lengths are counted in."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from itertools import groupby

KEPT = 200_000
"""Texts whose words are kept in memory, at most."""

PLAIN = re.compile(r"[a-z0-9]+")
SINGLE = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
"""Kana and Chinese characters, each of which is counted as a word."""

UNDIVIDED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\ua9e0-\ua9ff\uaa60-\uaa7f"
"""Thai, Lao, Burmese and Khmer, which leave no blanks between words: each base letter is counted, with its marks."""

LAST_MARK = 0x1FFFF
"""No combining mark but a variation selector stands behind this place in Unicode."""


@lru_cache(KEPT)
def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a text in lower case: runs of letters and digits, with the marks above and below them.

    Of scripts that leave no blanks between words it is single characters, each with its marks: that needs no dictionary
    and is the same for all texts, but a "word" of Chinese, Japanese, Thai, Lao, Burmese or Khmer is less than one.
    Korean leaves blanks. A letter and its mark count as one character, however they are encoded (NFC). Of plain ASCII
    it is what rouge-score counts without stemming.
    """
    text = text.lower()
    if text.isascii():
        return tuple(PLAIN.findall(text))
    return tuple(_pattern().findall(unicodedata.normalize("NFC", text)))


@cache
def _pattern() -> re.Pattern[str]:
    """Return what matches a word: what Python takes for letters and digits, and the marks that it does not."""
    marks = "".join(f"{chr(start)}-{chr(end)}" for start, end in _marks())
    alone = rf"(?=[^\W_])[{SINGLE}{UNDIVIDED}][{marks}]*"
    letters = rf"[^\W_{SINGLE}{UNDIVIDED}]+"
    return re.compile(rf"{alone}|{letters}(?:[{marks}]+(?:{letters})?)*")


def _marks() -> list[tuple[int, int]]:
    """Return the ranges of combining marks: the first and the last of each."""
    found = (place for place in range(LAST_MARK) if unicodedata.category(chr(place))[0] == "M")
    runs = [[place for _, place in run] for _, run in groupby(enumerate(found), key=lambda pair: pair[1] - pair[0])]
    return [(run[0], run[-1]) for run in runs]
