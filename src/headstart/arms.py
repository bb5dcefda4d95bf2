"""Arms: contenders as training examples saw them that they did not learn from; which is chosen, which is given up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from scipy.special import stdtrit

from headstart.forecasts import difference_of_forecasts
from headstart.mistakes import quadratic_errors
from headstart.paired import standard_error
from headstart.tasks import Task

HOPELESS = 1e-3
"""How often, at most, a contender may be given up that is as good as the others are."""

FEWEST_UNITS = 20
"""Units that a fold must hold for that: the spread of fewer is not known well enough."""

ONE_ERROR = 0.6827
"""The level of an interval that reaches one standard error to either side; Student's, of few units, a little more."""

Errors: TypeAlias = Callable[[Task, np.ndarray, np.ndarray], np.ndarray]
"""From a task, the truth and outputs to the error (n,) of each answer."""


@dataclass(frozen=True, eq=False)
class Arm:
    """One contender, seen out of fold.

    Attributes:
        name: of the strategy.
        word: what it is called in a sentence.
        cut: the number of frozen stages, or "top"; "" without a network.
        outputs: (n, c) or (n,) of examples it did not learn from.
        seen: (n,) where there are such outputs.
        epoch: the one that was best over all folds; None for a probe.
        curves: the quadratic error on held-out examples by epoch, from 0, in each fold.
        is_given_up: after its first fold, where it stood hopelessly behind another.
    """

    name: str
    word: str
    cut: int | str
    outputs: np.ndarray
    seen: np.ndarray
    epoch: int | None = None
    curves: list[list[float]] = field(default_factory=list)
    is_given_up: bool = False


@dataclass(frozen=True)
class Standing:
    """How an arm stands beside the best.

    Attributes:
        error: its mean quadratic error out of fold: Brier's score (1950), or the squared error beside the variance.
        behind: how much larger that is than the best arm's, or than that of the one it is held beside.
        standard_error: of that difference, over units; of forecasts half the 68 % interval of the test that a claim is
            made by, over times as well, and with Student's t: of 15 series 4 % wider.
    """

    error: float
    behind: float
    standard_error: float

    @property
    def ties(self) -> bool:
        """Whether it is within one standard error of the best."""
        return self.behind <= self.standard_error


def choose(
    arms: Sequence[Arm],
    truth: np.ndarray,
    task: Task,
    units: np.ndarray | None,
    *,
    balanced: bool = False,
    by: Errors = quadratic_errors,
) -> tuple[int, list[Standing]]:
    """Return the first arm that is within one standard error of the best one, and how each stands.

    The one-standard-error rule (Breiman et al. 1984, section 3.4.3), on paired differences of the same examples, so
    that what is hard for all arms tells nothing.

    Args:
        arms: the simplest first.
        truth: (n,) or (n, c), as `Task.encode` gives it.
        task: what is predicted.
        units: (n,) what must not be separated; None where every example stands for itself.
        balanced: weigh every class alike.
        by: the error of each answer, which is looked at.
    """
    seen = np.logical_and.reduce([arm.seen for arm in arms])
    if not seen.any():
        return 0, [Standing(0.0, 0.0, 0.0) for _ in arms]
    weights = _weights(truth[seen], task, balanced)
    errors = np.stack([by(task, truth[seen], arm.outputs[seen]) for arm in arms])
    means = (errors * weights).sum(1) / weights.sum()
    best = int(means.argmin())
    places = _places(seen, units)
    standings = [
        Standing(float(mean), *_difference(task, truth[seen], error - errors[best], weights, places))
        for mean, error in zip(means, errors, strict=True)
    ]
    return next(place for place, standing in enumerate(standings) if standing.ties), standings


def held_against(
    own: Arm,
    other: Arm,
    truth: np.ndarray,
    task: Task,
    units: np.ndarray | None,
    *,
    balanced: bool = False,
    by: Errors = quadratic_errors,
) -> Standing:
    """Return how an arm stands beside one other, on the examples that both were seen on; better, it is behind by < 0.

    The arguments are as `choose` takes them.
    """
    seen = own.seen & other.seen
    weights = _weights(truth[seen], task, balanced)
    errors, others = (by(task, truth[seen], arm.outputs[seen]) for arm in (own, other))
    mean = float((errors * weights).sum() / weights.sum())
    return Standing(mean, *_difference(task, truth[seen], errors - others, weights, _places(seen, units)))


def _places(seen: np.ndarray, units: np.ndarray | None) -> np.ndarray:
    """Return the unit (m,) of each example that was seen, from 0 on."""
    return np.arange(int(seen.sum())) if units is None else np.unique(units[seen], return_inverse=True)[1]


def _weights(truth: np.ndarray, task: Task, balanced: bool) -> np.ndarray:
    if not balanced or task.form != "label":
        return np.ones(len(truth))
    counts = np.bincount(truth, minlength=task.n_outputs)
    return np.asarray(1.0 / counts[truth])


def _difference(
    task: Task, truth: np.ndarray, differences: np.ndarray, weights: np.ndarray, units: np.ndarray
) -> tuple[float, float]:
    """Return a weighted mean and its standard error over units; of forecasts over times too, where these tell it."""
    mean = float((differences * weights).sum() / weights.sum())
    error = standard_error(differences, units, weights)
    if task.form == "path":
        tested = difference_of_forecasts(task, truth, differences, units, ONE_ERROR)
        over_time = (tested.high - tested.low) / 2
        error = max(error, over_time) if np.isfinite(over_time) else error
    return mean, error


def is_hopeless(
    own: Arm, rivals: Sequence[Arm], truth: np.ndarray, task: Task, units: np.ndarray | None, *, balanced: bool = False
) -> bool:
    """Tell whether an arm stands so far behind one of its rivals that seeing more of it would be a waste.

    This is a race (Maron and Moore 1994): what cannot win is not run to the end. Student's t of a paired difference
    decides, over as many units as weigh alike: a rare class whose examples count for many is still few.

    Args:
        own: seen on a first fold.
        rivals: seen there as well.
        truth: (n,) or (n, c), as `Task.encode` gives it.
        task: what is predicted.
        units: (n,) what must not be separated; None where every example stands for itself.
        balanced: weigh every class alike.
    """
    for rival in rivals:
        seen = own.seen & rival.seen
        alike = _alike(_weights(truth[seen], task, balanced), _places(seen, units))
        if alike < FEWEST_UNITS:
            continue
        standing = held_against(own, rival, truth, task, units, balanced=balanced)
        if standing.behind > -stdtrit(alike - 1, HOPELESS / len(rivals)) * standing.standard_error:
            return True
    return False


def _alike(weights: np.ndarray, units: np.ndarray) -> float:
    """Return how many units of one weight would tell as much as these (Kish 1965)."""
    totals = np.bincount(units, weights)
    return float(totals.sum() ** 2 / (totals**2).sum()) if len(totals) else 0.0
