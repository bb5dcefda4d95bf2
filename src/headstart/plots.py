"""Pictures of what numbers show less well; each an SVG that stands by itself."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from textwrap import fill
from typing import Any

import numpy as np

from headstart.statistics import Measure, wilson

WIDTH = 4.2
"""Of a drawing, in inches: what a telephone shows without making letters smaller."""

LETTERS = 20
"""Of a contender's name in a line: longer ones would leave no room for the drawing."""

STYLE: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "headstart"}
STEEPEST, SMALLEST = 3.0, 0.01
"""Times its first loss up to which a range test is drawn: a network wrecked in the end would flatten the rest."""

FOLDS = "examples not learned from, by fold"
"""The title of the losses out of fold."""

SHORTEST = 0.01
"""Seconds below which nothing is drawn apart."""

OURS, THEIRS, GREY = "#0b6e99", "#d9822b", "#8a939b"
CALIBRATION_PARTS = 10


def arms(rows: list[tuple[str, Measure, bool]], metric: str) -> str:
    """Return contenders with their intervals as SVG, the first at the top; the chosen one stands out.

    Args:
        rows: of each its name, its measure, and whether it was chosen.
        metric: that is measured.
    """
    with _figure(0.6 + 0.34 * len(rows)) as (figure, written):
        axes = figure.subplots()
        for place, (_, measure, is_chosen) in enumerate(rows):
            colour = OURS if is_chosen else GREY
            axes.plot([measure.low, measure.high], [place, place], color=colour, linewidth=3, alpha=0.45)
            axes.plot(measure.value, place, "o", color=colour)
            axes.annotate(f" {measure.value:.3f}", (measure.high, place), va="center", color=colour)
        axes.set(yticks=range(len(rows)), yticklabels=[fill(name, LETTERS) for name, _, _ in rows], xlabel=metric)
        axes.margins(x=0.2)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
    return written.getvalue()


def forecasts(rows: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]) -> str:
    """Return histories with what was forecast of them as SVG, one below the other.

    Args:
        rows: of each its title, the values (l,) known, those (h,) that came, and the quantiles (h, 9) forecast.
    """
    with _figure(1.5 * len(rows)) as (figure, written):
        for axes, (title, past, future, bands) in zip(
            figure.subplots(len(rows), squeeze=False)[:, 0], rows, strict=True
        ):
            steps = np.arange(1, len(future) + 1)
            axes.plot(np.arange(1 - len(past), 1), past, color=GREY, linewidth=1.2)
            axes.fill_between(steps, bands[:, 0], bands[:, -1], color=OURS, alpha=0.2, linewidth=0)
            axes.plot(steps, bands[:, bands.shape[1] // 2], color=OURS, linewidth=1.6)
            axes.plot(steps, future, ".", color=THEIRS, markersize=4)
            axes.set_title(title, loc="left", fontsize=9)
            axes.tick_params(labelsize=7)
    return written.getvalue()


def standings(rows: list[tuple[str, float, Measure, bool, bool]], metric: str) -> str:
    """Return what contenders answer rightly against what they cost as SVG; those level with the best lie in a band.

    Args:
        rows: of each its name, its seconds, its measure, whether it cannot be told from the best, and whether it
            transfers.
        metric: that is measured.
    """
    with _figure(3.4) as (figure, written):
        axes = figure.subplots()
        level = [measure for _, _, measure, is_level, _ in rows if is_level]
        if len(level) > 1:
            axes.axhspan(min(one.value for one in level), max(one.value for one in level), color=OURS, alpha=0.12)
        for name, seconds, measure, is_level, transfers in rows:
            colour = (OURS if transfers else THEIRS) if is_level else GREY
            x = max(seconds, SHORTEST)
            axes.plot([x, x], [measure.low, measure.high], color=colour, linewidth=2.5, alpha=0.45)
            axes.plot(x, measure.value, "o" if transfers else "s", color=colour)
            axes.annotate(f" {name}", (x, measure.value), va="center", color=colour, fontsize=8)
        axes.set(xlabel="seconds", ylabel=metric, xscale="log")
        axes.margins(x=0.35)
    return written.getvalue()


def gains(rows: list[tuple[str, Measure, bool]]) -> str:
    """Return gains of targets with their intervals beside no gain, in points, as SVG.

    Args:
        rows: of each target its name, the gain, and whether it is claimed.
    """
    with _figure(0.7 + 0.34 * len(rows)) as (figure, written):
        axes = figure.subplots()
        axes.axvline(0, color=GREY, linestyle=":")
        for place, (_, gain, is_claimed) in enumerate(rows):
            colour = GREY if not is_claimed else OURS if gain.value > 0 else THEIRS
            axes.plot([100 * gain.low, 100 * gain.high], [place, place], color=colour, linewidth=3, alpha=0.45)
            axes.plot(100 * gain.value, place, "o", color=colour)
        names = [fill(name, LETTERS) for name, _, _ in rows]
        axes.set(yticks=range(len(rows)), yticklabels=names, xlabel="points together over alone")
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
    return written.getvalue()


def learning_curves(
    curves: list[tuple[str, Sequence[float], Sequence[float], bool]],
    reached: tuple[float, float] | None,
    measure: str,
    counted: str,
) -> str:
    """Return errors by number of labels as SVG.

    Args:
        curves: of each its name, its numbers of labels, its errors, and whether it transfers.
        reached: labels and error of what was chosen, where it is not one of the curves.
        measure: what the errors are.
        counted: what they are by.
    """
    with _figure(3.0) as (figure, written):
        axes = figure.subplots()
        for name, labels, errors, transfers in curves:
            axes.plot(labels, errors, marker="o", color=OURS if transfers else THEIRS, label=name)
        if reached is not None:
            axes.plot(*reached, "*", markersize=13, color=OURS, label="with transfer, as chosen")
        axes.set(xlabel=counted, ylabel=measure, xscale="log")
        ticks = sorted({round(x) for _, labels, _, _ in curves for x in labels})
        axes.set_xticks(ticks, [f"{x:,}" for x in ticks])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)
    return written.getvalue()


def calibration(sure: np.ndarray, right: np.ndarray) -> str:
    """Return the share of right answers by the probability they were given with, in tenths of the examples, as SVG.

    Args:
        sure: (n,) the probability of each answer.
        right: (n,) whether it is right.
    """
    order = np.argsort(sure, kind="stable")
    parts = [part for part in np.array_split(order, min(CALIBRATION_PARTS, max(1, len(order) // 5))) if len(part)]
    with _figure(3.8) as (figure, written):
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=0.8)
        for part in parts:
            share = float(right[part].mean())
            low, high = wilson(float(right[part].sum()), len(part))
            x = float(sure[part].mean())
            axes.plot([x, x], [low, high], color=OURS, alpha=0.45, linewidth=2.5)
            axes.plot(x, share, "o", color=OURS)
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="probability given", ylabel="share that was right")
        axes.set_aspect("equal")
    return written.getvalue()


@contextmanager
def _figure(height: float) -> Iterator[tuple[Any, io.StringIO]]:
    """Draw in our own style, some inches high, and write SVG when the body has drawn."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    written = io.StringIO()
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure, written
        whole = io.StringIO()
        figure.savefig(whole, format="svg", metadata={"Date": None})
    written.write(whole.getvalue()[whole.getvalue().index("<svg") :])


def training_curves(record: dict[str, Any], title: str = FOLDS) -> str:
    """Return the losses by epoch, out of fold below a title and in the end, and the range test if any, as SVG."""
    tested = record.get("tested_rates")
    panels = 1 + bool(_curves(record)) + bool(tested)
    with _figure(2.6 * panels) as (figure, written):
        axes = iter(figure.subplots(panels, 1, squeeze=False)[:, 0])
        if _curves(record):
            _draw_folds(next(axes), record, title)
        _draw_learning(next(axes), record)
        if tested:
            _draw_rates(next(axes), tested)
    return written.getvalue()


def _curves(record: dict[str, Any]) -> list[list[float]]:
    """Return the curves (folds, epochs) of the strategy that was chosen."""
    return next((arm["curves"] for arm in record.get("arms", []) if arm["chosen"]), [])


def _draw_folds(axes: Any, record: dict[str, Any], title: str) -> None:
    for fold in _curves(record):
        axes.plot(range(len(fold)), fold, color=OURS, alpha=0.6, marker=".")
    for arm in record["arms"]:
        if arm["strategy"] == "probe":
            axes.axhline(arm["error"], color=THEIRS, linestyle="--", label="probe")
    axes.axvline(record["epoch"], color="grey", linewidth=0.8, linestyle=":", label=f"chosen: {record['epoch']}")
    axes.set(title=title, xlabel="epoch", ylabel="quadratic error")
    axes.set_ylim(bottom=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)


def _draw_learning(axes: Any, record: dict[str, Any]) -> None:
    points = [(epoch, point["fitted"]) for epoch, point in enumerate(record["curve"]) if "fitted" in point]
    axes.plot([epoch for epoch, _ in points], [loss for _, loss in points], color=OURS, marker=".")
    rate = record["schedule"]["rate"]
    axes.set(title=f"learned from, at the end (rate {rate:.3g})", xlabel="epoch", ylabel="loss")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _draw_rates(axes: Any, tested: dict[str, Any]) -> None:
    axes.plot(tested["rates"], tested["losses"], color=OURS)
    axes.axvline(tested["rate"], color="grey", linestyle=":", label=f"taken: {tested['rate']:.2g}")
    axes.set(title="range test", xlabel="rate", ylabel="loss", xscale="log")
    if tested["losses"]:
        axes.set_ylim(0, STEEPEST * max(tested["losses"][0], SMALLEST))
    axes.legend(frameon=False)
