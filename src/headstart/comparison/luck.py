"""Luck: what another seed would have made of the same examples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from headstart.choosing import Choice
from headstart.data import Finding
from headstart.ground import Ground
from headstart.learning.answers import given_back, kept
from headstart.mistakes import errors_of
from headstart.plan import Plan
from headstart.strategies import HEAD_ONLY

SEEDS = 2
"""Further seeds that are tried, on one fold."""

PHASE = "other seeds"
"""What progress calls it: it is no part of what choosing and learning were forecast to take."""

AFFORDABLE = 60.0
"""Seconds that they may take together."""

MUCH = 0.03
"""Error that two standard deviations over seeds may reach before it is said."""


def seconds_for(choice: Choice, plan: Plan, held: float | None) -> float:
    """Return what further seeds of a choice would take, 0 where there is nothing to try.

    Args:
        choice: the strategy, and how it was seen.
        plan: what it was forecast to take: as many trainings as there are folds, or beside a validation set one
            without it and one with it.
        held: the share of the examples that is the validation set; None without one.
    """
    if choice.tuning is None or choice.arm is None or not choice.arm.seen.any():
        return 0.0
    forecast = dict(zip(plan.strategies, plan.seconds, strict=True)).get(choice.strategy, 0.0)
    return _wait(forecast, plan.folds, held)


def seconds_foreseen(plan: Plan, held: float | None) -> float:
    """Return what further seeds take at most, whatever is chosen; what would take too long is not tried."""
    seen = len(plan.strategies) > 1 or held is not None
    costs = zip(plan.strategies, plan.seconds, strict=True) if seen else ()
    waits = [_wait(seconds, plan.folds, held) for one, seconds in costs if not isinstance(one, HEAD_ONLY)]
    return max((one for one in waits if one <= AFFORDABLE), default=0.0)


def _wait(seconds: float, folds: int, held: float | None) -> float:
    """Return what further seeds take of a strategy that comparing and learning once takes some seconds."""
    once, all_of_it = (1 - 1 / folds, folds) if held is None else (1 - held, 2 - held)
    return seconds * SEEDS * once / all_of_it


def seed_spread(ground: Ground, choice: Choice) -> tuple[float, ...]:
    """Return the mean error on one fold held out, learned with the run's own seed and with others.

    Nothing of a head's fit is drawn: of one there is nothing to tell, and nothing is returned.
    """
    if choice.tuning is None or choice.arm is None or not choice.folds or not choice.arm.seen.any():
        return ()
    held = next(iter(ground.folds(choice.folds)), None)
    if held is None:
        return ()
    truth = ground.truth[held]
    errors = [float(errors_of(ground.task, truth, choice.arm.outputs[held]).mean())]
    for number in range(1, SEEDS + 1):
        outputs = _answered(ground, choice, held, ground.seed + number)
        errors.append(float(errors_of(ground.task, truth, outputs).mean()))
    return tuple(errors)


def _answered(ground: Ground, choice: Choice, held: np.ndarray, seed: int) -> np.ndarray:
    """Return what the held examples are answered after the chosen number of epochs, with another seed."""
    assert choice.tuning is not None
    name = f"luck-{seed}"
    done = ground.keeper.load(f"{name}-done")
    if done is not None:
        return given_back(done[0]["outputs"], is_text=ground.task.form == "text")
    tuning = replace(choice.tuning, seed=seed)

    def progress(_phase: str, done: int, total: int) -> None:
        ground.progress(PHASE, done, total)

    _, trained = tuning.train(
        np.flatnonzero(~held), np.flatnonzero(held), name, stop_after=choice.epoch, progress=progress
    )
    ground.keeper.save(f"{name}-done", {"outputs": kept(trained.outputs[-1])}, {})
    ground.keeper.drop(name)
    return trained.outputs[-1]


def on_luck(errors: tuple[float, ...], is_share: bool) -> tuple[Finding, ...]:
    """Say so where seeds differ by much."""
    spread = 2 * float(np.std(errors, ddof=1)) if len(errors) > 1 else 0.0
    if not is_share or spread <= MUCH:
        return ()
    text = f"this result depends on luck: ±{100 * spread:.0f} points between {len(errors)} seeds on examples held out"
    return (Finding("depends_on_luck", text),)
