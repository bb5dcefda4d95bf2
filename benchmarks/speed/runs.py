"""Running races: what is missing, one fresh process after the other, a line of results for each."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.speed.machine import commit, machine, source, versions
from benchmarks.speed.race import Contender, Race, Task

KEEPS_FP32 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "HEADSTART_PRECISION": "fp32"}
QUALIFYING = -1
SAID = 300


@dataclass
class Runs:
    """The results file, and how runs are made.

    Attributes:
        results: a line of JSON a run.
        isa: "native", or "avx2": oneDNN without what came after AVX2, and fp32 in every contender.
        tiny: whether only the benchmarks themselves are tried.
        lines: what the file holds of this machine, this source and this `isa`; what others tried to find their best
            setting holds for every source.
    """

    results: Path
    isa: str = "native"
    tiny: bool = False
    lines: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        text = self.results.read_text(encoding="utf-8") if self.results.is_file() else ""
        here = {"machine": machine(), "isa": self.isa, "tiny": self.tiny}
        self.lines = [
            line
            for line in map(json.loads, text.splitlines())
            if "failed" not in line
            and all(line[name] == value for name, value in here.items())
            and (line["source"] == source() or (line["repeat"] == QUALIFYING and line["versions"] == versions()))
        ]

    def run(self, race: Race, repeats: int, only: Iterable[str] | None = None) -> None:
        """Make the runs of a race that are missing: contenders take turns, repeat by repeat."""
        contenders = [one for one in race.contenders if only is None or one.name in only]
        contenders = [one for one in contenders if one.allowed(self.isa == "avx2") and _is_here(one)]
        settled = {one.name: self._settle(race, one) for one in contenders}
        for repeat in range(min(repeats, race.most)):
            for one in contenders:
                settings = settled[one.name]
                if settings is not None and self._found(race, one, repeat) is None:
                    self._keep(race, one, repeat, settings)

    def _settle(self, race: Race, one: Contender) -> dict[str, Any] | None:
        """Return the choice that races: the fastest of those tried once, for all cases of a benchmark."""
        choices = one.allowed(self.isa == "avx2")
        if len(choices) == 1:
            return choices[0]
        seconds = {}
        for place, choice in enumerate(choices):
            line = next(
                (
                    line
                    for line in self.lines
                    if (line["race"], line["contender"], line["repeat"]) == (race.name, one.name, QUALIFYING)
                    and line["settings"] == choice
                ),
                None,
            ) or self._keep(race, one, QUALIFYING, choice)
            if "failed" not in line:
                seconds[place] = measured(race, line)
        return choices[min(seconds, key=lambda place: seconds[place])] if seconds else None

    def _found(self, race: Race, one: Contender, repeat: int) -> dict[str, Any] | None:
        key = (race.name, race.case, one.name, repeat)
        return next(
            (line for line in self.lines if (line["race"], line["case"], line["contender"], line["repeat"]) == key),
            None,
        )

    def _keep(self, race: Race, one: Contender, repeat: int, settings: dict[str, Any]) -> dict[str, Any]:
        """Make a run and append its line."""
        loads = os.getloadavg()[0]
        with tempfile.TemporaryDirectory() as scratch:
            task = Task(race.name, one.name, race.case, settings, max(repeat, 0), scratch, self.tiny)
            try:
                found = _rehearsed(one, task, self.isa)
            except (subprocess.SubprocessError, ValueError, IndexError) as error:
                found = {"failed": str(error)[-SAID:]}
        line = {
            "race": race.name,
            "case": race.case,
            "contender": one.name,
            "repeat": repeat,
            "settings": settings,
            "seed": task.seed,
            **found,
            "isa": self.isa,
            "tiny": self.tiny,
            "machine": machine(),
            "versions": versions(),
            "source": source(),
            "commit": commit(),
            "load": round(loads, 2),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self.results.parent.mkdir(exist_ok=True)
        with self.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if "failed" not in line:
            self.lines.append(line)
        _tell(race, line)
        return line


def beforehand(module: str) -> None:
    """Run a module that prepares something, in a process of its own.

    This one has to stay small: Linux counts the memory of the process that starts another as the other's.
    """
    subprocess.run([sys.executable, "-m", f"benchmarks.speed.{module}"], check=True)  # noqa: S603


def measured(race: Race, line: dict[str, Any]) -> float:
    """Return the seconds of a run that are compared: of the clocked phases, or of the whole process."""
    if race.clocked:
        return float(sum(line["phases"].get(name, 0.0) for name in race.clocked))
    return float(line["seconds"])


def _rehearsed(one: Contender, task: Task, isa: str) -> dict[str, Any]:
    for _ in range(one.rehearsals):
        _process(one, task, isa)
    return _process(one, task, isa)


def _process(one: Contender, task: Task, isa: str) -> dict[str, Any]:
    """Run a contender in a fresh process: its seconds from start to end, its peak memory, and what it says."""
    ours = {"HEADSTART_CACHE": str(Path(task.scratch) / "cache")}
    environment = {**os.environ, **ours, **(KEEPS_FP32 if isa == "avx2" else {})}
    interpreter = os.environ[one.python] if one.python else sys.executable
    child = [interpreter, "-m", "benchmarks.speed.child", json.dumps(task.as_dict())]
    seconds, memory, said = _timed(one.command(task) if one.command else child, environment)
    measures = {"seconds": seconds, "peak_mb": memory}
    if one.command is None:
        told = _told(said)
        return {**measures, **told, "seconds": round(seconds - told["unmeasured"], 4)}
    if one.judge is None:
        return measures
    done = subprocess.run(child, input=said, env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    return {**measures, **_told(done.stdout)}


def _timed(words: list[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Return the seconds, the peak resident memory in MB of the process or its largest child, and standard output."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as talk:
        begun = time.perf_counter()
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=talk, env=environment)  # noqa: S603
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (out, talk):
            file.seek(0)
        if process.returncode:
            raise subprocess.SubprocessError(f"{shlex.join(words[:3])}: {talk.read().strip()}")
        return round(seconds, 4), round(usage.ru_maxrss / 1024, 1), out.read()


def _told(said: str) -> dict[str, Any]:
    return dict(json.loads(said.strip().splitlines()[-1]))


def _is_here(one: Contender) -> bool:
    """Tell whether what a contender needs is there, and say so where it is not."""
    missing = [name for name in one.modules if importlib.util.find_spec(name) is None]
    if one.python and not os.environ.get(one.python):
        missing.append(f"${one.python}")
    if missing:
        print(f"  without {one.name}: there is no {', '.join(missing)}", flush=True)
    return not missing


def _tell(race: Race, line: dict[str, Any]) -> None:
    found = line.get("failed") or f"{measured(race, line):8.2f} s"
    more = [f"{name} {line[name]}" for name in ("accuracy", "a second", "share", "peak_mb") if name in line]
    print(f"{race.title} | {line['contender']} {line['settings'] or ''} #{line['repeat']}: {found} {more}", flush=True)
