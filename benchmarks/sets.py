"""The rows that every contender gets: the same training examples, the same test examples."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

ROWS = 1000
"""Training rows of a text set."""

IMAGES = ("flowers5", "weather4", "cifar10_small", "hymenoptera")
TEXTS = ("sst2", "trec", "customer_reviews", "medical_abstracts")
SUFFIXES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True)
class Rows:
    """One data set as every contender sees it.

    Attributes:
        name: of the set.
        modality: "image" or "text".
        train, test: inputs (paths or texts) and labels.
    """

    name: str
    modality: str
    train: tuple[list[str], list[str]]
    test: tuple[list[str], list[str]]

    @property
    def labels(self) -> list[str]:
        """The labels in sorted order."""
        return sorted(set(self.train[1]))


def root() -> Path:
    """Return the folder of real data sets: HEADSTART_DATA, or shared/data beside the checkout."""
    return Path(os.environ.get("HEADSTART_DATA", Path(__file__).parents[2] / "shared" / "data"))


def rows(name: str, seed: int) -> Rows:
    """Return a set's rows: all training pictures, or 1,000 training texts drawn with the seed; the given test part."""
    folder = root() / name
    if (folder / "train").is_dir():
        tested = next(part for part in ("test", "val") if (folder / part).is_dir())
        return Rows(name, "image", _pictures(folder / "train"), _pictures(folder / tested))
    table = pd.read_csv(next(folder.glob("*.csv")))
    train = table[table["split"] == "train"]
    if len(train) > ROWS:
        train = train.sample(ROWS, random_state=seed)
    return Rows(name, "text", _texts(train), _texts(table[table["split"] == "test"]))


def _pictures(folder: Path) -> tuple[list[str], list[str]]:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    return [str(file) for file in files], [file.parent.name for file in files]


def _texts(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    return table["text"].astype(str).tolist(), table["label"].astype(str).tolist()
