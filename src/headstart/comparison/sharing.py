"""Sharing, judged: each target learned together with others against itself alone, on test examples, once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.comparison.ledger import ALPHA, alpha_at, look_at
from headstart.comparison.verdicts import declared, metric_of
from headstart.data import Dataset
from headstart.model import Model
from headstart.paired import Difference, holm

GAINS, LOSES, NEITHER = "gains", "loses", "no difference"


@dataclass(frozen=True)
class Beside:
    """What sharing was worth to a target.

    Attributes:
        word: "gains", "loses" or "no difference".
        gain: of the shared network over the target's own.
        p: adjusted for the number of targets (Holm 1979).
        metric: that is compared.
        over: what the target would have alone, in words.
        look: which claim on its test set it is.
    """

    word: str
    gain: Difference
    p: float
    metric: str
    over: str
    look: int

    @property
    def words(self) -> str:
        """The gain in words, with its interval."""
        of = "accuracy" if self.metric == "accuracy" else "the quadratic error, spared"
        size = f"{100 * self.gain.value:+.1f} points of {of}"
        if not math.isfinite(self.gain.low):
            return f"{size} beside {self.over} alone, from which nothing can be told"
        ends = f"[{100 * self.gain.low:+.1f}, {100 * self.gain.high:+.1f}]"
        return f"{self.word}: {size} {ends} beside {self.over} alone"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        told = {"word": self.word, "gain": self.gain.as_dict(), "p_adjusted": self.p, "metric": self.metric}
        return {**told, "over": self.over, "look": self.look}


def judge_sharing(pairs: Mapping[str, tuple[Model, Model, str]], tested: Mapping[str, Dataset]) -> dict[str, Beside]:
    """Compare each target's model on the shared network with its own, all of them declared together.

    Args:
        pairs: by target, the model on the shared network, the one that learned alone, and that in words.
        tested: by target, examples no choice was made on.
    """
    gains, looks = {}, {}
    for target, (shared, alone, _) in pairs.items():
        data = tested[target]
        truth = shared.task.encode(data.values)
        units = np.unique(data.groups, return_inverse=True)[1] if data.groups is not None else None
        ours, own = (one.outputs(data.inputs, contents=data.contents) for one in (shared, alone))
        looks[target] = look_at(data.contents, data.values, [ours, own])
        gains[target] = declared(shared.task, truth, ours, own, units, 1 - ALPHA)
    adjusted = dict(zip(gains, holm([one.p for one in gains.values()]), strict=True))
    found = {}
    for target, gain in gains.items():
        shared, _, over = pairs[target]
        is_claimed = gain.is_claimed and adjusted[target] <= alpha_at(looks[target])
        word = NEITHER if not is_claimed else GAINS if gain.value > 0 else LOSES
        found[target] = Beside(word, gain, adjusted[target], metric_of(shared.task), over, looks[target])
    return found
