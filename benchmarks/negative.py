"""Negative transfer: sources that are too far away, and what `fit` saves then.

Run `python -m benchmarks.negative`: every split that `results/negative.jsonl` lacks is run and appended.
Texts: the deliberately wrong source (`minilm_l6_sre`) on sentiment.
Pictures: ImageNet weights on noise, in which the class is a tint far too faint for an eye; no object is to be seen.
The accuracy of the saved model is held against the best of the contenders without transfer, on the test examples.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

import headstart as hs
from benchmarks.sets import root
from headstart.adaptation import adapt_to
from headstart.checkpoints import Checkpoints
from headstart.ground import begin
from headstart.paired import difference_of_means
from headstart.plan import default_strategies
from headstart.progress import silent

RESULTS = Path(__file__).parent / "results" / "negative.jsonl"
SPLITS = range(20)
ROWS, TESTED = 300, 600
PICTURES, PICTURES_TESTED = 210, 200
TINT = 0.04
"""Of the spread of the noise: what a histogram of colours sees, and a network that was taught objects does not."""


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--only", nargs="*", default=["sentiment", "noise"])
    parser.add_argument("--splits", type=int, default=len(SPLITS))
    parser.add_argument("--report", action="store_true", help="only say what the results show")
    chosen = parser.parse_args()
    if not chosen.report:
        done = [json.loads(line) for line in chosen.results.read_text().splitlines()] if chosen.results.exists() else []
        for split in range(chosen.splits):
            for name in chosen.only:
                if (name, split) not in [(row["target"], row["split"]) for row in done]:
                    row = {"target": name, "split": split, **_run(name, split)}
                    with chosen.results.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")
                    print(row, flush=True)
    report(chosen.results)


def report(results: Path) -> None:
    """Print the saved model's accuracy minus the best without transfer, with an interval over splits."""
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    for name in dict.fromkeys(row["target"] for row in rows):
        own = [row for row in rows if row["target"] == name]
        saved, best = (np.array([row[key] for row in own]) for key in ("saved", "best_without"))
        gap = difference_of_means(saved, best)
        words = {word: sum(row["verdict"] == word for row in own) for word in {row["verdict"] for row in own}}
        chosen = {word: sum(row["strategy"] == word for row in own) for word in {row["strategy"] for row in own}}
        print(
            f"{name}: saved {saved.mean():.3f}, best without {best.mean():.3f}: {100 * gap.value:+.1f} "
            f"[{100 * gap.low:+.1f}, {100 * gap.high:+.1f}] points over {len(own)} splits; {words}; saved: {chosen}"
        )


def _run(name: str, split: int) -> dict:
    train, test, backbone = _sentiment(split) if name == "sentiment" else _noise(split)
    rows = [(*row, "train") for row in train] + [(*row, "test") for row in test]
    table = pd.DataFrame(rows, columns=["x", "label", "split"])
    if name == "sentiment":
        result = hs.fit(table, input="x", target="label", backbone=backbone, seed=split)
    else:
        result = hs.fit(_folder(train, test), backbone=backbone, seed=split)
    data = result.proof.tested.data
    ground = begin(hs.read(train), None, backbone, split, Checkpoints(), silent)
    without = []
    for arm in (one for one in default_strategies(ground.backbone, len(train), ground.task) if not one.transfers):
        model = adapt_to(ground, [arm]).model
        said = model.task.decide(model.outputs(data.inputs))
        without.append(float((said == model.task.encode(data.values)).mean()))
    return {
        "saved": result.evaluation.metrics["accuracy"].value,
        "best_without": max(without),
        "without": without,
        "verdict": result.proof.verdict.word if result.proof.verdict else "",
        "strategy": result.model.record["strategy"],
        "seconds": result.seconds["total"],
    }


def _sentiment(split: int) -> tuple[list[tuple], list[tuple], str]:
    table = pd.read_csv(root() / "sst2" / "sst2.csv").sample(ROWS + TESTED, random_state=split)
    rows = list(zip(table["text"], table["label"], strict=True))
    return rows[:ROWS], rows[ROWS:], "minilm_l6_sre"


def _noise(split: int) -> tuple[list[tuple], list[tuple], str]:
    dice = np.random.default_rng(split)
    made = []
    for place in range(PICTURES + PICTURES_TESTED):
        reddish = place % 2
        grain = dice.normal(size=(96, 96, 3))
        grain[..., 0] += TINT * (reddish - 0.5)
        made.append((np.clip(128 + 40 * grain, 0, 255).astype(np.uint8), ("plain", "reddish")[reddish]))
    return made[:PICTURES], made[PICTURES:], "efficientnet_lite0"


def _folder(train: list[tuple], test: list[tuple]) -> str:
    import tempfile

    from PIL import Image

    folder = Path(tempfile.mkdtemp())
    for part, rows in (("train", train), ("test", test)):
        for place, (picture, label) in enumerate(rows):
            file = folder / part / label / f"{place}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(file)
    return str(folder)


if __name__ == "__main__":
    main()
