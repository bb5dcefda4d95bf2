"""What backbones there are, from where, and under which licence."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart import artifact
from headstart.backbones.card import CLASSICAL, MADE_HERE, Card
from headstart.backbones.catalogue import CATALOGUE, DEFAULTS, is_installed
from headstart.errors import OptionError
from headstart.wording import user_path


@dataclass(frozen=True)
class Listed:
    """A backbone that can be named after `--backbone`.

    Attributes:
        card: what is known of it.
        installed: whether its weights are on this machine.
        default: whether it is its modality's default.
    """

    card: Card
    installed: bool
    default: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        return {**self.card.as_dict(), "installed": self.installed, "default": self.default}


def list_backbones(folder: str | Path | None = None) -> list[Listed]:
    """Return the offline catalogue, and the models saved in a folder, each of which can be a source.

    Example:
        >>> import headstart as hs
        >>> [one.card.name for one in hs.list_backbones() if one.default]
        ['efficientnet_lite0', 'minilm_l6', 'fracast']
    """
    own = [Listed(entry.card, is_installed(entry), name in DEFAULTS.values()) for name, entry in CATALOGUE.items()]
    saved: list[Path] = []
    if folder is not None:
        place = user_path(folder)
        if not place.is_dir():
            raise OptionError(f"{folder} is not a folder.", expected="a folder of models made here")
        saved = sorted(place.glob("*.headstart"))
    return own + [listed for path in saved if (listed := _saved(path)) is not None]


def _saved(path: Path) -> Listed | None:
    """Read a saved model's card; whether the artifact is whole is checked when it is loaded.

    None of one that nothing can be carried over from: it is damaged, or a model without transfer.
    """
    from dataclasses import replace

    try:
        manifest = json.loads((path / artifact.MANIFEST).read_text(encoding="utf-8"))
        if manifest.get("parts"):
            most = max(manifest["parts"], key=lambda one: len(one["targets"]))
            manifest = json.loads((path / most["folder"] / artifact.MANIFEST).read_text(encoding="utf-8"))
        card = Card.from_dict(manifest["backbone"]["card"])
        library = manifest["backbone"]["architecture"]["library"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if library == CLASSICAL:
        return None
    made_of = card.lineage if card.source == MADE_HERE else (card.name, *card.lineage)
    return Listed(replace(card, name=str(path), source=MADE_HERE, lineage=made_of), True, False)
