"""Whatever the user has, as one table: a frame of columns, and the folder that its paths lie in."""

from __future__ import annotations

import csv
import difflib
import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart.data.dataset import Split
from headstart.data.images import looks_like_image
from headstart.errors import DataError
from headstart.wording import printable, user_path

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".json")
SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
FILE, LABEL, SPLIT = "file", "label", "split"
HIDDEN = (".", "__MACOSX", "Thumbs.db", "desktop.ini")
OTHER_SEPARATORS = (";", "\t", "|")
LARGEST_CELL = 2**27


@dataclass(frozen=True)
class Table:
    """Examples as rows.

    Attributes:
        frame: the columns; an image column holds paths, names of files under `root`, pictures or arrays.
        name: what the data set is called.
        root: the folder that file names lie in; None when the user's own paths are taken as they are.
        notes: what was inferred about the layout.
        ignored: files that were passed over.
        is_list: whether the columns were named here, and not by the user.
    """

    frame: pd.DataFrame
    name: str
    root: Path | None = None
    notes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    is_list: bool = False


def open_table(data: object, target: object = None) -> Table:
    """Return the table in a folder, a file, a DataFrame, a `datasets.Dataset` or a list.

    Raises:
        DataError: there is nothing there, or nothing that can be read as examples.
    """
    if isinstance(data, str | Path):
        return _from_path(user_path(data))
    if isinstance(data, pd.DataFrame):
        frame = data.reset_index(drop=True).set_axis([str(name) for name in data.columns], axis=1)
        _require_distinct(list(frame.columns), "the DataFrame")
        return Table(frame, "DataFrame")
    if type(data).__module__.partition(".")[0] == "datasets":
        return _from_datasets(data)
    if isinstance(data, Sequence | np.ndarray):
        return _from_list(list(data), target)
    raise DataError(
        "this is not data that can be read.",
        expected="a folder, a table file, a DataFrame, a datasets.Dataset or a list",
        got=type(data).__name__,
    )


def image_files(folder: Path) -> list[Path]:
    """Return the images under a folder, sorted, hidden files and folders left out."""
    return [path for path in visible_files(folder) if looks_like_image(path.name)]


def visible_files(folder: Path) -> list[Path]:
    """Return the files under a folder, sorted, links followed once; hidden files and folders are left out."""
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith(HIDDEN)]
        if real not in seen:
            found += [Path(place) / name for name in files if not name.startswith(HIDDEN)]
        seen.add(real)
    return sorted(path for path in found if path.is_symlink() or path.is_file())


def read_table_file(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return a table file's columns and notes; cells of CSV and TSV stay text, and only empty ones are missing."""
    try:
        frame, notes = _read_file(path)
    except DataError:
        raise
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name} is not UTF-8 text (byte {error.start}).", hint="save the table as UTF-8 and try again"
        ) from None
    except (ValueError, csv.Error, OSError, KeyError, TypeError, RecursionError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"{path.name} cannot be read as {path.suffix[1:].upper()}.",
            got=first,
            hint="check that the file is whole and that its suffix fits its content",
        ) from None
    if frame.empty:
        raise DataError(f"{path.name} has no rows.", expected="a header and rows")
    frame.columns = [str(column).strip() for column in frame.columns]
    _require_distinct(list(frame.columns), path.name)
    return frame, notes


def _read_file(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return pd.read_parquet(path), ()
    if suffix in (".jsonl", ".ndjson"):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return _records([_json(line, number) for number, line in enumerate(lines, start=1) if line.strip()]), ()
    if suffix == ".json":
        return _records(json.loads(path.read_text(encoding="utf-8-sig"))), ()
    return _read_separated(path, "\t" if suffix == ".tsv" else ",")


def _json(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None


def _read_separated(path: Path, separator: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read CSV or TSV strictly: a row with more cells than the header is an error, one with fewer lacks the rest."""
    csv.field_size_limit(LARGEST_CELL)
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
        others = [mark for mark in OTHER_SEPARATORS if mark in header]
        notes: tuple[str, ...] = ()
        if separator not in header and others:
            separator = others[0]
            notes = (f"the cells of {path.name} are separated by {separator!r}",)
        file.seek(0)
        rows = csv.reader(file, delimiter=separator, strict=True)
        names = next(rows, [])
        if not names:
            raise DataError(f"{path.name} is empty.", expected="a header and rows")
        _require_distinct(names, path.name)
        cells = [_cells(row, names, path.name, rows.line_num) for row in rows if row]
    return pd.DataFrame(cells, columns=names, dtype=object), notes


def _cells(row: list[str], names: list[str], file: str, line: int) -> list[str | None]:
    if len(row) > len(names):
        raise DataError(
            f"line {line} of {file} cannot be read as CSV: it has more cells than the header.",
            expected=f"{len(names)} cells ({', '.join(names[:4])})",
            got=str(len(row)),
            hint='put texts that hold the separator in double quotes: "good, but long",positive',
        )
    return [cell or None for cell in row] + [None] * (len(names) - len(row))


def _records(rows: Any) -> pd.DataFrame:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("a record that is not an object with named fields")
    return _from_rows(rows)


def _from_rows(rows: Sequence[Mapping[Any, Any]]) -> pd.DataFrame:
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    texts = [{str(name): value for name, value in row.items()} for row in rows]
    return _frame({name: [row.get(name) for row in texts] for name in names})


def _require_distinct(names: Sequence[str], file: str) -> None:
    repeated = [name for name, number in Counter(name.strip() for name in names).items() if number > 1]
    if repeated:
        raise DataError(f"{file} has two columns named {repeated[0]!r}.", expected="every column named once")


def _from_path(path: Path) -> Table:
    if path.is_dir():
        return _from_folder(path)
    if not path.exists():
        raise DataError(f"{path} does not exist.", expected="a folder or a table file", hint=_similar(path))
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise DataError(
            f"{path.name} is not a table.",
            expected=f"a folder, or a file ending in {', '.join(TABLE_SUFFIXES)}",
            got=path.suffix or "no suffix",
        )
    frame, notes = read_table_file(path)
    return Table(frame, path.stem, path.parent, notes)


def _similar(path: Path) -> str:
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, siblings, n=1)
    return f"did you mean {path.parent / close[0]}?" if close else "check the spelling, or give a full path"


def _from_folder(root: Path) -> Table:
    name = root.resolve().name
    for suffix in TABLE_SUFFIXES:
        metadata = next((path for path in root.iterdir() if path.name.lower() == f"metadata{suffix}"), root / "-")
        if metadata.is_file():
            frame, notes = read_table_file(metadata)
            return Table(frame, name, root, (*notes, f"columns come from {metadata.name}"))
    files = visible_files(root)
    images = [path for path in files if looks_like_image(path.name)]
    if not images:
        return _from_table_folder(root, name)
    ignored = tuple(printable(str(path.relative_to(root))) for path in files if not looks_like_image(path.name))
    parts = [path.relative_to(root).parts for path in images]
    return _class_folders(root, name, images, ignored, depth=int(_is_split_layout(parts)))


def split_of(name: str) -> Split | None:
    """Return the split a folder is named after: `train`, `Val`, `seg_test`; None where it is not."""
    words = re.split(r"[_\-. ]", name.lower())
    return SPLIT_NAMES.get(name.lower()) or SPLIT_NAMES.get(words[-1])


def _is_split_layout(parts: list[tuple[str, ...]]) -> bool:
    """Two splits of class folders; a class that is merely called "train" holds its pictures itself."""
    named = {part[0] for part in parts if len(part) > 1 and split_of(part[0])}
    return len({split_of(top) for top in named}) > 1 and all(len(part) > 2 for part in parts if part[0] in named)


def _class_folders(root: Path, name: str, images: list[Path], ignored: tuple[str, ...], *, depth: int) -> Table:
    rows, loose = [], []
    for path in images:
        parts = path.relative_to(root).parts
        split = split_of(parts[0]) if depth else "train"
        if len(parts) < depth + 2 or split is None:
            loose.append(printable(str(path.relative_to(root))))
            continue
        rows.append({FILE: "/".join(parts), LABEL: printable(parts[depth]), SPLIT: split})
    if not rows:
        raise DataError(
            f"the images in {root} carry no label.",
            expected="a folder a class (rose/1.jpg), or a metadata.csv that names files and labels",
            got=f"{len(loose)} images without a class folder",
        )
    frame = _from_rows(rows)
    frame = frame if depth else frame.drop(columns=SPLIT)
    return Table(frame, name, root, ("labels are the folder names",), (*ignored, *loose))


def _from_table_folder(root: Path, name: str) -> Table:
    """A folder of tables: a single one, or one a split (train.csv, test.csv)."""
    tables = [path for path in sorted(root.iterdir()) if path.is_file() and path.suffix.lower() in TABLE_SUFFIXES]
    if len(tables) == 1:
        frame, notes = read_table_file(tables[0])
        return Table(frame, name, root, (*notes, f"read {tables[0].name}"))
    by_split = {path.stem.lower(): path for path in tables if path.stem.lower() in SPLIT_NAMES}
    if len(by_split) == len(tables) and "train" in by_split:
        frames = [read_table_file(path)[0].assign(**{SPLIT: stem}) for stem, path in by_split.items()]
        return Table(pd.concat(frames, ignore_index=True), name, root, ("the splits are the files' names",))
    raise DataError(
        f"{root} holds no images" + (f" and {len(tables)} tables." if tables else " and no table."),
        expected="class folders of images, a metadata.csv beside images, or one table",
        got=", ".join(path.name for path in tables[:4]) or "nothing readable",
        hint=f"name one table, as in {root / tables[0].name}" if tables else "check that this is the right folder",
    )


def _from_list(rows: list[Any], target: Any) -> Table:
    if not rows:
        raise DataError("the list is empty.", expected="examples")
    is_records = all(isinstance(row, Mapping) for row in rows)
    are_values = isinstance(target, Sequence | np.ndarray | pd.Series) and not isinstance(target, str)
    if are_values and is_records:
        names = {str(name) for row in rows for name in row}
        are_values = len(target) == len(rows) and not {str(one).split(":")[0] for one in target} & names
    if are_values:
        if len(target) != len(rows):
            raise DataError(
                "inputs and targets differ in number.", expected=f"{len(rows)} targets", got=str(len(target))
            )
        return Table(_frame({"input": rows, LABEL: list(target)}), "list", is_list=True)
    if is_records:
        return Table(_from_rows(rows), "list")
    if all(isinstance(row, tuple) and len(row) == 2 for row in rows):
        pairs = _frame({"input": [row[0] for row in rows], LABEL: [row[1] for row in rows]})
        return Table(pairs, "list", is_list=True)
    raise DataError(
        "the list carries no labels.",
        expected="pairs (input, label), dictionaries, or inputs with target=[labels]",
        hint="hs.read(inputs, target=labels)",
    )


def _frame(columns: Mapping[Any, Sequence[Any]]) -> pd.DataFrame:
    """Build a frame whose cells stay the objects they are: pictures and arrays are not unpacked."""
    return pd.DataFrame({str(name): pd.Series(list(values), dtype=object) for name, values in columns.items()})


def _from_datasets(data: Any) -> Table:
    """Read a `datasets.Dataset`, or a `DatasetDict` whose keys are splits."""
    if isinstance(data, Mapping):
        unknown = [name for name in data if name not in SPLIT_NAMES]
        if unknown:
            raise DataError(
                f"the split {unknown[0]!r} is unknown.", expected=", ".join(SPLIT_NAMES), got=", ".join(data)
            )
        frames = [_dataset_frame(part).assign(**{SPLIT: name}) for name, part in data.items()]
        return Table(pd.concat(frames, ignore_index=True), "DatasetDict")
    return Table(_dataset_frame(data), str(getattr(data.info, "dataset_name", None) or "Dataset"))


def _dataset_frame(data: Any) -> pd.DataFrame:
    columns: dict[str, list[Any]] = {}
    for name, feature in data.features.items():
        cells = list(data[name])
        names = getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
        columns[name] = [_class_name(cell, names) for cell in cells] if names else cells
    return _frame(columns)


def _class_name(cell: Any, names: list[str]) -> Any:
    """Return the name of a class, or of each in a list; -1 is how `datasets` writes that there is none."""
    if isinstance(cell, list):
        return [_class_name(one, names) for one in cell]
    return None if cell is None or cell < 0 else names[cell]
