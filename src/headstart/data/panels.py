"""Panels: a long table's columns become clocks, one a series, and what was wrong with them is said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from headstart.data import columns as columns_of
from headstart.data.clocks import Clock, wound
from headstart.data.dataset import Finding
from headstart.data.tables import Table
from headstart.data.times import read_times
from headstart.errors import DataError, OptionError
from headstart.wording import count, some

TIME_NAMES = ("timestamp", "time", "date", "datetime", "ds", "month", "year", "day", "period")

SHARED = 0.2
"""The share of rows that may have another row's time before there is more than one series."""

GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
"""Numbers with separators of thousands."""


@dataclass(frozen=True, eq=False)
class Panel:
    """The series of a table.

    Attributes:
        clocks: each by its name.
        columns: of series and time; "" where there is none.
        target: the column of values.
        notes: what was inferred.
        findings: what was wrong.
    """

    clocks: dict[str, Clock]
    columns: tuple[str, str]
    target: str
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]


@dataclass
class _Seen:
    """What was wrong with a table, by kind: names of series, or counts of rows."""

    rows: dict[str, int] = field(default_factory=dict)
    series: dict[str, list[str]] = field(default_factory=dict)

    def note(self, code: str, number: int, name: str = "") -> None:
        """Count rows of a kind, and name the series they are in."""
        if number:
            self.rows[code] = self.rows.get(code, 0) + number
            self.series.setdefault(code, []).append(name)


def read_panel(table: Table, series: str | None, time: str | None, target: str | None) -> Panel:
    """Return the series of a table in time, the columns that are read, and what was inferred and found.

    Args:
        table: a row a value.
        series: the column that names the series; None is a single one.
        time: the column of times; inferred where it is plain, else rows are steps.
        target: the column of values; inferred where there is one column of numbers.

    Raises:
        OptionError: there is no such column, or one has two parts.
        DataError: no time or most values cannot be read, or there are several series where none is named.
    """
    frame, seen = table.frame, _Seen()
    notes: list[str] = []
    time, target = _parts(frame, series, time, target, notes)
    values = _values(frame[target], target, notes)
    seconds, is_date = np.arange(len(frame), dtype=np.float64), False
    if time is not None:
        times = read_times(list(frame[time]))
        seconds, is_date = times.seconds, times.is_date
        notes += times.notes
    named = _names(frame, series, target)
    readable = np.isfinite(seconds)
    if not readable.any():
        raise DataError(
            f"no time in the column {time!r} can be read.",
            expected="dates such as 2024-01-31, 31/01/2024 or 2024-Q1, or numbers of steps",
            got=repr(frame[time].iloc[0]) if time is not None else "",
        )
    if series is None:
        _require_one(frame, time, target, seconds[readable])
    seen.note("unreadable_times", int((~readable).sum()))
    seen.note("missing_series", sum(name == "" for name in named))
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(named):
        if readable[row] and name:
            rows.setdefault(name, []).append(row)
    wound_up = {name: _clock(name, seconds[own], values[own], is_date, seen) for name, own in rows.items()}
    clocks = {name: clock for name, clock in wound_up.items() if clock is not None}
    if not clocks:
        raise DataError(
            f"the column {target!r} holds no number.", expected="a column of numbers", got=repr(frame[target].iloc[0])
        )
    return Panel(clocks, (series or "", time or ""), target, tuple(notes), tuple(_findings(seen, target)))


def _values(cells: pd.Series, target: str, notes: list[str]) -> np.ndarray:
    """Return the numbers (n,) of a column, NaN where a cell is none that can be reckoned with.

    Raises:
        DataError: half of what is there, or more, is none.
    """
    values, is_grouped = _numbers(cells)
    if is_grouped:
        notes.append(f"commas in {target!r} are taken for separators of thousands")
    values[~np.isfinite(values) | (np.abs(values) > columns_of.LARGEST)] = np.nan
    filled = [place for place, cell in enumerate(cells) if not columns_of.is_missing(cell)]
    odd = [place for place in filled if np.isnan(values[place])]
    if odd and 2 * len(odd) >= len(filled):
        problem = "holds no number" if len(odd) == len(filled) else "is half of what is no number, or more"
        raise DataError(
            f"the column {target!r} {problem}.", expected="numbers such as 1234.5", got=repr(cells.iloc[odd[0]])
        )
    return values


def _numbers(cells: pd.Series) -> tuple[np.ndarray, bool]:
    """Return numbers (n,), NaN for what is none, and whether commas between thousands were taken out."""
    raw = cells.map(lambda cell: cell.strip() if isinstance(cell, str) else cell)
    commas = raw.map(lambda cell: isinstance(cell, str) and "," in cell).to_numpy(dtype=bool)
    is_grouped = bool(commas.any()) and all(GROUPED.fullmatch(cell) for cell in raw[commas])
    if is_grouped:
        raw = raw.map(lambda cell: cell.replace(",", "") if isinstance(cell, str) else cell)
    return pd.to_numeric(raw, errors="coerce").to_numpy(dtype=np.float64, copy=True), is_grouped


def _require_one(frame: pd.DataFrame, time: str | None, target: str, seconds: np.ndarray) -> None:
    """Raise a `DataError` if many rows share a time: there is more than one series then.

    Raises:
        DataError: they do.
    """
    shared = len(seconds) - len(np.unique(seconds))
    if time is None or shared <= SHARED * len(seconds):
        return
    others = [str(name) for name in frame.columns if name not in (time, target)]
    name = next((one for one in others if not frame[[one, time]].astype(str).duplicated().any()), None)
    raise DataError(
        "many rows share a time.",
        expected="one row a time, or a column that names the series",
        got=f"{shared:,} of {len(seconds):,} rows with the time of another",
        hint=f"name the series: --series {name}" if name else "name the series, or give one row a time",
    )


def _parts(
    frame: pd.DataFrame, series: str | None, time: str | None, target: str | None, notes: list[str]
) -> tuple[str | None, str]:
    """Return the columns of times and values, as they are named or plain, and note what was inferred.

    Raises:
        OptionError: there is no such column, or one has two parts.
        DataError: the column of values cannot be told.
    """
    named = [one for one in (series, time, target) if one is not None]
    for name in named:
        columns_of.require_column(frame, name)
    if len(set(named)) < len(named):
        raise OptionError("a column has two parts.", expected="--series, --time and --target that differ")
    if target is None:
        target = _number_column(frame, (series, time))
        notes.append(f"the values are the column {target!r}")
    if time is None:
        rest = [str(name) for name in frame.columns if name not in (series, target)]
        time = next((name for name in rest if name.lower() in TIME_NAMES), None)
        notes.append(f"the times are the column {time!r}" if time else "no column holds times: rows are steps")
    if "split" in frame.columns:
        notes.append("the column 'split' is not used: series are split by time")
    return time, target


def _names(frame: pd.DataFrame, series: str | None, target: str) -> list[str]:
    if series is None:
        return [target] * len(frame)
    return ["" if columns_of.is_missing(cell) else columns_of.as_label(cell) for cell in frame[series]]


def _number_column(frame: pd.DataFrame, others: Sequence[str | None]) -> str:
    """Return the only column of numbers.

    Raises:
        DataError: there is none, or more than one.
    """
    rest = [str(name) for name in frame.columns if name not in others and str(name).lower() not in TIME_NAMES]
    found = [name for name in rest if np.isfinite(_numbers(frame[name])[0]).mean() > columns_of.MOSTLY]
    if len(found) != 1:
        problem = "more than one column could be the values." if found else "no column holds numbers."
        raise DataError(problem, got=", ".join(found or rest), hint="name it with --target COLUMN")
    return found[0]


def _clock(name: str, seconds: np.ndarray, values: np.ndarray, is_date: bool, seen: _Seen) -> Clock | None:
    """Return one series in time; None where it has no value at all."""
    known = np.isfinite(values)
    seen.note("missing_values", int((~known).sum()), name)
    if not known.any():
        seen.note("empty_series", 1, name)
        return None
    if (np.diff(seconds) < 0).any():
        seen.note("unsorted_times", 1, name)
        order = np.argsort(seconds, kind="stable")
        seconds, values = seconds[order], values[order]
    first, last = np.flatnonzero(np.isfinite(values))[[0, -1]].tolist()
    clock = wound(seconds[first : last + 1], values[first : last + 1], is_date=is_date)
    seen.note("duplicate_times", clock.doubled, name)
    seen.note("gaps", int(clock.filled.sum()), name)
    seen.note("irregular_times", int(clock.is_irregular), name)
    return clock


TOLD = {
    "unreadable_times": "{rows} with a time that cannot be read, left out",
    "missing_series": "{rows} that name no series, left out",
    "missing_values": "{rows} without a number in {target!r}",
    "empty_series": "{series} without any number, left out: {names}",
    "unsorted_times": "{series} not in order of time, sorted: {names}",
    "duplicate_times": "{rows} with a time or step that a later row has too, left out; the last counts: {names}",
    "gaps": "{steps} without a value, carried forward from the last one known: {names}",
    "irregular_times": "{series} whose times are no equal steps: every value is taken for one: {names}",
}


def _findings(seen: _Seen, target: str) -> list[Finding]:
    words = {
        code: text.format(
            rows=count(seen.rows[code], "row"),
            steps=count(seen.rows[code], "step"),
            series=count(len(seen.series[code]), "series", "series"),
            names=some(seen.series[code]),
            target=target,
        )
        for code, text in TOLD.items()
        if code in seen.rows
    }
    codes = {
        "unreadable_times": Finding("unreadable_times", words.get("unreadable_times", "")),
        "missing_series": Finding("missing_series", words.get("missing_series", "")),
        "missing_values": Finding("missing_values", words.get("missing_values", "")),
        "empty_series": Finding("empty_series", words.get("empty_series", "")),
        "unsorted_times": Finding("unsorted_times", words.get("unsorted_times", "")),
        "duplicate_times": Finding("duplicate_times", words.get("duplicate_times", "")),
        "gaps": Finding("gaps", words.get("gaps", "")),
        "irregular_times": Finding("irregular_times", words.get("irregular_times", "")),
    }
    return [codes[code] for code in words]
