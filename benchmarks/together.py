"""Several targets on one network: each beside itself alone, what the whole costs, and what predicting together costs.

Run `python -m benchmarks.together`: every case that `results/together.jsonl` lacks is run and appended.
The sets are taken as they are, by default settings. The other cases are made of sets, by
named settings: two sets without a common example, one whose last target lacks half its labels, a pair of reviews and
noise, which must be parted, and one in which few reviews of products can learn from many of films.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import headstart as hs
from benchmarks.sets import root

RESULTS = Path(__file__).parent / "results" / "together.jsonl"
SETS = {
    "airline_tweets": ("airline_tweets.csv", "text", ["sentiment", "negative_reason", "airline"]),
    "clinc150_small": ("clinc150.csv", "text", ["domain", "intent"]),
    "clothing_reviews": ("clothing_reviews.csv", "text", ["recommended", "rating:regression", "department"]),
    "chest_xray": ("metadata.csv", "file", ["label", "sex", "view_position", "age:regression"]),
}
FEW, SOME, MANY = 40, 320, 2000
TESTED = 1500
TIMED = 200
REPEATS = 5
STRATEGIES = (hs.Probe(), hs.FineTune(cut=-2, schedule=hs.Schedule(epochs=3)))
"""Of all but the sets as they are: what these cases show must not hang on how much time there is."""


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--only", nargs="*", default=list(CASES))
    parser.add_argument("--report", action="store_true", help="only say what the results show")
    chosen = parser.parse_args()
    if not chosen.report:
        lines = chosen.results.read_text(encoding="utf-8").splitlines() if chosen.results.exists() else []
        done = {json.loads(line)["case"] for line in lines}
        for name in (one for one in chosen.only if one not in done):
            line = {"case": name, **CASES[name]()}
            with chosen.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(line, flush=True)
    report(chosen.results)


def report(results: Path) -> None:
    """Print each case, and the gain of sharing pooled over the targets of the four sets, by what is measured of them.

    Targets of one set share their test examples: the interval is that of targets that err together, the widest.
    """
    gains: dict[str, list[dict[str, Any] | None]] = {"of accuracy": [], "of the quadratic error, spared": []}
    for row in map(json.loads, results.read_text(encoding="utf-8").splitlines()):
        print(f"{row['case']}: {row['seconds']:.0f} s, {row['cost']:.2f} of the targets alone; ", end="")
        print("; ".join(f"{target} {words}" for target, words in row["told"].items()))
        if "together" in row["predict"]:
            print(f"    predicted together in {row['predict']['together']:.2f} of the time of one")
        for target, gain in row["gains"].items():
            word = "" if gain is None else f" {gain['word']}, p adjusted {gain['p_adjusted']:.3f}"
            print(f"    {target}: {_shown(gain)}{word}")
        if row["case"] in SETS:
            numbers = [one.removesuffix(":regression") for one in SETS[row["case"]][2] if one.endswith(":regression")]
            for target, gain in row["gains"].items():
                gains["of the quadratic error, spared" if target in numbers else "of accuracy"].append(gain)
    for words, own in gains.items():
        if own:
            value = float(np.mean([0.0 if one is None else one["gain"]["value"] for one in own]))
            each = [0.0 if one is None else one["gain"]["high"] - one["gain"]["low"] for one in own]
            width = float(np.mean(each)) / 2
            ends = f"[{100 * (value - width):+.1f}, {100 * (value + width):+.1f}]"
            print(f"joint minus single over {len(own)} targets: {100 * value:+.1f} {ends} points {words}")


def _shown(gain: dict[str, Any] | None) -> str:
    if gain is None:
        return "by itself, as alone"
    one = gain["gain"]
    return f"{100 * one['value']:+.1f} [{100 * one['low']:+.1f}, {100 * one['high']:+.1f}]"


def _kept(name: str) -> Path | None:
    """Return where a model and its pages are kept, to be looked at: where `HEADSTART_BENCH_PAGES` names a folder."""
    folder = os.environ.get("HEADSTART_BENCH_PAGES")
    return Path(folder) / f"{name}.headstart" if folder else None


def _set(name: str) -> dict[str, Any]:
    file, column, targets = SETS[name]
    result = hs.fit_together(root() / name / file, input=column, target=targets, out=_kept(name))
    return _line(result, is_timed=True)


def _pool(one: str, other: str) -> dict[str, Any]:
    data = {name: _source(name) for name in (one, other)}
    return _line(hs.fit_together(data, strategy=STRATEGIES, out=_kept(f"{one}+{other}")), is_timed=True)


def _source(name: str) -> object:
    table = root() / name / f"{name}.csv"
    if not table.is_file():
        return hs.read(root() / name)
    rows = pd.read_csv(table)
    train = rows[rows["split"] == "train"].sample(1000, random_state=0)
    return pd.concat([train, rows[rows["split"] == "test"]])[["text", "label", "split"]]


def _half() -> dict[str, Any]:
    """The second target's labels lack at random: the others must be as they are with all of them."""
    file, column, targets = SETS["clothing_reviews"]
    table = pd.read_csv(root() / "clothing_reviews" / file)
    whole = hs.fit_together(table, input=column, target=targets, strategy=STRATEGIES)
    lacking = np.random.default_rng(0).random(len(table)) < 0.5
    table["department"] = table["department"].where(~lacking)
    half = hs.fit_together(table, input=column, target=targets, strategy=STRATEGIES)
    line = _line(half, is_timed=False)
    for target, one in half.targets.items():
        both = [result.targets[target].evaluation for result in (whole, half)]
        line["told"][target] += "; with all labels and with half of them: " + " and ".join(map(str, both))
        assert one.n["train"] > 0
    return line


def _needing() -> dict[str, Any]:
    """Few reviews of products beside many of films: what is good in one is good in the other."""
    films, products = (pd.read_csv(root() / name / f"{name}.csv") for name in ("sst2", "customer_reviews"))
    return _made({"films": (films, MANY), "products": (products, FEW)})


def _hostile() -> dict[str, Any]:
    """Few reviews of films beside many questions whose labels are noise: there is nothing to learn but by heart."""
    films, questions = (pd.read_csv(root() / name / f"{name}.csv") for name in ("sst2", "trec"))
    noise = np.random.default_rng(0).integers(0, 20, len(questions))
    questions["label"] = [f"noise {one}" for one in noise]
    return _made({"films": (films, SOME), "noise": (questions, MANY)})


def _made(tables: dict[str, tuple[pd.DataFrame, int]]) -> dict[str, Any]:
    data = {}
    for name, (table, n) in tables.items():
        rows = (
            table[["text", "label"]].sample(n + TESTED, random_state=0).assign(split=["train"] * n + ["test"] * TESTED)
        )
        data[name] = rows
    return _line(hs.fit_together(data, strategy=STRATEGIES), is_timed=False)


def _line(result: hs.MultiTaskResult, *, is_timed: bool) -> dict[str, Any]:
    alone = sum(seconds for phase, seconds in result.seconds.items() if phase.startswith("alone"))
    gains = {target: result.sharing.get(target) for target in result.targets}
    return {
        "seconds": result.seconds["total"],
        "cost": result.seconds["total"] / alone,
        "phases": result.seconds,
        "told": {target: result.told(target) for target in result.targets},
        "gains": {target: None if one is None else one.as_dict() for target, one in gains.items()},
        "stays": {target: one.stays for target, one in result.together.targets.items()},
        "networks": [[one.task.target for one in group] for group in result.model.shared],
        "predict": _predicting(result) if is_timed else {},
    }


def _predicting(result: hs.MultiTaskResult) -> dict[str, float]:
    """Return how long all targets of the largest shared network take, in units of what one of them takes alone.

    The inputs are the same, what was computed of them before is not looked at.
    """
    group = max(result.model.shared, key=len)
    if len(group) < 2:
        return {}
    first = next(iter(result.targets.values()))
    data = (
        first.proof.tested.data.take(np.arange(TIMED))
        if len(first.proof.tested.data) > TIMED
        else first.proof.tested.data
    )
    ways = {"together": hs.MultiTaskModel(tuple(group)), "one": hs.MultiTaskModel((group[0],))}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for repeat in range(REPEATS):
        for way, model in ways.items():
            contents = [f"{way} {repeat} {one}" for one in data.contents]
            begun = time.perf_counter()
            model.outputs(data.inputs, contents=contents)
            taken[way].append(time.perf_counter() - begun)
    together, one = (float(np.median(taken[way])) for way in ways)
    return {"together": together / one, "seconds": one}


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    **{name: lambda name=name: _set(name) for name in SETS},  # type: ignore[misc]
    "sst2+customer_reviews": lambda: _pool("sst2", "customer_reviews"),
    "flowers5+weather4": lambda: _pool("flowers5", "weather4"),
    "half": _half,
    "needing": _needing,
    "hostile": _hostile,
}


if __name__ == "__main__":
    main()
