"""Names and numbers in sentences, and paths as users type them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from headstart.errors import OptionError


def user_path(text: str | Path) -> Path:
    """Return a path with `~` expanded.

    Raises:
        OptionError: it is no path that a file system takes.
    """
    if not isinstance(text, str | Path) or not str(text).strip():
        got = "empty text" if isinstance(text, str) else type(text).__name__
        raise OptionError("this is no path.", expected="text or a pathlib.Path", got=got)
    try:
        path = Path(text).expanduser()
        path.exists()
    except (RuntimeError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OptionError(f"{printable(str(text))[:60]} is no path that can be used.", got=reason) from None
    return path


def printable(name: str) -> str:
    """Return a name with what is not Unicode replaced, so that it can be shown and stored."""
    return name.encode("utf-8", "replace").decode()


def capital(words: str) -> str:
    """Return words as a sentence begins: names within keep their own letters."""
    return words[:1].upper() + words[1:]


QUOTED = r"(?<!\w)'[^']*'(?!\w)"
"""What a message says in a user's own words."""


def renamed(text: str, nouns: Mapping[str, str]) -> str:
    """Return a sentence with nouns, and their plurals, replaced by others; names, options and what is quoted stay."""
    if not nouns:
        return text
    found = re.compile(rf"{QUOTED}|(?<![-\w/.])({'|'.join(nouns)})(?=s?(?![-\w/]|\.\w))")
    return found.sub(lambda match: nouns[match[1]] if match[1] else match[0], text)


def count(number: int, noun: str, nouns: str | None = None) -> str:
    """Say how many: "1 file", "3 files"."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def plural(noun: str) -> str:
    """Return a noun for several: "images", "series"."""
    return noun if noun == "series" else f"{noun}s"


def some(names: list[str], shown: int = 3) -> str:
    """Name the first few, and how many more there are."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more:,} more" if more > 0 else "")


def read_weights(texts: Sequence[str] | None) -> dict[str, float]:
    """Return the weights that texts such as "sentiment=2" give.

    Raises:
        OptionError: one gives none.
    """
    found = {}
    for text in texts or ():
        name, _, number = text.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            raise OptionError("a weight cannot be read.", expected="such as sentiment=2", got=repr(text)) from None
    return found


def read_seconds(text: str) -> float:
    """Return the seconds that a text such as "90", "90s", "5m" or "2h" names.

    Raises:
        OptionError: it names none above 0.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)(?:in|ec)?\s*", text.lower())
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not seconds > 0:
        raise OptionError(
            "the budget is no time.", expected="seconds above 0, or such as 90s, 5m or 2h", got=repr(text)
        )
    return seconds


def seconds_in_words(seconds: float) -> str:
    """Say a time: "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def bytes_in_words(number: int) -> str:
    """Say a size: "812 B", "1.5 MB", "10 GB"."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= size:
            return f"{number / size:.0f} {unit}" if number >= 10 * size else f"{number / size:.1f} {unit}"
    return f"{number} B"
