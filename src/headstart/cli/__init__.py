"""The command line: it parses, calls, and prints; it decides nothing."""

from __future__ import annotations

import atexit
import gc
import io
import json
import os
import sys
from typing import Annotated

import typer

from headstart import __version__
from headstart.cli.answers import WRONG, answered
from headstart.cli.looking import looking
from headstart.cli.making import making
from headstart.cli.using import using
from headstart.errors import OptionError

RARELY = 50_000
"""Objects that are made before Python looks for lost ones again: loading a network's library makes half a million."""

app = typer.Typer(
    name="headstart",
    help="Transfer learning that shows its working: adapt a pretrained model, with an honest number and its interval.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # boxes around help would take as long again as the rest of it
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (making, using, looking):
    app.add_typer(group)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Print the version, or go on to the command."""
    if show:
        typer.echo(f"headstart {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; a command that cannot be understood gets its JSON too, where that was asked for."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    answered.clear()
    _spare_collections()
    if os.environ.get("RANK", "0") != "0":  # of several processes started together the first one talks
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  until the end
    try:
        app(prog_name="headstart")
    except SystemExit as end:
        if end.code == WRONG and "--json" in sys.argv and not answered:
            words = "the command line cannot be understood; standard error says why."
            typer.echo(
                json.dumps({"schema": "headstart.error/1", **OptionError(words, hint="headstart --help").as_dict()})
            )
        raise


def _spare_collections() -> None:
    """Let Python look for lost objects rarely, and not once more at the end: both would take seconds."""
    gc.set_threshold(RARELY)
    atexit.register(gc.freeze)
