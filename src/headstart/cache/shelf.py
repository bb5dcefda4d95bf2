"""The rows that one network, run in one way, makes of examples: found by content, added, written, merged."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.artifact import held
from headstart.cache.blocks import Block, Row
from headstart.cache.chunks import Chunk, Numbers, keys_of, leaf_of, write_block, write_whole
from headstart.cache.folders import files_in, remove, shrink
from headstart.cache.index import Index, indexed

if TYPE_CHECKING:
    from torch import Tensor

SPARE = 1_000_000_000
"""Bytes that are left free on the disk, whatever the bound: a result must still find room."""

BLOCK = 64_000_000
"""Bytes after which a block is written."""

SMALL, MANY = BLOCK // 8, 32
"""Blocks below so many bytes are merged when a shelf has more than so many of them."""

INTERVAL = 10.0
"""Seconds after which a block is written, however small: what a killed run loses at most."""

OVERHEAD = 1_000
"""Bytes of memory that a row takes beside its own while it waits to be written."""

ABOUT = "about.json"
REMEMBERED = "remembered"


@dataclass(eq=False)
class Shelf:
    """The rows of one network, run in one way; to be used by one thread at a time.

    Attributes:
        folder: where its blocks lie; None keeps nothing.
        bound: bytes that all shelves may take together.
        text: what it is about, as its file says it.
    """

    folder: Path | None
    bound: int
    text: str
    _blocks: list[Block] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)
    _index: Index | None = None
    _waiting: list[Chunk] = field(default_factory=list)
    _bytes: int = 0
    _since: float = 0.0
    _is_refused: bool = False

    @property
    def keeps(self) -> bool:
        """Whether rows are kept: not where there is no folder, or once the disk has refused."""
        return self.folder is not None and not self._is_refused

    def make_folder(self) -> None:
        """Make the folder, for its owner alone, and the file that says what it is about.

        Raises:
            OSError: it cannot be made or written, or is another user's.
        """
        assert self.folder is not None
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.folder.chmod(0o700)
        if not os.access(self.folder, os.W_OK):
            raise PermissionError
        if not (self.folder / ABOUT).exists():
            write_whole(self.folder / ABOUT, [self.text.encode()])

    def find(self, contents: Sequence[str]) -> Numbers:
        """Return the place (n, 2) of each content: the number of a block and the row in it, or -1 and -1.

        A block is read once to see that it is sound; one that is not is removed, and what it held is not found.
        A place holds for as long as the shelf does, even when the block is removed by others meanwhile.
        Rows that wait to be written are not found.
        """
        self._look()
        keys = keys_of(contents)
        while True:
            if self._index is None:
                self._index = indexed(self._blocks, sorted(self._numbers.values()))
            places = self._index.find(keys)
            used = [self._blocks[number] for number in np.unique(places[:, 0]) if number >= 0]
            bad = [block for block in used if not block.is_sound()]
            for block in bad:
                del self._numbers[block.file.name]
                self._index = None
            if not bad:
                break
        for block in used:
            block.touch()
        return places

    def row(self, place: Numbers) -> Row:
        """Return what `find` found, as views of the file that must not be written to."""
        return self._blocks[int(place[0])].row(int(place[1]))

    def stacked(self, places: Numbers, leaf: int = 0) -> Tensor:
        """Return a leaf (k, ...) of what `find` found, where it has one shape in all; a copy, read block by block."""
        import torch

        assert (places >= 0).all(), "only what was found can be read"
        if not len(places):
            return torch.empty(0)
        order = np.lexsort((places[:, 1], places[:, 0]))
        numbers, starts = np.unique(places[order, 0], return_index=True)
        out = self._blocks[int(numbers[0])].empty(leaf, int(places[order[0], 1]), len(places))
        for number, at in zip(numbers, np.split(order, starts[1:]), strict=True):
            self._blocks[int(number)].gather(leaf, places[at, 1], out, at)
        return out

    def add(self, content: str, row: Row) -> None:
        """Keep a copy of a row; it is written together with others."""
        if self.keeps:
            self._wait(Chunk(keys_of([content]), tuple(leaf_of(tensor, tensor.shape) for tensor in row)))

    def add_many(self, contents: Sequence[str], rows: Tensor) -> None:
        """Keep a copy of rows (n, ...) that have a single leaf and are all alike."""
        keys, each, start = keys_of(contents), max(1, rows[:1].nbytes), 0
        assert len(keys) == len(rows), "one content for each row"
        while start < len(keys) and self.keeps:
            span = slice(start, start + max(1, (self._limit - self._bytes) // each))
            self._wait(Chunk(keys[span], (leaf_of(rows[span], rows.shape[1:]),)))
            start = span.stop

    def recall(self) -> Any:
        """Return the value that is kept here in place of rows, or None."""
        (place,) = self.find([REMEMBERED])
        return json.loads(self.row(place)[0].numpy().tobytes()) if place[0] >= 0 else None

    def remember(self, value: Any) -> None:
        """Keep a value, as JSON holds it."""
        import torch

        self.add(REMEMBERED, (torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8),))
        self.write()

    def write(self) -> None:
        """Write what waits, and see to it that the cache stays within its bound."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        try:
            for _, chunks in groupby(sorted(waiting, key=_kind), key=_kind):
                self._keep(list(chunks))
        except FileNotFoundError:  # cleared by another process: these rows are lost, the next are not
            pass
        except OSError:
            self._is_refused = True

    @property
    def _limit(self) -> int:
        return min(BLOCK, self.bound // 4)

    def _wait(self, chunk: Chunk) -> None:
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting.append(chunk)
        self._bytes += chunk.nbytes + OVERHEAD
        if self._bytes >= self._limit or time.monotonic() - self._since >= INTERVAL:
            self.write()

    def _keep(self, chunks: Sequence[Chunk]) -> None:
        assert self.folder is not None
        self.make_folder()
        if shutil.disk_usage(self.folder).free < SPARE:
            return
        written = write_block(self.folder, chunks, self.bound)
        if written is not None:
            self._merge(self.folder)
            shrink(self.folder.parent, self.bound, but=written)

    def _merge(self, folder: Path) -> None:
        """Make many small blocks into few; another process that is at it is left to do it."""
        small = [(size, file) for _, size, file in sorted(files_in(folder)) if size < SMALL]
        if len(small) <= MANY:
            return
        with contextlib.suppress(OSError), held(folder):
            blocks = [block for _, file in small if (block := Block.opened(file)) is not None and block.is_sound()]
            for _, alike in groupby(sorted(blocks, key=lambda block: block.kind), key=lambda block: block.kind):
                for group in _filled(list(alike)):
                    written = write_block(folder, [block.chunk() for block in group], self.bound)
                    for block in group if written is not None else ():
                        remove(block.file)

    def _look(self) -> None:
        """Open the blocks that came, and forget those that went."""
        names = [file.name for _, _, file in sorted(files_in(self.folder))] if self.folder is not None else []
        for name in set(self._numbers).difference(names):
            del self._numbers[name]
            self._index = None
        for name in names:
            block = Block.opened(self.folder / name) if self.folder and name not in self._numbers else None
            if block is not None:
                self._numbers[name] = len(self._blocks)
                self._blocks.append(block)
                self._index = None


def _filled(blocks: Sequence[Block]) -> list[list[Block]]:
    """Return blocks, in order, in groups that make about one full block."""
    groups: list[list[Block]] = [[]]
    for block in blocks:
        if sum(one.nbytes for one in groups[-1]) >= BLOCK:
            groups.append([])
        groups[-1].append(block)
    return [group for group in groups if len(group) > 1]


def _kind(chunk: Chunk) -> tuple[tuple[str, int], ...]:
    return chunk.kind
