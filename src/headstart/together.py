"""The main job for several targets: each alone, all of them together, and what sharing was worth to each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from headstart.adaptation import Adapted, asked_strategies, carry_out, settle
from headstart.affinity import affinities
from headstart.backbones.backbone import Backbone
from headstart.checkpoints import Checkpoints, checkpoints_beside
from headstart.comparison.sharing import Beside, judge_sharing
from headstart.comparison.worth import in_words
from headstart.data import TEST_SHARE, Dataset, Finding, check
from headstart.data.pooling import read_several
from headstart.devices import processes
from headstart.errors import DataError, OptionError
from headstart.ground import Ground, begin, learned_task, load_for, require_source
from headstart.job import Clock, asked_sources, command_of, counted, destination, judged, report_beside, truncated
from headstart.learning.balance import BALANCES, Rule
from headstart.multitask import MultiTaskModel
from headstart.plan import BUDGET, FEW, FOLDS, MORE_FOLDS, Plan
from headstart.progress import Progress, silent
from headstart.ranking.several import rank_targets
from headstart.report.page import write_report
from headstart.report.result import MultiTaskResult, Result
from headstart.report.several import write_summary
from headstart.sharing import Together, learn_together
from headstart.strategies import Strategy, options_for
from headstart.tasks import Task, labels_of

LONGEST = 40
"""Letters of a target that stand in the name of a file."""


def fit_together(
    data: object,
    *,
    input: str | Sequence[str] | None = None,
    target: Sequence[str] | None = None,
    group: str | None = None,
    backbone: str | Backbone | Sequence[str | Backbone] | None = None,
    strategy: Strategy | Sequence[Strategy] | None = None,
    balance: Rule | Sequence[Rule] = "sum",
    test: float = TEST_SHARE,
    seed: int = 0,
    budget: float | None = None,
    out: str | Path | None = None,
    progress: Progress = silent,
) -> MultiTaskResult:
    """Do the main job for several targets of one data set, or for several data sets.

    Every target is learned alone first; then all of them above one cut, on the same examples. A target stays on the
    shared network unless it errs more there, on examples not learned from. On the test set every target that shares is
    held against itself alone, and every one against no transfer.

    Args:
        data: what `read` takes; or data sets by name, each with one target, as `read` takes or returns them; or a
            .toml file that names such.
        input: the column or columns of the inputs; inferred when that is safe.
        group: the column of what must not be separated, such as a patient.
        target: the columns; "rating:regression" says what kind of target one is. Of several data sets each has its own.
        backbone: as `fit` takes it, one for all targets: of several the one that serves all of them best.
        strategy: considered for each target alone; by default what time allows.
        balance: how the losses are weighed: sum, sampled, uncertainty, gradnorm, famo or pcgrad; of several, in this
            order as far as time allows, the one is taken that is best on examples not learned from.
        test: the share held out, in (0, 1), where the data brings no split of its own.
        seed: of the split, of the folds, and of everything drawn while learning.
        budget: seconds that all of it may take, above 0; by default as many for each target as `fit` has for one, and
            once more for all of them together; given out in proportion to the examples of each.
        out: where to save the model; not saved without it.
        progress: called with (phase, done, total).

    Raises:
        DataError: a target has nothing to learn from, or nothing to be tested on.
        OptionError, BackboneError, DependencyError: the question was wrong; nothing is written.
        StorageError: the model could not be saved; what was there before is unchanged.
    """
    clock, path, strategies, balances = Clock(), destination(out), asked_strategies(strategy), _asked_balances(balance)
    with clock.phase("read"):
        dataset = read_several(data, input=input, target=target, group=group, test=test, seed=seed, progress=progress)
        train, validation, tested, held_out = _three_sets(dataset, test, seed)
        findings = _checked(dataset, train if validation is None else train.joined_with(validation), tested)
    with ExitStack() as stack:
        keepers = [stack.enter_context(checkpoints_beside(one)) for one in _workplaces(path, dataset.tasks)]
        with clock.phase("load"):
            source = _source(train, validation, backbone, seed, progress)
        clocks = {task.target: Clock() for task in dataset.tasks}
        sides = {task.target: _sides(task, train, validation, tested) for task in dataset.tasks}
        grounds = _grounds(train, validation, source, seed, keepers, progress)
        pool = Ground(source, train, validation, seed, keepers[-1], progress)
        whole = BUDGET * (len(grounds) + 1) if budget is None else budget
        alone = _each_alone(grounds, sides, strategies, _parts(whole, grounds, len(pool.examples)), clock, clocks)
        with clock.phase("together"):
            together = learn_together(pool, alone, budget=whole - clock.total, balances=balances)
        with clock.phase("compare"):
            model, results, sharing = _compared(alone, together, sides, clocks)
        if path is not None:
            with clock.phase("save"):
                model.save(path)
    result = MultiTaskResult(
        model,
        results,
        together,
        sharing,
        dataset.name,
        counted({"train": train, "validation": validation, "test": tested})[0],
        (*dataset.notes, *filter(None, [held_out, _untried(together)])),
        (*findings, *truncated(dataset, source)),
        clock.told()[0],
        path,
        None if path is None else report_beside(path),
        _pages(path, dataset.tasks),
    )
    asked: dict[str, object] = {"input": input, "target": list(target or ()), "group": group, "backbone": backbone}
    spent = None if budget is None else f"{budget:g}s"
    asked |= {"test": test, **options_for(strategies), "balance": balance, "budget": spent, "seed": seed, "out": out}
    _report(result, command_of(data, asked))
    return result


def _source(
    train: Dataset,
    validation: Dataset | None,
    backbone: str | Backbone | Sequence[str | Backbone] | None,
    seed: int,
    progress: Progress,
) -> Backbone:
    """Return the source that is meant or, where several are, the one that serves all targets best."""
    asked, pool = asked_sources(backbone)
    if pool is not None:
        learned = train if validation is None else train.joined_with(validation)
        source = rank_targets(learned, pool, seed=seed, progress=progress).best
    else:
        source = asked if isinstance(asked, Backbone) else load_for(train, asked)
    require_source(source, train)
    return source


def _asked_balances(balance: Rule | Sequence[Rule]) -> list[Rule]:
    """Return the balances that were asked for, each once.

    Raises:
        OptionError: one is unknown, or cannot be followed by several processes.
    """
    asked = list(dict.fromkeys([balance] if isinstance(balance, str) else balance))
    for one in asked:
        if one not in BALANCES:
            raise OptionError(f"there is no balance {one!r}.", expected=", ".join(BALANCES), got=repr(one))
        if processes().world > 1 and one not in ("sum", "sampled"):
            raise OptionError(
                f"{one} weighs by the gradients of a whole batch, of which each process sees a part.",
                expected="sum or sampled",
                got=f"{one} in {processes().world} processes",
            )
    if not asked:
        raise OptionError("no balance was named.", expected=", ".join(BALANCES), got="nothing")
    return asked


def _three_sets(dataset: Dataset, test: float, seed: int) -> tuple[Dataset, Dataset | None, Dataset, str]:
    """Split a data set; where no validation set is given the folds are decided, the same for all targets."""
    train, validation, tested, held_out = dataset.three_sets(test=test, seed=seed)
    if validation is None:
        train = train.with_folds(FOLDS if len(train) > FEW else MORE_FOLDS, seed=seed)
    return train, validation, tested, held_out


def _workplaces(path: Path | None, tasks: Sequence[Task]) -> list[Path | None]:
    """Return what unfinished work lies beside: that of each target, and that of all together."""
    words = [*file_words(tasks).values(), "+together"]
    return [None if path is None else path.with_name(f"{path.stem}.{word}{path.suffix}") for word in words]


def _pages(path: Path | None, tasks: Sequence[Task]) -> dict[str, Path]:
    """Return where the page of each target lies, where anything is saved."""
    return {} if path is None else {name: report_beside(path, f".{word}") for name, word in file_words(tasks).items()}


def file_words(tasks: Sequence[Task]) -> dict[str, str]:
    """Return for each target a word that may stand in the name of a file, no two of them alike."""
    found: dict[str, str] = {}
    for place, task in enumerate(tasks):
        word = re.sub(r"[^\w-]+", "-", task.target)[:LONGEST].strip("-")
        while not word or word in found.values():
            word = f"{word}-{place}"
        found[task.target] = word
    return found


def _parts(budget: float, grounds: Mapping[str, Ground], n: int) -> dict[str, float]:
    """Return what each target may take alone: what one example costs is the same alone and together, of n examples.

    So what is affordable for one target is so for all of them, and can be shared.
    """
    each = budget / (n + sum(len(one.examples) for one in grounds.values()))
    return {name: each * len(one.examples) for name, one in grounds.items()}


def _each_alone(
    grounds: Mapping[str, Ground],
    sides: Mapping[str, tuple[Dataset, Dataset | None, Dataset]],
    strategies: Sequence[Strategy] | None,
    budgets: Mapping[str, float],
    clock: Clock,
    clocks: Mapping[str, Clock],
) -> dict[str, Adapted]:
    """Learn each target by itself, within a budget each.

    How frozen stages are run is settled once, on the target with the most examples: what they share is then read once.
    """
    settled: dict[str, tuple[Ground, Plan]] = {}
    execution = None
    for name in sorted(grounds, key=lambda name: -len(grounds[name].examples)):
        with clock.phase(f"alone: {name}"), clocks[name].phase("settle"):
            settled[name] = settle(grounds[name], strategies, budget=budgets[name], execution=execution)
            execution = settled[name][1].execution
    found = {}
    for name in grounds:
        own, plan = settled[name]
        with clock.phase(f"alone: {name}"):
            own = clocks[name].watched(own, plan, len(sides[name][-1]), f"{name} alone")
            with clocks[name].phase("adapt"):
                found[name] = _light(carry_out(own, plan, with_rival=True))
    return found


def _light(adapted: Adapted) -> Adapted:
    """Let go of what lies below the cut of what was considered: nothing more is learned from it."""
    choice, rival = adapted.choice, adapted.choice.rival
    rival = None if rival is None else replace(rival, tuning=None)
    return replace(adapted, choice=replace(choice, tuning=None, rival=rival))


def _checked(dataset: Dataset, train: Dataset, tested: Dataset) -> tuple[Finding, ...]:
    """Return what is wrong with the data, each thing once; what holds for one target only names it.

    Raises:
        DataError: a target has nothing to learn from, or nothing to be tested on.
    """
    found: dict[Finding, list[str]] = {}
    for task in dataset.tasks:
        _require_usable(task, train.only(task), tested.only(task))
        for one in check(dataset.only(task)):
            found.setdefault(one, []).append(task.target)
    shown = []
    for one, targets in found.items():
        is_common = len(targets) == len(dataset.tasks) or any(repr(target) in one.text for target in targets)
        shown.append(one if is_common else Finding(one.code, f"{', '.join(targets)}: {one.text}"))
    return tuple(shown)


def _require_usable(task: Task, train: Dataset, tested: Dataset) -> None:
    """Raise a `DataError` if a target cannot be learned, or not be tested, before anything is spent on the others."""
    hint = f"leave out --target {task.target}, or give a split that has more of them"
    for side, part in (("learn from", train), ("be tested on", tested)):
        if not len(part):
            expected = "labels of every target in the train and in the test part"
            raise DataError(f"no example to {side} has a {task.target!r}.", expected=expected, hint=hint)
    task = learned_task(train)
    if task.form == "number":
        if len(np.unique(tested.units)) < 2 or (tested.groups is not None and len(set(tested.groups)) < 2):
            expected = "two or more examples or groups to be tested on"
            raise DataError(f"{task.target!r} cannot be measured.", expected=expected, got="1", hint=hint)
    elif not any(label in task.labels for value in tested.values for label in labels_of(value)):
        expected = "a label that is learned: " + ", ".join(task.labels[:5])
        raise DataError(
            f"no example to be tested on has a {task.target!r} that is learned.", expected=expected, hint=hint
        )


def _grounds(
    train: Dataset,
    validation: Dataset | None,
    source: Backbone,
    seed: int,
    keepers: Sequence[Checkpoints],
    progress: Progress,
) -> dict[str, Ground]:
    """Return the ground of each target: the examples that have it."""
    found = {}
    for task, keeper in zip(train.tasks, keepers, strict=False):
        held = None if validation is None else validation.only(task)
        found[task.target] = begin(train.only(task), held if held else None, source, seed, keeper, progress)
    return found


def _standing(alone: Adapted, together: Together, target: str) -> Adapted:
    """Return what stands for a target: itself on the shared network where it stays there, else alone."""
    own = together.targets.get(target)
    if own is None or own.model is None or together.strategy is None:
        return alone
    cpu = together.cpu / sum(one.stays for one in together.targets.values())
    choice = replace(alone.choice, strategy=together.strategy, arm=own.arm, epoch=together.epoch)
    if alone.choice.strategy.transfers:
        return replace(alone, choice=choice, model=own.model, cpu=(cpu, alone.cpu[1]))
    choice = replace(choice, rival=alone.choice)
    return replace(alone, choice=choice, model=own.model, rival=alone.model, cpu=(cpu, alone.cpu[0]))


def _sides(
    task: Task, train: Dataset, validation: Dataset | None, tested: Dataset
) -> tuple[Dataset, Dataset | None, Dataset]:
    """Return what is learned from, chosen on and tested, of the examples that have a target."""
    held = None if validation is None else validation.only(task)
    return train.only(task), held if held else None, tested.only(task)


def _compared(
    alone: Mapping[str, Adapted],
    together: Together,
    sides: Mapping[str, tuple[Dataset, Dataset | None, Dataset]],
    clocks: Mapping[str, Clock],
) -> tuple[MultiTaskModel, dict[str, Result], dict[str, Beside]]:
    """Judge what stands for each target, and what sharing was worth to each that stayed on the shared network."""
    made = {name: _standing(one, together, name) for name, one in alone.items()}
    results = {name: judged(one, *sides[name], clocks[name]) for name, one in made.items()}
    pairs = {
        name: (one.model, alone[name].model, in_words(alone[name].choice, alone[name].ground))
        for name, one in results.items()
        if one.model.backbone is not alone[name].model.backbone
    }
    sharing = judge_sharing(pairs, {name: one[-1] for name, one in sides.items()})
    told = {name: one.as_dict() for name, one in sharing.items()}
    record = {"sharing": told, "affinity": np.round(affinities(alone), 4).tolist()}
    return MultiTaskModel(tuple(one.model for one in results.values()), record), results, sharing


def _untried(together: Together) -> str:
    return f"no time was left for balancing by {', '.join(together.left_out)}" if together.left_out else ""


def _report(result: MultiTaskResult, command: str) -> None:
    """Write a page of all targets and one of each; of several processes started together only the first does."""
    if processes().rank == 0 and result.report is not None:
        write_summary(result, result.report, command)
        for target, page in result.reports.items():
            write_report(replace(result.targets[target], path=result.path, report=page), page, command)
