"""Adding: a target more for a model that is made, which goes on answering the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from headstart.adaptation import Adapted, asked_strategies, carry_out, settle
from headstart.backbones.card import CLASSICAL
from headstart.checkpoints import checkpoints_beside
from headstart.data import TEST_SHARE, Dataset, check, read
from headstart.ground import begin, require_one_target
from headstart.job import Clock, destination, judged, truncated
from headstart.model import Model
from headstart.multitask import MultiTaskModel, load
from headstart.progress import Progress, silent
from headstart.remembering import Remembered, learn_beside, may_share
from headstart.report.result import Result
from headstart.strategies import HEAD_ONLY, Classical, Majority, Probe, Strategy
from headstart.tasks import Kind, require_shareable

WHY_APART = "the others are read below the top, or what it learned is no fine-tuning of their network"
OTHERWISE = "what is said of examples held out in turn is of learning by itself, not beside the others"


def add_target(
    model: str | Path | Model | MultiTaskModel,
    data: object,
    *,
    input: str | Sequence[str] | None = None,
    target: str | None = None,
    group: str | None = None,
    task: Kind | None = None,
    strategy: Strategy | Sequence[Strategy] | None = None,
    test: float = TEST_SHARE,
    seed: int = 0,
    out: str | Path | None = None,
    progress: Progress = silent,
) -> tuple[MultiTaskModel, Result]:
    """Add a target to a model that is made, and leave what it answers already as it is, to the bit.

    The new target gets a head on the network that most targets share, frozen; or, where that is no better than no
    transfer on examples not learned from, the classical model.
    With a strategy that learns stages they learn on the shared network, which is taught its old answers meanwhile; what
    changes of them is measured on the test examples, and where that is more than a few the new target gets a network of
    its own.

    Args:
        model: where it is saved, or itself.
        data: labelled examples of the new target, as `read` takes them.
        input: the column or columns of the inputs; inferred when that is safe.
        target: the column of the labels or numbers; "season=label" names the target otherwise than its column.
        group: the column of what must not be separated, such as a patient.
        task: the kind of the target; inferred from its values otherwise.
        strategy: considered for it; a frozen network, the classical model and the commonest answer by default.
        test: the share held out, in (0, 1), where the data brings no split of its own.
        seed: of the split and of the folds.
        out: where to save the whole; not saved without it.
        progress: called with (phase, done, total).

    Returns:
        The model with all its targets, and the result of the new one.
        Its record says under "kept" what the old ones still answer as before, where they learned on.

    Raises:
        DataError, OptionError, ArtifactError: the question was wrong; nothing is written.
        BackboneError: the model has no network that anything could be carried over from.
        StorageError: the model could not be saved; what was there before is unchanged.
    """
    clock, path, asked = Clock(), destination(out), asked_strategies(strategy)
    with clock.phase("read"):
        whole = MultiTaskModel.of(load(model) if isinstance(model, str | Path) else model)
        dataset = _read(data, input, target, group, task, progress)
        whole.require_new(dataset.task.target)
        require_shareable([*(one.task for one in whole.models), dataset.task])
        findings = check(dataset)
        train, validation, tested, held_out = dataset.three_sets(test=test, seed=seed)
    others = _network(whole)
    with checkpoints_beside(path) as keeper:
        with clock.phase("settle"):
            ground = begin(train, validation, others[0].backbone, seed, keeper, progress)
            considered = asked or [Majority(), Classical(), Probe(cut=others[0].cut)]
            ground, plan = settle(ground, considered)
        ground = clock.watched(ground, plan, len(tested))
        with clock.phase("adapt"):
            adapted, remembered = _beside(carry_out(ground, plan, with_rival=True), others, tested)
        result = judged(
            adapted,
            train,
            validation,
            tested,
            clock,
            findings=(*findings, *truncated(dataset, ground.backbone)),
            notes=(
                *dataset.notes,
                *filter(None, [held_out, remembered.why or (OTHERWISE if remembered.others else "")]),
            ),
        )
        kept = {name: share.as_dict() for name, share in remembered.kept.items() if not remembered.why}
        whole = whole.with_models(remembered.others).joined_by(result.model).with_record(kept=kept)
        if path is not None:
            with clock.phase("save"):
                whole.save(path)
    seconds, forecast = clock.told()
    return whole, replace(result, seconds=seconds, forecast=forecast, path=path)


def _read(
    data: object,
    input: str | Sequence[str] | None,
    target: str | None,
    group: str | None,
    task: Kind | None,
    progress: Progress,
) -> Dataset:
    """Return the examples of the new target, named as it was asked for."""
    name, _, column = (target or "").rpartition("=")
    dataset = read(data, input=input, target=column or None, group=group, task=task, progress=progress)
    require_one_target(dataset)
    return replace(dataset, task=replace(dataset.task, target=name or dataset.task.target))


def _network(whole: MultiTaskModel) -> list[Model]:
    """Return the models of the network that most targets share, one without transfer only where there is no other."""
    networks = [one for one in whole.shared if one[0].backbone.library != CLASSICAL]
    return max(networks, key=len, default=whole.shared[0])


def _beside(adapted: Adapted, others: Sequence[Model], tested: Dataset) -> tuple[Adapted, Remembered]:
    """Let a target that has learned stages learn them on the network that others read, where they allow it."""
    if not may_share(adapted, others):
        why = "" if isinstance(adapted.choice.strategy, HEAD_ONLY) else "it has a network of its own: " + WHY_APART
        return adapted, Remembered(adapted.model, why=why)
    found = learn_beside(adapted, others, tested)
    return replace(adapted, model=found.model), found
