"""Benchmark `probe`: from a folder of pictures to a saved and measured model, everything frozen but a linear layer."""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks import rivals
from benchmarks.loops import Loop, plain_loop
from benchmarks.sets import root
from benchmarks.speed.clock import Clock
from benchmarks.speed.race import Contender, Race, Task, folder_of

EPOCHS = 4
TIMED, FOR_ACCURACY = "hymenoptera", ("flowers5", "weather4", "cifar10_small")
BEST_BATCH = 32


def headstart(task: Task) -> list[str]:
    """Return the command as a user types it; the cache folder is empty at first, and lies in the scratch folder."""
    words = ["fit", str(root() / task.case["set"]), "--strategy", "probe", "--seed", str(task.seed)]
    return [sys.executable, "-m", "headstart", *words, "--out", str(folder_of(task, "model.headstart")), "--json"]


def saved_answers(task: Task, said: str) -> dict[str, Any]:
    """Return the phases that the command told, and which test pictures its model gets right."""
    import headstart as hs
    from benchmarks import ours

    told = json.loads(said)
    answers = ours.predicted(hs.load(folder_of(task, "model.headstart")), task.rows)
    return {"phases": told["seconds"], "right": answers == task.rows.test[1]}


def fastai(task: Task, clock: Clock) -> dict[str, Any]:
    """Run fastai's frozen `vision_learner`."""
    answers = rivals.fastai_frozen(task.rows, task.seed, clock, epochs=task.fewer(EPOCHS), **task.settings)
    return {"right": answers == task.rows.test[1]}


def plain(task: Task, clock: Clock) -> dict[str, Any]:
    """Run the tutorial's loop, the network frozen."""
    answers = plain_loop(task.rows, task.seed, Loop(epochs=task.fewer(EPOCHS), **task.settings), clock)
    return {"right": answers == task.rows.test[1]}


def _in_bf16(*settings: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    return (*settings, *({**one, "bf16": True} for one in settings))


CONTENDERS = (
    Contender("headstart", command=headstart, judge=saved_answers),
    Contender("headstart, second time", command=headstart, judge=saved_answers, rehearsals=1),
    Contender("fastai", run=fastai, modules=("fastai",)),
    Contender(
        "fastai at its best",
        run=fastai,
        choices=_in_bf16({"channels_last": True, "workers": 0}, {"channels_last": True, "workers": 2}),
        modules=("fastai",),
    ),
    Contender("plain PyTorch", run=plain, choices=({"workers": 0}, {"workers": 2})),
    Contender(
        "plain PyTorch at its best",
        run=plain,
        choices=_in_bf16({"workers": 0, "batch": BEST_BATCH}, {"workers": 2, "batch": BEST_BATCH}),
    ),
)
GUARDS = (("headstart", "fastai"), ("headstart", "plain PyTorch"))

RACES = (
    Race("probe", {"set": TIMED}, CONTENDERS, guards=GUARDS),
    *(Race("probe", {"set": name}, CONTENDERS, timed=False, guards=GUARDS) for name in FOR_ACCURACY),
)
