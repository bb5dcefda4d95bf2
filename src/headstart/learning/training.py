"""The one loop: every strategy that learns above a cut runs through it, whatever the task.

Nothing in it depends on what ran before: the order of the examples, dropout and mixing are drawn from the seed and
the number of the step, so a run that is taken up again, at any step, goes on to the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.backbones.backbone import Backbone, are_pushed, digest_of_tensors, learnable_by_stage
from headstart.backbones.writers import Writer, numbered
from headstart.checkpoints import Checkpoints, under
from headstart.devices import Processes, memory_kept, processes
from headstart.heads import Head
from headstart.learning.answers import answers, given_back, kept, written
from headstart.learning.balance import RATE, Step
from headstart.learning.draws import mixed, seed_of
from headstart.learning.kernels import learned_from
from headstart.learning.lesson import Lesson
from headstart.progress import Progress, silent

HARM = 2.0
"""A training loss that ends this many times higher than it began, and above half of chance's, has done harm."""

LEARNED = 0.98
"""So has one that does not end below this share of chance's: a rate far too high leaves a network that guesses."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What came out of a lesson.

    Attributes:
        curve: by epoch, from 0 (before anything was learned): mean losses on the examples fitted and held.
        outputs: (epochs + 1) × (k, c) or (k,), numbers or texts: what the held examples were answered after each epoch.
        epoch: the one whose weights are kept: the best on the held examples, or the last.
        diverged: why training was stopped and undone; empty where it was not.
    """

    curve: list[dict[str, float]]
    outputs: list[np.ndarray]
    epoch: int
    diverged: str = ""


@memory_kept()
def train(
    lesson: Lesson, *, checkpoints: Checkpoints | None = None, name: str = "training", progress: Progress = silent
) -> Trained:
    """Change a lesson's backbone and head until its schedule ends, and say how it went.

    Everything that does not require a gradient is bitwise the same afterwards, and every stage that was asked to
    learn has moved; both are asserted.

    Args:
        lesson: what is learned.
        checkpoints: where the work is kept while it is unfinished.
        name: of the piece of work there.
        progress: called with (phase, done, total).

    Raises:
        StorageError: a checkpoint cannot be written.
    """
    keeper = checkpoints or Checkpoints()
    run = Run(lesson)
    before = digest_of_tensors(run.untouched)
    if not run.restored(keeper.load(name)):
        run.answer()
    total = lesson.steps * lesson.epochs
    while not run.ended and run.step < total:
        for places in run.remaining():
            run.learn(places)
            progress(f"{lesson.word} above cut {lesson.at(run.epoch).cut}", run.step, total)
            if run.ended:
                break
            if run.step % lesson.steps == 0:
                run.close_epoch()
            if keeper.is_due():
                keeper.save(name, *run.saved())
    if digest_of_tensors(run.untouched) != before:
        raise AssertionError("a frozen tensor has changed")
    keeper.save(name, *run.saved())
    return run.finish()


@dataclass(eq=False)
class Run:
    """A lesson on its way."""

    lesson: Lesson
    step: int = 0
    loss: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)
    outputs: list[np.ndarray] = field(default_factory=list)
    best: int = 0
    ended: bool = False
    diverged: str = ""
    pushed: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        lesson = self.lesson
        trunk = lesson.backbone.trunk
        for beside in filter(None, (lesson.head, lesson.relation, lesson.balance)):
            beside.to(lesson.device)
        self.processes: Processes = processes()
        self.stages = learnable_by_stage(lesson.backbone)
        self.learned = {name: tensor for name, tensor in trunk.named_parameters() if tensor.requires_grad}
        self.moving: dict[str, Tensor] = {**self.learned}
        self.moving |= {f"head.{name}": one for name, one in lesson.head.named_parameters()}
        if lesson.relation is not None:
            self.moving |= {f"relation.{name}": one for name, one in lesson.relation.head.named_parameters()}
        self.moving |= {f"balance.{name}": one for name, one in lesson.balance.state_dict(keep_vars=True).items()}
        self.norms = _norms_above(lesson.backbone, lesson.states[-1].cut)
        if lesson.schedule.statistics:
            self.moving |= {
                f"{name}.{buffer}": tensor
                for name, module in self.norms.items()
                for buffer, tensor in module.named_buffers(recurse=False)
            }
        self.untouched = {name: one for name, one in trunk.state_dict().items() if name not in self.moving}
        self.start = self._copied()
        self.kept = self.start
        self.mean = self._copied() if lesson.schedule.average else {}
        self.optimizer = torch.optim.AdamW(self._groups(), betas=(0.9, 0.999), eps=1e-8, fused=True)

    @property
    def epoch(self) -> int:
        """The epoch that the next step belongs to; in a run that is over, its last."""
        return min(self.step // self.lesson.steps, self.lesson.epochs - 1)

    def remaining(self) -> Iterator[list[int]]:
        """Yield the batches of this epoch that are not learned yet."""
        lesson = self.lesson
        self._freeze_below(lesson.at(self.epoch).cut)
        yield from lesson.batches(self.epoch)[self.step % lesson.steps :]

    def learn(self, places: list[int], share: float | None = None) -> float:
        """Take one step on a batch, at a share of the rates, and return the loss on it.

        Processes started together take a part of the batch each, and add up their gradients.
        """
        lesson, schedule = self.lesson, self.lesson.schedule
        if share is None:
            share = schedule.share(self.step, lesson.steps * schedule.epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base"] * share
        self.optimizer.zero_grad(set_to_none=True)
        own = self._backward(self.processes.share(places), len(places))
        losses = [own.sum()]
        parameters = [one for one in self.moving.values() if isinstance(one, nn.Parameter) and one.requires_grad]
        for parameter in parameters:
            if parameter.grad is None and self.processes.world > 1:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [one.grad for one in parameters if one.grad is not None]
        self.processes.add_up([*gradients, *losses])
        self._draw_back()
        norm = nn.utils.get_total_norm(gradients)
        loss = float(losses[0])
        if not (math.isfinite(loss) and bool(torch.isfinite(norm))):
            self._undo(f"the loss or its gradient was no number at step {self.step + 1}")
            return loss
        if float(norm) > schedule.clip:
            nn.utils.clip_grads_with_norm_(parameters, schedule.clip, norm)
        self.optimizer.step()
        lesson.balance.follow(own, lambda: self._again(places))
        self._agree_on_statistics()
        self._follow()
        self.pushed += [n for n, own in enumerate(self.stages) if n not in self.pushed and are_pushed(own)]
        self.step += 1
        self.loss += loss * len(places) / len(lesson.fitted)
        return loss

    def _follow(self) -> None:
        """Let the running mean of the weights follow them (Polyak averaging); counters are taken as they are."""
        for name, mean in self.mean.items():
            now = self.moving[name].detach()
            mean.lerp_(now, 1 - self.lesson.schedule.average) if mean.is_floating_point() else mean.copy_(now)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Put the running mean in place of the weights, where one is kept, for as long as something is answered."""
        if not self.mean:
            yield
            return
        now = self._copied()
        self._put(self.mean)
        yield
        self._put(now)

    def _draw_back(self) -> None:
        """Add to the gradients what draws weights back to where they began (L2-SP); the head began nowhere."""
        if self.lesson.schedule.anchor:
            for name, parameter in self.learned.items():
                if parameter.grad is not None:
                    parameter.grad.add_(parameter.detach() - self.start[name], alpha=self.lesson.schedule.anchor)

    def _backward(self, places: Sequence[int], n: int) -> Tensor:
        """Run forward and backward on this process's part of a batch of n; return its part of the mean loss.

        Of several targets each has its own, (t,). What holds learning back has a gradient, and no part in that.
        """
        if not len(places):
            return torch.zeros((), device=self.lesson.device)
        losses, held_back, features = self._forward(places)
        below = [one for one in self.learned.values() if one.requires_grad]
        held_back = held_back * len(places) / n
        known = (losses.detach() != 0).float().mean(0)
        self.lesson.balance.backward(Step(losses.sum(0) / n, known, held_back, features, below, self.step))
        return losses.detach().sum(0) / n

    @torch.no_grad()
    def _again(self, places: Sequence[int]) -> Tensor:
        """Return the mean losses (t,) of a batch, as the step before has left them."""
        return self._forward(places)[0].sum(0) / len(places)

    def _forward(self, places: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the losses (n,) or (n, t) of a part of a batch, what holds learning back, and the features (n, d)."""
        lesson = self.lesson
        states = lesson.at(self.epoch)
        batch, state = states.batch(places, (lesson.seed, self.step, self.processes.rank), self.epoch)
        labels = lesson.labels[list(places)].to(lesson.device)
        with self._mode(len(places)), learned_from(lesson.device, lesson.precision):
            batch, state, other, share = mixed(batch, state, lesson.schedule.mixup, (lesson.seed, self.step))
            features = lesson.backbone.above(batch, state, states.cut)
        features = numbered(features, batch) if isinstance(lesson.head, Writer) else features.float()
        losses, held_back = lesson.losses(features, labels)
        if other is not None:
            others = lesson.losses(features, labels[other])
            losses = share * losses + (1 - share) * others[0]
            held_back = share * held_back + (1 - share) * others[1]
        return losses, held_back, features

    @contextmanager
    def _mode(self, n: int) -> Iterator[None]:
        """Switch on what the schedule asks for: dropout drawn from the seed and the step, BatchNorm's statistics.

        A single example has no spread that statistics could be estimated from: they stay as they are.
        """
        lesson, schedule = self.lesson, self.lesson.schedule
        trunk = lesson.backbone.trunk
        if not (schedule.dropout or schedule.statistics):
            yield
            return
        devices = [lesson.device] if lesson.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed_of(lesson.seed, self.step, self.processes.rank))
            trunk.train(schedule.dropout)
            lesson.head.train(schedule.dropout)
            for name, module in trunk.named_modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.train(name in self.norms and schedule.statistics and n > 1)
            try:
                yield
            finally:
                trunk.eval()
                lesson.head.eval()

    def _agree_on_statistics(self) -> None:
        """Give BatchNorm the same statistics in all processes: the mean of what each of them has seen."""
        if self.processes.world > 1 and self.lesson.schedule.statistics:
            own = [one for one in self.moving.values() if not isinstance(one, nn.Parameter) and one.is_floating_point()]
            self.processes.average(own)

    def close_epoch(self) -> None:
        """Note the epoch's loss, answer the held examples, keep the best weights, and stop where that is due."""
        loss, self.loss = self.loss, 0.0
        lesson = self.lesson
        with self._averaged():
            self.answer(loss)
            if len(lesson.held) and self.curve[-1]["held"] < self.curve[self.best]["held"]:
                self.best, self.kept = len(self.curve) - 1, self._copied()
        if len(lesson.held):
            patience = lesson.schedule.patience
            self.ended = patience is not None and len(self.curve) - 1 - self.best > patience
        else:
            self.best = len(self.curve) - 1

    def answer(self, fitted_loss: float = math.nan) -> None:
        """Add a point to the curve: the loss on the examples fitted, and what the held examples are answered now."""
        lesson = self.lesson
        point = {} if math.isnan(fitted_loss) else {"fitted": fitted_loss}
        if len(lesson.held):
            losses, outputs = self._answered(lesson.head)
            point["held"] = float(losses.double().sum() / len(losses))
            self.outputs.append(outputs)
        self.curve.append(point)

    def _answered(self, head: Head | Writer) -> tuple[Tensor, np.ndarray]:
        """Return the losses (k,) of the held examples, and what they are answered now."""
        lesson, states = self.lesson, self.lesson.states[-1]
        if isinstance(head, Writer):
            held, labels = lesson.held, lesson.labels
            return written(lesson.backbone, head, states, held, labels, precision=lesson.precision)
        logits = answers(lesson.backbone, head, states, lesson.held, precision=lesson.precision)
        return lesson.target.loss(torch.from_numpy(logits), lesson.labels[lesson.held]), lesson.target.outputs(logits)

    def finish(self) -> Trained:
        """Put the best weights in place, and return how it went."""
        lesson = self.lesson
        last = self.curve[-1].get("fitted", 0.0)
        if not self.diverged and len(self.curve) > 1:
            self._assert_moved()
            first = self.curve[1]["fitted"] if len(self.curve) > 2 else last
            chance = lesson.chance
            if last > min(max(HARM * first, chance / 2), LEARNED * chance):
                self._undo(f"the loss on the training examples ended at {last:.3g}, where guessing gives {chance:.3g}")
        if len(lesson.held) and self.best < len(self.curve) - 1:
            self._put(self.kept)
        elif not self.diverged:
            self._put(self.mean)
        return Trained(self.curve, self.outputs, self.best, self.diverged)

    def saved(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all that is needed to go on from here."""
        tensors = {f"now.{name}": tensor for name, tensor in self.moving.items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.kept.items()}
        tensors |= {f"mean.{name}": tensor for name, tensor in self.mean.items()}
        for place, parameter in enumerate(self._parameters()):
            state = self.optimizer.state.get(parameter, {})
            tensors |= {f"optimizer.{place}.{name}": torch.as_tensor(value) for name, value in state.items()}
        tensors |= {f"outputs.{epoch}": kept(rows) for epoch, rows in enumerate(self.outputs)}
        fields = {
            name: getattr(self, name) for name in ("step", "loss", "curve", "best", "ended", "diverged", "pushed")
        }
        return tensors, fields

    def restored(self, saved: tuple[dict[str, Tensor], dict[str, Any]] | None) -> bool:
        """Go back to where a killed run was; tell whether there was anything to go back to."""
        if saved is None:
            return False
        tensors, fields = saved
        self._put(under("now.", tensors))
        self.kept = under("best.", tensors)
        self.mean = {name: one.to(self.lesson.device) for name, one in under("mean.", tensors).items()}
        for place, parameter in enumerate(self._parameters()):
            state = under(f"optimizer.{place}.", tensors)
            if state:
                self.optimizer.state[parameter] = {name: value.to(parameter.device) for name, value in state.items()}
        outputs = under("outputs.", tensors)
        is_text = isinstance(self.lesson.head, Writer)
        self.outputs = [given_back(outputs[str(epoch)], is_text=is_text) for epoch in range(len(outputs))]
        for name, value in fields.items():
            setattr(self, name, value)
        return True

    def _groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups: a rate a stage, lower by the decay with every stage down; no decay of vectors."""
        schedule, groups = self.lesson.schedule, []
        for depth, parameters in enumerate(reversed(self.stages)):
            base = schedule.rate * schedule.decay**depth
            matrices, vectors = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
            groups.append({"params": matrices, "base": base, "weight_decay": schedule.weight_decay})
            groups.append({"params": vectors, "base": base, "weight_decay": 0.0})
        groups.append({"params": list(self.lesson.head.parameters()), "base": schedule.head_rate, "weight_decay": 0.0})
        if self.lesson.relation is not None:
            own = list(self.lesson.relation.head.parameters())
            groups.append({"params": own, "base": schedule.rate, "weight_decay": 0.0})
        own = list(self.lesson.balance.parameters())
        groups.append({"params": own, "base": RATE, "weight_decay": 0.0})
        return [{**group, "lr": 0.0} for group in groups if group["params"]]

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def _freeze_below(self, cut: int) -> None:
        """Let only the stages above this epoch's cut learn."""
        for stage, parameters in enumerate(self.stages):
            for parameter in parameters:
                parameter.requires_grad_(stage >= cut)

    def _undo(self, why: str) -> None:
        """Put the best weights back that there were: those of the start where no held examples speak for others."""
        self.diverged, self.ended = why, True
        if not len(self.lesson.held):
            self.best, self.kept = 0, self.start
        self._put(self.kept)

    def _put(self, tensors: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in tensors.items():
                self.moving[name].copy_(tensor)

    def _copied(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.moving.items()}

    def _assert_moved(self) -> None:
        """Every stage that was asked to learn has changed, but for those that no gradient ever came to."""
        names = {id(parameter): name for name, parameter in self.learned.items()}
        for stage, parameters in enumerate(self.stages):
            own = [names[id(parameter)] for parameter in parameters]
            has_moved = any(not torch.equal(self.moving[name], self.start[name]) for name in own)
            reached = stage >= self.lesson.at(self.epoch).cut
            if stage in self.pushed and reached and not has_moved:
                raise AssertionError(f"stage {stage + 1} was asked to learn and has not moved")


def _norms_above(backbone: Backbone, cut: int) -> dict[str, nn.Module]:
    """Return the BatchNorms that stand above a cut, by name."""
    frozen = {below for name in backbone.replay.plan.frozen(cut) for below in _inside(backbone.trunk, name)}
    return {
        name: module
        for name, module in backbone.trunk.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and name not in frozen  # the class all BatchNorms share
    }


def _inside(trunk: nn.Module, name: str) -> list[str]:
    return [own for own, _ in trunk.get_submodule(name).named_modules(prefix=name)]
