"""All shelves: where they stand, how much they may take, and what is removed first."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headstart.cache.blocks import rows_in
from headstart.cache.folders import files_in, folders_in, shrink
from headstart.cache.shelf import ABOUT, Shelf
from headstart.errors import OptionError
from headstart.wording import user_path

FORMAT = 1
PLACE, SIZE = "HEADSTART_CACHE", "HEADSTART_CACHE_SIZE"
OFF = "off"
BOUND = 10_000_000_000
"""Bytes that all shelves together may take, where HEADSTART_CACHE_SIZE does not say."""
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Cache:
    """All shelves.

    Attributes:
        folder: where they stand; None keeps nothing.
        bound: bytes they may take together.
    """

    folder: Path | None
    bound: int = BOUND

    def shelf(self, about: Mapping[str, Any]) -> Shelf:
        """Return the shelf of everything but an example's content that decides what is computed.

        Args:
            about: as JSON holds it; any difference is another shelf.
        """
        text = json.dumps({"format": FORMAT, "about": dict(about)}, sort_keys=True)
        if self.folder is None:
            return Shelf(None, self.bound, text)
        folder = self.folder / hashlib.sha256(text.encode()).hexdigest()[:32]
        shelf = Shelf(folder, self.bound, text)
        try:
            shelf.make_folder()
        except OSError:
            return Shelf(None, self.bound, text)
        return shelf

    def shelves(self) -> list[dict[str, Any]]:
        """Return what each shelf is about, its rows, bytes, blocks and last use, the last used first."""
        found = []
        for folder in folders_in(self.folder) if self.folder is not None else ():
            with contextlib.suppress(OSError, ValueError, KeyError):
                about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))["about"]
                files = files_in(folder)
                if files:
                    used = datetime.fromtimestamp(max(seen for seen, _, _ in files) / 1e9, UTC)
                    found.append(
                        {
                            "about": about,
                            "examples": sum(rows_in(file) for _, _, file in files),
                            "bytes": sum(size for _, size, _ in files),
                            "blocks": len(files),
                            "used": used.isoformat(timespec="seconds"),
                        }
                    )
        return sorted(found, key=lambda shelf: str(shelf["used"]), reverse=True)

    def clear(self) -> int:
        """Remove everything that is ours, and return how many bytes the blocks were."""
        if self.folder is None:
            return 0
        removed = shrink(self.folder, 0, parts_after=0.0)
        for folder in folders_in(self.folder):
            with contextlib.suppress(OSError):
                (folder / ABOUT).unlink(missing_ok=True)
                folder.rmdir()
        return removed


def the_cache() -> Cache:
    """Return the cache that the environment names; otherwise the one in the user's own cache folder.

    Raises:
        OptionError: the size in the environment is no size, or the folder no path.
    """
    import platformdirs

    place, size = os.environ.get(PLACE, "").strip(), os.environ.get(SIZE, "").strip()
    bound = read_size(size) if size else BOUND
    if place.lower() == OFF:
        return Cache(None, bound)
    folder = user_path(place) if place else platformdirs.user_cache_path("headstart", appauthor=False)
    return Cache(folder.absolute(), bound)


def read_size(text: str) -> int:
    """Return the bytes that a text such as "500MB" names.

    Raises:
        OptionError: it names none.

    Example:
        >>> read_size("1.5 GB")
        1500000000
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip().upper(), re.ASCII)
    if match is None:
        raise OptionError(
            f"{SIZE} is no size.", expected="a number and a unit, such as 20GB", got=text, hint=f"export {SIZE}=20GB"
        )
    return int(float(match[1]) * UNITS[match[2]])
