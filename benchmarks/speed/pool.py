"""Benchmark `pool`: ranking five sources, and racing fifty, on a thousand pictures, beside the passes of the five."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from benchmarks.sets import root
from benchmarks.speed import learning
from benchmarks.speed.clock import Clock
from benchmarks.speed.race import Contender, Race, Task

FIVE = (
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "efficientnet_lite0/160px",
    "efficientnet_lite1/160px",
)
FIFTY = (
    *FIVE,
    *(f"{name}{size}@{cut}" for name, size, cut in product(FIVE[:3], ("", "/128px", "/160px"), (-2, -4, -6, -8, -10))),
)


def five(task: Task, clock: Clock) -> dict[str, Any]:
    """Rank five sources as the command does."""
    return _ranked(FIVE[: task.fewer(len(FIVE), 2)], clock)


def fifty(task: Task, clock: Clock) -> dict[str, Any]:
    """Race fifty: five at the top, and nine networks at five cuts each."""
    return _ranked(FIFTY[: task.fewer(len(FIFTY), 12)], clock)


def _ranked(names: Sequence[str], clock: Clock) -> dict[str, Any]:
    import headstart as hs

    with clock.phase("rank"):
        found = hs.rank(root() / "cifar10_small", backbones=list(names))
    return {"n": found.n, "first": found.best.label, "read": len(found.contenders)}


def passes(task: Task, clock: Clock) -> dict[str, Any]:
    """Extract the features of the same pictures with each of the five."""
    import headstart as hs

    with clock.phase("read"):
        train = learning.training_part(task)
    with clock.phase("passes"):
        for name in FIVE[: task.fewer(len(FIVE), 2)]:
            hs.extract(hs.load_backbone(name), train.inputs, fast=True)
    return {"n": len(train)}


RACES = (
    Race(
        "pool",
        {"set": "cifar10_small"},
        (
            Contender("rank five", run=five),
            Contender("race fifty", run=fifty),
            Contender("five passes", run=passes),
        ),
        clocked=("rank", "read", "passes"),
    ),
)
