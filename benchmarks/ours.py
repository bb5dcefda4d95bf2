"""Headstart as its own documentation uses it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import headstart as hs
from benchmarks.sets import Rows, root

if TYPE_CHECKING:
    import pandas as pd


def read(given: Rows) -> hs.Dataset:
    """Return the rows as Headstart reads them."""
    return hs.read(source(given), input=column(given), target="label")


def predicted(model: hs.Model, given: Rows) -> np.ndarray:
    """Return the answers (n,) on the test part."""
    inputs = given.test[0] if given.modality == "text" else [Path(file) for file in given.test[0]]
    return np.array([one.label for one in model.predict(inputs)])


def column(given: Rows) -> str | None:
    """Return the name of the input column, where there is a table."""
    return "text" if given.modality == "text" else None


def source(given: Rows) -> pd.DataFrame | Path:
    """Return the rows as a user has them: a table with a split column, or the folder of pictures."""
    import pandas as pd

    if given.modality == "image":
        return root() / given.name
    parts = (("train", given.train), ("test", given.test))
    return pd.concat([pd.DataFrame({"text": part[0], "label": part[1], "split": name}) for name, part in parts])
