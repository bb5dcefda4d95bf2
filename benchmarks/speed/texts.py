"""Benchmark `texts`: fine-tuning MiniLM-L6 on 1,000 texts, three epochs; and few labels a class beside SetFit."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import rivals
from benchmarks.sets import Rows
from benchmarks.speed import learning
from benchmarks.speed.clock import Clock
from benchmarks.speed.race import Contender, Race, Task

EPOCHS = 3
UPPER_HALF = 4
TIMED, FOR_ACCURACY = "sst2", ("trec", "customer_reviews")


def whole(task: Task, clock: Clock) -> dict[str, Any]:
    """Fine-tune everything."""
    return _finetuned(task, clock, 0)


def upper(task: Task, clock: Clock) -> dict[str, Any]:
    """Fine-tune the upper half on what was computed once below it."""
    return _finetuned(task, clock, UPPER_HALF)


def trainer(task: Task, clock: Clock) -> dict[str, Any]:
    """Run Hugging Face's Trainer."""
    answers = rivals.trainer(task.rows, task.seed, epochs=task.fewer(EPOCHS), clock=clock, **task.settings)
    return {"right": answers == task.rows.test[1]}


def few_probe(task: Task, clock: Clock) -> dict[str, Any]:
    """Probe on a few labels a class."""
    import headstart as hs
    from benchmarks import ours

    given = _few(task)
    with clock.phase("learn"):
        model = hs.adapt(ours.read(given).given_part("train"), strategy=hs.Probe(), seed=task.seed)
    with clock.phase("answer"):
        return {"right": ours.predicted(model, given) == given.test[1]}


def few_setfit(task: Task, clock: Clock) -> dict[str, Any]:
    """Run SetFit on the same few labels a class."""
    given = _few(task)
    return {"right": rivals.setfit(given, task.seed, clock) == given.test[1]}


def _finetuned(task: Task, clock: Clock, cut: int) -> dict[str, Any]:
    import headstart as hs

    return learning.adapted(task, clock, lambda: hs.FineTune(cut=cut, epochs=task.fewer(EPOCHS)))


def _few(task: Task) -> Rows:
    """Return the first so many rows of each class, and every test row."""
    given = task.rows
    labels = np.array(given.train[1])
    shots = task.fewer(task.case["shots"], 2)
    kept = np.concatenate([np.flatnonzero(labels == label)[:shots] for label in given.labels])
    train = ([given.train[0][place] for place in kept], [given.train[1][place] for place in kept])
    return Rows(given.name, given.modality, train, given.test)


CONTENDERS = (
    Contender("headstart, upper half", run=upper),
    Contender("headstart, all of it", run=whole),
    Contender("Trainer", run=trainer),
    Contender("Trainer, bf16", run=trainer, choices=({"bf16": True},)),
)
GUARDS = (("headstart, upper half", "Trainer"), ("headstart, all of it", "Trainer"))

RACES = (
    Race("texts", {"set": TIMED}, CONTENDERS, guards=GUARDS),
    *(Race("texts", {"set": name}, CONTENDERS, timed=False, guards=GUARDS) for name in FOR_ACCURACY),
    *(
        Race(
            "few",
            {"set": TIMED, "shots": shots},
            (Contender("headstart", run=few_probe), Contender("SetFit", run=few_setfit, modules=("setfit",))),
        )
        for shots in (8, 16)
    ),
)
