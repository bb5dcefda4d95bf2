"""Forgetting: how far a network that has learned a target still knows its source's own classes, where their head is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.adaptation import Adapted
from headstart.backbones.sources import source_head
from headstart.data import Dataset
from headstart.frozen.features import features_of
from headstart.statistics import Measure, wilson
from headstart.strategies import HEAD_ONLY

SEEN = 300
"""Examples that are looked at, at most."""


@dataclass(frozen=True)
class Forgetting:
    """What became of the source's own answers.

    Attributes:
        source: what the source was trained on.
        kept: the share of examples to which it would still give the class it gave before.
    """

    source: str
    kept: Measure

    @property
    def sentence(self) -> str:
        """What was forgotten, in a sentence."""
        share = f"{100 * self.kept.value:.0f} % [{100 * self.kept.low:.0f}, {100 * self.kept.high:.0f}]"
        return f"forgetting: its {self.source} head still gives {share} of the test examples the class it gave before"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        return {"source": self.source, "kept": self.kept.as_dict()}


def forgotten(adapted: Adapted, tested: Dataset) -> Forgetting | None:
    """Return what a tuned network has forgotten; None where no stage has learned, or the source's head is not known.

    Both networks are asked about the target's test examples: the source's own are not at hand.
    """
    source, tuned = adapted.ground.backbone, adapted.model.backbone
    strategy = adapted.choice.strategy
    head = source_head(source.card) if not isinstance(strategy, HEAD_ONLY) and strategy.cuts_source else None
    if head is None:
        return None
    weight, bias = head
    few = tested.take(np.arange(min(SEEN, len(tested))))
    before, after = (
        (features_of(one, few.inputs, contents=few.contents) @ weight.T + bias).argmax(1) for one in (source, tuned)
    )
    same = int((before == after).sum())
    low, high = wilson(same, len(few))
    return Forgetting(source.card.trained_on, Measure(same / len(few), low, high, len(few), len(few)))
