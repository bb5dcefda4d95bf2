"""A model made here as the source of the next: MiniLM taught on SST-2, then 100 labels of customer reviews.

Run `python -m benchmarks.sources`: with the same 100 labels, the same strategy, and the same test examples, it is
compared with plain MiniLM, five draws of the labels, paired.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import headstart as hs
from benchmarks.pairs import difference
from benchmarks.sets import root

RESULTS = Path(__file__).parent / "results" / "sources.jsonl"
SEEDS = range(5)
LABELS = 100
STRATEGIES = {"probe": hs.Probe(), "finetune": hs.FineTune(), "fit": None}


def main() -> None:
    """Make the source once, and run what the results lack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--report", action="store_true", help="only say what the results show")
    chosen = parser.parse_args()
    if not chosen.report:
        with tempfile.TemporaryDirectory() as folder:
            run(chosen.results, Path(folder) / "sst2")
    report(chosen.results)


def run(results: Path, source: Path) -> None:
    """Append a line for every (strategy, seed): which test examples each of the two got right."""
    data = hs.read(root() / "sst2" / "sst2.csv", input="text", target="label")
    hs.adapt(data.given_part("train"), strategy=hs.FineTune()).save(source)
    table = pd.read_csv(root() / "customer_reviews" / "customer_reviews.csv")
    tested = table[table["split"] == "test"]
    for seed in SEEDS:
        few = table[table["split"] == "train"].sample(LABELS, random_state=seed)
        for name, strategy in STRATEGIES.items():
            line: dict[str, object] = {"strategy": name, "seed": seed}
            for which, backbone in (("plain", None), ("taught", str(source))):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    result = hs.fit(
                        pd.concat([few, tested]),
                        input="text",
                        target="label",
                        backbone=backbone,
                        strategy=strategy,
                        seed=seed,
                    )
                answers = np.array([one.label for one in result.model.predict(tested["text"].tolist())])
                line[which] = "".join("1" if one else "0" for one in answers == tested["label"].to_numpy())
                line[f"{which} chose"] = result.model.record["strategy"]
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(name, seed, {key: str(value).count("1") / len(tested) for key, value in line.items()}, flush=True)


def report(results: Path) -> None:
    """Print taught minus plain by strategy."""
    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    for name in STRATEGIES:
        own = [line for line in lines if line["strategy"] == name]
        taught, plain = (np.array([[int(c) for c in line[key]] for line in own]) for key in ("taught", "plain"))
        one = difference([(taught, plain)])
        print(
            f"{name:9} {taught.mean():.3f} taught on SST-2 first, {plain.mean():.3f} plain: {100 * one.value:+.1f} "
            f"[{100 * one.low:+.1f}, {100 * one.high:+.1f}] points, {one.seeds} seeds"
        )


if __name__ == "__main__":
    main()
