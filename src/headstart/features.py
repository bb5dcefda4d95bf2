"""Features at a cut: what lies below it, computed once for each example."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from headstart.backbones.backbone import Backbone
from headstart.backbones.replay import Batch
from headstart.progress import Progress, silent

BATCH = 32
AHEAD = 4
"""Batches prepared ahead of the network."""


def extract(
    backbone: Backbone,
    inputs: Sequence[Any],
    *,
    cut: int | None = None,
    batch_size: int = BATCH,
    progress: Progress = silent,
) -> np.ndarray:
    """Return the features (n, d) of inputs at a cut, in fp32; without a cut, at the top.

    Texts of like length are batched together; the order and the batch size change nothing but rounding.

    Raises:
        DataError: an input cannot be read.
        OptionError: there is no such cut.

    Example:
        >>> import headstart as hs
        >>> hs.extract(hs.load_backbone("wordllama"), ["a text", "another text"]).shape
        (2, 256)
    """
    device = choose_device()
    backbone.trunk.to(device).eval()
    order = sorted(range(len(inputs)), key=lambda place: _length(inputs[place]))
    chunks = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    rows: list[np.ndarray] = []
    done = 0
    with torch.no_grad():
        for batch in _prepared(backbone, [[inputs[place] for place in chunk] for chunk in chunks]):
            moved = {name: _to(tensor, device) for name, tensor in batch.items()}
            rows.append(backbone.read_at(moved, cut).float().cpu().numpy())
            done += len(rows[-1])
            progress("features", done, len(inputs))
    features = np.empty((len(inputs), rows[0].shape[1] if rows else 0), dtype=np.float32)
    features[order] = np.concatenate(rows) if rows else 0
    return features


def choose_device() -> torch.device:
    """Return the fastest device that is there: CUDA, Apple's MPS, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _prepared(backbone: Backbone, chunks: list[list[Any]]) -> Iterator[Batch]:
    """Yield batches in order, a few of them prepared ahead in threads."""
    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(2) as pool:
        for chunk in chunks:
            waiting.append(pool.submit(backbone.prepare, chunk))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _to(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    if tensor.ndim == 4:
        return tensor.to(device, memory_format=torch.channels_last)
    return tensor.to(device)


def _length(source: Any) -> int:
    return len(source) if isinstance(source, str) else 0
