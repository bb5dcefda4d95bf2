"""The page: what was found, in the order a reader asks for it; all of a user's text is escaped."""

from __future__ import annotations

import base64
import io
import json
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from headstart import __version__, plots
from headstart.artifact import storage_errors
from headstart.comparison.verdicts import HARMS, HELPS
from headstart.data import spread
from headstart.data.histories import History
from headstart.data.images import open_image
from headstart.data.words import Word
from headstart.errors import DataError
from headstart.mistakes import errors_of
from headstart.report.result import Result
from headstart.report.thresholds import thresholds
from headstart.statistics import Measure
from headstart.telling import LOCAL, OF_TEXTS, TITLES, arm_in_words, measure_in_words, why_chosen
from headstart.wording import capital, count

DRAWN, PAST = 6, 4
"""Series that are drawn, and horizons of their past."""

GAP_MEASURES = {"label": "wrong answers", "path": "MASE", "text": "lack of ROUGE-L"}
"""What gaps are told in, by the form of answers; of others it is the quadratic error."""

SHOWN = 12
"""Classes and mistakes that are shown, at most."""

SUMMARIES = 6
"""Summaries that are shown, at most."""

THUMBNAIL = 256
TEXT_SHOWN = 400
VERSIONS = ("torch", "transformers", "timm", "scikit-learn", "numpy")


def write_report(result: Result, path: Path, command: str) -> None:
    """Write the page, and the same content as JSON beside it.

    Args:
        result: of the main job.
        path: of the page, ending in .html.
        command: that gives it again.

    Raises:
        StorageError: it cannot be written.
    """
    page = render(result, command, path.with_suffix(".json").name)
    written(page, {**result.as_dict(), "command": command}, path)


def written(page: str, fields: dict[str, Any], path: Path) -> None:
    """Write a page and, beside it, its content as JSON; each whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    beside = path.with_suffix(".json")
    content = json.dumps(fields, indent=2, ensure_ascii=False, allow_nan=False)
    with storage_errors(path):
        for place, text in ((path, page), (beside, content)):
            part = place.with_name(f".{place.name}.part")
            part.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
            part.replace(place)


def render(result: Result, command: str, json_name: str = "") -> str:
    """Return the page as HTML that stands by itself."""
    proof, task = result.proof, result.model.task
    context = {
        "called": proof.called,
        "title": f"{result.data}: {task.kind} of {task.target!r}",
        "sentence": f"{capital(proof.sentence)}.",
        "tone": {HELPS: "helps", HARMS: "harms"}.get(proof.verdict.word if proof.verdict else "", ""),
        "facts": _facts(result),
        "warnings": result.warnings,
        **_arms(result),
        "sources": _sources(result),
        "sources_measure": "" if result.ranking is None else TITLES.get(result.ranking.headline, ""),
        **_metrics(result),
        **_curves(result),
        **_gaps(result),
        **_confusion(result),
        **_mistakes(result),
        **_forecasts(result),
        **_calibration(result),
        "summaries": _summaries(result),
        "command": command,
        "origin": _origin(result),
        "json_name": json_name or "the JSON",
    }
    return rendered("page.html", context)


def rendered(template: str, context: dict[str, Any]) -> str:
    """Return a template filled in: text is escaped, drawings are our own."""
    from jinja2 import Environment, FunctionLoader
    from markupsafe import Markup

    room = files("headstart.report")
    pages = Environment(autoescape=True, loader=FunctionLoader(lambda name: room.joinpath(name).read_text("utf-8")))
    drawn = {name: Markup(value) if name.endswith("drawing") and value else value for name, value in context.items()}  # noqa: S704  our own SVG
    return pages.get_template(template).render(drawn)


def _facts(result: Result) -> list[dict[str, str]]:
    """Return what a reader wants to see at a glance."""
    proof, headline = result.proof, result.evaluation.headline
    facts = [
        {
            "value": measure_in_words(headline, result.evaluation.metrics[headline]),
            "words": proof.called(f"{TITLES.get(headline, headline)} on {count(result.evaluation.n, 'test example')}"),
        }
    ]
    if proof.labels is not None and proof.labels.low > proof.labels.given:
        words = proof.called(f"labels {proof.labels.by} would need, in place of {proof.labels.given:,}")
        facts.append({"value": proof.labels.words, "words": words})
    if "with" in proof.cpu and "without" in proof.cpu:
        words = f"CPU-seconds to learn, beside {proof.cpu['without']:.1f} without transfer"
        facts.append({"value": f"{proof.cpu['with']:.1f} s", "words": words})
    facts.append({"value": f"{result.seconds['total']:.0f} s", "words": "for all of it, on this machine"})
    sets = ", ".join(f"{n:,} {name}" for name, n in result.n.items() if n)
    facts.append({"value": proof.called(f"{sum(result.n.values()):,} examples"), "words": sets})
    return facts


def _arms(result: Result) -> dict[str, Any]:
    arms = result.model.record["arms"]
    if not arms:
        return {"arms": []}
    headline = arms[0]["headline"]
    called = result.proof.called
    rows = [
        (called(arm_in_words(arm)), Measure(**arm["metrics"][headline]), arm["chosen"])
        for arm in arms
        if headline in arm["metrics"]
    ]
    return {
        "arms": arms,
        "why": called(f"{capital(why_chosen(arms))}."),
        "arms_n": f"{rows[0][1].n:,}",
        "arms_drawing": plots.arms(rows, TITLES.get(headline, headline)),
    }


def _sources(result: Result) -> list[dict[str, str]]:
    """Return how the sources stood, where several were named."""
    if result.ranking is None:
        return []
    headline, rows = result.ranking.headline, []
    for one in result.ranking.contenders:
        assert one.standing is not None
        standing = one.standing
        place = f"{standing.rank}" + (f" [{standing.low}–{standing.high}]" if standing.low < standing.high else "")
        shown = measure_in_words(headline, one.measures.get(headline))
        rows.append({"name": one.label, "rank": place, "measure": shown, "seconds": f"{one.seconds:.1f}"})
    return rows


def _metrics(result: Result) -> dict[str, Any]:
    evaluation, proof = result.evaluation, result.proof
    beside = {**evaluation.baselines, **evaluation.ceilings}
    names = list(beside)
    rows = []
    for name, measure in evaluation.metrics.items():
        rivals = [beside[rival].get(name) for rival in names]
        cells = [measure_in_words(name, one) for one in (measure, *rivals)]
        rows.append({"name": TITLES.get(name, name), "cells": cells, "headline": name == evaluation.headline})
    also = [
        f"{TITLES.get(name, name)} {100 * one.value:+.1f} points"
        for name, one in (proof.verdict.also if proof.verdict else {}).items()
    ]
    words = f"{count(evaluation.n, 'example')} that no choice was made on. Shares in per cent, with 95 % intervals."
    if proof.verdict is not None:
        words += (
            f" The one declared comparison is of {proof.verdict.metric} (look {proof.verdict.look} at this test set"
        )
        words += f", tested at {proof.verdict.alpha:.3g}; {proof.verdict.gain.method})."
    if proof.forecast is not None:
        words += f" {capital(proof.forecast.words)}{' points' if proof.forecast.is_share else ''}."
    if proof.foretold is not None:
        words += f" {capital(proof.foretold.words)}."
    if also:
        words += f" Described, not claimed: {', '.join(also)} with transfer."
    if evaluation.ahead:
        title = TITLES[evaluation.headline]
        words += (
            f" Example by example, in {title}: {'; '.join(evaluation.paired)}. {capital(evaluation.ceiling_words)}."
        )
    titles = {"path": LOCAL, "text": OF_TEXTS}.get(evaluation.task.form, {})
    names = [titles.get(name, name) for name in names]
    return {"columns": ["this model", *names], "metrics": rows, "test_words": proof.called(words)}


def _curves(result: Result) -> dict[str, Any]:
    proof = result.proof
    if not proof.curves:
        return {"curve_drawing": ""}
    words = "Errors on held-out training examples, by how many labels were learned from."
    if proof.labels is not None:
        words += f" {capital(proof.labels.sentence)} (drawn out by power laws)."
    drawn = [(one.name, one.sizes.tolist(), one.means.tolist(), one.side == "with") for one in proof.curves]
    measure = {"label": "share of wrong answers"}.get(result.model.task.form, "quadratic error")
    is_curve = any(one.side == "with" for one in proof.curves)
    reached = None if is_curve or proof.reached is None else proof.reached
    drawing = plots.learning_curves(drawn, reached, measure, proof.called("labels learned from"))
    return {"curve_words": proof.called(words), "curve_drawing": drawing}


def _gaps(result: Result) -> dict[str, Any]:
    form, record, forgotten = result.model.task.form, result.model.record, result.proof.forgetting
    called = result.proof.called
    words = "A gap between what was learned from and what was not is memory. "
    words += "Shuffled labels are what the head alone can learn by heart where there is nothing to learn."
    return {
        "gaps": result.proof.gaps_in_words,
        "gap_measure": GAP_MEASURES.get(form, "quadratic error"),
        "gap_words": called(words),
        "forgetting": "" if forgotten is None else called(f"{capital(forgotten.sentence)}."),
        "training_drawing": plots.training_curves(record, called(plots.FOLDS)) if record.get("curve") else "",
    }


def _forecasts(result: Result) -> dict[str, Any]:
    """Draw some test series with their forecasts: the latest origins, those that erred least and most among them."""
    tested, task = result.proof.tested, result.model.task
    if task.form != "path":
        return {"forecasts_drawing": ""}
    errors = errors_of(task, tested.truth, tested.outputs)
    histories = [one for one in tested.data.inputs if isinstance(one, History)]
    latest = {one.name: place for place, one in enumerate(histories)}
    order = sorted(latest.values(), key=lambda place: float(errors[place]))
    shown = [order[place] for place in spread(len(order), DRAWN)]
    forecast, paths = task.by_step(tested.outputs), task.paths(tested.truth)
    rows = []
    for place in shown:
        one = histories[place]
        past = one.values[-PAST * task.horizon :]
        future, bands = paths[place] * one.scale + one.centre, forecast[place] * one.scale + one.centre
        rows.append((f"{one.name}, MASE {errors[place]:.2f}", past, future, bands))
    words = "The latest test origins of some series, from the one that was forecast best to the worst: what was known "
    words += "(grey), what came (dots), the median and the 80 % interval."
    return {"forecasts_drawing": plots.forecasts(rows), "forecasts_words": words}


def _confusion(result: Result) -> dict[str, Any]:
    table, labels = np.array(result.evaluation.confusion), list(result.model.task.labels)
    if not table.size:
        return {"confusion": []}
    wrong = table.sum(1) + table.sum(0) - 2 * np.diag(table)
    shown = np.sort(np.argsort(-wrong, kind="stable")[:SHOWN])
    rows = []
    for row in shown:
        whole = max(1, int(table[row].sum()))
        cells = [
            {
                "count": int(table[row, column]),
                "right": row == column,
                "shade": f"{0.75 * table[row, column] / whole:.2f}",
            }
            for column in shown
        ]
        rows.append({"label": labels[row], "cells": cells})
    left_out = len(labels) - len(shown)
    words = f"The {SHOWN} classes with the most mistakes; {left_out} more are in the JSON." if left_out > 0 else ""
    return {"confusion": rows, "confusion_labels": [labels[place] for place in shown], "left_out_labels": words}


def _mistakes(result: Result) -> dict[str, Any]:
    tested, task = result.proof.tested, result.model.task
    if task.form != "label":
        return {"mistakes": []}
    outputs, truth = tested.outputs, tested.truth
    said = task.decide(outputs)
    sure = outputs.max(1)
    wrong = np.flatnonzero(said != truth)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:SHOWN]
    is_image = tested.data.modality == "image"
    shown = []
    for place in worst.tolist():
        one: dict[str, str] = {
            "answer": task.labels[int(said[place])],
            "probability": f"{100 * sure[place]:.0f} %",
            "truth": str(tested.data.values[place]),
        }
        if is_image:
            one |= {"picture": _thumbnail(tested.data.inputs[place]), "name": tested.data.names[place]}
        else:
            source = tested.data.inputs[place]
            one["text"] = _cut_off(source.shown if isinstance(source, Word) else str(source))
        shown.append(one)
    return {"mistakes": shown, "pictures": is_image}


def _summaries(result: Result) -> list[dict[str, str]]:
    """Return some test texts with their references and answers, from the one that is answered worst to the best."""
    tested, task = result.proof.tested, result.model.task
    if task.form != "text":
        return []
    errors = errors_of(task, tested.truth, tested.outputs)
    order = np.argsort(-errors, kind="stable")[spread(len(errors), SUMMARIES)]
    rows = []
    for place in order.tolist():
        texts = (tested.data.inputs[place], tested.truth[place], tested.outputs[place])
        text, reference, answer = (_cut_off(str(one)) for one in texts)
        score = f"{100 * (1 - errors[place]):.0f}"
        rows.append({"text": text, "reference": reference, "answer": answer, "score": score})
    return rows


def _cut_off(text: str) -> str:
    return text if len(text) <= TEXT_SHOWN else text[:TEXT_SHOWN] + " …"


def _thumbnail(source: Any) -> str:
    """Return a small picture as a data URL; nothing where it cannot be drawn."""
    try:
        picture = open_image(source, hint_size=THUMBNAIL)
    except DataError:
        return ""
    if isinstance(picture, np.ndarray):
        return ""
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    stored = io.BytesIO()
    picture.convert("RGB").save(stored, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(stored.getvalue()).decode()}"


def _calibration(result: Result) -> dict[str, Any]:
    tested, task = result.proof.tested, result.model.task
    if task.form != "label":
        return {"calibration_drawing": ""}
    words = "Of the answers given with a probability, the share that was right; on the dashed line both agree."
    found: dict[str, Any] = {
        "calibration_words": words,
        "calibration_drawing": plots.calibration(tested.outputs.max(1), task.decide(tested.outputs) == tested.truth),
    }
    if len(task.labels) == 2 and tested.held_out is not None:
        found |= {"positive": task.labels[1], "thresholds": thresholds(tested)}
    return found


def _origin(result: Result) -> list[tuple[str, str]]:
    record, card = result.model.record, result.model.backbone.card
    plan = record["plan"]
    libraries = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    rows = [
        ("seed", str(record["seed"])),
        ("strategy", json.dumps(record["settings"])),
        ("backbone", f"{record['backbone']}, licence {card.licence}, trained on {card.trained_on}"),
        ("SHA-256 of its weights", card.sha256 or "not known"),
        (
            "plan",
            f"{count(len(plan['strategies']), 'strategy', 'strategies')}, {plan['folds']} folds, {plan['precision']}",
        ),
        ("overlap with the source", result.proof.overlap.status),
        ("versions", f"headstart {__version__}, {libraries}"),
        ("machine", plan["machine"]),
    ]
    if result.path is not None:
        rows.insert(0, ("model", result.path.name))
    return rows
