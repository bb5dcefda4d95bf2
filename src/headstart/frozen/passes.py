"""A pass: inputs through the stages below a cut, each only once; what was computed before comes from the cache."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch

from headstart.backbones.backbone import Backbone, quick_hash
from headstart.backbones.replay import Batch
from headstart.cache import Cache, Shelf, the_cache
from headstart.checkpoints import Checkpoints
from headstart.data.reading import content_of
from headstart.data.words import parts_of
from headstart.devices import choose_device, memory_kept, moved
from headstart.frozen.execution import Execution
from headstart.progress import Progress, silent

PICTURES = 32
"""Pictures a batch."""

TOKENS, TEXTS = 4096, 256
"""Tokens and texts a batch, at most; a single text may have more tokens."""

WINDOW = 16_384
"""Inputs that are sorted by length together, and whose token ids are in memory at once."""

MASK = "attention_mask"
"""What tells texts from padding in a batch."""

AHEAD = 4
"""Batches prepared ahead of the network."""

NAME = 32
"""Hexadecimal digits of a hash that tell one pass from another."""

DEPENDENCIES = ("torch", "timm", "transformers", "tokenizers", "pillow")
Result = TypeVar("Result")


def passed(
    backbone: Backbone,
    inputs: Sequence[Any],
    run: Callable[[Batch], Result],
    *,
    collate: Callable[[Sequence[Any], Sequence[int]], Batch] | None = None,
    needed: Callable[[int], bool] = lambda _place: True,
    batch_size: int | None = None,
    phase: str = "features",
    progress: Progress = silent,
) -> Iterator[tuple[list[int], Result]]:
    """Yield (places, result) of each batch of inputs, texts of like length together, without gradients.

    Args:
        backbone: its trunk is brought to the device.
        inputs: (n,) files, pictures, arrays or texts.
        run: from a batch to what is wanted of it.
        collate: from encoded inputs and their places to a batch; the backbone's own way otherwise.
        needed: tells of a place whether it is still to be computed; batches without one are passed over, and the
            others are what they would be without it: an input's rounding depends on what it is batched with.
        batch_size: inputs a batch; what suits the modality otherwise.
        phase: what progress calls it.
        progress: called with (phase, done, total).

    Raises:
        DataError: an input cannot be read.
    """
    device = choose_device()
    backbone.trunk.to(device).eval()
    done = 0
    with memory_kept():
        for places, batch in _prepared(backbone, inputs, collate, needed, batch_size):
            with torch.no_grad():
                result = run({name: moved(tensor, device) for name, tensor in batch.items()})
            yield places, result
            done += len(places)
            progress(phase, done, len(inputs))


def shelf_for(backbone: Backbone, execution: Execution, **what: Any) -> Shelf:
    """Return where the cache keeps what a backbone makes of inputs, or a shelf that keeps nothing.

    Args:
        backbone: whose weights, preprocessing and tokenizer count, not its name.
        execution: how it is run.
        what: is kept: the cut, the view, how tensors are stored.
    """
    if not execution.cached:
        return Cache(None).shelf({})
    about = {
        "backbone": backbone.name,
        "weights": quick_hash(backbone.trunk),
        "architecture": backbone.architecture,
        "prepare": backbone.prepare.identity,
        "precision": execution.precision,
        "backend": execution.backend,
        "device": f"{choose_device().type} {torch.backends.cpu.get_cpu_capability()}",
        "versions": _versions(execution.backend),
        **what,
    }
    return the_cache().shelf(about)


def top_shelf(backbone: Backbone, execution: Execution) -> Shelf:
    """Return where the cache keeps features at the top."""
    return shelf_for(backbone, execution, kind="features", cut="top")


def below_top(backbone: Backbone, cut: int | None) -> int | None:
    """Return a cut as the number of frozen stages; the top, however it is said, as None."""
    frozen = cut if cut is None else backbone.replay.resolve(cut)
    return None if frozen is None or frozen == backbone.n_stages else frozen


def contents_of(inputs: Sequence[Any], known: Sequence[str] | None) -> Sequence[str]:
    """Return the hash (n,) of each input's content, where it is not known already."""
    if known is not None:
        return known
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(content_of, inputs))


@dataclass(frozen=True)
class Gap:
    """What a shelf lacks of some inputs, and how it is to be computed.

    Attributes:
        places: of the inputs that were lacking when this work was begun, each content once: what is batched together;
            then of those that the cache has lost since.
        lacking: those of them that are lacking still.
    """

    places: list[int]
    lacking: frozenset[int]

    def is_needed(self, number: int) -> bool:
        """Tell whether the place of this number is still to be computed."""
        return self.places[number] in self.lacking


def gap_in(shelves: Sequence[Shelf], contents: Sequence[str], found: np.ndarray, keeper: Checkpoints | None) -> Gap:
    """Return what any of some shelves lacks: of a place found in all of them, `found` (n, 2) is not negative.

    Rounding depends on what an input is batched with, so a run that is taken up again batches as it did at first.
    """
    first: dict[str, int] = {}
    for place in np.flatnonzero(found[:, 0] < 0).tolist():
        first.setdefault(contents[place], place)
    lacking = frozenset(first.values())
    if keeper is None or keeper.folder is None or not (shelves[0].keeps and contents):
        return Gap(list(first.values()), lacking)
    name = _digest(f"{' '.join(shelf.text for shelf in shelves)} {_digest(' '.join(contents))}")
    begun = keeper.first(f"pass-{name[:NAME]}", list(first))
    place_of = {content: place for place, content in reversed(list(enumerate(contents)))}
    lost = sorted(lacking - {place_of[content] for content in begun})
    return Gap([*(place_of[content] for content in begun), *lost], lacking)


def batches_by_length(lengths: Sequence[int], batch_size: int | None = None) -> list[list[int]]:
    """Return the places of each batch: pictures (of length 0) in order, texts of like length together."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    batches: list[list[int]] = []
    for place in order:
        if batches and len(batches[-1]) < _most(lengths[place], batch_size):
            batches[-1].append(place)
        else:
            batches.append([place])
    return batches


def _batches(encoded: Sequence[Any], batch_size: int | None) -> list[list[int]]:
    """Return the places of each batch of encoded inputs: words that are read in one text are not separated."""
    parts, lengths = parts_of(encoded), [length_of(one) for one in encoded]
    if parts is None:
        return batches_by_length(lengths, batch_size)
    members: list[list[int]] = [[] for _ in range(int(parts.max()) + 1)]
    for place, part in enumerate(parts.tolist()):
        members[part].append(place)
    batches = batches_by_length([lengths[own[0]] for own in members], batch_size)
    return [[place for part in batch for place in members[part]] for batch in batches]


def _most(length: int, batch_size: int | None) -> int:
    """Return how many inputs whose longest has so many tokens make a batch."""
    if batch_size is not None:
        return batch_size
    return max(1, min(TEXTS, TOKENS // length)) if length else PICTURES


def length_of(encoded: Any) -> int:
    """Return the number of tokens of an encoded text; 0 for pictures."""
    return len(encoded) if isinstance(encoded, list) else 0


def _prepared(
    backbone: Backbone,
    inputs: Sequence[Any],
    collate: Callable[[Sequence[Any], Sequence[int]], Batch] | None,
    needed: Callable[[int], bool],
    batch_size: int | None,
) -> Iterator[tuple[list[int], Batch]]:
    """Yield batches, a few of them prepared ahead in threads: decoding releases Python's lock, and so do tokenizers."""
    own = collate or (lambda encoded, _places: backbone.prepare.collate(encoded))
    waiting: deque[tuple[list[int], Future[Batch]]] = deque()
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(inputs), WINDOW):
            encoded = backbone.prepare.encode(inputs[start : start + WINDOW])
            for batch in _batches(encoded, batch_size):
                places = [start + place for place in batch]
                if not any(map(needed, places)):
                    continue
                waiting.append((places, pool.submit(own, [encoded[place] for place in batch], places)))
                if len(waiting) > AHEAD:
                    ready, future = waiting.popleft()
                    yield ready, future.result()
        while waiting:
            ready, future = waiting.popleft()
            yield ready, future.result()


@cache
def _versions(backend: str) -> dict[str, str]:
    names = (*DEPENDENCIES, "openvino") if backend == "openvino" else DEPENDENCIES
    return {name: importlib.metadata.version(name) for name in names}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
