"""Files of rows, as `chunks` lays them out: checked once, mapped into memory, gathered from."""

from __future__ import annotations

import contextlib
import json
import math
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import xxhash
from numpy.typing import NDArray

from headstart.cache.chunks import MAGIC, Bytes, Chunk, Leaf, Numbers, laid_out

if TYPE_CHECKING:
    from torch import Tensor

Row: TypeAlias = "tuple[Tensor, ...]"
"""What is kept of one example: one tensor for each leaf of the state."""

KEY = 16
"""Bytes of a key."""

PIECE = 1_000_000
"""Bytes gathered at a time: little enough to stay in the processor's own memory."""

_sound: dict[str, tuple[int, int, int]] = {}
"""Files whose payload this process has checked, and what they looked like then."""


@dataclass(frozen=True, eq=False)
class Block:
    """A file of rows, mapped into memory when a row is first read.

    Attributes:
        file: its place.
        keys: (n, 2) of its rows.
        dtypes, shapes, sizes: of each leaf, as in `Leaf`; sizes in bytes.
        payload: the checksum of what follows the head.
        begin: bytes of the head.
    """

    file: Path
    keys: NDArray[np.uint64]
    dtypes: tuple[str, ...]
    shapes: tuple[Numbers, ...]
    sizes: tuple[int, ...]
    payload: str
    begin: int

    @classmethod
    def opened(cls, file: Path) -> Block | None:
        """Return the block in a file; None where there is none, and no file where its head is not what it was."""
        try:
            with file.open("rb") as opened:
                size = os.fstat(opened.fileno()).st_size
                fields, begin = _read_fields(opened, size)
                opened.seek(0)
                head = opened.read(begin)
            if xxhash.xxh3_128_hexdigest(head) != file.stem or fields["shelf"] != file.parent.name:
                raise ValueError
            return cls._of(file, fields, head)
        except OSError:
            return None
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            _remove(file)
            return None

    @classmethod
    def _of(cls, file: Path, fields: dict[str, Any], head: bytes) -> Block:
        leaves = fields["leaves"]
        numbers = sum(one["shapes"] * one["axes"] for one in leaves)
        at = len(head) - 8 * numbers
        keys = np.frombuffer(head, "<u8", 2 * fields["n"], at - KEY * fields["n"]).reshape(-1, 2).copy()
        shapes = []
        for one in leaves:
            shape = np.frombuffer(head, "<i8", one["shapes"] * one["axes"], at).reshape(one["shapes"], one["axes"])
            shapes.append(shape.copy())
            at += shape.nbytes
        dtypes, sizes = (tuple(one[name] for one in leaves) for name in ("dtype", "bytes"))
        return cls(file, keys, dtypes, tuple(shapes), sizes, fields["payload"], len(head))

    def is_sound(self) -> bool:
        """Tell whether the rows are what was written, looking once a process; if not, the file is removed."""
        if "_leaves" in self.__dict__:
            return True
        try:
            stamp = _stamp(self.file)
            if stamp[1] == self._size and (
                _sound.get(str(self.file)) == stamp or xxhash.xxh3_128_hexdigest(self._mapped.data) == self.payload
            ):
                _sound[str(self.file)] = stamp
                return len(self._leaves) == len(self.dtypes)
        except (OSError, RuntimeError, UnicodeError, AttributeError, TypeError):  # gone, or a type torch does not have
            return False
        _remove(self.file)
        return False

    def touch(self) -> None:
        """Note that the block was used."""
        with contextlib.suppress(OSError):
            known = _sound.get(str(self.file))
            os.utime(self.file)
            stamp = _stamp(self.file)
            if known is not None and known[:2] == stamp[:2]:
                _sound[str(self.file)] = stamp

    @property
    def kind(self) -> tuple[tuple[str, int], ...]:
        """What rows of one block must agree in."""
        return tuple((dtype, shapes.shape[1]) for dtype, shapes in zip(self.dtypes, self.shapes, strict=True))

    @property
    def nbytes(self) -> int:
        """Bytes of the payload."""
        return sum(self.sizes)

    def row(self, number: int) -> Row:
        """Return a row, as views of the file that must not be written to."""
        parts = []
        for place, (leaf, shapes) in enumerate(zip(self._leaves, self.shapes, strict=True)):
            shape = shapes[number if len(shapes) > 1 else 0].tolist()
            start = int(self._starts[place][number])
            parts.append(leaf[start : start + math.prod(shape)].view(shape))
        return tuple(parts)

    def empty(self, place: int, number: int, count: int) -> Tensor:
        """Return room (count, ...) for a leaf of as many rows that are like one of this block."""
        import torch

        shapes = self.shapes[place]
        return torch.empty((count, *shapes[number if len(shapes) > 1 else 0].tolist()), dtype=self._leaves[place].dtype)

    def gather(self, place: int, numbers: Numbers, out: Tensor, at: Numbers) -> None:
        """Copy a leaf of some rows to the places `at` (k,) of a tensor; they must all be of its shape.

        In NumPy and piece by piece: a copy needs one thread, and torch's wait for each other where others work too.
        """
        import torch

        shapes, width = self.shapes[place], math.prod(out.shape[1:]) * out.itemsize
        own = shapes[numbers] if len(shapes) > 1 else shapes
        assert (own == np.array(out.shape[1:], dtype=np.int64)).all(), "only rows of one shape can be stacked"
        if not width or not len(at):
            return
        begin, item = laid_out(self.sizes)[place], np.dtype((np.void, width))
        data = self._mapped[begin : begin + self.sizes[place]]
        windows = np.ndarray((len(data) - width + 1,), item, data, strides=(1,))
        flat = out.view(len(out), -1).view(torch.uint8).numpy().view(item)[:, 0]
        starts, step = self._starts[place][numbers] * out.itemsize, max(1, PIECE // width)
        for first in range(0, len(at), step):
            span = slice(first, first + step)
            flat[at[span]] = windows[starts[span]]

    def chunk(self) -> Chunk:
        """Return all rows, as views of the file."""
        ends = laid_out(self.sizes)
        data = [self._mapped[end : end + size] for end, size in zip(ends, self.sizes, strict=False)]
        return Chunk(self.keys, tuple(map(Leaf, self.dtypes, self.shapes, data)))

    @property
    def _size(self) -> int:
        return self.begin + laid_out(self.sizes)[-1]

    @cached_property
    def _mapped(self) -> Bytes:
        """The payload; the map outlives the file, and holds no descriptor."""
        import torch

        whole: Bytes = torch.from_file(str(self.file), shared=False, size=self._size, dtype=torch.uint8).numpy()
        return whole[self.begin :]

    @cached_property
    def _leaves(self) -> tuple[Tensor, ...]:
        import torch

        data = torch.from_numpy(self._mapped)
        spans = zip(laid_out(self.sizes), self.sizes, self.dtypes, strict=False)
        return tuple(data[start : start + size].view(getattr(torch, dtype)) for start, size, dtype in spans)

    @cached_property
    def _starts(self) -> tuple[Numbers, ...]:
        """Where each row of each leaf starts, in elements."""
        lengths = (np.broadcast_to(shapes.prod(1), len(self.keys)) for shapes in self.shapes)
        return tuple(np.cumsum(length) - length for length in lengths)


def rows_in(file: Path) -> int:
    """Return how many rows a block says that it has."""
    with file.open("rb") as opened:
        return int(_read_fields(opened, file.stat().st_size)[0]["n"])


def _read_fields(opened: Any, size: int) -> tuple[dict[str, Any], int]:
    """Return the JSON of a block and the length of its head, once both can be true."""
    first = opened.read(2 * len(MAGIC))
    length = int.from_bytes(first[len(MAGIC) :], "little")
    if first[: len(MAGIC)] != MAGIC or length > size:
        raise ValueError
    fields: dict[str, Any] = json.loads(opened.read(length))
    begin = len(first) + length + KEY * fields["n"] + 8 * sum(one["shapes"] * one["axes"] for one in fields["leaves"])
    if begin + laid_out([one["bytes"] for one in fields["leaves"]])[-1] != size:
        raise ValueError
    return fields, begin


def _stamp(file: Path) -> tuple[int, int, int]:
    stat = file.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _remove(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink()
