from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.stats import multivariate_normal
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import headstart as hs
from headstart.backbones.classical import Vocabulary
from headstart.errors import OptionError
from headstart.heads import MANY, Parts, as_met, chunks, fit_head, imbalance, logistic
from headstart.heads.chunks import Standardised
from headstart.heads.closed import SHRINKAGE
from headstart.strategies import probe
from headstart.strategies.probe import Probe, Trial, fit_probe
from headstart.tasks import Task

NOISE = np.random.default_rng(0)
FEATURES = NOISE.normal(size=(90, 6)).astype(np.float32) * [1, 5, 0.1, 1, 1, 0] + 3
TRUTH = (FEATURES[:, 0] + FEATURES[:, 1] / 5 + NOISE.normal(size=90) > 4.2).astype(int) + (FEATURES[:, 3] > 4)
TASK = Task("y", "classification", ("a", "b", "c"))


def test_a_head_is_logistic_regression_on_standardised_features() -> None:
    task = Task("y", "classification", tuple(str(label) for label in np.unique(TRUTH)))
    head = fit_head(FEATURES, TRUTH, task, 0.5, tolerance=1e-8)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, tol=1e-8, max_iter=2000)).fit(FEATURES, TRUTH)
    assert task.outputs(head.logits(FEATURES)) == pytest.approx(model.predict_proba(FEATURES), abs=1e-4)


def test_two_classes_give_the_same_probabilities_as_scikit_learn() -> None:
    task, truth = Task("y", "classification", ("a", "b")), (TRUTH > 0).astype(int)
    head = fit_head(FEATURES, truth, task, 2.0, balanced=True, tolerance=1e-8)
    rival = LogisticRegression(C=2.0, tol=1e-8, max_iter=2000, class_weight="balanced")
    model = make_pipeline(StandardScaler(), rival).fit(FEATURES, truth)
    assert task.outputs(head.logits(FEATURES)) == pytest.approx(model.predict_proba(FEATURES), abs=1e-4)


def test_numbers_are_fitted_in_closed_form() -> None:
    target = FEATURES @ np.arange(6) + 2
    head = fit_head(FEATURES, target, Task("y", "regression"), 1e8)
    assert head.logits(FEATURES)[:, 0] == pytest.approx(target, rel=1e-3)
    scaled = (FEATURES - FEATURES.mean(0)) / np.where(FEATURES.std(0) > 1e-6, FEATURES.std(0), 1)
    weight = np.linalg.solve(scaled.T @ scaled + 10 * np.eye(6), scaled.T @ (target - target.mean()))
    ridge = fit_head(FEATURES, target, Task("y", "regression"), 0.1)
    assert ridge.logits(FEATURES)[:, 0] == pytest.approx(scaled @ weight + target.mean(), rel=1e-3)


def test_a_class_without_examples_is_never_the_answer() -> None:
    task = Task("y", "classification", ("a", "b", "c", "d"))
    outputs = task.outputs(fit_head(FEATURES, TRUTH, task, 1.0).logits(FEATURES))
    assert outputs[:, 3].max() < 1e-6
    alone = task.outputs(fit_head(FEATURES, np.ones(90, dtype=int), task, 1.0).logits(FEATURES))
    assert (alone.argmax(1) == 1).all()


def test_label_sets_with_a_constant_label() -> None:
    truth = np.stack([TRUTH > 0, np.ones(90), np.zeros(90)], 1).astype(int)
    outputs = TASK.outputs(fit_head(FEATURES, truth, Task("y", "multilabel", ("a", "b", "c")), 1.0).logits(FEATURES))
    assert outputs.shape == (90, 3)
    several = Task("y", "multilabel", ("a", "b", "c"))
    outputs = several.outputs(fit_head(FEATURES, truth, several, 1.0).logits(FEATURES))
    assert outputs[:, 1].min() > 0.99
    assert outputs[:, 2].max() < 0.01


def test_sparse_features_are_taken_as_they_are() -> None:
    dense = np.abs(FEATURES)
    task = Task("y", "classification", tuple(str(label) for label in np.unique(TRUTH)))
    head = fit_head(csr_array(dense), TRUTH, task, 1.0, tolerance=1e-8)
    model = LogisticRegression(C=1.0, tol=1e-8, max_iter=5000).fit(dense, TRUTH)
    assert task.outputs(head.logits(csr_array(dense))) == pytest.approx(model.predict_proba(dense), abs=1e-2)


def test_few_sparse_rows_in_many_dimensions_give_the_same_heads_in_what_they_span() -> None:
    """Two rows stand twice and one is empty; a part holds neither some rows nor one of the classes."""
    dice = np.random.default_rng(0)
    rows = np.where(dice.random((60, 400)) < 0.05, dice.random((60, 400)), 0)
    rows[1], rows[3], rows[5] = rows[0], rows[2], 0
    truth, task = np.arange(60) % 3, Task("y", "classification", ("a", "b", "c"))
    parts = [np.ones(60, dtype=bool), (truth != 2) & (np.arange(60) > 10)]
    whole, part = Parts(csr_array(rows), truth, task, parts).heads(10.0, tolerance=1e-8)
    model = LogisticRegression(C=10.0, tol=1e-8, max_iter=5000).fit(rows, truth)
    new = csr_array(np.where(dice.random((20, 400)) < 0.05, 1.0, 0))
    assert task.outputs(whole.logits(new)) == pytest.approx(model.predict_proba(new), abs=1e-4)
    assert whole.weight.shape == (3, 400)
    model = LogisticRegression(C=10.0, tol=1e-8, max_iter=5000).fit(rows[parts[1]], truth[parts[1]])
    assert task.outputs(part.logits(new))[:, :2] == pytest.approx(model.predict_proba(new), abs=1e-4)


def many_classes() -> tuple[np.ndarray, np.ndarray, Task]:
    dice = np.random.default_rng(0)
    truth = np.repeat(np.arange(MANY), 4)
    features = dice.normal(size=(MANY, 12))[truth] * 2 + dice.normal(size=(len(truth), 12))
    return features, truth, Task("y", "classification", tuple(f"{place:03}" for place in range(MANY + 1)))


def test_many_classes_are_normal_distributions_of_one_covariance() -> None:
    features, truth, task = many_classes()
    strength = 0.01
    outputs = task.outputs(fit_head(features, truth, task, strength).logits(features))
    scaled = StandardScaler().fit_transform(features)
    means = np.stack([scaled[truth == place].mean(0) for place in range(MANY)])
    pooled = sum((row := (scaled - means[truth])[[n]]).T @ row for n in range(len(truth))) / (len(truth) - MANY)
    kept = 1 / (1 + SHRINKAGE * strength)
    shrunk = (1 - kept) * pooled + kept * np.eye(12)
    densities = np.stack([multivariate_normal(mean, shrunk).logpdf(scaled) for mean in means], 1)
    expected = np.exp(densities) / np.exp(densities).sum(1, keepdims=True)
    assert outputs[:, :MANY] == pytest.approx(expected, abs=1e-5)
    assert (outputs[:, MANY] < 1e-9).all()


def test_many_classes_of_words_are_naive_bayes() -> None:
    features, truth, task = many_classes()
    counts = csr_array(np.maximum(features, 0))
    head = fit_head(counts, truth, task, 2.0)
    model = MultinomialNB(alpha=0.5).fit(counts, truth)
    assert task.outputs(head.logits(counts))[:, :MANY] == pytest.approx(model.predict_proba(counts), abs=1e-5)


def test_imbalance_is_a_ratio() -> None:
    assert imbalance(np.array([0] * 30 + [1] * 10 + [-1] * 5)) == pytest.approx(3)


def skewed(rare: int, n: int = 200) -> tuple[hs.Dataset, np.ndarray]:
    labels = ["rare"] * rare + ["common"] * (n - rare)
    data = hs.read([(f"text number {n} {n * 7919}", label) for n, label in enumerate(labels)])
    noise = np.random.default_rng(1).normal(size=(n, 4)).astype(np.float32)
    noise[:rare, 0] += 1.2
    return data, noise


def test_class_weights_are_used_where_they_help_and_that_is_said() -> None:
    data, features = skewed(rare=60, n=600)
    fitted = fit_probe(Probe(), features, data, None, data.task)
    assert fitted.balanced
    assert "classes are weighed alike" in fitted.notes[0]
    even, features = skewed(rare=100)
    assert not fit_probe(Probe(), features, even, None, even.task).balanced


def test_without_features_a_head_says_the_shares_of_the_classes() -> None:
    task, truth = Task("y", "classification", ("a", "b")), np.arange(40) % 4 == 0
    head = fit_head(np.zeros((40, 0), dtype=np.float32), truth.astype(int), task, 1.0)
    assert task.outputs(head.logits(np.zeros((1, 0), dtype=np.float32)))[0] == pytest.approx([0.75, 0.25], abs=1e-3)


def test_a_clear_rise_of_the_loss_ends_the_search_for_a_penalty(monkeypatch: pytest.MonkeyPatch) -> None:
    data, features = skewed(rare=100)
    losses = {1e-3: 0.7, 1e-2: 0.6, 1e-1: 0.65, 1.0: 0.64, 10.0: 0.71, 100.0: 0.5}
    none = Trial.none(data.task.encode(data.values))
    monkeypatch.setattr(probe, "_try", lambda _question, strength, **_: replace(none, loss=losses[strength]))
    fitted = fit_probe(Probe(strengths=tuple(losses)), features, data, None, data.task)
    assert list(fitted.losses) == [1e-3, 1e-2, 1e-1, 1.0, 10.0], "the first rise is too small to end it, the second not"
    assert fitted.strength == 1e-2


def test_a_head_is_the_same_whatever_it_is_found_from() -> None:
    data, features = skewed(rare=100)
    truth, parts = data.task.encode(data.values), [np.arange(200) % 5 != k for k in range(5)]
    along = Parts(features, truth, data.task, parts)
    for strength in (1e-3, 1e-1, 10.0):
        alone = Parts(features, truth, data.task, parts).heads(strength, tolerance=1e-6)
        for one, other in zip(along.heads(strength, tolerance=1e-6), alone, strict=True):
            assert np.abs(one.logits(features) - other.logits(features)).max() < 1e-4


@pytest.mark.parametrize("d", [20, 600])
def test_levelled_coordinates_lead_to_the_same_head_in_fewer_evaluations(
    d: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = np.random.default_rng(0)
    steep = 10.0 ** np.linspace(0, -2, d)
    features = (dice.normal(size=(300, d)) * steep @ np.linalg.qr(dice.normal(size=(d, d)))[0]).astype(np.float32)
    truth = (features[:, :3] / features[:, :3].std(0)).argmax(1)
    task = Task("label", "classification", ("a", "b", "c"))
    counts = []
    evaluated = logistic.Problem.evaluated
    monkeypatch.setattr(logistic.Problem, "evaluated", lambda self, *given: counts.append(1) or evaluated(self, *given))
    head = fit_head(features, truth, task, 10.0, tolerance=1e-5)
    levelled = len(counts)
    monkeypatch.setattr(Standardised, "products", None)
    other = fit_head(features, truth, task, 10.0, tolerance=1e-5)
    if d > chunks.FEW:
        assert np.array_equal(head.weight, other.weight), "so many features are taken as they are"
    else:
        assert levelled < 0.75 * (len(counts) - levelled)
        assert np.abs(task.outputs(head.logits(features)) - task.outputs(other.logits(features))).max() < 5e-3


def test_a_validation_set_is_what_the_penalty_is_chosen_on() -> None:
    data, features = skewed(rare=100)
    held = np.arange(200) % 4 == 0
    fitted = fit_probe(Probe(strengths=(1e-3, 1.0)), features, data, held, data.task)
    assert fitted.chosen_on == "the validation set"
    truth = data.task.encode(data.values)
    losses, part = {}, Parts(features, truth, data.task, [~held])
    for strength in (1e-3, 1.0):
        head = part.heads(strength, tolerance=1e-3)[0]
        outputs = data.task.outputs(head.logits(features[held]))
        losses[strength] = -np.log(outputs[np.arange(50), truth[held]]).mean()
    assert fitted.losses == pytest.approx(losses, rel=1e-6)
    assert fitted.strength == min(losses, key=losses.__getitem__)


@pytest.mark.parametrize("wrong", [{"strengths": (0.0,)}, {"folds": 1}, {"class_weight": "heavy"}, {"strengths": ()}])
def test_a_wrong_probe_fails_when_it_is_made(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        Probe(**wrong)  # type: ignore[arg-type]


def test_two_examples_in_all_are_learned_without_a_choice() -> None:
    data = hs.read([("a fine film", "good"), ("a dull film", "bad")])
    model = hs.adapt(data, backbone="wordllama")
    assert model.record["chosen_on"] == "nothing: too few examples"
    assert [answer.label for answer in model.predict(["a fine film", "a dull film"])] == ["good", "bad"]


def test_a_group_that_cannot_be_separated_leaves_no_choice() -> None:
    rows = [{"text": f"text {n} of {n * 7919}", "label": "ab"[n % 2], "who": "one"} for n in range(12)]
    model = hs.adapt(hs.read(rows, group="who"), backbone="wordllama")
    assert model.record["chosen_on"] == "nothing: too few examples"


def test_a_word_that_no_fitted_text_holds_changes_nothing() -> None:
    """The vocabulary is that of all texts: a head is asked of texts some of whose words it never met."""
    texts = ["good film", "bad film", "good play", "good film zyx qrs", "good film"]
    features = Vocabulary.of(texts).counted(texts)
    fitted = np.array([True, True, True, False, False])
    met = as_met(features, ~fitted, fitted).toarray()
    np.testing.assert_allclose(met[0], met[1])
    np.testing.assert_allclose(np.linalg.norm(met, axis=1), 1.0)
    dense = features.toarray()
    np.testing.assert_array_equal(as_met(dense, ~fitted, fitted), dense[~fitted])
