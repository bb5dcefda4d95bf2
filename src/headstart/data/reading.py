"""Data in: whatever the user has, read into a `Dataset`, with what was inferred and what is wrong."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart.data import columns as columns_of
from headstart.data import images
from headstart.data.columns import Columns
from headstart.data.dataset import Dataset, Finding, Input
from headstart.data.histories import History
from headstart.data.series import read_series
from headstart.data.summaries import about, require_summaries
from headstart.data.tables import Table, open_table
from headstart.data.tagging import apart
from headstart.data.words import Word
from headstart.entities import SCHEME
from headstart.errors import DataError, OptionError
from headstart.progress import Progress, silent
from headstart.tasks import KINDS, Kind, require_shareable
from headstart.wording import count, printable, some

THUMBNAIL = 64
"""Pixels a side that a JPEG may be reduced to for checking and hashing."""

READERS = 4
NO_GROUP = "(row"
"""What the group of a row begins with that has none."""

MEDICAL = re.compile(
    r"(?i)(?<![a-z])(in)?(patient|diagnos|disease|symptom|clinic|hospital|medical|pneumonia|tumou?r|cancer|carcinoma|"
    r"melanoma|lesion|x[-_ ]?rays?(?![a-z])|mammogra|radiolog|patholog|diabetes|malaria|psoriasis|hypertension|"
    r"arthritis|hepatitis|covid|ecg(?![a-z])|icd-?10)"
)
"""What names of data, columns and labels hold where patients stand behind them."""

NOT_CLINICAL = "not_for_clinical_use"
CAPITALS = re.compile(r"(?<=[a-z])(?=[A-Z])")
LABEL = 60
"""Characters of a label at most: of what is longer tags alone are looked at."""

GROUP_VALUES = 5
"""A group column with at most this many values is probably meant as --sensitive."""


@dataclass(frozen=True)
class _Inspected:
    """What one pass over an input found out: its content, how it looks, or why it cannot be read."""

    content: str = ""
    near: int = 0
    channels: int = 0
    fault: str | None = None


def read(
    data: object,
    *,
    input: str | Sequence[str] | None = None,
    target: str | Sequence[Any] | None = None,
    group: str | None = None,
    sensitive: str | Sequence[str] = (),
    task: Kind | None = None,
    series: str | None = None,
    time: str | None = None,
    horizon: int | None = None,
    progress: Progress = silent,
) -> Dataset:
    """Read labelled examples from whatever the user has.

    Args:
        data: an image folder (`class/`, `train|val|test/class/`, or with a `metadata.csv`), a CSV, TSV, Parquet or
            JSON-lines table, a DataFrame, a `datasets.Dataset`, or a list of pairs, of dictionaries, or of inputs.
        input: the column or columns of the inputs; inferred when that is safe.
        target: the column of the labels or numbers, or several columns; for a list of inputs, the list of their
            targets. "rating:regression" says what kind of target a column is.
        group: the column of what must not be separated, such as a patient.
        sensitive: columns that errors will be reported by.
        task: "classification", "multilabel", "regression", "tagging" or "summarization"; inferred from the target's
            values. "forecasting" is what any of the following asks for.
        series: of a long table with a row a value, the column that names the series; None is a single series.
        time: its column of times.
        horizon: the steps to forecast.
        progress: called with (phase, done, total).

    Returns:
        The data set. `notes` says what was inferred, `findings` what is wrong with it.

    Raises:
        DataError: nothing there, nothing readable, or no label.
        OptionError: a column that does not exist, or an unknown kind of task.

    Example:
        >>> import headstart as hs
        >>> data = hs.read([("good film", "yes"), ("bad film", "no"), ("fine play", "yes"), ("dull", "no")])
        >>> len(data), data.task.labels
        (4, ('no', 'yes'))
    """
    if isinstance(data, Dataset):
        return data
    table = open_table(data, target)
    if task == "forecasting" or any(one is not None for one in (series, time, horizon)):
        _refuse_for_series(input, target, group, sensitive, task)
        return read_series(table, series=series, time=time, target=_only(target), horizon=horizon)
    targets, inputs = _named_targets(target, table, task), [input] if isinstance(input, str) else list(input or ())
    rest = table.frame.drop(columns=[name for name, _ in targets[1:] if name in table.frame and name not in inputs])
    columns = columns_of.choose_columns(rest, inputs, targets[0][0])
    for name, _ in targets[1:]:
        columns_of.choose_columns(table.frame, columns.inputs, name)
    sensitive_columns = [sensitive] if isinstance(sensitive, str) else list(sensitive)
    for name in [*sensitive_columns, *([group] if group is not None else [])]:
        columns_of.require_column(table.frame, name)
    asked = [(columns.target, targets[0][1]), *((str(name), kind) for name, kind in targets[1:])]
    dataset = _all_examples(table, columns, asked, group, sensitive_columns, progress)
    findings = _column_findings(table, columns, [name for name, _ in asked], group, sensitive_columns)
    return replace(dataset, findings=(*findings, *dataset.findings))


def _only(target: str | Sequence[Any] | None) -> str | None:
    return target if target is None or isinstance(target, str) else str(target[0])


def _refuse_for_series(
    input: object, target: str | Sequence[Any] | None, group: object, sensitive: object, task: Kind | None
) -> None:
    """Raise an `OptionError` for what has no meaning where series are forecast."""
    given = {"--input": input, "--group": group, "--sensitive": sensitive}
    if task not in (None, "forecasting"):
        given["--task"] = task
    if target is not None and not isinstance(target, str) and len(target) > 1:
        given["a second --target"] = target
    for name in (one for one, value in given.items() if value):
        raise OptionError(
            f"{name} has no meaning where series are forecast.",
            expected="--series, --time, --target and --horizon",
            hint=f"leave out {name}",
        )


def _named_targets(
    target: str | Sequence[Any] | None, table: Table, kind: Kind | None
) -> list[tuple[str | None, Kind | None]]:
    """Return the columns that are meant as targets, each with its kind where that is said; None infers the column.

    Raises:
        OptionError: a kind is named for several targets at once, or a target twice.
    """
    if target is None or table.is_list:
        return [(None, kind)]
    named = [_with_kind(str(one), table) for one in ([target] if isinstance(target, str) else target)]
    if len(named) == 1 and (kind is None or named[0][1] is None):
        return [(named[0][0], named[0][1] or kind)]
    if kind is not None:
        raise OptionError(
            "a kind of task belongs to one target.",
            expected="the kind beside the target it is meant for",
            got=f"--task {kind} for {some([name for name, _ in named])}",
            hint=f"--target {named[0][0]}:{kind}",
        )
    twice = [name for name, number in Counter(name for name, _ in named).items() if number > 1]
    if twice:
        raise OptionError(f"the target {twice[0]!r} is named twice.", expected="every target once")
    return [*named]


def _with_kind(name: str, table: Table) -> tuple[str, Kind | None]:
    """Take "rating:regression" apart, where there is a column "rating" and no column of that whole name."""
    column, _, word = name.rpartition(":")
    kind = next((one for one in KINDS if one == word), None)
    is_said = name not in table.frame.columns and column in table.frame.columns and kind is not None
    return (column, kind) if is_said else (name, None)


def _all_examples(
    table: Table,
    columns: Columns,
    targets: list[tuple[str, Kind | None]],
    group: str | None,
    sensitive: list[str],
    progress: Progress,
) -> Dataset:
    """Build the data set from the rows that can be used, and say which cannot."""
    frame = table.frame
    inputs, names = _inputs(table, columns)
    texts = [str(one or "") for one in inputs] if columns.modality == "text" else None
    read_ones = [columns_of.read_target(list(frame[name]), name, kind, texts) for name, kind in targets]
    tasks, kind_notes = [task for task, _, _ in read_ones], [note for _, _, notes in read_ones for note in notes]
    require_shareable(tasks)
    by_target = {task.target: tuple(values) for task, values, _ in read_ones}
    if any(task.form == "text" for task in tasks):
        require_summaries(tasks, columns.modality)
    task, values = (tasks[0], [*read_ones[0][1]]) if len(tasks) == 1 else columns_of.joint_classes(tasks, by_target)
    inspected = _inspect(inputs, columns.modality, progress)
    if task.form == "text":
        values = about(values, inputs)
    usable = [value is not None and not seen.fault for value, seen in zip(values, inspected, strict=True)]
    findings = _row_findings(table, columns, names, by_target, inspected)
    if not any(usable):
        raise DataError(
            f"none of the {len(frame)} examples in {table.name} can be used.",
            expected="inputs that can be read, with labels",
            got="; ".join(finding.text for finding in findings),
        )
    given, split_note = columns_of.split_values(frame[columns.split], usable) if columns.split else (None, "")
    dataset = Dataset(
        name=table.name,
        modality=columns.modality,
        inputs=tuple("" if source is None else source for source in inputs),
        names=tuple(names),
        contents=tuple(seen.content for seen in inspected),
        task=task,
        values=tuple(value if value is not None else "" for value in values),
        near=tuple(seen.near for seen in inspected) if columns.modality == "image" else (),
        groups=_groups(frame[group]) if group is not None else None,
        sensitive={name: tuple(map(columns_of.as_label, frame[name])) for name in sensitive},
        given=given,
        columns=() if table.is_list else columns.inputs,
        channels=_channels(inspected),
        notes=tuple(note for note in (*table.notes, *columns.notes, *kind_notes, split_note) if note),
        findings=findings,
        tasks=tuple(tasks) if len(tasks) > 1 else (),
        targets=by_target if len(tasks) > 1 else {},
    )
    dataset = dataset.take(np.array(usable))
    return apart(dataset) if task.kind == "tagging" else dataset


def _inputs(table: Table, columns: Columns) -> tuple[list[Input | None], list[str]]:
    """Return each row's input (None where it is empty) and what to call it."""
    frame = table.frame
    if columns.modality == "text":
        parts = [[_as_text(cell) for cell in row if not columns_of.is_missing(cell)] for row in _rows(frame, columns)]
        return ["\n".join(row) or None for row in parts], [f"row {index + 1}" for index in range(len(frame))]
    cells = list(frame[columns.inputs[0]])
    names = [
        printable(str(cell)) if isinstance(cell, str | Path) else f"row {index + 1}" for index, cell in enumerate(cells)
    ]
    return [as_picture(cell, table.root) for cell in cells], names


def _as_text(cell: Any) -> str:
    return " ".join(cell) if columns_of.are_words(cell) else str(cell).strip()


def _rows(frame: pd.DataFrame, columns: Columns) -> list[tuple[Any, ...]]:
    return list(zip(*(frame[name] for name in columns.inputs), strict=True))


def as_picture(cell: Any, root: Path | None) -> Input | None:
    """Return a cell as a picture: a file's path, an opened picture, or the bytes that Parquet files of images hold."""
    if isinstance(cell, Mapping):
        cell = cell.get("bytes") or cell.get("path")
    if columns_of.is_missing(cell):
        return None
    return resolve_inside(cell, root) if isinstance(cell, str | Path) else cell


def resolve_inside(name: str | Path, root: Path | None) -> Path:
    """Return the path a table names, refusing what leads out of the table's folder.

    The path is judged as it is written: links that the folder's owner put there are followed.

    Raises:
        DataError: the path is absolute or climbs out of `root`.
    """
    if root is None:
        return Path(name)
    if Path(name).is_absolute() or os.path.normpath(name).startswith(".."):
        raise DataError(
            f"the table names a file outside its folder: {printable(str(name))}.", expected=f"paths inside {root}"
        )
    return root / name


def _inspect(inputs: list[Input | None], modality: str, progress: Progress) -> list[_Inspected]:
    look = _inspect_image if modality == "image" else _inspect_text
    found = []
    with ThreadPoolExecutor(READERS) as pool:
        for done, seen in enumerate(pool.map(look, inputs), start=1):
            found.append(seen)
            if modality == "image":
                progress("reading", done, len(inputs))
    return found


def _inspect_text(text: Input | None) -> _Inspected:
    if text is None:
        return _Inspected(fault="empty")
    return _Inspected(content_of(text))


def content_of(source: Input) -> str:
    """Return the SHA-256 of an input's content: a text's bytes, a file's, or a picture's mode, size and pixels."""
    if isinstance(source, History | Word):
        return source.content
    if isinstance(source, str):
        return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
    return images.content_hash(source)


def _inspect_image(source: Input | None) -> _Inspected:
    if source is None or isinstance(source, str | History | Word):
        return _Inspected(fault="no file is named")
    try:
        picture = images.open_image(source, hint_size=THUMBNAIL)
        return _Inspected(images.content_hash(source), images.perceptual_hash(picture), images.channels_of(source))
    except DataError as error:
        return _Inspected(fault=error.problem.rstrip("."))


def _channels(inspected: list[_Inspected]) -> int:
    counts = {seen.channels for seen in inspected if not seen.fault}
    if len(counts) > 1:
        raise DataError(
            "the pictures differ in their number of channels.",
            expected="one number of channels",
            got=", ".join(map(str, sorted(counts))),
        )
    return counts.pop() if counts else 0


def _groups(column: pd.Series) -> tuple[str, ...]:
    """Return each row's group; a row without one is a group of its own."""
    return tuple(
        f"{NO_GROUP} {index + 1})" if columns_of.is_missing(cell) else columns_of.as_label(cell)
        for index, cell in enumerate(column)
    )


def _row_findings(
    table: Table,
    columns: Columns,
    names: list[str],
    targets: Mapping[str, Sequence[Any]],
    inspected: list[_Inspected],
) -> tuple[Finding, ...]:
    findings = []
    if table.ignored:
        findings.append(
            Finding("ignored_files", f"{count(len(table.ignored), 'file')} passed over: {some(list(table.ignored))}")
        )
    faults = [f"{name} ({seen.fault})" for name, seen in zip(names, inspected, strict=True) if seen.fault]
    if faults and columns.modality == "image":
        findings.append(Finding("unreadable_images", f"{count(len(faults), 'image')} cannot be read: {some(faults)}"))
    elif faults:
        empty = [name for name, seen in zip(names, inspected, strict=True) if seen.fault]
        findings.append(Finding("empty_texts", f"{count(len(empty), 'text')} empty, left out: {some(empty)}"))
    left_out = ", left out" if len(targets) == 1 else ""
    for target, values in targets.items():
        missing = [name for name, value in zip(names, values, strict=True) if value is None]
        if missing:
            text = f"{count(len(missing), 'example')} without a usable {target!r}{left_out}: {some(missing)}"
            findings.append(Finding("missing_labels", text))
    return tuple(findings)


def _label_words(cells: Iterable[Any]) -> Iterable[str]:
    """Yield the labels in a column: its short cells or, where most are long as summaries are, the tags in them."""
    texts = list(map(str, cells))
    labels_are_short = np.median([len(text) for text in texts] or [0]) <= LABEL
    for text in texts:
        if labels_are_short and len(text) <= LABEL:
            yield text
        else:
            yield from {part for part in text.split() if SCHEME.fullmatch(part)}


def _column_findings(
    table: Table, columns: Columns, targets: list[str], group: str | None, sensitive: list[str]
) -> tuple[Finding, ...]:
    findings = []
    if group is not None:
        values = int(table.frame[group].nunique())
        if values <= GROUP_VALUES:
            text = (
                f"--group {group} has only {values} values: a group is what must not be separated (a patient); "
                f"to report errors by {group}, use --sensitive {group}"
            )
            findings.append(Finding("group_few_values", text))
    for target in targets:
        labels = [columns_of.as_label(cell) for cell in table.frame[target].head(1000)]
        if not table.is_list and target in labels:
            text = f"the target's name, {target!r}, is also one of its values: does the table lack a header?"
            findings.append(Finding("header_missing", text))
        marks = sorted({label for label in labels if label.lower() in columns_of.MISSING_WORDS})
        if marks:
            text = f"{some(marks)} in {target!r} look like marks for a missing label, and are taken as a class"
            findings.append(Finding("missing_marks", text))
    named = [
        table.name,
        *map(str, table.frame.columns),
        *(word for name in targets for word in _label_words(table.frame[name])),
    ]
    if any(MEDICAL.search(CAPITALS.sub("_", name)) for name in dict.fromkeys(named)):
        text = (
            "this looks like medicine: what is learned here is not for clinical use, however well it does on this data"
        )
        findings.append(Finding("not_for_clinical_use", text))
    used = [*columns.inputs, *targets, columns.split or "", *sensitive]
    for name in columns_of.unused_group_columns(table.frame, used) if group is None else []:
        text = f"the column {name!r} repeats and may name what must not be separated: --group {name}"
        findings.append(Finding("group_unused", text))
    return tuple(findings)
