"""Labels to match, where more labels exist: whether the labels that no transfer would need are rightly told.

Run `python -m benchmarks.labels`: every case that `results/labels.jsonl` lacks is run and appended.
The truth of a case is measured on the rest of the set: the error of the probe on fresh draws of as many labels, and
where the learning curve of the classical model on the whole training set comes down to it, both on the test rows.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

import headstart as hs
from benchmarks.sets import root
from headstart.adaptation import adapt_to
from headstart.baselines import classical
from headstart.checkpoints import Checkpoints
from headstart.comparison.worth import worth_in_labels
from headstart.data import Dataset
from headstart.frozen.features import features_of
from headstart.ground import begin
from headstart.mistakes import errors_of
from headstart.progress import silent
from headstart.strategies import Classical, Probe
from headstart.strategies.probe import fit_probe

RESULTS = Path(__file__).parent / "results" / "labels.jsonl"
SETS = {
    "sst2": "label",
    "trec": "label",
    "customer_reviews": "label",
    "sms_spam": "label",
    "clinc150_small": "domain",
    "airline_tweets": "sentiment",
    "reddit_bias": "label",
    "medical_abstracts": "label",
}
CASES = [("wordllama", 120), ("wordllama", 240), ("wordllama", 480), ("minilm_l6", 60), ("minilm_l6", 120)]
DRAWS = 5
STEPS = 1.35


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--report", action="store_true", help="only say what the results show")
    chosen = parser.parse_args()
    if not chosen.report:
        for name in chosen.sets:
            _run(chosen.results, name)
    report(chosen.results)


def report(results: Path) -> None:
    """Print in how many cases the truth lies in what was stated."""
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        stated = f"> {row['low']:,.0f}" if row["high"] is None else f"[{row['low']:,.0f}, {row['high']:,.0f}]"
        truth = f"{row['truth']:,.0f}" if row["truth"] is not None else f"> {row['most']:,}"
        verdict = {True: "right", False: "wrong", None: "cannot be told"}[_is_right(row)]
        print(f"{row['set']:18} {row['backbone']:10} {row['n']:4}  stated {stated:16}  true {truth:>8}  {verdict}")
    told = [one for one in map(_is_right, rows) if one is not None]
    closed = sum(row["high"] is not None for row in rows)
    print(f"{sum(told)} of {len(told)} right ({sum(told) / len(told):.0%}); {closed} of {len(rows)} with an upper end")


def _is_right(row: dict) -> bool | None:
    """Tell whether the truth lies in what was stated; None where neither is known well enough."""
    if row["truth"] is None:
        if row["high"] is None:
            return True if row["low"] <= row["most"] else None
        return False if row["high"] < row["most"] else None
    return row["low"] <= row["truth"] and (row["high"] is None or row["truth"] <= row["high"])


def _run(results: Path, name: str) -> None:
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    table = pd.read_csv(next((root() / name).glob("*.csv"))).dropna(subset=["text"])
    table = table[table[SETS[name]] != "oos"]
    train, test = (table[table.split == part][["text", SETS[name]]] for part in ("train", "test"))
    data = {part: hs.read(rows, input="text", target=SETS[name]) for part, rows in (("train", train), ("test", test))}
    curve = None
    for backbone, n in CASES:
        if any((row["set"], row["backbone"], row["n"]) == (name, backbone, n) for row in done):
            continue
        curve = _curve(data["train"], data["test"]) if curve is None else curve
        row = {"set": name, "backbone": backbone, "n": n, **_case(data, backbone, n, curve)}
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)


def _case(data: dict[str, Dataset], backbone: str, n: int, curve: tuple[np.ndarray, np.ndarray]) -> dict:
    order = np.random.default_rng(n).permutation(len(data["train"]))
    few = data["train"].take(np.sort(order[:n]))
    ground = begin(few, None, backbone, 0, Checkpoints(), silent)
    adapted = adapt_to(ground, [Classical(), Probe()])
    sides = {one.strategy.name: one for one in (adapted.choice, adapted.choice.rival)}
    found = worth_in_labels(adapted.ground, sides["probe"], sides["classical"])
    assert found.labels is not None
    error = _true_error(data, ground.backbone, found.labels.given)
    sizes, errors = curve
    reached = np.flatnonzero(errors <= error)
    truth = None
    if len(reached):
        at = reached[0]
        truth = float(sizes[0])
        if at:
            (x0, x1), (y0, y1) = np.log(sizes[at - 1 : at + 1]), errors[at - 1 : at + 1]
            truth = float(np.exp(x0 + (x1 - x0) * (y0 - error) / max(1e-12, y0 - y1)))
    return {
        "given": found.labels.given,
        "value": found.labels.value,
        "low": found.labels.low,
        "high": found.labels.high,
        "truth": truth,
        "most": int(sizes[-1]),
        "error": error,
    }


def _true_error(data: dict[str, Dataset], backbone: hs.Backbone, given: int) -> float:
    """Return the mean error on the test rows of probes on fresh draws of so many labels."""
    train, test = data["train"], data["test"]
    features = {part: features_of(backbone, one.inputs, contents=one.contents) for part, one in data.items()}
    errors = []
    for draw in range(DRAWS):
        places = np.sort(np.random.default_rng((7, draw, given)).permutation(len(train))[:given])
        few = train.take(places)
        fitted = fit_probe(Probe(), features["train"][places], few, None, train.task, seed=draw)
        outputs = train.task.outputs(fitted.head.logits(features["test"]))
        errors.append(errors_of(train.task, train.task.encode(test.values), outputs).mean())
    return float(np.mean(errors))


def _curve(train: Dataset, test: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return sizes and the falling mean error of the classical model on the test rows."""
    sizes = [40]
    while sizes[-1] * STEPS < len(train):
        sizes.append(round(sizes[-1] * STEPS))
    sizes.append(len(train))
    truth = train.task.encode(test.values)
    errors = []
    for size in sizes:
        own = []
        for draw in range(1 if size == len(train) else DRAWS):
            few = train.take(np.sort(np.random.default_rng((11, draw, size)).permutation(len(train))[:size]))
            own.append(errors_of(train.task, truth, classical(few, test, train.task)).mean())
        errors.append(float(np.mean(own)))
    return np.array(sizes, dtype=float), isotonic_regression(errors, increasing=False).x


if __name__ == "__main__":
    main()
