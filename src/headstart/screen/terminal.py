"""What all that is printed on a terminal has in common: where it goes, its progress, tables, notes and findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from headstart.data import Finding
    from headstart.errors import HeadstartError
    from headstart.progress import Progress

OUT = Console(highlight=False, markup=False, emoji=False)
TALK = Console(stderr=True, highlight=False, markup=False, emoji=False)


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Show progress on standard error while the body runs."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[tuple[str, int], TaskID] = {}
    with Bars(*columns, console=TALK, transient=True) as bars:

        def report(phase: str, done: int, total: int) -> None:
            key = (phase, total)
            if key not in tasks:
                tasks[key] = bars.add_task(phase, total=total)
            bars.update(tasks[key], completed=done)

        yield report


def show_error(error: HeadstartError) -> None:
    """Write an error and its hint to standard error."""
    TALK.print(Text("error: ", style="bold red") + Text(str(error)), soft_wrap=True)


def show_question(data: str, words: str) -> None:
    """Print what is asked of which data."""
    OUT.print()
    OUT.print(Text(data, style="bold") + Text(f": {words}"))


def show_notes(notes: Sequence[str]) -> None:
    """Print what was decided, dimmed."""
    for note in notes:
        OUT.print(Text(f"· {note}", style="dim"))


def show_findings(findings: Sequence[Finding], *, aside: bool = False) -> None:
    """Print what is wrong with the data, and what is good to know; `aside` of what others read, on standard error."""
    console = TALK if aside else OUT
    for finding in findings:
        mark = Text("✓ ", style="bold green") if finding.is_good else Text("! ", style="bold yellow")
        console.print(mark + Text(finding.text) + Text(f"  [{finding.code}]", style="dim"))


def table_of(title: str) -> Table:
    """Return an empty table with a title."""
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
