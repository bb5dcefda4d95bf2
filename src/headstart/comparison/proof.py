"""The proof: one declared comparison with no transfer on the test set, and what it was worth in labels and time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.adaptation import Adapted, adapt_to
from headstart.baselines import features_without
from headstart.checkpoints import Checkpoints
from headstart.choosing import Choice
from headstart.comparison.curves import Curve, Labels, errors_of, labels_to_match, learning_curve
from headstart.comparison.ledger import look_at
from headstart.comparison.verdicts import HARMS, HELPS, Verdict, judge
from headstart.data import Dataset, Finding
from headstart.devices import undisturbed
from headstart.ground import Ground
from headstart.heads import fit_head
from headstart.plan import Plan
from headstart.progress import Progress, silent
from headstart.ranking.judgement import Overlap, class_overlap
from headstart.strategies import Classical, FromScratch, Majority, Probe, Strategy
from headstart.strategies.probe import DEFAULT_STRENGTH
from headstart.tasks import Task

CURVE_OF = 5_000
"""Examples that learning curves are measured on, at most."""

GAPS_OF = 1_000
"""Training examples that are answered to see the gap to what was not learned from, at most."""


@dataclass(frozen=True, eq=False)
class Proof:
    """What the main job proves of transfer.

    Attributes:
        verdict: of the declared comparison; None where one side is missing.
        sides: what stood on each side: "with" and "without" transfer, in words.
        chosen: the side the model is from: "with" or "without".
        labels: how many labels no transfer would need to come as far; None where it is not known.
        curves: errors out of fold by number of labels.
        overlap: what the source may have seen of the target.
        gaps: the mean error on examples learned from, held out in turn, and tested, and on shuffled labels learned by
            heart; of classes the share of wrong answers.
        findings: what a reader of the verdict should know.
    """

    verdict: Verdict | None
    sides: dict[str, str]
    chosen: str
    labels: Labels | None
    curves: tuple[Curve, ...]
    overlap: Overlap
    gaps: dict[str, float]
    findings: tuple[Finding, ...]

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        if self.verdict is None:
            return "nothing was compared: there is only one side"
        ours, theirs = self.sides["with"], self.sides["without"]
        words = {
            HELPS: f"transfer helps: {ours} is ahead of {theirs} by",
            HARMS: f"transfer harms: {ours} is behind {theirs}:",
        }.get(self.verdict.word, f"no proven benefit: {ours} against {theirs},")
        kept = "" if self.chosen == "with" else f"; the model without transfer ({theirs}) is the one that was saved"
        return f"{words} {self.verdict.words}{kept}"

    def as_dict(self) -> dict[str, Any]:
        """Return the proof as JSON holds it."""
        return {
            "sentence": self.sentence,
            **({} if self.verdict is None else self.verdict.as_dict()),
            "sides": self.sides,
            "chosen": self.chosen,
            "labels_to_match": None if self.labels is None else self.labels.as_dict(),
            "curves": [one.as_dict() for one in self.curves],
            "overlap": self.overlap.as_dict(),
            "gaps": self.gaps,
        }


@undisturbed()
def prove(adapted: Adapted, tested: Dataset, *, progress: Progress = silent) -> Proof:
    """Hold a model against the best on the other side of transfer, on test examples, once.

    Args:
        adapted: the model, what it was chosen from, and its rival.
        tested: examples no choice was made on.
        progress: called with (phase, done, total).
    """
    ground, task, choice = adapted.ground, adapted.model.task, adapted.choice
    rival, other = adapted.rival, choice.rival
    if rival is None and choice.strategy.transfers:
        beside = _without(ground, adapted)
        rival, other = beside.model, beside.choice
    overlap = class_overlap(ground.backbone.card, task)
    outputs = adapted.model.outputs(tested.inputs, contents=tested.contents, progress=progress)
    truth = task.encode(tested.values)
    gaps = _gaps(adapted, outputs, truth)
    mine = "with" if choice.strategy.transfers else "without"
    if rival is None or other is None:
        return Proof(None, {mine: in_words(choice, ground)}, mine, None, (), overlap, gaps, ())
    theirs = rival.outputs(tested.inputs, contents=tested.contents, progress=progress)
    pair = {mine: (outputs, choice), "without" if mine == "with" else "with": (theirs, other)}
    units = np.unique(tested.groups, return_inverse=True)[1] if tested.groups is not None else None
    look = look_at(tested.contents, tested.values, [pair["with"][0], pair["without"][0]])
    verdict = judge(task, truth, pair["with"][0], pair["without"][0], units, look=look)
    curves, labels = _curves(ground, pair["with"][1], pair["without"][1])
    sides = {name: in_words(one, ground) for name, (_, one) in pair.items()}
    findings = (*_looks(look), *_attribution(verdict, overlap))
    return Proof(verdict, sides, mine, labels, curves, overlap, gaps, findings)


def in_words(choice: Choice, ground: Ground) -> str:
    """Name a contender as a reader knows it."""
    strategy: Strategy = choice.strategy
    if isinstance(strategy, Majority | Classical):
        return strategy.word
    if isinstance(strategy, FromScratch):
        return f"{'a small' if strategy.network == 'small' else 'the same'} network from scratch"
    if isinstance(strategy, Probe):
        return f"the probe on {ground.backbone.name}"
    return f"{ground.backbone.name} with {strategy.word} above cut {strategy.cuts(ground.backbone)[-1]}"


def _without(ground: Ground, adapted: Adapted) -> Adapted:
    """Return the better one of what needs neither a source nor time."""
    plan = Plan.from_dict(adapted.model.record["plan"])
    return adapt_to(replace(ground, keeper=Checkpoints()), [Majority(), Classical()], plan=plan)


def _gaps(adapted: Adapted, outputs: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return the mean error on examples learned from, on those held out in turn, and on the test examples."""
    ground, arm, task = adapted.ground, adapted.choice.arm, adapted.model.task
    some_places = np.linspace(0, len(ground.examples) - 1, min(GAPS_OF, len(ground.examples))).astype(int)
    few = ground.examples.take(np.unique(some_places))
    fitted = adapted.model.outputs(few.inputs, contents=few.contents)
    gaps = {"learned_from": _mean_error(task, task.encode(few.values), fitted)}
    if arm is not None and arm.seen.any():
        gaps["held_out"] = _mean_error(task, ground.truth[arm.seen], arm.outputs[arm.seen])
    return {**gaps, "tested": _mean_error(task, truth, outputs), "shuffled": _memorised(adapted)}


def _memorised(adapted: Adapted) -> float:
    """Return the error of a head on shuffled labels that it was fitted to: what memory alone gives (Zhang et al. 2017).

    It stands on the source's features at the top, with the chosen penalty.
    """
    ground, probe = adapted.ground, adapted.choice.probe
    places = np.arange(min(len(ground.examples), CURVE_OF))
    truth = np.random.default_rng(ground.seed).permutation(ground.truth[places])
    features = ground.features_at(None)[places]
    head = fit_head(features, truth, ground.task, probe.strength or DEFAULT_STRENGTH)
    return _mean_error(ground.task, truth, ground.task.outputs(head.logits(features)))


def _mean_error(task: Task, truth: np.ndarray, outputs: np.ndarray) -> float:
    return float(errors_of(task, truth, outputs).mean())


def _curves(ground: Ground, ours: Choice, theirs: Choice) -> tuple[tuple[Curve, ...], Labels | None]:
    """Return the learning curves of both sides as far as they are heads, and the labels no transfer would need."""
    folds = [fold for fold in ground.folds(_folds_of(ours)) if fold.any()]
    if len(ground.examples) > CURVE_OF or not folds or ours.arm is None or not ours.arm.seen.any():
        return (), None
    curves = [one for one in (_curve(ground, side, folds) for side in (ours, theirs)) if one is not None]
    tested = np.logical_or.reduce(folds)
    rival = next((one for one in curves if one.name == theirs.strategy.name), None)
    if rival is None or isinstance(theirs.strategy, Majority) or not ours.arm.seen[tested].all():
        return tuple(curves), None
    reached = errors_of(ground.task, ground.truth[tested], ours.arm.outputs[tested])
    given = int(min((~fold).sum() for fold in folds))
    return tuple(curves), labels_to_match(rival, reached, given, ground.examples.units[tested])


def _folds_of(choice: Choice) -> int:
    strategy = choice.strategy
    return strategy.folds if isinstance(strategy, Probe) else 3


def _curve(ground: Ground, choice: Choice, folds: list[np.ndarray]) -> Curve | None:
    strategy = choice.strategy
    if isinstance(strategy, Probe):
        features: Any = ground.features_at(strategy.cut)
    elif isinstance(strategy, Classical):
        features = features_without(ground.examples)
    else:
        return None
    return learning_curve(
        strategy.name,
        features,
        ground.truth,
        ground.task,
        folds,
        strength=choice.probe.strength,
        balanced=choice.probe.balanced,
        seed=ground.seed,
    )


def _looks(look: int) -> tuple[Finding, ...]:
    if look == 1:
        return ()
    text = f"this is claim {look} on this test set: it is tested more strictly, and what comes out may be luck"
    return (Finding("test_set_looked_at_before", text),)


def _attribution(verdict: Verdict, overlap: Overlap) -> tuple[Finding, ...]:
    if verdict.word != HELPS or not overlap.labels:
        return ()
    return (Finding("gain_may_be_memory", overlap.words[0]),)
