"""Times: what a column of them says, read in one way from top to bottom, and how times are written."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

DAY = 86_400.0
YEARS, MONTHS = re.compile(r"[12]\d{3}"), re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])")
QUARTERS = re.compile(r"(?:(\d{4})[ /-]?Q([1-4])|Q([1-4])[ /-]?(\d{4}))", re.IGNORECASE)
YEAR_LAST = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})(\D.*)?")
OFFSET = re.compile(r"(.*\d:\d\d.*?)\s*(Z|[+-](?:0\d|1[0-4]):?[0-5]\d)")
MIDNIGHT = re.compile(r".*[T ]00:00(:00(\.0+)?)?")

EPOCHS = {"seconds": (1e9, 1e10), "milliseconds": (1e12, 1e13)}
"""Whole numbers that are times since 1970, all of them: those of 10 digits, and those of 13."""

EVEN = 0.15
"""How far a step may be from the median step, as a share of it, to be as long: months are of 28 to 31 days."""


@dataclass(frozen=True, eq=False)
class Times:
    """A column of times.

    Attributes:
        seconds: (n,) since 1970, or numbers of steps; NaN where a cell is none.
        is_date: whether they are times; numbers of steps otherwise.
        notes: how they were read, where they could be read otherwise.
    """

    seconds: np.ndarray
    is_date: bool
    notes: tuple[str, ...] = ()


def read_times(cells: Sequence[object]) -> Times:
    """Return times, all cells read in the same way; four digits are a year, and six such as 202001 a month.

    Whole numbers of 10 or 13 digits are seconds or milliseconds since 1970; other numbers are of steps.
    Where day and month could be either, the reading that takes more cells counts and, of two that take as many, the
    one whose steps are more alike.
    """
    texts = [_text(cell) for cell in cells]
    filled = [text for text in texts if text]
    for pattern, form in ((YEARS, "%Y"), (MONTHS, "%Y%m")):
        if filled and all(pattern.fullmatch(text) for text in filled):
            return Times(_seconds(texts, form), True)
    numbers = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(dtype=np.float64, copy=True)
    if np.isfinite(numbers).sum() > len(texts) / 2 and not all(re.fullmatch(r"\d{8}", text) for text in filled):
        return _numbered(numbers)
    texts, order = _year_first([_quarter(text) for text in texts])
    texts, zone = _by_one_clock(texts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas says which format it guesses
        for form in ("%Y%m%d", "ISO8601", "mixed"):
            found = _seconds(texts, form)
            if np.isfinite(found).sum() > len(texts) / 2:
                break
    return Times(found, True, order + zone)


def as_texts(seconds: np.ndarray, *, is_date: bool) -> tuple[str, ...]:
    """Return times (n,) as text: days where there is nothing else, numbers as `number_text`."""
    if not is_date:
        return tuple(number_text(number) for number in seconds.tolist())
    form = "%Y-%m-%d" if (seconds % DAY == 0).all() else "%Y-%m-%dT%H:%M:%S"
    form += "" if (seconds % 1 == 0).all() else ".%f"
    return tuple(pd.to_datetime(_stamps(seconds)).strftime(form))


def number_text(number: float) -> str:
    """Return the number of a step as text: whole ones as such."""
    return str(int(number)) if number == int(number) else f"{number:.12g}"


def months_of(seconds: np.ndarray) -> np.ndarray:
    """Return the months (n,) since 1970 that times lie in."""
    return np.asarray(_stamps(seconds).astype("datetime64[M]").astype(np.int64))


def are_month_ends(seconds: np.ndarray) -> bool:
    """Tell whether every one of two times or more is on the last day of its month."""
    return len(seconds) > 1 and bool((months_of(seconds + DAY) == months_of(seconds) + 1).all())


def _text(cell: object) -> str:
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        return str(int(cell))
    text = str(cell).strip()
    return "" if text in ("None", "nan", "NaT", "<NA>") else text


def _stamps(seconds: np.ndarray) -> np.ndarray:
    return np.round(seconds * 1e6).astype(np.int64).astype("datetime64[us]")


def _seconds(texts: Sequence[str], form: str) -> np.ndarray:
    parsed = pd.to_datetime(pd.Series(list(texts), dtype=object), format=form, errors="coerce", utc=True)
    ticks = parsed.to_numpy(dtype="datetime64[us]").astype(np.int64)
    return np.where(parsed.isna().to_numpy(), np.nan, ticks / 1e6)


def _numbered(numbers: np.ndarray) -> Times:
    known = numbers[np.isfinite(numbers)]
    for place, (unit, (low, high)) in enumerate(EPOCHS.items()):
        if ((known >= low) & (known < high) & (known % 1 == 0)).all():
            return Times(numbers / 1000**place, True, (f"times as {unit} since 1970",))
    return Times(numbers, False)


def _quarter(text: str) -> str:
    """Return "Q2 2000" and "2000-Q2" as the quarter's first day, and anything else as it is."""
    if not (found := QUARTERS.fullmatch(text)):
        return text
    year, quarter = found[1] or found[4], int(found[2] or found[3])
    return f"{year}-{3 * quarter - 2:02d}-01"


def _year_first(texts: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return dates that end in their year as those that begin with it, day and month in one order for all."""
    found = [YEAR_LAST.fullmatch(text) for text in texts]
    marks = [one[2] for one in found if one]
    if 2 * len(marks) <= sum(text != "" for text in texts):
        return texts, ()
    readings = []
    for words, day, month in ((("month", "day"), 3, 1), (("day", "month"), 1, 3)):
        turned = [_turned(one, int(one[day]), int(one[month])) if one else "" for one in found]
        days = _seconds([text[:10] for text in turned], "ISO8601")
        is_usual = words[0] == ("day" if marks[0] == "." else "month")
        readings.append((int(np.isfinite(days).sum()), _evenness(days), is_usual, words, turned))
    *_, words, turned = max(readings, key=lambda one: one[:3])
    return turned, (f"times as {marks[0].join((*words, 'year'))}",)


def _turned(found: re.Match[str], day: int, month: int) -> str:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return ""
    year = int(found[4]) + (0 if len(found[4]) == 4 else 1900 if int(found[4]) > 68 else 2000)
    return f"{year:04d}-{month:02d}-{day:02d}{found[5] or ''}"


def _evenness(seconds: np.ndarray) -> float:
    """Return the share of steps that are about as long as the median step."""
    gaps = np.diff(np.unique(seconds[np.isfinite(seconds)]))
    return float((np.abs(gaps / np.median(gaps) - 1) <= EVEN).mean()) if len(gaps) else 0.0


def _by_one_clock(texts: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return times without what they are off UTC, where that is the same for all, or where all are midnights.

    Others are left: they become UTC.
    """
    found = [OFFSET.fullmatch(text) for text in texts if text]
    known = [one for one in found if one]
    if not known:
        return texts, ()
    offsets = {one[2] for one in known}
    if len(known) < len(found) or (len(offsets) > 1 and not all(MIDNIGHT.fullmatch(one[1]) for one in known)):
        return texts, ("times in UTC, since not all are as far off it",)
    bare = iter(one[1] for one in known)
    notes = () if offsets <= {"Z", "+00:00"} else (f"times as clocks showed them, {' or '.join(sorted(offsets))}",)
    return [next(bare) if text else "" for text in texts], notes
