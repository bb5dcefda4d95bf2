"""Verdicts: whether transfer helped, from what both sides answered to examples no choice was made on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart import metrics
from headstart.comparison.ledger import ALPHA, alpha_at
from headstart.data import Finding
from headstart.forecasts import MASE, difference_of_forecasts, walking
from headstart.mistakes import errors_of, quadratic_errors
from headstart.paired import (
    Difference,
    difference_of_auroc,
    difference_of_means,
    difference_of_metrics,
    difference_of_shares,
)
from headstart.tasks import Task
from headstart.wording import count

HELPS, HARMS, UNPROVEN = "helps", "harms", "no proven benefit"


@dataclass(frozen=True)
class Verdict:
    """What the declared comparison says of transfer.

    Attributes:
        word: "helps", "harms" or "no proven benefit".
        metric: that is compared: "accuracy", or "quadratic error" where there are no single labels.
        gain: of the side with transfer over the one without, with its 95 % interval; above 0 transfer is ahead.
        look: which claim on this test set it is; the first is 1.
        alpha: what it was tested at.
        also: differences in other metrics, which are not claims.
    """

    word: str
    metric: str
    gain: Difference
    look: int
    alpha: float
    also: dict[str, Difference]

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON holds it."""
        return {
            "verdict": self.word,
            "metric": self.metric,
            "gain": self.gain.as_dict(),
            "look": self.look,
            "alpha": self.alpha,
            "also": {name: one.as_dict() for name, one in self.also.items()},
        }

    @property
    def words(self) -> str:
        """The gain in words: points of accuracy, with the interval and what could have been seen."""
        if self.metric == MASE:
            return self._in_errors
        gain = self.gain
        size = f"{100 * gain.value:+.1f} points of {self.metric}"
        units = count(gain.units, "test example" if gain.units == gain.n else "test group")
        if not math.isfinite(gain.low):
            return f"{size} on {units}, from which nothing can be told"
        size += f" [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
        if self.word != UNPROVEN:
            return f"{size} on {units}"
        if gain.low > 0 or gain.high < 0:
            return f"{size} on {units}; p is {gain.p:.2g}, and look {self.look} at them is tested at {self.alpha:.2g}"
        if gain.detectable is None:
            return f"{size}; the two differ on too few of {units} to prove anything"
        return f"{size}; with {units} a difference under {100 * gain.detectable:.0f} points cannot be seen"

    @property
    def _in_errors(self) -> str:
        """The gain in the error that it is of."""
        gain, names = (
            self.gain,
            ("origin", "origins") if "over series" not in self.gain.method else ("series", "series"),
        )
        size = f"{gain.value:+.3f} of MASE spared"
        where = f"{count(gain.n, 'forecast')} of {count(gain.units, *names)}"
        if not math.isfinite(gain.low):
            return f"{size} in {where}, from which nothing can be told ({gain.method})"
        words = f"{size} [{gain.low:+.3f}, {gain.high:+.3f}] in {where} ({gain.method})"
        if self.word == UNPROVEN and (gain.low > 0 or gain.high < 0):
            words += f"; p is {gain.p:.2g}, and look {self.look} at them is tested at {self.alpha:.2g}"
        return words


def judge(
    task: Task,
    truth: np.ndarray,
    with_transfer: np.ndarray,
    without: np.ndarray,
    units: np.ndarray | None = None,
    *,
    look: int = 1,
    breaks: np.ndarray | None = None,
) -> Verdict:
    """Compare the outputs of both sides on test examples, once.

    Args:
        task: what is predicted.
        truth: (n,) or (n, c), as `Task.encode` gives it.
        with_transfer: (n, c) or (n,) outputs of the side that transfers.
        without: (n, c) or (n,) outputs of the other side.
        units: (n,) the group of each example; None where every example stands for itself.
        look: which claim on this test set it is.
        breaks: (n,) the text that each word stands in, where words are tagged.
    """
    alpha = alpha_at(look)
    strict = declared(task, truth, with_transfer, without, units, 1 - alpha)
    word = UNPROVEN
    if strict.is_claimed:
        word = HELPS if strict.value > 0 else HARMS
    shown = declared(task, truth, with_transfer, without, units, 1 - ALPHA)
    shown = replace(shown, detectable=strict.detectable)
    also = _described(task, truth, with_transfer, without, units, breaks)
    return Verdict(word, metric_of(task), shown, look, alpha, also)


def metric_of(task: Task) -> str:
    """Return what is compared, in words."""
    names = {"label": "accuracy", "text": "ROUGE-L", "path": MASE}
    return names.get(task.form, "the quadratic error, less of which is better")


def declared(
    task: Task, truth: np.ndarray, one: np.ndarray, other: np.ndarray, units: np.ndarray | None, level: float
) -> Difference:
    """Return by how much one contender's outputs are ahead of another's: of right answers, or of the error spared.

    Args:
        task: what is predicted.
        truth: (n,) or (n, c), as `Task.encode` gives it.
        one: (n, c) or (n,) outputs of the first.
        other: of the second.
        units: (n,) the group of each example; None where every example stands for itself.
        level: of the interval, in (0, 1).
    """
    if task.form == "label":
        return difference_of_shares(task.decide(one) == truth, task.decide(other) == truth, units, level=level)
    if task.form == "path":
        gaps = errors_of(task, truth, other) - errors_of(task, truth, one)
        return difference_of_forecasts(task, truth, gaps, units, level)
    theirs, ours = (quadratic_errors(task, truth, outputs) for outputs in (other, one))
    return difference_of_means(theirs, ours, units, level=level)


def beside_walk(task: Task, truth: np.ndarray, outputs: np.ndarray, units: np.ndarray | None) -> tuple[Finding, ...]:
    """Say how the saved model stands beside the random walk, which is the rival on prices.

    Args:
        task: what is predicted; of anything but series nothing is said.
        truth: (n, h + 4) of the test examples.
        outputs: (n, h·9).
        units: (n,) the group of each example.
    """
    if task.form != "path":
        return ()
    own, theirs = (float(errors_of(task, truth, one).mean()) for one in (outputs, walking(task, len(truth))))
    if not task.decide(outputs).any():
        return (Finding("beside_random_walk", f"the saved model is the random walk: MASE {own:.3f}"),)
    gain = declared(task, truth, outputs, walking(task, len(truth)), units, 1 - ALPHA)
    words = "no proven benefit over the random walk, which says that nothing changes"
    if gain.is_claimed:
        words = "ahead of the random walk" if gain.value > 0 else "behind the random walk"
    words += f": MASE {own:.3f} against {theirs:.3f}, a difference of {gain.value:+.3f} "
    words += f"[{gain.low:+.3f}, {gain.high:+.3f}] " if math.isfinite(gain.low) else "of which nothing can be told "
    is_good = gain.is_claimed and gain.value > 0
    return (Finding("beside_random_walk", f"{words}({gain.method})", is_good),)


def _described(
    task: Task,
    truth: np.ndarray,
    one: np.ndarray,
    other: np.ndarray,
    units: np.ndarray | None,
    breaks: np.ndarray | None,
) -> dict[str, Difference]:
    if task.kind == "tagging" and units is not None:
        texts = units if breaks is None else breaks
        ours, theirs = (metrics.entities(task, truth, outputs, texts).get("entity_f1") for outputs in (one, other))
        return {} if ours is None or theirs is None else {"entity_f1": difference_of_metrics(ours, theirs, units)}
    if task.form != "label" or len(task.labels) != 2 or set(np.unique(truth).tolist()) != {0, 1}:
        return {}
    return {"auroc": difference_of_auroc(truth == 1, one[:, 1], other[:, 1], units)}
