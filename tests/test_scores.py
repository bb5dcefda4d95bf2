"""Transferability scores against computations of another kind: closed forms, brute force, worked examples."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import entropy, multivariate_normal, ortho_group
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier

from headstart.ranking import scores
from headstart.tasks import Task

DICE = np.random.default_rng(0)
LABELS = DICE.integers(0, 3, 60)
CENTRES = DICE.normal(size=(3, 8))
FEATURES = CENTRES[LABELS] + DICE.normal(size=(60, 8))
WIDE = np.hstack([FEATURES, DICE.normal(size=(60, 100))])
ROTATED = FEATURES @ ortho_group.rvs(8, random_state=0)
CLASSES = np.eye(3)[LABELS]
NUMBERS = FEATURES @ DICE.normal(size=(8, 1)) + DICE.normal(size=(60, 1))

BY_LABEL: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "h_score": scores.h_score,
    "transrate": scores.transrate,
    "gbc": scores.gbc,
    "n_leep": scores.n_leep,
    "logme": lambda features, labels: scores.logme(features, np.eye(labels.max() + 1)[labels]),
}


def evidence(features: np.ndarray, target: np.ndarray) -> float:
    """Maximise the density of the targets themselves: y is Gaussian with covariance FFᵀ/α + I/β."""

    def less(logs: np.ndarray) -> float:
        alpha, beta = np.exp(logs)
        covariance = features @ features.T / alpha + np.eye(len(target)) / beta
        return -float(multivariate_normal(np.zeros(len(target)), covariance).logpdf(target))

    starts = [(0.0, 0.0), (3.0, 1.0), (-2.0, 2.0)]
    best = min(
        (minimize(less, start, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10}) for start in starts),
        key=lambda one: one.fun,
    )
    return -float(best.fun) / len(target)


@pytest.mark.parametrize("features", [FEATURES, WIDE], ids=["long", "wide"])
@pytest.mark.parametrize("targets", [CLASSES, NUMBERS], ids=["classes", "numbers"])
def test_logme_is_the_largest_evidence(features: np.ndarray, targets: np.ndarray) -> None:
    wanted = np.mean([evidence(features, column) for column in targets.T])
    assert scores.logme(features, targets) == pytest.approx(wanted, abs=1e-6)


def test_the_h_score_is_the_trace_of_its_definition() -> None:
    fitted = LedoitWolf().fit(FEATURES)
    means = np.stack([FEATURES[one == LABELS].mean(0) for one in range(3)])[LABELS]
    between = np.cov(means.T, bias=True)
    wanted = (1 - fitted.shrinkage_) * np.trace(np.linalg.inv(fitted.covariance_) @ between)
    assert scores.h_score(FEATURES, LABELS) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("features", [FEATURES, WIDE], ids=["long", "wide"])
def test_transrate_is_the_difference_of_coding_rates(features: np.ndarray) -> None:
    def rate(table: np.ndarray) -> float:
        return float(np.linalg.slogdet(np.eye(table.shape[1]) + table.T @ table / (len(table) * 1e-4))[1]) / 2

    moved = features - features.mean(0)
    wanted = rate(moved) - sum((one == LABELS).mean() * rate(moved[one == LABELS]) for one in range(3))
    assert scores.transrate(features, LABELS) == pytest.approx(wanted, abs=1e-6)


def test_gbc_is_the_overlap_that_integration_gives() -> None:
    """Bhattacharyya's coefficient exp(−D) is the integral of √(p q)."""
    one, two = DICE.normal(0, 1, (400, 1)), DICE.normal(1.5, 0.7, (400, 1))
    grid = np.linspace(-12, 12, 200_001)
    density = [multivariate_normal(table.mean(), table.var()).pdf(grid) for table in (one, two)]
    overlap = float(np.trapezoid(np.sqrt(density[0] * density[1]), grid))
    labels = np.repeat([0, 1], 400)
    assert scores.gbc(np.vstack([one, two]), labels) == pytest.approx(-2 * overlap, abs=1e-6)


def test_leep_and_nce_are_those_of_a_worked_example() -> None:
    certain = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert scores.leep(certain, labels) == pytest.approx(2 / 6 * math.log(1 / 2))
    assert scores.nce(certain.argmax(1), labels) == pytest.approx(2 / 6 * math.log(1 / 2))
    soft = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])
    given = np.array([[1.4 / 1.7, 0.6 / 1.3], [0.3 / 1.7, 0.7 / 1.3]])
    wanted = [math.log(given[label] @ row) for label, row in zip([0, 0, 1], soft, strict=True)]
    assert scores.leep(soft, np.array([0, 0, 1])) == pytest.approx(np.mean(wanted))


def test_n_leep_is_leep_of_a_mixture() -> None:
    """By scikit-learn's own components and mixture, and LEEP as a double sum."""
    table = PCA(0.8, svd_solver="full").fit_transform(FEATURES)
    table /= table.std()
    mixture = GaussianMixture(15, covariance_type="diag", reg_covar=1e-3, random_state=0)
    given = mixture.fit(table).predict_proba(table)
    sums = np.array([[given[one == LABELS, place].sum() for place in range(15)] for one in range(3)])
    answers = [
        sum(sums[label, place] / sums[:, place].sum() * row[place] for place in range(15))
        for label, row in zip(LABELS, given, strict=True)
    ]
    assert scores.n_leep(FEATURES, LABELS) == pytest.approx(np.mean(np.log(answers)), abs=1e-6)


def test_nce_is_a_conditional_entropy() -> None:
    source, labels = DICE.integers(0, 4, 200), DICE.integers(0, 3, 200)
    joint = np.histogram2d(source, labels, bins=[4, 3])[0] / 200
    assert scores.nce(source, labels) == pytest.approx(-(entropy(joint.ravel()) - entropy(joint.sum(1))))


def test_neighbours_come_from_other_folds() -> None:
    folds = [np.arange(60) % 3 == number for number in range(3)]
    unit = FEATURES / np.linalg.norm(FEATURES, axis=1, keepdims=True)
    wanted = [
        (KNeighborsClassifier(5).fit(unit[~held], LABELS[~held]).predict(unit[held]) == LABELS[held]).mean()
        for held in folds
    ]
    assert scores.nearest(FEATURES, LABELS, folds, is_number=False) == pytest.approx(np.mean(wanted))
    assert scores.nearest(FEATURES, NUMBERS[:, 0], folds, is_number=True) > 0.2


@pytest.mark.parametrize("name", BY_LABEL)
def test_rotated_features_score_the_same(name: str) -> None:
    assert BY_LABEL[name](ROTATED, LABELS) == pytest.approx(BY_LABEL[name](FEATURES, LABELS), abs=1e-6)


@pytest.mark.parametrize("name", ["h_score", "transrate", "gbc", "n_leep"])
def test_moved_features_score_the_same(name: str) -> None:
    assert BY_LABEL[name](FEATURES + 3.0, LABELS) == pytest.approx(BY_LABEL[name](FEATURES, LABELS), abs=1e-6)


@pytest.mark.parametrize("name", BY_LABEL)
def test_features_that_know_the_labels_score_higher_than_shuffled_ones(name: str) -> None:
    shuffled = np.random.default_rng(1).permutation(LABELS)
    assert BY_LABEL[name](FEATURES, LABELS) > BY_LABEL[name](FEATURES, shuffled)


@pytest.mark.parametrize("name", BY_LABEL)
@pytest.mark.parametrize(
    "features",
    [
        np.ones((12, 5)),
        np.zeros((12, 5)),
        np.repeat(DICE.normal(size=(3, 5)), 4, axis=0),
        DICE.normal(size=(12, 400)).astype(np.float32),
        1e6 + DICE.normal(size=(12, 5)),
        np.hstack([DICE.normal(size=(12, 1))] * 5),
        np.repeat(DICE.normal(size=(2, 5)), 6, axis=0),
    ],
    ids=["constant", "zero", "copies", "wide", "far away", "one direction", "two rows"],
)
@pytest.mark.parametrize("labels", [np.arange(12) % 3, np.arange(12), np.arange(12) // 11], ids=["3", "12", "11:1"])
def test_degenerate_features_have_a_finite_score(name: str, features: np.ndarray, labels: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert math.isfinite(BY_LABEL[name](features, labels))


@pytest.mark.parametrize("name", scores.SCORES)
def test_of_a_handful_of_examples_a_score_is_finite_and_within_its_bounds(name: str) -> None:
    task, folds = Task("y", "classification", ("a", "b")), [np.arange(6) % 2 == place for place in range(2)]
    for features in (DICE.normal(size=(6, 5)), np.repeat(np.eye(2), 3, axis=0)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = scores.score_with_interval(name, features, np.arange(6) // 3, task, folds, None, np.arange(6))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        lowest, highest = scores.BOUNDS.get(name, (-math.inf, math.inf))
        assert lowest <= found.low <= found.value <= found.high <= highest
