"""`hs.adapt` in a process of its own, by phase."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.sets import stride
from benchmarks.speed.clock import Clock
from benchmarks.speed.race import TINY, Task

if TYPE_CHECKING:
    import headstart as hs


def adapted(task: Task, clock: Clock, strategy: Callable[[], hs.FineTune | hs.Probe]) -> dict[str, Any]:
    """Learn a strategy from the task's training rows, and answer its test rows."""
    from benchmarks import ours

    with clock.phase("import"):
        from headstart import adapt
    with clock.phase("read"):
        train = training_part(task)
    with clock.phase("learn"):
        model = adapt(train, strategy=strategy(), seed=task.seed)
    with clock.phase("answer"):
        answers = ours.predicted(model, task.rows)
    return {"right": answers == task.rows.test[1], "cut": model.record["cut"]}


def training_part(task: Task) -> hs.Dataset:
    """Return the training rows as Headstart reads them; only some of the pictures where all is tried."""
    from benchmarks import ours

    train = ours.read(task.rows).given_part("train")
    if not task.tiny:
        return train
    return train.take(np.arange(0, len(train), stride(len(train), TINY)))
