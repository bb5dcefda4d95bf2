"""From scratch: random weights, everything learned; what no transfer gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from headstart.backbones.backbone import Backbone, Preparer
from headstart.backbones.card import Card
from headstart.backbones.sources import assemble
from headstart.errors import OptionError
from headstart.strategies.finetune import Augment, settled_schedule
from headstart.strategies.schedule import Schedule

Network: TypeAlias = Literal["same", "small"]

SCHEDULES = {
    "timm": Schedule(
        epochs=30, rate=2e-3, head_rate=2e-3, decay=1.0, weight_decay=0.05, smoothing=0.1, statistics=True
    ),
    "transformers": Schedule(epochs=15, rate=5e-4, head_rate=5e-4, decay=1.0, dropout=True),
    "static": Schedule(epochs=30, rate=1e-2, head_rate=1e-2, decay=1.0),
    "series": Schedule(epochs=20, rate=1e-3, head_rate=1e-4, decay=1.0, weight_decay=0.01),
}
WRITING = Schedule(epochs=10, rate=5e-4, head_rate=5e-4, decay=1.0, smoothing=0.1, dropout=True)
SMALL_IMAGE = "resnet10t"
HALF_WIDTH = {"channels": [32, 64, 128, 256], "stem_width": 16}
"""Of a few hundred pictures it learns no less than the whole one, in 0.4 of the time (decisions/0014)."""

SMALL_SIDE = 64
SMALL_TEXT = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}


@dataclass(frozen=True)
class FromScratch:
    """Learn a network from random weights: the same one, or a small one of its modality's kind.

    Attributes:
        network: "same" has the backbone's architecture; "small" is a ResNet-10 of half the width on 64 × 64 pixels,
            or a BERT of two layers with the backbone's tokens (the size of BERT-Tiny: Turc et al. 2019), or a PatchTST
            of three layers (Nie et al. 2023).
        epochs, rate, batch_size: of the schedule; None takes the defaults.
        augment: pictures: draw a part of each anew in every epoch ("crop"), and mirror it ("flip").
        views: pictures: in how many fixed views each is kept, in place of drawing anew; 0 draws anew.
        schedule: everything else about learning.
    """

    network: Network = "same"
    epochs: int | None = None
    rate: float | None = None
    batch_size: int | None = None
    augment: Augment = "crop"
    views: int = 0
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        settled_schedule(self.schedule or Schedule(), self.epochs, self.rate, self.batch_size)
        if self.network not in ("same", "small"):
            raise OptionError("the network is unknown.", expected="same or small", got=repr(self.network))
        if self.augment not in ("none", "crop", "flip"):
            raise OptionError("augment is unknown.", expected="none, crop or flip", got=repr(self.augment))
        if not isinstance(self.views, int) or self.views < 0:
            raise OptionError("views is out of range.", expected="a whole number from 0", got=repr(self.views))

    name = "scratch"
    transfers = False
    word = "learning from scratch"
    starts_from_probe = False
    cuts_source = False

    def cuts(self, backbone: Backbone) -> tuple[int, ...]:
        """Return cut 0: nothing is frozen."""
        return (0,)

    def settled(self, backbone: Backbone) -> Schedule:
        """Return the schedule with everything filled in."""
        usual = WRITING if backbone.writes else SCHEDULES[backbone.library]
        return settled_schedule(self.schedule or usual, self.epochs, self.rate, self.batch_size)

    def needs_rate(self, backbone: Backbone) -> bool:
        """Tell whether the rate has to be found by a range test: never."""
        return False

    def begin(self, backbone: Backbone, seed: int) -> Backbone:
        """Return a network with random weights, drawn from the seed, and the backbone's preprocessing."""
        if self.network == "same":
            architecture = backbone.architecture
            trunk, prepare = _drawn(architecture, backbone, seed)
        else:
            architecture, trunk, prepare = small_network(backbone, seed, is_narrow=True)
        is_same = architecture is backbone.architecture
        name = f"{backbone.name}-random" if is_same else f"small-{backbone.card.modality}"
        card = Card(
            name=name,
            modality=backbone.card.modality,
            source="random weights",
            licence="none: nothing was taken from anyone",
            trained_on="nothing",
            parameters=sum(parameter.numel() for parameter in trunk.parameters()),
            dimensions=int(getattr(trunk, "num_features", 0)) or backbone.card.dimensions,
            input=prepare.describe(),
        )
        plan = backbone.replay.plan if is_same else None
        return Backbone(card, architecture, trunk, prepare, plan)

    def finished(self, backbone: Backbone) -> Backbone:
        """Return the network as it is saved."""
        return backbone


def small_network(
    backbone: Backbone, seed: int, *, is_narrow: bool = False
) -> tuple[dict[str, Any], nn.Module, Preparer]:
    """Return the modality's small network: its architecture, itself with weights drawn from a seed, its preparer."""
    architecture = _small(backbone, HALF_WIDTH if is_narrow else {})
    return architecture, *_drawn(architecture, backbone, seed)


def _drawn(architecture: dict[str, Any], backbone: Backbone, seed: int) -> tuple[nn.Module, Preparer]:
    """Return a network with random weights that stands where a backbone's does, and its preparer."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        trunk, prepare = assemble(architecture, getattr(backbone.prepare, "tokenizer", None))
    return trunk.to(next(backbone.trunk.parameters()).device), prepare


def _small(backbone: Backbone, width: dict[str, Any]) -> dict[str, Any]:
    """Return the architecture of the modality's small network."""
    own = backbone.architecture.get("source", backbone.architecture)
    if own["library"] == "series":
        from headstart.backbones.series import untrained

        return untrained("patchtst")
    if own["library"] == "timm":
        preprocessing = {**own["preprocessing"], "input_size": [own["channels"], SMALL_SIDE, SMALL_SIDE]}
        return {**own, "name": SMALL_IMAGE, "preprocessing": preprocessing, "arguments": width}
    tokenizer: Any = getattr(backbone.prepare, "tokenizer", None)
    length = min(int(own["max_length"]), 512)
    config = {
        **SMALL_TEXT,
        "model_type": "bert",
        "vocab_size": len(tokenizer),
        "max_position_embeddings": length,
        "pad_token_id": backbone.prepare.padding["input_ids"],
    }
    return {
        "library": "transformers",
        "config": config,
        "pooling": "mean",
        "normalize": False,
        **({"pooling": "tokens", "pooled": ["mean", False]} if backbone.writes else {}),
        "max_length": length,
        "prompt": own.get("prompt", ""),
        "dimensions": SMALL_TEXT["hidden_size"],
    }
