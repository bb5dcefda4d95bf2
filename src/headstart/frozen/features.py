"""Features at a cut: what lies below it, computed once for each example."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.backbones.backbone import Backbone
from headstart.cache import Shelf
from headstart.checkpoints import Checkpoints
from headstart.devices import undisturbed
from headstart.frozen.execution import EXACT, Execution, features_reader
from headstart.frozen.passes import Gap, below_top, contents_of, gap_in, passed, shelf_for, top_shelf
from headstart.frozen.trials import choose_execution
from headstart.progress import Progress, silent
from headstart.wording import user_path

SHORT = 20_000
"""Inputs up to which a pass keeps nothing until it is whole: a killed one then begins again, with the same rounding."""

LARGE = 2**29
"""Bytes from which features are kept in a file that is mapped into memory."""


def extract(
    backbone: Backbone,
    inputs: Sequence[Any],
    *,
    cut: int | None = None,
    fast: bool = False,
    batch_size: int | None = None,
    progress: Progress = silent,
) -> np.ndarray:
    """Return the features (n, d) of inputs at a cut, in fp32; without a cut, at the top.

    Texts of like length are batched together; the order and the batch size change nothing but rounding.

    Args:
        backbone: the source.
        inputs: (n,) files, pictures, arrays or texts; to a backbone for pictures a string is a file's name.
        cut: the number of frozen stages to read after.
        fast: compute them in the way that is fastest on this machine and agrees with fp32 (cosine of 0.999 or more),
            and take from the cache what was computed before.
        batch_size: inputs a batch; what suits the modality otherwise.
        progress: called with (phase, done, total).

    Raises:
        DataError: an input cannot be read.
        OptionError: there is no such cut.

    Example:
        >>> import headstart as hs
        >>> hs.extract(hs.load_backbone("wordllama"), ["a text", "another text"]).shape
        (2, 256)
    """
    if backbone.card.modality == "image":
        inputs = [user_path(one) if isinstance(one, str) else one for one in inputs]
    execution = choose_execution(backbone, inputs) if fast and inputs else EXACT
    return features_of(backbone, inputs, cut=cut, execution=execution, batch_size=batch_size, progress=progress)


def features_of(
    backbone: Backbone,
    inputs: Sequence[Any],
    *,
    cut: int | None = None,
    execution: Execution = EXACT,
    contents: Sequence[str] | None = None,
    batch_size: int | None = None,
    keeper: Checkpoints | None = None,
    progress: Progress = silent,
) -> np.ndarray:
    """Return the features (n, d) of inputs at one cut, or at the top, as `features_at` does at several."""
    (features,) = features_at(
        backbone,
        inputs,
        [cut],
        execution=execution,
        contents=contents,
        batch_size=batch_size,
        keeper=keeper,
        progress=progress,
    )
    return features


@undisturbed()
def features_at(
    backbone: Backbone,
    inputs: Sequence[Any],
    cuts: Sequence[int | None],
    *,
    execution: Execution = EXACT,
    contents: Sequence[str] | None = None,
    batch_size: int | None = None,
    keeper: Checkpoints | None = None,
    progress: Progress = silent,
) -> list[np.ndarray]:
    """Return the features (n, d) of inputs at each cut, in fp32: what the cache lacks comes from a single pass.

    Args:
        backbone: the source.
        inputs: (n,) files, pictures, arrays or texts.
        cuts: the numbers of frozen stages to read after; None reads at the top.
        execution: how they are computed, and whether the cache is asked first.
        contents: (n,) the hash of each input's content, where it is known.
        batch_size: inputs a batch; what suits the modality otherwise.
        keeper: where unfinished work is kept; without it a short pass leaves nothing behind until it is whole.
        progress: called with (phase, done, total).

    Raises:
        OptionError: there is no such cut.
        BackboneError: the state at a cut cannot be read as features.
    """
    if not len(inputs):
        return [np.empty((0, 0), dtype=np.float32) for _ in cuts]
    keys = contents_of(inputs, contents) if execution.cached else [str(place) for place in range(len(inputs))]
    own = [below_top(backbone, cut) for cut in cuts]
    tables = {cut: _Table(cut, shelf_for(backbone, execution, kind="features", cut=_named(cut)), keys) for cut in own}
    lacking = [table for table in tables.values() if not table.is_whole]
    if lacking:
        found = np.minimum.reduce([table.found for table in lacking])
        gap = gap_in([table.shelf for table in lacking], keys, found, keeper)
        chosen = [inputs[place] for place in gap.places]
        read = features_reader(backbone, [table.cut for table in lacking], execution)
        batches = passed(backbone, chosen, read, needed=gap.is_needed, batch_size=batch_size, progress=progress)
        _fill(lacking, gap, batches, waits=keeper is None and len(chosen) <= SHORT)
    return [tables[cut].features for cut in own]


def _fill(
    tables: Sequence[_Table], gap: Gap, batches: Iterable[tuple[list[int], list[Tensor]]], *, waits: bool
) -> None:
    """Put what a pass gives into the tables; what waits is handed to the cache only once it is whole."""
    for numbers, rows in batches:
        wanted = [place for place, number in enumerate(numbers) if gap.is_needed(number)]
        places = [gap.places[numbers[place]] for place in wanted]
        for table, own in zip(tables, rows, strict=True):
            table.put(places, own.cpu().numpy()[wanted], keep=not waits)
    for table in tables:
        table.close(sorted(gap.lacking), keep=waits)


@dataclass(eq=False)
class _Table:
    """The features at one cut: what the cache has of them, and room for the others."""

    cut: int | None
    shelf: Shelf
    keys: Sequence[str]
    found: np.ndarray = field(init=False)
    _features: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.found = self.shelf.find(self.keys)
        if self.known.any():
            rows = self.shelf.stacked(self.found[self.known])
            self._made(rows.shape[1])[self.known] = rows.numpy()

    @property
    def known(self) -> np.ndarray:
        """Tell (n,) what the cache has."""
        return np.asarray(self.found[:, 0] >= 0)

    @property
    def is_whole(self) -> bool:
        return bool(self.known.all())

    @property
    def features(self) -> np.ndarray:
        """The features (n, d), once nothing is lacking."""
        assert self._features is not None
        return self._features

    def put(self, places: list[int], rows: np.ndarray, *, keep: bool) -> None:
        """Take in what was computed of some inputs, and hand it to the cache."""
        new = ~self.known[places]
        self._made(rows.shape[1])[np.array(places)[new]] = rows[new]
        if keep:
            self._keep(places)

    def close(self, computed: list[int], *, keep: bool) -> None:
        """Write what was computed, and give it to other inputs of the same content."""
        if keep:
            self._keep(computed)
        self.shelf.write()
        place_of = {self.keys[place]: place for place in computed}
        for place in np.flatnonzero(~self.known).tolist():
            if place_of[self.keys[place]] != place:
                self.features[place] = self.features[place_of[self.keys[place]]]

    def _keep(self, places: list[int]) -> None:
        new = [place for place in places if not self.known[place]]
        self.shelf.add_many([self.keys[place] for place in new], torch.from_numpy(self.features[new]))

    def _made(self, d: int) -> np.ndarray:
        if self._features is None:
            self._features = _room(len(self.keys), d)
        return self._features


def count_lacking(backbone: Backbone, contents: Sequence[str], execution: Execution) -> int:
    """Return how many contents' features at the top are not in the cache."""
    found = top_shelf(backbone, execution).find(contents)
    return int((found[:, 0] < 0).sum())


def _named(cut: int | None) -> int | str:
    return "top" if cut is None else cut


def _room(n: int, d: int) -> np.ndarray:
    """Return an empty array (n, d): in memory, or mapped from a file without a name where it is large."""
    if n * d * 4 < LARGE:
        return np.empty((n, d), dtype=np.float32)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype=np.float32, mode="w+", shape=(n, d))
