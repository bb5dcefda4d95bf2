"""What examples are at a cut: computed once and kept, or computed again whenever they are asked for."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from headstart.backbones.backbone import Backbone
from headstart.backbones.replay import Batch, State
from headstart.cache import Shelf
from headstart.checkpoints import Checkpoints
from headstart.data.words import parts_of
from headstart.devices import autocast, memory_kept, moved
from headstart.frozen.execution import EXACT, Execution, state_reader, through_reader
from headstart.frozen.passes import MASK, contents_of, gap_in, length_of, passed, shelf_for, top_shelf
from headstart.progress import Progress, silent

Storage: TypeAlias = Literal["whole", "bf16", "int8", "none"]
"""How states are kept: as they are, rounded to bf16, as bytes with one scale a tensor and example, or not at all."""

LEVELS = 127
FP32 = 4
VIEW_SEED = 7
COPY_SPEED = 1e9
"""Bytes a second at which kept states come back; what is computed faster than that is not kept."""

Rows: TypeAlias = Sequence[tuple[Tensor, ...]]


@dataclass(frozen=True, eq=False)
class States:
    """Examples at a cut.

    Attributes:
        backbone: whose stages below the cut are frozen.
        encoded: (n,) the examples as `Preparer.encode` returns them.
        cut: the number of frozen stages.
        kept: what each example, or of words each text, is at the cut, as it is and then in each fixed view; empty
            computes it when asked for.
        storage: how `kept` is stored.
        augment: how pictures are drawn anew when they are learned from: "none", "crop" or "flip".
        precision: of what is computed when it is asked for.
    """

    backbone: Backbone
    encoded: Sequence[Any]
    cut: int
    kept: tuple[Rows, ...] = ()
    storage: Storage = "whole"
    augment: str = "none"
    precision: str = "fp32"

    def __len__(self) -> int:
        return len(self.encoded)

    @cached_property
    def parts(self) -> np.ndarray | None:
        """The number (n,) of the text that each word is read in, as `kept` has them; None of what are no words."""
        return parts_of(self.encoded)

    def read_apart(self, places: np.ndarray) -> np.ndarray:
        """Return what of some places the network reads by itself: the examples or, of words, the texts, by number."""
        return places if self.parts is None else np.unique(self.parts[places])

    @cached_property
    def form(self) -> _Form:
        """What the tensors of a state at the cut are."""
        return _form_of(self.backbone, self.cut, self.precision)

    def length(self, place: int) -> int:
        """Return what texts of a batch are made alike by; pictures are all alike."""
        return length_of(self.encoded[place])

    def batch(self, places: Sequence[int], seed: tuple[int, ...] | None = None, epoch: int = 0) -> tuple[Batch, State]:
        """Return the batch of some examples and their state at the cut, on the backbone's device.

        With a seed they are learned from: pictures are drawn anew where `augment` asks for it, or taken from the
        fixed view whose turn it is in this epoch.
        """
        device = next(self.backbone.trunk.parameters()).device
        encoded = [self.encoded[place] for place in places]
        if self.kept:
            view = 0 if seed is None or len(self.kept) == 1 else 1 + epoch % (len(self.kept) - 1)
            batch = {name: moved(one, device) for name, one in self.backbone.prepare.outline(encoded).items()}
            rows = places if self.parts is None else list(dict.fromkeys(self.parts[list(places)].tolist()))
            leaves = self._joined([self.kept[view][row] for row in rows], batch, device)
            return self.form.filled(batch, leaves)
        if seed is None or self.augment == "none":
            batch = dict(self.backbone.prepare.collate(encoded))
        else:
            batch = dict(self.backbone.prepare.augmented(encoded, seed, flip=self.augment == "flip"))
        batch = {name: moved(tensor, device) for name, tensor in batch.items()}
        with torch.no_grad(), autocast(device, self.precision):
            return batch, self.backbone.below(batch, self.cut)

    def _joined(self, rows: Rows, batch: Batch, device: torch.device) -> list[Tensor]:
        """Return the leaves of a batch's state, padded to its longest text."""
        ragged = MASK in batch
        joined = []
        for place, dtype in enumerate(self.form.dtypes):
            if self.storage != "int8":
                leaf = _stacked([row[place] for row in rows], ragged)
            else:
                scales = torch.stack([row[2 * place + 1] for row in rows])
                leaf = _stacked([row[2 * place] for row in rows], ragged)
                leaf = leaf * scales.view(-1, *(1,) * (leaf.ndim - 1))
            joined.append(moved(leaf.to(dtype), device))
        return joined


def states_at(
    backbone: Backbone,
    inputs: Sequence[Any],
    cut: int,
    *,
    storage: Storage = "whole",
    augment: str = "none",
    views: int = 0,
    execution: Execution = EXACT,
    contents: Sequence[str] | None = None,
    to_top: bool = False,
    keeper: Checkpoints | None = None,
    progress: Progress = silent,
) -> States:
    """Return what inputs are at a cut, kept where `storage` asks for it and the states allow it.

    Args:
        backbone: whose stages below the cut are frozen.
        inputs: (n,) the examples.
        cut: the number of frozen stages.
        storage: how the states are kept; "none" computes them whenever they are asked for.
        augment: pictures: drawn anew in every epoch, so that nothing can be kept, or in fixed views; texts stay whole.
        views: how many fixed views are kept in place of drawing anew; 0 draws anew.
        execution: how what lies below the cut is run, and whether the cache keeps it.
        contents: (n,) the hash of each input's content, where it is known.
        to_top: whether the pass goes on to the features at the top that the cache lacks, and leaves them there.
        keeper: where unfinished work is kept.
        progress: called with (phase, done, total).

    Raises:
        DataError: an input cannot be read.
        OptionError: there is no such cut.
    """
    cut = backbone.replay.resolve(cut)
    augment = augment if backbone.card.modality == "image" else "none"
    live = augment != "none" and not views
    whole = States(backbone, backbone.prepare.encode(inputs), cut, (), storage, augment, precision=execution.precision)
    if storage == "none" or live or not can_keep(backbone, cut) or not whole.form.dtypes:
        return whole
    if whole.parts is None:
        keys = contents_of(inputs, contents)
    else:
        firsts = np.unique(whole.parts, return_index=True)[1].tolist()
        inputs, keys = [inputs[place] for place in firsts], [_digest(whole.encoded[place]) for place in firsts]
    each = range(1 + (views if augment != "none" else 0))
    top = top_shelf(backbone, execution) if to_top and cut and whole.parts is None else None
    kept = tuple(_rows(whole, inputs, keys, view, execution, None if view else top, keeper, progress) for view in each)
    return States(backbone, whole.encoded, cut, kept, storage, augment, precision=execution.precision)


def _digest(ids: Sequence[int]) -> str:
    """Return the SHA-256 of token ids: what the text of some words is kept by."""
    return hashlib.sha256(np.array(ids, dtype=np.int64).tobytes()).hexdigest()


def can_keep(backbone: Backbone, cut: int) -> bool:
    """Tell whether a state at a cut falls apart into examples: every tensor in it has one row an example.

    A tensor over pairs of places (T5's position bias) does not; what lies below is then computed again each time.
    """
    batch = backbone.example_batch()
    with torch.no_grad():
        leaves = tree_leaves(backbone.below(batch, cut))
    n = next(iter(batch.values())).shape[0]
    return all(torch.is_tensor(leaf) and leaf.shape[:1] == (n,) and _is_simple(leaf, batch) for leaf in leaves)


def bytes_at(backbone: Backbone, cut: int, precision: str = "fp32") -> float:
    """Return how many bytes one synthetic example takes at a cut."""
    return sum(_form_of(backbone, cut, precision).sizes)


def bytes_kept(backbone: Backbone, cuts: Sequence[int], precision: str, storage: Storage) -> float:
    """Return how many bytes are kept of one synthetic example at all cuts."""
    return sum(
        size if storage == "whole" else size * {"bf16": 2, "int8": 1}[storage] / dtype.itemsize
        for form in (_form_of(backbone, cut, precision) for cut in cuts)
        for size, dtype in zip(form.sizes, form.dtypes, strict=True)
    )


def seconds_below(backbone: Backbone, cut: int, precision: str = "fp32") -> float:
    """Return the seconds that the stages below a cut take for one synthetic example on this machine."""
    batch = backbone.example_batch()
    device = next(iter(batch.values())).device
    with torch.no_grad(), autocast(device, precision), memory_kept():
        backbone.below(batch, cut)
        begun = time.perf_counter()
        backbone.below(batch, cut)
    return (time.perf_counter() - begun) / len(next(iter(batch.values())))


@dataclass(frozen=True)
class _Form:
    """What a state at a cut is made of.

    Attributes:
        tree: how its tensors hang together.
        dtypes, sizes: of each tensor; sizes in bytes an example.
        inputs: at cut 0 the names of the batch's own numbers, which are the state there; empty elsewhere.
    """

    tree: Any
    dtypes: tuple[torch.dtype, ...]
    sizes: tuple[float, ...]
    inputs: tuple[str, ...] = ()

    def leaves(self, batch: Batch, read: Any) -> list[Tensor]:
        """Return the tensors of a batch's state."""
        return [batch[name] for name in self.inputs] if self.tree is None else read(batch)

    def filled(self, batch: Batch, leaves: list[Tensor]) -> tuple[Batch, State]:
        """Return a batch and its state from the state's tensors."""
        if self.tree is None:
            return {**batch, **dict(zip(self.inputs, leaves, strict=True))}, ()
        return batch, tree_unflatten(leaves, self.tree)


def _form_of(backbone: Backbone, cut: int, precision: str) -> _Form:
    batch = backbone.example_batch()
    n, device = next(iter(batch.values())).shape[0], next(iter(batch.values())).device
    names: tuple[str, ...] = ()
    tree = None
    if cut == 0:
        names = tuple(name for name, tensor in batch.items() if tensor.is_floating_point())
        leaves = [batch[name] for name in names]
    else:
        with torch.no_grad(), autocast(device, precision):
            found, tree = tree_flatten(backbone.below(batch, cut))
        leaves = [leaf for leaf in found if torch.is_tensor(leaf)]
    sizes = tuple(leaf.numel() * leaf.element_size() / n for leaf in leaves)
    return _Form(tree, tuple(leaf.dtype for leaf in leaves), sizes, names)


def _rows(
    states: States,
    inputs: Sequence[Any],
    keys: Sequence[str],
    view: int,
    execution: Execution,
    top: Shelf | None,
    keeper: Checkpoints | None,
    progress: Progress,
) -> Rows:
    """Return one row an example in one view: from the cache, or computed and put there, as are features at the top."""
    backbone, cut, form = states.backbone, states.cut, states.form
    drawn = f"{states.augment} {view}" if view else ""
    shelf = shelf_for(backbone, execution if cut else EXACT, kind="states", cut=cut, storage=states.storage, view=drawn)
    found = shelf.find(keys)
    above = found if top is None else top.find(keys)
    gap = gap_in([shelf] if top is None else [shelf, top], keys, np.minimum(found, above), keeper)
    goes_on = bool((above[list(gap.lacking), 0] < 0).any()) and top is not None
    make = through_reader if goes_on else state_reader
    read = make(backbone, cut, execution) if cut and gap.lacking else None
    computed: dict[str, tuple[Tensor, ...]] = {}

    def collate(encoded: Sequence[Any], numbers: Sequence[int]) -> Batch:
        if not view:
            return backbone.prepare.collate(encoded)
        return _view(states, encoded, [keys[gap.places[number]] for number in numbers], view)

    def run(batch: Batch) -> tuple[list[tuple[Tensor, ...]], Tensor | None]:
        leaves = form.leaves(batch, read)
        features = leaves.pop().float().cpu() if goes_on else None
        return _apart(batch, leaves, states.storage), features

    chosen = [inputs[place] for place in gap.places]
    phase = "features" if goes_on else f"stages 1 to {cut}" if cut else "reading inputs"
    for numbers, (rows, features) in passed(
        backbone, chosen, run, collate=collate, needed=gap.is_needed, phase=phase, progress=progress
    ):
        needed = [(at, gap.places[number]) for at, number in enumerate(numbers) if gap.is_needed(number)]
        for at, place in needed:
            if found[place, 0] < 0:
                computed[keys[place]] = rows[at]
                shelf.add(keys[place], rows[at])
        if top is not None and features is not None:
            new = [(at, place) for at, place in needed if above[place, 0] < 0]
            top.add_many([keys[place] for _, place in new], features[[at for at, _ in new]])
    for one in filter(None, (shelf, top)):
        one.write()
    return [computed[key] if key in computed else shelf.row(where) for key, where in zip(keys, found, strict=True)]


def _view(states: States, encoded: Sequence[Any], keys: Sequence[str], view: int) -> Batch:
    """Return a batch of pictures in a fixed view, which depends on the view's number and their content alone."""
    drawn = [
        states.backbone.prepare.augmented([one], (VIEW_SEED, view, int(key[:12], 16)), flip=states.augment == "flip")
        for one, key in zip(encoded, keys, strict=True)
    ]
    return {name: torch.cat([one[name] for one in drawn]) for name in drawn[0]}


def _is_simple(leaf: Tensor, batch: Batch) -> bool:
    """Tell whether only the second axis, if any, runs over the places of a text."""
    if MASK not in batch:
        return True
    length = batch[MASK].shape[1]
    return leaf.shape[1] == length or length not in leaf.shape[1:]


def _apart(batch: Batch, leaves: Sequence[Tensor], storage: Storage) -> list[tuple[Tensor, ...]]:
    """Return each example's part of a state, without padding, on the CPU."""
    n = next(iter(batch.values())).shape[0]
    lengths = batch[MASK].sum(1).tolist() if MASK in batch else [0] * n
    shape = tuple(batch[MASK].shape) if MASK in batch else ()

    def part(leaf: Tensor, row: int) -> tuple[Tensor, ...]:
        own = leaf[row, : lengths[row]] if tuple(leaf.shape[:2]) == shape else leaf[row]
        return _packed(own.cpu(), storage)

    return [tuple(one for leaf in leaves for one in part(leaf, row)) for row in range(n)]


def _packed(leaf: Tensor, storage: Storage) -> tuple[Tensor, ...]:
    """Return a tensor as it is stored, in memory of its own."""
    if storage == "int8" and leaf.is_floating_point():
        scale = (leaf.abs().max().float() / LEVELS).clamp(min=torch.finfo(torch.float32).tiny)
        return (leaf.float() / scale).round().to(torch.int8), scale
    if storage == "int8":
        return leaf.clone(), torch.ones(())
    if storage == "bf16" and leaf.is_floating_point():
        return (leaf.to(torch.bfloat16, copy=True),)
    return (leaf.contiguous().clone(),)


def _stacked(parts: Sequence[Tensor], ragged: bool) -> Tensor:
    if not ragged or parts[0].ndim == 0:
        return torch.stack(list(parts))
    return torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True)


def rounding_error(backbone: Backbone, cut: int, storage: Storage) -> float:
    """Return how far states lie from what is stored of them, as the root mean square beside the states' own."""
    batch = backbone.example_batch()
    leaves = _form_of(backbone, cut, "fp32").leaves(batch, state_reader(backbone, cut, EXACT))
    errors, sizes = [], []
    for leaf in (one for one in leaves if one.is_floating_point()):
        for row in leaf:
            packed = _packed(row.cpu(), storage)
            back = packed[0].float() * (packed[1] if len(packed) > 1 else 1.0)
            errors.append(float(((back - row.cpu().float()) ** 2).sum()))
            sizes.append(float((row.float() ** 2).sum()))
    return cast(float, np.sqrt(sum(errors) / max(sum(sizes), 1e-30)))
