"""Answers of a network on its way: examples from their states at a cut to logits."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from headstart.backbones.backbone import Backbone
from headstart.backbones.writers import IGNORED, Writer, numbered
from headstart.devices import autocast
from headstart.frozen.states import States
from headstart.heads import Head
from headstart.writing.texts import as_array, packed, unpacked

READ = 64
"""Examples a batch where nothing is learned, or texts whose words they are."""


def answers(
    backbone: Backbone, head: Head | None, states: States, places: np.ndarray, *, precision: str = "fp32"
) -> np.ndarray:
    """Return the logits (k, c) of examples, in their order; without a head, their features (k, d)."""
    device = next(backbone.trunk.parameters()).device
    order = sorted(places.tolist(), key=lambda place: (states.length(place), place))
    rows: dict[int, np.ndarray] = {}
    size = READ * math.ceil(len(order) / max(1, len(states.read_apart(places))))
    with torch.no_grad():
        for start in range(0, len(order), size):
            chunk = order[start : start + size]
            batch, state = states.batch(chunk)
            with autocast(device, precision):
                features = backbone.above(batch, state, states.cut).float()
            found = features if head is None else head(features)
            rows.update(zip(chunk, found.cpu().numpy(), strict=True))
    return np.stack([rows[place] for place in places.tolist()])


def written(
    backbone: Backbone, writer: Writer, states: States, places: np.ndarray, labels: Tensor, *, precision: str = "fp32"
) -> tuple[Tensor, np.ndarray]:
    """Return the losses (k,) of examples with labels (n, m), and the texts (k,) that are written, in their order."""
    device = next(backbone.trunk.parameters()).device
    order = sorted(places.tolist(), key=lambda place: (states.length(place), place))
    losses: dict[int, float] = {}
    texts: dict[int, object] = {}
    with torch.no_grad():
        for start in range(0, len(order), READ):
            chunk = order[start : start + READ]
            batch, state = states.batch(chunk)
            with autocast(device, precision):
                features = numbered(backbone.above(batch, state, states.cut), batch)
                own = writer.losses(features, labels[chunk].to(device))
            losses.update(zip(chunk, own.double().tolist(), strict=True))
            if writer.continues:
                sizes = (labels[chunk] != IGNORED).sum(1).tolist()
                prompts = [states.encoded[place][:-size] for place, size in zip(chunk, sizes, strict=True)]
                found = writer.go_on(backbone.trunk.get_submodule("encoder"), prompts)
            else:
                found = writer.write(features)
            texts.update(zip(chunk, found.tolist(), strict=True))
    wanted = places.tolist()
    return torch.tensor([losses[place] for place in wanted]), as_array([texts[place] for place in wanted])


def kept(outputs: np.ndarray) -> Tensor:
    """Return outputs as a checkpoint holds them: texts as bytes."""
    return torch.from_numpy(packed(outputs) if outputs.dtype == object else outputs)


def given_back(stored: Tensor, *, is_text: bool) -> np.ndarray:
    """Return the outputs that `kept` was given."""
    return unpacked(stored.numpy()) if is_text else np.asarray(stored.numpy())
