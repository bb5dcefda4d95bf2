"""Benchmark `partial`: fine-tuning above a cut, where all that lies below is the same in every epoch."""

from __future__ import annotations

from typing import Any

from benchmarks.loops import Loop, plain_loop
from benchmarks.speed import learning
from benchmarks.speed.clock import Clock
from benchmarks.speed.race import Contender, Race, Task
from benchmarks.speed.weights import CUT, learned

EPOCHS = 10
BATCH = 16
TIMED, FOR_ACCURACY = "hymenoptera", ("flowers5", "weather4", "cifar10_small")


def headstart(task: Task, clock: Clock) -> dict[str, Any]:
    """Fine-tune the upper third; its input is computed once."""
    import headstart as hs

    epochs = task.fewer(task.case.get("epochs", EPOCHS))
    return learning.adapted(task, clock, lambda: hs.FineTune(cut=CUT, epochs=epochs, batch_size=BATCH))


def plain(task: Task, clock: Clock) -> dict[str, Any]:
    """Run the tutorial's loop with the same stages learning and the same batches; below, all is computed every time.

    Neither looks at the test part before the end.
    """
    epochs = task.fewer(task.case.get("epochs", EPOCHS))
    loop = Loop(epochs=epochs, learned=tuple(learned()), batch=BATCH, validate="last", **task.settings)
    return {"right": plain_loop(task.rows, task.seed, loop, clock) == task.rows.test[1]}


CONTENDERS = (
    Contender("headstart", run=headstart),
    Contender("plain PyTorch", run=plain, choices=({"workers": 0}, {"workers": 2})),
    Contender("plain PyTorch, bf16", run=plain, choices=({"workers": 0, "bf16": True}, {"workers": 2, "bf16": True})),
)
GUARDS = (("headstart", "plain PyTorch"),)

RACES = (
    Race("partial", {"set": TIMED}, CONTENDERS, guards=GUARDS),
    *(Race("partial", {"set": name}, CONTENDERS, timed=False, guards=GUARDS) for name in FOR_ACCURACY),
)
