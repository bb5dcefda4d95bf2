"""Several targets: read together, taught together, un-shared where that does harm, and answered together."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch

import headstart as hs
from headstart.adaptation import adapt_to
from headstart.arms import Arm
from headstart.checkpoints import Checkpoints
from headstart.data.pooling import pooled, read_sets
from headstart.data.reading import NO_GROUP
from headstart.errors import DataError, OptionError
from headstart.ground import Ground, begin
from headstart.learning.losses import Target, Targets
from headstart.model import Prediction
from headstart.multitask import side_by_side
from headstart.paired import difference_of_shares
from headstart.progress import silent
from headstart.sharing import held_beside, learn_together, without_hermits
from headstart.strategies import Majority
from headstart.tasks import Several, Task
from headstart.telling import why_chosen
from headstart.together import file_words
from tests import tiny

LEARN = hs.Schedule(epochs=3, rate=1e-3, head_rate=5e-3, batch_size=8)
MOODS = {"good": ["lovely", "warm", "funny", "bright"], "bad": ["dreadful", "cold", "dull", "dark"]}
ANIMALS = {"cat": ["cat", "kitten", "purr"], "dog": ["dog", "puppy", "bark"]}


def records(n: int = 90, *, seed: int = 0) -> list[dict[str, Any]]:
    """Texts with a mood, an animal (every third lacks one) and a number."""
    dice = random.Random(seed)
    rows = []
    for place in range(n):
        mood, animal = dice.choice(list(MOODS)), dice.choice(list(ANIMALS))
        words = [dice.choice(MOODS[mood]), dice.choice(ANIMALS[animal]), f"number {place}"]
        dice.shuffle(words)
        row = {"text": " ".join(words), "mood": mood, "animal": None if place % 3 == 0 else animal}
        rows.append({**row, "size": 10.0 * (mood == "good") + dice.random()})
    return rows


def test_every_target_keeps_the_examples_that_have_it() -> None:
    data = hs.read(records(), target=["mood", "animal", "size"])
    assert [(one.target, one.kind) for one in data.tasks] == [
        ("mood", "classification"),
        ("animal", "classification"),
        ("size", "regression"),
    ]
    mood, animal, _ = (data.only(task) for task in data.tasks)
    assert (len(mood), len(animal)) == (90, 60)
    assert set(animal.values) == {"cat", "dog"}
    assert "30 examples without a usable 'animal'" in data.findings[0].text


def test_what_is_tested_for_one_target_is_learned_from_for_none() -> None:
    data = hs.read(records(), target=["mood", "animal"])
    train, _, tested, _ = data.three_sets()
    learned = {content for task in data.tasks for content in train.only(task).contents}
    assert not learned & {content for task in data.tasks for content in tested.only(task).contents}
    assert len(train) + len(tested) == len(data)


def test_a_kind_stands_beside_its_target() -> None:
    rows = [{**row, "stars": place % 5} for place, row in enumerate(records())]
    kinds = [task.kind for task in hs.read(rows, target=["mood", "stars:regression"]).tasks]
    assert kinds == ["classification", "regression"]
    with pytest.raises(OptionError, match="belongs to one target"):
        hs.read(rows, target=["mood", "stars"], task="regression")
    with pytest.raises(OptionError, match="named twice"):
        hs.read(rows, target=["mood", "mood"])
    with pytest.raises(OptionError, match="no column 'moood'"):
        hs.read(rows, target=["mood", "moood"])
    with pytest.raises(OptionError, match="there are several targets"):
        hs.fit(rows, target=["mood", "stars"])


@pytest.fixture
def several() -> tuple[Several, np.ndarray, np.ndarray]:
    task = Several((Task("a", "classification", ("x", "y", "z")), Task("b", "regression"), tags()))
    values: dict[str, Any] = {
        "a": ("x", None, "z", "y"),
        "b": (1.0, 2.0, None, 4.0),
        "c": (("p",), ("p", "q"), (), None),
    }
    logits = np.random.default_rng(0).normal(size=(4, task.n_outputs)).astype(np.float32)
    return task, task.encode(values), logits


def tags() -> Task:
    return Task("c", "multilabel", ("p", "q"))


def test_the_loss_of_several_targets_is_the_sum_of_theirs_where_they_are_known(
    several: tuple[Several, np.ndarray, np.ndarray],
) -> None:
    task, truth, logits = several
    target = Targets.of(task, truth, balanced=[False] * 3)
    rows = target.loss(torch.from_numpy(logits), target.scaled(truth)).sum(1)
    total = 0.0
    for place, (part, span) in enumerate(zip(task.parts, task.spans, strict=True)):
        known, own = task.of(truth, place)
        alone = Target.of(part, own)
        losses = alone.loss(torch.from_numpy(logits[known][:, span]), alone.scaled(own))
        total += target.weights[place] * float(losses.sum())
    assert float(rows.sum()) == pytest.approx(total, rel=1e-6)
    assert target.weights == pytest.approx((np.sqrt(4 / 3),) * 3)


def test_what_an_example_lacks_pushes_nothing(several: tuple[Several, np.ndarray, np.ndarray]) -> None:
    task, truth, logits = several
    target = Targets.of(task, truth, balanced=[False] * 3)
    given = torch.from_numpy(logits).requires_grad_()
    target.loss(given, target.scaled(truth)).sum().backward()
    assert given.grad is not None
    for place, span in enumerate(task.spans):
        has = task.of(truth, place)[0]
        pushed = given.grad[:, span].abs().sum(1) > 0
        assert pushed.tolist() == has.tolist()


def test_outputs_of_several_targets_are_those_of_each(several: tuple[Several, np.ndarray, np.ndarray]) -> None:
    task, truth, logits = several
    target = Targets.of(task, truth, balanced=[False] * 3)
    outputs = target.outputs(logits)
    for place, (part, span) in enumerate(zip(task.parts, task.spans, strict=True)):
        alone = Target.of(part, task.of(truth, place)[1])
        assert task.outputs_of(outputs, place) == pytest.approx(alone.outputs(logits[:, span]))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> hs.MultiTaskResult:
    arms = [hs.Probe(), hs.FineTune(cut=0, schedule=LEARN)]
    out = tmp_path_factory.mktemp("together") / "m.headstart"
    backbone = tiny.text_backbone()
    return hs.fit_together(records(), target=["mood", "animal", "size"], backbone=backbone, strategy=arms, out=out)


def test_frozen_stages_run_one_way_for_all_targets() -> None:
    """Otherwise a network they share would be run once for each: of few examples another way is the fastest."""
    sets = {"few": hs.read(records(40), target="mood"), "many": hs.read(records(90, seed=1), target="mood")}
    made = hs.fit_together(sets, backbone=tiny.text_backbone(), strategy=[hs.Majority(), hs.Probe()])
    assert len({one.execution for one in made.model.models}) == 1


def test_every_target_has_its_result_and_says_what_sharing_was_worth(result: hs.MultiTaskResult) -> None:
    assert list(result.targets) == ["mood", "animal", "size"]
    assert result.together.strategy is not None
    assert set(result.together.targets) == {"mood", "animal", "size"}
    assert result.sharing.keys() == {target for target, one in result.together.targets.items() if one.stays}
    for target in result.targets:
        assert ("together" if target in result.sharing else "by") in result.told(target)
        assert result.reports[target].is_file()
    assert result.report is not None
    page = result.report.read_text()
    assert all(f'href="{one.name}"' in page for one in result.reports.values())
    assert 'href="http' not in page
    assert 'src="http' not in page
    assert "share a network" in result.proposed or "stand apart" in result.proposed
    assert result.targets["mood"].n["test"] + result.targets["mood"].n["train"] == 90
    assert result.as_dict()["schema"] == "headstart.fit_several/1"
    assert not list(result.path.parent.glob(".*unfinished")) if result.path else False


def test_a_saved_model_answers_all_targets_as_before(result: hs.MultiTaskResult) -> None:
    assert result.path is not None
    loaded = hs.load(result.path)
    assert isinstance(loaded, hs.MultiTaskModel)
    texts = ["a lovely kitten, number 4", "dull bark"]
    before, after = result.model.outputs(texts), loaded.outputs(texts)
    assert all(np.array_equal(before[target], after[target]) for target in before)
    answer = loaded.predict(texts)[0].answer["targets"]
    assert set(answer) == {"mood", "animal", "size"}
    assert {"label", "probability"} <= set(answer["mood"])
    assert loaded.only("size").task.kind == "regression"
    with pytest.raises(OptionError, match="no target 'colour'"):
        loaded.only("colour")


def test_targets_that_share_a_network_run_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from headstart import multitask

    calls: list[int] = []
    own = multitask.features_of
    monkeypatch.setattr(multitask, "features_of", lambda *a, **k: calls.append(1) or own(*a, **k))
    arms = [hs.Probe()]
    together = hs.fit_together(records(), target=["mood", "size"], backbone=tiny.text_backbone(), strategy=arms).model
    calls.clear()
    assert len(together.shared) == 1
    together.outputs(["a lovely kitten"])
    assert len(calls) == 1


def test_two_data_sets_without_a_common_example_learn_on_one_network(tmp_path: Path) -> None:
    films, pets = tmp_path / "films.csv", tmp_path / "pets.csv"
    rows = records(120)
    films.write_text("text,label\n" + "".join(f"{r['text']},{r['mood']}\n" for r in rows[:60]))
    pets.write_text("text,label\n" + "".join(f"{r['text']},{r['animal']}\n" for r in rows[60:] if r["animal"]))
    sets = tmp_path / "sets.toml"
    sets.write_text('[film]\ndata = "films.csv"\n[pet]\ndata = "pets.csv"\ntarget = "label"\n')
    arms = [hs.Probe(), hs.FineTune(cut=0, schedule=LEARN)]
    result = hs.fit_together(sets, backbone=tiny.text_backbone(), strategy=arms)
    assert list(result.targets) == ["film", "pet"]
    assert result.targets["film"].n == {"train": 47, "validation": 0, "test": 13}
    sets.write_text('[film]\ndata = "films.csv"\n')
    with pytest.raises(DataError, match="names no data sets"):
        read_sets(sets)


def test_what_one_set_tests_no_other_learns_from() -> None:
    rows = [(row["text"], row["mood"]) for row in records(60)]
    one, other = hs.read(rows), hs.read([(text, "x" if place % 2 else "y") for place, (text, _) in enumerate(rows)])
    pool = pooled({"one": one, "other": other}, seed=1)
    train, _, tested, _ = pool.three_sets()
    assert not set(train.contents) & set(tested.contents)


def test_a_target_without_test_labels_is_one_sentence() -> None:
    rows = [{**row, "split": "train" if place < 60 else "test"} for place, row in enumerate(records())]
    rows = [{**row, "animal": row["animal"] if row["split"] == "train" else None} for row in rows]
    with pytest.raises(DataError, match="no example to be tested on has a 'animal'"):
        hs.fit_together(rows, target=["mood", "animal"], backbone="wordllama")


def test_a_target_that_is_added_to_a_frozen_network_leaves_the_others_to_the_bit(tmp_path: Path) -> None:
    data = hs.read(records(), target=["mood", "animal", "size"])
    mood, animal, size = (data.only(task) for task in data.tasks)
    model = hs.MultiTaskModel.of(hs.adapt(mood, backbone=tiny.text_backbone(), strategy=hs.Probe()))
    texts = [str(text) for text in data.inputs[:20]]
    before = model.outputs(texts)
    for more in (animal, size):
        model = model.joined_by(hs.adapt(more, backbone=model.backbone, strategy=hs.Probe()))
    assert len(model.shared) == 1
    loaded = hs.load(model.save(tmp_path / "m.headstart"))
    assert loaded.targets == ("mood", "animal", "size")
    assert np.array_equal(loaded.outputs(texts)["mood"], before["mood"])
    with pytest.raises(OptionError, match="answers 'mood' already"):
        model.joined_by(model.only("mood"))


STAGES = hs.FineTune(cut=1, schedule=hs.Schedule(epochs=4, rate=3e-4, head_rate=1e-3, batch_size=8))


def shared_before() -> tuple[hs.MultiTaskModel, hs.Dataset]:
    """A model of a mood and a number on a frozen network, and examples of an animal."""
    data = hs.read(records(240), target=["mood", "animal", "size"])
    mood, animal, size = (data.only(task) for task in data.tasks)
    model = hs.MultiTaskModel.of(hs.adapt(mood, backbone=tiny.text_backbone(), strategy=hs.Probe()))
    return model.joined_by(hs.adapt(size, backbone=model.backbone, strategy=hs.Probe())), animal


def test_stages_that_learn_a_target_more_are_taught_their_old_answers(tmp_path: Path) -> None:
    model, animal = shared_before()
    texts = [str(text) for text in animal.inputs[:30]]
    before = model.outputs(texts)
    whole, result = hs.add_target(model, animal, strategy=STAGES, out=tmp_path / "m.headstart")
    assert result.model.record["strategy"] == "finetune"
    assert len(whole.shared) == 1
    assert whole.targets == ("mood", "size", "animal")
    kept = whole.record["kept"]
    assert set(kept) == {"mood", "size"}
    assert all(0.9 <= share["value"] <= 1 for share in kept.values())
    after = hs.load(tmp_path / "m.headstart").outputs(texts)
    assert not np.array_equal(after["mood"], before["mood"])
    assert (after["mood"].argmax(1) == before["mood"].argmax(1)).mean() > 0.9


def test_a_target_that_would_change_old_answers_gets_a_network_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from headstart import remembering

    monkeypatch.setattr(remembering, "MOST_LOST", -0.1)
    model, animal = shared_before()
    texts = [str(text) for text in animal.inputs[:30]]
    before = model.outputs(texts)
    whole, result = hs.add_target(model, animal, strategy=STAGES)
    assert len(whole.shared) == 2
    assert any("network of its own" in note for note in result.notes)
    assert np.array_equal(whole.outputs(texts)["mood"], before["mood"])
    assert whole.record["kept"] == {}


def test_without_their_old_answers_more_is_forgotten() -> None:
    """What distillation is for: the same stages, taught the new target alone, change more of the old answers."""
    model, animal = shared_before()
    far = replace(STAGES, cut=0)
    texts = [str(text) for text in animal.inputs]
    old = model.only("mood")
    before = old.outputs(texts)
    whole, _ = hs.add_target(model, animal, strategy=far)
    alone = hs.adapt(animal, backbone=model.backbone, strategy=far)
    forgetful = replace(old, backbone=alone.backbone)
    off = [float(np.abs(one - before).mean()) for one in (whole.outputs(texts)["mood"], forgetful.outputs(texts))]
    assert off[0] < off[1] / 2


def test_the_loss_of_what_is_remembered_is_least_at_the_old_answers() -> None:
    part = Task("a", "classification", ("x", "y", "z"), is_remembered=True)
    task = Several((part, Task("b", "regression", is_remembered=True)))
    answers = {"a": ((0.2, 0.5, 0.3), (0.1, 0.1, 0.8)), "b": (1.0, 3.0)}
    truth = task.encode(answers)
    assert truth.shape == (2, 4)
    target = Targets.of(task, truth, balanced=[False, False])
    logits = torch.cat([torch.tensor(answers["a"]).log(), torch.tensor([[-1.0], [1.0]])], 1).requires_grad_()
    target.loss(logits, target.scaled(truth)).sum().backward()
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-6


def test_sources_are_ranked_for_all_targets_by_their_weights() -> None:
    backbones = [tiny.text_backbone(), tiny.text_backbone("distilbert", dim=32, n_layers=2, n_heads=4, hidden_dim=64)]
    asked: dict[str, Any] = {"target": ["mood", "animal", "size"], "backbones": backbones}
    found = hs.rank_together(records(), **asked)
    assert list(found.rankings) == ["mood", "animal", "size"]
    assert list(found.errors.values()) == sorted(found.errors.values())
    assert found.best.name == next(iter(found.errors))
    only = hs.rank_together(records(), weights={"mood": 1e9}, **asked)
    first = only.rankings["mood"].best.name
    assert only.best.name == first
    with pytest.raises(OptionError, match="no target 'colour'"):
        hs.rank_together(records(), weights={"colour": 2.0}, **asked)
    with pytest.raises(OptionError, match="is no weight"):
        hs.rank_together(records(), weights={"mood": 0.0}, **asked)
    result = hs.fit_together(records(), target=["mood", "size"], backbone=backbones, strategy=hs.Probe())
    assert result.model.backbone.name in {one.name for one in backbones}


def numbers(n: int, tested: int, *, seed: int, labels: int = 0) -> hs.Dataset:
    """Texts about a number, labelled odd or even; or with so many labels drawn at random."""
    dice, rows = random.Random(seed), []
    for place in range(n + tested):
        number = dice.randrange(100, 160)
        label = f"noise {dice.randrange(labels)}" if labels else ("odd" if number % 2 else "even")
        text = f"item {place} of {number} and {number}"
        rows.append({"text": text, "label": label, "split": "train" if place < n else "test"})
    return hs.read(rows, input="text", target="label")


HARD = hs.FineTune(cut=0, schedule=hs.Schedule(epochs=6, rate=3e-3, head_rate=5e-3, batch_size=8))


def test_a_small_target_gains_by_a_large_one_it_is_like() -> None:
    """Of 60 numbers 40 examples show a part; the large target shows all of them."""
    sets = {"many": numbers(400, 100, seed=1), "few": numbers(40, 150, seed=2)}
    result = hs.fit_together(sets, backbone=tiny.text_backbone(), strategy=[hs.Majority(), HARD])
    assert result.sharing["few"].word == "gains"
    assert result.sharing["few"].gain.low > 0
    assert "is taken: learned together it is" in why_chosen(result.targets["few"].model.record["arms"])
    assert "gains" in (result.report.read_text() if result.report else result.told("few"))


def test_a_target_that_noise_would_disturb_is_unshared() -> None:
    sets = {"own": numbers(120, 150, seed=1), "noise": numbers(400, 100, seed=3, labels=12)}
    result = hs.fit_together(sets, backbone=tiny.text_backbone(), strategy=[hs.Majority(), HARD])
    assert not result.together.targets["own"].stays
    assert "own" not in result.sharing
    assert result.kind_of("own") == "own"
    assert "learned together it was worse" in result.told("own")
    assert result.targets["own"].evaluation.metrics["accuracy"].value > 0.8


def test_what_not_every_target_was_considered_alone_with_is_not_shared() -> None:
    """What a target would gain by it might be the stages, not the company."""
    data, source = hs.read(records(), target=["mood", "animal"]).with_folds(3, seed=0), tiny.text_backbone()
    grounds = [begin(data.only(task), None, source, 0, Checkpoints(), silent) for task in data.tasks]
    asked = [[hs.Probe(), hs.FineTune(cut=2, schedule=LEARN)], [Majority(), hs.Probe()]]
    alone = {
        ground.task.target: adapt_to(ground, strategies) for ground, strategies in zip(grounds, asked, strict=True)
    }
    found = learn_together(Ground(source, data, None, 0, Checkpoints(), silent), alone, budget=60)
    assert "for every target alone" in found.why
    assert not found.targets


@pytest.mark.parametrize(("righter", "stays"), [(3, False), (12, True)])
def test_what_all_others_leave_stays_only_where_it_clearly_gains(righter: int, stays: bool) -> None:
    """Of 100 examples 3 more are right within two standard errors of chance, 12 more are not."""
    task, truth, seen = Task("one", "classification", ("a", "b")), np.zeros(100, dtype=int), np.ones(100, dtype=bool)
    alone = cast(
        Any,
        SimpleNamespace(
            ground=SimpleNamespace(truth=truth, task=task, units=None),
            choice=SimpleNamespace(arm=_right_in(60, seen), probe=SimpleNamespace(balanced=False)),
        ),
    )
    own = held_beside(_right_in(60 + righter, seen), alone)
    assert own.stays
    found = without_hermits(
        {"one": own, "other": held_beside(_right_in(50, seen), alone)}, {"one": alone, "other": alone}
    )
    assert found["one"].stays is stays
    assert not found["other"].stays


def test_what_is_right_less_often_does_not_stay_for_being_less_sure() -> None:
    """Alone 70 of 100 are right and what is wrong is sure of it; together 55, and none of them is sure."""
    seen = np.ones(100, dtype=bool)
    together = np.where((np.arange(100) < 55)[:, None], [0.58, 0.42], [0.42, 0.58])
    task, truth, own = Task("one", "classification", ("a", "b")), np.zeros(100, dtype=int), _right_in(70, seen)
    ground = SimpleNamespace(truth=truth, task=task, units=None)
    choice = SimpleNamespace(arm=own, probe=SimpleNamespace(balanced=False))
    alone = cast(Any, SimpleNamespace(ground=ground, choice=choice))
    assert "right less often" in held_beside(replace(own, outputs=together), alone).why
    assert held_beside(own, alone).stays


def _right_in(n: int, seen: np.ndarray) -> Arm:
    right = np.arange(len(seen)) < n
    return Arm("a", "a", "", np.where(right[:, None], [0.9, 0.1], [0.1, 0.9]), seen)


def test_half_of_the_labels_of_a_target_may_lack() -> None:
    rows = records(120)
    dice = random.Random(3)
    half = [{**row, "size": row["size"] if dice.random() < 0.5 else None} for row in rows]
    arms = [hs.Probe(), hs.FineTune(cut=0, schedule=LEARN)]
    result = hs.fit_together(half, target=["mood", "size"], backbone=tiny.text_backbone(), strategy=arms)
    assert result.targets["size"].n["train"] + result.targets["size"].n["test"] == sum(
        row["size"] is not None for row in half
    )
    data = hs.read(half, target=["mood", "size"])
    train, _, tested, _ = data.three_sets()
    assert not set(train.contents) & set(tested.contents)


def test_unfinished_work_of_other_folds_is_not_gone_on_with() -> None:
    data = hs.read(records(30), target=["mood", "animal"]).only(
        hs.read(records(30), target=["mood", "animal"]).tasks[0]
    )
    grounds = [
        Ground(tiny.text_backbone(), data.with_folds(3, seed=seed), None, 0, Checkpoints(), silent) for seed in (0, 1)
    ]
    asked, other = (ground.question(None, 60.0) for ground in grounds)
    assert asked != other
    assert asked == grounds[0].question(None, 60.0)


def test_what_has_no_group_in_two_sets_is_not_of_one_group() -> None:
    frames = [pd.DataFrame(records(40, seed=seed)).assign(patient=[None, *[f"p{seed}"] * 39]) for seed in (0, 1)]
    frames[1]["text"] = [f"Zug {place} nach Ulm von Gleis {7 * place}" for place in range(40)]
    sets = {str(n): hs.read(one, input="text", target="mood", group="patient") for n, one in enumerate(frames)}
    given = {name: replace(one, given=("train",) * 30 + ("test",) * 10) for name, one in sets.items()}
    groups = pooled(given).groups
    assert groups is not None
    assert {one for one in groups if NO_GROUP in one} == {"0: (row 1)", "1: (row 1)"}
    assert {"p0", "p1"} <= set(groups)


def test_groups_of_one_example_each_are_examples() -> None:
    dice = np.random.default_rng(0)
    one, other = dice.random(50) < 0.8, dice.random(50) < 0.6
    assert difference_of_shares(one, other, np.arange(50)) == difference_of_shares(one, other)


def test_long_and_like_names_of_targets_are_names_of_files() -> None:
    tasks = [Task(name, "regression") for name in ("a-2", "a", "a!", "о" * 300, "?")]
    words = file_words(tasks).values()
    assert len(set(words)) == 5
    assert max(len(word.encode()) for word in words) < 100


def test_a_file_of_data_sets_that_names_by_numbers_is_told(tmp_path: Path) -> None:
    for line in ("data = 5", 'data = "a.csv"\ntarget = 3', 'data = "a.csv"\ninput = [1]'):
        (tmp_path / "tasks.toml").write_text(f'[one]\n{line}\n[two]\ndata = "b.csv"\n')
        with pytest.raises(OptionError, match="is no name"):
            read_sets(tmp_path / "tasks.toml")
    with pytest.raises(DataError, match="no several data sets"):
        hs.fit_together({})


def test_where_one_part_of_a_model_cannot_read_a_table_no_row_is_answered() -> None:
    unread = [Prediction("t.csv", error="there is no input column")]
    read = [Prediction(str(n), {"targets": {"mood": {"value": 1.0}}}) for n in range(3)]
    assert [one.error for one in side_by_side([unread, read])] == ["there is no input column"] * 3
    assert side_by_side([read, read])[0].answer["targets"] == {"mood": {"value": 1.0}}


def test_what_has_no_meaning_for_several_data_sets_is_refused(tmp_path: Path) -> None:
    sets = {"one": hs.read(records(60), target="mood"), "other": hs.read(records(60, seed=1), target="animal")}
    with pytest.raises(OptionError, match="group has no meaning"):
        hs.fit_together(sets, group="text")
    file = tmp_path / "sets.toml"
    file.write_text('[a]\ndata = "a.csv"\n[b]\ndata = "b.csv"\n')
    with pytest.raises(OptionError, match="--group has no meaning"):
        hs.fit_together(file, group="patient")


def test_a_target_that_cannot_be_measured_is_said_before_anything_is_learned() -> None:
    rows = [{**row, "split": "train" if place < 60 else "test"} for place, row in enumerate(records())]
    lone = [
        {**row, "size": row["size"] if row["split"] == "train" or place == 60 else None}
        for place, row in enumerate(rows)
    ]
    with pytest.raises(DataError, match="'size' cannot be measured"):
        hs.fit_together(lone, target=["mood", "size"], backbone="wordllama")
