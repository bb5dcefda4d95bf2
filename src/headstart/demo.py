"""Real data that arrives with a dependency, laid out as a user's would be."""

from __future__ import annotations

import csv
import importlib
import inspect
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.data.splits import draw
from headstart.errors import StorageError

LABELS_A_CLASS = 10
TESTED_A_CLASS = 40
SCALE = 8
FIELDS = ("cluster", "fft", "integrate", "interpolate", "linalg", "ndimage", "optimize", "signal", "spatial", "stats")
SENTENCES_A_FIELD = 40
SHORTEST = 20


@dataclass(frozen=True)
class Demo:
    """One data set of the demonstration.

    Attributes:
        data: where it was written.
        words: what it is, in a sentence.
        try_it: what to give to `headstart predict` afterwards.
        further: options worth trying next, or nothing.
    """

    data: Path
    words: str
    try_it: str
    further: str = ""


def write_demos(folder: Path) -> list[Demo]:
    """Write the demonstration's data sets under a folder.

    Raises:
        StorageError: the folder cannot be written.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "digits").is_dir():
        raise StorageError(f"{folder} holds other things: it is left as it is.", hint="choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_digits(folder / "digits"), _scipy_sentences(folder / "scipy.csv")]
    except OSError as error:
        raise StorageError(
            f"the demonstration cannot be written to {folder}.", got=str(error.strerror), hint="choose another --out"
        ) from None


def _digits(folder: Path) -> Demo:
    """Write scikit-learn's handwritten digits (Alpaydin and Kaynak 1998) as pictures: ten labels a class."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = sorted(range(len(digits.target)), key=lambda place: draw(str(place), seed=0))
    for label in range(10):
        places = [place for place in order if digits.target[place] == label]
        parts = {"train": places[:LABELS_A_CLASS], "test": places[LABELS_A_CLASS : LABELS_A_CLASS + TESTED_A_CLASS]}
        for part, chosen in parts.items():
            target = folder / part / str(label)
            target.mkdir(parents=True, exist_ok=True)
            for place in chosen:
                _picture(digits.images[place]).save(target / f"{place:04d}.png")
    words = (
        f"handwritten digits inside scikit-learn: {LABELS_A_CLASS} labels a class, {TESTED_A_CLASS} a class to test on"
    )
    return Demo(folder, words, shlex.quote(str(folder / "test" / "7")), further="--cut 16")


def _picture(ink: np.ndarray) -> Image.Image:
    """Return a picture of an 8 × 8 drawing whose ink runs from 0 to 16."""
    small = Image.fromarray(np.rint(ink * 255 / 16).astype(np.uint8))
    return small.resize((small.width * SCALE, small.height * SCALE), Image.Resampling.BICUBIC)


def _scipy_sentences(path: Path) -> Demo:
    """Write what SciPy's functions say they do, and which part of SciPy each belongs to."""
    seen: set[str] = set()
    rows = []
    for field in FIELDS:
        module = importlib.import_module(f"scipy.{field}")
        sentences = {name: _first_sentence(getattr(module, name)) for name in sorted(module.__all__)}
        fresh = [text for text in dict.fromkeys(sentences.values()) if len(text) >= SHORTEST and text not in seen]
        seen.update(fresh)
        chosen = sorted(fresh, key=lambda text: draw(text, seed=0))[:SENTENCES_A_FIELD]
        rows += [(text, field) for text in chosen]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(rows)
    words = "the first sentence of the documentation of SciPy's functions: which part of SciPy is it from?"
    return Demo(path, words, '"Find the smallest value of a function of several variables."')


def _first_sentence(thing: object) -> str:
    if not callable(thing):
        return ""
    lines = (inspect.getdoc(thing) or "").split("\n\n")
    paragraphs = [" ".join(part.split()) for part in lines if "(" not in part.split(" ")[0]]
    return paragraphs[0].split(". ")[0].rstrip(".") if paragraphs else ""
