"""The rows that every contender gets: the same training examples, the same test examples."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

ROWS = 1000
"""Training rows of a text set."""

IMAGES = ("flowers5", "weather4", "cifar10_small", "hymenoptera")
PHOTOGRAPHS = ("hymenoptera", "flowers5", "weather4", "cat_breeds5", "chest_xray")
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

    def thinned(self, n: int) -> Rows:
        """Return about n rows of each part, evenly spaced, so that every class stays."""
        return Rows(self.name, self.modality, _every(self.train, n), _every(self.test, n))


def root() -> Path:
    """Return the folder of real data sets: HEADSTART_DATA, or shared/data beside the checkout."""
    return Path(os.environ.get("HEADSTART_DATA", Path(__file__).parents[2] / "shared" / "data"))


def rows(name: str, seed: int, *, limit: int | None = None) -> Rows:
    """Return a set's rows: all training pictures, or 1,000 training texts drawn with the seed; the given test part.

    Another `limit` draws another number of texts.
    """
    folder = root() / name
    if (folder / "train").is_dir():
        tested = next(part for part in ("test", "val") if (folder / part).is_dir())
        return Rows(name, "image", _pictures(folder / "train"), _pictures(folder / tested))
    import pandas as pd

    table = pd.read_csv(next(folder.glob("*.csv")))
    train = table[table["split"] == "train"]
    if len(train) > ROWS:
        train = train.sample(ROWS if limit is None else min(limit, len(train)), random_state=seed)
    return Rows(name, "text", _texts(train), _texts(table[table["split"] == "test"]))


def photographs() -> list[str]:
    """Return every photograph of the sets of photographs, in order of path: none is there twice."""
    return [file for name in PHOTOGRAPHS for file in _pictures(root() / name)[0]]


def stride(n: int, wanted: int) -> int:
    """Return every how many of n rows are kept, so that about as many as wanted are."""
    return max(1, n // wanted)


def _every(part: tuple[list[str], list[str]], n: int) -> tuple[list[str], list[str]]:
    step = stride(len(part[0]), n)
    return part[0][::step], part[1][::step]


def _pictures(folder: Path) -> tuple[list[str], list[str]]:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    return [str(file) for file in files], [file.parent.name for file in files]


def _texts(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    return table["text"].astype(str).tolist(), table["label"].astype(str).tolist()
