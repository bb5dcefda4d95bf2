"""LoRA: small matrices beside the large ones, above a cut; merged when done."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from headstart.backbones.backbone import Backbone
from headstart.errors import OptionError
from headstart.strategies.finetune import copied, open_above, require_something_above, settled_schedule
from headstart.strategies.schedule import Schedule

LINEAR = ("Linear", "Conv1D")
SCHEDULE = Schedule(epochs=4, rate=1e-3, head_rate=1e-3, decay=1.0)


@dataclass(frozen=True)
class LoRA:
    """Learn a low-rank change of every linear layer above a cut (Hu et al. 2022), with peft.

    The changes are added to the weights when training ends: what is saved is an ordinary network of the source's size,
    which needs no peft to load or predict.

    Attributes:
        rank: r, 1 or more.
        alpha: the change is scaled by alpha / rank; above 0.
        cut: the number of frozen stages; negative counts from the top; 0 changes all linear layers.
        epochs, rate, batch_size: of the schedule; None takes the defaults.
        dora: learn magnitude and direction apart (DoRA: Liu et al. 2024).
        schedule: everything else about learning.
    """

    rank: int = 8
    alpha: float = 16.0
    cut: int = 0
    epochs: int | None = None
    rate: float | None = None
    batch_size: int | None = None
    dora: bool = False
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        settled_schedule(self.schedule or SCHEDULE, self.epochs, self.rate, self.batch_size)
        if not isinstance(self.rank, int) or self.rank < 1:
            raise OptionError("the rank is out of range.", expected="a whole number from 1", got=repr(self.rank))
        if not self.alpha > 0:
            raise OptionError("alpha is out of range.", expected="a number above 0", got=repr(self.alpha))

    name = "lora"
    transfers = True
    word = "learning LoRA"
    starts_from_probe = True
    cuts_source = True
    augment = "none"
    views = 0

    def cuts(self, backbone: Backbone) -> tuple[int, ...]:
        """Return the one cut.

        Raises:
            OptionError: there is no such cut, or nothing above it to learn.
        """
        cut = backbone.replay.resolve(self.cut)
        require_something_above(backbone, cut)
        return (cut,)

    def settled(self, backbone: Backbone) -> Schedule:
        """Return the schedule with everything filled in."""
        return settled_schedule(self.schedule or SCHEDULE, self.epochs, self.rate, self.batch_size)

    def needs_rate(self, backbone: Backbone) -> bool:
        """Tell whether the rate has to be found by a range test: never, LoRA's rate hardly depends on the network."""
        return False

    def begin(self, backbone: Backbone, seed: int) -> Backbone:
        """Return a copy with adapters above the cut; only they require a gradient.

        Raises:
            OptionError: there is no linear layer above the cut.
        """
        from peft import LoraConfig, inject_adapter_in_model

        own = copied(backbone)
        above = open_above(own, self.cuts(backbone)[0])
        names = [
            name
            for name, module in own.trunk.named_modules()
            if type(module).__name__ in LINEAR and f"{name}.weight" in above
        ]
        if not names:
            raise OptionError(
                f"{backbone.name} has no linear layer above the cut for LoRA to change.",
                expected="a transformer",
                hint="use fine-tuning",
            )
        fan_in_fan_out = any(type(own.trunk.get_submodule(name)).__name__ == "Conv1D" for name in names)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            target_modules=names,
            use_dora=self.dora,
            fan_in_fan_out=fan_in_fan_out,
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            inject_adapter_in_model(config, own.trunk)
        for name, parameter in own.trunk.named_parameters():
            parameter.requires_grad_("lora_" in name)
        own.trunk.eval()
        return own

    def finished(self, backbone: Backbone) -> Backbone:
        """Return the network with the changes added to its weights."""
        from peft.tuners.lora import LoraLayer

        adapted = [(name, module) for name, module in backbone.trunk.named_modules() if isinstance(module, LoraLayer)]
        for name, module in adapted:
            module.merge()
            parent, _, own = name.rpartition(".")
            inner: nn.Module = module.get_base_layer()
            setattr(backbone.trunk.get_submodule(parent), own, inner)
        for parameter in backbone.trunk.parameters():
            parameter.requires_grad_(False)
        return backbone
