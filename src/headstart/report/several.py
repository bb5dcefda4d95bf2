"""The page of several targets: how each does, and what sharing a network was worth to it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from headstart import plots
from headstart.comparison.sharing import GAINS, LOSES, NEITHER
from headstart.report.page import rendered, written
from headstart.report.result import MultiTaskResult
from headstart.statistics import Measure
from headstart.telling import TITLES, measure_in_words
from headstart.wording import capital, count, some

KINDS = {
    "together": "learned together on one network",
    "frozen": "read the source as it is",
    "own": "a network of its own",
    "none": "no network",
}
"""What answers a target, in words."""


def write_summary(result: MultiTaskResult, path: Path, command: str) -> None:
    """Write the page of all targets, and the same content as JSON beside it.

    Raises:
        StorageError: it cannot be written.
    """
    written(summary(result, command, path.with_suffix(".json").name), {**result.as_dict(), "command": command}, path)


def summary(result: MultiTaskResult, command: str, json_name: str = "") -> str:
    """Return the page as HTML that stands by itself, but for the pages of the targets that it names."""
    words = [one.word for one in result.sharing.values()]
    rows = []
    for target, one in result.sharing.items():
        gain = one.gain
        if math.isfinite(gain.low):
            measure = Measure(gain.value, gain.low, gain.high, gain.n, gain.units)
            rows.append((target, measure, one.word != NEITHER))
    context = {
        "title": f"{result.data}: {', '.join(result.targets)}",
        "sentence": f"{capital(in_a_sentence(result))}.",
        "tone": "harms" if LOSES in words else "helps" if GAINS in words else "",
        "facts": _facts(result),
        "warnings": result.warnings,
        "targets": [_row(result, target) for target in result.targets],
        "gains_drawing": plots.gains(rows) if rows else "",
        "balance": result.together.balance,
        "balances": list(result.together.balances.items()) if len(result.together.balances) > 1 else [],
        "affinity": _affinity(result),
        "proposed": result.proposed,
        "command": command,
        "json_name": json_name or "the JSON",
    }
    return rendered("several.html", context)


def in_a_sentence(result: MultiTaskResult) -> str:
    """Say which targets share a network, and which of them gain or lose by it."""
    kinds: dict[str, list[str]] = {}
    for target in result.targets:
        kinds.setdefault(result.kind_of(target), []).append(target)
    parts = [f"{', '.join(targets)}: {KINDS[kind]}" for kind, targets in kinds.items()]
    for word in (GAINS, LOSES):
        own = [target for target, one in result.sharing.items() if one.word == word]
        if own:
            parts.append(f"{some(own)} {word if len(own) == 1 else word.removesuffix('s')} by learning together")
    return "; ".join(parts)


def _facts(result: MultiTaskResult) -> list[dict[str, str]]:
    sets = ", ".join(f"{n:,} {name}" for name, n in result.n.items() if n)
    alone = sum(seconds for phase, seconds in result.seconds.items() if phase.startswith("alone"))
    return [
        {"value": count(len(result.model.shared), "network"), "words": f"for {count(len(result.targets), 'target')}"},
        {"value": f"{sum(result.n.values()):,} examples", "words": sets},
        {
            "value": f"{result.seconds['total']:.0f} s",
            "words": f"for all of it, of which {alone:.0f} s for each target alone",
        },
    ]


def _row(result: MultiTaskResult, target: str) -> dict[str, str]:
    one = result.targets[target]
    found, verdict = one.evaluation, one.proof.verdict
    own, classical = found.metrics[found.headline], found.baselines.get("classical", {}).get(found.headline)
    page = result.reports.get(target)
    return {
        "target": target,
        "page": "" if page is None else page.name,
        "measure": TITLES.get(found.headline, found.headline),
        "own": measure_in_words(found.headline, own),
        "classical": measure_in_words(found.headline, classical),
        "verdict": "" if verdict is None else verdict.word,
        "told": result.told(target),
    }


def _affinity(result: MultiTaskResult) -> list[dict[str, Any]]:
    rows = zip(result.targets, result.model.record["affinity"], strict=True)
    return [{"target": target, "cells": [_cell(one) for one in row]} for target, row in rows]


def _cell(cosine: float) -> dict[str, Any]:
    return {"value": cosine, "shown": f"{round(cosine, 2) + 0.0:+.2f}", "shade": f"{min(abs(cosine), 1) * 0.7:.2f}"}
