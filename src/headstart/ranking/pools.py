"""Pools: which sources are meant by a name, a list, a file of names, "offline" or "all"."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headstart.backbones.backbone import Backbone
from headstart.backbones.listing import list_backbones
from headstart.errors import OptionError
from headstart.wording import some, user_path

OFFLINE, ALL = "offline", "all"


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
        here: list[str | Backbone] = [one.card.name for one in own if one.installed]
        missing = [one.card.name for one in own if not one.installed]
        if not here:
            raise OptionError(
                f"no backbone for {modality}s is installed.", expected=some([str(one) for one in missing])
            )
        return here, ((f"not installed, so left out: {some(missing)}",) if missing else ())
    given = [backbones] if isinstance(backbones, str | Backbone) else list(backbones)
    asked = [name for one in given for name in (_lines_of(one) if isinstance(one, str) else [one])]
    if not asked:
        raise OptionError("there is no source to rank.", expected="names of backbones, or offline", got="none")
    return list(dict.fromkeys(asked)), ()


def _lines_of(name: str) -> list[str]:
    """Return the names in the lines of a text file; anything else is a name itself."""
    file = user_path(name)
    if file.suffix != ".txt" or not file.is_file():
        return [name]
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def require_names(names: Sequence[str]) -> None:
    """Raise an `OptionError` where two sources go by one name: nobody could tell them apart in the ranking."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionError(
            f"two sources are called {twice}.", expected="a name for each", got=", ".join(names), hint="rename one"
        )
