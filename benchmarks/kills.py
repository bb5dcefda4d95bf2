"""A run that is killed again and again, beside one that is left alone: the same weights, bit for bit, and certificate.

Run `python -m benchmarks.kills`: a way of learning is run to its end once, and then started and killed (SIGKILL) at
random moments until it comes to its end by itself, over and over until it has been killed often enough.
In three of the ways the cut moves down while it learns; the fourth is the main job as it is by default.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import headstart as hs
from benchmarks.sets import root
from headstart.frozen.execution import Execution
from headstart.plan import Plan

RESULTS = Path(__file__).parent / "results" / "kills.jsonl"
ROWS = 150
SEED = 0
SHARE = 0.75
"""Of the time an undisturbed run takes: up to this long after its start a process is killed."""

INTERVAL = 1.0
"""Seconds between checkpoints: more often than usual, so that kills meet them being written."""

PROGRAM = f"""
import sys
from headstart import checkpoints, cli
checkpoints.checkpoints_beside.__wrapped__.__kwdefaults__["interval"] = {INTERVAL}
checkpoints.SPARED = 2
if sys.argv[1] == "adapt":
    import headstart as hs
    data = hs.read(sys.argv[2], target="label").take(range(100))
    strategy = hs.FineTune(cut=4, moves=3, epochs=9)
    hs.adapt(data, strategy=strategy, checkpoint=sys.argv[-1]).save(sys.argv[-1])
else:
    cli.main()
"""


@dataclass(frozen=True)
class Way:
    """A way of learning that is killed.

    Attributes:
        words: of the command, but for the plan and where to save.
        plan: of the strategies that are compared; empty where there is no choice.
    """

    words: tuple[str, ...]
    plan: tuple[hs.FineTune | hs.Probe, ...] = ()


def ways(folder: Path) -> dict[str, Way]:
    """Return the ways by name, on data of their own in a folder."""
    table = folder / "texts.csv"
    lines = (root() / "sst2" / "sst2.csv").read_text(encoding="utf-8").splitlines()
    train = [line.rpartition(",")[0] for line in lines[1:] if line.endswith(",train")]
    table.write_text("\n".join(["text,label", *train[:ROWS]]), encoding="utf-8")
    pictures = folder / "pictures"
    for kind in sorted((root() / "flowers5" / "train").iterdir())[:3]:
        (pictures / kind.name).mkdir(parents=True)
        for picture in sorted(kind.iterdir())[:20]:
            shutil.copy(picture, pictures / kind.name)
    moving = hs.FineTune(cut=4, moves=3, epochs=3)
    return {
        "adapt, texts": Way(("adapt", str(table))),
        "fit, texts": Way(("fit", str(table), "--target", "label"), (hs.Probe(), moving)),
        "fit, by default": Way(("fit", str(table), "--target", "label")),
        "fit, pictures": Way(("fit", str(pictures)), (hs.FineTune(cut=17, epochs=2), hs.FineTune(moves=3, epochs=4))),
    }


def command(way: Way, folder: Path, out: Path) -> list[str]:
    """Return the words that start a process, always the same ones."""
    words = [sys.executable, "-c", PROGRAM, *way.words]
    if way.plan:
        n = len(way.plan)
        plan = Plan(way.plan, 3, "fp32", Execution(), 1, ("whole",) * n, (0.0,) * n)
        (folder / "plan.json").write_text(json.dumps(plan.as_dict()), encoding="utf-8")
        words += ["--plan", str(folder / "plan.json")]
    return [*words, "--out", str(out)]


def outcome(out: Path) -> tuple[str, object]:
    """Return the SHA-256 of a saved model's weights, and what it says is proven."""
    record = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["record"]
    return hashlib.sha256((out / "weights.safetensors").read_bytes()).hexdigest(), record.get("proof")


def killed(words: list[str], out: Path, most: float, dice: np.random.Generator) -> int:
    """Start the same command again until it ends by itself, and return how often it was killed before."""
    kills = 0
    while True:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # noqa: S603  our words
        try:
            talk = process.communicate(timeout=dice.uniform(0, most))[1]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            continue
        if process.returncode or not out.is_dir():
            raise RuntimeError(f"after {kills} kills: exit {process.returncode}, {talk.decode()[-2000:]}")
        return kills


def measure(name: str, way: Way, folder: Path, wanted: int) -> dict[str, object]:
    """Kill one way of learning at least so many times; return how often, and how many runs ended in the same bits."""
    dice = np.random.default_rng([SEED, len(name)])
    begun = time.monotonic()
    whole = folder / "whole.headstart"
    subprocess.run(command(way, folder, whole), check=True, capture_output=True)  # noqa: S603  our words
    seconds = time.monotonic() - begun
    expected, kills, ends = outcome(whole), 0, []
    while kills < wanted:
        out = folder / f"killed-{len(ends)}.headstart"
        kills += killed(command(way, folder, out), out, SHARE * seconds, dice)
        ends.append(outcome(out) == expected)
        shutil.rmtree(out)
        print(f"{name}: killed {kills} times, {sum(ends)} of {len(ends)} runs ended the same", flush=True)
    left = [file.name for file in folder.iterdir() if file.name.startswith(".")]
    record = json.loads((whole / "manifest.json").read_text(encoding="utf-8"))["record"]
    shutil.rmtree(whole)
    return {
        "way": name,
        "learned": record["strategy"],
        "seconds": round(seconds, 1),
        "kills": kills,
        "runs": len(ends),
        "same": sum(ends),
        "left_over": left,
    }


def main() -> None:
    """Kill every way, and add a line for each to the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--kills", type=int, default=20, help="of each way, at least")
    parser.add_argument("--way", action="append", help="only this one; may be repeated")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for way, words in ways(folder).items():
            if chosen.way and way not in chosen.way:
                continue
            line = measure(way, words, folder, chosen.kills)
            with chosen.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
