"""What is asked for on the command line, where several commands ask for it."""

from __future__ import annotations

from typing import Annotated

import typer

Data = Annotated[str, typer.Argument(help="An image folder, or a CSV, TSV, Parquet or JSON-lines table.")]
Inputs = Annotated[list[str] | None, typer.Option("--input", help="Column of the inputs; may be repeated.")]
Target = Annotated[str | None, typer.Option("--target", help="Column of the labels or numbers.")]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target", help="Column of the labels or numbers; repeated for several: rating:regression says which kind."
    ),
]
Group = Annotated[str | None, typer.Option("--group", help="Column of what must not be separated, such as a patient.")]
Sensitive = Annotated[
    list[str] | None, typer.Option("--sensitive", help="Column to report errors by; may be repeated.")
]
Kind = Annotated[
    str | None,
    typer.Option("--task", help="classification, multilabel, regression, tagging or summarization; else inferred."),
]
Series = Annotated[str | None, typer.Option(help="Of a long table to forecast, the column that names the series.")]
Time = Annotated[str | None, typer.Option(help="Its column of times; inferred where that is plain.")]
Horizon = Annotated[
    int | None, typer.Option(help="Steps ahead to forecast; given it, the table is read as series in time.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object; docs/json.md names its fields.")]
Saved = Annotated[str, typer.Argument(help="A model made here: a .headstart folder.")]
Source = Annotated[
    str | None,
    typer.Option(
        "--backbone", help="Pretrained model, see `headstart backbones`; fit takes the best of several, or of offline."
    ),
]
Arms = Annotated[
    str | None,
    typer.Option(
        "--arms", "--strategy", help="One strategy, or several to choose from, the simplest first: probe,finetune@-2."
    ),
]
Weights = Annotated[
    list[str] | None, typer.Option("--weight", help="Of one of several targets, such as sentiment=2; may be repeated.")
]
Balance = Annotated[
    list[str] | None,
    typer.Option(
        help="Of targets' losses: sum, sampled, uncertainty, gradnorm, famo, pcgrad; repeated to choose from."
    ),
]
Budget = Annotated[str, typer.Option(help="Time for comparing and learning, such as 90s, 5m or 1h.")]
BudgetEach = Annotated[
    str | None,
    typer.Option(
        "--budget", help="Time for comparing and learning, as 90s, 5m or 1h; by default 10m, for each target."
    ),
]
Pool = Annotated[
    str,
    typer.Option(
        help="Names, commas between, or a .txt of them; NAME@CUT, NAME/160px; offline: installed; all: and made here."
    ),
]
Scores = Annotated[
    str, typer.Option(help="Of logme, h_score, transrate, gbc, n_leep, nearest, leep, nce; commas between them.")
]
SourceData = Annotated[
    str | None, typer.Option(help="What the sources learned from: what the data has in common with it is said.")
]
Cut = Annotated[int | None, typer.Option(help="Stages frozen; a probe reads after them; negative: from the top.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the examples, for what learns above the cut.")]
Rate = Annotated[float | None, typer.Option(help="Learning rate of the top stage; settled or found by default.")]
PlanFile = Annotated[str | None, typer.Option("--plan", help="Replay the plan in a file or a saved model.")]
TestShare = Annotated[float, typer.Option(help="Share held out where the data brings no split.")]
