"""Beside: a small network next to a source, which stays as it is; their features stand side by side."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.backbones.replay import Batch, CutPlan

SOURCE = "below.source"


class Below(nn.Module):
    """The source, with what the small network is shown of a picture."""

    def __init__(self, source: nn.Module, side: int | None) -> None:
        super().__init__()
        self.source, self.side = source, side

    def forward(self, **batch: Tensor) -> tuple[Tensor, ...]:
        """Return the source's features (n, d) and, of pictures, the same ones of `side` × `side` pixels."""
        features = self.source(**batch)
        if self.side is None:
            return (features,)
        size = (self.side, self.side)
        return features, functional.interpolate(batch["x"], size, mode="bilinear", antialias=True)


class Beside(nn.Module):
    """A source and a small network, each of which sees the input.

    Args:
        source: a batch to features (n, d).
        small: a batch, of pictures one with fewer pixels, to features (n, k).
        side: of the pictures the small network sees; None of texts.
    """

    def __init__(self, source: nn.Module, small: nn.Module, side: int | None) -> None:
        super().__init__()
        self.below, self.small = Below(source, side), small

    def forward(self, **batch: Tensor) -> Tensor:
        """Return features (n, d + k)."""
        features, *pictures = self.below(**batch)
        shown: Batch = {"x": pictures[0]} if pictures else batch
        return torch.cat([features, self.small(**shown)], 1)


def side_of(architecture: dict[str, Any]) -> int | None:
    """Return the side of the pictures that a network of an architecture sees; None of one for texts."""
    return int(architecture["preprocessing"]["input_size"][-1]) if architecture["library"] == "timm" else None


def plan_beside(plan: CutPlan) -> CutPlan:
    """Return the cuts of a source with a small network beside it: its own, and one below the small network."""
    *lower, highest = [tuple(f"{SOURCE}.{name}" for name in stage) for stage in plan.stages]
    return CutPlan((*lower, (*highest, "below"), ("small",)), frozenset(f"{SOURCE}.{name}" for name in plan.live))
