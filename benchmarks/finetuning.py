"""Accuracy of fine-tuning: the same backbone and training rows as fastai's `fine_tune(4)` and HF Trainer's 3 epochs.

Run `python -m benchmarks.finetuning`: every (contender, set, seed) that `results/finetuning.jsonl` lacks is run and
appended, so an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import headstart as hs
from benchmarks import ours, rivals
from benchmarks.pairs import difference
from benchmarks.sets import IMAGES, TEXTS, Rows, rows
from benchmarks.speed import weights
from headstart.paired import holm
from headstart.report.page import write_report

RESULTS = Path(__file__).parent / "results" / "finetuning.jsonl"
SEEDS = range(5)
OURS, RIVALS = ("finetune", "fit"), ("fastai", "trainer")


def finetune(given: Rows, seed: int) -> np.ndarray:
    """Return the answers (n,) of `adapt` with `FineTune()`."""
    return ours.predicted(hs.adapt(ours.read(given).given_part("train"), strategy=hs.FineTune(), seed=seed), given)


def lora(given: Rows, seed: int) -> np.ndarray:
    """Return the answers (n,) of `adapt` with `LoRA()`."""
    model = hs.adapt(ours.read(given).given_part("train"), strategy=hs.LoRA(), seed=seed)
    print("  learned:", model.record["learnable"], flush=True)
    return ours.predicted(model, given)


def fit(given: Rows, seed: int) -> np.ndarray:
    """Return the answers (n,) of `fit`, which chooses by itself; `HEADSTART_BENCH_PAGES` keeps its page."""
    if folder := os.environ.get("HEADSTART_BENCH_PAGES"):
        Path(folder).mkdir(parents=True, exist_ok=True)
    result = hs.fit(ours.source(given), input=ours.column(given), target="label", seed=seed)
    print("  chosen:", result.model.record["strategy"], result.seconds, result.forecast, flush=True)
    if folder:
        write_report(result, Path(folder) / f"{given.name}-{seed}.html", f"headstart fit {given.name}")
    return ours.predicted(result.model, given)


CONTENDERS: dict[str, tuple[tuple[str, ...], Callable[[Rows, int], np.ndarray]]] = {
    "fastai": (IMAGES, rivals.fastai_fine_tune),
    "trainer": (TEXTS, rivals.trainer),
    "finetune": ((*IMAGES, *TEXTS), finetune),
    "fit": ((*IMAGES, *TEXTS), fit),
    "lora": (("sst2",), lora),
}


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS))
    parser.add_argument("--sets", nargs="*", default=[*IMAGES, *TEXTS])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--report", action="store_true", help="only say what the results show")
    chosen = parser.parse_args()
    if chosen.report:
        report(chosen.results)
        return
    if not weights.is_prepared():
        weights.prepare()
    for seed in SEEDS:
        for contender in chosen.only:
            sets, answer = CONTENDERS[contender]
            for name in (one for one in sets if one in chosen.sets):
                if (contender, name, seed) not in _done(chosen.results):
                    _run(chosen.results, contender, answer, name, seed)


def report(results: Path) -> None:
    """Print ours minus theirs by set, and over all sets, with intervals."""
    right: dict[tuple[str, str], dict[int, np.ndarray]] = {}
    for line in map(json.loads, results.read_text(encoding="utf-8").splitlines()):
        found = right.setdefault((line["contender"], line["set"]), {})
        found[line["seed"]] = np.array(list(line["right"]), dtype=int)
    for own in OURS:
        pairs = {}
        for name in (*IMAGES, *TEXTS):
            mine, theirs = right.get((own, name), {}), right.get((RIVALS[name in TEXTS], name), {})
            seeds = sorted(mine.keys() & theirs.keys())
            if seeds:
                pairs[name] = (np.stack([mine[s] for s in seeds]), np.stack([theirs[s] for s in seeds]))
        if not pairs:
            continue
        singles = [difference([pair]) for pair in pairs.values()]
        adjusted = holm([one.p for one in singles])
        for (name, (mine, theirs)), one, p in zip(pairs.items(), singles, adjusted, strict=True):
            print(
                f"{own:9} {name:18} {mine.mean():.3f} against {theirs.mean():.3f}: "
                f"{100 * one.value:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}] points, "
                f"{one.seeds} seeds, p after Holm {p:.3f}"
            )
        over = difference(list(pairs.values()))
        print(f"{own:9} all: {100 * over.value:+.1f} [{100 * over.low:+.1f}, {100 * over.high:+.1f}] points\n")


def _run(results: Path, contender: str, answer: Callable[[Rows, int], np.ndarray], name: str, seed: int) -> None:
    given = rows(name, seed)
    begun = time.perf_counter()
    right = answer(given, seed) == np.array(given.test[1])
    line = {
        "contender": contender,
        "set": name,
        "seed": seed,
        "accuracy": round(float(right.mean()), 4),
        "right": "".join("1" if one else "0" for one in right),
        "seconds": round(time.perf_counter() - begun, 1),
    }
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    print(contender, name, seed, line["accuracy"], line["seconds"], flush=True)


def _done(results: Path) -> set[tuple[str, str, int]]:
    lines = results.read_text(encoding="utf-8").splitlines() if results.is_file() else []
    return {(one["contender"], one["set"], one["seed"]) for one in map(json.loads, lines)}


if __name__ == "__main__":
    main()
