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
from headstart.data.dataset import Dataset, Finding, Modality
from headstart.data.histories import LEAST, History, rhythm
from headstart.data.images import channels_of, open_image, perceptual_hash
from headstart.data.reading import as_picture
from headstart.data.series import histories_in
from headstart.data.tables import TABLE_SUFFIXES, image_files, read_table_file, visible_files
from headstart.errors import DataError, OptionError
from headstart.wording import printable, user_path

TEXT_FILES = (".txt", ".text", ".md")


@dataclass(frozen=True)
class Given:
    """One input: what it is called, its value or why it cannot be read, and what was wrong with where it stood."""

    name: str
    value: Any = None
    error: str | None = None
    findings: tuple[Finding, ...] = ()

    def checked(self, channels: int) -> Given:
        """Return this input with an error if it cannot be opened, or has another channel count than `channels`."""
        if self.error is not None or isinstance(self.value, str | History):
            return self
        try:
            open_image(self.value, hint_size=64)
            found = channels_of(self.value)
        except DataError as error:
            return replace(self, error=error.problem)
        if channels not in (0, 1, found):
            return replace(self, error=f"{self.name} has {found} channels; the model takes {channels}.")
        return self


def gather(inputs: object, modality: Modality, columns: Sequence[str]) -> list[Given]:
    """Return every input, opened as far as its kind: a folder gives its images, a table its rows, a file its text.

    For images a string is a file's name.
    For texts a string in a list is a text and a `Path` is a file; a string on its own is a file where there is one.

    Raises:
        DataError: there is no input at all.
    """
    if modality == "series":
        return _series(inputs, columns)
    several = isinstance(inputs, Sequence | pd.Series) and not isinstance(inputs, str | bytes)
    items: list[object] = list(inputs) if several else [as_file_or_text(inputs)]  # type: ignore[call-overload]
    found = [one for item in items for one in _one(item, modality, columns)]
    if not found:
        raise DataError("there is nothing to predict.", expected="files, folders, texts, or - for standard input")
    return found


def inputs_like(source: object, modality: Modality, columns: Sequence[str]) -> tuple[list[Any], int]:
    """Return texts, or the perceptual hashes of pictures, from wherever they stand: what others may be the same as.

    Beside them how many could not be read.

    Args:
        source: files, folders, tables, texts or pictures, as `gather` takes them, or a data set that was read.
        modality: "image" or "text".
        columns: of a table; inferred where it has none of these.

    Raises:
        DataError: there is nothing that can be read.
    """
    source = source.inputs if isinstance(source, Dataset) else source
    if isinstance(source, Sequence) and not len(source):
        raise DataError("no examples that a source learned from were given.", expected=f"{modality}s", got="none")
    try:
        given = gather(source, modality, columns)
    except OptionError:
        given = gather(source, modality, ())
    checked = [one.checked(0) for one in given]
    readable = [one.value for one in checked if one.error is None]
    if not readable:
        raise DataError(
            f"nothing that a source learned from can be read as {modality}s.", got=checked[0].error or "nothing"
        )
    if modality == "image":
        readable = [perceptual_hash(open_image(one, hint_size=64)) for one in readable]
    return readable, len(checked) - len(readable)


def _series(inputs: object, columns: Sequence[str]) -> list[Given]:
    """Return histories: every series of a table up to its end, or numbers in order.

    Args:
        inputs: a table's file or frame, a `History`, numbers, or a list of any of these.
        columns: those of series, time and target.
    """
    are_numbers = isinstance(inputs, Sequence) and inputs and all(isinstance(one, int | float) for one in inputs)
    if isinstance(inputs, Sequence) and not are_numbers and not isinstance(inputs, str | bytes):
        found = [one for item in inputs for one in _series(item, columns)]
        if not found:
            raise DataError("there is nothing to forecast.", expected="a table of series, or lists of numbers")
        return found
    if isinstance(inputs, str | Path):
        return _series_file(user_path(inputs), columns)
    if isinstance(inputs, pd.DataFrame):
        histories, findings = histories_in(inputs, columns[:2], columns[-1])
        return [replace(_known(one), findings=findings) for one in histories]
    try:
        return [_known(inputs if isinstance(inputs, History) else History.of(inputs))]
    except (TypeError, ValueError):
        return [Given(repr(inputs)[:40], error=f"this model reads series, not a {type(inputs).__name__}.")]


def _series_file(path: Path, columns: Sequence[str]) -> list[Given]:
    name = printable(str(path))
    if not path.is_file() or path.suffix.lower() not in TABLE_SUFFIXES:
        return [Given(name, error=f"{path.name} is no table of series.")]
    try:
        return _series(read_table_file(path)[0], columns)
    except (DataError, OptionError) as error:
        return [Given(name, error=error.problem)]


def _known(history: History) -> Given:
    if history.values.ndim != 1 or len(history.values) < LEAST:
        return Given(history.name, error=f"{history.name} has fewer than {LEAST} values.")
    if not np.isfinite(history.values).all():
        return Given(history.name, error=f"{history.name} holds something that is no number.")
    return Given(history.name, history)


def beside_learned(given: Given, frequencies: str) -> Given:
    """Return a history with a finding where its frequency is not among those that were learned from, in words."""
    if given.error is not None or not given.value.end:
        return given
    own = rhythm(given.value.frequency)
    if own in frequencies.split(", "):
        return given
    words = f"what is asked is {own}; what was learned from is {frequencies}"
    return replace(given, findings=(*given.findings, Finding("other_frequency", words)))


def as_file_or_text(item: object) -> object:
    """Return a string as a `Path` where it names a file or looks as if it should; anything else as it is."""
    if not isinstance(item, str) or not item.strip():
        return item
    looks_like_file = len(item.split()) == 1 and item.lower().endswith((*TEXT_FILES, *TABLE_SUFFIXES))
    try:
        return user_path(item) if looks_like_file or user_path(item).exists() else item
    except OptionError:
        return item


def _one(item: object, modality: Modality, columns: Sequence[str]) -> list[Given]:
    if isinstance(item, pd.DataFrame):
        return _rows(item, None, modality, columns)
    if isinstance(item, Path) or (isinstance(item, str) and modality == "image" and item.strip()):
        return _file(Path(item), modality, columns)
    if isinstance(item, str):
        words = printable(item).strip()
        fault = "no file is named." if modality == "image" else "the text is empty."
        return [Given(words, words)] if words else [Given("(empty)", error=fault)]
    if isinstance(item, Image.Image | np.ndarray | bytes) and modality == "image":
        return [Given("a picture", item)]
    return [Given(repr(item)[:40], error=f"this model reads {modality}s, not a {type(item).__name__}.")]


def _file(path: Path, modality: Modality, columns: Sequence[str]) -> list[Given]:
    name = printable(str(path))
    try:
        if path.is_dir():
            return _folder(path, modality)
        if path.suffix.lower() in TABLE_SUFFIXES and path.is_file():
            return _rows(read_table_file(path)[0], path.parent, modality, columns)
    except DataError as error:
        return [Given(name, error=error.problem)]
    except OSError as error:
        return [Given(name, error=f"{name} cannot be read ({error.strerror}).")]
    return [Given(name, path) if modality == "image" else _text(path)]


def _folder(folder: Path, modality: Modality) -> list[Given]:
    if modality == "image":
        paths = image_files(folder)
    else:
        paths = [path for path in visible_files(folder) if path.suffix.lower() in TEXT_FILES]
    if not paths:
        kind = "images" if modality == "image" else "text files (" + " ".join(TEXT_FILES) + ")"
        return [Given(printable(str(folder)), error=f"{folder} holds no {kind}.")]
    return [Given(printable(str(path)), path) if modality == "image" else _text(path) for path in paths]


def _text(path: Path) -> Given:
    name = printable(str(path))
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except FileNotFoundError:
        return Given(name, error=f"{name} does not exist.")
    except (UnicodeDecodeError, ValueError):
        return Given(name, error=f"{name} is not UTF-8 text.")
    except OSError as error:
        return Given(name, error=f"{name} cannot be read ({error.strerror}).")
    return Given(name, text) if text else Given(name, error=f"{name} is empty.")


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
            found.append(Given(f"row {index}", printable("\n".join(str(cell).strip() for cell in kept))))
        else:
            found.append(_row_picture(kept[0], index, root))
    return found


def _row_picture(cell: Any, index: int, root: Path | None) -> Given:
    name = printable(str(cell)) if isinstance(cell, str | Path) else f"row {index}"
    try:
        picture = as_picture(cell, root)
    except DataError as error:
        return Given(name, error=error.problem)
    return Given(name, picture) if picture is not None else Given(name, error=f"{name} is empty.")
