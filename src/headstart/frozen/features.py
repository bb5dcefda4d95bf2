"""Features at a cut: what lies below it, computed once for each example."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from headstart.backbones.backbone import Backbone
from headstart.checkpoints import Checkpoints
from headstart.devices import undisturbed
from headstart.frozen.execution import EXACT, Execution, features_reader
from headstart.frozen.passes import contents_of, gap_in, passed, shelf_for
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


@undisturbed()
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
    """Return the features (n, d) of inputs, run as an execution says, in fp32.

    Args:
        backbone: the source.
        inputs: (n,) files, pictures, arrays or texts.
        cut: the number of frozen stages to read after; None reads at the top.
        execution: how they are computed, and whether the cache is asked first.
        contents: (n,) the hash of each input's content, where it is known.
        batch_size: inputs a batch; what suits the modality otherwise.
        keeper: where unfinished work is kept; without it a short pass leaves nothing behind until it is whole.
        progress: called with (phase, done, total).
    """
    if not len(inputs):
        return np.empty((0, 0), dtype=np.float32)
    own = cut if cut is None else backbone.replay.resolve(cut)
    shelf = shelf_for(backbone, execution, kind="features", cut="top" if own is None else own)
    keys = contents_of(inputs, contents) if execution.cached else [str(place) for place in range(len(inputs))]
    found = shelf.find(keys)
    gap = gap_in(shelf, keys, found, keeper)
    known = found[:, 0] >= 0
    features: np.ndarray | None = None
    if known.any():
        rows = shelf.stacked(found[known])
        features = _room(len(inputs), rows.shape[1])
        features[known] = rows.numpy()
    read = features_reader(backbone, own, execution) if gap.lacking else None
    chosen = [inputs[place] for place in gap.places]
    waits = keeper is None and len(gap.places) <= SHORT
    for numbers, (batch,) in (
        passed(backbone, chosen, read, needed=gap.is_needed, batch_size=batch_size, progress=progress) if read else ()
    ):
        features = _room(len(inputs), batch.shape[1]) if features is None else features
        wanted = [number for number in range(len(numbers)) if gap.is_needed(numbers[number])]
        places = [gap.places[numbers[number]] for number in wanted]
        features[places] = batch.cpu().numpy()[wanted]
        if not waits:
            shelf.add_many([keys[place] for place in places], torch.from_numpy(features[places]))
    assert features is not None
    if waits and gap.lacking:
        places = sorted(gap.lacking)
        shelf.add_many([keys[place] for place in places], torch.from_numpy(features[places]))
    shelf.write()
    _repeat(features, keys, sorted(gap.lacking), ~known)
    return features


def count_lacking(backbone: Backbone, contents: Sequence[str], execution: Execution) -> int:
    """Return how many contents' features at the top are not in the cache."""
    found = shelf_for(backbone, execution, kind="features", cut="top").find(contents)
    return int((found[:, 0] < 0).sum())


def _repeat(features: np.ndarray, keys: Sequence[str], computed: list[int], wanted: np.ndarray) -> None:
    """Give what was computed for one input to the others of the same content."""
    if len(computed) == int(wanted.sum()):
        return
    place_of = {keys[place]: place for place in computed}
    for place in np.flatnonzero(wanted).tolist():
        features[place] = features[place_of[keys[place]]]


def _room(n: int, d: int) -> np.ndarray:
    """Return an empty array (n, d): in memory, or mapped from a file without a name where it is large."""
    if n * d * 4 < LARGE:
        return np.empty((n, d), dtype=np.float32)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype=np.float32, mode="w+", shape=(n, d))
