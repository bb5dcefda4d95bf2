"""Whatever the user has, as one table: a frame of columns, and the folder that its paths lie in."""

from __future__ import annotations

import difflib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart.data.dataset import Split
from headstart.data.images import looks_like_image
from headstart.errors import DataError

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


@dataclass(frozen=True)
class Table:
    """Examples as rows.

    Attributes:
        frame: the columns; an image column holds paths, names of files under `root`, pictures or arrays.
        name: what the data set is called.
        root: the folder that file names lie in; None when the user's own paths are taken as they are.
        notes: what was inferred about the layout.
        ignored: files that were passed over.
    """

    frame: pd.DataFrame
    name: str
    root: Path | None = None
    notes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = field(default=())


def open_table(data: object, target: object = None) -> Table:
    """Return the table in a folder, a file, a DataFrame, a `datasets.Dataset` or a list.

    Raises:
        DataError: there is nothing there, or nothing that can be read as examples.
    """
    if isinstance(data, str | Path):
        return _from_path(Path(data).expanduser())
    if isinstance(data, pd.DataFrame):
        return Table(data.reset_index(drop=True), "DataFrame")
    if type(data).__module__.partition(".")[0] == "datasets":
        return _from_datasets(data)
    if isinstance(data, Mapping):
        return Table(_frame(data), "dictionary")
    if isinstance(data, Sequence | np.ndarray):
        return _from_list(list(data), target)
    raise DataError(
        "this is not data that can be read.",
        expected="a folder, a table file, a DataFrame, a datasets.Dataset or a list",
        got=type(data).__name__,
    )


def image_files(folder: Path) -> list[Path]:
    """Return the images under a folder, sorted, hidden files and folders left out."""
    return [path for path in _visible(folder) if looks_like_image(path.name)]


def read_table_file(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return a table file's columns and notes; cells of CSV and TSV stay text, and only empty ones are missing."""
    try:
        frame, notes = _read_file(path)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name} is not UTF-8 text (byte {error.start}).", hint="save the table as UTF-8 and try again"
        ) from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{path.name} is empty.", expected="a header and rows") from None
    except (ValueError, pd.errors.ParserError, OSError, KeyError, TypeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"{path.name} cannot be read as {path.suffix[1:].upper()}.",
            got=first,
            hint="check that the file is whole and that its suffix fits its content",
        ) from None
    if frame.empty:
        raise DataError(f"{path.name} has no rows.", expected="a header and rows")
    frame.columns = [str(column).strip() for column in frame.columns]
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise DataError(f"{path.name} has two columns named {repeated[0]!r}.", expected="every column named once")
    return frame, notes


def _read_file(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    if path.suffix == ".parquet":
        return pd.read_parquet(path), ()
    if path.suffix in (".jsonl", ".ndjson"):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return pd.DataFrame([json.loads(line) for line in lines if line.strip()]), ()
    if path.suffix == ".json":
        return pd.DataFrame(json.loads(path.read_text(encoding="utf-8-sig"))), ()
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    separator, notes = ("\t" if path.suffix == ".tsv" else ","), ()
    if path.suffix == ".csv" and "," not in header and ";" in header:
        separator, notes = ";", (f"{path.name} is separated by semicolons",)  # type: ignore[assignment]
    frame = pd.read_csv(
        path, sep=separator, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig", index_col=False
    )
    return frame, notes


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
        metadata = root / f"metadata{suffix}"
        if metadata.is_file():
            frame, notes = read_table_file(metadata)
            return Table(frame, name, root, (*notes, f"columns come from {metadata.name}"))
    images = image_files(root)
    if not images:
        return _from_table_folder(root, name)
    ignored = tuple(str(path.relative_to(root)) for path in _visible(root) if not looks_like_image(path.name))
    parts = [path.relative_to(root).parts for path in images]
    if _is_split_layout(parts):
        return _class_folders(root, name, images, ignored, depth=1)
    return _class_folders(root, name, images, ignored, depth=0)


def _is_split_layout(parts: list[tuple[str, ...]]) -> bool:
    """`train/class/…` beside `val|test/class/…`; a class that is called "train" is not a split."""
    tops = {part[0].lower() for part in parts if len(part) > 1}
    return "train" in tops and tops <= set(SPLIT_NAMES) and any(len(part) > 2 for part in parts)


def _class_folders(root: Path, name: str, images: list[Path], ignored: tuple[str, ...], *, depth: int) -> Table:
    rows, loose = [], []
    for path in images:
        parts = path.relative_to(root).parts
        if len(parts) < depth + 2:
            loose.append(str(path.relative_to(root)))
            continue
        rows.append({FILE: "/".join(parts), LABEL: parts[depth], SPLIT: SPLIT_NAMES[parts[0].lower()] if depth else ""})
    if not rows:
        raise DataError(
            f"the images in {root} carry no label.",
            expected="a folder a class (rose/1.jpg), or a metadata.csv that names files and labels",
            got=f"{len(loose)} images without a class folder",
        )
    frame = pd.DataFrame(rows)
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


def _from_list(rows: list[Any], target: object) -> Table:
    if not rows:
        raise DataError("the list is empty.", expected="examples")
    if isinstance(target, Sequence | np.ndarray | pd.Series) and not isinstance(target, str):
        if len(target) != len(rows):
            raise DataError(
                "inputs and targets differ in number.", expected=f"{len(rows)} targets", got=str(len(target))
            )
        return Table(_frame({"input": rows, LABEL: list(target)}), "list")
    if all(isinstance(row, Mapping) for row in rows):
        return Table(pd.DataFrame(rows), "list")
    if all(isinstance(row, tuple) and len(row) == 2 for row in rows):
        return Table(_frame({"input": [row[0] for row in rows], LABEL: [row[1] for row in rows]}), "list")
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
        names = getattr(feature, "names", None)
        columns[name] = [None if cell is None else names[cell] for cell in cells] if names else cells
    return _frame(columns)


def _visible(folder: Path) -> list[Path]:
    found = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)
        if not hidden and path.is_file():
            found.append(path)
    return found


def picture_from_record(record: Mapping[str, Any]) -> Any:
    """Open a picture stored as {"bytes": …, "path": …}, the form that Parquet files of images use."""
    from PIL import Image

    return Image.open(io.BytesIO(record["bytes"])) if record.get("bytes") else Path(str(record.get("path")))
