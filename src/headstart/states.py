"""What examples are at a cut: computed once and kept, or computed again whenever they are asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from headstart.backbones.backbone import Backbone
from headstart.backbones.replay import Batch, State
from headstart.devices import choose_device, moved
from headstart.progress import Progress, silent

BATCH = 32
AHEAD = 4
"""Batches prepared ahead of the network."""

MASK = "attention_mask"
Result = TypeVar("Result")


def passed(
    backbone: Backbone,
    inputs: Sequence[Any],
    run: Callable[[Batch], Result],
    *,
    batch_size: int = BATCH,
    phase: str = "features",
    progress: Progress = silent,
) -> Iterator[tuple[list[int], Result]]:
    """Yield (places, result) of each batch of inputs, texts of like length together, without gradients.

    Raises:
        DataError: an input cannot be read.
    """
    device = choose_device()
    backbone.trunk.to(device).eval()
    order = sorted(range(len(inputs)), key=lambda place: _length(inputs[place]))
    chunks = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    done = 0
    for chunk, batch in _prepared(backbone, inputs, chunks):
        with torch.no_grad():
            result = run({name: moved(tensor, device) for name, tensor in batch.items()})
        yield chunk, result
        done += len(chunk)
        progress(phase, done, len(inputs))


@dataclass(frozen=True, eq=False)
class States:
    """Examples at a cut.

    Attributes:
        backbone: whose stages below the cut are frozen.
        inputs: (n,) the examples.
        cut: the number of frozen stages.
        kept: (n,) what each example is at the cut; None computes it when it is asked for.
        augment: how pictures are drawn anew when they are learned from: "none", "crop" or "flip".
    """

    backbone: Backbone
    inputs: Sequence[Any]
    cut: int
    kept: list[_Kept] | None = None
    augment: str = "none"

    def __len__(self) -> int:
        return len(self.inputs)

    def length(self, place: int) -> int:
        """Return what texts of a batch are made alike by; pictures are all alike."""
        return _length(self.inputs[place])

    def batch(self, places: Sequence[int], seed: tuple[int, ...] | None = None) -> tuple[Batch, State]:
        """Return the batch of some examples and their state at the cut, on the backbone's device.

        With a seed, pictures are drawn anew where `augment` asks for it.
        """
        device = next(self.backbone.trunk.parameters()).device
        if self.kept is not None:
            kept, state = _joined([self.kept[place] for place in places], self.backbone.prepare.padding)
            moved_leaves, tree = tree_flatten(state)
            state = tree_unflatten([moved(leaf, device) for leaf in moved_leaves], tree)
            return {name: tensor.to(device) for name, tensor in kept.items()}, state
        inputs = [self.inputs[place] for place in places]
        if seed is None or self.augment == "none":
            batch = self.backbone.prepare(inputs)
        else:
            batch = self.backbone.prepare.augmented(inputs, seed, flip=self.augment == "flip")
        batch = {name: moved(tensor, device) for name, tensor in batch.items()}
        with torch.no_grad():
            return batch, self.backbone.below(batch, self.cut)


@dataclass(frozen=True)
class _Kept:
    """One example: its part of the batch and of the state's tensors, without padding, and the state's tree."""

    batch: dict[str, Tensor]
    leaves: list[Tensor]
    tree: Any


def states_at(
    backbone: Backbone,
    inputs: Sequence[Any],
    cut: int,
    *,
    keep: bool = True,
    augment: str = "none",
    progress: Progress = silent,
) -> States:
    """Return what inputs are at a cut, kept in memory where `keep` asks for it and the states allow it.

    Pictures that are drawn anew whenever they are learned from cannot be kept; texts are never drawn anew.

    Raises:
        DataError: an input cannot be read.
        OptionError: there is no such cut.
    """
    cut = backbone.replay.resolve(cut)
    augment = augment if backbone.card.modality == "image" else "none"
    if not keep or augment != "none" or not can_keep(backbone, cut):
        return States(backbone, inputs, cut, augment=augment)
    rows: dict[int, _Kept] = {}

    def run(batch: Batch) -> tuple[Batch, State]:
        return batch, backbone.below(batch, cut)

    for places, (batch, state) in passed(backbone, inputs, run, phase=f"stages 1 to {cut}", progress=progress):
        rows.update(zip(places, _apart(batch, state, cut), strict=True))
    return States(backbone, inputs, cut, [rows[place] for place in range(len(inputs))])


def can_keep(backbone: Backbone, cut: int) -> bool:
    """Tell whether a state at a cut falls apart into examples: every tensor in it has one row an example.

    A tensor over pairs of places (T5's position bias) does not; what lies below is then computed again each time.
    """
    batch = backbone.example_batch()
    with torch.no_grad():
        leaves = tree_leaves(backbone.below(batch, cut))
    n = next(iter(batch.values())).shape[0]
    return all(torch.is_tensor(leaf) and leaf.shape[:1] == (n,) and _is_simple(leaf, batch) for leaf in leaves)


def bytes_at(backbone: Backbone, cut: int) -> float:
    """Return how many bytes one synthetic example takes at a cut."""
    batch = backbone.example_batch()
    with torch.no_grad():
        leaves = tree_leaves(backbone.below(batch, cut)) if cut else list(batch.values())
    n = next(iter(batch.values())).shape[0]
    return sum(leaf.numel() * leaf.element_size() for leaf in leaves if torch.is_tensor(leaf)) / n


def _is_simple(leaf: Tensor, batch: Batch) -> bool:
    """Tell whether only the second axis, if any, runs over the places of a text."""
    if MASK not in batch:
        return True
    length = batch[MASK].shape[1]
    return leaf.shape[1] == length or length not in leaf.shape[1:]


def _apart(batch: Batch, state: State, cut: int) -> list[_Kept]:
    """Return each example's part of a batch and its state, without padding, on the CPU."""
    leaves, tree = tree_flatten(state)
    n = next(iter(batch.values())).shape[0]
    lengths = batch[MASK].sum(1).tolist() if MASK in batch else [0] * n
    shape = tuple(batch[MASK].shape) if MASK in batch else ()

    def part(tensor: Tensor, row: int) -> Tensor:
        own = tensor[row, : lengths[row]] if tuple(tensor.shape[:2]) == shape else tensor[row]
        return own.cpu().clone()

    unread = {name for name, tensor in batch.items() if cut and tensor.is_floating_point()}
    return [
        _Kept(
            {
                name: torch.zeros(()).expand(tensor.shape[1:]) if name in unread else part(tensor, row)
                for name, tensor in batch.items()
            },
            [part(leaf, row) for leaf in leaves],
            tree,
        )
        for row in range(n)
    ]


def _joined(rows: Sequence[_Kept], padding: dict[str, int]) -> tuple[dict[str, Tensor], State]:
    """Return the batch and the state of examples, padded again to the longest."""
    ragged = MASK in rows[0].batch
    batch = {name: _stacked([row.batch[name] for row in rows], ragged, padding.get(name, 0)) for name in rows[0].batch}
    leaves = [_stacked([row.leaves[place] for row in rows], ragged) for place in range(len(rows[0].leaves))]
    return batch, tree_unflatten(leaves, rows[0].tree)


def _stacked(parts: list[Tensor], ragged: bool, filler: int = 0) -> Tensor:
    if parts[0].ndim and not any(parts[0].stride()):
        return parts[0].expand(len(parts), *parts[0].shape)
    if not ragged or parts[0].ndim == 0:
        return torch.stack(parts)
    return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=filler)


def _prepared(backbone: Backbone, inputs: Sequence[Any], chunks: list[list[int]]) -> Iterator[tuple[list[int], Batch]]:
    """Yield batches in order, a few of them prepared ahead in threads."""
    waiting: deque[tuple[list[int], Future[Batch]]] = deque()
    with ThreadPoolExecutor(2) as pool:
        for chunk in chunks:
            waiting.append((chunk, pool.submit(backbone.prepare, [inputs[place] for place in chunk])))
            if len(waiting) > AHEAD:
                places, batch = waiting.popleft()
                yield places, batch.result()
        while waiting:
            places, batch = waiting.popleft()
            yield places, batch.result()


def _length(source: Any) -> int:
    """Return the length of a text in characters, which goes with its tokens; 0 for pictures."""
    return len(source) if isinstance(source, str) else 0
