"""Answers of a network on its way: examples from their states at a cut to logits."""

from __future__ import annotations

import numpy as np
import torch

from headstart.backbones.backbone import Backbone
from headstart.devices import autocast
from headstart.frozen.states import States
from headstart.heads import Head

READ = 64
"""Examples a batch where nothing is learned."""


def answers(
    backbone: Backbone, head: Head, states: States, places: np.ndarray, *, precision: str = "fp32"
) -> np.ndarray:
    """Return the logits (k, c) of examples, in their order."""
    device = next(backbone.trunk.parameters()).device
    order = sorted(places.tolist(), key=lambda place: (states.length(place), place))
    rows: dict[int, np.ndarray] = {}
    with torch.no_grad():
        for start in range(0, len(order), READ):
            chunk = order[start : start + READ]
            batch, state = states.batch(chunk)
            with autocast(device, precision):
                features = backbone.above(batch, state, states.cut)
            rows.update(zip(chunk, head(features.float()).cpu().numpy(), strict=True))
    return np.stack([rows[place] for place in places.tolist()])
