"""Choosing between strategies: by what they say of examples they did not learn from, the simplest where it ties."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from headstart import metrics
from headstart.arms import Arm, Standing, choose, is_hopeless
from headstart.backbones.backbone import Backbone
from headstart.baselines import fit_without, walk_of
from headstart.frozen.states import Storage
from headstart.ground import Ground
from headstart.learning.answers import given_back, kept
from headstart.learning.tuning import NO_HEAD, Tuning, begin_tuning
from headstart.mistakes import errors_of, quadratic_errors
from headstart.plan import FEWEST, Plan
from headstart.statistics import FEWER_RESAMPLES
from headstart.strategies import HEAD_ONLY, Learning, Majority, Probe, Strategy, ZeroShot
from headstart.strategies.probe import FOLDS, Fitted, is_learned
from headstart.summarizing import WORDS
from headstart.tasks import Several, Task
from headstart.telling import LOCAL


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
        rival: the best on the other side of transfer, by the measure of the claim; None where there is nothing on it.
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
            is_text = ground.task.form == "text"
            word = WORDS.get(strategy.name, strategy.word).format(ground.backbone.name) if is_text else strategy.word
            arms.append(Arm(strategy.name, word, _read_at(ground, strategy), own.outputs, own.seen))
            choices.append(Choice(strategy, backbone, own, arms[-1], cpu=cpu))
            continue
        assert not isinstance(strategy, HEAD_ONLY)
        tuning, tested = ready(
            ground,
            plan,
            strategy,
            ground.task,
            strength=start.strength,
            balanced=start.balanced,
            storage=plan.storage[place],
        )
        rivals = _rivals(strategy, choices)
        name = f"{place}-{strategy.name}"
        arms.append(
            _out_of_fold(ground, tuning, folds, name, rivals, balanced=start.balanced) if folds else _unseen(tuning)
        )
        choices.append(Choice(strategy, ground.backbone, start, arms[-1], tuning, arms[-1].epoch, (), tested))
    k = plan.folds if len(fitted) < len(plan.strategies) else FOLDS
    choices = [replace(choice, folds=k) for choice in choices]
    if not several or not folds:
        return replace(choices[_first_with_transfer(plan)], rival=_first_without(plan, choices))
    best, standings = _chosen(ground, arms, balanced=start.balanced)
    by_errors = best
    if len(ground.examples) < FEWEST and any(one.transfers for one in plan.strategies):
        best = _first_with_transfer(plan)
    shown = [
        told(ground, arm, standing, is_chosen=arm is arms[best]) for arm, standing in zip(arms, standings, strict=True)
    ]
    if best != by_errors:
        shown[best]["why"] = f"the first that transfers, as fewer than {FEWEST} examples tell too little to choose by"
    rival = strongest_against(choices[best], choices, ground.task, ground.truth)
    return replace(choices[best], arms=tuple(shown), rival=rival)


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


def strongest_against(chosen: Choice, choices: Sequence[Choice], task: Task, truth: np.ndarray) -> Choice | None:
    """Return the best on the other side of transfer, by the measure of the claim; of equals the simplest.

    It is the best there is, not the simplest that ties: a weaker one would flatter what is held against it.

    Args:
        chosen: what is held against it.
        choices: the simplest first, as they were seen out of fold.
        task: what is predicted.
        truth: (n,) or (n, c), as `Task.encode` gives it.
    """
    others = [one for one in choices if one.strategy.transfers is not chosen.strategy.transfers]
    seen = {one: one.arm for one in others if one.arm is not None and not one.arm.is_given_up}
    if not seen:
        return None
    known = np.logical_and.reduce([arm.seen for arm in seen.values()])
    if not known.any():
        return next(iter(seen))
    return min(seen, key=lambda one: float(errors_of(task, truth[known], seen[one].outputs[known]).mean()))


def _rivals(strategy: Strategy, choices: Sequence[Choice]) -> list[Arm]:
    """Return the arms that a strategy may fall hopelessly behind: those of its own side of transfer.

    Across sides there is no race: the best of the side that is not chosen is what the chosen one is held against.
    """
    own = [one.arm for one in choices if one.strategy.transfers is strategy.transfers]
    return [arm for arm in own if arm is not None and not arm.is_given_up]


def _chosen(ground: Ground, arms: Sequence[Arm], *, balanced: bool) -> tuple[int, list[Standing]]:
    """Choose among the arms that were not given up; those that were stand beside them as on the fold that saw them."""
    alive = [place for place, arm in enumerate(arms) if not arm.is_given_up]
    own = [arms[place] for place in alive]
    best, found = choose(own, ground.truth, ground.task, ground.units, balanced=balanced)
    standings = dict(zip(alive, found, strict=True))
    for place in set(range(len(arms))) - set(alive):
        _, beside = choose([*own, arms[place]], ground.truth, ground.task, ground.units, balanced=balanced)
        standings[place] = beside[-1]
    return alive[best], [standings[place] for place in range(len(arms))]


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
        heads = {p: one if isinstance(one, ZeroShot) else replace(one, folds=plan.folds) for p, one in heads.items()}
    fitted: dict[int, tuple[Backbone, Fitted, float]] = {}
    for place, one in heads.items():
        if isinstance(one, Probe) and ground.task.form != "text":
            ground.features_at(one.cut)
        begun = time.process_time()
        if isinstance(one, Probe):
            backbone, own = ground.backbone, ground.probe(one)
        elif isinstance(one, ZeroShot):
            backbone, own = ground.backbone, ground.zero_shot()
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
    if ground.task.form == "path":
        return ground.zero_shot()
    if ground.task.form == "text":
        return Fitted(NO_HEAD, 0.0, False, {}, "nothing: there is none", np.zeros(0), np.zeros(0, dtype=bool))
    return ground.probe(replace(Probe(), folds=plan.folds) if len(plan.strategies) > 1 else Probe())


def ready(
    ground: Ground,
    plan: Plan,
    strategy: Learning,
    task: Task | Several,
    *,
    strength: float | Sequence[float],
    balanced: bool | Sequence[bool],
    storage: Storage,
) -> tuple[Tuning, dict[str, Any] | None]:
    """Return a strategy ready to learn; where its rate is not known, it is found first, once for all folds.

    Beside it what was seen of rates, as JSON holds it; None where they were not looked at.
    """
    tuning = begin_tuning(
        strategy,
        ground.network,
        ground.examples,
        task,
        features=ground.features if strategy.starts_from_probe and not ground.network.writes else None,
        strength=strength,
        balanced=balanced,
        storage=storage,
        execution=plan.execution,
        seed=ground.seed,
        precision=plan.precision,
        keeper=ground.keeper,
        progress=ground.progress,
    )
    if not strategy.needs_rate(ground.network):
        return tuning, None
    found = tuning.test_rates(progress=ground.progress)
    return tuning.at_rate(found.rate), asdict(found)


def _out_of_fold(
    ground: Ground, tuning: Tuning, folds: list[np.ndarray], name: str, rivals: Sequence[Arm], *, balanced: bool
) -> Arm:
    """Learn without each fold in turn, answer it after every epoch, and keep the epoch that was best over all folds.

    An arm that falls hopelessly behind a rival on the first fold is not seen on the others.
    """
    seen: list[list[np.ndarray]] = []
    for number, held in enumerate(folds):
        seen.append(answered(ground, tuning, held, f"{name}-fold-{number + 1}"))
        if number == 0 < len(folds) - 1:
            first = _seen(ground, tuning, folds[:1], seen)
            if is_hopeless(first, rivals, ground.truth, ground.task, ground.units, balanced=balanced):
                return replace(first, is_given_up=True)
    return _seen(ground, tuning, folds, seen)


def _seen(ground: Ground, tuning: Tuning, folds: list[np.ndarray], answered: list[list[np.ndarray]]) -> Arm:
    """Return the arm as folds saw it, at the epoch that was best over all of them."""
    n = len(ground.examples)
    seen = np.zeros(n, dtype=bool)
    by_epoch = [ground.task.blank(n) for _ in range(tuning.schedule.epochs + 1)]
    curves = []
    for held, answers in zip(folds, answered, strict=True):
        last = len(answers) - 1
        for epoch, outputs in enumerate(by_epoch):
            outputs[held] = answers[min(epoch, last)]
        known = held & is_learned(ground.task, ground.truth, ~held)
        seen |= known
        curves.append([float(_errors(ground, outputs, known).mean()) for outputs in by_epoch[: last + 1]])
    means = [_errors(ground, outputs, seen).mean() for outputs in by_epoch]
    epoch = 1 + int(np.argmin(means[1:]))
    return Arm(tuning.strategy.name, tuning.strategy.word, tuning.cut, by_epoch[epoch], seen, epoch, curves)


def answered(ground: Ground, tuning: Tuning, held: np.ndarray, name: str) -> list[np.ndarray]:
    """Return what held-out examples are answered after each epoch, from unfinished work where it got that far."""
    done = ground.keeper.load(f"{name}-done")
    if done is not None:
        is_text = ground.task.form == "text"
        return [given_back(done[0][str(epoch)], is_text=is_text) for epoch in range(len(done[0]))]
    _, trained = tuning.train(np.flatnonzero(~held), np.flatnonzero(held), name, progress=ground.progress)
    ground.keeper.save(f"{name}-done", {str(e): kept(rows) for e, rows in enumerate(trained.outputs)}, {})
    ground.keeper.drop(name)
    return trained.outputs


def _unseen(tuning: Tuning) -> Arm:
    return Arm(tuning.strategy.name, tuning.strategy.word, tuning.cut, np.zeros(0), np.zeros(0, dtype=bool))


def _errors(ground: Ground, outputs: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return quadratic_errors(ground.task, ground.truth[seen], outputs[seen])


def told(ground: Ground, arm: Arm, standing: Standing, *, is_chosen: bool) -> dict[str, Any]:
    """Return how an arm stood, as JSON holds it: on out-of-fold examples only."""
    headline, breaks = metrics.HEADLINE[ground.task.kind], ground.examples.breaks
    is_walk = ground.task.form == "path" and arm.name == Majority.name
    units = ground.units[arm.seen] if ground.units is not None else None
    measures = metrics.measure(
        ground.task,
        ground.truth[arm.seen],
        arm.outputs[arm.seen],
        units,
        resamples=FEWER_RESAMPLES,
        breaks=None if breaks is None else breaks[arm.seen],
    )
    return {
        "strategy": arm.name,
        "word": LOCAL[walk_of(ground.examples)] if is_walk else arm.word,
        "cut": arm.cut,
        "epoch": arm.epoch,
        "chosen": is_chosen,
        "error": standing.error,
        "behind": standing.behind,
        "standard_error": standing.standard_error,
        "metrics": {name: one.as_dict() for name, one in measures.items()},
        "headline": headline if headline in measures else next(iter(measures)),
        "curves": arm.curves,
        "given_up": arm.is_given_up,
    }
