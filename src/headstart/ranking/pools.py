"""Pools: which sources are meant by a name, a list, a file of names, "offline" or "all"."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headstart.backbones.backbone import Backbone
from headstart.backbones.card import MADE_HERE
from headstart.backbones.listing import list_backbones
from headstart.backbones.sources import load_backbone
from headstart.errors import HeadstartError, OptionError
from headstart.wording import plural, some, user_path

OFFLINE, ALL = "offline", "all"
AT_CUT = re.compile(r"(.+)@(-?[0-9]+)")
"""A source and the cut that it is read at, such as efficientnet_lite0@10."""


@dataclass(frozen=True)
class Variant:
    """A source, and where it is read: at a cut, or (None) at the top."""

    source: str | Backbone
    cut: int | None = None

    @classmethod
    def of(cls, given: str | Backbone) -> Variant:
        """Return what a name, or a loaded backbone, means."""
        found = AT_CUT.fullmatch(given) if isinstance(given, str) and not user_path(given).exists() else None
        return cls(given) if found is None else cls(found[1], int(found[2]))

    def __str__(self) -> str:
        name = self.source if isinstance(self.source, str) else self.source.name
        return name if self.cut is None else f"{name}@{self.cut}"


def by_source(variants: Sequence[Variant]) -> dict[str | Backbone, list[int | None]]:
    """Return the cuts that each source is read at: one pass serves all of them."""
    cuts: dict[str | Backbone, list[int | None]] = {}
    for one in variants:
        cuts.setdefault(one.source, []).append(one.cut)
    return cuts


def named(
    backbones: str | Backbone | Sequence[str | Backbone], modality: str
) -> tuple[list[str | Backbone], tuple[str, ...]]:
    """Return the sources that are meant, each once, and say which were left out.

    Raises:
        OptionError: none is meant, or none of them is there.
    """
    if isinstance(backbones, str) and backbones in (OFFLINE, ALL):
        listed = list_backbones(Path() if backbones == ALL else None)
        own = [one for one in listed if one.card.modality == modality]
        damaged = [one.card.name for one in own if one.card.source == MADE_HERE and not _is_whole(one.card.name)]
        here: list[str | Backbone] = [one.card.name for one in own if one.installed and one.card.name not in damaged]
        missing = [one.card.name for one in own if not one.installed]
        if not here:
            raise OptionError(
                f"no backbone for {plural(modality)} is installed.", expected=some([str(one) for one in missing])
            )
        left_out = {"not installed": missing, "cannot be read": damaged}
        return here, tuple(f"{why}, so left out: {some(names)}" for why, names in left_out.items() if names)
    given = [backbones] if isinstance(backbones, str | Backbone) else list(backbones)
    asked = [name for one in given for name in (lines_of(one) if isinstance(one, str) else [one])]
    if not asked:
        raise OptionError("there is no source to rank.", expected="names of backbones, or offline", got="none")
    return list(dict.fromkeys(asked)), ()


def _is_whole(name: str) -> bool:
    """Tell whether a model made here can be read as a source."""
    with contextlib.suppress(HeadstartError):
        load_backbone(name)
        return True
    return False


def lines_of(name: str) -> list[str]:
    """Return the names in the lines of a text file; anything else is a name itself.

    Raises:
        OptionError: the file is no text.
    """
    file = user_path(name)
    if file.suffix != ".txt" or not file.is_file():
        return [name]
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(
            f"{name} cannot be read.", expected="names of backbones, one a line, in UTF-8", got=str(error)
        ) from error
    return [line for whole in text.splitlines() if (line := whole.partition("#")[0].strip())]


def require_names(names: Sequence[str]) -> None:
    """Raise an `OptionError` where two sources go by one name: nobody could tell them apart in the ranking."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionError(
            f"two sources are called {twice}.", expected="a name for each", got=", ".join(names), hint="rename one"
        )
