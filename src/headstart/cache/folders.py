"""What lies in the folder of a cache, and what is removed first."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from headstart.cache.chunks import PART, SUFFIX

SHELF = re.compile(r"[0-9a-f]{32}")

FRESH = 600.0
"""Seconds for which a file that is being written is left alone by others."""


def folders_in(root: Path) -> Iterator[Path]:
    """Yield the folders that are shelves by their names: nothing else is ever looked into or removed."""
    with contextlib.suppress(OSError):
        for folder in sorted(root.iterdir()):
            if SHELF.fullmatch(folder.name) and not folder.is_symlink():
                yield folder


def files_in(folder: Path, suffix: str = SUFFIX) -> list[tuple[int, int, Path]]:
    """Return when each file was last used (ns), its bytes and its place."""
    found = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(suffix):
                with contextlib.suppress(OSError):
                    stat = entry.stat(follow_symlinks=False)
                    found.append((stat.st_mtime_ns, stat.st_size, Path(entry.path)))
    return found


def shrink(root: Path, bound: int, *, parts_after: float = FRESH, but: Path | None = None) -> int:
    """Remove the blocks that were not used for longest until the rest is within a bound; return their bytes.

    Args:
        root: the folder of the cache.
        bound: bytes.
        parts_after: seconds after which a file that is being written is a killed writer's, and removed too.
        but: a block that stays.
    """
    folders, removed = list(folders_in(root)), 0
    for folder in folders:
        for written, _, part in files_in(folder, PART):
            if time.time() - written / 1e9 >= parts_after:
                remove(part)
    blocks = sorted(block for folder in folders for block in files_in(folder))
    excess = sum(size for _, size, _ in blocks) - bound
    for _, size, file in blocks:
        if removed >= excess:
            break
        if file != but and remove(file):
            removed += size
    return removed


def remove(file: Path) -> bool:
    """Remove a file, and tell whether that was possible."""
    try:
        file.unlink()
    except OSError:
        return False
    return True
