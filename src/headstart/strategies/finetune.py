"""Fine-tuning: the head first, then the stages above a cut."""

from __future__ import annotations

import threading
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from torch import nn

from headstart.backbones.backbone import Backbone
from headstart.backbones.catalogue import CATALOGUE
from headstart.errors import OptionError
from headstart.strategies.schedule import Schedule

Learn: TypeAlias = Literal["all", "biases", "norms"]
Augment: TypeAlias = Literal["none", "crop", "flip"]

SCHEDULES = {
    "timm": Schedule(epochs=5, rate=1e-3, head_rate=5e-4, decay=0.95, smoothing=0.1),
    "transformers": Schedule(epochs=3, rate=5e-5, head_rate=1e-3, decay=0.9),
    "static": Schedule(epochs=5, rate=1e-2, head_rate=1e-3, decay=1.0),
    "series": Schedule(epochs=10, rate=1e-3, head_rate=1e-4, decay=1.0, weight_decay=0.0),
}
"""Settled by trial on the catalogue, once for all data; decisions/0007 says how."""

WRITING = Schedule(epochs=6, rate=5e-5, head_rate=5e-4, decay=0.9, smoothing=0.1, dropout=True)
"""Of what writes: the head rate is the decoder's."""

GOING_ON = Schedule(epochs=3, rate=5e-5, head_rate=5e-5, decay=1.0, smoothing=0.1, dropout=True)
"""Of what writes by a decoder of its own."""

UPPER_PART = {"timm": 0.65, "transformers": 0.0, "static": 0.0, "series": 0.0}
"""The share of the stages that stays frozen where no cut is given."""

HELD_BACK_BY = {"anchor": "L2-SP", "shrinkage": "BSS", "relation": "Co-Tuning", "average": "averaged weights"}
"""What may hold learning back, by field, and what it is called."""


@dataclass(frozen=True)
class FineTune:
    """Fit the head on frozen features, then learn the stages above a cut with it (LP-FT: Kumar et al. 2022).

    Attributes:
        cut: the number of frozen stages; negative counts from the top; 0 learns everything; None takes what suits the
            kind of backbone: the upper third of a convolutional network, the whole of a text encoder
            or of patches of series.
        epochs, rate, batch_size: of the schedule; None takes what suits the kind of backbone. The rate of a backbone
            that is not in the catalogue is found by a range test.
        moves: in how many moves the cut goes down from the top to its place, 1 or more: gradual unfreezing (Howard
            and Ruder 2018, section 3.3) where it is more than one. There are no more moves than epochs.
        learn: "all", only "biases" (BitFit: Ben Zaken et al. 2022), or only "norms" (the scales and shifts of
            normalisation layers).
        augment: pictures: "crop" and "flip" draw a part of each anew in every epoch, "flip" also mirrors it; what lies
            below the cut is then computed every time.
        views: pictures: in how many fixed views each is kept, in place of drawing anew; 0 draws anew.
        anchor, shrinkage, relation, average: what holds learning back where labels are few: `Schedule` says how; None
            takes what it says.
        schedule: everything else about learning.
    """

    cut: int | None = None
    epochs: int | None = None
    rate: float | None = None
    batch_size: int | None = None
    moves: int = 1
    learn: Learn = "all"
    augment: Augment = "none"
    views: int = 0
    anchor: float | None = None
    shrinkage: float | None = None
    relation: float | None = None
    average: float | None = None
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        self._settled_from(self.schedule or Schedule())
        if self.cut is not None and not isinstance(self.cut, int):
            raise OptionError("the cut is no whole number.", expected="a number of stages", got=repr(self.cut))
        if not isinstance(self.moves, int) or self.moves < 1:
            raise OptionError("moves is out of range.", expected="a whole number from 1", got=repr(self.moves))
        if self.learn not in ("all", "biases", "norms"):
            raise OptionError("learn is unknown.", expected="all, biases or norms", got=repr(self.learn))
        if self.augment not in ("none", "crop", "flip"):
            raise OptionError("augment is unknown.", expected="none, crop or flip", got=repr(self.augment))
        if not isinstance(self.views, int) or self.views < 0:
            raise OptionError("views is out of range.", expected="a whole number from 0", got=repr(self.views))

    name = "finetune"
    transfers = True
    starts_from_probe = True
    cuts_source = True

    @property
    def word(self) -> str:
        """What it is called in a sentence."""
        held = [word for name, word in HELD_BACK_BY.items() if getattr(self, name)]
        return "fine-tuning" + (f" with {' and '.join(held)}" if held else "")

    def cuts(self, backbone: Backbone) -> tuple[int, ...]:
        """Return the cuts that learning passes on its way down, at most one an epoch, the last one where it stays.

        Raises:
            OptionError: there is no such cut, or nothing above it to learn.
        """
        lowest = default_cut(backbone) if self.cut is None else backbone.replay.resolve(self.cut)
        require_something_above(backbone, lowest)
        top = max(lowest, last_useful_cut(backbone))
        steps = min(self.moves, top - lowest + 1, self.settled(backbone).epochs)
        return tuple(lowest + round((top - lowest) * (steps - 1 - move) / max(1, steps)) for move in range(steps))

    def settled(self, backbone: Backbone) -> Schedule:
        """Return the schedule with everything filled in."""
        written = GOING_ON if "decoder" in backbone.architecture else WRITING
        usual = written if backbone.writes else SCHEDULES[backbone.library]
        return self._settled_from(self.schedule or usual)

    def _settled_from(self, schedule: Schedule) -> Schedule:
        held = {name: value for name in HELD_BACK_BY if (value := getattr(self, name)) is not None}
        return replace(settled_schedule(schedule, self.epochs, self.rate, self.batch_size), **held)

    def needs_rate(self, backbone: Backbone) -> bool:
        """Tell whether the rate has to be found by a range test."""
        return self.rate is None and self.schedule is None and not (backbone.writes or is_tried(backbone))

    def begin(self, backbone: Backbone, seed: int) -> Backbone:
        """Return a copy whose tensors above the lowest cut require a gradient."""
        own = copied(backbone)
        above = open_above(own, self.cuts(backbone)[-1])
        if self.learn != "all":
            wanted = _norms(own.trunk) if self.learn == "norms" else _biases(own.trunk)
            for name, parameter in own.trunk.named_parameters():
                parameter.requires_grad_(name in above and name in wanted)
        return own

    def finished(self, backbone: Backbone) -> Backbone:
        """Return the network as it is saved."""
        return backbone


def settled_schedule(schedule: Schedule, epochs: int | None, rate: float | None, batch_size: int | None) -> Schedule:
    """Return a schedule with what was chosen in place.

    Raises:
        OptionError: something is out of its range.
    """
    chosen = {"epochs": epochs, "rate": rate, "batch_size": batch_size}
    return replace(schedule, **{name: value for name, value in chosen.items() if value is not None})  # type: ignore[arg-type]


def is_tried(backbone: Backbone) -> bool:
    """Tell whether the default rates were tried on a backbone: it is in the catalogue, or was made from one there.

    Of networks for series they were tried on both kinds.
    """
    return backbone.library == "series" or bool({backbone.card.name, *backbone.card.lineage} & set(CATALOGUE))


def default_cut(backbone: Backbone) -> int:
    """Return the cut that suits the kind of backbone.

    Above an encoder the decoder alone learns to write; of fracast, the encoder over 2048 steps stays frozen.
    """
    if backbone.writes:
        return 0 if "decoder" in backbone.architecture else backbone.n_stages
    if backbone.architecture.get("network") == "fracast":
        return 1
    return int(backbone.n_stages * UPPER_PART[backbone.library])


def last_useful_cut(backbone: Backbone) -> int:
    """Return the highest cut with something to learn above it."""
    modules = dict(backbone.trunk.named_modules())
    stages = backbone.replay.plan.stages
    sizes = [sum(p.numel() for name in stage for p in modules[name].parameters()) for stage in stages]
    return max((place for place, size in enumerate(sizes) if size), default=0)


def require_something_above(backbone: Backbone, cut: int) -> None:
    """Raise an `OptionError` where no stage above a cut has anything to learn; what writes stands above all of them."""
    if backbone.writes:
        return
    highest = last_useful_cut(backbone)
    if cut > highest:
        raise OptionError(
            f"nothing above cut {cut} of {backbone.name} can learn: that is a probe.",
            expected=f"a cut up to {highest}",
            got=str(cut),
            hint="lower --cut, or use the probe",
        )


def copied(backbone: Backbone) -> Backbone:
    """Return a backbone with a trunk of its own, none of whose tensors requires a gradient."""
    trunk = deepcopy(backbone.trunk)
    for parameter in trunk.parameters():
        parameter.requires_grad_(False)
    own = replace(backbone, trunk=trunk, known_plan=backbone.replay.plan, typical=None, _lock=threading.RLock())
    own.replay.shapes = backbone.replay.shapes
    return own


def open_above(backbone: Backbone, cut: int) -> set[str]:
    """Let the stages above a cut require gradients, and return their parameters' names.

    What also stands below the cut, or feeds every stage (relative positions), would see only part of its gradient:
    it stays frozen.
    """
    plan, trunk = backbone.replay.plan, backbone.trunk
    if cut == 0:
        for parameter in trunk.parameters():
            parameter.requires_grad_(True)
        return {name for name, _ in trunk.named_parameters()}
    modules = dict(trunk.named_modules())
    below = {id(p) for name in [*plan.frozen(cut), *plan.live] for p in modules[name].parameters()}
    for name in (module for stage in plan.stages[cut:] for module in stage):
        for parameter in modules[name].parameters():
            parameter.requires_grad_(id(parameter) not in below)
    return {name for name, parameter in trunk.named_parameters() if parameter.requires_grad}


def _norms(trunk: nn.Module) -> set[str]:
    kinds = ("norm", "bn")
    return {
        f"{name}.{own}"
        for name, module in trunk.named_modules()
        if any(kind in type(module).__name__.lower() for kind in kinds)
        for own, _ in module.named_parameters(recurse=False)
    }


def _biases(trunk: nn.Module) -> set[str]:
    return {name for name, _ in trunk.named_parameters() if name.endswith("bias")}
