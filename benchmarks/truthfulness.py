"""How often a verdict is true, by simulation: `python -m benchmarks.truthfulness` (a minute).

Predictions are simulated; choosing, the declared comparison and its interval are the product's own.
"""

from __future__ import annotations

import argparse

import numpy as np

from headstart.arms import Arm, choose
from headstart.comparison.verdicts import HELPS, UNPROVEN, judge
from headstart.tasks import Task

TASK = Task("label", "classification", ("a", "b", "c"))
ARMS = ("majority", "classical", "scratch"), ("probe", "upper", "whole")


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    runs = parser.parse_args().runs
    for n in (80, 150, 500):
        print(f"{n} test examples, {runs} runs")
        print(f"  labels permuted: helps in {permuted(n, runs)}")
        print(f"  equal arms through the whole selection: a difference claimed in {equal(n, runs)}")
        for gain in (0.05, 0.1, 0.2):
            covered, claimed = planted(n, gain, runs)
            print(f"  a gain of {gain:.2f}: covered in {covered}, claimed in {claimed}")
        covered, claimed = planted(n, 0.1, runs, group=4)
        print(f"  a gain of 0.10 in groups of four that are alike: covered in {covered}, claimed in {claimed}")


def permuted(n: int, runs: int) -> int:
    """Return in how many runs transfer is said to help where the labels have nothing to do with the examples."""
    dice = np.random.default_rng(n)
    return sum(_through_selection(dice, n, lambda m: dice.random(m) < 1 / 3) == HELPS for _ in range(runs))


def equal(n: int, runs: int) -> int:
    """Return in how many runs a difference is claimed where all contenders are right equally often."""
    dice = np.random.default_rng(n + 1)
    return sum(_through_selection(dice, n, lambda m: dice.random(m) < 0.8) != UNPROVEN for _ in range(runs))


def planted(n: int, gain: float, runs: int, *, group: int = 1) -> tuple[int, int]:
    """Return in how many runs the interval holds a gain that is there, and in how many it is claimed."""
    dice = np.random.default_rng(n + round(1000 * gain))
    held = claimed = 0
    units = np.repeat(np.arange(n // group), group) if group > 1 else None
    for _ in range(runs):
        k = n // group
        truth = dice.integers(0, 3, k * group)
        hard = np.repeat(dice.random(k), group)
        other = np.where(np.repeat(dice.random(k), group) < 0.5, hard, np.repeat(dice.random(k), group))
        found = judge(TASK, truth, _said(hard < 0.7 + gain, truth), _said(other < 0.7, truth), units)
        held += found.gain.low <= gain <= found.gain.high
        claimed += found.word == HELPS
    return held, claimed


def _through_selection(dice: np.random.Generator, n: int, is_right) -> str:
    """Return the verdict once each side has chosen among its contenders out of fold."""
    m = 4 * n
    truth, tested = dice.integers(0, 3, m), dice.integers(0, 3, n)
    seen = np.ones(m, dtype=bool)
    answers = []
    for side in ARMS:
        arms = [Arm(name, name, "top", _said(is_right(m), truth), seen) for name in side]
        chosen, _ = choose(arms, truth, TASK, None)
        answers.append([_said(is_right(n), tested) for _ in side][chosen])
    return judge(TASK, tested, answers[1], answers[0]).word


def _said(right: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return outputs (n, c) that are right where they should be."""
    return 0.7 * np.eye(3)[np.where(right, truth, (truth + 1) % 3)] + 0.1


if __name__ == "__main__":
    main()
