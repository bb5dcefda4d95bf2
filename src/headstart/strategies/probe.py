"""The linear probe: everything frozen, a linear head on the features at a cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart import metrics
from headstart.data import Dataset
from headstart.errors import OptionError
from headstart.heads import LinearHead, fit_head, imbalance
from headstart.progress import Progress, silent
from headstart.tasks import UNKNOWN, Task

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
FOLDS = 5
DEFAULT_STRENGTH = 0.1
CHOOSING_TOLERANCE = 1e-3
RISES = 2
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
    """

    head: LinearHead
    strength: float
    balanced: bool
    losses: dict[float, float]
    chosen_on: str
    outputs: np.ndarray
    seen: np.ndarray
    notes: tuple[str, ...] = ()


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
    folds = [held for held in (_folds(probe, train, seed) if held is None else [held]) if _teaches(task, truth, held)]
    units = np.unique(train.groups, return_inverse=True)[1] if train.groups is not None else None
    trials = _trials(probe, features, truth, task, folds, progress) if folds else {DEFAULT_STRENGTH: _Trial.none(truth)}
    strength = min(trials, key=lambda value: (trials[value].loss, value))
    trial, balanced, note = _choose_weights(probe, features, truth, task, folds, strength, trials[strength], units)
    head = fit_head(features, truth, task, strength, balanced=balanced)
    words = "the validation set" if held is not None else f"{len(folds)}-fold cross-validation in the training set"
    losses = {tried: trial.loss for tried, trial in trials.items()}
    chosen_on = words if folds else "nothing: too few examples"
    return Fitted(head, strength, balanced, losses, chosen_on, trial.outputs, trial.seen, note)


@dataclass(frozen=True)
class _Trial:
    """What heads of one strength say of examples they did not see: loss, outputs (n, c) or (n,), and where (n,)."""

    loss: float
    outputs: np.ndarray
    seen: np.ndarray

    @classmethod
    def none(cls, truth: np.ndarray) -> _Trial:
        return cls(0.0, np.zeros(0), np.zeros(len(truth), dtype=bool))


def _trials(
    probe: Probe, features: np.ndarray, truth: np.ndarray, task: Task, folds: list[np.ndarray], progress: Progress
) -> dict[float, _Trial]:
    """Try the strengths from strict to free, and stop once the loss has risen `RISES` times in a row."""
    trials: dict[float, _Trial] = {}
    rises = 0
    for done, strength in enumerate(sorted(probe.strengths), start=1):
        last = list(trials.values())[-1].loss if trials else np.inf
        trials[strength] = _try(features, truth, task, folds, strength, balanced=False)
        rises = rises + 1 if trials[strength].loss > last else 0
        progress("choosing the penalty", done, len(probe.strengths))
        if rises == RISES:
            break
    progress("choosing the penalty", len(probe.strengths), len(probe.strengths))
    return trials


def _folds(probe: Probe, train: Dataset, seed: int) -> list[np.ndarray]:
    """Return the held-out masks (n,); fewer than asked for where there are few units."""
    fold = train.folds(min(probe.folds, max(2, len(set(train.units.tolist())))), seed=seed)
    return [fold == number for number in np.unique(fold)]


def _teaches(task: Task, truth: np.ndarray, held: np.ndarray) -> bool:
    """Tell whether anything can be seen by holding these out: some are fitted on, and their classes are learned."""
    return bool(not held.all() and (held & is_learned(task, truth, ~held)).any())


def _try(
    features: np.ndarray, truth: np.ndarray, task: Task, folds: list[np.ndarray], strength: float, *, balanced: bool
) -> _Trial:
    shape = (len(truth),) if task.kind == "regression" else (len(truth), task.n_outputs)
    outputs, seen = np.zeros(shape), np.zeros(len(truth), dtype=bool)
    for held in folds:
        head = fit_head(features[~held], truth[~held], task, strength, balanced=balanced, tolerance=CHOOSING_TOLERANCE)
        outputs[held] = task.outputs(head.logits(features[held]))
        seen |= held & is_learned(task, truth, ~held)
    return _Trial(_loss(task, truth[seen], outputs[seen]), outputs, seen)


def is_learned(task: Task, truth: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Tell (n,) whose class the examples fitted on hold: of the others nothing can be expected."""
    if task.kind != "classification":
        return np.ones(len(truth), dtype=bool)
    return np.isin(truth, truth[fitted])


def _loss(task: Task, truth: np.ndarray, outputs: np.ndarray) -> float:
    if task.kind == "regression":
        return float(np.mean((truth - outputs) ** 2))
    if task.kind == "multilabel":
        clipped = np.clip(outputs, metrics.TINY, 1 - metrics.TINY)
        return float(-np.mean(truth * np.log(clipped) + (1 - truth) * np.log(1 - clipped)))
    known = truth != UNKNOWN
    return float(-np.mean(np.log(np.clip(outputs[known, truth[known]], metrics.TINY, 1))))


def _choose_weights(
    probe: Probe,
    features: np.ndarray,
    truth: np.ndarray,
    task: Task,
    folds: list[np.ndarray],
    strength: float,
    plain: _Trial,
    units: np.ndarray | None,
) -> tuple[_Trial, bool, tuple[str, ...]]:
    if task.kind != "classification" or probe.class_weight == "none":
        return plain, False, ()
    ratio = imbalance(truth)
    if probe.class_weight == "auto" and (ratio < IMBALANCED or not folds):
        return plain, False, ()
    weighed = _try(features, truth, task, folds, strength, balanced=True)
    if probe.class_weight == "balanced":
        return weighed, True, ("classes are weighed alike, as asked",)
    scores = []
    for trial in (plain, weighed):
        own = units[trial.seen] if units is not None else None
        scores.append(metrics.measure(task, truth[trial.seen], trial.outputs[trial.seen], own)["macro_f1"])
    before, after = scores
    words = f"the largest class is {ratio:.0f} times the smallest"
    if after.value > before.value + (before.high - before.low) / FOUR_ERRORS:
        change = f"macro F1 on examples not fitted {before.value:.3f} without, {after.value:.3f} with"
        return weighed, True, (f"{words}: classes are weighed alike ({change})",)
    return plain, False, (f"{words}; weighing classes alike did not help, so every example counts the same",)
