"""Foresight: what the main job will take, by kind of work, before it begins."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.backbones.classical import descriptor, length_of_descriptor
from headstart.baselines import features_without
from headstart.comparison.luck import PHASE, seconds_foreseen
from headstart.comparison.proof import GAPS_OF
from headstart.data import spread
from headstart.devices import undisturbed
from headstart.ground import Ground
from headstart.heads import Parts
from headstart.plan import Plan
from headstart.strategies import HEAD_ONLY, Classical
from headstart.strategies.probe import CHOOSING_TOLERANCE, DEFAULT_STRENGTH, STRENGTHS

SETTLING, FEATURES, PROOF = "settling", "features", "heads and proof"

TRIED_ON = 2_000
"""Examples that one penalty is tried on, at most."""

DESCRIBED = 16
"""Pictures that describing them is timed on."""

ANSWERED = 4
"""How often test examples go through a network that was tuned: for the model, its rival, what it forgot, the report."""

PLAIN = 3.0
"""Times that a network takes longer which is not converted."""

COUNTED = 4
"""How often texts are counted: for the classical model, its learning curve, its baseline, and what they answer."""

LOCAL = 0.4
"""Seconds that exponential smoothing, Theta and ARIMA take on a history."""

REPORTED = 5.0
"""Seconds for what does not grow with the examples: intervals, plots, files."""


@dataclass(frozen=True)
class Foresight:
    """What the main job will take.

    Attributes:
        seconds: by kind of work; of what is settled before, those it took.
    """

    seconds: dict[str, float]

    @property
    def total(self) -> float:
        """Seconds of everything."""
        return sum(self.seconds.values())

    def beside(self, took: dict[str, float], total: float) -> dict[str, tuple[float, float]]:
        """Return what was forecast and what happened.

        Args:
            took: seconds by phase of progress; a phase belongs to the kind of work that its name begins with.
            total: seconds of everything: what belongs to no other kind of work was for heads and proof.
        """
        fact = dict.fromkeys(self.seconds, 0.0) | {SETTLING: self.seconds[SETTLING]}
        for phase, seconds in took.items():
            named = max((name for name in self.seconds if phase.startswith(name)), key=len, default=None)
            if named is not None:
                fact[named] += seconds
        fact[PROOF] = max(0.0, total - sum(fact.values()))
        return {name: (round(said, 1), round(fact[name], 1)) for name, said in self.seconds.items()}


@undisturbed()
def foresee(ground: Ground, plan: Plan, tested: int) -> dict[str, float]:
    """Return the seconds a plan will take with everything around it, by kind of work; penalties are tried for that.

    Args:
        ground: what the plan was made for.
        plan: what was settled, with what features and learning take.
        tested: test examples.
    """
    learning = [one for one in plan.strategies if not isinstance(one, HEAD_ONLY)]
    said = {FEATURES: plan.features + _passes(ground, plan, tested, is_tuned=bool(learning))}
    for one, seconds in zip(plan.strategies, plan.seconds, strict=True):
        if one in learning:
            said[one.word] = said.get(one.word, 0.0) + seconds
    if seeds := seconds_foreseen(plan, ground.held_share):
        said[PHASE] = seeds
    heads = 0.0 if ground.task.form == "text" else _heads(ground, plan, tested)
    return said | {PROOF: REPORTED + heads}


def _passes(ground: Ground, plan: Plan, tested: int, *, is_tuned: bool) -> float:
    """Return the seconds of preparing what the cache lacks, and of answering: too few for a conversion run plainly.

    Features of examples learned from are kept: they are answered for nothing, run alike.
    """
    n, few = len(ground.examples), ground.examples.inputs[:: max(1, len(ground.examples) // DESCRIBED)]
    begun = time.perf_counter()
    ground.backbone.prepare(few)
    each = (time.perf_counter() - begun) / len(few)
    is_alike = plan.execution.for_count(tested).backend == plan.execution.backend
    slower = 1.0 if is_alike else PLAIN
    answered = (ANSWERED if is_tuned else 1) * tested + (0 if is_alike and not is_tuned else min(n, GAPS_OF))
    return (n if plan.features else 0) * each + answered * (slower * plan.execution.seconds + each)


def _heads(ground: Ground, plan: Plan, tested: int) -> float:
    """Return the seconds of describing examples and of fitting heads, the probe's and the classical model's.

    One penalty of each is tried: on features drawn at random, where there are none yet.
    """
    n, places = len(ground.examples), spread(len(ground.examples), TRIED_ON)
    few, dice, many = ground.examples.take(places), np.random.default_rng(0), n / len(places)
    if few.modality == "series":
        return LOCAL * (tested + (n if ground.held is None else int(ground.held.sum())))
    begun = time.perf_counter()
    if few.modality == "text":
        features: Any = features_without(few)
        described = (time.perf_counter() - begun) * COUNTED * (n + tested) / len(few)
    else:
        seen = [descriptor(few.inputs[place]) for place in spread(len(few), DESCRIBED)]
        described = (time.perf_counter() - begun) * (n + tested) / len(seen)
        features = dice.normal(size=(len(few), length_of_descriptor(few.channels or 3)))
    classical = _tried(ground, places, features, plan.folds)
    probe = _tried(ground, places, dice.normal(size=(len(few), ground.backbone.card.dimensions)), plan.folds)
    fits = 3 * (len(Classical().tried(few.modality)) + 1)
    return described + many * (fits * classical + (len(STRENGTHS) + 4) * probe)


def _tried(ground: Ground, places: np.ndarray, features: Any, folds: int) -> float:
    """Return the seconds that one penalty takes on some examples with features (n, d), held out in turn."""
    truth = ground.truth[places]
    parts = [np.arange(len(truth)) % folds != fold for fold in range(folds)]
    begun = time.perf_counter()
    Parts(features, truth, ground.task, parts).heads(DEFAULT_STRENGTH, tolerance=CHOOSING_TOLERANCE)
    return time.perf_counter() - begun
