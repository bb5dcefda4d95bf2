"""New inputs for a model: files, folders, tables, texts, pictures, or a list of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from headstart.data.columns import choose_columns, is_missing, require_column
from headstart.data.dataset import Modality
from headstart.data.images import channels_of, open_image
from headstart.data.reading import resolve_inside
from headstart.data.tables import TABLE_SUFFIXES, image_files, read_table_file
from headstart.errors import DataError

TEXT_FILES = (".txt", ".text", ".md")


@dataclass(frozen=True)
class Given:
    """One input: what it is called, and its value or why it cannot be read."""

    name: str
    value: Any = None
    error: str | None = None

    def checked(self, channels: int) -> Given:
        """Return this input with an error if it cannot be opened, or has another channel count than `channels`."""
        if self.error is not None or isinstance(self.value, str):
            return self
        try:
            open_image(self.value, hint_size=64)
            found = channels_of(self.value)
        except DataError as error:
            return replace(self, error=error.problem)
        if channels and found != channels:
            return replace(self, error=f"{self.name} has {found} channels; the model takes {channels}.")
        return self


def gather(inputs: object, modality: Modality, columns: Sequence[str]) -> list[Given]:
    """Return every input, opened as far as its kind: a folder gives its images, a table its rows, a file its text.

    For texts a string that is no file is a text; for images it is a file that may not exist.

    Raises:
        DataError: there is no input at all, or a table lacks the columns that the model reads.
    """
    several = isinstance(inputs, Sequence | pd.Series) and not isinstance(inputs, str)
    found = [one for item in (list(inputs) if several else [inputs]) for one in _one(item, modality, columns)]  # type: ignore[call-overload]
    if not found:
        raise DataError("there is nothing to predict.", expected="files, folders, texts, or - for standard input")
    return found


def _one(item: object, modality: Modality, columns: Sequence[str]) -> list[Given]:
    if isinstance(item, pd.DataFrame):
        return _rows(item, None, modality, columns)
    if isinstance(item, str | Path):
        return _named(item, modality, columns)
    if isinstance(item, Image.Image | np.ndarray) and modality == "image":
        return [Given("a picture", item)]
    return [Given(repr(item)[:40], error=f"a {type(item).__name__} is no {modality}.")]


def _named(item: str | Path, modality: Modality, columns: Sequence[str]) -> list[Given]:
    path = _as_path(item)
    if path is not None and path.is_dir():
        return _folder(path, modality)
    if path is not None and path.suffix.lower() in TABLE_SUFFIXES:
        return _rows(read_table_file(path)[0], path.parent, modality, columns)
    if modality == "text":
        return [_text(item, path)]
    return [Given(str(item), Path(item)) if str(item).strip() else Given("(empty)", error="no file is named.")]


def _as_path(item: str | Path) -> Path | None:
    """Return an existing path; a string that is blank, too long or too odd to be one is none."""
    if not str(item).strip():
        return None
    try:
        path = Path(item).expanduser()
        return path if path.exists() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _folder(folder: Path, modality: Modality) -> list[Given]:
    if modality == "image":
        paths = image_files(folder)
    else:
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in TEXT_FILES and path.is_file())
    if not paths:
        kind = "images" if modality == "image" else "text files (" + " ".join(TEXT_FILES) + ")"
        return [Given(str(folder), error=f"{folder} holds no {kind}.")]
    return [Given(str(path), path) if modality == "image" else _text(path, path) for path in paths]


def _text(item: str | Path, path: Path | None) -> Given:
    """Read a text file, or take the string for a text; what looks like a file name and is none is an error."""
    if path is None:
        words = str(item).strip()
        if not words:
            return Given("(empty)", error="the text is empty.")
        looks_like_file = isinstance(item, Path) or (
            len(words.split()) == 1 and words.endswith((*TEXT_FILES, *TABLE_SUFFIXES))
        )
        return Given(words, error=f"{words} does not exist.") if looks_like_file else Given(words, words)
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError:
        return Given(str(path), error=f"{path.name} is not UTF-8 text.")
    except OSError as error:
        return Given(str(path), error=f"{path.name} cannot be read ({error.strerror}).")
    return Given(str(path), text) if text else Given(str(path), error=f"{path.name} is empty.")


def _rows(frame: pd.DataFrame, root: Path | None, modality: Modality, columns: Sequence[str]) -> list[Given]:
    names = list(columns)
    if not names:
        names = [frame.columns[0]] if len(frame.columns) == 1 else list(choose_columns(frame, (), None).inputs)
    for name in names:
        require_column(frame, name)
    found = []
    for index, cells in enumerate(zip(*(frame[name] for name in names), strict=True), start=1):
        kept = [cell for cell in cells if not is_missing(cell)]
        if not kept:
            found.append(Given(f"row {index}", error=f"row {index} is empty."))
        elif modality == "text":
            found.append(Given(f"row {index}", "\n".join(str(cell).strip() for cell in kept)))
        else:
            found.append(_row_picture(kept[0], index, root))
    return found


def _row_picture(cell: Any, index: int, root: Path | None) -> Given:
    if not isinstance(cell, str | Path):
        return Given(f"row {index}", cell)
    try:
        return Given(str(cell), resolve_inside(cell, root))
    except DataError as error:
        return Given(str(cell), error=error.problem)
