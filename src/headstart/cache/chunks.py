"""Rows of tensors on their way into a file that is written whole, never changed, and known by its checksum.

```
8 bytes        MAGIC
8 bytes        the length of the JSON, little-endian
JSON           {"shelf", "n", "payload", "leaves": [{"dtype", "shapes", "axes", "bytes"}]}, padded with spaces
16 n bytes     the keys of the rows
8 s a bytes    for each leaf its s shapes of a axes: one where all rows are alike, else one a row
payload        for each leaf its rows one after another, from a multiple of 64 on
```
The JSON holds the checksum of the payload, and the file's name is the checksum of all that stands before the payload.
Nothing is synced: what a power cut tears does not match, and is thrown away.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import xxhash
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Numbers: TypeAlias = NDArray[np.int64]
Bytes: TypeAlias = NDArray[np.uint8]

MAGIC = b"headrow1"
SUFFIX, PART = ".rows", ".part"
ALIGNED = 64


@dataclass(frozen=True, eq=False)
class Leaf:
    """One tensor of each of some rows.

    Attributes:
        dtype: torch's name, such as "bfloat16".
        shapes: (1, axes) where all rows are alike, else (n, axes).
        data: (bytes,) the rows one after another.
    """

    dtype: str
    shapes: Numbers
    data: Bytes


@dataclass(frozen=True, eq=False)
class Chunk:
    """Rows in memory, before they are written.

    Attributes:
        keys: (n, 2) 64-bit halves.
        leaves: one for each tensor of a row.
    """

    keys: NDArray[np.uint64]
    leaves: tuple[Leaf, ...]

    @property
    def kind(self) -> tuple[tuple[str, int], ...]:
        """What rows of one block must agree in."""
        return tuple((leaf.dtype, leaf.shapes.shape[1]) for leaf in self.leaves)

    @property
    def nbytes(self) -> int:
        """Bytes of the payload."""
        return sum(leaf.data.nbytes for leaf in self.leaves)


def keys_of(contents: Sequence[str]) -> NDArray[np.uint64]:
    """Return the keys (n, 2) that contents are found by."""
    digests = b"".join([xxhash.xxh3_128_digest(content.encode("utf-8", "surrogatepass")) for content in contents])
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2)


def leaf_of(tensor: Tensor, shape: Sequence[int]) -> Leaf:
    """Return a copy of a tensor, which is one row or many, each of the given shape."""
    import torch

    plain = tensor.detach().to("cpu", copy=True).contiguous()
    data = plain.reshape(-1).view(torch.uint8).numpy()
    shapes = np.array(shape, dtype=np.int64).reshape(1, len(shape))
    return Leaf(str(plain.dtype).removeprefix("torch."), shapes, data)


def write_block(folder: Path, chunks: Sequence[Chunk], largest: int) -> Path | None:
    """Write rows of one kind as one block, and return its file; None where it would take more than `largest` bytes.

    Raises:
        OSError: the folder is gone, or the disk is full or refuses.
    """
    columns = [[chunk.leaves[place] for chunk in chunks] for place in range(len(chunks[0].leaves))]
    shapes = [_joined_shapes(column, chunks) for column in columns]
    sizes = [sum(leaf.data.nbytes for leaf in column) for column in columns]
    pieces: list[Bytes] = []
    for column, size in zip(columns, sizes, strict=True):
        pieces += [*(leaf.data for leaf in column), np.zeros(-size % ALIGNED, dtype=np.uint8)]
    payload = xxhash.xxh3_128()
    for piece in pieces:
        payload.update(piece.data)
    leaves = [
        {"dtype": column[0].dtype, "shapes": len(shape), "axes": shape.shape[1], "bytes": size}
        for column, shape, size in zip(columns, shapes, sizes, strict=True)
    ]
    keys = np.concatenate([chunk.keys for chunk in chunks])
    fields = {"shelf": folder.name, "n": len(keys), "payload": payload.hexdigest(), "leaves": leaves}
    head = _head(fields, [keys, *shapes])
    if len(head) + sum(map(len, pieces)) > largest:
        return None
    file = folder / f"{xxhash.xxh3_128_hexdigest(head)}{SUFFIX}"
    write_whole(file, [head, *(piece.data for piece in pieces)])
    return file


def write_whole(file: Path, pieces: Sequence[bytes | memoryview]) -> None:
    """Write a file whole or not at all, for its owner alone.

    Raises:
        OSError: the disk is full or refuses.
    """
    descriptor, part = tempfile.mkstemp(suffix=PART, dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb", buffering=1 << 20) as opened:
            for piece in pieces:
                opened.write(piece)
        os.replace(part, file)  # noqa: PTH105  a text is what mkstemp gives
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)  # noqa: PTH108
        raise


def laid_out(sizes: Sequence[int]) -> list[int]:
    """Return where each leaf starts in the payload, and where the last one ends."""
    return list(accumulate((size + -size % ALIGNED for size in sizes), initial=0))


def _head(fields: dict[str, object], arrays: Sequence[NDArray[Any]]) -> bytes:
    """Return all that stands before the payload, filled up to a multiple of 64."""
    tail = b"".join(array.tobytes() for array in arrays)
    text = json.dumps(fields).encode()
    text += b" " * (-(2 * len(MAGIC) + len(text) + len(tail)) % ALIGNED)
    return MAGIC + len(text).to_bytes(8, "little") + text + tail


def _joined_shapes(leaves: Sequence[Leaf], chunks: Sequence[Chunk]) -> Numbers:
    """Return the shapes of a leaf of several chunks: one where all are alike, else one a row."""
    shapes = leaves[0].shapes
    if all(len(leaf.shapes) == 1 and (leaf.shapes == shapes).all() for leaf in leaves):
        return shapes
    axes = shapes.shape[1]
    own = (np.broadcast_to(leaf.shapes, (len(chunk.keys), axes)) for leaf, chunk in zip(leaves, chunks, strict=True))
    return np.concatenate(list(own))
