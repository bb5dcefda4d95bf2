"""REFINE: a small network of random weights beside frozen features, which makes up for what they lack."""

from __future__ import annotations

from dataclasses import dataclass, replace

from headstart.backbones.backbone import Backbone
from headstart.backbones.beside import Beside, plan_beside, side_of
from headstart.strategies.finetune import settled_schedule
from headstart.strategies.schedule import Schedule
from headstart.strategies.scratch import small_network

SCHEDULES = {
    "timm": Schedule(epochs=10, rate=2e-3, head_rate=5e-4, decay=1.0, weight_decay=0.05, statistics=True),
    "transformers": Schedule(epochs=5, rate=5e-4, head_rate=5e-4, decay=1.0, dropout=True),
    "static": Schedule(epochs=10, rate=1e-3, head_rate=5e-4, decay=1.0, dropout=True),
}


@dataclass(frozen=True)
class Refine:
    """Keep the source's features as they are, and learn a small network whose features stand beside them.

    Residual feature integration (Xu et al. 2025): where a source lacks what the target needs, the small network can
    add it, and where it misleads, the head can do without it. The head begins as the probe, and the small network's
    part of it with zeros.

    Attributes:
        epochs, rate, batch_size: of the schedule; None takes the defaults.
        schedule: everything else about learning.
    """

    epochs: int | None = None
    rate: float | None = None
    batch_size: int | None = None
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        settled_schedule(self.schedule or Schedule(), self.epochs, self.rate, self.batch_size)

    name = "refine"
    transfers = True
    word = "a small network beside frozen features"
    starts_from_probe = True
    cuts_source = False
    augment = "none"
    views = 0

    def cuts(self, backbone: Backbone) -> tuple[int, ...]:
        """Return the one cut: all of the source is frozen."""
        return (backbone.n_stages,)

    def settled(self, backbone: Backbone) -> Schedule:
        """Return the schedule with everything filled in."""
        own = self.schedule or SCHEDULES[backbone.library]
        return settled_schedule(own, self.epochs, self.rate, self.batch_size)

    def needs_rate(self, backbone: Backbone) -> bool:
        """Tell whether the rate has to be found by a range test: never."""
        return False

    def begin(self, backbone: Backbone, seed: int) -> Backbone:
        """Return the source with a small network of random weights, drawn from the seed, beside it."""
        small, trunk, _ = small_network(backbone, seed)
        side = side_of(small)
        card = backbone.card
        both = Beside(backbone.trunk, trunk, side)
        for parameter in backbone.trunk.parameters():
            parameter.requires_grad_(False)
        card = replace(
            card,
            parameters=card.parameters + sum(parameter.numel() for parameter in trunk.parameters()),
            dimensions=card.dimensions + int(small.get("dimensions", getattr(trunk, "num_features", 0))),
        )
        architecture = {"library": "beside", "source": backbone.architecture, "small": small}
        return Backbone(card, architecture, both.eval(), backbone.prepare, plan_beside(backbone.replay.plan))

    def finished(self, backbone: Backbone) -> Backbone:
        """Return the network as it is saved."""
        return backbone
