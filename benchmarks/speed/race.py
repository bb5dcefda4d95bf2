"""What a race is: contenders at one case, each in a process of its own, in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.sets import Rows, rows
from benchmarks.speed.clock import Clock

ALL = 10_000
"""Repeats: more than anyone asks for."""

TINY = 40
"""Rows of each part where only the benchmark itself is tried."""


@dataclass(frozen=True)
class Task:
    """What one process is to do, as it is handed over.

    Attributes:
        race: the race's name.
        contender: the contender's name.
        case: what the race is about, such as {"set": "hymenoptera"}.
        settings: the contender's choice.
        seed: of rows, batches and folds.
        scratch: a folder of this run's own.
        tiny: whether only the benchmark is tried, on a few rows.
    """

    race: str
    contender: str
    case: dict[str, Any]
    settings: dict[str, Any]
    seed: int
    scratch: str
    tiny: bool = False

    @cached_property
    def rows(self) -> Rows:
        """The rows of the case's set."""
        found = rows(self.case["set"], self.seed, limit=self.case.get("rows"))
        return found.thinned(TINY) if self.tiny else found

    def fewer(self, n: int, few: int = 1) -> int:
        """Return n, or a few where only the benchmark is tried."""
        return min(n, few) if self.tiny else n

    def as_dict(self) -> dict[str, Any]:
        """Return the task as JSON holds it."""
        return asdict(self)


@dataclass(frozen=True)
class Contender:
    """One way to do the task.

    Attributes:
        name: as results name it.
        run: called in the process with the task and its clock; returns what is kept beside the seconds.
        command: the command line instead, where the process is a command of its own.
        choices: settings to choose from: each is run once, and the fastest one races.
        rehearsals: runs of the same process beforehand, in the same scratch folder, that are not measured.
        judge: returns, after a command has ended, what is kept beside the seconds; not measured.
        python: the environment variable that names another interpreter; without it this contender stays out.
        modules: packages without which this contender stays out.
    """

    name: str
    run: Callable[[Task, Clock], dict[str, Any]] | None = None
    command: Callable[[Task], list[str]] | None = None
    choices: tuple[dict[str, Any], ...] = field(default=({},))
    rehearsals: int = 0
    judge: Callable[[Task, str], dict[str, Any]] | None = None
    python: str | None = None
    modules: tuple[str, ...] = ()

    def allowed(self, fp32: bool) -> tuple[dict[str, Any], ...]:
        """Return the choices, without those in bf16 where that is ruled out."""
        return tuple(choice for choice in self.choices if not (fp32 and choice.get("bf16")))


@dataclass(frozen=True)
class Race:
    """Contenders at one case.

    Attributes:
        name: of the benchmark.
        case: what is raced on.
        contenders: in the order in which they take turns; ratios are to the first.
        timed: whether it is run for its seconds, or only for accuracy.
        guards: (ours, rival) whose accuracies are compared.
        clocked: the phases whose seconds are compared; without any, the whole process.
        most: repeats at most, where one takes long.
    """

    name: str
    case: dict[str, Any]
    contenders: tuple[Contender, ...]
    timed: bool = True
    guards: tuple[tuple[str, str], ...] = ()
    clocked: tuple[str, ...] = ()
    most: int = ALL

    @property
    def title(self) -> str:
        """The name and the case, in words."""
        return " ".join([self.name, *(f"{key}={value}" for key, value in self.case.items())])


def folder_of(task: Task, name: str) -> Path:
    """Return a path inside the run's own folder."""
    return Path(task.scratch) / name
