"""Benchmark `many`: a study of a thousand pictures, every cut, five folds, five seeds, six sizes, beside one pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.speed import learning
from benchmarks.speed.clock import Clock
from benchmarks.speed.race import Contender, Race, Task

FOLDS = 5
SEEDS = range(5)
SIZES = (50, 100, 200, 400, 700, 1000)


def study(task: Task, clock: Clock) -> dict[str, Any]:
    """Probe at every cut with five folds, then at the top with five seeds, and with six numbers of examples."""
    import headstart as hs

    with clock.phase("load"):
        train, backbone = learning.training_part(task), hs.load_backbone("efficientnet_lite0")
    probe = hs.Probe(folds=FOLDS)
    with clock.phase("every cut"):
        cuts = range(1, task.fewer(backbone.n_stages, 2) + 1)
        found = hs.adapt(train, backbone=backbone, strategy=[hs.Probe(cut=cut, folds=FOLDS) for cut in cuts])
    plan = hs.Plan.from_dict(found.record["plan"])
    with clock.phase("five seeds"):
        for seed in SEEDS:
            hs.adapt(train, backbone=backbone, strategy=probe, seed=seed, plan=plan)
    with clock.phase("learning curve"):
        order = np.random.default_rng(task.seed).permutation(len(train))
        for size in SIZES:
            hs.adapt(train.take(np.sort(order[:size])), backbone=backbone, strategy=probe, plan=plan)
    return {}


def one_pass(task: Task, clock: Clock) -> dict[str, Any]:
    """Extract the features of the same pictures once."""
    import headstart as hs

    with clock.phase("load"):
        train, backbone = learning.training_part(task), hs.load_backbone("efficientnet_lite0")
    with clock.phase("features"):
        hs.extract(backbone, train.inputs, fast=True)
    return {}


RACES = (
    Race(
        "many",
        {"set": "cifar10_small"},
        (Contender("the study", run=study), Contender("one pass of features", run=one_pass)),
        clocked=("every cut", "five seeds", "learning curve", "features"),
    ),
)
