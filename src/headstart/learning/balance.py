"""Balance: how the losses of several targets become one gradient, so that none drowns the others.

Each is its paper's rule for the losses (t,) of one step; a target that no example of the batch has has a loss of 0, and
no part in it. What a rule remembers are its buffers and parameters, so that a run that was killed goes on as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.adam import adam

from headstart.tasks import Kind

Rule: TypeAlias = Literal["sum", "sampled", "uncertainty", "gradnorm", "famo", "pcgrad"]
"""How several targets are balanced, by name."""

FLOOR = 1e-8
"""Below this a loss, or a weight, counts as this."""

RATE = 0.025
"""Of the weights, as in the experiments of the authors of GradNorm and FAMO."""

Again: TypeAlias = Callable[[], Tensor]
"""Gives the losses (t,) of the same batch after the step."""


@dataclass(frozen=True, eq=False)
class Step:
    """What one step has on a batch.

    Attributes:
        losses: (t,) of the targets over all examples, or of a single one a number.
        known: (t,) the share of the examples that have each target.
        held_back: what is added to them, a number, for what holds learning back.
        features: (n, d) that all heads read.
        moving: everything below the features that learns.
        number: of the step.
    """

    losses: Tensor
    known: Tensor
    held_back: Tensor
    features: Tensor
    moving: Sequence[nn.Parameter]
    number: int


class Sum(nn.Module):
    """The sum of the losses, the one of a single target too.

    Kurin et al. (2022) and Xin et al. (2022) found that, tuned as well, no rule below is better.
    """

    def __init__(self, kinds: Sequence[Kind] = ()) -> None:
        super().__init__()
        self.kinds = tuple(kinds)

    def backward(self, step: Step) -> None:
        """Give every parameter its gradient."""
        (self.total(step) + step.held_back).backward()  # type: ignore[no-untyped-call]

    def total(self, step: Step) -> Tensor:
        """Return the one loss."""
        return step.losses.sum()

    def follow(self, losses: Tensor, again: Again) -> None:
        """Learn from what the step did to the losses (t,)."""


class Uncertainty(Sum):
    """Losses in units of a variance that is learned: L/σ² + log σ, of numbers L/2σ² (Kendall et al. 2018, eq. 10)."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        super().__init__(kinds)
        self.log_variance = nn.Parameter(torch.zeros(len(kinds)))
        self.register_buffer("halves", torch.tensor([0.5 if kind == "regression" else 1.0 for kind in kinds]))

    def total(self, step: Step) -> Tensor:
        """Return the one loss."""
        halves: Tensor = self.get_buffer("halves")
        own = halves * torch.exp(-self.log_variance) * step.losses + self.log_variance / 2
        return torch.where(step.losses.detach() > 0, own, 0.0).sum()


class GradNorm(Sum):
    """Weights that bring the targets' gradients to one size, larger where one lags (Chen et al. 2018, algorithm 1).

    The shared layer whose gradients are compared is the features that all heads read.
    """

    def __init__(self, kinds: Sequence[Kind], asymmetry: float = 1.5) -> None:
        super().__init__(kinds)
        self.asymmetry = asymmetry
        self.register_buffer("weights", torch.ones(len(kinds)))
        self.register_buffer("first", torch.zeros(len(kinds)))

    def total(self, step: Step) -> Tensor:
        """Return the one loss, and move the weights towards the next."""
        weights, first = self.get_buffer("weights"), self.get_buffer("first")
        now = (step.losses / step.known.clamp(min=FLOOR)).detach()
        first.copy_(torch.where(first == 0, now, first))
        total = (weights.clone() * step.losses).sum()
        here = now > 0
        if here.sum() < 2:
            return total
        norms = torch.stack([_norm(one, step.features) for one in step.losses])[here]
        lag = (now / first.clamp(min=FLOOR))[here]
        own = weights[here]
        wanted = (own * norms).mean() * (lag / lag.mean()) ** self.asymmetry
        weights[here] = (own - RATE * torch.sign(own * norms - wanted) * norms).clamp(min=FLOOR)
        weights *= len(weights) / weights.sum()
        return total


def _norm(loss: Tensor, features: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(loss, features, retain_graph=True)
    norm: Tensor = torch.linalg.vector_norm(gradient)
    return norm


class FAMO(Sum):
    """Weights under which all losses fall at one rate, from one step to the next (Liu et al. 2023, algorithm 1)."""

    def __init__(self, kinds: Sequence[Kind], decay: float = 1e-3) -> None:
        super().__init__(kinds)
        self.decay = decay
        for name in ("logits", "mean", "square"):
            self.register_buffer(name, torch.zeros(len(kinds)))
        self.register_buffer("steps", torch.zeros(()))

    def total(self, step: Step) -> Tensor:
        """Return the one loss."""
        here = step.losses.detach() > 0
        shares = functional.softmax(self.get_buffer("logits")[here], -1)
        floored = step.losses[here].clamp(min=FLOOR)
        scale = (shares / floored).sum().detach()
        return (floored.log() * shares / scale).sum()

    def follow(self, losses: Tensor, again: Again) -> None:
        """Move weight to the targets whose losses fell less, of those that the batch has."""
        before, after = losses.detach(), again().detach()
        here = before > 0
        fell = before[here].clamp(min=FLOOR).log() - after[here].clamp(min=FLOOR).log()
        logits, mean, square, steps = (self.get_buffer(name) for name in ("logits", "mean", "square", "steps"))
        own = [logits[here], mean[here], square[here]]
        shares = functional.softmax(own[0], -1)
        pull = shares * (fell - (shares * fell).sum())
        adam(
            own[:1],
            [pull],
            own[1:2],
            own[2:],
            [],
            [steps],
            amsgrad=False,
            maximize=False,
            beta1=0.9,
            beta2=0.999,
            lr=RATE,
            weight_decay=self.decay,
            eps=1e-8,
        )
        for whole, part in zip((logits, mean, square), own, strict=True):
            whole[here] = part


class PCGrad(Sum):
    """Each target's gradient without its part that opposes another's (Yu et al. 2020, algorithm 1).

    The order in which others are looked at is drawn from a seed and the number of the step.
    """

    def __init__(self, kinds: Sequence[Kind], seed: int = 0) -> None:
        super().__init__(kinds)
        self.seed = seed

    def backward(self, step: Step) -> None:
        """Give the heads their gradients, and what lies below the features the sum of the projected ones."""
        moving, rows = list(step.moving), []
        for one in step.losses:
            given = torch.autograd.grad(one, moving, retain_graph=True, allow_unused=True)
            pairs = zip(given, moving, strict=True)
            rows.append(torch.cat([(torch.zeros_like(p) if g is None else g).reshape(-1) for g, p in pairs]))
        super().backward(step)
        change = projected(rows, np.random.default_rng((self.seed, step.number))) - torch.stack(rows).sum(0)
        start = 0
        for parameter in moving:
            if parameter.grad is not None:
                parameter.grad += change[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()


def projected(gradients: Sequence[Tensor], dice: np.random.Generator) -> Tensor:
    """Return the sum of gradients (d,), each freed of what opposes another one."""
    total = torch.zeros_like(gradients[0])
    for place, gradient in enumerate(gradients):
        kept = gradient.clone()
        for other in dice.permutation([one for one in range(len(gradients)) if one != place]).tolist():
            against = kept @ gradients[other]
            if against < 0:
                kept -= against / (gradients[other] @ gradients[other]) * gradients[other]
        total += kept
    return total


BALANCES: dict[Rule, Callable[[Sequence[Kind]], Sum]] = {
    "sum": Sum,
    "sampled": Sum,
    "uncertainty": Uncertainty,
    "gradnorm": GradNorm,
    "famo": FAMO,
    "pcgrad": PCGrad,
}
