"""Which way of running a network is the fastest here: tried on a few examples, and remembered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.backbones.backbone import Backbone
from headstart.backbones.replay import Batch
from headstart.devices import Precision, allowed_precisions, choose_device, memory_kept, moved
from headstart.frozen.execution import REPAYS, Execution, Reader, cosines, features_reader, has_openvino
from headstart.frozen.passes import contents_of, shelf_for
from headstart.progress import Progress, silent

SAMPLE = 32
"""Examples that the ways of running are tried on."""

WARMING = 4
"""Examples that are run before the clock is started."""

WORTH = 1.0
"""Seconds of work below which nothing is tried: everything runs plainly, in fp32."""

FAITHFUL = 0.999
"""What the cosine between an example's features and those in fp32 must be on average."""

GAIN = 0.9
"""Another way is taken only where it takes at most this share of the time."""

CHEAP = 1e-4
"""Seconds an example below which features are computed again rather than kept: finding them costs as much."""


def choose_execution(
    backbone: Backbone,
    inputs: Sequence[Any],
    contents: Sequence[str] | None = None,
    *,
    progress: Progress = silent,
) -> Execution:
    """Return the fastest way to compute the features of inputs that gives the features of fp32.

    What was found once for a network, about as many inputs and this machine is remembered in the cache, where running
    them takes long enough for anything to be tried.

    Args:
        backbone: the network.
        inputs: (n,) files, pictures, arrays or texts.
        contents: (n,) the hash of each input's content, where it is known.
        progress: called with (phase, done, total).

    Raises:
        DataError: an input cannot be read.
        OptionError: the environment names a precision that this device has not.
    """
    allowed = allowed_precisions(choose_device())
    size = len(inputs).bit_length()
    memory = shelf_for(backbone, Execution(), kind="trial", allowed=allowed, size=size, threads=torch.get_num_threads())
    recalled = memory.recall()
    if recalled is not None:
        return Execution(**recalled)
    progress("trying how to run", 0, 1)
    found = _tried(backbone, inputs, contents, allowed)
    if len(inputs) * found.seconds >= WORTH:
        memory.remember(asdict(found))
    progress("trying how to run", 1, 1)
    return found


def few_of(inputs: Sequence[Any]) -> list[int]:
    """Return the places of a few inputs, of all lengths."""
    order = sorted(range(len(inputs)), key=lambda place: len(inputs[place]) if isinstance(inputs[place], str) else 0)
    return [order[place] for place in np.linspace(0, len(inputs) - 1, min(SAMPLE, len(inputs))).astype(int)]


def _tried(
    backbone: Backbone, inputs: Sequence[Any], contents: Sequence[str] | None, allowed: list[Precision]
) -> Execution:
    n, few, device = len(inputs), few_of(inputs), choose_device()
    backbone.trunk.to(device).eval()
    batch = {name: moved(tensor, device) for name, tensor in backbone.prepare([inputs[place] for place in few]).items()}
    plain = Execution()
    truth, seconds = _measured(features_reader(backbone, [None], plain), batch)
    if n * seconds / len(few) < WORTH:
        return replace(plain, precision=allowed[0], cached=backbone.architecture["library"] != "static")
    plain = replace(plain, cached=seconds / len(few) >= CHEAP, seconds=seconds / len(few))
    ways = [replace(plain, precision=precision) for precision in allowed]
    best = _best([way for way in ways if way != plain], backbone, batch, truth, plain)
    if n * best.seconds >= REPAYS and device.type == "cpu" and has_openvino():
        converted = [replace(plain, precision=precision, backend="openvino") for precision in allowed]
        best = _best(converted, backbone, batch, truth, best)
    if best is not plain:
        _keep_exact(backbone, [inputs[place] for place in few], contents and [contents[place] for place in few], truth)
    return best


def _keep_exact(backbone: Backbone, inputs: list[Any], contents: Sequence[str] | None, features: Tensor) -> None:
    """Keep the features in fp32: answers on them will be compared with answers on others."""
    shelf = shelf_for(backbone, Execution(), kind="features", cut="top")
    shelf.add_many(contents_of(inputs, contents), features.cpu())
    shelf.write()


def _best(ways: list[Execution], backbone: Backbone, batch: Batch, truth: Tensor, best: Execution) -> Execution:
    """Return the fastest of several ways that are faithful, or what was best before."""
    for way in ways:
        try:
            features, seconds = _measured(features_reader(backbone, [None], way), batch)
        except (RuntimeError, NotImplementedError):  # a precision that a layer does not know on this device
            continue
        one = replace(way, seconds=seconds / len(features), cosine=float(cosines(features, truth).mean()))
        if one.cosine >= FAITHFUL and one.seconds <= GAIN * best.seconds:
            best = one
    return best


def _measured(read: Reader, batch: Batch) -> tuple[Tensor, float]:
    """Return the features of a batch, and the seconds they take once the network has run."""
    with memory_kept():
        read({name: tensor[:WARMING] for name, tensor in batch.items()})
        begun = time.perf_counter()
        features = read(batch)[0]
        if features.device.type == "cuda":
            torch.cuda.synchronize()
        return features, time.perf_counter() - begun
