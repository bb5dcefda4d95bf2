"""Remembering: a network learns one target more, and goes on giving the others the answers it gave (distillation)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from headstart.adaptation import Adapted, record_of
from headstart.backbones.backbone import digest_of_tensors
from headstart.data import Dataset
from headstart.devices import steady, undisturbed
from headstart.learning.tuning import Tuning
from headstart.model import Model, fingerprints
from headstart.plan import Plan
from headstart.sharing import finished_on, record_together, settled
from headstart.statistics import Measure, wilson
from headstart.strategies import FineTune, LoRA
from headstart.tasks import Several, Task

MOST_LOST = 0.05
"""Where surely more than this share of an old target's answers changes, the new one gets a network of its own."""

MEASURED = ("metrics", "proof", "comparison")
"""What a record says of the answers before, and no longer holds."""

SAME = 0.1
"""A number that moved by less than this part of the spread of all answers is the same answer."""


@dataclass(frozen=True, eq=False)
class Remembered:
    """A network that has learned one target more.

    Attributes:
        model: of the new target.
        others: of the old ones, on the same network now.
        kept: by old target, the share of inputs that it answers as it did.
        why: the new target has a network of its own after all, in words; empty where it shares.
    """

    model: Model
    others: tuple[Model, ...] = ()
    kept: dict[str, Measure] = field(default_factory=dict)
    why: str = ""


@undisturbed()
def learn_beside(adapted: Adapted, others: Sequence[Model], tested: Dataset) -> Remembered:
    """Learn a target's stages once more, on the network that others read, which are taught their own answers meanwhile.

    What they answered to the new target's examples stands in for labels they do not have (Li and Hoiem 2016). Where
    more than a few of their answers change all the same, the new target keeps the network it learned alone.

    Args:
        adapted: what came of the new target by itself, from the network that the others read at the top.
        others: the models of the old targets.
        tested: examples that the new target has not learned from, on which the old ones are asked before and after,
            but on those that they have learned from themselves.
    """
    ground, choice = adapted.ground, adapted.choice
    plan = Plan.from_dict(adapted.model.record["plan"])
    assert choice.tuning is not None
    with steady(plan.threads):
        tuning = _tuning(choice.tuning, others)
        every = np.arange(len(ground.examples))
        epoch = adapted.model.record["epoch"] or None
        lesson, trained = tuning.train(every, every[:0], _name(others), stop_after=epoch, progress=ground.progress)
        if trained.diverged:
            return Remembered(adapted.model, why=f"learning beside the others was undone: {trained.diverged}")
        more = record_together(tuning, lesson, trained, choice.tested_rates)
        backbone, heads = finished_on(tuning.examples, tuning, lesson)
    assert isinstance(tuning.task, Several)
    parts = [heads.part(span) for span in tuning.task.spans]
    record = {**record_of(ground, plan, choice), **more}
    seen = fingerprints(ground.examples.contents)
    head = settled(parts[0], ground.task)
    model = Model(backbone, None, head, ground.task, ground.train.columns, record, seen)
    after = tuple(
        replace(one, backbone=backbone, head=settled(own, one.task), record=_taught_again(one, plan, more))
        for one, own in zip(others, parts[1:], strict=True)
    )
    kept = {one.task.target: _kept(one, now, tested) for one, now in zip(others, after, strict=True)}
    lost = [target for target, share in kept.items() if share.high < 1 - MOST_LOST]
    if lost:
        share = f"{100 * (1 - kept[lost[0]].value):.0f} %"
        why = f"it has a network of its own: on a shared one {share} of the answers to {lost[0]} would change"
        return Remembered(adapted.model, kept=kept, why=why)
    return Remembered(model, after, kept)


def may_share(adapted: Adapted, others: Sequence[Model]) -> bool:
    """Tell whether a target has learned stages that others, which read the same network at the top, may read too."""
    strategy, backbone = adapted.choice.strategy, adapted.ground.backbone
    is_tuned = isinstance(strategy, LoRA) or (
        isinstance(strategy, FineTune) and not strategy.settled(backbone).relation
    )
    return is_tuned and all(one.cut is None for one in others)


def _tuning(alone: Tuning, others: Sequence[Model]) -> Tuning:
    """Return the tuning of the new target with the old ones' answers beside it; what lies below its cut is the same."""
    examples, own = alone.examples, alone.task
    assert isinstance(own, Task)
    answers = {one.task.target: one.outputs(examples.inputs, contents=examples.contents) for one in others}
    tasks = (own, *(replace(one.task, is_remembered=True) for one in others))
    targets: dict[str, Any] = {
        own.target: examples.values,
        **{target: _values(rows) for target, rows in answers.items()},
    }
    return replace(
        alone,
        examples=replace(examples, tasks=tasks, targets=targets),
        task=Several(tasks),
        strength=(alone.strength[0], *(1.0 for _ in others)),
        balanced=(alone.balanced[0], *(False for _ in others)),
        heads=(None, *(one.head for one in others)),
    )


def _values(outputs: np.ndarray) -> tuple[tuple[float, ...] | float, ...]:
    return tuple(tuple(row) if isinstance(row, list) else row for row in outputs.tolist())


def _name(others: Sequence[Model]) -> str:
    """Return what unfinished work is called: another model's answers are another lesson."""
    heads = {f"{one.task.target} weight": torch.from_numpy(one.head.weight) for one in others}
    heads |= {f"{one.task.target} bias": torch.from_numpy(one.head.bias) for one in others}
    return f"beside-{digest_of_tensors(heads)[:16]}"


def _taught_again(model: Model, plan: Plan, more: dict[str, Any]) -> dict[str, Any]:
    """Return the record of an old target on the network that has learned on: what was measured before is no more."""
    own = Plan.from_dict(model.record["plan"])
    own = replace(own, execution=plan.execution, precision=plan.precision, threads=plan.threads)
    kept = {name: value for name, value in model.record.items() if name not in MEASURED}
    return {**kept, "plan": own.as_dict(), "strategy": more["strategy"], "taught_again": more}


def _kept(before: Model, after: Model, tested: Dataset) -> Measure:
    """Return the share of inputs that a target answers as before, of those that it has not learned from, if any."""
    task: Task = before.task
    unseen = np.flatnonzero(~np.isin(fingerprints(tested.contents), before.seen))
    asked = (tested.take(unseen) if len(unseen) else tested).inputs
    old, new = before.outputs(asked), after.outputs(asked)
    if task.form == "number":
        is_same = np.abs(new - old) <= SAME * old.std()
    else:
        both = task.decide(old) == task.decide(new)
        is_same = both if both.ndim == 1 else both.all(1)
    same, n = int(is_same.sum()), len(is_same)
    low, high = wilson(same, n)
    return Measure(same / n, low, high, n, n)
