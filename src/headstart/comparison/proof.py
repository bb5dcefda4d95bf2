"""The proof: one declared comparison with no transfer on the test set, and what it was worth in labels and time."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from headstart.adaptation import Adapted, adapt_to
from headstart.checkpoints import Checkpoints
from headstart.choosing import Choice
from headstart.comparison.forgetting import Forgetting, forgotten
from headstart.comparison.ledger import look_at
from headstart.comparison.luck import AFFORDABLE, on_luck, seconds_for, seed_spread
from headstart.comparison.verdicts import HARMS, HELPS, Verdict, beside_walk, judge
from headstart.comparison.worth import CURVE_OF, in_words, worth_in_labels
from headstart.curves import Curve, Labels
from headstart.data import Dataset, Finding, spread
from headstart.devices import steady, undisturbed
from headstart.ground import Ground
from headstart.heads import fit_head
from headstart.mistakes import errors_of
from headstart.paired import corrected_t
from headstart.plan import Plan
from headstart.progress import Progress, silent
from headstart.ranking.judgement import Overlap, overlap_of
from headstart.ranking.outlook import ACCURACY, Expected, expected_of, measure_of, shown
from headstart.ranking.sources import Ranking
from headstart.ranking.standings import Interval, as_interval, gain_over
from headstart.strategies import Classical, Majority, Probe
from headstart.strategies.probe import DEFAULT_STRENGTH
from headstart.tasks import Task
from headstart.wording import seconds_in_words

GAPS = {
    "learned_from": "examples it learned from",
    "held_out": "training examples held out in turn",
    "tested": "test examples",
    "shuffled": "shuffled labels, learned by heart",
}
BY_SEED = "one fold held out, by seed"

GAPS_OF = 1_000
"""Training examples that are answered to see the gap to what was not learned from, at most."""

SERIES_GAPS_OF = 100
"""Histories, of series: they are long."""


@dataclass(frozen=True, eq=False)
class Tested:
    """What the saved model answered, for those who want to look at single examples.

    Attributes:
        data: the test examples.
        truth: (n,) or (n, c), as `Task.encode` gives it.
        outputs: (n, c) or (n,) of the test examples.
        held_out: outputs and truth of training examples that were held out in turn; None where there are none.
    """

    data: Dataset
    truth: np.ndarray
    outputs: np.ndarray
    held_out: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class Forecast:
    """What transfer was thought to bring before the test set was looked at.

    Attributes:
        gain: the error it spares, with its 95 % interval.
        by: what said so: "rank", or "held out" (training examples held out in turn).
        is_share: whether it is shown in points; of series it is of MASE.
    """

    gain: Interval
    by: str
    is_share: bool = True

    @property
    def words(self) -> str:
        """The forecast in words, in points."""
        times, form, unit = (100, "+.1f", "") if self.is_share else (1, "+.3f", " of MASE spared")
        value, low, high = (times * one for one in self.gain)
        ends = f"[{low:{form}}, {high:{form}}]{unit}" if math.isfinite(low) else "(too few to tell how sure)"
        whence = "by the ranking" if self.by == "rank" else "by training examples held out in turn"
        return f"forecast {whence}: {value:{form}} {ends}"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        return {**as_interval(self.gain), "by": self.by}


@dataclass(frozen=True)
class Foretold:
    """What was expected of the test set before it was looked at, and what it showed.

    Attributes:
        measure: "accuracy", "variance left" or "Brier score".
        expected: it, with the interval it should lie in nine times in ten.
        found: what it is.
        by: what said so: "rank", or "held out" (training examples held out in turn).
    """

    measure: str
    expected: Expected
    found: float
    by: str

    @property
    def words(self) -> str:
        """Both in words."""
        found = f"{100 * self.found:.1f} %" if self.measure == ACCURACY else f"{self.found:.3g}"
        return f"{shown(self.expected, self.measure)} was expected; it is {found}"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        return {"measure": self.measure, **asdict(self.expected), "found": self.found, "by": self.by}


@dataclass(frozen=True, eq=False)
class Proof:
    """What the main job proves of transfer.

    Attributes:
        verdict: of the declared comparison; None where one side is missing.
        sides: what stood on each side: "with" and "without" transfer, in words.
        chosen: the side the model is from: "with" or "without".
        labels: how many labels no transfer would need to come as far; None where it is not known.
        curves: errors out of fold by number of labels.
        reached: labels that transfer had there, and its error.
        overlap: what the source may have seen of the target.
        gaps: the mean error on examples learned from, held out in turn, and tested, and on shuffled labels learned by
            heart; of classes the share of wrong answers.
        findings: what a reader of the verdict should know.
        tested: what the saved model answered.
        cpu: seconds of all processors that learning took on each side: "with" and "without".
        forgetting: of the source's own classes; None where nothing of it was learned over, or its head is not known.
        seeds: the mean error on one fold held out, with the run's own seed and with others; empty where none is drawn.
        untried: seconds that other seeds would have taken, where that was too long.
        forecast: of the gain; None where nothing was seen of it before.
        foretold: of the saved model; None where nothing was seen of it before.
    """

    verdict: Verdict | None
    sides: dict[str, str]
    chosen: str
    labels: Labels | None
    curves: tuple[Curve, ...]
    reached: tuple[int, float] | None
    overlap: Overlap
    gaps: dict[str, float]
    findings: tuple[Finding, ...]
    tested: Tested
    cpu: dict[str, float]
    forgetting: Forgetting | None = None
    seeds: tuple[float, ...] = ()
    untried: float = 0.0
    forecast: Forecast | None = None
    foretold: Foretold | None = None

    def called(self, text: str) -> str:
        """Return a sentence of ours with examples, labels and groups called what they are."""
        return self.tested.data.called(text)

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
        return f"{words} {self.called(self.verdict.words)}{kept}"

    @property
    def seconds_to_match(self) -> tuple[float, bool] | None:
        """CPU-seconds that no transfer would need for as many labels, and whether that is only the least of it.

        None where it cannot be told that it needs more labels at all.
        """
        if self.labels is None or "without" not in self.cpu:
            return None
        is_open = self.labels.high is None or self.labels.value is None
        if is_open and self.labels.low <= self.labels.given:
            return None
        labels = self.labels.low if is_open else self.labels.value or self.labels.low
        return self.cpu["without"] * labels / self.labels.given, is_open

    @property
    def gaps_in_words(self) -> list[tuple[str, str]]:
        """Each gap's name and its error, and the errors by seed: shares of wrong answers or, of numbers, squared."""
        times, form, unit = (100, ".1f", " %") if self.tested.data.task.form == "label" else (1, ".3f", "")
        rows = [(self.called(GAPS[name]), f"{times * one:{form}}{unit}") for name, one in self.gaps.items()]
        if self.seeds:
            rows.append((BY_SEED, ", ".join(f"{times * one:{form}}" for one in self.seeds) + unit))
        elif self.untried:
            rows.append((BY_SEED, f"not tried: {seconds_in_words(self.untried)} more"))
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Return the proof as JSON holds it, with the seconds it took this time."""
        matched = self.seconds_to_match
        to_match = None if matched is None else {"value": round(matched[0], 2), "is_open": matched[1]}
        return {**self.certificate(), "cpu_seconds": self.cpu, "cpu_seconds_to_match": to_match}

    def certificate(self) -> dict[str, Any]:
        """Return what is the same whenever the same thing is proven."""
        return {
            "sentence": self.sentence,
            **({} if self.verdict is None else self.verdict.as_dict()),
            "sides": self.sides,
            "chosen": self.chosen,
            "labels_to_match": None if self.labels is None else self.labels.as_dict(),
            "curves": [one.as_dict() for one in self.curves],
            "overlap": self.overlap.as_dict(),
            "gaps": self.gaps,
            "seeds": list(self.seeds),
            "untried_seconds": round(self.untried, 1),
            "forecast": None if self.forecast is None else self.forecast.as_dict(),
            "foretold": None if self.foretold is None else self.foretold.as_dict(),
            "forgetting": None if self.forgetting is None else self.forgetting.as_dict(),
        }


@undisturbed()
def prove(
    adapted: Adapted,
    tested: Dataset,
    *,
    ranking: Ranking | None = None,
    progress: Progress = silent,
) -> Proof:
    """Hold a model against the best on the other side of transfer, on test examples, once.

    Args:
        adapted: the model, what it was chosen from, and its rival.
        tested: examples no choice was made on.
        ranking: of the sources, where there was a choice; what it said of the gain is the forecast.
        progress: called with (phase, done, total).
    """
    ground, task, choice = adapted.ground, adapted.model.task, adapted.choice
    rival, other = adapted.rival, choice.rival
    if rival is None and choice.strategy.transfers:
        beside = _without(ground, adapted)
        rival, other, adapted = beside.model, beside.choice, replace(adapted, cpu=(adapted.cpu[0], beside.cpu[0]))
    overlap = overlap_of(ground.backbone, ground.examples, task)
    outputs = adapted.model.outputs(tested.inputs, contents=tested.contents, progress=progress)
    truth = task.encode(tested.values)
    gaps, plan = _gaps(adapted, outputs, truth), Plan.from_dict(adapted.model.record["plan"])
    wait = seconds_for(choice, plan, ground.held_share)
    with steady(plan.threads):
        seeds = seed_spread(ground, choice) if wait <= AFFORDABLE else ()
    untried = wait if wait > AFFORDABLE else 0.0
    foretold = _foretold(adapted, len(tested), gaps["tested"] * _beside(ground, truth), ranking)
    lost = forgotten(adapted, tested)
    lucky = on_luck(seeds, task.form == "label")
    seen = Tested(tested, truth, outputs, _held_out(adapted))
    mine = "with" if choice.strategy.transfers else "without"
    units = np.unique(tested.groups, return_inverse=True)[1] if tested.groups is not None else None
    walk = beside_walk(task, truth, outputs, units)
    if rival is None or other is None:
        sides, cpu = {mine: in_words(choice, ground)}, {mine: adapted.cpu[0]}
        alone = Proof(
            None, sides, mine, None, (), None, overlap, gaps, (*walk, *lucky), seen, cpu, lost, seeds, untried
        )
        return replace(alone, foretold=foretold)
    theirs = rival.outputs(tested.inputs, contents=tested.contents, progress=progress)
    pair = {mine: (outputs, choice), "without" if mine == "with" else "with": (theirs, other)}
    look = look_at(tested.contents, tested.values, [pair["with"][0], pair["without"][0]])
    verdict = judge(task, truth, pair["with"][0], pair["without"][0], units, look=look, breaks=tested.breaks)
    worth = worth_in_labels(ground, pair["with"][1], pair["without"][1])
    sides = {name: in_words(one, ground) for name, (_, one) in pair.items()}
    findings = (*_looks(look), *_attribution(verdict, overlap), *walk, *lucky)
    cpu = {name: round(seconds, 2) for name, seconds in zip(pair, adapted.cpu, strict=True)}
    return Proof(
        verdict,
        sides,
        mine,
        worth.labels,
        worth.curves,
        worth.reached,
        overlap,
        gaps,
        findings,
        seen,
        cpu,
        lost,
        seeds,
        untried,
        _forecast(ground, pair["with"][1], pair["without"][1], ranking),
        foretold,
    )


def _forecast(ground: Ground, ours: Choice, theirs: Choice, ranking: Ranking | None) -> Forecast | None:
    """Return what the ranking has said or, without one, what the examples say that neither side had learned from.

    Over folds by the corrected resampled t: what they learned from is mostly the same.
    """
    if ranking is not None:
        return Forecast(ranking.advice.gain, "rank")
    if ours.arm is None or theirs.arm is None or not (ours.arm.seen.any() and theirs.arm.seen.any()):
        return None
    seen = ours.arm.seen & theirs.arm.seen
    if not seen.any():
        return None
    own, other = (errors_of(ground.task, ground.truth[seen], one.outputs[seen]) for one in (ours.arm, theirs.arm))
    folds = [fold[seen] for fold in ground.folds(ours.folds) if fold[seen].any()]
    if len(folds) < 2:
        units = ground.examples.units[seen]
        return Forecast(gain_over(np.stack([own, other]), units, 0, 1), "held out", ground.task.form != "path")
    found = corrected_t(np.array([(other - own)[fold].mean() for fold in folds]), 1 / len(folds))
    lowest, highest = (-1.0, 1.0) if ground.task.form == "label" else (-math.inf, math.inf)
    return Forecast((found.value, max(found.low, lowest), min(found.high, highest)), "held out")


def _foretold(adapted: Adapted, tested: int, error: float, ranking: Ranking | None) -> Foretold | None:
    """Return what was expected of the saved model, by the ranking or by examples held out, beside its error."""
    choice, ground, measure = adapted.choice, adapted.ground, measure_of(adapted.ground.task)
    found = 1 - error if measure == ACCURACY else error
    if ranking is not None and choice.strategy.transfers:
        told = ranking.outlook.probe if choice.tuning is None else ranking.outlook.tuned or ranking.outlook.probe
        return Foretold(measure, told, found, "rank")
    if choice.arm is None or not choice.arm.seen.any():
        return None
    seen = choice.arm.seen
    errors = errors_of(ground.task, ground.truth[seen], choice.arm.outputs[seen])
    fold = next(iter(ground.folds(choice.folds)), None)
    if fold is None:
        return None
    learned = int((~fold).sum())
    told = expected_of(errors, ground.examples.units[seen], learned, tested, is_share=measure == ACCURACY)
    return Foretold(measure, told, found, "held out")


def _beside(ground: Ground, truth: np.ndarray) -> float:
    """Return what a share of the test examples' variance is of the training examples'; 1 where errors are no such."""
    if ground.task.form != "number":
        return 1.0
    return float(np.var(truth)) / (float(np.var(ground.truth)) or 1.0)


def _held_out(adapted: Adapted) -> tuple[np.ndarray, np.ndarray] | None:
    arm = adapted.choice.arm
    if arm is None or not arm.seen.any():
        return None
    return arm.outputs[arm.seen], adapted.ground.truth[arm.seen]


def _without(ground: Ground, adapted: Adapted) -> Adapted:
    """Return the better one of what needs neither a source nor time."""
    plan = Plan.from_dict(adapted.model.record["plan"])
    return adapt_to(replace(ground, keeper=Checkpoints()), [Majority(), Classical()], plan=plan)


def _gaps(adapted: Adapted, outputs: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return the mean error on examples learned from, on those held out in turn, and on the test examples."""
    ground, arm, task = adapted.ground, adapted.choice.arm, adapted.model.task
    gaps, n = {}, {"path": SERIES_GAPS_OF, "text": GAPS_OF // 10}.get(task.form, GAPS_OF)
    if task.form != "path" or adapted.choice.strategy.transfers:  # what is fitted to a history alone learned from none
        few = ground.examples.take(spread(len(ground.examples), n))
        fitted = adapted.model.outputs(few.inputs, contents=few.contents)
        gaps["learned_from"] = _mean_error(task, task.encode(few.values), fitted)
    if arm is not None and arm.seen.any():
        gaps["held_out"] = _mean_error(task, ground.truth[arm.seen], arm.outputs[arm.seen])
    gaps["tested"] = _mean_error(task, truth, outputs)
    is_path = task.form == "path" and not isinstance(adapted.choice.strategy, Probe)
    if task.form != "text" and not is_path:  # a source as it is, or none, learns nothing
        gaps["shuffled"] = _memorised(adapted)
    return gaps


def _memorised(adapted: Adapted) -> float:
    """Return the error of a head on shuffled labels that it was fitted to: what memory alone gives (Zhang et al. 2017).

    It stands on the source's features at the top, with the chosen penalty.
    """
    ground, probe = adapted.ground, adapted.choice.probe
    places = spread(len(ground.examples), CURVE_OF)
    truth = np.random.default_rng(ground.seed).permutation(ground.truth[places])
    features = ground.features_at(None)[places]
    head = fit_head(features, truth, ground.task, probe.strength or DEFAULT_STRENGTH)
    return _mean_error(ground.task, truth, ground.task.outputs(head.logits(features)))


def _mean_error(task: Task, truth: np.ndarray, outputs: np.ndarray) -> float:
    return float(errors_of(task, truth, outputs).mean())


def _looks(look: int) -> tuple[Finding, ...]:
    if look == 1:
        return ()
    text = f"this is claim {look} on this test set: it is tested more strictly, and what comes out may be luck"
    return (Finding("test_set_looked_at_before", text),)


def _attribution(verdict: Verdict, overlap: Overlap) -> tuple[Finding, ...]:
    if verdict.word != HELPS or not overlap.words:
        return ()
    return (Finding("gain_may_be_memory", overlap.words[0]),)
