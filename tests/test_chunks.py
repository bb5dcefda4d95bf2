"""Heads on features of any size: the same solution as scikit-learn's, and no copy of what is mapped from a file."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import headstart as hs
from headstart.heads import MANY, LinearHead, Parts, chunks, fit_head, linear
from headstart.strategies import probe as probes
from headstart.strategies.probe import Probe, fit_probe
from headstart.tasks import UNKNOWN, Task

TIGHT = 1e-7
THREE = Task("y", "classification", ("a", "b", "c"))
KINDS = {
    "two": Task("y", "classification", ("a", "b")),
    "three": THREE,
    "many": Task("y", "classification", tuple(f"{place:03}" for place in range(MANY))),
    "labels": Task("y", "multilabel", ("a", "b", "c")),
    "numbers": Task("y", "regression"),
}


def made(kind: str, n: int = 400, d: int = 30) -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.default_rng(0)
    features = (dice.normal(size=(n, d)) @ dice.normal(size=(d, d)) + 5).astype(np.float32)
    scores = features[:, :3] + 3 * dice.normal(size=(n, 3)) - 5
    truths = {
        "two": (scores[:, 0] > 0).astype(int),
        "three": scores.argmax(1),
        "many": np.arange(n) % MANY,
        "labels": (scores > 0).astype(int),
        "numbers": scores[:, 0],
    }
    return features, truths[kind]


@pytest.fixture
def in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 1000)
    for module in (chunks, linear):
        monkeypatch.setattr(module, "KEPT", 5000)


@pytest.mark.parametrize("strength", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("kind", ["two", "three"])
@pytest.mark.parametrize("shape", [(400, 30), (60, 200)])
def test_probabilities_are_those_of_scikit_learn(kind: str, strength: float, shape: tuple[int, int]) -> None:
    features, truth = made(kind, *shape)
    head = fit_head(features, truth, KINDS[kind], strength, tolerance=TIGHT)
    rival = LogisticRegression(C=strength, tol=1e-9, max_iter=5000)
    model = make_pipeline(StandardScaler(), rival).fit(features.astype(np.float64), truth)
    assert KINDS[kind].outputs(head.logits(features)) == pytest.approx(model.predict_proba(features), abs=1e-3)


def test_numbers_are_those_of_scikit_learn() -> None:
    features, truth = made("numbers")
    head = fit_head(features, truth, KINDS["numbers"], 0.1)
    model = make_pipeline(StandardScaler(), Ridge(alpha=10)).fit(features.astype(np.float64), truth)
    assert head.logits(features)[:, 0] == pytest.approx(model.predict(features), abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_in_chunks_or_not_the_head_is_the_same(kind: str, request: pytest.FixtureRequest) -> None:
    features, truth = made(kind)
    outputs = KINDS[kind].outputs(fit_head(features, truth, KINDS[kind], 0.01, tolerance=TIGHT).logits(features))
    request.getfixturevalue("in_chunks")
    head = fit_head(features, truth, KINDS[kind], 0.01, tolerance=TIGHT)
    assert KINDS[kind].outputs(head.logits(features)) == pytest.approx(outputs, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_what_a_slice_would_be(kind: str) -> None:
    features, truth = made(kind, 800)
    rows = np.arange(800) % 3 > 0
    head = fit_head(features, truth, KINDS[kind], 0.01, rows=rows)
    sliced = fit_head(features[rows], truth[rows], KINDS[kind], 0.01)
    by_place = fit_head(features, truth, KINDS[kind], 0.01, rows=np.flatnonzero(rows))
    assert (head.weight == sliced.weight).all()
    assert (head.weight == by_place.weight).all()


@pytest.mark.parametrize("kind", KINDS)
def test_parts_at_once_are_parts_alone(kind: str) -> None:
    features, truth = made(kind, 800)
    masks = [np.arange(800) % 4 != part for part in range(4)]
    together = Parts(features, truth, KINDS[kind], masks).heads(0.01, tolerance=TIGHT)
    for mask, head in zip(masks, together, strict=True):
        alone = fit_head(features[mask], truth[mask], KINDS[kind], 0.01, tolerance=TIGHT)
        outputs = KINDS[kind].outputs(head.logits(features))
        assert outputs == pytest.approx(KINDS[kind].outputs(alone.logits(features)), abs=1e-3)


def test_the_same_question_has_the_same_bits() -> None:
    features, truth = made("three")
    first = fit_head(features, truth, THREE, 0.1)
    fit_head(features[:, ::-1], truth, THREE, 1.0)
    again = fit_head(features, truth, THREE, 0.1)
    assert (first.weight == again.weight).all()
    assert (first.bias == again.bias).all()


def test_degenerate_features_are_no_trouble() -> None:
    features, truth = made("three")
    spoilt = np.concatenate(
        [features, features[:, :5], np.full((400, 1), 1e4), np.zeros((400, 1))], 1, dtype=np.float32
    )
    held = np.arange(400) % 5 == 0
    spoilt[~held, -1] = 7.0
    head = fit_head(spoilt, truth, THREE, 0.1, rows=~held)
    assert np.isfinite(head.logits(spoilt)).all()
    assert head.weight[:, -2:] == pytest.approx(0.0)
    constant = np.full((400, 3), 2.5, dtype=np.float32)
    shares = np.bincount(truth) / 400
    assert THREE.outputs(fit_head(constant, truth, THREE, 1.0).logits(constant))[0] == pytest.approx(shares, abs=1e-3)


def test_what_is_constant_in_a_part_only_is_not_blown_up() -> None:
    features, truth = made("three")
    held = np.arange(400) % 5 == 0
    features[~held, 4] = 7.0
    fits = Parts(features, truth, THREE, [~held, held])
    head = fits.heads(0.1, tolerance=TIGHT)[0]
    assert np.abs(head.logits(features)).max() < 100
    assert head.weight[:, 4] == pytest.approx(0.0, abs=1e-3)


def test_folds_that_lack_a_class_never_answer_it() -> None:
    features, truth = made("three")
    masks = [truth != 2, truth != 1, truth == 0, np.ones(400, dtype=bool)]
    found = Parts(features, truth, THREE, masks).heads(0.1, tolerance=TIGHT)
    outputs = [THREE.outputs(head.logits(features)) for head in found]
    assert outputs[0][:, 2].max() < 1e-3 and outputs[1][:, 1].max() < 1e-3  # noqa: PT018
    assert (outputs[2].argmax(1) == 0).all()
    two = LogisticRegression(C=0.1, tol=1e-9, max_iter=5000)
    model = make_pipeline(StandardScaler(), two).fit(features[masks[0]], truth[masks[0]])
    assert outputs[0][masks[0], 1] == pytest.approx(model.predict_proba(features[masks[0]])[:, 1], abs=1e-3)


def test_fewer_examples_than_classes_and_unknown_labels() -> None:
    task = Task("y", "classification", tuple("abcdefgh"))
    features, truth = made("three", 5)
    head = fit_head(features, truth, task, 1.0)
    assert head.weight.shape == (8, 30)
    features, truth = made("three")
    unknown = np.arange(400) % 4 == 0
    marked = np.where(unknown, UNKNOWN, truth)
    assert np.isfinite(fit_head(features, marked, THREE, 0.1).weight).all()


def test_logits_of_many_rows_are_the_product() -> None:
    features, _ = made("three", 300)
    head = LinearHead(np.ones((4, 30), dtype=np.float32), np.arange(4, dtype=np.float32))
    assert head.logits(features) == pytest.approx(features @ head.weight.T + head.bias, rel=1e-4)


def grouped(n: int) -> hs.Dataset:
    rows = [{"text": f"text {k} of {k * 7919}", "label": "ab"[k // 3 % 2], "who": f"g{k // 3}"} for k in range(n)]
    return hs.read(rows, group="who", target="label")


def test_a_sample_for_choosing_keeps_groups_and_classes_and_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "CHOSEN_ON", 120)
    data = grouped(300)
    features = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    fitted = fit_probe(Probe(), features, data, None, data.task)
    groups = np.array(data.groups)
    assert not set(groups[fitted.seen]) & set(groups[~fitted.seen])
    assert 100 <= fitted.seen.sum() <= 140
    labels = np.array(data.values)[fitted.seen]
    assert abs((labels == "a").mean() - 0.5) < 0.15
    assert fitted.outputs.shape == (300, 2)
    assert f"chosen on {fitted.seen.sum()} of 300 examples" in fitted.notes[-1]
    held = np.arange(300) >= 270
    given = fit_probe(Probe(), features, data, held, data.task)
    assert (given.seen[held]).all()


MAPPED = """
import sys, threading, time
from pathlib import Path
import numpy as np
from headstart.heads import fit_head
from headstart.tasks import Task

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024

kind, path = sys.argv[1:]
features = np.memmap(path, dtype=np.float32, mode="r", shape=(300_000, 256))
dice = np.random.default_rng(0)
tasks = {
    "classification": (Task("y", "classification", ("a", "b", "c")), dice.integers(0, 3, 300_000)),
    "multilabel": (Task("y", "multilabel", ("a", "b")), dice.integers(0, 2, (300_000, 2))),
    "regression": (Task("y", "regression"), dice.normal(size=300_000)),
}
task, truth = tasks[kind]
fit_head(features[:1000], truth[:1000], task, 1e-4)
before, peaks, over = anonymous(), [], threading.Event()
def watch():
    while not over.wait(0.005):
        peaks.append(anonymous())
watcher = threading.Thread(target=watch)
watcher.start()
fit_head(features, truth, task, 1e-4, rows=np.arange(300_000) % 10 > 0, tolerance=1e-2).logits(features)
over.set()
watcher.join()
print(max(peaks) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_mapped_features_are_never_copied_whole(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "mapped"
    if not path.exists():
        features = np.memmap(path, dtype=np.float32, mode="w+", shape=(300_000, 256))
        features[:] = np.random.default_rng(0).normal(size=256).astype(np.float32)
        features[::3] += 1
    small = MAPPED.replace("from headstart.heads import fit_head", "from headstart.heads import chunks, linear")
    small = small.replace(
        "from headstart.tasks",
        "chunks.KEPT = linear.KEPT = 2**21\nchunks.CHUNK = 2**18\nfit_head = linear.fit_head\nfrom headstart.tasks",
    )
    done = subprocess.run([sys.executable, "-c", small, kind, str(path)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 150  # the features are 293 MB
