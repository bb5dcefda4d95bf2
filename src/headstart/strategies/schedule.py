"""How learning goes on: epochs, rates and what holds them back. Numbers only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from headstart.errors import OptionError


@dataclass(frozen=True)
class Schedule:
    """Warm-up, then a cosine down to nothing (Loshchilov and Hutter 2017), with AdamW and a rate for each stage.

    Attributes:
        epochs: passes over the examples, 1 or more.
        rate: of the top stage, above 0.
        head_rate: of the head, above 0.
        decay: the factor in (0, 1] from a stage's rate to that of the stage below (Howard and Ruder 2018, section 3.2).
        weight_decay: of matrices and kernels, from 0, decoupled from the gradient.
        warmup: the share in [0, 1) of the steps in which the rates rise.
        batch_size: examples a step, 1 or more, all processes together.
        clip: the largest norm of the gradient, above 0.
        smoothing: of labels, in [0, 1) (Szegedy et al. 2016, section 7).
        mixup: α, from 0, of mixing pictures (Zhang et al. 2018); 0 mixes none.
        anchor: from 0: how strongly weights are drawn back to where they began, in place of to nothing (L2-SP: Li,
            Grandvalet and Davoine 2018, eq. 2): α of the penalty α/2·|w − w⁰|².
        shrinkage: from 0: how strongly the weakest direction of a batch's features is held down, which carries over
            least (BSS: Chen et al. 2019, eq. 5): η of the penalty η·σ²ₘᵢₙ.
        relation: from 0: how strongly the source's own head is kept in use, by how its classes stand to the target's
            (Co-Tuning: You et al. 2020, eq. 4): λ of its cross-entropy. The source's head must be known.
        average: in [0, 1): what remains of the running mean of the weights after a step; the mean is what answers and
            is kept (Polyak and Juditsky 1992). 0 keeps the last weights.
        patience: epochs without a lower loss on held-out examples before training stops; None never stops.
        dropout: whether dropout and stochastic depth are on, as the network has them.
        statistics: whether BatchNorm above the cut estimates its statistics anew.
    """

    epochs: int = 3
    rate: float = 5e-5
    head_rate: float = 1e-3
    decay: float = 0.9
    weight_decay: float = 0.01
    warmup: float = 0.1
    batch_size: int = 16
    clip: float = 1.0
    smoothing: float = 0.0
    mixup: float = 0.0
    anchor: float = 0.0
    shrinkage: float = 0.0
    relation: float = 0.0
    average: float = 0.0
    patience: int | None = None
    dropout: bool = False
    statistics: bool = False

    def __post_init__(self) -> None:
        for name, low in (("epochs", 1), ("batch_size", 1), ("patience", 0)):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= low) and not (name == "patience" and value is None):
                raise OptionError(f"{name} is out of range.", expected=f"a whole number from {low}", got=repr(value))
        _require(self, ("rate", "head_rate", "clip"), "above 0", lambda value: 0 < value < math.inf)
        _require(self, ("warmup", "smoothing", "average"), "in [0, 1)", lambda value: 0 <= value < 1)
        _require(self, ("decay",), "in (0, 1]", lambda value: 0 < value <= 1)
        held_back = ("weight_decay", "mixup", "anchor", "shrinkage", "relation")
        _require(self, held_back, "from 0", lambda value: 0 <= value < math.inf)

    def share(self, step: int, steps: int) -> float:
        """Return the factor in (0, 1] of all rates at a step, of so many in all."""
        rising = max(1, round(steps * self.warmup))
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _require(schedule: Schedule, names: tuple[str, ...], words: str, is_allowed: Callable[[float], bool]) -> None:
    for name in names:
        value = getattr(schedule, name)
        if not (isinstance(value, int | float) and is_allowed(value)):
            raise OptionError(f"{name} is out of range.", expected=f"a number {words}", got=repr(value))
