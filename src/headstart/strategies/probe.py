"""The linear probe: everything frozen, a linear head on the features at a cut."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from headstart import metrics
from headstart.data import Dataset, splits
from headstart.errors import OptionError
from headstart.forecasts import scaled_errors, spread_factor
from headstart.heads import LinearHead, Parts, as_met, fit_head, imbalance
from headstart.heads.paths import widened_outputs
from headstart.mistakes import TINY
from headstart.progress import Progress, silent
from headstart.tasks import UNKNOWN, Task

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
FOLDS = 5
DEFAULT_STRENGTH = 0.1
CHOOSING_TOLERANCE = 1e-3
RISES = 2
CLEAR = 1.1
"""Times the loss before: one that is larger counts as all the rises."""

CHOSEN_ON = 20_000
"""Examples that a penalty is chosen on, at most."""

FOUR_ERRORS = 4
"""A 95 % interval is about four standard errors wide."""

IMBALANCED = 3.0
"""From this ratio of the largest to the smallest class on, class weights are tried."""


@dataclass(frozen=True)
class Probe:
    """Fit a linear head on frozen features; its penalty is chosen by validation (Alain and Bengio 2016).

    Attributes:
        cut: where the features are read; None is the top. Negative cuts count from the top.
        strengths: the values of C tried, each positive: the inverse of an L2 penalty on standardised features.
        folds: of the cross-validation, 2 or more; used where no validation set is given.
        class_weight: "auto" tries balanced weights where classes differ in size, and keeps them where the macro F1
            of predictions on examples not fitted rises by more than a standard error; "balanced" and "none" decide.
    """

    cut: int | None = None
    strengths: tuple[float, ...] = STRENGTHS
    folds: int = FOLDS
    class_weight: str = "auto"

    name = "probe"
    word = "the probe"
    transfers = True

    def __post_init__(self) -> None:
        if not self.strengths or min(self.strengths) <= 0:
            raise OptionError("a strength is not positive.", expected="numbers above 0", got=str(self.strengths))
        if self.cut == 0:
            raise OptionError(
                "nothing lies below cut 0 to be read.", expected="a cut of 1 or more, or a negative one", got="0"
            )
        if self.folds < 2:
            raise OptionError("too few folds.", expected="2 or more", got=str(self.folds))
        if self.class_weight not in ("auto", "balanced", "none"):
            raise OptionError("the class weight is unknown.", expected="auto, balanced or none", got=self.class_weight)


@dataclass(frozen=True)
class Fitted:
    """A head, and how it was chosen.

    Attributes:
        head: fitted on all the examples.
        strength: the C that was chosen.
        balanced: whether classes were weighed alike.
        losses: C to the mean loss on examples not fitted.
        chosen_on: what it was chosen on, in words.
        outputs: (n, c) or (n,): what heads of the chosen strength answered the examples they were not fitted on.
        seen: (n,) where there are such outputs.
        notes: what a user should know of it.
        decoding: of texts, which sentences are put together; empty otherwise.
    """

    head: LinearHead
    strength: float
    balanced: bool
    losses: dict[float, float]
    chosen_on: str
    outputs: np.ndarray
    seen: np.ndarray
    notes: tuple[str, ...] = ()
    decoding: dict[str, Any] = field(default_factory=dict)


def fit_probe(
    probe: Probe,
    features: np.ndarray,
    train: Dataset,
    held: np.ndarray | None,
    task: Task,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> Fitted:
    """Choose the penalty and the class weights, then fit on every example.

    Args:
        probe: the settings.
        features: (n, d) of `train`.
        train: the examples, validation included.
        held: (n,) which of them are the validation set; None chooses by cross-validation.
        task: with the labels that occur in `train`.
        seed: of the folds.
        progress: called with (phase, done, total).
    """
    truth = task.encode(train.values)
    sample = _sample(train, held, seed)
    if len(sample) < len(train):
        part = _Question(task, features[sample], train.take(sample), truth[sample])
    else:
        part = _Question(task, features, train, truth)
    folds = part.examples.held_in_turn(probe.folds, seed=seed) if held is None else [held[sample]]
    part = replace(part, folds=tuple(fold for fold in folds if _teaches(task, part.truth, fold)))
    trials = _trials(probe, part, progress) if part.folds else {DEFAULT_STRENGTH: Trial.none(part.truth)}
    strength = min(trials, key=lambda value: (trials[value].loss, value))
    trial, balanced, notes = _choose_weights(probe, part, strength, trials[strength])
    number, shown = len(part.folds), part.examples
    del part
    head = fit_head(features, truth, task, strength, balanced=balanced)
    if task.form == "path":
        head, outputs = calibrated(task, head, trial.outputs, trial.seen, shown)
        trial = replace(trial, outputs=outputs)
    words = "the validation set" if held is not None else f"{number}-fold cross-validation in the training set"
    if len(sample) < len(train):
        trial = trial.spread_over(sample, len(train))
        notes += (f"the penalty was chosen on {len(sample):,} of {len(train):,} examples, drawn class by class",)
    losses = {tried: one.loss for tried, one in trials.items()}
    chosen_on = words if trial.seen.any() else "nothing: too few examples"
    return Fitted(head, strength, balanced, losses, chosen_on, trial.outputs, trial.seen, notes)


def _sample(train: Dataset, held: np.ndarray | None, seed: int) -> np.ndarray:
    """Return the places to choose on: `CHOSEN_ON` at most to fit on and as many held out, classes even, groups whole.

    Copies count as groups; the same seed draws the same examples, and mostly the same when others are added.
    """
    sides = [np.arange(len(train))] if held is None else [np.flatnonzero(~held), np.flatnonzero(held)]
    chosen = []
    for places in sides:
        if len(places) <= CHOSEN_ON:
            chosen.append(places)
            continue
        side = train.take(places)
        units = np.unique(np.array(side.keys), return_inverse=True)[1]
        chosen.append(places[splits.held_out(units, side.keys, side.strata, CHOSEN_ON / len(places), seed)])
    return np.sort(np.concatenate(chosen))


@dataclass(frozen=True, eq=False)
class _Question:
    """What the penalty is chosen on: examples with their features (n, d) and truth, and what is held out (n,)."""

    task: Task
    features: np.ndarray
    examples: Dataset
    truth: np.ndarray
    folds: tuple[np.ndarray, ...] = ()

    @cached_property
    def parts(self) -> Parts:
        """What is fitted on when each fold is held out."""
        return Parts(self.features, self.truth, self.task, [~held for held in self.folds])


@dataclass(frozen=True)
class Trial:
    """What heads of one strength say of examples they did not see: loss, outputs (n, c) or (n,), and where (n,)."""

    loss: float
    outputs: np.ndarray
    seen: np.ndarray

    @classmethod
    def none(cls, truth: np.ndarray) -> Trial:
        """Return a trial of nothing."""
        return cls(0.0, np.zeros(0), np.zeros(len(truth), dtype=bool))

    def spread_over(self, places: np.ndarray, n: int) -> Trial:
        """Return the trial as one of n examples, of which those at `places` were tried."""
        outputs, seen = np.zeros((n, *self.outputs.shape[1:])), np.zeros(n, dtype=bool)
        seen[places] = self.seen
        if len(self.outputs):
            outputs[places] = self.outputs
        return Trial(self.loss, outputs, seen)


def _trials(probe: Probe, question: _Question, progress: Progress) -> dict[float, Trial]:
    """Try the strengths from strict to free, and stop once the loss has risen clearly, or `RISES` times in a row."""
    trials: dict[float, Trial] = {}
    rises = 0
    for done, strength in enumerate(sorted(probe.strengths), start=1):
        last = list(trials.values())[-1].loss if trials else np.inf
        trials[strength] = _try(question, strength, balanced=False)
        rises = rises + 1 if trials[strength].loss > last else 0
        rises = RISES if trials[strength].loss > CLEAR * last else rises
        progress("choosing the penalty", done, len(probe.strengths))
        if rises >= RISES:
            break
    progress("choosing the penalty", len(probe.strengths), len(probe.strengths))
    return trials


def _teaches(task: Task, truth: np.ndarray, held: np.ndarray) -> bool:
    """Tell whether anything can be seen by holding these out: some are fitted on, and their classes are learned."""
    return bool(not held.all() and (held & is_learned(task, truth, ~held)).any())


def _try(question: _Question, strength: float, *, balanced: bool) -> Trial:
    task, truth = question.task, question.truth
    shape = (len(truth),) if task.form == "number" else (len(truth), task.n_outputs)
    outputs, seen = np.zeros(shape), np.zeros(len(truth), dtype=bool)
    heads = question.parts.heads(strength, balanced=balanced, tolerance=CHOOSING_TOLERANCE)
    for held, head in zip(question.folds, heads, strict=True):
        outputs[held] = task.outputs(head.logits(as_met(question.features, held, ~held)))
        seen |= held & is_learned(task, truth, ~held)
    return Trial(_loss(task, truth[seen], outputs[seen]), outputs, seen)


def calibrated(
    task: Task, head: LinearHead, outputs: np.ndarray, seen: np.ndarray, train: Dataset, *, least: float = 0.0
) -> tuple[LinearHead, np.ndarray]:
    """Return a head of forecasts, and outputs, with intervals as wide as examples it was not fitted on ask for.

    Args:
        task: forecasting.
        head: fitted.
        outputs: (n, h·9) that such heads gave examples they were not fitted on.
        seen: (n,) where there are such outputs.
        train: the n examples.
        least: times the spread they have already that intervals get at least.
    """
    if not seen.any():
        return head, outputs
    shown = train.take(seen)
    units = len(set(shown.keys))
    factor = max(least, spread_factor(task, task.encode(shown.values), outputs[seen], units))
    return head.widened(factor), widened_outputs(task, outputs, factor)


def is_learned(task: Task, truth: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Tell (n,) whose class the examples fitted on hold: of the others nothing can be expected."""
    if task.form != "label":
        return np.ones(len(truth), dtype=bool)
    return np.isin(truth, truth[fitted])


def _loss(task: Task, truth: np.ndarray, outputs: np.ndarray) -> float:
    if task.form == "path":
        return float(scaled_errors(task, truth, outputs).mean())
    if task.form == "number":
        return float(np.mean((truth - outputs) ** 2))
    if task.form == "labels":
        clipped = np.clip(outputs, TINY, 1 - TINY)
        return float(-np.mean(truth * np.log(clipped) + (1 - truth) * np.log(1 - clipped)))
    known = truth != UNKNOWN
    return float(-np.mean(np.log(np.clip(outputs[known, truth[known]], TINY, 1))))


def _choose_weights(
    probe: Probe, question: _Question, strength: float, plain: Trial
) -> tuple[Trial, bool, tuple[str, ...]]:
    task, truth = question.task, question.truth
    if task.form != "label" or probe.class_weight == "none":
        return plain, False, ()
    ratio = imbalance(truth)
    if probe.class_weight == "auto" and (ratio < IMBALANCED or not question.folds):
        return plain, False, ()
    weighed = _try(question, strength, balanced=True) if question.folds else plain
    if probe.class_weight == "balanced":
        return weighed, True, ("classes are weighed alike, as asked",)
    groups, breaks = question.examples.groups, question.examples.breaks
    units = np.unique(groups, return_inverse=True)[1] if groups is not None else None
    scores = []
    for trial in (plain, weighed):
        own = units[trial.seen] if units is not None else None
        texts = None if breaks is None else breaks[trial.seen]
        measured = metrics.measure(task, truth[trial.seen], trial.outputs[trial.seen], own, breaks=texts)
        name = next(one for one in ("macro_f1", metrics.HEADLINE[task.kind], *measured) if one in measured)
        scores.append((name, measured[name]))
    (name, before), (other, after) = scores
    if name != other:
        return plain, False, ()
    words = f"the largest class is {ratio:.0f} times the smallest"
    if after.value > before.value + (before.high - before.low) / FOUR_ERRORS:
        metric = name.replace("_", " ").replace("f1", "F1")
        change = f"{metric} on examples not fitted {before.value:.3f} without, {after.value:.3f} with"
        return weighed, True, (f"{words}: classes are weighed alike ({change})",)
    return plain, False, (f"{words}; weighing classes alike did not help, so every example counts the same",)
