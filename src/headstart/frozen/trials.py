"""Which way of running a network is the fastest here: tried on a few examples, and remembered."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.backbones.backbone import Backbone
from headstart.backbones.replay import Batch
from headstart.cache import Shelf
from headstart.checkpoints import digest_of
from headstart.data import spread
from headstart.data.words import texts_of
from headstart.devices import Precision, allowed_precisions, choose_device, memory_kept, moved
from headstart.frozen.execution import EXACT, REPAYS, Execution, Reader, cosines, features_reader, has_openvino
from headstart.frozen.passes import MASK, below_top, contents_of, shelf_for
from headstart.progress import Progress, silent

SAMPLE = 32
"""Examples that the ways of running are tried on."""

WARMING = 4
"""Examples that are run before the clock is started. Graphs are made ready for a shape as it comes: of pictures, which
stand in batches of one shape, all are run before; of texts it is counted, as it will be there again and again."""

WORTH = 1.0
"""Seconds of work below which nothing is tried: everything runs plainly, in fp32."""

FAITHFUL = 0.999
"""What the cosine between an example's features and those in fp32 must be on average."""

GAIN = 0.9
"""Another way is taken only where it takes at most this share of the time."""

EXACT_ONLY: tuple[Precision, ...] = ("fp32",)
"""What networks for series run in: a forecast is a number that rounding shows in."""

CHEAP = 1e-4
"""Seconds an example below which features are computed again rather than kept: finding them costs as much."""


def choose_execution(
    backbone: Backbone,
    inputs: Sequence[Any],
    contents: Sequence[str] | None = None,
    *,
    cuts: Sequence[int] = (),
    like: Execution | None = None,
    progress: Progress = silent,
) -> Execution:
    """Return the fastest way to compute the features of inputs that gives the features of fp32.

    The seconds that a way takes are remembered in the cache for this machine, and so is how faithful it is to these
    very inputs.

    Args:
        backbone: the network.
        inputs: (n,) files, pictures, arrays or texts.
        contents: (n,) the hash of each input's content, where it is known.
        cuts: where features will be read beside the top: what is converted to try it is what will be run.
        like: the way that was the fastest for another network: where it is faithful to this one and clearly faster
            than the plain one, no other is tried, nor later for these inputs.
        progress: called with (phase, done, total).

    Raises:
        DataError: an input cannot be read.
        OptionError: the environment names a precision that this device has not.
    """
    allowed = allowed_precisions(choose_device()) if backbone.library != "series" else EXACT_ONLY
    progress("trying how to run", 0, 1)
    few = few_of(inputs)
    own = [inputs[place] for place in few]
    known = contents_of(own, contents and [contents[place] for place in few])
    read = list(dict.fromkeys([None, *(below_top(backbone, cut) for cut in cuts)]))
    trial = _Trial(backbone, own, known, read, len(np.unique(texts_of(inputs))) / max(1, len(inputs)))
    plain, n = Execution(), len(inputs)
    seconds = trial.seconds(plain)
    if n * seconds < WORTH:
        is_cached = backbone.architecture["library"] != "static"
        return replace(plain, precision=allowed[0], cached=is_cached, seconds=seconds)
    plain = replace(plain, cached=seconds >= CHEAP, seconds=seconds)
    memory = shelf_for(backbone, plain, kind="way", of=digest_of(trial.contents), allowed=list(allowed))
    wanted = memory.recall() or (None if like is None else [like.precision, like.backend])
    if wanted not in (None, [plain.precision, plain.backend]) and (wanted[1] == "eager" or n * seconds >= REPAYS):
        found = trial.fastest(plain, trial.timed([replace(plain, precision=wanted[0], backend=wanted[1])]))
        if found != plain:
            memory.remember(wanted)
            progress("trying how to run", 1, 1)
            return found
    ways = trial.timed([replace(plain, precision=precision) for precision in allowed])
    if n * min(way.seconds for way in (plain, *ways)) >= REPAYS and choose_device().type == "cpu" and has_openvino():
        # a precision rounds as much in a graph, and fp32 not at all
        faithful = [way for way in ways if way.precision == plain.precision or trial.cosine(way) >= FAITHFUL]
        ways += trial.timed([replace(way, backend="openvino") for way in faithful])
    found = trial.fastest(plain, ways)
    progress("trying how to run", 1, 1)
    return found


@dataclass(frozen=True, eq=False)
class _Trial:
    """Ways of running a network, tried on a few inputs of some contents.

    What is found is remembered: the seconds of a way, how faithful it is to these inputs, their features in fp32.

    Attributes:
        backbone: the network.
        inputs: (m,) the few.
        contents: (m,) the hash of each.
        cuts: where features are read, first of all at the top (None).
        share: of texts in words, each of which is read once for all of its words; 1 of all else.
        seen: the features (m, d) that each way gave here, so that none is asked twice.
    """

    backbone: Backbone
    inputs: Sequence[Any]
    contents: Sequence[str]
    cuts: Sequence[int | None] = (None,)
    share: float = 1.0
    seen: dict[tuple[str, str], Tensor] = field(default_factory=dict)

    @cached_property
    def batch(self) -> Batch:
        return _batch_of(self.backbone, self.inputs)

    def seconds(self, way: Execution) -> float:
        """Return what an example takes; what was measured on others of about the same length is scaled to these.

        Padding counts in what is measured, but hardly in what will be run: there texts of like length stand together.

        Raises:
            RuntimeError, NotImplementedError: a layer does not know the precision on this device.
        """
        numbers = next(iter(self.batch.values())).numel() / len(self.inputs)
        mask = self.batch.get(MASK)
        own = numbers if mask is None else float(mask.sum()) / len(self.inputs)
        size, threads = int(own).bit_length(), torch.get_num_threads()
        memory = shelf_for(self.backbone, way, kind="speed", size=size, threads=threads)
        found = memory.recall()
        if found is None:
            few = len(self.inputs) if way.backend == "openvino" and mask is None else WARMING
            self.seen[way.precision, way.backend], found = _measured(self._reader(way), self.batch, few)
            found /= numbers
            memory.remember(found)
        return float(found) * own * self.share

    def timed(self, ways: Sequence[Execution]) -> list[Execution]:
        """Return the ways that run here at all, with the seconds that each takes."""
        timed = []
        for way in ways:
            with contextlib.suppress(RuntimeError, NotImplementedError):
                timed.append(replace(way, seconds=self.seconds(way)))
        return timed

    def fastest(self, plain: Execution, ways: Sequence[Execution]) -> Execution:
        """Return the fastest way that is faithful and clearly faster than the plain one, or the plain one."""
        for way in sorted(ways, key=lambda one: one.seconds):
            if way == plain or way.seconds > GAIN * plain.seconds:
                continue
            cosine = self.cosine(way)
            if cosine >= FAITHFUL:
                return replace(way, cosine=cosine)
        return plain

    def cosine(self, way: Execution) -> float:
        """Return the cosine between the features that a way gives and those in fp32, on average."""
        memory = shelf_for(self.backbone, way, kind="cosine", of=digest_of(self.contents))
        found = memory.recall()
        if found is None:
            exact = exact_features(self.backbone, self.inputs, self.contents, self._features)
            found = float(cosines(self._features(way), torch.from_numpy(exact)).mean())
            memory.remember(found)
        return float(found)

    def _features(self, way: Execution) -> Tensor:
        """Return the features (m, d) that a way gives."""
        given = self.seen.get((way.precision, way.backend))
        return self._reader(way)(self.batch)[0] if given is None else given

    def _reader(self, way: Execution) -> Reader:
        return features_reader(self.backbone, self.cuts, way)


def exact_few(backbone: Backbone, inputs: Sequence[Any], contents: Sequence[str]) -> tuple[list[int], np.ndarray]:
    """Return the places of a few inputs, and their features (m, d) in fp32: of such as are remembered, if there are.

    Args:
        backbone: the network.
        inputs: (n,) files, pictures, arrays or texts.
        contents: (n,) the hash of each.
    """
    known = np.flatnonzero(_exact_shelf(backbone).find(contents)[:, 0] >= 0)[:SAMPLE].tolist()
    few = known if len(known) == min(SAMPLE, len(inputs)) else few_of(inputs)
    return few, exact_features(backbone, [inputs[place] for place in few], [contents[place] for place in few])


def exact_features(
    backbone: Backbone,
    inputs: Sequence[Any],
    contents: Sequence[str],
    read: Callable[[Execution], Tensor] | None = None,
) -> np.ndarray:
    """Return the features (n, d) of a few inputs in fp32, remembered or from a batch of their own.

    `read` gives those of a way of running where there is a batch of them already.
    """
    shelf = _exact_shelf(backbone)
    found = shelf.find(contents)
    missing = np.flatnonzero(found[:, 0] < 0)
    if not len(missing):
        return np.asarray(shelf.stacked(found).numpy())
    features = read(EXACT) if read else features_reader(backbone, [None], EXACT)(_batch_of(backbone, inputs))[0]
    features = features.cpu()
    shelf.add_many([contents[place] for place in missing.tolist()], features[missing])
    shelf.write()
    return np.asarray(features.numpy())


def _exact_shelf(backbone: Backbone) -> Shelf:
    """Return where features of a few are kept: those of many differ by rounding, as they are batched otherwise."""
    return shelf_for(backbone, Execution(), kind="few")


def few_of(inputs: Sequence[Any]) -> list[int]:
    """Return the places of a few inputs, of all lengths."""
    order = sorted(range(len(inputs)), key=lambda place: len(inputs[place]) if isinstance(inputs[place], str) else 0)
    return [order[place] for place in spread(len(inputs), SAMPLE)]


def _batch_of(backbone: Backbone, inputs: Sequence[Any]) -> Batch:
    """Return inputs as a batch on the device, where the network is brought too."""
    device = choose_device()
    backbone.trunk.to(device).eval()
    return {name: moved(tensor, device) for name, tensor in backbone.prepare(inputs).items()}


def _measured(read: Reader, batch: Batch, few: int) -> tuple[Tensor, float]:
    """Return a batch's features, and the seconds that an example takes once the network has run on a few of them."""
    with memory_kept():
        read({name: tensor[:few] for name, tensor in batch.items()})
        begun = time.perf_counter()
        features = read(batch)[0]
        if features.device.type == "cuda":
            torch.cuda.synchronize()
        return features, (time.perf_counter() - begun) / len(features)
