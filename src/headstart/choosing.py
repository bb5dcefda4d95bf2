"""Choosing between strategies: by what they say of examples they did not learn from, the simplest where it ties."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch

from headstart import metrics
from headstart.backbones.backbone import Backbone
from headstart.baselines import fit_without
from headstart.ground import Ground
from headstart.learning.tuning import Tuning, begin_tuning
from headstart.metrics import quadratic_errors
from headstart.plan import FEWEST, Plan
from headstart.statistics import FEWER_RESAMPLES
from headstart.strategies import HEAD_ONLY, Probe, Strategy
from headstart.strategies.probe import FOLDS, Fitted, is_learned
from headstart.tasks import Task


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
    """

    name: str
    word: str
    cut: int | str
    outputs: np.ndarray
    seen: np.ndarray
    epoch: int | None = None
    curves: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen, and what from.

    Attributes:
        strategy: the chosen one.
        backbone: what the head reads; where more than a head is learned, what that begins with.
        probe: what learning begins with, or the model itself.
        arm: how it was seen out of fold; None where it was not.
        tuning: what will be learned on everything; None where the probe was chosen.
        epoch: after which learning stops; None learns to the end.
        arms: how each stood, as JSON holds it; empty where there was nothing to choose.
        tested_rates: what a range test saw, as JSON holds it; None where there was none.
        folds: that it was seen on.
        cpu: seconds of all processors that fitting a head took; 0 where stages are learned, which is not done yet.
        rival: the best on the other side of transfer, chosen the same way; None where there is nothing on it.
    """

    strategy: Strategy
    backbone: Backbone
    probe: Fitted
    arm: Arm | None = None
    tuning: Tuning | None = None
    epoch: int | None = None
    arms: tuple[dict[str, Any], ...] = ()
    tested_rates: dict[str, Any] | None = None
    folds: int = 0
    cpu: float = 0.0
    rival: Choice | None = None


def consider(ground: Ground, plan: Plan) -> Choice:
    """Run a plan's strategies out of fold, and choose; a single one is chosen as it is.

    With a validation set even a single one is run on it first: that chooses its number of epochs.
    """
    several = len(plan.strategies) > 1
    fitted = _fitted(ground, plan)
    if len(plan.strategies) == len(fitted) == 1:
        backbone, own, cpu = fitted[0]
        return Choice(plan.strategies[0], backbone, own, cpu=cpu)
    start = _start(ground, plan, fitted)
    folds = ground.folds(plan.folds) if several or ground.held is not None else []
    arms: list[Arm] = []
    choices: list[Choice] = []
    for place, strategy in enumerate(plan.strategies):
        if place in fitted:
            backbone, own, cpu = fitted[place]
            arms.append(Arm(strategy.name, strategy.word, _read_at(ground, strategy), own.outputs, own.seen))
            choices.append(Choice(strategy, backbone, own, arms[-1], cpu=cpu))
            continue
        tuning, tested = _tuning(ground, plan, place, start)
        arms.append(_out_of_fold(ground, tuning, folds, f"{place}-{strategy.name}") if folds else _unseen(tuning))
        choices.append(Choice(strategy, ground.backbone, start, arms[-1], tuning, arms[-1].epoch, (), tested))
    k = plan.folds if len(fitted) < len(plan.strategies) else FOLDS
    choices = [replace(choice, folds=k) for choice in choices]
    if not several or not folds:
        return replace(choices[_first_with_transfer(plan)], rival=_first_without(plan, choices))
    best, standings = choose(arms, ground.truth, ground.task, ground.units, balanced=start.balanced)
    if len(ground.examples) < FEWEST and any(one.transfers for one in plan.strategies):
        best = _first_with_transfer(plan)
    told = [_told(ground, arm, standing, arm is arms[best]) for arm, standing in zip(arms, standings, strict=True)]
    rival = _rival(ground, arms, choices, best, balanced=start.balanced)
    return replace(choices[best], arms=tuple(told), rival=rival)


def _first_with_transfer(plan: Plan) -> int:
    """Return what is taken where too little can be seen to choose: the simplest that transfers.

    Without one it is the most that can be had without learning stages.
    """
    heads = [place for place, one in enumerate(plan.strategies) if isinstance(one, HEAD_ONLY)]
    return next((place for place, one in enumerate(plan.strategies) if one.transfers), heads[-1] if heads else 0)


def _first_without(plan: Plan, choices: Sequence[Choice]) -> Choice | None:
    """Return what it is held against there: the most that can be had without transfer and without learning stages."""
    without = [one for one in choices if not one.strategy.transfers and one.tuning is None]
    return without[-1] if without and any(one.transfers for one in plan.strategies) else None


def _rival(ground: Ground, arms: list[Arm], choices: list[Choice], best: int, *, balanced: bool) -> Choice | None:
    """Return the best on the other side of transfer, by the same rule."""
    others = [
        place for place, one in enumerate(choices) if one.strategy.transfers is not choices[best].strategy.transfers
    ]
    if not others:
        return None
    own = [arms[place] for place in others]
    place, _ = choose(own, ground.truth, ground.task, ground.units, balanced=balanced)
    return choices[others[place]]


def _read_at(ground: Ground, strategy: Strategy) -> int | str:
    if not isinstance(strategy, Probe):
        return ""
    return "top" if strategy.cut is None else ground.backbone.replay.resolve(strategy.cut)


def _fitted(ground: Ground, plan: Plan) -> dict[int, tuple[Backbone, Fitted, float]]:
    """Return what is only a head, fitted, by place, and its seconds of all processors.

    Beside strategies that learn more it is seen on the same folds as they.
    """
    heads = {place: one for place, one in enumerate(plan.strategies) if isinstance(one, HEAD_ONLY)}
    if len(heads) < len(plan.strategies):
        heads = {place: replace(one, folds=plan.folds) for place, one in heads.items()}
    fitted: dict[int, tuple[Backbone, Fitted, float]] = {}
    for place, one in heads.items():
        if isinstance(one, Probe):
            ground.features_at(one.cut)
        begun = time.process_time()
        if isinstance(one, Probe):
            backbone, own = ground.backbone, ground.probe(one)
        else:
            backbone, own = fit_without(one, ground.examples, ground.task, held=ground.held, seed=ground.seed)
        fitted[place] = backbone, own, time.process_time() - begun
    return fitted


def _start(ground: Ground, plan: Plan, fitted: dict[int, tuple[Backbone, Fitted, float]]) -> Fitted:
    """Return the probe at the top, which learning begins with; where nothing learns, the first head."""
    at_top = (place for place, one in enumerate(plan.strategies) if isinstance(one, Probe) and one.cut is None)
    place = next(at_top, 0 if len(fitted) == len(plan.strategies) else None)
    if place is not None:
        return fitted[place][1]
    return ground.probe(replace(Probe(), folds=plan.folds) if len(plan.strategies) > 1 else Probe())


def _tuning(ground: Ground, plan: Plan, place: int, fitted: Fitted) -> tuple[Tuning, dict[str, Any] | None]:
    """Return a strategy ready to learn; where its rate is not known, it is found first, once for all folds."""
    strategy = plan.strategies[place]
    assert not isinstance(strategy, HEAD_ONLY)
    tuning = begin_tuning(
        strategy,
        ground.backbone,
        ground.examples,
        ground.task,
        features=ground.features if strategy.starts_from_probe else None,
        strength=fitted.strength,
        balanced=fitted.balanced,
        storage=plan.storage[place],
        execution=plan.execution,
        seed=ground.seed,
        precision=plan.precision,
        keeper=ground.keeper,
        progress=ground.progress,
    )
    if not strategy.needs_rate(ground.backbone):
        return tuning, None
    found = tuning.test_rates(progress=ground.progress)
    return tuning.at_rate(found.rate), asdict(found)


def _out_of_fold(ground: Ground, tuning: Tuning, folds: list[np.ndarray], name: str) -> Arm:
    """Learn without each fold in turn, answer it after every epoch, and keep the epoch that was best over all folds."""
    shape = (
        (len(ground.examples),) if ground.task.kind == "regression" else (len(ground.examples), ground.task.n_outputs)
    )
    seen = np.zeros(len(ground.examples), dtype=bool)
    by_epoch = [np.zeros(shape) for _ in range(tuning.schedule.epochs + 1)]
    curves = []
    for number, held in enumerate(folds):
        answered = _answered(ground, tuning, held, f"{name}-fold-{number + 1}")
        last = len(answered) - 1
        for epoch, outputs in enumerate(by_epoch):
            outputs[held] = answered[min(epoch, last)]
        known = held & is_learned(ground.task, ground.truth, ~held)
        seen |= known
        curves.append([float(_errors(ground, outputs, known).mean()) for outputs in by_epoch[: last + 1]])
    means = [_errors(ground, outputs, seen).mean() for outputs in by_epoch]
    epoch = 1 + int(np.argmin(means[1:]))
    return Arm(tuning.strategy.name, tuning.strategy.word, tuning.cut, by_epoch[epoch], seen, epoch, curves)


def _answered(ground: Ground, tuning: Tuning, held: np.ndarray, name: str) -> list[np.ndarray]:
    """Return what held-out examples are answered after each epoch, from unfinished work where it got that far."""
    done = ground.keeper.load(f"{name}-done")
    if done is not None:
        return [done[0][str(epoch)].numpy() for epoch in range(len(done[0]))]
    _, trained = tuning.train(np.flatnonzero(~held), np.flatnonzero(held), name, progress=ground.progress)
    ground.keeper.save(f"{name}-done", {str(e): torch.from_numpy(rows) for e, rows in enumerate(trained.outputs)}, {})
    ground.keeper.drop(name)
    return trained.outputs


def _unseen(tuning: Tuning) -> Arm:
    return Arm(tuning.strategy.name, tuning.strategy.word, tuning.cut, np.zeros(0), np.zeros(0, dtype=bool))


def _errors(ground: Ground, outputs: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return quadratic_errors(ground.task, ground.truth[seen], outputs[seen])


def _told(ground: Ground, arm: Arm, standing: Standing, is_chosen: bool) -> dict[str, Any]:
    """Return how an arm stood, as JSON holds it: on out-of-fold examples only."""
    headline = metrics.HEADLINE[ground.task.kind]
    units = ground.units[arm.seen] if ground.units is not None else None
    measures = metrics.measure(
        ground.task, ground.truth[arm.seen], arm.outputs[arm.seen], units, resamples=FEWER_RESAMPLES
    )
    return {
        "strategy": arm.name,
        "word": arm.word,
        "cut": arm.cut,
        "epoch": arm.epoch,
        "chosen": is_chosen,
        "error": standing.error,
        "behind": standing.behind,
        "standard_error": standing.standard_error,
        "metrics": {name: one.as_dict() for name, one in measures.items()},
        "headline": headline if headline in measures else next(iter(measures)),
        "curves": arm.curves,
    }


@dataclass(frozen=True)
class Standing:
    """How an arm stands beside the best.

    Attributes:
        error: its mean quadratic error out of fold: Brier's score (1950), or the squared error beside the variance.
        behind: how much larger that is than the best arm's.
        standard_error: of that difference, over units.
    """

    error: float
    behind: float
    standard_error: float

    @property
    def ties(self) -> bool:
        """Whether it is within one standard error of the best."""
        return self.behind <= self.standard_error


def choose(
    arms: Sequence[Arm], truth: np.ndarray, task: Task, units: np.ndarray | None, *, balanced: bool = False
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
    """
    seen = np.logical_and.reduce([arm.seen for arm in arms])
    if len(arms) == 1 or not seen.any():
        return 0, [Standing(0.0, 0.0, 0.0) for _ in arms]
    weights = _weights(truth[seen], task, balanced)
    errors = np.stack([quadratic_errors(task, truth[seen], arm.outputs[seen]) for arm in arms])
    means = (errors * weights).sum(1) / weights.sum()
    best = int(means.argmin())
    own = np.arange(int(seen.sum())) if units is None else np.unique(units[seen], return_inverse=True)[1]
    standings = [
        Standing(float(mean), *_difference(error - errors[best], weights, own))
        for mean, error in zip(means, errors, strict=True)
    ]
    return next(place for place, standing in enumerate(standings) if standing.ties), standings


def _weights(truth: np.ndarray, task: Task, balanced: bool) -> np.ndarray:
    if not balanced or task.kind != "classification":
        return np.ones(len(truth))
    counts = np.bincount(truth, minlength=task.n_outputs)
    return np.asarray(1.0 / counts[truth])


def _difference(differences: np.ndarray, weights: np.ndarray, units: np.ndarray) -> tuple[float, float]:
    """Return a weighted mean and its standard error over units (a ratio estimate: Cochran 1977, section 6.4)."""
    mean = float((differences * weights).sum() / weights.sum())
    residuals = np.bincount(units, weights * (differences - mean))
    k = len(residuals)
    if k < 2:
        return mean, math.inf
    return mean, float(math.sqrt(k / (k - 1) * (residuals**2).sum()) / weights.sum())
