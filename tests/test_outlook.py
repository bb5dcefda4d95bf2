"""Outlooks, races and what a source may have seen: said before anything is trained, and held to what happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart.backbones.backbone import Backbone
from headstart.backbones.sources import load_backbone
from headstart.backbones.typical import Typical
from headstart.checkpoints import Checkpoints
from headstart.curves import Curve, drawn_out
from headstart.errors import BackboneError, DataError, OptionError
from headstart.ground import begin
from headstart.model import fingerprints
from headstart.progress import silent
from headstart.ranking import racing
from headstart.ranking.contenders import WEIGHTED, at_every_cut, read_at
from headstart.ranking.judgement import KNOWN, overlap_of
from headstart.ranking.outlook import _Seen, expected_of
from headstart.ranking.pools import Variant
from headstart.ranking.racing import FINAL, RACED, _affordable, race, raced_in_words
from headstart.ranking.scores import score_with_interval
from headstart.ranking.standings import optimism
from headstart.tasks import Task
from tests import tiny

from .conftest import Said
from .test_ranking import reviews


@pytest.mark.parametrize(("rate", "tested"), [(0.2, 40), (0.02, 100), (0.4, 1000)])
def test_an_interval_holds_what_is_observed_about_nine_times_in_ten(rate: float, tested: int) -> None:
    """Errors out of fold are drawn at a known rate, then those of a test set at the same one."""
    dice, held = np.random.default_rng(0), 0
    for _ in range(300):
        errors = (dice.random(300) < rate).astype(float)
        told = expected_of(errors, np.arange(300), 240, tested, is_share=True)
        assert told.low <= told.value <= told.high
        held += told.low <= 1 - dice.binomial(tested, rate) / tested <= told.high
    assert 0.86 <= held / 300 <= 0.99


def test_groups_that_err_alike_widen_the_interval() -> None:
    dice = np.random.default_rng(0)
    errors = np.repeat(dice.random(30) < 0.3, 10).astype(float)
    alone, grouped = (_Seen(errors, units, 100, is_share=True) for units in (np.arange(300), np.arange(300) // 10))
    assert alone.alike == 1
    assert grouped.alike == pytest.approx(10, rel=0.01)


def test_a_curve_is_drawn_out_along_its_own_law() -> None:
    sizes = np.array([50, 100, 200, 400])
    rates = 0.4 * (sizes / 50) ** -0.5
    errors = np.stack([(np.arange(4000) < 4000 * rate).astype(float) for rate in rates])
    later = drawn_out(Curve("c", "with", sizes, errors), [400, 1600], np.arange(4000))
    assert later[0, 0] == pytest.approx(rates[-1], rel=0.01)
    assert np.median(later[:, 1]) == pytest.approx(0.4 * 32**-0.5, rel=0.25)
    level = drawn_out(Curve("c", "with", sizes[-1:], errors[-1:]), [400, 1600], np.arange(4000))
    assert (level[:, 0] == level[:, 1]).all()


def test_a_ranking_tells_what_the_test_set_will_show() -> None:
    found = hs.rank(reviews(), backbones="wordllama", every_cut=False)
    told = found.outlook
    assert told.tested == len(reviews()) - found.n
    assert told.probe.low <= told.probe.value <= told.probe.high <= 1
    assert told.tuned is None, "no stage of a table of words can learn"
    assert told.imbalance == pytest.approx(1, abs=0.2)
    assert "nine times in ten" in told.words[0]
    assert "100 more would bring" in told.words[1]
    few = hs.rank(reviews()[:14], backbones="wordllama", every_cut=False).outlook
    assert few.more is None
    assert "cannot be told" in few.words[1]
    numbers = [(text, len(text) + place / 7) for place, (text, _) in enumerate(reviews())]
    told = hs.rank(numbers, backbones="wordllama", task="regression", every_cut=False).outlook
    assert (told.measure, told.imbalance) == ("variance left", None)
    assert told.probe.low >= 0


def test_all_cuts_together_are_weighed_and_the_deepest_level_one_is_named() -> None:
    ground = begin(tiny.pictures(60), None, tiny.image_backbone(), 0, Checkpoints(), silent)
    (best,) = read_at(ground, [None], [])
    cuts, weights = at_every_cut(best, ["logme"])
    assert all(one.scores["logme"] is not None for one in cuts[:-1])
    assert cuts[-1].cut == WEIGHTED
    assert sum(weights.values()) == pytest.approx(1, abs=0.01)
    assert min(weights.values()) >= 0
    assert set(weights) == {str(one.cut) for one in cuts[:-1]}
    single = min(one.errors.mean() for one in cuts[:-1])
    assert cuts[-1].errors.mean() <= single + 0.1
    found = hs.rank(picture_rows(60), backbones=tiny.image_backbone())
    places = [one.cut for one in found.cuts]
    assert places.index(found.deepest_cut) >= places.index(found.best_cut)


def test_a_score_has_an_interval_that_narrows_with_examples() -> None:
    dice = np.random.default_rng(0)
    task = Task("y", "classification", ("a", "b"))

    def width(n: int) -> float:
        features = dice.normal(size=(n, 6))
        truth = (features[:, 0] + dice.normal(size=n) > 0).astype(int)
        one = score_with_interval("transrate", features, truth, task, [], None, np.arange(n))
        assert one is not None
        assert one.low is not None
        assert one.high is not None
        return one.high - one.low

    assert width(1600) < 0.6 * width(200)
    few = score_with_interval("transrate", np.eye(2), np.array([0, 1]), task, [], None, np.zeros(2))
    assert few is not None
    assert few.low is None


def picture_rows(n: int = 16) -> list[tuple[object, str]]:
    data = tiny.pictures(n)
    return [(picture, str(value)) for picture, value in zip(data.inputs, data.values, strict=True)]


def variants(count: int) -> list[Variant]:
    """Sources of which only the first knows anything: the others are the same network with weights of noise."""
    own: list[str | Backbone] = ["wordllama"]
    for place in range(count - 1):
        blank = tiny.text_backbone()
        own.append(replace(blank, card=replace(blank.card, name=f"blank-{place}")))
    return [Variant.of(one) for one in own]


def test_a_race_keeps_what_is_good_and_says_what_it_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    dice = np.random.default_rng(0)
    pairs = [("good", "wonderful delightful superb lovely"), ("bad", "dreadful awful horrid nasty")]
    rows = [
        (f"{dice.choice(words.split())} film number {place}", label) for place in range(150) for label, words in pairs
    ]
    train = hs.read(rows)
    told = []
    left, dropped = race(train, variants(12), progress=lambda phase, done, total: told.append((phase, done, total)))
    assert len(left) <= FINAL
    assert str(left[0]) == "wordllama"
    assert len(left) + len(dropped) == 12
    assert {one.n > 0 for one in dropped} == {True}
    assert "left out, not seen to be better" in raced_in_words(dropped)[0]
    assert told[-1][1] == told[-1][2]
    assert all(one.n < len(train) for one in dropped)
    with monkeypatch.context() as patched:
        patched.setattr(racing, "_raced", lambda *_: pytest.fail("what was raced before is remembered"))
        again, _ = race(train, variants(12))
    assert [str(one) for one in again] == [str(one) for one in left]
    few = variants(RACED)
    assert race(train, few) == (few, []), "of few all are read"
    poor, left_out = race(train, variants(4), budget=1e-9)
    assert [str(one) for one in poor] == ["wordllama"]
    assert {one.why for one in left_out} == {"no time left"}
    rich, left_out = race(train, variants(6), budget=1e9)
    assert (len(rich), left_out) == (6, []), "with time enough all are read"


def test_a_race_of_many_classes_with_few_examples_is_run_or_passed_over() -> None:
    rows = [(f"number {place} of kind {place % 40} here", str(place % 40)) for place in range(800)]
    left, dropped = race(hs.read(rows), variants(11))
    assert len(left) + len(dropped) == 11
    left, dropped = race(hs.read(rows[:6]), variants(11))
    assert (len(left), dropped) == (11, [])
    left, dropped = race(hs.read(rows[:6]), variants(4), budget=1e-9)
    assert (len(left), {one.why for one in dropped}) == (1, {"no time left"}), "timed where nothing can be learned"
    assert [one.as_dict()["behind"]["value"] for one in dropped] == [None] * 3


def test_a_budget_pays_each_pass_once_whatever_cuts_are_read() -> None:
    costs = {Variant(source, cut): 8.0 for source in ("a", "b") for cut in (1, 2, None)}
    assert _affordable(list(costs), costs, 10.0) == [Variant("a", 1), Variant("a", 2), Variant("a")]
    assert _affordable([Variant("a", 1), Variant("b", 1)], costs, 10.0) == [Variant("a", 1)]
    assert _affordable([Variant("a", 1), Variant("b", 1)], costs, 16.0) == [Variant("a", 1), Variant("b", 1)]


def test_a_source_at_a_cut_is_ranked_and_not_learned_from(tmp_path: Path) -> None:
    file = tmp_path / "pool.txt"
    file.write_text("minilm_l6@2\n", encoding="utf-8")
    for pool in (["minilm_l6@2", "wordllama"], [str(file), "wordllama"]):
        with pytest.raises(OptionError, match="as a whole"):
            hs.fit(reviews(), backbone=pool)


def test_the_best_of_many_looks_better_than_it_is() -> None:
    dice = np.random.default_rng(0)
    errors = (dice.random((15, 80)) < 0.3).astype(float)
    assert 0.02 < optimism(errors, np.arange(80)) < 0.12
    assert optimism(errors[:1], np.arange(80)) < 0.005


def test_a_name_may_say_where_a_source_is_read_and_how_large() -> None:
    assert Variant.of("minilm_l6@-2") == Variant("minilm_l6", -2)
    assert Variant.of("minilm_l6") == Variant("minilm_l6")
    assert str(Variant.of("efficientnet_lite0/160px@10")) == "efficientnet_lite0/160px@10"
    sized = load_backbone("efficientnet_lite0/160px")
    assert sized.card.input == "160 × 160 pixels"
    assert next(iter(sized.example_batch().values())).shape[-1] == 160
    with pytest.raises(BackboneError, match="no pictures of another size"):
        load_backbone("wordllama/160px")
    found = hs.rank(reviews(), backbones=["minilm_l6@2", "minilm_l6@-3", "minilm_l6", "wordllama"], every_cut=False)
    own = {one.label: one.given for one in found.contenders if one.transfers}
    assert set(own) == {"minilm_l6@2", "minilm_l6@5", "minilm_l6", "wordllama"}
    assert own["minilm_l6@5"] == "minilm_l6"
    assert found.contenders[0].standing is not None


def test_what_a_source_was_taught_here_is_known() -> None:
    backbone, data = tiny.text_backbone(), tiny.texts(40)
    taught = replace(backbone, seen=fingerprints(data.contents[:20]))
    found = overlap_of(taught, data, data.task)
    assert (found.status, found.taught, found.n) == (KNOWN, 20, 40)
    assert "20 of 40 examples" in found.words[0]
    assert overlap_of(backbone, data, data.task).status == "unknown"


def test_a_set_planted_in_the_sources_own_data_is_caught(headstart: Callable[..., Said], tmp_path: Path) -> None:
    rows = reviews()
    planted = [f"{text}!" for text, _ in rows[:20]] + ["quite another thing altogether"]
    found = hs.rank(rows, backbones="wordllama", source_data=planted, every_cut=False)
    assert found.overlap.status == KNOWN
    train, _ = hs.read(rows).split(test=0.2, seed=0)
    assert found.overlap.taught == sum(f"{text}!" in planted for text in train.inputs)
    assert "the gain may be memory" in " ".join(found.advice.reasons)
    assert hs.rank(rows, backbones="wordllama", source_data=hs.read(rows), every_cut=False).overlap.taught == found.n
    with pytest.raises(DataError, match="were given"):
        hs.rank(rows, backbones="wordllama", source_data=[], every_cut=False)
    with pytest.raises(DataError, match="can be read as texts"):
        hs.rank(rows, backbones="wordllama", source_data=[1, 2], every_cut=False)
    with pytest.raises(OptionError, match="the budget is out of range"):
        hs.rank(rows, backbones="wordllama", budget=0)
    file = tmp_path / "films.csv"
    file.write_text("text,label\n" + "\n".join(f"{text},{label}" for text, label in rows), encoding="utf-8")
    said = headstart("rank", file, "--backbones", "wordllama", "--target", "label", "--plot", tmp_path / "drawn.svg")
    assert said.code == 0
    assert (tmp_path / "drawn.svg").read_text(encoding="utf-8").startswith("<svg")
    said = headstart("rank", file, "--backbones", "wordllama", "--target", "label", "--source-data", tmp_path / "none")
    assert (said.code, "none does not exist" in said.err) == (2, True)
    said = headstart("rank", file, "--target", "label", "--backbones", "wordllama,minilm_l6", "--budget", "0.001s")
    assert (said.code, "no time left" in said.out) == (0, True)
    for wrong in (tmp_path / "drawn.png", tmp_path / "nowhere" / "drawn.svg"):
        assert headstart("rank", file, "--target", "label", "--plot", wrong).code == 2


def test_what_is_typical_of_a_source_is_kept_and_tells_what_lies_apart(tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    own = dice.normal(size=(400, 8)) * np.arange(1, 9)
    typical = Typical.of(own)
    assert typical is not None
    others = dice.normal(size=(400, 8)) * np.arange(1, 9)
    assert typical.distance(others) < 0.1
    assert typical.outside(others) < 0.05, "others of the same kind are as typical"
    assert typical.distance(others[:20]) < 0.3, "few of them are no farther, but by chance"
    assert typical.distance(others + 3 * own.std(0)) == pytest.approx(9, rel=0.15), "three spreads off everywhere"
    assert typical.outside(others + 9 * own.std(0)) > 0.99
    assert Typical.of(own[:3]) is None
    model = hs.adapt(tiny.texts(40), backbone=tiny.text_backbone(), strategy=hs.FineTune(cut=2, epochs=1, rate=1e-3))
    model.save(tmp_path / "m.headstart")
    kept = load_backbone(str(tmp_path / "m.headstart")).typical
    assert kept is not None
    assert model.backbone.typical is not None
    assert kept.edge == pytest.approx(model.backbone.typical.edge, rel=1e-5)
    found = hs.rank(reviews(), backbones=str(tmp_path / "m.headstart"), every_cut=False)
    assert found.outlook.distance is not None
    assert "unlike what the source learned from" in found.outlook.words[-1]
