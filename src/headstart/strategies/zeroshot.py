"""Zero-shot: the source as it is; nothing is learned, it is only asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.data import Dataset, spread
from headstart.heads import LinearHead
from headstart.strategies.probe import FOLDS, Fitted, calibrated
from headstart.tasks import Task

ASKED = 100
"""Examples beside the held-out ones that intervals are made as wide by, at most."""


@dataclass(frozen=True)
class ZeroShot:
    """Ask a source that answers by itself: nothing is learned.

    Of series it forecasts, and only how wide its intervals are is set by examples. One with a decoder of its own writes
    or, of a causal model, says how likely each label is after the text and the target's name, by its tokens on average
    (Brown et al. 2020, section 2.4, without its correction for how likely a label is anyway).

    Attributes:
        folds: as other heads have them; nothing is fitted, so that all examples count as held out.
    """

    folds: int = FOLDS

    name = "zeroshot"
    word = "the source as it is"
    transfers = True


def asked_of(train: Dataset, held: np.ndarray | None) -> np.ndarray:
    """Return which examples (n,) the source is asked about: those held out, and some of the others.

    Nothing of it was learned from any of them; what lies further back shows more than one time.
    """
    asked = np.zeros(len(train), dtype=bool) if held is None else held.copy()
    others = np.flatnonzero(~asked)
    asked[others[spread(len(others), ASKED)] if len(others) else others] = True
    return asked


def fit_zero_shot(
    features: np.ndarray, train: Dataset, asked: np.ndarray, held: np.ndarray | None, task: Task
) -> Fitted:
    """Return the source's own forecast as a head, with intervals as wide as examples ask for.

    Args:
        features: (m, d) of the examples that are asked about, which begin with the source's own forecast.
        train: n examples.
        asked: (n,) which of them are asked about.
        held: (n,) which of them are held out, and compared by; None compares by all that are asked about.
        task: forecasting.
    """
    head = LinearHead.as_it_is(features.shape[1], task)
    outputs = np.zeros((len(train), task.n_outputs))
    outputs[asked] = task.outputs(head.logits(features))
    head, outputs = calibrated(task, head, outputs, asked, train)
    seen = asked if held is None else held
    return Fitted(head, 0.0, False, {}, "nothing: there is nothing to choose", outputs, seen)
