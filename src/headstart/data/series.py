"""Series: long tables of values in time, read into histories and what came after them, split by time.

A part of a series never tells of an earlier one: what is missing is carried forward, scales are of the past alone, and
between what is learned from, chosen on and tested lies a gap of the horizon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from headstart.data.calendars import in_horizons, learned_later
from headstart.data.clocks import Clock, are_changes, season_of
from headstart.data.dataset import Dataset, Finding, Split
from headstart.data.histories import LEAST, LONGEST, History, rhythm
from headstart.data.panels import read_panel
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

LONGEST_HORIZON = 512


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
    panel = read_panel(table, series, time, target)
    clocks = panel.clocks
    usable, left_out = _usable(clocks, steps)
    if not usable:
        raise DataError(
            f"none of the {count(len(clocks), 'series', 'series')} in {table.name} can be learned from.",
            expected=f"{needed(steps)} values or more in a series, that differ",
            got="; ".join(one.text for one in left_out) or "no value",
            hint="lower --horizon, or give longer series",
        )
    drawn = _drawn(usable, steps)
    examples = drawn.examples
    if {"train", "validation", "test"} - {one.part for one in examples}:
        raise DataError(
            f"the series in {table.name} are too short to hold anything out."
            if not drawn.lost
            else f"too little of the series in {table.name} is left to learn from, choose on and test.",
            expected=f"{needed(steps)} values or more in a series for a horizon of {steps}",
            got="; ".join(drawn.lost) or f"{max(len(one.values) for one in usable.values())} at most",
            hint="lower --horizon",
        )
    histories = [one.history for one in examples]
    frequencies = ", ".join(dict.fromkeys(rhythm(one.frequency) for one in histories))
    are_many = len({one.history.name for one in examples if one.part == "test"}) >= MANY
    behind = [len(usable[one.history.name].values) - one.origin for one in examples]
    when = in_horizons(histories, behind, steps, by_origin=not are_many)
    later = learned_later(histories, [one.part for one in examples], when, by_origin=not are_many)
    return Dataset(
        name=table.name,
        modality="series",
        inputs=tuple(histories),
        names=tuple(f"{one.history.name} up to {one.history.end or one.origin}" for one in examples),
        contents=tuple(one.content for one in histories),
        task=Task(
            panel.target,
            "forecasting",
            frequencies=frequencies,
            horizon=steps,
            overlap=None if are_many else drawn.overlap,
        ),
        values=tuple(replace(one.future, when=at) for one, at in zip(examples, when.tolist(), strict=True)),
        groups=tuple(one.history.name if are_many else f"{one.part} origin {one.rank:03d}" for one in examples),
        given=tuple(one.part for one in examples),
        columns=panel.columns,
        notes=(*table.notes, *panel.notes, _frequency_note(usable, drawn), _split_note(examples, usable, steps)),
        findings=(*panel.findings, *left_out, *drawn.findings, *later),
    )


def histories_in(frame: pd.DataFrame, columns: Sequence[str], target: str) -> tuple[list[History], tuple[Finding, ...]]:
    """Return each series of a long table up to its end, since what comes next is asked, and what was wrong with them.

    Raises:
        OptionError: there is no such column.
        DataError: nothing is there.
    """
    series, time = (columns[0] or None, columns[1] or None) if len(columns) == 2 else (None, None)
    panel = read_panel(Table(frame.reset_index(drop=True), "the table"), series, time, target)
    whole = {name: (clock, len(clock.values)) for name, clock in panel.clocks.items()}
    return [_history(name, *one, season_of(*one)) for name, one in whole.items()], panel.findings


def needed(horizon: int) -> int:
    """Return the values that a series has at least to be learned from, chosen on and tested."""
    return LEAST + 3 * horizon


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


@dataclass(frozen=True)
class _Drawn:
    """What is learned from and tested, and what was left out of that.

    Attributes:
        examples: all of them.
        overlap: how many later test origins a future reaches over.
        seasons: of each series.
        short: series too short to learn from.
        gaps: origins left out of each series, since a step of their future has no value.
        flat: origins left out of each series, since nothing changes up to them.
    """

    examples: list[_Example]
    overlap: int
    seasons: dict[str, int]
    short: list[str]
    gaps: dict[str, int]
    flat: dict[str, int]

    @property
    def lost(self) -> list[str]:
        """What is left out, in words."""
        return [one.text for one in self.findings if one.code != "short_series"]

    @property
    def findings(self) -> list[Finding]:
        """What is left out."""
        found = []
        if self.short:
            words = f"{count(len(self.short), 'series', 'series')} too short to learn from, only tested on: "
            found.append(Finding("short_series", words + some(self.short)))
        if self.gaps:
            words = f"{count(sum(self.gaps.values()), 'origin')} with a step without a value in the future, left out: "
            found.append(Finding("gaps_in_futures", words + some(list(self.gaps))))
        if self.flat:
            words = f"{count(sum(self.flat.values()), 'origin')} up to which nothing changes, left out: "
            found.append(Finding("flat_histories", words + some(list(self.flat))))
        tested = {one.history.name for one in self.examples if one.part == "test"}
        if lost := [name for name in self.seasons if name not in tested]:
            words = f"{count(len(lost), 'series', 'series')} of which no origin is left to test: {some(lost)}"
            found.append(Finding("untested_series", words))
        return found


def _drawn(clocks: dict[str, Clock], horizon: int) -> _Drawn:
    """Return all histories with their futures; season and base are settled once a series, before what is held out."""
    windows = max(LEAST_WINDOWS, WINDOWS // len(clocks))
    drawn, overlap = _Drawn([], 0, {}, [], {}, {}), 0
    for name, clock in clocks.items():
        n = len(clock.values)
        tested = ORIGINS if len(clocks) >= MANY else min(MOST_ORIGINS, max(ORIGINS, int(TESTED * n / horizon)))
        parts, stride = origins(n, horizon, tested=tested, windows=windows)
        overlap = max(overlap, -(-horizon // stride) - 1)
        known = min(parts["validation"] + parts["test"])
        season, is_change = season_of(clock, known), are_changes(clock.values[:known])
        drawn.seasons[name] = season
        drawn.short.extend([] if parts["train"] else [name])
        for part, places in parts.items():
            for rank, origin in enumerate(places):
                history, ahead = _history(name, clock, origin, season), slice(origin, origin + horizon)
                if clock.filled[ahead].any():
                    drawn.gaps[name] = drawn.gaps.get(name, 0) + 1
                elif history.is_flat:
                    drawn.flat[name] = drawn.flat.get(name, 0) + 1
                else:
                    future = history.future(clock.values[ahead], are_changes=is_change)
                    drawn.examples.append(_Example(history, future, part, origin, rank + NUMBERED - len(places)))
    return replace(drawn, overlap=overlap)


def _history(name: str, clock: Clock, origin: int, season: int) -> History:
    values = clock.values[max(0, origin - LONGEST) : origin]
    season = season if origin > 2 * season else 1
    return History(values, season, name, clock.times[origin - 1], clock.frequency, clock.step)


def _frequency_note(clocks: dict[str, Clock], drawn: _Drawn) -> str:
    """Say which frequency and season were inferred of how many series."""
    found: dict[str, int] = {}
    for name, clock in clocks.items():
        season = drawn.seasons[name]
        word = f"{rhythm(clock.frequency)}, {f'season {season}' if season > 1 else 'no season'}"
        found[word] = found.get(word, 0) + 1
    return "frequency, as inferred: " + "; ".join(f"{number:,} {word}" for word, number in found.items())


def _split_note(examples: Sequence[_Example], clocks: dict[str, Clock], horizon: int) -> str:
    number = {part: sum(one.part == part for one in examples) for part in ("train", "validation", "test")}
    return (
        f"split by time, with a gap of {count(horizon, 'step')}: {number['train']:,} origins of "
        f"{count(len(clocks), 'series', 'series')} to learn from, {number['validation']:,} to choose on, "
        f"{number['test']:,} the latest, to test"
    )
