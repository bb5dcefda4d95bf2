"""Judgement: whether to transfer at all, and what the source may have seen of the target."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.backbones.card import Card
from headstart.data import Finding
from headstart.ranking.standings import difference
from headstart.tasks import Task
from headstart.wording import count, some

TRANSFER, DO_NOT, UNCLEAR = "transfer", "do not transfer", "unclear"
COMMERCIAL = "commercial"
FORBIDDING = re.compile(r"(?i)\bnc\b|non-?commercial|research[ -]only|academic")
"""What a licence that forbids commercial use is called: CC-BY-NC, non-commercial, research only and their like."""

FEW_UNITS = 20
"""Below this many examples or groups nothing is advised."""


@dataclass(frozen=True)
class Advice:
    """Whether to transfer.

    Attributes:
        word: "transfer", "do not transfer" or "unclear".
        reasons: in words.
        gain: by how much the best source's mean error is smaller than the best rival's, with its 95 % interval.
    """

    word: str
    reasons: tuple[str, ...]
    gain: tuple[float, float, float]

    def __str__(self) -> str:
        return self.word

    def as_dict(self) -> dict[str, Any]:
        """Return the advice as JSON holds it."""
        value, low, high = self.gain
        return {"advice": self.word, "reasons": list(self.reasons), "gain": {"value": value, "low": low, "high": high}}


@dataclass(frozen=True)
class Overlap:
    """What a source's own training may have in common with the target.

    Attributes:
        status: "class overlap", "no class in common" or "unknown".
        labels: the target's labels that are classes of the source.
        source: what the source was trained on.
    """

    status: str
    labels: tuple[str, ...] = ()
    source: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the overlap as JSON holds it."""
        return {"status": self.status, "labels": list(self.labels), "source": self.source}

    @property
    def words(self) -> tuple[str, ...]:
        """What a reader of the advice should know of it; nothing where nothing is known."""
        if not self.labels:
            return ()
        are = f"{some(list(self.labels))} {'is a class' if len(self.labels) == 1 else 'are classes'}"
        return (f"{are} of {self.source}: the source may have seen these very examples, and the gain may be memory",)


def advise(
    best: np.ndarray, rival: np.ndarray, units: np.ndarray, *, source: str, without: str, metric: str, overlap: Overlap
) -> Advice:
    """Say whether the best source beats the best way without transfer on examples neither was fitted on.

    Args:
        best: errors (n,) of the best source.
        rival: errors (n,) of the best way without transfer on the same examples.
        units: (n,) the number of the unit of each.
        source: what the source is called.
        without: what the rival is called.
        metric: what the errors are of, in words.
        overlap: what the source may have seen.
    """
    gain = difference(rival, best, units)
    value, low, high = (100 * one for one in gain)
    interval = f"{value:+.1f} points of {metric} [{low:+.1f}, {high:+.1f}]"
    k = len(np.unique(units))
    if k < FEW_UNITS:
        return Advice(UNCLEAR, (f"{count(k, 'unit')} to compare on are too few to tell", *overlap.words), gain)
    if low > 0:
        return Advice(TRANSFER, (f"{source} is ahead of {without} by {interval}", *overlap.words), gain)
    if high < 0:
        return Advice(DO_NOT, (f"{without} is ahead of {source}: {interval}",), gain)
    return Advice(UNCLEAR, (f"{source} and {without} cannot be told apart: {interval}", *overlap.words), gain)


def class_overlap(card: Card, task: Task) -> Overlap:
    """Compare the target's labels with the classes of what a source was trained on, where these are known: ImageNet's.

    A label is a class where it is one of its names, or the last word of one, in singular or plural.
    """
    found = re.search(r"imagenet-?(1k|12k|21k|22k)?", card.trained_on, re.IGNORECASE)
    if found is None or task.kind == "regression":
        return Overlap("unknown", source=card.trained_on)
    from timm.data import ImageNetInfo

    classes = ImageNetInfo("imagenet-1k")
    names: set[str] = set()
    for place in range(classes.num_classes()):
        for name in classes.index_to_description(place).split(","):
            names |= {_plain(name), _plain(name.split()[-1])}
    labels = tuple(label for label in task.labels if _plain(label) in names)
    return Overlap("class overlap" if labels else "no class in common", labels, card.trained_on)


def _plain(name: str) -> str:
    """Return a name in lower case and in singular, without marks."""
    words = re.sub(r"[\W_]+", " ", name.lower()).strip()
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh")):
        if words.endswith(ending):
            return words.removesuffix(ending) + instead
    return words if words.endswith(("ss", "us", "is")) else words.removesuffix("s")


def licence_findings(card: Card) -> list[Finding]:
    """Return what speaks against a source's commercial use: its licence forbids it, or is not stated."""
    if FORBIDDING.search(card.licence):
        return [Finding("licence_forbids_use", f"{card.name}: its licence ({card.licence}) forbids commercial use")]
    if card.licence == Card.licence:
        return [Finding("licence_not_stated", f"{card.name}: its licence is not stated; ask before commercial use")]
    return []
