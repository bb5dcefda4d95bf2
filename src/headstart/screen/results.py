"""Results as a person enjoys reading them: what was made, how it stands beside others, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from headstart.screen.rankings import show_contenders
from headstart.screen.terminal import OUT, TALK, show_findings, show_notes, show_question, table_of
from headstart.statistics import Measure
from headstart.telling import (
    LOCAL,
    OF_TEXTS,
    STRATEGIES,
    TITLES,
    arm_in_words,
    measure_in_words,
    percent,
    why_chosen,
)
from headstart.wording import bytes_in_words, count

if TYPE_CHECKING:
    from rich.table import Table

    from headstart.comparison.comparing import Comparison
    from headstart.comparison.proof import Proof
    from headstart.evaluation import Evaluation
    from headstart.model import Model, Prediction
    from headstart.report.result import MultiTaskResult, Result

CLASSES_SHOWN = 12
SETTLED = ("speed", "cosine", "few", "plan", "race")
"""Shelves that hold what was tried on this machine, beside those of examples."""

NOTHING_CARRIED = {
    (False, "majority"): "no transfer: the commonest answer",
    (False, "classical"): "no transfer: a linear model on classical features, which nobody pretrained",
    (True, "majority"): "no transfer: the first sentences",
    (True, "classical"): "no transfer: sentences chosen by their words, place and length",
}
"""What is said of a model that carries nothing over, by whether its answers are texts."""

ERRORS = {
    "mase": "twice the pinball loss of nine quantiles, in units of a history's own seasonal differences",
    "rougeL": "what ROUGE-L lacks to 1",
}
"""What contenders are chosen by where it is no distance squared, by the metric that is shown."""

SHORT = {"weighted_quantile_loss": "WQL ↓", "coverage_80": "in 80 %", "direction": "way"}
"""Titles of columns where there are many."""

LEGEND = (
    "MASE: the mean absolute error, where 1 is what the last season again errs by within a history; WQL: weighted "
    "quantile loss; in 80 %: steps that came within the 80 % interval; way: steps that went up or down as the median "
    "said; combined: the median of those of the three that erred least, held out"
)
"""What the columns and rows of forecasts are."""

BESIDE = 2
"""Baselines whose intervals stand on the line of their numbers; of more they stand below."""


def show_result(result: Result) -> None:
    """Print what the main job made and found."""
    model, groups = result.model, ""
    whole, part = result.proof.called("groups"), "words: " if model.task.words else ""
    if result.groups:
        groups = f" ({whole}: " + ", ".join(f"{count:,} {name}" for name, count in result.groups.items()) + ")"
    show_question(result.data, f"{model.task.kind} of {model.task.target!r}, {part}{_sets(result.n)}{groups}")
    _show_made(model)
    show_notes(result.notes)
    show_findings(result.warnings)
    if result.ranking is not None:
        title = "sources, by a linear probe out of fold; = cannot be told from the best; the first is taken"
        show_contenders(result.ranking, result.ranking.contenders, title)
    show_arms(model.record["arms"], model.task.called)
    show_evaluation(result.evaluation, result.proof)
    _show_seconds(result.seconds)
    said, took = (sum(one) for one in zip(*result.forecast.values(), strict=True))
    foreseen = ", ".join(f"{name} {one:.1f} ({fact:.1f})" for name, (one, fact) in result.forecast.items())
    OUT.print(Text(f"seconds forecast (and taken): {said:.1f} ({took:.1f}): {foreseen}", style="dim"))


def _sets(n: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in n.items() if count)


def _show_seconds(seconds: Mapping[str, float]) -> None:
    phases = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items() if name != "total")
    OUT.print(Text(f"{seconds['total']:.1f} s ({phases})", style="dim"))


def show_together(result: MultiTaskResult) -> None:
    """Print what the main job made of several targets."""
    show_question(result.data, f"{', '.join(result.targets)}; {_sets(result.n)}")
    show_notes(result.notes)
    show_findings(result.warnings)
    table = table_of("on the test examples, with 95 % intervals; shares in %")
    table.add_column("target", overflow="fold")
    for column in ("", "this model", "classical"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for target, one in result.targets.items():
        found = one.evaluation
        rival = found.baselines.get("classical", {}).get(found.headline)
        shown = [measure_in_words(found.headline, own) for own in (found.metrics[found.headline], rival)]
        table.add_row(target, TITLES.get(found.headline, found.headline), *shown)
    OUT.print(table)
    for target, one in result.targets.items():
        OUT.print(Text(target, style="bold") + Text(f" {result.told(target)}"))
        OUT.print(Text(f"  {one.proof.sentence}"))
        show_findings(one.warnings)
    _show_seconds(result.seconds)


def show_kept(kept: Mapping[str, Mapping[str, float]]) -> None:
    """Print how many answers of the old targets are as before, where their network has learned a new one."""
    for target, share in kept.items():
        low, high = 100 * share["low"], 100 * share["high"]
        OUT.print(f"{target}: {100 * share['value']:.0f} % [{low:.0f}, {high:.0f}] of its answers are as before")


def show_model(model: Model, path: object) -> None:
    """Print what an adaptation made."""
    _show_made(model)
    show_notes([model.task.called(note) for note in model.record["notes"]])
    words = model.task.called(f"learned from {model.record['n']['train']:,} examples")
    OUT.print(f"{model.task.kind} of {model.task.target!r}, {words}")
    OUT.print(f"saved {path}")


def _show_made(model: Model) -> None:
    """Say in a line what was made from what."""
    record, stages = model.record, model.backbone.n_stages
    if record["strategy"] in ("majority", "classical") and model.task.form == "path":
        OUT.print(f"no transfer: {' and '.join(LOCAL[one] for one in model.backbone.architecture['methods'])}")
        return
    if record["strategy"] in ("majority", "classical"):
        OUT.print(NOTHING_CARRIED[model.task.form == "text", record["strategy"]])
        return
    if record["strategy"] == "zeroshot":
        words = "as it is: nothing was learned"
    elif record["strategy"] == "probe":
        place = "all stages frozen" if model.cut is None else f"read after stage {model.cut} of {stages}"
        head = "a linear head on its features" if model.task.form != "text" else "sentences chosen by a linear head"
        words = f"{place}; {head}"
    else:
        frozen = f"{record['cut']} of {stages} stages frozen" if record["cut"] else "nothing frozen"
        rate = f"rate {record['schedule']['rate']:g}"
        words = f"{STRATEGIES[record['strategy']]}: {frozen}, {count(record['epoch'], 'epoch')}, {rate}"
    OUT.print(f"backbone {record['backbone']}, {words}")


def show_arms(arms: Sequence[dict[str, Any]], called: Callable[[str], str] = str) -> None:
    """Print how the strategies stood on training examples they had not learned from, and which was chosen.

    Args:
        arms: as JSON holds them.
        called: says a sentence with examples called what they are.
    """
    if not arms:
        return
    headline = arms[0]["headline"]
    n = arms[0]["metrics"][headline]["n"]
    table = table_of(called(f"strategies on {n:,} examples they had not learned from; none of them is a test example"))
    table.add_column("")
    for column in (TITLES.get(headline, headline), "error ↓", "behind the best"):
        table.add_column(column, justify="right", no_wrap=True)
    for arm in arms:
        name, own = called(arm_in_words(arm)), arm["metrics"].get(headline)
        behind = "" if not arm["behind"] else f"{arm['behind']:.4f} ± {arm['standard_error']:.4f}"
        style = "bold" if arm["chosen"] else ""
        shown = measure_in_words(headline, None if own is None else Measure(**own))
        table.add_row(name + (" ← chosen" if arm["chosen"] else ""), shown, f"{arm['error']:.4f}", behind, style=style)
    OUT.print(table)
    squared = "how far what is answered (a probability, or a number) lies from the truth, squared; 0 is perfect"
    words = f"error: {ERRORS.get(headline, squared)}"
    OUT.print(called(why_chosen(arms)))
    OUT.print(Text(words, style="dim"))


def show_comparison(found: Comparison) -> None:
    """Print how contenders stood, and what was proven."""
    show_question(found.data, f"{found.kind} of {found.target!r}, {_sets(found.n)}")
    show_notes(found.notes)
    show_findings(found.findings)
    show_arms(found.arms, found.proof.called)
    show_proof(found.proof)


def show_proof(proof: Proof) -> None:
    """Print the verdict, and what transfer was worth."""
    OUT.print(Text(proof.sentence, style="bold"))
    if proof.forecast is not None:
        OUT.print(proof.called(proof.forecast.words))
    if proof.foretold is not None:
        OUT.print(proof.foretold.words)
    if proof.labels is not None:
        OUT.print(proof.called(proof.labels.sentence))
    if "with" in proof.cpu and "without" in proof.cpu:
        words = f"learning took {proof.cpu['with']:.1f} CPU-seconds with transfer, {proof.cpu['without']:.1f} without"
        matched = proof.seconds_to_match
        if matched is not None:
            words += f"; with as many labels as it needs, {'more than ' if matched[1] else ''}{matched[0]:.1f}"
        OUT.print(proof.called(words))
    if proof.forgetting is not None:
        OUT.print(proof.called(proof.forgetting.sentence))
    words = "; ".join(f"{name} {error}" for name, error in proof.gaps_in_words)
    OUT.print(Text(f"errors: {words}", style="dim"))


def show_evaluation(evaluation: Evaluation, proof: Proof | None = None) -> None:
    """Print the metrics beside the baselines', the classes, and what is proven where there is a proof."""
    if evaluation.task.form == "path":
        _show_forecasts(evaluation, proof)
        return
    beside = {**evaluation.baselines, **evaluation.ceilings}
    names = list(beside)
    table = table_of(evaluation.task.called(f"on {evaluation.n:,} test examples, with 95 % intervals; shares in %"))
    table.add_column("")
    titles = OF_TEXTS if evaluation.task.form == "text" else {}
    for column in ("this model", *(titles.get(name, name).removeprefix("the ") for name in names)):
        table.add_column(column, justify="right", no_wrap=not titles)
    for metric, measure in evaluation.metrics.items():
        rivals = [beside[name].get(metric) for name in names]
        style = "bold" if metric == evaluation.headline else ""
        cells = [measure_in_words(metric, one) for one in (measure, *rivals)]
        shown = cells if len(names) <= BESIDE else [cell.replace(" [", "\n[", 1) for cell in cells]
        table.add_row(TITLES.get(metric, metric), *shown, style=style)
    OUT.print(table)
    if evaluation.ahead:
        OUT.print(Text("\n".join((f"example by example, in {TITLES[evaluation.headline]}:", *evaluation.paired))))
        OUT.print(Text(evaluation.ceiling_words, style="dim"))
    if proof is None:
        OUT.print(Text(evaluation.comparison, style="bold"))
    if len(evaluation.per_class) > 1:
        OUT.print(_class_table(evaluation))
    if proof is not None:
        show_proof(proof)


def _show_forecasts(evaluation: Evaluation, proof: Proof | None) -> None:
    """Print how forecasts did, a method a row."""
    table = table_of(
        f"on {evaluation.n:,} test origins, the first with 95 % intervals, the others' are in the report; shares in %"
    )
    table.add_column("")
    for metric in evaluation.metrics:
        table.add_column(SHORT.get(metric) or TITLES.get(metric, metric), justify="right", no_wrap=True)
    rows = {"this model": evaluation.metrics, **evaluation.baselines}
    for name, measures in sorted(rows.items(), key=lambda row: row[1][evaluation.headline].value):
        cells = [_in_short(metric, measures.get(metric)) for metric in evaluation.metrics]
        table.add_row(LOCAL.get(name, name), *cells, style="bold" if name == "this model" else "")
    OUT.print(table)
    OUT.print(Text(LEGEND, style="dim"))
    if proof is None:
        OUT.print(Text(evaluation.comparison, style="bold"))
    else:
        show_proof(proof)


def _in_short(metric: str, measure: Measure | None) -> str:
    return measure_in_words(metric, measure) if metric == "mase" else measure_in_words(metric, measure).split(" [")[0]


def show_predictions(predictions: Sequence[Prediction]) -> None:
    """Print one line an input: what it is called, a tab, and the answer."""
    for prediction in predictions:
        if prediction.error is not None:
            TALK.print(
                Text(f"{prediction.input}: ", style="bold") + Text(prediction.error, style="red"), soft_wrap=True
            )
            continue
        if "forecast" in prediction.answer:
            print("\n".join(f"{_short(prediction.input)}\t{line}" for line in _answer(prediction.answer).split("\n")))
            continue
        print(f"{_short(prediction.input)}\t{_answer(prediction.answer)}")


def show_cache(answer: dict[str, Any], *, cleared: bool) -> None:
    """Print where the cache lies, how full it is, and what each shelf is about."""
    if answer["folder"] is None:
        OUT.print("the cache is off: nothing is kept")
        return
    if cleared:
        OUT.print(f"removed {bytes_in_words(answer['cleared'])}")
    shelves = [shelf for shelf in answer["shelves"] if shelf["about"].get("kind") not in SETTLED]
    if shelves:
        table = table_of("computed once and kept")
        table.add_column("what", no_wrap=True)
        table.add_column("backbone", overflow="fold")
        for column in ("cut", "precision", "examples", "size"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("last used", no_wrap=True)
        for shelf in shelves:
            words = [Text(str(shelf["about"].get(name, "–"))) for name in ("kind", "backbone", "cut", "precision")]
            used = datetime.fromisoformat(shelf["used"]).astimezone().strftime("%Y-%m-%d %H:%M")
            table.add_row(*words, f"{shelf['examples']:,}", bytes_in_words(shelf["bytes"]), used)
        OUT.print(table)
    used, bound = bytes_in_words(answer["bytes"]), bytes_in_words(answer["bound"])
    OUT.print(Text(f"{used} of at most {bound} in {answer['folder']}"), soft_wrap=True)


def _class_table(evaluation: Evaluation) -> Table:
    """Return the classes, the hardest first, with what each is most often taken for."""
    rows = sorted(evaluation.per_class, key=lambda row: (row["f1"] is not None, row["f1"] or 0))
    one, several = ("entity", "kinds of entity") if evaluation.task.kind == "tagging" else ("class", "classes")
    title = f"by {one}" if len(rows) <= CLASSES_SHOWN else f"the {CLASSES_SHOWN} hardest of {len(rows)} {several}"
    table = table_of(title)
    table.add_column(one, overflow="fold")
    for column in ("n", "recall", "precision", "F1"):
        table.add_column(column, justify="right", no_wrap=True)
    if evaluation.confusion:
        table.add_column("taken for", overflow="fold")
    for row in rows[:CLASSES_SHOWN]:
        f1 = "–" if row["f1"] is None else f"{100 * row['f1']:.1f}"
        label = Text(row["label"])
        taken_for = [_mistaken(evaluation, row)] if evaluation.confusion else []
        table.add_row(label, str(row["n"]), _share(row["recall"]), _share(row["precision"]), f1, *taken_for)
    return table


def _share(share: dict[str, Any] | None) -> str:
    return "–" if share is None else percent(share["value"], share["low"], share["high"])


def _mistaken(evaluation: Evaluation, row: dict[str, Any]) -> Text:
    labels = list(evaluation.task.labels)
    counts = list(evaluation.confusion[labels.index(row["label"])])
    counts[labels.index(row["label"])] = 0
    worst = max(range(len(counts)), key=counts.__getitem__)
    return Text(f"{labels[worst]} ({counts[worst]})" if counts[worst] else "")


def _answer(answer: dict[str, Any]) -> str:
    if "targets" in answer:
        return "\t".join(f"{name}: {_answer(one)}".replace("\t", " ") for name, one in answer["targets"].items())
    ways: dict[str, Callable[[Any], str]] = {
        "forecast": _steps,
        "summary": _one_line,
        "entities": _entities,
        "value": "{:.4g}".format,
        "labels": _names,
    }
    said = next((name for name in ways if name in answer), None)
    return f"{answer['label']}\t{answer['probability']:.3f}" if said is None else ways[said](answer[said])


def _steps(steps: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(f"{one['time']}\t{one['value']:.6g}\t{one['low']:.6g}\t{one['high']:.6g}" for one in steps)


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _entities(found: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{one['text']} ({one['label']} {one['probability']:.2f})" for one in found) or "–"


def _names(labels: Sequence[str]) -> str:
    return ", ".join(labels) or "(none)"


def _short(name: str) -> str:
    one_line = _one_line(name)
    return one_line if len(one_line) <= 80 else one_line[:77] + "…"
