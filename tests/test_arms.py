"""Arms without transfer: fitted out of fold, saved, loaded and asked like any other model."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart import baselines
from headstart.adaptation import adapt_to
from headstart.arms import Arm, choose, is_hopeless
from headstart.baselines import classical, fit_without
from headstart.checkpoints import Checkpoints
from headstart.choosing import Choice, strongest_against
from headstart.comparison.foresight import Foresight
from headstart.comparison.luck import seconds_for
from headstart.ground import begin
from headstart.plan import Plan
from headstart.progress import silent
from headstart.strategies import Classical, FromScratch, Majority, Probe, contenders
from headstart.tasks import Task
from headstart.telling import arm_in_words, why_chosen
from tests import tiny

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


@pytest.fixture
def rows():
    return [(f"a {word} film {number}", word) for word in ("good", "bad") for number in WORDS]


def pictures(n=20):
    dice = np.random.default_rng(0)
    made = []
    for place in range(n):
        picture = dice.integers(0, 120, (40, 48, 3)).astype(np.uint8)
        picture[..., place % 2] += 100
        made.append((picture, ("red", "green")[place % 2]))
    return made


@pytest.mark.parametrize("strategy", [Majority(), Classical()])
@pytest.mark.parametrize("modality", ["text", "image"])
def test_a_model_without_transfer_is_saved_and_loaded_like_any_other(strategy, modality, rows, tmp_path):
    data = hs.read(rows if modality == "text" else pictures())
    model = hs.adapt(data, strategy=strategy, backbone="wordllama" if modality == "text" else None)
    assert model.record["strategy"] == strategy.name
    loaded = hs.load(model.save(tmp_path / "m.headstart"))
    asked = list(data.inputs[:5])
    assert np.array_equal(loaded.outputs(asked), model.outputs(asked))
    assert loaded.backbone.card.trained_on == "nothing"
    assert "pickle" not in json.dumps(model.record)


def test_a_model_without_transfer_is_no_source(rows, tmp_path):
    data = hs.read(rows)
    hs.adapt(data, strategy=Classical()).save(tmp_path / "m.headstart")
    for strategy in (Probe(), hs.FineTune(), hs.Refine()):
        with pytest.raises(hs.BackboneError, match="is no source"):
            hs.adapt(data, strategy=strategy, backbone=str(tmp_path / "m.headstart"))


@pytest.mark.parametrize("modality", ["text", "image"])
def test_the_saved_classical_model_answers_as_the_fitted_one(modality, rows):
    data = hs.read(rows if modality == "text" else pictures())
    backbone, fitted = fit_without(Classical(folds=3 if modality == "text" else 5), data, data.task)
    features = backbone.whole(backbone.prepare(data.inputs)).numpy()
    ours = data.task.outputs(fitted.head.logits(features))
    assert np.allclose(ours, classical(data, data, data.task), atol=1e-5)


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_the_commonest_answer_is_the_training_shares(kind):
    values = {
        "classification": ["a", "a", "a", "b"] * 3,
        "multilabel": [("a",), ("a", "b"), (), ("b",)] * 3,
        "regression": [1.0, 2.0, 3.0, 6.0] * 3,
    }[kind]
    shown = ["|".join(one) if isinstance(one, tuple) else one for one in values]
    frame = hs.read([(f"text {place}", value) for place, value in enumerate(shown)], task=kind)
    backbone, fitted = fit_without(Majority(), frame, frame.task)
    outputs = frame.task.outputs(fitted.head.logits(backbone.whole(backbone.prepare(frame.inputs[:1])).numpy()))
    wanted = frame.task.encode(frame.values)
    shares = np.bincount(wanted) / len(wanted) if kind == "classification" else wanted.mean(0)
    assert np.allclose(outputs[0], shares)
    assert fitted.seen.all()


def test_the_rival_of_a_model_with_transfer_has_none(rows):
    ground = begin(hs.read(rows * 1), None, "wordllama", 0, Checkpoints(), silent)
    adapted = adapt_to(ground, [Majority(), Classical(), Probe()], with_rival=True)
    assert adapted.rival is not None
    assert adapted.choice.strategy.transfers is not adapted.choice.rival.strategy.transfers
    assert {adapted.model.record["strategy"], adapted.rival.record["strategy"]} <= {"majority", "classical", "probe"}


def test_the_rival_is_right_most_often_though_a_simpler_one_ties():
    """One is right in 30 of 60 and sure of little, the other in 40 and sure of much."""
    task, truth, seen = Task("label", "classification", ("a", "b")), np.zeros(60, dtype=int), np.ones(60, dtype=bool)
    plain = np.where((np.arange(60) < 30)[:, None], [0.6, 0.4], [0.4, 0.6])
    arms = [Arm(name, name, "", one, seen) for name, one in (("plain", plain), ("sure", said(np.arange(60) < 40)))]
    place, standings = choose(arms, truth, task, None)
    assert place == 0
    assert standings[1].ties
    nothing, everything = Classical(), FromScratch()
    choices = [Choice(one, None, None, arm) for one, arm in zip((nothing, everything), arms, strict=True)]
    chosen = Choice(Probe(), None, None, arms[0])
    assert strongest_against(chosen, [*choices, chosen], task, truth) is choices[1]
    given_up = replace(choices[1], arm=replace(arms[1], is_given_up=True))
    assert strongest_against(chosen, [choices[0], given_up, chosen], task, truth) is choices[0]
    assert strongest_against(chosen, [chosen], task, truth) is None
    assert strongest_against(choices[1], [*choices, chosen], task, truth) is chosen


def test_a_classical_model_that_was_held_against_is_not_fitted_once_more(rows, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("it was made already")

    monkeypatch.setattr(baselines, "classical", fail)
    result = hs.fit(rows, backbone="wordllama", strategy=[Classical(), Probe()])
    assert {"majority", "classical"} == set(result.evaluation.baselines)
    with pytest.raises(AssertionError, match="made already"):
        hs.fit(rows, backbone="wordllama", strategy=Probe())


def test_what_transfer_does_not_help_is_saved_without_it():
    """The label is the order of two words, which an average of token vectors cannot see; counting pairs can."""
    dice = np.random.default_rng(0)
    fill = ["red", "tall", "warm", "quick", "plain", "old"]
    rows = []
    for place in range(240):
        words, label = list(dice.choice(fill, 6)), place % 2
        words[3:3] = (["salt", "stone"], ["stone", "salt"])[label]
        rows.append((" ".join(words) + f" {place}", ("yes", "no")[label]))
    result = hs.fit(rows, backbone="wordllama")
    assert result.model.record["strategy"] == "classical"
    assert result.proof.chosen == "without"
    assert "was saved" in result.proof.sentence


def test_the_main_job_says_what_transfer_was_worth(rows):
    result = hs.fit(rows * 1, backbone="wordllama")
    proof = result.as_dict()["proof"]
    assert proof["verdict"] in ("helps", "harms", "no proven benefit")
    assert proof["gain"]["n"] == result.n["test"]
    assert set(proof["sides"]) == {"with", "without"}
    assert proof["forecast"]["by"] == "held out"
    assert proof["forecast"]["low"] <= proof["forecast"]["value"] <= proof["forecast"]["high"]
    assert proof["gaps"]["tested"] == pytest.approx(1 - result.evaluation.metrics["accuracy"].value)


def test_of_several_sources_the_best_is_taken_and_the_ranking_told(tmp_path):
    rows = [(f"a {word} film {number}", word) for word in ("good", "bad") for number in range(30)]
    result = hs.fit(rows, backbone="wordllama,minilm_l6", strategy=hs.Probe(), out=tmp_path / "m.headstart")
    assert result.ranking is not None
    assert result.proof.forecast is not None
    assert (result.proof.forecast.by, result.proof.forecast.gain) == ("rank", result.ranking.advice.gain)
    assert result.model.record["backbone"] == result.ranking.best.name
    names = {one["name"] for one in result.as_dict()["ranking"]}
    assert {"wordllama", "minilm_l6", "classical"} <= names
    assert "Where to begin from" in (tmp_path / "m.report.html").read_text()


def test_a_test_set_of_one_group_is_said_to_tell_nothing(tmp_path):
    table = {"text": [], "label": [], "who": []}
    for place in range(40):
        word = ("good", "bad")[place % 2]
        table["text"].append(f"a {word} film number {place}")
        table["label"].append(word)
        table["who"].append(f"p{place // 8}")
    result = hs.fit(
        pd.DataFrame(table), target="label", group="who", backbone="wordllama", out=tmp_path / "m.headstart"
    )
    assert result.groups["test"] == 1
    assert "nothing can be told" in result.proof.sentence
    assert json.loads((tmp_path / "m.report.json").read_text())["proof"]["gain"]["low"] is None


def test_refine_in_the_main_job_forgets_nothing():
    result = hs.fit(pictures(40), strategy=hs.Refine(epochs=1))
    assert result.proof.forgetting is None
    assert result.proof.sides["without"] == "a linear model on classical features"


def test_a_plan_may_be_replayed_with_another_strategy(rows):
    plan = hs.Plan.from_dict(hs.fit(rows, backbone="wordllama").model.record["plan"])
    assert len(plan.strategies) > 1
    again = hs.fit(rows, backbone="wordllama", strategy=Probe(), plan=plan)
    assert again.model.record["plan"]["seconds"] == (0.0,)


def test_labels_may_be_an_array_and_the_command_is_whole(rows, tmp_path):
    texts, labels = zip(*rows, strict=True)
    result = hs.fit(list(texts), target=np.array(labels), backbone="wordllama", strategy=Probe(), out=tmp_path / "m.1")
    page = (tmp_path / "m.1.report.json").read_text()
    assert json.loads(page)["command"] == (
        f"headstart fit DATA --backbone wordllama --plan {tmp_path / 'm.1'} --out {tmp_path / 'm.1'}"
    )
    assert result.report == tmp_path / "m.1.report.html"


def test_an_arm_at_no_number_is_said(rows):
    with pytest.raises(hs.OptionError, match="no whole number"):
        contenders("finetune@--2")


def test_two_sources_of_one_name_are_refused(rows, tmp_path):
    data = hs.read(rows)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        hs.adapt(data, backbone="wordllama", seed=len(folder)).save(tmp_path / folder / "m.headstart")
    with pytest.raises(hs.OptionError, match="two sources are called"):
        hs.fit(rows, backbone=[str(tmp_path / folder / "m.headstart") for folder in ("a", "b")])


def said(right):
    """Outputs (n, 2) that are sure, and right where they should be; the truth is always the first class."""
    return np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])


def test_only_what_stands_far_behind_on_enough_examples_is_hopeless():
    task, dice = Task("label", "classification", ("a", "b")), np.random.default_rng(0)
    truth, seen = np.zeros(60, dtype=int), np.ones(60, dtype=bool)
    good, bad = (Arm(name, name, "", said(dice.random(60) < share), seen) for name, share in (("g", 0.95), ("b", 0.4)))
    assert is_hopeless(bad, [good], truth, task, None)
    assert not is_hopeless(good, [bad], truth, task, None)
    assert not is_hopeless(bad, [], truth, task, None)
    assert not is_hopeless(bad, [good], truth, task, np.repeat(np.arange(6), 10)), "six groups are too few to tell"
    rare = np.r_[1, truth[1:]]
    assert not is_hopeless(bad, [good], rare, task, None, balanced=True), "half of what is weighed is one example"


@pytest.mark.parametrize("n", [20, 60])
def test_equal_contenders_are_hardly_ever_given_up(n):
    task, dice = Task("label", "classification", ("a", "b")), np.random.default_rng(1)
    truth, seen = np.zeros(n, dtype=int), np.ones(n, dtype=bool)
    races = [[Arm("a", "a", "", said(dice.random(n) < 0.7), seen) for _ in range(4)] for _ in range(2000)]
    assert sum(is_hopeless(one, others, truth, task, None) for one, *others in races) <= 7


def test_a_single_arm_that_is_left_has_its_own_error():
    task, seen = Task("label", "classification", ("a", "b")), np.ones(20, dtype=bool)
    _, (standing,) = choose(
        [Arm("a", "a", "", said(np.arange(20) % 2 == 0), seen)], np.zeros(20, dtype=int), task, None
    )
    assert standing.error == pytest.approx((2 * 0.1**2 + 2 * 0.9**2) / 2)
    assert (standing.behind, standing.standard_error) == (0.0, 0.0)


def test_what_cannot_win_is_not_run_to_the_end_and_said():
    ground = begin(tiny.texts(120), None, tiny.text_backbone(), 0, Checkpoints(), silent)
    phases = []
    ground = replace(ground, progress=lambda phase, done, total: phases.append((phase, done, total)))
    strategies = [Majority(), Classical(), Probe(), FromScratch(network="small", epochs=1)]
    found = adapt_to(ground, strategies, with_rival=True)
    arms = {arm["strategy"]: arm for arm in found.model.record["arms"]}
    assert [name for name, arm in arms.items() if arm["given_up"]] == ["scratch"]
    seen = {name: arm["metrics"][arm["headline"]]["n"] for name, arm in arms.items()}
    assert seen == {"majority": 120, "classical": 120, "probe": 120, "scratch": 24}
    assert arms["scratch"]["behind"] > 3 * arms["scratch"]["standard_error"] > 0
    assert sum(done == total for phase, done, total in phases if phase.startswith("learning from scratch")) == 1
    assert arm_in_words(arms["scratch"]) == "from scratch, cut 0, given up after 24 examples"
    assert "scratch" not in why_chosen(list(arms.values()))
    sides = {found.choice.strategy.transfers, found.choice.rival.strategy.transfers}
    assert sides == {True, False}


def test_the_first_with_transfer_is_never_given_up():
    ground = begin(tiny.texts(120), None, tiny.text_backbone(), 0, Checkpoints(), silent)
    found = adapt_to(ground, [Majority(), Classical(), hs.FineTune(cut=2, epochs=1, rate=1e-7)], with_rival=True)
    assert not any(arm["given_up"] for arm in found.model.record["arms"])


def test_there_is_no_race_across_the_sides_of_transfer():
    """Words tell all there is to tell; what is tuned stays as bad as chance, and is still seen to the end."""
    ground = begin(tiny.texts(120), None, tiny.text_backbone(), 0, Checkpoints(), silent)
    tuned = [hs.FineTune(cut=2, epochs=1, rate=rate) for rate in (1e-7, 1.1e-7)]
    found = adapt_to(ground, [Majority(), Classical(), *tuned], with_rival=True)
    assert found.choice.strategy == Classical()
    assert not any(arm["given_up"] for arm in found.model.record["arms"])
    assert found.rival is not None


@pytest.mark.parametrize(
    ("held", "expected"), [(None, 90 * 2 * (2 / 3) / 3), (0.2, 90 * 2 * 0.8 / 1.8)], ids=["folds", "validation"]
)
def test_what_other_seeds_would_take_is_a_part_of_what_was_forecast(held, expected):
    ground = begin(tiny.texts(), None, tiny.text_backbone(), 0, Checkpoints(), silent)
    strategies = [Probe(), hs.FineTune(cut=2, epochs=1, rate=1e-4)]
    adapted = adapt_to(ground, strategies)
    plan = replace(Plan.from_dict(adapted.model.record["plan"]), seconds=(0.0, 90.0), folds=3)
    tuned = replace(adapted.choice, strategy=strategies[1], tuning="some")
    assert seconds_for(tuned, plan, held) == pytest.approx(expected)
    assert seconds_for(replace(tuned, arm=None), plan, held) == 0
    assert seconds_for(replace(tuned, tuning=None), plan, held) == 0


def test_other_seeds_are_forecast_apart_from_choosing_and_learning():
    data = tiny.texts(60)
    rows = list(zip(data.inputs, data.values, strict=True))
    strategies = [Majority(), hs.FineTune(cut=2, epochs=1, rate=1e-3)]
    result = hs.fit(rows, backbone=tiny.text_backbone(), strategy=strategies)
    assert result.model.record["strategy"] == "finetune"
    assert len(result.proof.seeds) == 3
    assert list(result.forecast) == ["settling", "features", "fine-tuning", "other seeds", "heads and proof"]


def test_all_of_it_is_forecast_and_told_even_where_no_stage_learns():
    data = tiny.texts(60)
    phases = []
    result = hs.fit(
        list(zip(data.inputs, data.values, strict=True)),
        backbone=tiny.text_backbone(),
        strategy=[Majority(), Classical(), Probe()],
        progress=lambda phase, done, total: phases.append((phase, done, total)),
    )
    assert list(result.forecast) == ["settling", "features", "heads and proof"]
    assert result.forecast["settling"][0] == result.forecast["settling"][1]
    assert sum(fact for _, fact in result.forecast.values()) == pytest.approx(result.seconds["total"], abs=0.2)
    whole = [(done, total) for phase, done, total in phases if phase.startswith("all of it, about ")]
    assert len({total for _, total in whole}) == 1
    assert whole == sorted(whole)
    assert all(done <= total for done, total in whole)


def test_phases_belong_to_the_kind_of_work_that_they_are_named_after():
    foreseen = Foresight({"settling": 1.0, "features": 2.0, "fine-tuning": 3.0, "heads and proof": 4.0})
    took = {"features": 1.0, "fine-tuning above cut 3": 2.0, "fine-tuning above cut 5": 2.0, "other": 5.0}
    assert foreseen.total == 10
    assert foreseen.beside(took, 12.0) == {
        "settling": (1.0, 1.0),
        "features": (2.0, 1.0),
        "fine-tuning": (3.0, 4.0),
        "heads and proof": (4.0, 6.0),
    }
