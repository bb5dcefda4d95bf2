"""What a command says: one JSON object, an error and its exit code, what to type next."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from headstart.artifact import storage_errors
from headstart.errors import HeadstartError, OptionError
from headstart.wording import user_path

WRONG = 2
answered: list[str] = []
"""Errors that were printed as JSON by this process."""


@contextmanager
def one_answer(as_json: bool) -> Iterator[dict[str, Any]]:
    """Print what the body puts into the answer as one JSON object, or its error; exit 2 when the question was wrong."""
    answer: dict[str, Any] = {}
    try:
        yield answer
    except HeadstartError as error:
        from headstart.screen import show_error

        if as_json:
            answered.append("error")
            typer.echo(json.dumps({"schema": "headstart.error/1", **error.as_dict()}))
        show_error(error)
        raise typer.Exit(WRONG) from None
    if as_json:
        typer.echo(json.dumps(answer, allow_nan=False))


def default_out(data: str) -> str:
    """Return where a model is saved when nothing is said."""
    path = user_path(data).resolve()
    return f"{path.name if path.is_dir() else path.stem}.headstart"


def refuse(options: Mapping[str, object], where: str) -> None:
    """Raise an `OptionError` if an option was given that has no meaning here."""
    given = [name for name, value in options.items() if value]
    if given:
        raise OptionError(f"{given[0]} has no meaning for {where}.", hint=f"leave out {given[0]}")


def drawing_file(name: str) -> Path:
    """Return where a drawing is written, once it may be.

    Raises:
        OptionError: it is no .svg, or its folder is not there.
    """
    path = user_path(name)
    if path.suffix != ".svg":
        raise OptionError("a drawing is written as SVG.", expected="a name that ends in .svg", got=name)
    if not path.parent.is_dir():
        raise OptionError("the folder of the drawing is not there.", expected="a folder", got=str(path.parent))
    return path


def write_drawing(path: Path, drawing: str) -> None:
    """Write a drawing, whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    with storage_errors(path.parent):
        part.write_text(drawing, encoding="utf-8")
        part.replace(path)


def quoted(path: object) -> str:
    """Return a path as a shell takes it."""
    return shlex.quote(str(path))


def standard_input() -> list[str]:
    """Return the lines that are piped in.

    Raises:
        OptionError: nothing is.
    """
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        raise OptionError(
            "nothing comes from standard input.",
            expected="lines piped in",
            hint="cat texts.txt | headstart predict M -",
        )
    lines = sys.stdin.buffer.read().decode("utf-8", "replace").splitlines()
    return [line for line in lines if line.strip()]


def example_input(result: Any) -> str:
    """Return what a model might be asked about."""
    words = {"image": "NEW_IMAGES", "series": "NEWER_TABLE.csv"}
    return words.get(result.model.backbone.card.modality, '"a new text"')


def show_next(*commands: str) -> None:
    """Print what to type next."""
    from headstart.screen import OUT

    OUT.print("next:")
    for command in commands:
        OUT.print(f"  {command}", soft_wrap=True)
    OUT.print()
