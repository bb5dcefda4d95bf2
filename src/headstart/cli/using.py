"""Commands that use a model that was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from headstart.cli.answers import one_answer, standard_input
from headstart.cli.options import Data, Group, Horizon, Inputs, Json, Saved, Series, Target, Time
from headstart.errors import DataError, OptionError

STANDARD_INPUT = "-"
using = typer.Typer()


@using.command(short_help="Measure a saved model on labelled examples.")
def evaluate(
    model: Saved,
    data: Data,
    inputs: Inputs = None,
    target: Target = None,
    group: Group = None,
    series: Series = None,
    time: Time = None,
    horizon: Horizon = None,
    as_json: Json = False,
) -> None:
    """Measure a saved model on labelled examples it was not trained on.

    Where the data has a given split, its test part is measured and its train part trains the classical baseline.
    Of a model of several targets --target chooses one: season, or season=label where the data calls it otherwise.

    Example: `headstart evaluate ants.headstart new-photos/`
    """
    with one_answer(as_json) as answer:
        from headstart import screen
        from headstart.data import read
        from headstart.evaluation import evaluate as run_evaluate
        from headstart.multitask import MultiTaskModel, load

        with screen.progress_bars() as progress:
            whole = load(model)
            if isinstance(whole, MultiTaskModel):
                name, _, column = (target or "").partition("=")
                loaded, target = whole.only(_required(name, whole.targets)), column or name
            else:
                loaded = whole
            steps: dict[str, Any] = {"series": series, "time": time, "horizon": horizon}
            if loaded.task.form == "path":
                own = (*(name or None for name in loaded.columns), loaded.task.horizon)
                steps = {name: said or known for (name, said), known in zip(steps.items(), own, strict=True)}
            is_text = loaded.backbone.card.modality == "text"
            examples = read(
                data,
                input=inputs or (list(loaded.columns) if is_text else None) or None,
                target=target if target is not None else loaded.task.target,
                group=group,
                task=loaded.task.kind,
                **steps,
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


def _required(target: str, targets: Sequence[str]) -> str:
    """Return the target that was asked for.

    Raises:
        OptionError: none was, of several.
    """
    if not target:
        names = ", ".join(targets)
        raise OptionError("the model has several targets.", expected=f"--target, one of {names}", got="none")
    return target


@using.command(short_help="Answer for new inputs.")
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
    with one_answer(as_json) as answer:
        from headstart import screen
        from headstart.data.inputs import as_file_or_text
        from headstart.multitask import load

        given = [
            one for item in inputs for one in (standard_input() if item == STANDARD_INPUT else [as_file_or_text(item)])
        ]
        with screen.progress_bars() as progress:
            predictions = load(model).predict(given, progress=progress)
        failed = [prediction for prediction in predictions if prediction.error is not None]
        if len(failed) == len(predictions):
            raise DataError(
                f"none of the {len(predictions)} inputs could be read.", got=f"{failed[0].input}: {failed[0].error}"
            )
        plain = [prediction.as_dict() for prediction in predictions]
        findings = list(dict.fromkeys(finding for prediction in predictions for finding in prediction.findings))
        warnings = [{"code": finding.code, "text": finding.text} for finding in findings]
        answer.update({"schema": "headstart.predict/1", "model": model, "n_failed": len(failed)})
        answer.update({"predictions": plain, "warnings": warnings})
        if not as_json:
            screen.show_findings(findings, aside=True)
            screen.show_predictions(predictions)
