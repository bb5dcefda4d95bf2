"""Sharing: targets that learn on one network together (hard parameter sharing), and which are better off alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from headstart.adaptation import Adapted, record_of
from headstart.arms import Arm, Errors, Standing, held_against
from headstart.backbones.backbone import Backbone
from headstart.checkpoints import digest_of
from headstart.choosing import answered, ready, told
from headstart.data import Dataset
from headstart.devices import processes, steady, undisturbed
from headstart.frozen.states import Storage
from headstart.ground import Ground
from headstart.heads import LinearHead
from headstart.learning.balance import Rule
from headstart.learning.lesson import Lesson
from headstart.learning.training import Trained
from headstart.learning.tuning import Tuning
from headstart.mistakes import calibrated_errors, errors_of, quadratic_errors
from headstart.model import Model, fingerprints
from headstart.plan import Plan, storage_for
from headstart.strategies import HEAD_ONLY, FineTune, Learning, Probe, as_fields, below
from headstart.strategies.probe import DEFAULT_STRENGTH, is_learned
from headstart.tasks import Several, Task
from headstart.wording import seconds_in_words

TINY = np.finfo(float).tiny

CLEARLY = 2.0
"""Standard errors that a target's error must be less by for it to stay on a network that all others leave."""


@dataclass(frozen=True, eq=False)
class Shared:
    """One target on the shared network, beside itself alone.

    Attributes:
        arm: how it was seen out of fold, learned together with the others.
        stays: whether it is answered by the shared network.
        why: it stays, or does not, in words.
        standing: of the shared network beside the target alone; None where they were not seen on the same examples.
        model: of the shared network; None where it does not stay.
    """

    arm: Arm
    stays: bool
    why: str
    standing: Standing | None = None
    model: Model | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return how it stood, as JSON holds it."""
        return {"stays": self.stays, "why": self.why, **({} if self.standing is None else asdict(self.standing))}


@dataclass(frozen=True, eq=False)
class Together:
    """What came of learning several targets on one network.

    Attributes:
        why: nothing was learned together, in words; empty where it was.
        strategy: what learned.
        balance: of the losses, the best of those that were tried.
        balances: by name, the mean over targets of the error out of fold, in units of what learning began with.
        left_out: balances that there was no time for.
        epoch: after which it stopped.
        targets: by name.
        cpu: seconds of all processors that the last learning took, features and all.
    """

    why: str
    strategy: Learning | None = None
    balance: Rule = "sum"
    balances: dict[str, float] = field(default_factory=dict)
    left_out: tuple[Rule, ...] = ()
    epoch: int = 0
    targets: dict[str, Shared] = field(default_factory=dict)
    cpu: float = 0.0


@undisturbed()
def learn_together(
    pool: Ground, alone: Mapping[str, Adapted], *, budget: float, balances: Sequence[Rule] = ("sum",)
) -> Together:
    """Learn all targets above one cut, on the folds they were seen on alone, and keep together what is not worse off.

    A target stays on the shared network where it erred no more there than alone, on examples not learned from. What
    would share with nobody stays only where it clearly gains.

    Args:
        pool: all examples with all their targets and folds, and the source.
        alone: what came of each target by itself, by its name.
        budget: seconds that it may take.
        balances: of the losses, of which the one is taken that is best out of fold.
    """
    found = _strategy(alone)
    if isinstance(found, str):
        return Together(found)
    strategy, plan, n = found
    seconds = plan.seconds[plan.strategies.index(strategy)] * len(pool.examples) / n
    pool = replace(pool, execution=plan.execution)
    storage, considered = _settled(pool, strategy, plan, balances, _within(budget, seconds, balances))
    left_out = tuple(one for one in balances if one not in considered)
    if not considered:
        words = f"it would take about {seconds_in_words(seconds)}, more than what is left of the budget"
        return Together(f"{strategy.word} of all targets together was not considered: {words}")
    with steady(plan.threads):
        first, tested = _tuning(pool, strategy, plan, alone, storage)
        tried = {one: _out_of_fold(pool, replace(first, balance=one)) for one in balances if one in considered}
        balance = min(tried, key=lambda one: tried[one].error)
        tuning, seen = replace(first, balance=balance), tried[balance]
        targets = without_hermits({name: held_beside(seen.arms[name], one) for name, one in alone.items()}, alone)
        errors = {str(one): round(own.error, 4) for one, own in tried.items()}
        found_so_far = Together("", strategy, balance, errors, left_out, seen.epoch, targets)
        if not any(one.stays for one in targets.values()):
            return found_so_far
        return _learned(pool, tuning, plan, alone, found_so_far, tested)


def _strategy(alone: Mapping[str, Adapted]) -> tuple[Learning, Plan, int] | str:
    """Return the fine-tuning that stood best over all targets alone, or why there is none.

    Only what every target was considered alone with: otherwise what it gains might be stages, and not sharing.
    With it a plan that has it, and the number of examples that the plan was made for.
    """
    errors: dict[Learning, list[float]] = {}
    plans: dict[Learning, tuple[Plan, int]] = {}
    for one in alone.values():
        plan = Plan.from_dict(one.model.record["plan"])
        for strategy, arm in zip(plan.strategies, one.choice.arms, strict=False):
            if isinstance(strategy, FineTune) and not strategy.settled(one.ground.backbone).relation:
                errors.setdefault(strategy, []).append(arm["error"] / max(arm["error"] - arm["behind"], TINY))
                plans.setdefault(strategy, (plan, len(one.ground.examples)))
    if not errors:
        return "fine-tuning stood beside something else for no target alone, and only what it learns is shared"
    common = [one for one in errors if len(errors[one]) == len(alone)]
    if not common:
        return "no fine-tuning was considered for every target alone, as sharing would need to be held against it"
    if all(isinstance(one.choice.strategy, HEAD_ONLY) for one in alone.values()):
        return "learning stages was worth it for no target alone"
    chosen = min(common, key=lambda one: float(np.mean(errors[one])))
    return chosen, *plans[chosen]


def _within(budget: float, seconds: float, balances: Sequence[Rule]) -> list[str]:
    """Return the balances that there is time for, each of which takes so many seconds."""
    most = len(balances) if seconds <= 0 else int(max(budget, 0.0) / seconds)
    return [str(one) for one in balances[:most]]


def _settled(
    pool: Ground, strategy: Learning, plan: Plan, balances: Sequence[Rule], afforded: list[str]
) -> tuple[Storage, list[str]]:
    """Return how states are kept and which balances are considered, as they were settled when this work was begun.

    Unfinished work that belongs to another question is let go.
    """
    examples, network = pool.examples, below(strategy, pool.backbone)
    question = pool.question([strategy], 0.0) | {
        "targets": digest_of({name: list(map(str, values)) for name, values in examples.targets.items()}),
        "plan": plan.as_dict(),
        "balances": list(balances),
    }
    settled = pool.keeper.plan(question)
    if settled is None:
        storage, _ = storage_for(network, strategy.cuts(pool.backbone), len(examples), plan.precision)
        settled = {"strategy": as_fields(strategy), "storage": storage, "considered": processes().agreed(afforded)}
        pool.keeper.keep_plan(question, settled)
    return settled["storage"], settled["considered"]


def _tuning(
    pool: Ground, strategy: Learning, plan: Plan, alone: Mapping[str, Adapted], storage: Storage
) -> tuple[Tuning, dict[str, Any] | None]:
    starts = [one.choice.probe if _began_as_probe(one) else None for one in alone.values()]
    return ready(
        pool,
        plan,
        strategy,
        Several(tuple(one.ground.task for one in alone.values())),
        strength=[one.strength if one is not None else DEFAULT_STRENGTH for one in starts],
        balanced=[one is not None and one.balanced for one in starts],
        storage=storage,
    )


def _began_as_probe(one: Adapted) -> bool:
    strategy = one.choice.strategy
    return not isinstance(strategy, HEAD_ONLY) or (isinstance(strategy, Probe) and strategy.cut is None)


def _folds(pool: Ground) -> list[np.ndarray]:
    return [pool.held] if pool.held is not None else pool.examples.held_in_turn(len(pool.examples))


@dataclass(frozen=True, eq=False)
class _Seen:
    """All targets out of fold: each as an arm, at the epoch that was best for all, and their mean error there."""

    arms: dict[str, Arm]
    epoch: int
    error: float


def _out_of_fold(pool: Ground, tuning: Tuning) -> _Seen:
    """Return how each target was seen out of fold, at the epoch that was best for all of them together."""
    folds = _folds(pool)
    word = f"together-{tuning.balance}"
    answers = [answered(pool, tuning, held, f"{word}-fold-{number + 1}") for number, held in enumerate(folds)]
    task, n = tuning.task, len(pool.examples)
    assert isinstance(task, Several)
    by_epoch = [np.zeros((n, task.n_outputs)) for _ in range(tuning.schedule.epochs + 1)]
    for held, one in zip(folds, answers, strict=True):
        for epoch, outputs in enumerate(by_epoch):
            outputs[held] = one[min(epoch, len(one) - 1)]
    seen, errors = [], []
    for place, part in enumerate(task.parts):
        known, truth = task.of(tuning.truth, place)
        own = np.zeros(len(truth), dtype=bool)
        for held in folds:
            own |= held[known] & is_learned(part, truth, ~held[known])
        rows = [task.outputs_of(outputs[known], place)[own] for outputs in by_epoch]
        seen.append(own)
        errors.append([float(quadratic_errors(part, truth[own], one).mean()) if own.any() else np.nan for one in rows])
    table = np.array(errors)
    relative = table / np.maximum(table[:, :1], TINY)
    means = np.nanmean(relative[~np.isnan(table[:, 0]), 1:], axis=0)
    epoch = 1 + int(means.argmin())
    arms = {}
    for place, part in enumerate(task.parts):
        known, _ = task.of(tuning.truth, place)
        outputs = task.outputs_of(by_epoch[epoch][known], place)
        curve = np.nan_to_num(table[place]).tolist()
        word = f"{tuning.strategy.word}, together"
        arms[part.target] = Arm(tuning.strategy.name, word, tuning.cut, outputs, seen[place], epoch, [curve])
    return _Seen(arms, epoch, float(means.min()))


def held_beside(arm: Arm, alone: Adapted) -> Shared:
    """Hold a target that was learned together against itself alone, on examples that neither had learned from."""
    own = alone.choice.arm
    if own is None or len(own.seen) != len(arm.seen) or not (own.seen & arm.seen).any():
        return Shared(arm, stays=False, why="alone and together it was not seen on the same examples")
    standing = _held(arm, alone, quadratic_errors, balanced=alone.choice.probe.balanced)
    if standing.behind > 0:
        why = f"learned together it was worse by {standing.behind:.4f} (± {standing.standard_error:.4f})"
        return Shared(arm, stays=False, why=why, standing=standing)
    if _held(arm, alone, errors_of).behind > 0:
        return Shared(arm, stays=False, why="learned together it was right less often than alone", standing=standing)
    return Shared(arm, stays=True, why="learned together it is no worse than alone", standing=standing)


def without_hermits(targets: dict[str, Shared], alone: Mapping[str, Adapted]) -> dict[str, Shared]:
    """Let a target that would stay by itself on the shared network do so only where it clearly gains.

    That is, beyond chance, and not by how sure it is.
    """
    staying = [name for name, one in targets.items() if one.stays]
    if len(staying) != 1:
        return targets
    name, own = staying[0], targets[staying[0]]
    standing = _held(own.arm, alone[name], calibrated_errors)
    if standing.behind < -CLEARLY * standing.standard_error:
        return targets | {name: replace(own, why="learned together it is clearly better than alone")}
    return targets | {name: replace(own, stays=False, why="it would share the network with no other target")}


def _held(arm: Arm, alone: Adapted, by: Errors, *, balanced: bool = False) -> Standing:
    own, ground = alone.choice.arm, alone.ground
    assert own is not None
    return held_against(arm, own, ground.truth, ground.task, ground.units, balanced=balanced, by=by)


def _learned(
    pool: Ground,
    tuning: Tuning,
    plan: Plan,
    alone: Mapping[str, Adapted],
    found: Together,
    tested: dict[str, Any] | None,
) -> Together:
    """Learn once more, on everything, and give each target that stays its head on the shared network."""
    begun = time.process_time()
    every = np.arange(len(pool.examples))
    name = f"together-{found.balance}-final"
    lesson, trained = tuning.train(every, every[:0], name, stop_after=found.epoch, progress=pool.progress)
    if trained.diverged:
        why = f"learning together did harm and was undone: {trained.diverged}"
        return replace(found, targets={name: replace(one, stays=False, why=why) for name, one in found.targets.items()})
    staying = [name for name, one in found.targets.items() if one.stays]
    more = {**record_together(tuning, lesson, trained, tested), "together": staying}
    backbone, heads = finished_on(pool.examples, tuning, lesson)
    assert isinstance(tuning.task, Several)
    targets = dict(found.targets)
    for part, span in zip(tuning.task.parts, tuning.task.spans, strict=True):
        if targets[part.target].stays:
            model = _model(backbone, heads.part(span), targets[part.target], alone[part.target], plan, more)
            targets[part.target] = replace(targets[part.target], model=model)
    features = plan.execution.seconds * len(pool.examples) * plan.threads
    return replace(found, targets=targets, cpu=time.process_time() - begun + features)


def record_together(tuning: Tuning, lesson: Lesson, trained: Trained, tested: dict[str, Any] | None) -> dict[str, Any]:
    """Return how several targets learned on one network, at which of the rates that were tested, as JSON holds it."""
    return {
        "strategy": tuning.strategy.name,
        "settings": as_fields(tuning.strategy),
        "backbone": tuning.source.name,
        "cut": lesson.at(lesson.epochs - 1).cut,
        "epoch": trained.epoch,
        "schedule": asdict(tuning.schedule),
        "curve": trained.curve,
        "tested_rates": tested,
        "learnable": lesson.learnable,
        "diverged": "",
        "balance": tuning.balance,
    }


def finished_on(examples: Dataset, tuning: Tuning, lesson: Lesson) -> tuple[Backbone, LinearHead]:
    """Return the network that has learned, with what it has seen, and the heads of all targets, one below the other."""
    backbone, heads = tuning.finished(lesson, examples.name)
    return replace(backbone, seen=np.union1d(backbone.seen, fingerprints(examples.contents))), heads


def _model(
    backbone: Backbone, head: LinearHead, own: Shared, alone: Adapted, plan: Plan, more: Mapping[str, Any]
) -> Model:
    ground = alone.ground
    assert own.standing is not None
    arms = [{**one, "chosen": False} for one in alone.choice.arms]
    own_plan = Plan.from_dict(alone.model.record["plan"])
    own_plan = replace(own_plan, execution=plan.execution, precision=plan.precision, threads=plan.threads)
    record = {**record_of(ground, own_plan, alone.choice), **more}
    record["arms"] = [*arms, {**told(ground, own.arm, own.standing, is_chosen=True), "why": own.why}]
    seen = fingerprints(ground.examples.contents)
    return Model(backbone, None, settled(head, ground.task), ground.task, ground.train.columns, record, seen)


def settled(head: LinearHead, task: Task) -> LinearHead:
    """Return a head in the precision that its kind of task is answered in."""
    if task.form == "number":
        return head
    return LinearHead(head.weight.astype(np.float32), head.bias.astype(np.float32))
