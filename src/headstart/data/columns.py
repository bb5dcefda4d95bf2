"""Which column is what: named by the user, or inferred where that is safe, and then said."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from PIL import Image

from headstart.data.dataset import STRATA_OF_A_NUMBER, Modality, Split
from headstart.data.images import looks_like_image
from headstart.data.tables import SPLIT_NAMES
from headstart.data.tagging import is_tagging, read_tagging
from headstart.errors import DataError, OptionError
from headstart.tasks import KINDS, Kind, Task, Value
from headstart.writing.overlap import copied
from headstart.writing.words import words_of

TARGET_NAMES = ("label", "labels", "target", "class", "category", "y")
TEXT_NAMES = ("text", "sentence", "review", "message", "content", "abstract", "document", "question", "tweet", "input")
SPLIT_COLUMNS = ("split", "set", "subset", "partition")
GROUP_WORDS = ("patient", "subject", "person", "participant", "author", "user_id", "customer_id", "group_id")
MISSING_NUMBERS = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})
MISSING_WORDS = frozenset({"n/a", "nan", "null", "<na>"})
CLASSES_OF_INTEGERS = 20
MOSTLY = 0.9
LARGEST = 1e30
NO_TRAIN = "the given split has no train part: its validation set is what is learned from"
SEPARATORS = ("|", ";")
JOINTLY = 10
"""Examples that a class of several targets together has at least, on average, for a split to keep its share."""

SUMMARY_WORDS = 5
"""Words that a target has at least, in the middle one of its cells, to be a text."""

TAKEN_OVER = 0.4
"""Share of a summary's words that its text has too, in the middle one, at least: of an address or a path it is less."""

TEXT_WORDS = 2.0
"""A column whose cells have at least this many words on average can be an input text."""


@dataclass(frozen=True)
class Columns:
    """The parts the columns of a table play."""

    inputs: tuple[str, ...]
    modality: Modality
    target: str
    split: str | None
    notes: tuple[str, ...]


def choose_columns(frame: pd.DataFrame, inputs: Sequence[str], target: str | None) -> Columns:
    """Return which columns are input, target and split.

    Raises:
        OptionError: a named column does not exist.
        DataError: the input or target cannot be told safely.
    """
    for name in [*inputs, *([target] if target is not None else [])]:
        require_column(frame, name)
    if target is not None and target in inputs:
        raise OptionError(f"the column {target!r} is both input and target.", hint="name another --input or --target")
    notes: list[str] = []
    split = _split_column(frame, target)
    chosen = tuple(inputs) or (_infer_input(frame, target, split),)
    modalities = {_modality(frame[name]) for name in chosen}
    if modalities != {"text"} and (len(chosen) > 1 or None in modalities):
        kinds = ", ".join(f"{name}: {_modality(frame[name]) or 'neither'}" for name in chosen)
        raise DataError(
            "these input columns cannot be used together.",
            expected="one column of images, or columns of texts",
            got=kinds,
        )
    if not inputs:
        notes.append(f"the input is the column {chosen[0]!r}")
    if target is None:
        target = _infer_target(frame, chosen, split)
        notes.append(f"the target is the column {target!r}")
    if len(chosen) > 1:
        notes.append("the input columns " + " and ".join(chosen) + " are joined by a line break")
    return Columns(chosen, modalities.pop() or "text", target, split, tuple(notes))


def require_column(frame: pd.DataFrame, name: str) -> None:
    """Raise an `OptionError` that lists the columns unless `name` is one of them."""
    if name not in frame.columns:
        names = list(map(str, frame.columns))
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else None
        raise OptionError(
            f"there is no column {name!r}.", expected="one of " + ", ".join(names), got=repr(name), hint=hint
        )


def split_values(column: pd.Series, usable: Sequence[bool]) -> tuple[tuple[Split, ...] | None, str]:
    """Map the cells of a split column to train, validation and test, and say so; a single extra set is the test set.

    Splits are what the usable rows name: a test part without labels is none.
    """
    cells = ["(empty)" if is_missing(cell) else str(cell).strip().lower() for cell in column]
    unknown = [cell for cell in cells if cell not in SPLIT_NAMES]
    if unknown:
        raise DataError(
            f"{len(unknown)} rows of the split column are in no known split.",
            expected=", ".join(SPLIT_NAMES),
            got=repr(Counter(unknown).most_common(1)[0][0]),
        )
    named = [SPLIT_NAMES[cell] for cell in cells]
    parts = {name for name, row in zip(named, usable, strict=True) if row}
    if parts == {"train"}:
        return None, "the given split leaves only a train part with labels"
    if parts == {"train", "validation"}:
        return tuple(
            "test" if name == "validation" else name for name in named
        ), "the given validation set is the test set"
    if parts == {"validation", "test"}:
        return tuple("train" if name == "validation" else name for name in named), NO_TRAIN
    return tuple(named), "the given split is kept: " + ", ".join(name for name in get_args(Split) if name in parts)


def unused_group_columns(frame: pd.DataFrame, used: Sequence[str]) -> list[str]:
    """Return the columns that look like what must not be separated and that nobody named."""
    return [
        name
        for name in map(str, frame.columns)
        if name not in used and any(word in name.lower() for word in GROUP_WORDS) and frame[name].duplicated().any()
    ]


def as_label(cell: Any) -> str:
    """Return a cell as a label name: 1.0 and True as "1" and "True"."""
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        return str(int(cell))
    return str(cell)


def is_missing(cell: Any) -> bool:
    """Tell whether a cell is empty: None, NaN, or blank text."""
    if isinstance(cell, str):
        return not cell.strip()
    if isinstance(cell, Sequence | np.ndarray | set | Mapping | Image.Image):
        return False
    return bool(pd.api.types.is_scalar(cell) and pd.isna(cell))


def read_target(
    cells: list[Any], name: str, kind: Kind | None, texts: Sequence[str] | None = None
) -> tuple[Task, list[Value | None], tuple[str, ...]]:
    """Return the task, the value of each cell (None where it is missing), and what was inferred.

    A summary without a single word is missing.

    Args:
        cells: the target's.
        name: of the target.
        kind: of the task; None infers it.
        texts: what each cell is about, where the inputs are texts: a summary is known by the words it takes over.

    Raises:
        OptionError: `kind` is unknown.
        DataError: the cells do not fit the kind.
    """
    if kind is not None and kind not in KINDS:
        raise OptionError("the kind of task is unknown.", expected=", ".join(KINDS), got=repr(kind))
    notes: tuple[str, ...] = ()
    if kind is None:
        known = [place for place, cell in enumerate(cells) if not is_missing(cell)]
        about = None if texts is None else [texts[place] for place in known]
        kind, notes = _infer_kind([cells[place] for place in known], name, about)
    if kind == "regression":
        numbers = [_number(cell) for cell in cells]
        return Task(name, kind), [*numbers], notes
    if kind == "tagging":
        return Task(name, kind), [_tagged(cell, name, f"row {row}") for row, cell in enumerate(cells, start=1)], notes
    if kind == "summarization":
        return Task(name, kind), [str(cell).strip() if _has_words(cell) else None for cell in cells], notes
    if kind == "multilabel":
        separator = _separator([cell for cell in cells if isinstance(cell, str)]) or ","
        sets = [None if _is_none(cell) else _label_set(cell, separator) for cell in cells]
        labels = sorted({label for labels in sets if labels for label in labels})
        return Task(name, kind, tuple(labels)), [*sets], notes
    are_numbers = _are_numbers(cells)
    answers = [None if is_missing(cell) or (are_numbers and _is_mark(cell)) else as_label(cell) for cell in cells]
    return Task(name, kind, tuple(sorted({answer for answer in answers if answer is not None}))), [*answers], notes


def joint_classes(
    tasks: Sequence[Task], targets: Mapping[str, Sequence[Value | None]]
) -> tuple[Task, list[Value | None]]:
    """Return what examples with several targets are split by: their classes of all targets together.

    A number counts as its fifth of the range, several labels as the rarest of them. Targets whose classes would leave
    too few examples each are passed over. An example without any target has none of it. These are no labels: nothing
    learns them.
    """
    n = len(next(iter(targets.values())))
    joint: list[tuple[str, ...]] = [() for _ in range(n)]
    for task in tasks:
        own = [(*one, word) for one, word in zip(joint, _coarse(task, targets[task.target]), strict=True)]
        if not any(joint) or len(set(own)) * JOINTLY <= n:
            joint = own
    known = [any(targets[task.target][place] is not None for task in tasks) for place in range(n)]
    values = [" · ".join(one) if is_known else None for one, is_known in zip(joint, known, strict=True)]
    name = " · ".join(task.target for task in tasks)
    return Task(name, "classification"), [*values]


def _coarse(task: Task, values: Sequence[Value | None]) -> list[str]:
    """Return a word (n,) for the class each example counts for; "" where it has none."""
    if task.form == "number":
        numbers = np.array([np.nan if value is None else value for value in values], dtype=float)
        if np.isnan(numbers).all():
            return [""] * len(values)
        edges = np.nanquantile(numbers, np.arange(1, STRATA_OF_A_NUMBER) / STRATA_OF_A_NUMBER)
        return [
            "" if value is None else str(int(place))
            for value, place in zip(values, np.searchsorted(edges, numbers), strict=True)
        ]
    if task.form == "label":
        return [str(value or "") for value in values]
    sets = [value if isinstance(value, tuple) else () for value in values]
    counts = Counter(label for labels in sets for label in labels)
    return [min(labels, key=lambda label: (counts[label], label), default="") for labels in sets]


def _is_mark(cell: Any) -> bool:
    return isinstance(cell, str) and cell.strip().lower() in MISSING_NUMBERS


def _are_numbers(cells: Sequence[Any]) -> bool:
    """Tell whether cells are numbers, once the marks of missing ones are put aside."""
    rest = [cell for cell in cells if not is_missing(cell) and not _is_mark(cell)]
    return bool(rest) and all(_number(cell) is not None and not isinstance(cell, bool | np.bool_) for cell in rest)


def _is_none(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and np.isnan(cell))


def _label_set(cell: Any, separator: str) -> tuple[str, ...]:
    if isinstance(cell, str):
        parts = cell.split(separator)
    else:
        parts = [as_label(part) for part in cell] if isinstance(cell, Iterable) else [as_label(cell)]
    return tuple(sorted({part.strip() for part in parts if part.strip()}))


def _has_words(cell: Any) -> bool:
    return not is_missing(cell) and bool(words_of(str(cell)))


def _tagged(cell: Any, name: str, row: str) -> Value | None:
    return None if is_missing(cell) else read_tagging(cell, name, row)


def _infer_kind(cells: list[Any], name: str, texts: Sequence[str] | None) -> tuple[Kind, tuple[str, ...]]:
    if is_tagging(cells):
        return "tagging", (f"{name!r} tags the words of its texts: token labelling",)
    if any(isinstance(cell, Sequence | set | np.ndarray) and not isinstance(cell, str) for cell in cells):
        return "multilabel", (f"{name!r} holds lists: a multi-label task",)
    return _kind_of_numbers(cells, name) or _kind_of_words(
        [cell for cell in cells if isinstance(cell, str)], cells, name, texts
    )


def _kind_of_numbers(cells: list[Any], name: str) -> tuple[Kind, tuple[str, ...]] | None:
    """Return what cells of numbers are; None of others."""
    readable = [number for cell in cells if (number := _number(cell)) is not None]
    if _are_numbers(cells) or (len(readable) >= MOSTLY * len(cells) and len(set(readable)) > CLASSES_OF_INTEGERS):
        distinct = len(set(readable))
        if distinct > CLASSES_OF_INTEGERS or not all(number.is_integer() for number in readable):
            return "regression", (
                f"{name!r} holds {distinct} different numbers: regression (--task classification if they are classes)",
            )
        return "classification", (f"{name!r} holds {distinct} different whole numbers: classification",)
    return None


def _kind_of_words(
    words: list[str], cells: list[Any], name: str, texts: Sequence[str] | None
) -> tuple[Kind, tuple[str, ...]]:
    separator = _separator(words)
    if separator:
        return "multilabel", (f"{name!r} holds labels separated by {separator!r}: a multi-label task",)
    if not _are_texts(words, len(cells)):
        return "classification", ()
    if texts is None or _take_over(words, texts):
        return "summarization", (f"{name!r} holds texts of their own: summarization (--task classification if not)",)
    note = f"{name!r} holds texts with few words of the inputs: classification (--task summarization if not)"
    return "classification", (note,)


def _are_texts(cells: Sequence[str], n: int) -> bool:
    """Tell whether cells are texts rather than names of classes: of several words, and hardly one stands twice."""
    if not cells or len(cells) < n or len(set(cells)) < max(2, MOSTLY * n):
        return False
    return float(np.median([_length(cell) for cell in cells])) >= SUMMARY_WORDS


def _take_over(cells: Sequence[str], texts: Sequence[str]) -> bool:
    """Tell whether the middle one of some cells takes a fair share of its words from its text."""
    shares = [copied(cell, text) or 0.0 for cell, text in zip(cells, texts, strict=True)]
    return float(np.median(shares)) >= TAKEN_OVER


def _length(cell: str) -> int:
    """Return how many words a cell has: what stands between blanks, or the words of a script that leaves none."""
    return len(cell.split()) if cell.isascii() else len(words_of(cell))


def _separator(cells: list[str]) -> str | None:
    """Return the mark that separates labels: it stands in 5 % of the cells, and what it separates recurs."""
    for separator in SEPARATORS:
        joined = [cell for cell in cells if separator in cell]
        if len(joined) < max(2, 0.05 * len(cells)):
            continue
        parts = Counter(part.strip() for cell in cells for part in cell.split(separator))
        if len(parts) < len(set(cells)) and sum(parts.values()) >= 3 * len(parts):
            return separator
    return None


def _number(cell: Any) -> float | None:
    """Return a cell as a finite number, or None."""
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < LARGEST else None


def _split_column(frame: pd.DataFrame, target: str | None) -> str | None:
    for name in frame.columns:
        if str(name).lower() in SPLIT_COLUMNS and name != target:
            known = frame[name].astype(str).str.strip().str.lower().isin(list(SPLIT_NAMES))
            if str(name).lower() == "split" or known.all():
                return str(name)
    return None


def _modality(column: pd.Series) -> Modality | None:
    cells = [cell for cell in column.head(200) if not is_missing(cell)]
    if not cells:
        return None
    if all(map(are_words, cells)):
        return "text"
    if all(isinstance(cell, Image.Image | np.ndarray | Path | Mapping | bytes) for cell in cells):
        return "image"
    if not all(isinstance(cell, str) for cell in cells):
        return None
    return "image" if np.mean([looks_like_image(cell) for cell in cells]) > 0.5 else "text"


def are_words(cell: Any) -> bool:
    """Tell whether a cell is a list of words, as tokenized texts are kept."""
    is_list = isinstance(cell, list | tuple) or (isinstance(cell, np.ndarray) and cell.dtype.kind in "OU")
    return is_list and len(cell) > 0 and all(isinstance(one, str) and len(one.split()) == 1 for one in cell)


def _infer_input(frame: pd.DataFrame, target: str | None, split: str | None) -> str:
    names = [str(name) for name in frame.columns if name not in (target, split)]
    images = [name for name in names if _modality(frame[name]) == "image"]
    if len(images) == 1:
        return images[0]
    texts = [name for name in names if _modality(frame[name]) == "text"]
    for known in TEXT_NAMES:
        for name in texts:
            if name.lower() == known:
                return name
    wordy = [name for name in texts if np.mean([_length(str(cell)) for cell in frame[name].head(200)]) >= TEXT_WORDS]
    if len(wordy) == 1 and not images:
        return wordy[0]
    if not images and not wordy:
        raise DataError(
            "no column holds texts or image files.",
            expected="a column of texts or of image file names (tables of numbers have no pretrained backbone yet)",
            got=", ".join(map(str, frame.columns)),
            hint="name it with --input COLUMN",
        )
    raise DataError(
        "more than one column could be the input.", got=", ".join(images or wordy), hint="name it with --input COLUMN"
    )


def _infer_target(frame: pd.DataFrame, inputs: tuple[str, ...], split: str | None) -> str:
    names = [str(name) for name in frame.columns if name not in inputs and name != split]
    known = [name for wanted in TARGET_NAMES for name in names if name.lower() == wanted]
    if known:
        return known[0]
    if len(names) == 1:
        return names[0]
    raise DataError(
        "no column is plainly the target." if names else "there is no column left to be the target.",
        expected="a column named " + ", ".join(TARGET_NAMES),
        got=", ".join(names) or "only the input",
        hint="name it with --target COLUMN",
    )
