"""What a few steps tell beforehand: which rate to learn with, and how long a step takes."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

from headstart.devices import memory_kept
from headstart.learning.lesson import Lesson
from headstart.learning.training import HARM, Run
from headstart.progress import Progress, silent

RANGE = (1e-6, 1e-1)
RANGE_STEPS = 100
RANGE_SHARE = 0.1
SMOOTHED = 0.8
TIMED_STEPS = 3


@dataclass(frozen=True)
class RangeTest:
    """What a range test found.

    Attributes:
        rate: the one to learn with.
        rates, losses: tried one after another, and the smoothed loss at each.
    """

    rate: float
    rates: tuple[float, ...]
    losses: tuple[float, ...]


@memory_kept()
def range_test(lesson: Lesson, *, progress: Progress = silent) -> RangeTest:
    """Find a rate: raise it step by step from far too low until the loss goes up (Smith 2017, section 3.3).

    Learning begins with a head that fits already, so the steepest fall tells nothing; what is looked for is the
    rate at which the loss has risen part of the way to chance, and a fraction of it is taken.
    The lesson's network is spent afterwards.
    """
    epochs = math.ceil(RANGE_STEPS / lesson.steps)
    run = Run(replace(lesson, schedule=replace(lesson.schedule, epochs=epochs), stop_after=None))
    chance = lesson.chance
    rates, losses, smoothed = [], [], math.nan
    lowest, highest = RANGE
    while run.step < RANGE_STEPS and not run.ended:
        for places in run.remaining():
            rate = lowest * (highest / lowest) ** (run.step / RANGE_STEPS)
            loss = run.learn(places, rate / lesson.schedule.rate)
            if run.ended or run.step >= RANGE_STEPS:
                break
            smoothed = loss if math.isnan(smoothed) else SMOOTHED * smoothed + (1 - SMOOTHED) * loss
            rates.append(rate)
            losses.append(smoothed)
            progress("testing rates", run.step, RANGE_STEPS)
        if len(losses) > 1 and losses[-1] > HARM * chance:
            break
    return RangeTest(_harmful(rates, losses, chance) * RANGE_SHARE, tuple(rates), tuple(losses))


def _harmful(rates: list[float], losses: list[float], chance: float) -> float:
    """Return the rate at which the loss has risen.

    By a quarter of the way to chance above the lowest of all; or before, by half of the way, and a quarter of itself,
    above the lowest so far: a network that was wrecked may learn anew, and end lower than it began.
    """
    best = min(range(len(losses)), key=losses.__getitem__, default=0)
    lowest = math.inf
    for place, (rate, loss) in enumerate(zip(rates, losses, strict=True)):
        lowest = min(lowest, loss)
        quarter = lowest + (chance - lowest) / 4
        if loss > quarter if place > best else loss > max((lowest + chance) / 2, 1.25 * lowest):
            return rate
    return RANGE[1]


@memory_kept()
def seconds_a_step(lesson: Lesson) -> float:
    """Return what a step takes on this machine, at a rate of 0; the lesson is not changed by it."""
    run = Run(lesson)
    batch = next(run.remaining())
    taken = []
    for _ in range(TIMED_STEPS):
        begun = time.perf_counter()
        run.learn(batch, 0.0)
        taken.append(time.perf_counter() - begun)
    return min(taken)
