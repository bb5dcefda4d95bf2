"""Benchmark `growth`: seconds and memory against examples, epochs and candidates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed import learning, partial
from benchmarks.speed.clock import Clock
from benchmarks.speed.race import ALL, Contender, Race, Task

SET = "cifar10_small"
EXAMPLES = (100, 1_000, 10_000, 100_000)
MOST = {100_000: 3}
"""Repeats at most, where one takes minutes."""

PASSED = 1_000
"""Pictures that there are; features of further examples are synthesised from theirs."""

EPOCHS = (1, 2, 4, 6, 8, 10)
CANDIDATES = (1, 2, 4, 8)
HIGHEST = 19
"""The highest cut with something to learn above it; the candidates are it and those below."""

BOUNDLESS = 1e6
SPREAD = 0.5


def examples(task: Task, clock: Clock) -> dict[str, Any]:
    """Pass at most 1,000 pictures once, and choose and fit a head on as many examples as asked for.

    Further features are those of the pictures plus noise, half as large as each feature's spread. The phase "features"
    grows up to 1,000 examples only; "head" is measured at every size.
    """
    import headstart as hs
    from headstart.strategies.probe import fit_probe
    from headstart.tasks import Task as Target

    n = task.fewer(task.case["examples"], 200)
    with clock.phase("features"):
        files = [Path(file) for file in _spread(task.rows.train[0], min(n, PASSED))]
        real = hs.extract(hs.load_backbone("efficientnet_lite0"), files, fast=True)
    labels = _spread(task.rows.train[1], min(n, PASSED))
    with clock.stopped():
        dice = np.random.default_rng(task.seed)
        drawn = np.arange(n) % len(real)
        noise = dice.standard_normal((n, real.shape[1]), dtype=np.float32) * (SPREAD * real.std(0))
        features = real[drawn] + noise * (np.arange(n) >= len(real))[:, None]
        data = hs.read([(f"example {place}", labels[one]) for place, one in enumerate(drawn)])
        target = Target("label", "classification", tuple(sorted(set(labels))))
    with clock.phase("head"):
        fit_probe(hs.Probe(), features, data, None, target, seed=task.seed)
    return {"n": n}


def plain_examples(task: Task, clock: Clock) -> dict[str, Any]:
    """Run the tutorial's loop on as many pictures, everything frozen, without a validation."""
    from benchmarks.loops import Loop, plain_loop
    from benchmarks.sets import Rows

    n, given = task.fewer(task.case["examples"], 40), task.rows
    train = (_spread(given.train[0], n), _spread(given.train[1], n))
    few = Rows(given.name, given.modality, train, (given.test[0][:1], given.test[1][:1]))
    plain_loop(few, task.seed, Loop(epochs=task.fewer(4), batch=32, validate="last"), clock)
    return {"n": n}


def candidates(task: Task, clock: Clock) -> dict[str, Any]:
    """Compare the probe and fine-tuning above one cut after the other, out of fold; the budget leaves nothing out."""
    import headstart as hs
    from headstart.adaptation import adapt_to
    from headstart.checkpoints import checkpoints_beside
    from headstart.ground import begin
    from headstart.progress import silent

    with clock.phase("read"):
        train = learning.training_part(task)
    tuned = [hs.FineTune(cut=HIGHEST - place, epochs=task.fewer(2)) for place in range(task.case["candidates"] - 1)]
    with clock.phase("learn"), checkpoints_beside(None) as keeper:
        ground = begin(train, None, None, task.seed, keeper, silent)
        model = adapt_to(ground, [hs.Probe(), *tuned], budget=BOUNDLESS)
    return {"arms": len(model.record["arms"])}


def passes(task: Task, clock: Clock) -> dict[str, Any]:
    """Learn as many candidates one after the other with the tutorial's loop, each from the pictures."""
    for _ in range(task.case["candidates"]):
        partial.plain(task, clock)
    return {"arms": task.case["candidates"]}


def _spread(values: list[str], n: int) -> list[str]:
    """Return n values, evenly spaced, so that every class is there."""
    return [values[place] for place in np.linspace(0, len(values) - 1, n).astype(int)]


RACES = (
    *(
        Race(
            "growth",
            {"set": SET, "examples": n},
            (Contender("headstart", run=examples), *([Contender("plain PyTorch", run=plain_examples)] * (n <= PASSED))),
            most=MOST.get(n, ALL),
        )
        for n in EXAMPLES
    ),
    *(
        Race(
            "growth",
            {"set": "hymenoptera", "epochs": epochs},
            (Contender("headstart", run=partial.headstart), Contender("plain PyTorch", run=partial.plain)),
        )
        for epochs in EPOCHS
    ),
    *(
        Race(
            "growth",
            {"set": "hymenoptera", "candidates": n, "epochs": 2},
            (Contender("headstart", run=candidates), Contender("plain PyTorch", run=passes)),
        )
        for n in CANDIDATES
    ),
)
