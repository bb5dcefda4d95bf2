from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from headstart import metrics, statistics
from headstart.evaluation import Evaluation
from headstart.mistakes import calibrated_errors, quadratic_errors
from headstart.statistics import Measure, percentile_interval, resampled_weights, wilson
from headstart.tasks import Task

CLASSES = Task("y", "classification", ("a", "b", "c"))
LABELS = Task("y", "multilabel", ("a", "b", "c"))
NUMBER = Task("y", "regression")


def sample(seed: int, n: int = 60, c: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    noise = np.random.default_rng(seed)
    outputs = np.round(noise.dirichlet(np.ones(c), n), 2) + 1e-6
    truth = np.concatenate([np.arange(c), noise.integers(0, c, n - c)])
    return truth, outputs / outputs.sum(1, keepdims=True), noise.integers(1, 4, n).astype(np.float32)


def sensitivity(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """The sensitivity at a specificity of 90 %, from scikit-learn's curve."""
    false, true, _ = sk.roc_curve(positive, scores, sample_weight=weights, drop_intermediate=False)
    return float(true[false <= 0.1 + 1e-9].max())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_weighted_forms_are_scikit_learns(seed: int) -> None:
    truth, outputs, weights = sample(seed)
    answers, row = outputs.argmax(1), weights[None]
    found = metrics._classification(truth, outputs)
    expected = {
        "accuracy": sk.accuracy_score(truth, answers, sample_weight=weights),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, answers, sample_weight=weights),
        "macro_f1": sk.f1_score(truth, answers, average="macro", sample_weight=weights),
        "auroc": np.mean([sk.roc_auc_score(truth == c, outputs[:, c], sample_weight=weights) for c in range(3)]),
        "sensitivity_90": np.mean([sensitivity(truth == c, outputs[:, c], weights) for c in range(3)]),
        "log_loss": sk.log_loss(truth, outputs, sample_weight=weights),
    }
    for name, value in expected.items():
        assert found[name].weighted(row)[0] == pytest.approx(value, abs=1e-5), name
        assert found[name].weighted(np.ones_like(row))[0] == pytest.approx(found[name].value, abs=1e-5), name


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_weighted_forms_of_numbers_and_label_sets(seed: int) -> None:
    noise = np.random.default_rng(seed)
    truth, guess, weights = noise.normal(size=40), noise.normal(size=40), noise.integers(1, 4, 40).astype(np.float32)
    found = metrics._regression(truth, guess)
    assert found["r2"].weighted(weights[None])[0] == pytest.approx(
        sk.r2_score(truth, guess, sample_weight=weights), abs=1e-4
    )
    assert found["mae"].weighted(weights[None])[0] == pytest.approx(
        sk.mean_absolute_error(truth, guess, sample_weight=weights), abs=1e-5
    )
    sets, scores = noise.integers(0, 2, (40, 3)), noise.random((40, 3))
    several = metrics._multilabel(sets, scores)
    for average in ("macro", "micro"):
        value = sk.f1_score(sets, scores >= 0.5, average=average, sample_weight=weights, zero_division=0)
        assert several[f"{average}_f1"].weighted(weights[None])[0] == pytest.approx(value, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_every_interval_holds_its_value(seed: int, grouped: bool) -> None:
    truth, outputs, _ = sample(seed, n=30)
    units = np.arange(30) // 3 if grouped else None
    for name, measure in metrics.measure(CLASSES, truth, outputs, units).items():
        assert measure.low <= measure.value <= measure.high, name
        assert measure.n == 30
        assert measure.units == (10 if grouped else 30)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (95, 153), (1, 2)])
def test_wilson_is_scipys(hits: int, n: int) -> None:
    expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_published_interval_of_the_tutorial() -> None:
    """146 of 153 right: 95.4 % [90.9, 97.8] (Wilson), as computed for PyTorch's ants-and-bees tutorial."""
    assert [round(100 * bound, 1) for bound in wilson(146, 153)] == [90.9, 97.8]


def test_bootstrap_intervals_of_means_cover() -> None:
    noise = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        values = noise.normal(size=60)
        weights = np.concatenate(list(resampled_weights(np.arange(60), 400, seed=trial)))
        low, high = percentile_interval(values.mean(), (weights @ values) / weights.sum(1))
        covered += low <= 0 <= high
    assert 0.89 <= covered / 200 <= 0.99


def test_groups_widen_intervals_when_their_members_agree() -> None:
    noise = np.random.default_rng(0)
    right = np.repeat(noise.random(40) < 0.7, 10)
    truth = np.zeros(400, dtype=int)
    outputs = np.where(right[:, None], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1])
    alone = metrics.measure(CLASSES, truth, outputs)["accuracy"]
    grouped = metrics.measure(CLASSES, truth, outputs, np.arange(400) // 10)["accuracy"]
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_intervals_do_not_depend_on_how_many_samples_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = np.random.default_rng(0)
    truth, outputs = dice.integers(0, 3, 50), dice.dirichlet(np.ones(3), 50)
    whole = metrics.measure(CLASSES, truth, outputs)
    monkeypatch.setattr(statistics, "AT_ONCE", 333)
    assert metrics.measure(CLASSES, truth, outputs) == whole


def test_a_perfect_score_has_an_interval_too() -> None:
    truth = np.arange(30) % 3
    outputs = np.eye(3)[truth] * 0.9 + 0.1 / 3
    found = metrics.measure(CLASSES, truth, outputs, np.arange(30) // 2)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc"):
        assert found[name].value == 1
        assert found[name].low == pytest.approx(wilson(15, 15)[0])


def test_labels_never_seen_count_as_wrong() -> None:
    truth, outputs, _ = sample(0)
    truth[:6] = -1
    found = metrics.measure(CLASSES, truth, outputs)
    assert found["accuracy"].n == 60
    assert found["log_loss"].n == 54
    assert found["balanced_accuracy"].value <= 0.75
    assert found["accuracy"].value == pytest.approx((outputs.argmax(1) == truth).mean())


@pytest.mark.parametrize("truth", [np.array([1]), np.zeros(5, dtype=int), np.full(3, -1)])
def test_degenerate_test_sets_give_sound_numbers(truth: np.ndarray) -> None:
    outputs = np.full((len(truth), 3), 1 / 3)
    found = metrics.measure(CLASSES, truth, outputs)
    assert all(np.isfinite([one.value, one.low, one.high]).all() for one in found.values())
    assert "auroc" not in found


def test_regression_on_one_value_has_no_r2() -> None:
    found = metrics.measure(NUMBER, np.ones(5), np.zeros(5))
    assert set(found) == {"mae", "rmse"}


def test_per_class_counts() -> None:
    truth, outputs, _ = sample(1)
    rows = metrics.per_class(CLASSES, truth, outputs)
    report = sk.classification_report(truth, outputs.argmax(1), output_dict=True)
    for place, row in enumerate(rows):
        assert row["n"] == report[str(place)]["support"]
        assert row["f1"] == pytest.approx(report[str(place)]["f1-score"])
        assert row["recall"]["value"] == pytest.approx(report[str(place)]["recall"])
    assert np.array(metrics.confusion(CLASSES, truth, outputs)).sum() == 60
    assert metrics.per_class(LABELS, np.eye(3, dtype=int), np.eye(3))[0]["n"] == 1


def test_the_order_of_rows_changes_nothing() -> None:
    truth, outputs = np.repeat([0, 1], 50), np.full((100, 2), 0.5)
    task = Task("y", "classification", ("a", "b"))
    mixed = np.random.default_rng(0).permutation(100)
    one, other = metrics.measure(task, truth, outputs), metrics.measure(task, truth[mixed], outputs[mixed])
    assert {name: m.value for name, m in one.items()} == {name: m.value for name, m in other.items()}
    assert one["calibration_error"].value == pytest.approx(0)


def test_large_numbers_lose_no_digits() -> None:
    noise = np.random.default_rng(0)
    truth = noise.normal(size=50)
    guess = truth + 0.1 * noise.normal(size=50)
    plain, far = (
        metrics.measure(NUMBER, truth, guess)["r2"],
        metrics.measure(NUMBER, truth + 1.7e9, guess + 1.7e9)["r2"],
    )
    assert far.value == pytest.approx(plain.value, abs=1e-4)
    assert (far.low, far.high) == pytest.approx((plain.low, plain.high), abs=1e-3)


def test_a_single_group_tells_of_no_spread() -> None:
    truth, outputs, _ = sample(0)
    found = metrics.measure(CLASSES, truth, outputs, np.zeros(60))
    assert (found["accuracy"].low, found["accuracy"].high) == (0, 1)
    assert "log_loss" not in found


def test_classes_are_grouped_as_the_whole_is() -> None:
    truth = np.zeros(20, dtype=int)
    outputs = np.tile([0.8, 0.1, 0.1], (20, 1))
    groups = np.arange(20) // 10
    assert metrics.per_class(CLASSES, truth, outputs, groups)[0]["recall"]["low"] == pytest.approx(wilson(2, 2)[0])
    assert metrics.per_class(CLASSES, truth, outputs)[0]["recall"]["low"] == pytest.approx(wilson(20, 20)[0])


def test_one_label_of_a_set_has_its_own_f1() -> None:
    task = Task("y", "multilabel", ("a",))
    truth, outputs = np.array([[1], [1], [1], [0]]), np.array([[0.9], [0.8], [0.1], [0.2]])
    found = metrics.measure(task, truth, outputs)
    for name in ("macro_f1", "micro_f1"):
        assert found[name].value == pytest.approx(0.8), name


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        ((0.9, 0.85, 0.95), (0.5, 0.4, 0.6), "better than without transfer"),
        ((0.5, 0.4, 0.6), (0.9, 0.85, 0.95), "no benefit from transfer here"),
        ((0.5, 0.4, 0.6), (0.55, 0.45, 0.65), "no clear difference from the classical baseline"),
    ],
)
def test_a_comparison_in_words(
    ours: tuple[float, float, float], theirs: tuple[float, float, float], words: str
) -> None:
    mine, rival, least = ({"accuracy": Measure(*one, 50, 50)} for one in (ours, theirs, (0.1, 0.0, 0.2)))
    found = Evaluation(CLASSES, 50, mine, {"majority": least, "classical": rival}, [], [])
    assert words in found.comparison
    assert found.as_dict()["comparison"] == found.comparison


def test_how_sure_answers_are_does_not_count_once_it_is_set_right() -> None:
    dice = np.random.default_rng(0)
    task, truth = Task("one", "classification", ("a", "b", "c")), dice.integers(0, 3, 200)
    logits = dice.normal(size=(200, 3)) + np.eye(3)[truth]
    plain, sure = task.outputs(logits), task.outputs(4 * logits)
    assert quadratic_errors(task, truth, sure).mean() > quadratic_errors(task, truth, plain).mean() + 0.01
    ours = [calibrated_errors(task, truth, outputs) for outputs in (plain, sure)]
    np.testing.assert_allclose(*ours, atol=1e-9)
    assert ours[0].mean() <= quadratic_errors(task, truth, plain).mean() + 1e-9


def test_a_sensitivity_does_not_depend_on_which_class_comes_first() -> None:
    dice = np.random.default_rng(0)
    truth = dice.integers(0, 2, 300)
    chance = np.clip(0.3 + 0.3 * truth + dice.normal(0, 0.2, 300), 0.01, 0.99)
    task = Task("y", "classification", ("a", "b"))
    one, other = (
        metrics.measure(task, labels, np.stack([1 - scores, scores], 1))["sensitivity_90"].value
        for labels, scores in ((truth, chance), (1 - truth, 1 - chance))
    )
    assert one == other


def test_a_sensitivity_of_many_classes_is_left_out() -> None:
    truth, outputs, _ = sample(0, 80, 31)
    task = Task("y", "classification", tuple(f"{n:02}" for n in range(31)))
    assert "sensitivity_90" not in metrics.measure(task, truth, outputs)
    assert "auroc" in metrics.measure(task, truth, outputs)


@pytest.mark.parametrize("n", [10, 60, 100, 200, 700, 2000])
def test_a_tenth_of_the_others_may_lie_above(n: int) -> None:
    scores = np.concatenate([np.ones(n // 10), np.full(5, 0.5), np.zeros(n - n // 10)])
    positive = scores == 0.5
    assert metrics._sensitivity(np.ones((1, len(scores))), positive, scores)[0] == 1.0
