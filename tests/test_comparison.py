"""Verdicts are true as often as they say, by simulation; looks are counted."""

import numpy as np
import pytest

from headstart.arms import Arm, choose
from headstart.comparison.ledger import alpha_at, look_at
from headstart.comparison.verdicts import HARMS, HELPS, UNPROVEN, judge
from headstart.curves import Curve, labels_to_match, learning_curve
from headstart.tasks import Task

TASK = Task("label", "classification", ("a", "b"))
RUNS = 300


def outputs_of(right, truth):
    """Return outputs (n, 2) that are right where they should be."""
    said = np.where(right, truth, 1 - truth)
    return np.eye(2)[said] * 0.8 + 0.1


def test_with_equal_contenders_nothing_is_claimed_too_often():
    dice = np.random.default_rng(0)
    claims = 0
    for _ in range(RUNS):
        truth = dice.integers(0, 2, 150)
        one, other = (outputs_of(dice.random(150) < 0.8, truth) for _ in range(2))
        claims += judge(TASK, truth, one, other).word != UNPROVEN
    assert claims <= 0.067 * RUNS


def test_through_the_whole_selection_equal_arms_give_no_claim_too_often():
    dice = np.random.default_rng(1)
    claims = 0
    for _ in range(RUNS):
        truth, tested = dice.integers(0, 2, 200), dice.integers(0, 2, 150)
        arms = [outputs_of(dice.random(200) < 0.8, truth) for _ in range(4)]
        answers = [outputs_of(dice.random(150) < 0.8, tested) for _ in range(4)]
        seen = np.ones(200, dtype=bool)
        chosen = [
            side[
                choose([Arm(str(place), str(place), "top", arms[place], seen) for place in side], truth, TASK, None)[0]
            ]
            for side in ([0, 1], [2, 3])
        ]
        claims += judge(TASK, tested, answers[chosen[1]], answers[chosen[0]]).word != UNPROVEN
    assert claims <= 0.067 * RUNS


def test_planted_gains_are_found_and_covered():
    dice = np.random.default_rng(2)
    held, helped = 0, 0
    for _ in range(RUNS):
        truth = dice.integers(0, 2, 300)
        hard = dice.random(300)
        found = judge(TASK, truth, outputs_of(hard < 0.9, truth), outputs_of(dice.random(300) < 0.75, truth))
        held += found.gain.low <= 0.15 <= found.gain.high
        helped += found.word == HELPS
    assert 0.92 * RUNS <= held <= 0.98 * RUNS
    assert helped > 0.9 * RUNS


def test_transfer_that_does_harm_is_called_that():
    truth = np.arange(200) % 2
    found = judge(TASK, truth, outputs_of(np.arange(200) >= 40, truth), outputs_of(np.ones(200, dtype=bool), truth))
    assert found.word == HARMS
    assert found.gain.value == pytest.approx(-0.2)
    assert found.also["auroc"].value < 0


def test_an_unproven_benefit_says_what_could_not_be_seen():
    truth = np.arange(60) % 2
    right = np.ones(60, dtype=bool)
    right[:3] = False
    words = judge(TASK, truth, outputs_of(np.ones(60, dtype=bool), truth), outputs_of(right, truth)).words
    assert "differ on too few of 60 test examples" in words
    dice = np.random.default_rng(4)
    one, other = (outputs_of(dice.random(60) < 0.7, truth) for _ in range(2))
    assert "a difference under" in judge(TASK, truth, one, other).words


def test_a_number_is_judged_by_its_squared_error():
    dice = np.random.default_rng(3)
    truth = dice.normal(size=200)
    task = Task("size", "regression")
    found = judge(task, truth, truth + dice.normal(0, 0.1, 200), truth + dice.normal(0, 0.8, 200))
    assert found.word == HELPS


def test_looks_are_counted_and_the_same_claim_is_the_same_look(monkeypatch, tmp_path):
    monkeypatch.setenv("HEADSTART_STATE", str(tmp_path))
    contents, values = ["a", "b"], ["yes", "no"]
    first, second = np.eye(2), np.eye(2)[::-1]
    assert look_at(contents, values, [first]) == 1
    assert look_at(contents, values, [second]) == 2
    assert look_at(contents, values, [first]) == 1
    assert look_at(["a", "c"], values, [first]) == 1
    assert sum(alpha_at(look) for look in range(1, 1000)) < 0.05


def test_where_nothing_can_be_written_every_look_is_the_first(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEADSTART_STATE", str(tmp_path / "file"))
    assert look_at(["a"], ["yes"], [np.eye(1)]) == 1


def curve_of(sizes, shares, n=400):
    """Return a curve whose contender errs on these shares of the examples."""
    errors = np.stack([np.arange(n) < round(share * n) for share in shares]).astype(float)
    return Curve("classical", "without", np.array(sizes), errors)


def test_labels_to_match_are_read_off_where_they_were_measured():
    curve = curve_of([100, 200, 400, 800], [0.4, 0.3, 0.2, 0.1])
    reached = (np.arange(400) < 80).astype(float)
    found = labels_to_match(curve, reached, 200, np.arange(400))
    assert found.value == pytest.approx(400, rel=0.15)
    assert found.low <= 401
    assert found.high is None or found.high >= 399


def test_labels_to_match_are_open_where_nothing_is_learned():
    flat = curve_of([100, 200, 400, 800], [0.4, 0.4, 0.4, 0.4])
    found = labels_to_match(flat, (np.arange(400) < 20).astype(float), 800, np.arange(400))
    assert found.high is None
    assert found.low > 800
    assert "more than" in found.words


def test_labels_to_match_need_a_curve():
    short = curve_of([10, 20], [0.4, 0.3])
    assert labels_to_match(short, np.zeros(400), 20, np.arange(400)) is None


def test_a_curve_that_falls_as_a_power_is_drawn_out():
    sizes = [100, 200, 400, 800, 1600]
    curve = curve_of(sizes, [4 * size**-0.5 for size in sizes], n=20_000)
    reached = (np.arange(20_000) < 20_000 * 0.06).astype(float)  # 4·m^(−1/2) = 0.06 at m = 4,444
    found = labels_to_match(curve, reached, 1600, np.arange(20_000))
    assert found.low <= 4444
    assert found.high is None or found.high >= 4444
    assert found.low > 1600


def test_a_curve_of_numbers_is_measured_on_all_folds_together():
    """Folds that lie apart: each varies little by itself, and a constant answer errs by about one on the whole."""
    dice = np.random.default_rng(0)
    truth = np.repeat(np.arange(5.0) * 10, 40) + dice.normal(size=200)
    folds = [np.repeat(np.arange(5), 40) == number for number in range(5)]
    features = dice.normal(size=(200, 2))
    curve = learning_curve("n", "without", features, truth, Task("size", "regression"), folds, strength=1e-6)
    assert curve.means[-1] < 2
