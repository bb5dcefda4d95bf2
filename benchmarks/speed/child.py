"""The process of one contender: it does its task and prints one line of JSON, the last one.

Run by `benchmarks.speed`, with the task as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from benchmarks.speed.clock import Clock
from benchmarks.speed.race import Task
from benchmarks.speed.races import contender


def main() -> None:
    """Do the task; or, given what a command said, judge it."""
    task = Task(**json.loads(sys.argv[1]))
    one = contender(task.race, task.contender, task.case)
    clock = Clock()
    if one.run is not None:
        found = one.run(task, clock)
    else:
        assert one.judge is not None
        found = one.judge(task, sys.stdin.read())
    phases = {name: round(value, 4) for name, value in clock.seconds.items()}
    print(json.dumps({"phases": phases, "unmeasured": round(clock.unmeasured, 4), **_plain(found)}))


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    """Return what was found as JSON holds it, and the accuracy where answers are judged."""
    if "right" not in found:
        return found
    right = np.asarray(found["right"])
    return {**found, "accuracy": round(float(right.mean()), 4), "right": "".join("1" if one else "0" for one in right)}


if __name__ == "__main__":
    main()
