"""Texts as answers: a summary with what it is of, and arrays of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np


class Written(str):
    """A text that somebody, or a model, wrote about another one; otherwise a string as any.

    Attributes:
        source: the text that it is about; "" where it is not known.
        places: (k,) of the sentences of the source that it is put together from, from 0 on; None where it was written.
    """

    source: str
    places: tuple[int, ...] | None

    def __new__(cls, text: str, source: str = "", places: tuple[int, ...] | None = None) -> Written:
        """Return the text with what is known of it."""
        own = super().__new__(cls, text)
        own.source, own.places = source, places
        return own


def as_array(texts: Sequence[object]) -> np.ndarray:
    """Return texts as an array (n,) of objects: whatever each is, it stays."""
    array = np.empty(len(texts), dtype=object)
    array[:] = list(texts)
    return array


def packed(texts: np.ndarray) -> np.ndarray:
    """Return an array of texts as bytes (m,), which a checkpoint can hold; what they are about is not kept."""
    rows = [[str(text), getattr(text, "places", None)] for text in texts.tolist()]
    return np.frombuffer(json.dumps(rows).encode(), dtype=np.uint8).copy()


def unpacked(stored: np.ndarray) -> np.ndarray:
    """Return the array that `packed` was given."""
    rows = json.loads(stored.tobytes().decode())
    return as_array([Written(text, "", None if places is None else tuple(places)) for text, places in rows])
