"""The command line: it parses, calls, and prints; it decides nothing."""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from headstart import __version__
from headstart.errors import DataError, HeadstartError, OptionError
from headstart.wording import printable, read_seconds, user_path

app = typer.Typer(
    name="headstart",
    help="Transfer learning that shows its working: adapt a pretrained model, with an honest number and its interval.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

WRONG = 2
DEMO_BUDGET = 60.0
_answered: list[str] = []
STANDARD_INPUT = "-"

Data = Annotated[str, typer.Argument(help="An image folder, or a CSV, TSV, Parquet or JSON-lines table.")]
Inputs = Annotated[list[str] | None, typer.Option("--input", help="Column of the inputs; may be repeated.")]
Target = Annotated[str | None, typer.Option("--target", help="Column of the labels or numbers.")]
Group = Annotated[str | None, typer.Option("--group", help="Column of what must not be separated, such as a patient.")]
Sensitive = Annotated[
    list[str] | None, typer.Option("--sensitive", help="Column to report errors by; may be repeated.")
]
Kind = Annotated[str | None, typer.Option("--task", help="classification, multilabel or regression; else inferred.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object; docs/json.md names its fields.")]
Saved = Annotated[str, typer.Argument(help="A model made here: a .headstart folder.")]


Source = Annotated[str | None, typer.Option("--backbone", help="Pretrained model; see `headstart backbones`.")]
Cut = Annotated[int | None, typer.Option(help="Stages frozen; a probe reads after them; negative: from the top.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the examples, for what learns above the cut.")]
Rate = Annotated[float | None, typer.Option(help="Learning rate of the top stage; settled or found by default.")]
PlanFile = Annotated[str | None, typer.Option("--plan", help="Replay the plan in a file or a saved model.")]


@app.command()
def demo(
    out: Annotated[str, typer.Option(help="Folder for the data and the models.")] = "headstart-demo",
    as_json: Json = False,
) -> None:
    """Do the main job on real data that ships with the dependencies.

    Example: `headstart demo`
    """
    with _one_answer(as_json) as answer:
        from headstart import screen
        from headstart.demo import write_demos
        from headstart.job import fit as run_fit

        results = []
        for shown in write_demos(user_path(out)):
            model = shown.data.with_suffix(".headstart")
            screen.TALK.print(f"headstart fit {shown.data} --out {model}   # {shown.words}", soft_wrap=True)
            with screen.progress_bars() as progress:
                result = run_fit(str(shown.data), out=model, budget=DEMO_BUDGET, progress=progress)
            results.append(result.as_dict())
            if not as_json:
                screen.show_result(result)
                further = f"headstart fit {_quoted(shown.data)} {shown.further}   # read lower down, before objects"
                _next(
                    f"headstart predict {_quoted(model)} {shown.try_it}",
                    f"headstart evaluate {_quoted(model)} {_quoted(shown.data)}",
                    *([further] if shown.further else []),
                )
        answer.update({"schema": "headstart.demo/1", "results": results})


@app.command()
def fit(
    data: Data,
    inputs: Inputs = None,
    target: Target = None,
    group: Group = None,
    sensitive: Sensitive = None,
    task: Kind = None,
    backbone: Source = None,
    strategy: Annotated[
        str | None, typer.Option(help="probe, finetune, lora or scratch; else chosen out of fold.")
    ] = None,
    cut: Cut = None,
    epochs: Epochs = None,
    rate: Rate = None,
    budget: Annotated[str, typer.Option(help="Time for comparing and learning, such as 90s, 5m or 1h.")] = "10m",
    plan: PlanFile = None,
    test: Annotated[float, typer.Option(help="Share held out where the data brings no split.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Of the split and the folds.")] = 0,
    out: Annotated[str | None, typer.Option(help="Where to save the model; DATA.headstart by default.")] = None,
    as_json: Json = False,
) -> None:
    """Read, check, split, choose, learn, measure and save: the main job.

    Interrupted, the same command goes on where it was. HEADSTART_PRECISION=fp32 computes nothing in less.

    Example: `headstart fit photos/ --out ants.headstart`
    """
    with _one_answer(as_json) as answer:
        from headstart import screen
        from headstart.job import fit as run_fit
        from headstart.plan import read_plan
        from headstart.strategies import named

        with screen.progress_bars() as progress:
            result = run_fit(
                data,
                input=inputs,
                target=target,
                group=group,
                sensitive=sensitive or (),
                task=task,  # type: ignore[arg-type]  # read says what is wrong with it
                backbone=backbone,
                strategy=named(strategy, cut=cut, epochs=epochs, rate=rate),
                test=test,
                seed=seed,
                budget=read_seconds(budget),
                plan=read_plan(plan) if plan is not None else None,
                out=out if out is not None else _default_out(data),
                progress=progress,
            )
        answer.update(result.as_dict())
        if not as_json:
            screen.show_result(result)
            screen.OUT.print(f"saved {result.path}")
            _next(f"headstart predict {_quoted(result.path)} {_example_input(result)}")


@app.command()
def adapt(
    data: Data,
    strategy: Annotated[str, typer.Option(help="probe, finetune, lora or scratch.")] = "probe",
    inputs: Inputs = None,
    target: Target = None,
    group: Group = None,
    task: Kind = None,
    backbone: Source = None,
    cut: Cut = None,
    epochs: Epochs = None,
    rate: Rate = None,
    seed: Annotated[int, typer.Option(help="Of the folds, and of everything drawn.")] = 0,
    plan: PlanFile = None,
    out: Annotated[str | None, typer.Option(help="Where to save the model; DATA.headstart by default.")] = None,
    as_json: Json = False,
) -> None:
    """Learn one strategy from all examples but a given test part, and save; nothing is measured.

    Interrupted, the same command goes on where it was.

    Example: `headstart adapt photos/ --strategy finetune --cut -2`
    """
    with _one_answer(as_json) as answer:
        from headstart import artifact, screen
        from headstart.adaptation import adapt as run_adapt
        from headstart.data import read
        from headstart.plan import read_plan
        from headstart.strategies import named

        path = user_path(out if out is not None else _default_out(data))
        artifact.check_destination(path.resolve())
        chosen = named(strategy, cut=cut, epochs=epochs, rate=rate)
        with screen.progress_bars() as progress:
            examples = read(
                data,
                input=inputs,
                target=target,
                group=group,
                task=task,  # type: ignore[arg-type]  # read says what is wrong with it
                progress=progress,
            )
            model = run_adapt(
                examples,
                backbone=backbone,
                strategy=chosen[0] if chosen else None,
                seed=seed,
                plan=read_plan(plan) if plan is not None else None,
                checkpoint=path,
                progress=progress,
            )
            model.save(path)
        answer.update({"schema": "headstart.adapt/1", "model": str(path), "data": examples.name, **model.record})
        if not as_json:
            screen.show_model(model, path)
            _next(f"headstart evaluate {_quoted(path)} LABELLED_DATA")


@app.command()
def evaluate(
    model: Saved,
    data: Data,
    inputs: Inputs = None,
    target: Target = None,
    group: Group = None,
    as_json: Json = False,
) -> None:
    """Measure a saved model on labelled examples it was not trained on.

    Where the data has a given split, its test part is measured and its train part trains the classical baseline.

    Example: `headstart evaluate ants.headstart new-photos/`
    """
    with _one_answer(as_json) as answer:
        from headstart import screen
        from headstart.data import read
        from headstart.evaluation import evaluate as run_evaluate
        from headstart.model import load

        with screen.progress_bars() as progress:
            loaded = load(model)
            is_text = loaded.backbone.card.modality == "text"
            examples = read(
                data,
                input=inputs or (list(loaded.columns) if is_text else None) or None,
                target=target if target is not None else loaded.task.target,
                group=group,
                task=loaded.task.kind,
                progress=progress,
            )
            is_given = examples.given is not None and "test" in examples.given
            train = examples.given_part("train") if is_given else None
            validation = examples.given_part("validation") if is_given else None
            found = run_evaluate(
                loaded,
                examples.given_part("test") if is_given else examples,
                train=train if train else None,
                validation=validation if train and validation else None,
                keep_seen=is_given,
                progress=progress,
            )
        findings = (*examples.findings, *found.findings)
        warnings = [{"code": finding.code, "text": finding.text} for finding in findings]
        answer.update(
            {"schema": "headstart.evaluate/1", "model": model, "n": found.n, **found.as_dict(), "warnings": warnings}
        )
        if not as_json:
            screen.show_findings(findings)
            screen.show_evaluation(found)


@app.command()
def predict(
    model: Saved,
    inputs: Annotated[
        list[str], typer.Argument(help="Files, folders, tables or texts; - reads lines from standard input.")
    ],
    as_json: Json = False,
) -> None:
    """Answer for new inputs; one that cannot be read is named, and the rest goes on.

    Example: `headstart predict ants.headstart new/*.jpg --json`
    """
    with _one_answer(as_json) as answer:
        from headstart import screen
        from headstart.data.inputs import as_file_or_text
        from headstart.model import load

        given = [
            one for item in inputs for one in (_standard_input() if item == STANDARD_INPUT else [as_file_or_text(item)])
        ]
        with screen.progress_bars() as progress:
            predictions = load(model).predict(given, progress=progress)
        failed = [prediction for prediction in predictions if prediction.error is not None]
        if len(failed) == len(predictions):
            raise DataError(
                f"none of the {len(predictions)} inputs could be read.", got=f"{failed[0].input}: {failed[0].error}"
            )
        plain = [prediction.as_dict() for prediction in predictions]
        answer.update({"schema": "headstart.predict/1", "model": model, "n_failed": len(failed), "predictions": plain})
        if not as_json:
            screen.show_predictions(predictions)


@app.command()
def backbones(
    folder: Annotated[str | None, typer.Argument(help="A folder of models made here, to list them too.")] = None,
    as_json: Json = False,
) -> None:
    """List what pretrained models there are, from where, and under which licence.

    Example: `headstart backbones`
    """
    with _one_answer(as_json) as answer:
        from headstart.backbones.listing import list_backbones

        listed = list_backbones(folder)
        answer.update({"schema": "headstart.backbones/1", "backbones": [one.as_dict() for one in listed]})
        if not as_json:
            from headstart import screen

            screen.show_backbones(listed)


@app.command()
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all of it; it is computed again when needed.")] = False,
    as_json: Json = False,
) -> None:
    """Show what was computed below a cut and kept, or remove it.

    HEADSTART_CACHE names its folder, or is off; HEADSTART_CACHE_SIZE is what it may take, such as 20GB.

    Example: `headstart cache`
    """
    with _one_answer(as_json) as answer:
        from headstart.cache import the_cache

        kept = the_cache()
        cleared = kept.clear() if clear else 0
        shelves = kept.shelves()
        answer.update(
            {
                "schema": "headstart.cache/1",
                "folder": None if kept.folder is None else printable(str(kept.folder)),
                "bound": kept.bound,
                "bytes": sum(shelf["bytes"] for shelf in shelves),
                "shelves": shelves,
                "cleared": cleared,
            }
        )
        if not as_json:
            from headstart import screen

            screen.show_cache(answer, cleared=clear)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Print the version, or go on to the command."""
    if show:
        typer.echo(f"headstart {__version__}")
        raise typer.Exit


@contextmanager
def _one_answer(as_json: bool) -> Iterator[dict[str, Any]]:
    """Print what the body puts into the answer as one JSON object, or its error; exit 2 when the question was wrong."""
    answer: dict[str, Any] = {}
    try:
        yield answer
    except HeadstartError as error:
        from headstart.screen import show_error

        if as_json:
            _answered.append("error")
            typer.echo(json.dumps({"schema": "headstart.error/1", **error.as_dict()}))
        show_error(error)
        raise typer.Exit(WRONG) from None
    if as_json:
        typer.echo(json.dumps(answer, allow_nan=False))


def _default_out(data: str) -> str:
    path = user_path(data).resolve()
    return f"{path.name if path.is_dir() else path.stem}.headstart"


def _quoted(path: object) -> str:
    return shlex.quote(str(path))


def _standard_input() -> list[str]:
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        raise OptionError(
            "nothing comes from standard input.",
            expected="lines piped in",
            hint="cat texts.txt | headstart predict M -",
        )
    lines = sys.stdin.buffer.read().decode("utf-8", "replace").splitlines()
    return [line for line in lines if line.strip()]


def _example_input(result: Any) -> str:
    return "NEW_IMAGES" if result.model.backbone.card.modality == "image" else '"a new text"'


def _next(*commands: str) -> None:
    from headstart.screen import OUT

    OUT.print("next:")
    for command in commands:
        OUT.print(f"  {command}", soft_wrap=True)
    OUT.print()


def main() -> None:
    """Run the command line; a command that cannot be understood gets its JSON too, where that was asked for."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    _answered.clear()
    if os.environ.get("RANK", "0") != "0":  # of several processes started together the first one talks
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  until the end
    try:
        app(prog_name="headstart")
    except SystemExit as end:
        if end.code == WRONG and "--json" in sys.argv and not _answered:
            words = "the command line cannot be understood; standard error says why."
            typer.echo(
                json.dumps({"schema": "headstart.error/1", **OptionError(words, hint="headstart --help").as_dict()})
            )
        raise
