"""Series: long tables of values in time, read into histories and what came after them, split by time.

A part of a series never tells of an earlier one: what is missing is carried forward, scales are of the past alone, and
between what is learned from, chosen on and tested lies a gap of the horizon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from headstart.data import columns as columns_of
from headstart.data.calendars import in_horizons, learned_later
from headstart.data.clocks import Clock, read_times, season_of_numbers, wound
from headstart.data.dataset import Dataset, Finding, Split
from headstart.data.histories import LEAST, LONGEST, SEASONS, WORDS, History
from headstart.data.tables import Table
from headstart.errors import DataError, OptionError
from headstart.tasks import Future, Task
from headstart.wording import count, some

ORIGINS = 5
"""Origins of a series on the test side, at least, and as many or fewer on the validation side."""

MANY = 10
"""From this many series on they are the units of every interval; of fewer it is the origins."""

MOST_ORIGINS = 40
"""Origins of a series on the test side, at most, where series are few."""

TESTED = 0.2
"""The share of a series that its origins on the test side may take, where series are few."""

WINDOWS, LEAST_WINDOWS = 600, 8
"""Histories that are learned from in all, about, and of each series at least."""

NUMBERED = 1000
"""What origins are counted up to, so that the latest of all series are called the same."""

TIME_NAMES = ("timestamp", "time", "date", "datetime", "ds", "month", "year", "day", "period")
LONGEST_HORIZON = 512


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


def require_horizon(horizon: object) -> int:
    """Return the horizon, once it is one.

    Raises:
        OptionError: it is not given, or no number of steps.
    """
    if horizon is None:
        raise OptionError("how far ahead is not said.", expected="the steps to forecast", hint="--horizon 12")
    if not isinstance(horizon, int) or isinstance(horizon, bool) or not 1 <= horizon <= LONGEST_HORIZON:
        raise OptionError(
            "the horizon is out of range.", expected=f"whole steps from 1 to {LONGEST_HORIZON}", got=repr(horizon)
        )
    return horizon


def read_series(table: Table, *, series: str | None, time: str | None, target: str | None, horizon: object) -> Dataset:
    """Return the histories of a long table, each with what came after it.

    Args:
        table: a row a value.
        series: the column that names the series; None is a single one.
        time: the column of times; inferred where it is plain, else rows are steps.
        target: the column of values; inferred where there is one column of numbers.
        horizon: steps that are forecast.

    Raises:
        OptionError: there is no such column, or the horizon is none.
        DataError: no series can be used.
    """
    steps = require_horizon(horizon)
    clocks, columns, target, notes, findings = _clocks(table, series, time, target)
    usable, left_out = _usable(clocks, steps)
    if not usable:
        raise DataError(
            f"none of the {count(len(clocks), 'series', 'series')} in {table.name} can be learned from.",
            expected=f"{needed(steps)} values or more in a series, that differ",
            got="; ".join(one.text for one in left_out) or "no value",
            hint="lower --horizon, or give longer series",
        )
    examples, overlap, short = _examples(usable, steps)
    if not any(one.part == "train" for one in examples):
        raise DataError(
            f"the series in {table.name} are too short to hold anything out.",
            expected=f"{needed(steps)} values or more in a series for a horizon of {steps}",
            got=f"{max(len(one.values) for one in usable.values())} at most",
            hint="lower --horizon",
        )
    if short:
        words = f"{count(len(short), 'series', 'series')} too short to learn from, only tested on: {some(short)}"
        left_out.append(Finding("short_series", words))
    histories = [one.history for one in examples]
    are_many = len(usable) >= MANY
    last = {one.history.name: one.origin for one in sorted(examples, key=lambda one: one.origin)}
    behind = [last[one.history.name] - one.origin for one in examples]
    when = in_horizons(histories, behind, steps, by_origin=not are_many)
    later = learned_later(histories, [one.part for one in examples], when)
    return Dataset(
        name=table.name,
        modality="series",
        inputs=tuple(histories),
        names=tuple(f"{one.history.name} up to {one.history.end or one.origin}" for one in examples),
        contents=tuple(one.content for one in histories),
        task=Task(target, "forecasting", horizon=steps, overlap=None if are_many else overlap),
        values=tuple(replace(one.future, when=at) for one, at in zip(examples, when.tolist(), strict=True)),
        groups=tuple(one.history.name if are_many else f"{one.part} origin {one.rank:03d}" for one in examples),
        given=tuple(one.part for one in examples),
        columns=columns,
        notes=(*table.notes, *notes, _split_note(examples, usable, steps)),
        findings=(*findings, *left_out, *later),
    )


def histories_in(frame: pd.DataFrame, columns: Sequence[str], target: str) -> list[History]:
    """Return each series of a long table up to its end: what comes next is asked.

    Raises:
        OptionError: there is no such column.
        DataError: nothing is there.
    """
    series, time = (columns[0] or None, columns[1] or None) if len(columns) == 2 else (None, None)
    clocks, *_ = _clocks(Table(frame.reset_index(drop=True), "the table"), series, time, target)
    return [_history(name, clock, len(clock.values)) for name, clock in clocks.items()]


def needed(horizon: int) -> int:
    """Return the values that a series has at least to be learned from, chosen on and tested."""
    return LEAST + 3 * horizon


def _clocks(
    table: Table, series: str | None, time: str | None, target: str | None
) -> tuple[dict[str, Clock], tuple[str, str], str, list[str], list[Finding]]:
    """Return the series of a table in time, the columns that are read, and what was inferred and found."""
    frame, seen = table.frame, _Seen()
    notes: list[str] = []
    time, target = _parts(frame, series, time, target, notes)
    raw = frame[target].map(lambda cell: cell.strip() if isinstance(cell, str) else cell)
    values = pd.to_numeric(raw, errors="coerce").to_numpy(dtype=np.float64, copy=True)
    values[~np.isfinite(values) | (np.abs(values) > columns_of.LARGEST)] = np.nan
    if time is None:
        seconds, is_date = np.arange(len(frame), dtype=np.float64), False
    else:
        seconds, is_date = read_times(list(frame[time]))
    named = _names(frame, series, target)
    readable = np.isfinite(seconds)
    if not readable.any():
        raise DataError(
            f"no time in the column {time!r} can be read.",
            expected="dates such as 2024-01-31, or numbers of steps",
            got=repr(frame[time].iloc[0]) if time is not None else "",
        )
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
    return clocks, (series or "", time or ""), target, [*notes, *_frequency_notes(clocks)], _findings(seen, target)


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
    found = [name for name in rest if pd.to_numeric(frame[name], errors="coerce").notna().mean() > columns_of.MOSTLY]
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
    first = int(np.flatnonzero(np.isfinite(values))[0])
    clock = wound(seconds[first:], values[first:], is_date=is_date)
    seen.note("duplicate_times", clock.doubled, name)
    seen.note("gaps", clock.filled, name)
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


def _frequency_notes(clocks: dict[str, Clock]) -> list[str]:
    """Say which frequency was inferred of how many series."""
    found: dict[str, int] = {}
    for clock in clocks.values():
        word = WORDS.get(clock.frequency) or f"every {float(clock.frequency):g} s"
        found[word] = found.get(word, 0) + 1
    return ["frequency, as inferred: " + ", ".join(f"{number:,} {word}" for word, number in found.items())]


def _usable(clocks: dict[str, Clock], horizon: int) -> tuple[dict[str, Clock], list[Finding]]:
    """Return the series that something can be made of, and say which cannot."""
    short = [name for name, one in clocks.items() if len(one.values) < LEAST + horizon]
    constant = [name for name, one in clocks.items() if name not in short and not np.ptp(one.values[:-horizon])]
    findings = []
    if short:
        words = f"{count(len(short), 'series', 'series')} with fewer than {LEAST + horizon} values, left out: "
        findings.append(Finding("too_short_series", words + some(short)))
    if constant:
        words = f"{count(len(constant), 'series', 'series')} that never change, left out: {some(constant)}"
        findings.append(Finding("constant_series", words))
    return {name: one for name, one in clocks.items() if name not in {*short, *constant}}, findings


@dataclass(frozen=True)
class _Example:
    """A history and its future, the part it is in, where it ends, and which of the part's origins that is."""

    history: History
    future: Future
    part: Split
    origin: int
    rank: int


def origins(n: int, horizon: int, *, tested: int, windows: int) -> tuple[dict[Split, list[int]], int]:
    """Return the origins of a series of n values by part, each ascending, and the steps between those of the test.

    An origin is the number of values known there. The test's are the last; those of the validation set lie before the
    first of them by the horizon, and what is learned from before the first of those, again by the horizon. Of a
    series too short for that only test origins are left.

    Args:
        n: values.
        horizon: steps that are forecast.
        tested: origins on the test side.
        windows: origins to learn from, at most.
    """
    last, room = n - horizon, n - needed(horizon)
    chosen = min(tested, ORIGINS)
    stride = max(1, min(horizon, room // (2 * (tested + chosen - 2) or 1)))
    if room < tested + chosen - 2:
        tested = chosen = max(1, room // 2 + 1)
    test = [last - stride * place for place in range(tested)][::-1]
    if room < 0:
        return {"train": [], "validation": [], "test": [one for one in test if one >= LEAST]}, stride
    validation = [test[0] - horizon - stride * place for place in range(chosen)][::-1]
    top = validation[0] - horizon
    bottom = min(top, max(LEAST, min(top // 2, 4 * horizon)))
    apart = max(1, -(-(top - bottom + 1) // windows))
    return {"train": list(range(top, bottom - 1, -apart))[::-1], "validation": validation, "test": test}, stride


def _examples(clocks: dict[str, Clock], horizon: int) -> tuple[list[_Example], int, list[str]]:
    """Return all histories with their futures, how many later test origins a future reaches over, and who is short."""
    windows = max(LEAST_WINDOWS, WINDOWS // len(clocks))
    found, overlap, short = [], 0, []
    for name, clock in clocks.items():
        n = len(clock.values)
        tested = ORIGINS if len(clocks) >= MANY else min(MOST_ORIGINS, max(ORIGINS, int(TESTED * n / horizon)))
        parts, stride = origins(n, horizon, tested=tested, windows=windows)
        overlap = max(overlap, -(-horizon // stride) - 1)
        short += [] if parts["train"] else [name]
        for part, places in parts.items():
            for rank, origin in enumerate(places):
                history = _history(name, clock, origin)
                future = history.future(clock.values[origin : origin + horizon])
                found.append(_Example(history, future, part, origin, rank + NUMBERED - len(places)))
    return found, overlap, short


def _history(name: str, clock: Clock, origin: int) -> History:
    values = clock.values[max(0, origin - LONGEST) : origin]
    season = SEASONS.get(clock.frequency, 1) if clock.frequency else season_of_numbers(values)
    return History(values, season if origin > 2 * season else 1, name, clock.times[origin - 1], clock.frequency)


def _split_note(examples: Sequence[_Example], clocks: dict[str, Clock], horizon: int) -> str:
    number = {part: sum(one.part == part for one in examples) for part in ("train", "validation", "test")}
    return (
        f"split by time, with a gap of {count(horizon, 'step')}: {number['train']:,} origins of "
        f"{count(len(clocks), 'series', 'series')} to learn from, {number['validation']:,} to choose on, "
        f"{number['test']:,} the latest, to test"
    )
