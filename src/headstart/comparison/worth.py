"""Worth: what transfer saves in labels, from learning curves out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.baselines import features_without, fit_without
from headstart.choosing import Choice
from headstart.curves import Curve, Labels, labels_to_match, learning_curve
from headstart.ground import Ground
from headstart.mistakes import errors_of
from headstart.strategies import Classical, FromScratch, Majority, Probe, ZeroShot
from headstart.summarizing import WORDS
from headstart.telling import LOCAL

CURVE_OF = 5_000
"""Examples that learning curves are measured on, at most."""


@dataclass(frozen=True, eq=False)
class Worth:
    """Learning curves, labels and error that transfer came to, and the labels no transfer would need."""

    curves: tuple[Curve, ...] = ()
    reached: tuple[int, float] | None = None
    labels: Labels | None = None


def worth_in_labels(ground: Ground, ours: Choice, theirs: Choice) -> Worth:
    """Return what transfer is worth in labels, as far as both sides were seen out of fold."""
    if ground.task.form in ("path", "text"):
        return Worth()
    folds = [fold for fold in ground.folds(ours.folds) if fold.any()] if ours.folds else []
    if len(ground.examples) > CURVE_OF or ours.arm is None or not folds:
        return Worth()
    tested = np.logical_or.reduce(folds)
    if len(ours.arm.seen) != len(tested) or not ours.arm.seen[tested].all():
        return Worth()
    found = (_curve(ground, side, choice, folds) for side, choice in (("with", ours), ("without", theirs)))
    curves = tuple(one for one in found if one is not None)
    errors = errors_of(ground.task, ground.truth[tested], ours.arm.outputs[tested])
    given = int(min((~fold).sum() for fold in folds))
    rival = next((one for one in curves if one.side == "without"), None)
    if rival is None:
        rival = _classical_curve(ground, folds)
        curves = (*curves, rival)
    labels = None if rival is None else labels_to_match(rival, errors, given, ground.examples.units[tested])
    return Worth(curves, (given, float(errors.mean())), labels)


def _curve(ground: Ground, side: str, choice: Choice, folds: list[np.ndarray]) -> Curve | None:
    """Return the learning curve of a head; None of what learns stages too, and would take too long."""
    strategy, own = choice.strategy, choice.probe
    if isinstance(strategy, Probe):
        features: Any = ground.features_at(strategy.cut)
    elif isinstance(strategy, Classical):
        features = features_without(ground.examples)
    else:
        return None
    return learning_curve(
        in_words(choice, ground),
        side,
        features,
        ground.truth,
        ground.task,
        folds,
        strength=own.strength,
        balanced=own.balanced,
        seed=ground.seed,
        breaks=ground.examples.breaks,
    )


def _classical_curve(ground: Ground, folds: list[np.ndarray]) -> Curve:
    """Return the curve of the classical model, where that of the best without transfer would take too long."""
    choice = Choice(
        Classical(), *fit_without(Classical(), ground.examples, ground.task, held=ground.held, seed=ground.seed)
    )
    curve = _curve(ground, "without", choice, folds)
    assert curve is not None
    return curve


def in_names(methods: Sequence[str]) -> str:
    """Name what local methods are combined of."""
    names = [LOCAL[one] for one in methods]
    return names[0] if len(names) == 1 else f"the median of {', '.join(names[:-1])} and {names[-1]}"


def in_words(choice: Choice, ground: Ground) -> str:
    """Name a contender as a reader knows it."""
    strategy = choice.strategy
    if ground.task.form == "text" and strategy.name in WORDS:
        return WORDS[strategy.name].format(ground.backbone.name)
    if isinstance(strategy, Majority | Classical):
        return _without_in_words(choice, ground)
    if isinstance(strategy, ZeroShot):
        return f"{ground.backbone.name} as it is"
    if isinstance(strategy, FromScratch):
        return f"{'a small' if strategy.network == 'small' else 'the same'} network from scratch"
    if isinstance(strategy, Probe):
        return f"the probe on {ground.backbone.name}"
    return f"{ground.backbone.name} with {strategy.word} above cut {strategy.cuts(ground.network)[-1]}"


def _without_in_words(choice: Choice, ground: Ground) -> str:
    strategy = choice.strategy
    if ground.task.form == "path":
        names = in_names(choice.backbone.architecture["methods"])
        return f"the {names}" if isinstance(strategy, Majority) else names
    return strategy.word
