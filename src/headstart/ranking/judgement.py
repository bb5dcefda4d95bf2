"""Judgement: whether to transfer at all, and what the source may have seen of the target."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from headstart.backbones.backbone import Backbone
from headstart.backbones.card import Card
from headstart.data import Dataset, Finding
from headstart.data.copies import near_images, near_texts
from headstart.model import fingerprints
from headstart.ranking.standings import Interval, as_interval
from headstart.tasks import Task
from headstart.wording import count, some

TRANSFER, DO_NOT, UNCLEAR = "transfer", "do not transfer", "unclear"
KNOWN, LISTED = "known", 5
COMMERCIAL = "commercial"
FORBIDDING = re.compile(
    r"(?i)\bnc\b|non[ -]?commercial|not for commercial|for (research|academic)|apple-amlr"
    r"|(research|academic|evaluation)( use| purposes?)?[ -]only"
)
"""What a licence that forbids commercial use is called: CC-BY-NC, non-commercial, research only and their like."""

NOT_STATED = ("", Card.licence, "other", "unknown")
"""What says nothing of a licence; "other" and "unknown" stand on hubs for one that lies with the weights."""

IMAGENET = {"": "imagenet-1k", "1k": "imagenet-1k", "12k": "imagenet-12k", "21k": "imagenet-22k", "22k": "imagenet-22k"}
"""By what follows the word in a card, the list of classes in timm."""

FEW_UNITS = 20
"""Below this many examples or groups nothing is advised."""


@dataclass(frozen=True)
class Advice:
    """Whether to transfer.

    Attributes:
        word: "transfer", "do not transfer" or "unclear".
        reasons: in words.
        gain: by how much the best source's mean error is smaller than the best rival's, with the interval that the
            better one's lead over all others holds in together (95 %).
    """

    word: str
    reasons: tuple[str, ...]
    gain: Interval

    def __str__(self) -> str:
        return self.word

    def as_dict(self) -> dict[str, Any]:
        """Return the advice as JSON holds it."""
        return {"advice": self.word, "reasons": list(self.reasons), "gain": as_interval(self.gain)}


@dataclass(frozen=True)
class Overlap:
    """What a source's own training may have in common with the target.

    Attributes:
        status: "known" (the source learned from examples of the target), "class overlap", "no class in common" or
            "unknown".
        labels: the target's labels that are classes of the source.
        source: what the source was trained on.
        taught: examples of the target that the source learned from, or nearly the same ones.
        n: examples of the target that were looked at.
        names: some of those examples.
    """

    status: str
    labels: tuple[str, ...] = ()
    source: str = ""
    taught: int = 0
    n: int = 0
    names: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the overlap as JSON holds it."""
        return {**asdict(self), "labels": list(self.labels), "names": list(self.names)}

    @property
    def words(self) -> tuple[str, ...]:
        """What a reader of the advice should know of it; nothing where nothing is known."""
        if self.taught:
            which = f"{self.taught:,} of {self.n:,} examples, or nearly the same ones: {some(list(self.names))}"
            return (f"what the source learned from holds {which}; the gain may be memory",)
        if not self.labels:
            return ()
        are = f"{some(list(self.labels))} {'is a class' if len(self.labels) == 1 else 'are classes'}"
        return (f"{are} of {self.source}: the source may have seen these very examples, and the gain may be memory",)


def advise(gain: Interval, k: int, *, source: str, without: str, metric: str, overlap: Overlap) -> Advice:
    """Say whether the best source beats the best way without transfer on examples neither was fitted on.

    Args:
        gain: by how much the source's mean error is smaller, as `gain_over` says it.
        k: units (examples, or groups) that were compared on.
        source: what the source is called.
        without: what the rival is called.
        metric: what the errors are of, in words.
        overlap: what the source may have seen.
    """
    value, low, high = (100 * one for one in gain)
    interval = f"{value:+.1f} points of {metric} [{low:+.1f}, {high:+.1f}]"
    if k < FEW_UNITS:
        return Advice(UNCLEAR, (f"{count(k, 'unit')} to compare on are too few to tell", *overlap.words), gain)
    if low > 0:
        return Advice(TRANSFER, (f"{source} is ahead of {without} by {interval}", *overlap.words), gain)
    if high < 0:
        return Advice(DO_NOT, (f"{without} is ahead of {source}: {interval}",), gain)
    words = f"no source is seen to be better than none: {source} beside {without}, {interval}"
    return Advice(UNCLEAR, (words, *overlap.words), gain)


def overlap_of(backbone: Backbone, examples: Dataset, task: Task, taught: Sequence[Any] = ()) -> Overlap:
    """Say what a source may have seen of a target: examples that it was taught here, near ones of its data, classes.

    Args:
        backbone: the source.
        examples: of the target.
        task: with the labels that occur.
        taught: texts, or the perceptual hashes of pictures, of what sources learned from, where that is at hand.
    """
    found = class_overlap(backbone.card, task)
    seen = np.isin(fingerprints(examples.contents), backbone.seen)
    if len(taught):
        seen |= _near(examples, taught)
    names = tuple(examples.names[place] for place in np.flatnonzero(seen)[:LISTED].tolist())
    status = KNOWN if seen.any() else found.status
    return replace(found, status=status, taught=int(seen.sum()), n=len(examples), names=names)


def _near(examples: Dataset, taught: Sequence[Any]) -> np.ndarray:
    """Tell (n,) which examples are the same as, or nearly, one of others: directly, not by way of a third."""
    if examples.modality == "series":
        return np.zeros(len(examples), dtype=bool)
    keys: list[Any] = [*examples.near, *taught]
    if examples.modality == "text":
        keys = [" ".join(str(text).casefold().split()) for text in (*examples.inputs, *taught)]
    places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    is_taught = np.zeros(len(places), dtype=bool)
    is_taught[[places[key] for key in keys[len(examples) :]]] = True
    found = is_taught.copy()
    for one, other in (near_texts if examples.modality == "text" else near_images)(list(places)):
        found[one] |= is_taught[other]
        found[other] |= is_taught[one]
    return np.asarray(found[[places[key] for key in keys[: len(examples)]]])


def class_overlap(card: Card, task: Task) -> Overlap:
    """Compare the target's labels with the classes of what a source was trained on, where these are known: ImageNets'.

    A label is a class where it is one of its names, or the last word of one, in singular or plural.
    """
    found = {IMAGENET[which.lower()] for which in re.findall(r"(?i)imagenet-?(1k|12k|21k|22k|)", card.trained_on)}
    if not found or task.form in ("number", "text"):
        return Overlap("unknown", source=card.trained_on)
    names = set[str]().union(*map(_class_names, found))
    labels = tuple(label for label in task.labels if _plain(label) in names)
    return Overlap("class overlap" if labels else "no class in common", labels, card.trained_on)


@cache
def _class_names(which: str) -> frozenset[str]:
    """Return the names of an ImageNet's classes, and their last words."""
    from timm.data import ImageNetInfo

    classes = ImageNetInfo(which)
    told = (classes.index_to_description(place).split(",") for place in range(classes.num_classes()))
    return frozenset(word for names in told for name in names for word in (_plain(name), _plain(name.split()[-1])))


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
    if card.licence.casefold() in NOT_STATED:
        return [Finding("licence_not_stated", f"{card.name}: its licence is not stated; ask before commercial use")]
    return []
