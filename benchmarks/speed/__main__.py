"""Run `python -m benchmarks.speed`: what `results/speed.jsonl` lacks for this machine and source is run and appended.

An interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.speed import guard, summary, weights
from benchmarks.speed.races import NAMES, RACES
from benchmarks.speed.runs import Runs, beforehand


def main() -> None:
    """Run what is missing, and say what the results show."""
    chosen = _asked()
    if not chosen.report:
        if not weights.is_prepared():
            beforehand("weights")
        if "start" in chosen.only and not chosen.accuracy:
            beforehand("start")
        runs = Runs(chosen.results, chosen.isa, chosen.tiny)
        for race in (one for one in RACES if one.name in chosen.only):
            if chosen.accuracy and race.guards:
                runs.run(race, chosen.repeats, {name for pair in race.guards for name in pair})
            elif not chosen.accuracy and race.timed:
                runs.run(race, chosen.repeats)
    if chosen.accuracy:
        guard.report(chosen.results, chosen.isa)
    else:
        summary.report(chosen.results, chosen.isa, chosen.only)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--repeats", type=int, default=5, help="runs of each contender, each with a seed of its own")
    parser.add_argument("--isa", choices=("native", "avx2"), default="native", help="avx2: like an older machine")
    parser.add_argument("--accuracy", action="store_true", help="run the sets whose accuracy is compared, and compare")
    parser.add_argument("--report", action="store_true", help="only say what the results show")
    parser.add_argument("--tiny", action="store_true", help="try the benchmarks themselves, on a few rows")
    parser.add_argument("--results", type=Path, help="results/speed.jsonl, and a temporary file for --tiny")
    chosen = parser.parse_args()
    if chosen.results is None:
        tried = Path(tempfile.gettempdir()) / "speed-tiny.jsonl"
        chosen.results = tried if chosen.tiny else summary.RESULTS
    return chosen


if __name__ == "__main__":
    main()
