"""Pictures of what numbers show less well; each an SVG that stands by itself."""

from __future__ import annotations

import io
from typing import Any

STYLE: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "headstart"}
STEEPEST, SMALLEST = 3.0, 0.01
"""Times its first loss up to which a range test is drawn: a network wrecked in the end would flatten the rest."""

OURS, THEIRS = "#0b6e99", "#d9822b"


def training_curves(record: dict[str, Any]) -> str:
    """Return the losses by epoch, out of fold and in the end, and the range test where there was one, as SVG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    tested = record.get("tested_rates")
    panels = 1 + bool(_curves(record)) + bool(tested)
    with rc_context(STYLE):
        figure = Figure(figsize=(4.2 * panels, 3.0), layout="constrained")
        axes = iter(figure.subplots(1, panels, squeeze=False)[0])
        if _curves(record):
            _draw_folds(next(axes), record)
        _draw_learning(next(axes), record)
        if tested:
            _draw_rates(next(axes), tested)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None})
    return written.getvalue()


def _curves(record: dict[str, Any]) -> list[list[float]]:
    """Return the curves (folds, epochs) of the strategy that was chosen."""
    return next((arm["curves"] for arm in record.get("arms", []) if arm["chosen"]), [])


def _draw_folds(axes: Any, record: dict[str, Any]) -> None:
    for fold in _curves(record):
        axes.plot(range(len(fold)), fold, color=OURS, alpha=0.6, marker=".")
    for arm in record["arms"]:
        if arm["strategy"] == "probe":
            axes.axhline(arm["error"], color=THEIRS, linestyle="--", label="probe")
    axes.axvline(record["epoch"], color="grey", linewidth=0.8, linestyle=":", label=f"chosen: {record['epoch']}")
    axes.set(title="examples not learned from, by fold", xlabel="epoch", ylabel="quadratic error")
    axes.set_ylim(bottom=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)


def _draw_learning(axes: Any, record: dict[str, Any]) -> None:
    points = [(epoch, point["fitted"]) for epoch, point in enumerate(record["curve"]) if "fitted" in point]
    axes.plot([epoch for epoch, _ in points], [loss for _, loss in points], color=OURS, marker=".")
    rate = record["schedule"]["rate"]
    axes.set(title=f"learned from, at the end (rate {rate:.3g})", xlabel="epoch", ylabel="loss")
    axes.set_ylim(bottom=0)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _draw_rates(axes: Any, tested: dict[str, Any]) -> None:
    axes.plot(tested["rates"], tested["losses"], color=OURS)
    axes.axvline(tested["rate"], color="grey", linestyle=":", label=f"taken: {tested['rate']:.2g}")
    axes.set(title="range test", xlabel="rate", ylabel="loss", xscale="log")
    if tested["losses"]:
        axes.set_ylim(0, STEEPEST * max(tested["losses"][0], SMALLEST))
    axes.legend(frameon=False)
