"""Adaptation: one backbone and one strategy make a model; of several strategies, the one that is chosen."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart import baselines
from headstart.asking import asker
from headstart.backbones.backbone import Backbone
from headstart.backbones.typical import Typical
from headstart.backbones.writers import Writer
from headstart.cache import the_cache
from headstart.checkpoints import checkpoints_beside
from headstart.choosing import Choice, consider
from headstart.data import Dataset, splits, spread
from headstart.data.reading import NOT_CLINICAL
from headstart.devices import Precision, choose_device, processes, steady, undisturbed
from headstart.errors import DataError, OptionError
from headstart.frozen.execution import EXACT, Execution
from headstart.frozen.features import extract
from headstart.frozen.states import Storage
from headstart.frozen.trials import choose_execution
from headstart.ground import Ground, begin
from headstart.heads import LinearHead
from headstart.learning.answers import answers
from headstart.learning.lesson import Lesson
from headstart.learning.tuning import Tuning, begin_tuning
from headstart.learning.vocabulary import tokens_of
from headstart.model import Model, fingerprints
from headstart.plan import BUDGET, Pilot, Plan, default_strategies, make_plan
from headstart.progress import Progress, silent
from headstart.strategies import HEAD_ONLY, KINDS, Learning, Probe, Strategy, ZeroShot, as_fields, require_writing
from headstart.strategies.probe import DEFAULT_STRENGTH, calibrated
from headstart.summarizing import lead
from headstart.wording import user_path

UNCOMPARED = "too few examples to compare strategies: the simplest one is taken"
UNFAITHFUL = "features are computed in fp32: {} would change answers"
PILOTED = 16
"""Examples that the time of a step is measured on."""

DESCRIBED = 256
"""Examples that a tuned network's features are described on."""

READ = 5_000
"""Examples whose tokens are looked at for that, at most: a step takes the longer the more of them there are."""


def adapt(
    train: Dataset,
    *,
    backbone: str | Backbone | None = None,
    strategy: Strategy | Sequence[Strategy] | None = None,
    validation: Dataset | None = None,
    seed: int = 0,
    plan: Plan | None = None,
    checkpoint: str | Path | None = None,
    progress: Progress = silent,
) -> Model:
    """Make a model from labelled examples, a backbone and a strategy.

    Args:
        train: what is learned from; a given test part in it never is.
        backbone: a name as `load_backbone` takes it, or a loaded backbone, which is not changed; the modality's
            default otherwise.
        strategy: the one to run, or several to choose from out of fold, the simplest first; `Probe()` by default.
        validation: what choices are made on, such as the number of epochs; cross-validation inside `train` chooses a
            probe's penalty otherwise. It is learned from as well, once the choices are made.
        seed: of the folds, and of everything drawn while learning.
        plan: how to run on this machine, from a model made before; settled anew otherwise. Its strategies do not count.
        checkpoint: the path that the model will be saved at: unfinished work is kept beside it, so that the same call
            goes on where a killed one stopped, to the same bits.
        progress: called with (phase, done, total).

    Raises:
        DataError: the examples do not fit the backbone, or there is nothing to learn.
        BackboneError: there is no such backbone.
        OptionError: the strategy does not fit the backbone.
        StorageError: unfinished work cannot be kept, or another process is at it.

    Example:
        >>> import headstart as hs
        >>> data = hs.read([("good film", "yes"), ("bad film", "no"), ("fine play", "yes"), ("dull", "no")])
        >>> hs.adapt(data, backbone="wordllama", strategy=hs.Probe()).record["strategy"]
        'probe'
    """
    _check(train, seed)
    asked = asked_strategies(strategy) or [Probe()]
    path = user_path(checkpoint) if checkpoint is not None else None
    with checkpoints_beside(path) as keeper:
        return adapt_to(begin(train, validation, backbone, seed, keeper, progress), asked, plan=plan).model


@dataclass(frozen=True, eq=False)
class Adapted:
    """What came of some strategies on one ground.

    Attributes:
        ground: what they stood on, run as the plan says.
        choice: which was chosen, and what from.
        model: the chosen one, learned on everything.
        rival: the best on the other side of transfer, learned likewise; None where it was not wanted or is not there.
        cpu: seconds of all processors that learning each of the two took, features and all; not out of fold.
    """

    ground: Ground
    choice: Choice
    model: Model
    rival: Model | None = None
    cpu: tuple[float, float] = (0.0, 0.0)


def adapt_to(
    ground: Ground,
    strategies: Sequence[Strategy] | None,
    *,
    plan: Plan | None = None,
    budget: float = BUDGET,
    with_rival: bool = False,
) -> Adapted:
    """Choose among strategies by what they say of examples they did not learn from, and learn the chosen one on all.

    Args:
        ground: the backbone and the examples.
        strategies: those considered, the simplest first; None considers what time allows.
        plan: how to run, and what to consider where `strategies` does not say; settled anew otherwise.
        budget: seconds for all of it.
        with_rival: whether the best without transfer is learned too or, if that was chosen, the best with it.
    """
    return carry_out(*settle(ground, strategies, plan=plan, budget=budget), with_rival=with_rival)


@undisturbed()
def settle(
    ground: Ground,
    strategies: Sequence[Strategy] | None,
    *,
    plan: Plan | None = None,
    budget: float = BUDGET,
    execution: Execution | None = None,
) -> tuple[Ground, Plan]:
    """Return the plan for some strategies, kept for a run that may be killed, and the ground as it is run by it.

    How frozen stages are run is tried on the examples, where it is not said.
    """
    question = ground.question(strategies, budget) | {"plan": plan.as_dict() if plan else None}
    stored = ground.keeper.plan(question)
    if stored is not None:
        plan = Plan.from_dict(stored)
    elif plan is None:
        plan = Plan.from_dict(processes().agreed(_settled(ground, strategies, budget, execution)))
    elif strategies is not None:
        plan = plan.with_strategies(strategies)
    ground.keeper.keep_plan(question, plan.as_dict())
    cuts = _probed_cuts(plan.strategies)
    keeps = plan.kept_at(ground.backbone) if ground.task.form != "text" else None
    return replace(ground, execution=plan.execution, cuts=cuts, keeps=keeps), plan


def _probed_cuts(strategies: Sequence[Strategy]) -> tuple[int, ...]:
    """Return the cuts that probes read at beside the top."""
    return tuple(one.cut for one in strategies if isinstance(one, Probe) and one.cut is not None)


@undisturbed()
def carry_out(ground: Ground, plan: Plan, *, with_rival: bool = False) -> Adapted:
    """Choose among a plan's strategies and learn the chosen one on everything, as `adapt_to` does."""
    with steady(plan.threads):
        if not ground.is_faithful:
            plan = replace(plan, execution=EXACT, left_out=(*plan.left_out, UNFAITHFUL.format(plan.execution)))
            ground = replace(ground, execution=EXACT)
        choice = consider(ground, plan)
        model, cpu = _timed(ground, plan, choice)
        if not with_rival or choice.rival is None:
            return Adapted(ground, choice, model, cpu=(cpu, 0.0))
        rival, others = _timed(ground, plan, choice.rival)
        return Adapted(ground, choice, model, rival, (cpu, others))


def _settled(
    ground: Ground, strategies: Sequence[Strategy] | None, budget: float, execution: Execution | None
) -> dict[str, Any]:
    """Return the plan for a question, as JSON holds it.

    What was settled for the same question on this machine is remembered: a measurement near its threshold would
    otherwise fall out now one way, now the other, and with it the bits of the result.
    A plan that had to leave something out is made anew: meanwhile the cache may have what took too long.
    """
    examples = ground.examples
    if execution is None:
        execution = choose_execution(
            ground.backbone,
            examples.inputs,
            examples.contents,
            cuts=_probed_cuts(strategies or ()),
            progress=ground.progress,
        )
    ground = replace(ground, execution=execution)
    memory = the_cache().shelf(
        {
            "kind": "plan",
            "backbone": ground.backbone.name,
            "precision": str(execution),
            "question": ground.question(strategies, budget),
            "on": f"{choose_device()}, {torch.get_num_threads()} threads",
        }
    )
    lacking, recalled = ground.lacking, memory.recall()
    if isinstance(recalled, dict):
        return recalled | {"features": round(lacking * recalled["execution"]["seconds"], 1)}
    wanted = default_strategies(ground.backbone, len(examples), ground.task) if strategies is None else strategies
    if ground.task.form == "text":
        require_writing(wanted)
    heads = all(isinstance(one, HEAD_ONLY) for one in wanted)
    plan = make_plan(
        ground.backbone if heads else ground.network,
        ground.n_read,
        wanted,
        execution,
        lacking=lacking,
        held=ground.held_share,
        budget=budget,
        are_asked=strategies is not None,
        pilot=_pilot(ground),
    )
    fields: dict[str, Any] = json.loads(json.dumps(plan.as_dict()))
    if len(plan.strategies) == len(wanted) and not all(isinstance(one, HEAD_ONLY) for one in wanted):
        memory.remember(fields)
    return fields


def _pilot(ground: Ground) -> Pilot:
    """Return what measures the seconds a step of a strategy takes, on a few of the examples.

    Nothing of it is kept: these few are batched otherwise than all of them will be, and rounded otherwise.
    """
    few = spread(len(ground.examples), PILOTED)
    many = ground.examples.take(spread(len(ground.examples), READ))
    examples, execution = ground.examples.take(few), replace(ground.execution, cached=False)
    ground = replace(ground, execution=execution)

    is_headed = ground.task.form != "text"

    @cache
    def tokens() -> np.ndarray | None:
        return tokens_of(ground.backbone, ground.backbone.prepare.encode(many.inputs))

    @cache
    def pilot(strategy: Learning, storage: Storage, precision: Precision) -> float:
        tuning = begin_tuning(
            strategy,
            ground.network,
            examples,
            ground.task,
            features=ground.features_of(examples)[0] if is_headed and strategy.starts_from_probe else None,
            strength=DEFAULT_STRENGTH,
            balanced=False,
            storage=storage,
            execution=execution,
            precision=precision,
            seed=ground.seed,
            tokens=tokens() if strategy.cuts(ground.network)[-1] == 0 else None,
        )
        return tuning.seconds_a_step() * max(1.0, tuning.schedule.batch_size / len(examples))

    return pilot


def _timed(ground: Ground, plan: Plan, choice: Choice) -> tuple[Model, float]:
    """Learn a choice on everything, and return its seconds of all processors, features and all."""
    begun = time.process_time()
    model = _learned(ground, plan, choice)
    cpu = choice.cpu + time.process_time() - begun
    features = plan.execution.seconds * len(ground.examples) * plan.threads if choice.strategy.transfers else 0.0
    return model, cpu + features


def _learned(ground: Ground, plan: Plan, choice: Choice) -> Model:
    """Learn a choice on everything."""
    strategy, record = choice.strategy, record_of(ground, plan, choice)
    if choice.tuning is not None:
        return _tuned(ground, plan, choice, choice.tuning)
    if isinstance(strategy, ZeroShot) and ground.task.form != "path":
        writer = asker(ground.backbone, ground.task, ground.examples.values)
        record |= {"strategy": strategy.name, "cut": "", "writer": asdict(writer.script), "decoding": writer.decoding}
        return _model(ground, ground.backbone, None, choice.probe.head, record, writer)
    cut = ground.backbone.replay.resolve(strategy.cut) if isinstance(strategy, Probe) and strategy.cut else None
    place = ("top" if cut is None else cut) if isinstance(strategy, Probe) else ""
    return _model(ground, choice.backbone, cut, choice.probe.head, record | {"strategy": strategy.name, "cut": place})


def _tuned(ground: Ground, plan: Plan, choice: Choice, tuning: Tuning) -> Model:
    """Learn the chosen strategy on everything, for as many epochs as were chosen."""
    every = np.arange(len(ground.examples))
    name = f"final-{tuning.strategy.name}"
    lesson, trained = tuning.train(every, every[:0], name, stop_after=choice.epoch, progress=ground.progress)
    learnable = lesson.learnable
    backbone, head = tuning.finished(lesson, ground.examples.name)
    arm = choice.arm
    if arm is not None and ground.task.form == "path" and not trained.diverged:
        head, _ = calibrated(ground.task, head, arm.outputs, arm.seen, ground.examples, least=1.0)
    seen = np.union1d(backbone.seen, fingerprints(ground.examples.contents))
    typical = ground.backbone.typical if trained.diverged else _typical(tuning, lesson, backbone)
    backbone = replace(backbone, seen=seen, typical=typical)
    record = record_of(ground, plan, choice) | {
        "strategy": tuning.strategy.name,
        "cut": lesson.at(lesson.epochs - 1).cut,
        "epoch": trained.epoch,
        "schedule": asdict(tuning.schedule),
        "curve": trained.curve,
        "tested_rates": choice.tested_rates,
        "learnable": learnable,
        "diverged": trained.diverged,
    }
    writer = lesson.head if isinstance(lesson.head, Writer) else None
    if trained.diverged:
        left = "its first head is left" if writer is None else "what it began with is left, and may write no sense"
        words = f"{tuning.strategy.word} did harm and was undone: {trained.diverged}; {left}"
        record["notes"] = [*record["notes"], f"{words}. The rate was {tuning.schedule.rate:g}: try a lower one"]
    if writer is not None:
        record |= {"writer": asdict(writer.script), "decoding": writer.decoding}
    return _model(ground, backbone, None, head, record, writer)


def _typical(tuning: Tuning, lesson: Lesson, backbone: Backbone) -> Typical | None:
    """Describe a tuned network's features on some of the examples it learned from."""
    few = spread(len(tuning.examples), DESCRIBED)
    if isinstance(lesson.head, Writer):
        features = extract(backbone, tuning.examples.take(few).inputs)
    else:
        features = answers(lesson.backbone, None, lesson.states[-1], np.array(few), precision=lesson.precision)
    return Typical.of(features)


def record_of(ground: Ground, plan: Plan, choice: Choice) -> dict[str, Any]:
    """Return how a model was made, as JSON holds it."""
    probe, task, validation = choice.probe, ground.task, ground.validation
    return {
        "settings": as_fields(choice.strategy),
        "backbone": choice.backbone.name,
        "strength": probe.strength,
        "balanced": probe.balanced,
        "losses": {f"{strength:g}": loss for strength, loss in probe.losses.items()},
        "chosen_on": probe.chosen_on,
        "arms": list(choice.arms),
        "seed": ground.seed,
        "n": {"train": len(ground.train), "validation": len(validation) if validation is not None else 0},
        "majority": [] if task.form == "text" else baselines.majority(ground.examples, task, 1).reshape(-1).tolist(),
        **({"decoding": probe.decoding, "lead": lead(ground.examples, task)} if task.form == "text" else {}),
        "plan": plan.as_dict(),
        "cautions": [finding.text for finding in ground.train.findings if finding.code == NOT_CLINICAL],
        "notes": [
            *probe.notes,
            *plan.execution.notes,
            *plan.left_out,
            *([UNCOMPARED] if len(plan.strategies) > 1 and not choice.arms else []),
        ],
    }


def _model(
    ground: Ground,
    backbone: Backbone,
    cut: int | None,
    head: LinearHead,
    record: dict[str, Any],
    writer: Writer | None = None,
) -> Model:
    seen = fingerprints(ground.examples.contents)
    return Model(backbone, cut, head, ground.task, ground.train.columns, record, seen, writer)


def asked_strategies(strategy: object) -> list[Strategy] | None:
    """Return what was asked for as a list; None where nothing was.

    Raises:
        OptionError: it is no strategy.
    """
    if strategy is None:
        return None
    kinds = tuple(KINDS.values())
    asked = [strategy] if isinstance(strategy, kinds) else list(strategy) if isinstance(strategy, list | tuple) else []
    if not asked or not all(isinstance(one, kinds) for one in asked):
        expected = ", ".join(f"hs.{kind.__name__}()" for kind in kinds) + ", or a list of them"
        raise OptionError("the strategy is unknown.", expected=expected, got=repr(strategy))
    return asked


def _check(train: object, seed: int) -> None:
    if not isinstance(train, Dataset):
        raise DataError("this is not a data set.", expected="what hs.read returns", got=type(train).__name__)
    splits.require_seed(seed)
