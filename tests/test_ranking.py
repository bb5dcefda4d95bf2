"""Ranking: which source, which cut, whether at all; it claims no more than the examples show, without test labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.backbones.card import Card
from headstart.errors import OptionError
from headstart.ranking import judgement
from headstart.ranking.contenders import WEIGHTED, readable_cuts
from headstart.ranking.judgement import Overlap, advise, class_overlap, licence_findings
from headstart.ranking.pools import named
from headstart.ranking.scores import SCORES, score_of
from headstart.ranking.standings import gain_over, standings
from headstart.tasks import Task
from tests import tiny

from .conftest import Said

GOOD = (
    "wonderful delightful superb charming brilliant moving excellent lovely funny touching graceful splendid beautiful "
    "great perfect amazing fantastic enjoyable impressive fascinating gorgeous pleasant terrific thrilling"
)
BAD = (
    "dreadful tedious awful clumsy dull boring terrible ugly stupid lifeless pointless horrid bad poor annoying "
    "disappointing pathetic miserable worthless painful disgusting unbearable lousy hateful"
)
SOURCES = ["wordllama", "minilm_l6"]


def reviews() -> list[tuple[str, str]]:
    """Sentences whose sentiment a pretrained source knows, and that no count of words can learn: each word is new."""
    pairs = zip(GOOD.split(), BAD.split(), strict=True)
    return [
        (f"scene {place} of the film was {word}", label)
        for place, pair in enumerate(pairs)
        for word, label in zip(pair, ("good", "bad"), strict=True)
    ]


def test_standings_know_what_is_clear_and_what_is_not() -> None:
    dice = np.random.default_rng(0)
    noise = dice.normal(size=400)
    errors = np.stack([noise, noise + 0.001 * dice.normal(size=400), noise + 1])
    best, level, worse = standings(errors, np.arange(400))
    assert {best.rank, level.rank} == {1, 2}
    assert best.ties
    assert level.ties
    assert (worse.rank, worse.low, worse.high, worse.ties) == (3, 3, 3, False)
    assert worse.behind == pytest.approx(1, abs=0.01)


def test_a_difference_is_claimed_about_as_often_as_it_should_where_there_is_none() -> None:
    dice = np.random.default_rng(0)
    claimed = 0
    for _ in range(200):
        one, other = (dice.random((2, 150)) < 0.3).astype(float)
        _, low, high = gain_over(np.stack([one, other]), np.arange(150), 0, 1)
        claimed += low > 0 or high < 0
    assert claimed <= 16


@pytest.mark.parametrize("k", [3, 6, 10, 30])
def test_few_units_that_do_not_differ_are_seldom_told_apart(k: int) -> None:
    """Of five contenders alike, on four examples of each of k groups, which err together."""
    dice = np.random.default_rng(k)
    claimed = 0
    for _ in range(200):
        errors = np.repeat(dice.normal(size=(5, k)), 4, axis=1) + 0.1 * dice.normal(size=(5, 4 * k))
        claimed += sum(not one.ties for one in standings(errors, np.repeat(np.arange(k), 4)))
    assert claimed <= 0.08 * 800


def test_four_examples_more_are_no_difference_however_many_there_are() -> None:
    """Four pairs that differ, all one way, come by chance in one of eight cases."""
    errors = np.zeros((2, 200))
    errors[1, :4] = 1
    assert all(one.ties for one in standings(errors, np.arange(200)))
    errors[1, :12] = 1
    assert not standings(errors, np.arange(200))[1].ties
    assert all(one.ties for one in standings(errors, np.zeros(200)))


def test_groups_widen_what_is_said_of_a_difference() -> None:
    dice = np.random.default_rng(0)
    one, other = (np.repeat(dice.random(30) < share, 10).astype(float) for share in (0.5, 0.3))
    alone, grouped = (
        gain_over(np.stack([one, other]), units, 0, 1) for units in (np.arange(300), np.arange(300) // 10)
    )
    assert grouped[2] - grouped[1] > 2 * (alone[2] - alone[1])


@pytest.mark.parametrize(
    ("best", "rival", "word"), [(0.1, 0.6, "transfer"), (0.6, 0.1, "do not transfer"), (0.3, 0.3, "unclear")]
)
def test_advice_follows_the_interval(best: float, rival: float, word: str) -> None:
    dice = np.random.default_rng(0)
    errors = np.stack([(dice.random(200) < share).astype(float) for share in (best, rival)])
    for n, wanted in ((200, word), (10, "unclear")):
        gain = gain_over(errors[:, :n], np.arange(n), 0, 1)
        told = advise(gain, n, source="s", without="r", metric="accuracy", overlap=Overlap("unknown"))
        assert told.word == wanted


@pytest.mark.parametrize(
    ("labels", "known"),
    [(("ants", "bees"), ("ants", "bees")), (("Daisy", "tulip"), ("Daisy",)), (("positive", "negative"), ())],
)
def test_labels_that_are_classes_of_imagenet_are_found(labels: tuple[str, ...], known: tuple[str, ...]) -> None:
    card = Card("n", "image", "s", trained_on="ImageNet-1k")
    found = class_overlap(card, Task("label", "classification", labels))
    assert found.labels == known
    assert found.status == ("class overlap" if known else "no class in common")
    larger = replace(card, trained_on="ImageNet-22k, then ImageNet-1k")
    assert class_overlap(larger, Task("y", "classification", ("rose", "tulip"))).labels == ("rose", "tulip")
    words = replace(card, trained_on="pairs of sentences")
    assert class_overlap(words, Task("y", "classification", labels)).status == "unknown"


@pytest.mark.parametrize(
    ("name", "singular"),
    [
        ("bees", "bee"),
        ("Butterflies", "butterfly"),
        ("glass", "glass"),
        ("cactus", "cactus"),
        ("box-fishes", "box fish"),
    ],
)
def test_plurals_are_known(name: str, singular: str) -> None:
    assert judgement._plain(name) == singular


def test_a_source_that_knows_the_language_is_worth_it_and_shuffled_labels_are_not() -> None:
    rows = reviews()
    found = hs.rank(rows, backbones=SOURCES, every_cut=False)
    assert {one.name for one in found.contenders} == {*SOURCES, "classical", "majority", "random weights"}
    assert found.advice.word == "transfer"
    assert found.contenders[0].transfers
    labels = np.random.default_rng(3).permutation([label for _, label in rows])
    shuffled = hs.rank(
        [(text, str(label)) for (text, _), label in zip(rows, labels, strict=True)], backbones=SOURCES, every_cut=False
    )
    assert shuffled.advice.word != "transfer"


def test_no_test_label_is_read() -> None:
    import pandas as pd

    table = pd.DataFrame(reviews(), columns=["text", "label"]).assign(split=["train", "train", "train", "test"] * 12)
    turned = table.assign(label=table["label"].where(table["split"] == "train", table["label"].iloc[::-1].to_numpy()))
    assert not turned.equals(table)
    one, other = (hs.rank(rows, backbones="wordllama", input="text", target="label") for rows in (table, turned))
    assert one.n == 36
    for mine, theirs in zip([*one.contenders, *one.cuts], [*other.contenders, *other.cuts], strict=True):
        assert {**mine.as_dict(), "seconds": 0} == {**theirs.as_dict(), "seconds": 0}


def test_every_cut_of_the_best_source_is_read() -> None:
    backbone = tiny.image_backbone()
    found = hs.rank(
        [(p, str(v)) for p, v in zip(tiny.pictures(40).inputs, tiny.pictures(40).values, strict=True)],
        backbones=backbone,
    )
    assert [one.cut for one in found.cuts] == [*readable_cuts(backbone), "top", WEIGHTED]
    assert len(found.cuts) > 3
    single = found.cuts[:-1]
    assert sorted(one.standing.rank for one in single if one.standing) == list(range(1, len(single) + 1))


@pytest.mark.parametrize("name", SCORES)
def test_scores_take_every_kind_of_target(name: str) -> None:
    dice = np.random.default_rng(0)
    features, folds = dice.normal(size=(40, 6)), [np.arange(40) % 2 == 0, np.arange(40) % 2 == 1]
    several = Task("y", "multilabel", ("a", "b", "c"))
    truth = np.stack([features[:, 0] > 0, features[:, 1] > 0, np.zeros(40)], 1).astype(int)
    value = score_of(name, features, truth, several, folds)
    assert value is not None
    assert np.isfinite(value)
    number = score_of(name, features, features[:, 0] * 1e9, Task("y", "regression"), folds)
    assert (number is not None and np.isfinite(number)) == (name in ("logme", "nearest"))


def test_scores_of_the_sources_own_answers_are_given_where_its_head_is_known() -> None:
    dice = np.random.default_rng(0)
    made = [(dice.integers(0, 255, (32, 32, 3)).astype(np.uint8), "ab"[place % 2]) for place in range(12)]
    found = hs.rank(made, backbones="efficientnet_lite0", scores=["leep", "nce", "logme"], every_cut=False)
    scores = {one.name: one.scores for one in found.contenders}
    own = scores["efficientnet_lite0"]
    assert own["leep"] is not None
    assert own["nce"] is not None
    assert own["leep"].value <= 0
    assert own["nce"].value <= 0
    assert own["logme"].low < own["logme"].value < own["logme"].high
    assert scores["random weights"]["leep"] is None
    assert scores["random weights"]["logme"] is not None
    numbers = Task("y", "regression")
    assert score_of("leep", np.zeros((4, 2)), np.zeros(4), numbers, [], np.full((4, 3), 1 / 3)) is None
    text = hs.rank(reviews(), backbones="wordllama", scores=["leep"], every_cut=False)
    assert text.best.scores == {"leep": None}


def test_a_pool_is_a_list_a_file_or_what_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pool.txt").write_text("wordllama  # the cheapest\n\n./own.headstart\n", encoding="utf-8")
    hs.adapt(hs.read(reviews()), backbone="wordllama").save("own.headstart")
    hs.adapt(hs.read(reviews()), strategy=hs.Classical()).save("words.headstart")
    found = hs.rank(reviews(), backbones="pool.txt", every_cut=False)
    assert len([one for one in found.contenders if one.transfers]) == 2
    names, _ = named("all", "text")
    assert "own.headstart" in names
    assert "words.headstart" not in names
    assert "own.headstart" not in named("offline", "text")[0]


def test_a_licence_that_forbids_the_use_is_said() -> None:
    told = [
        licence_findings(Card("m", "text", "here", licence=words)) for words in ("MIT", "cc-by-nc-4.0", "not stated")
    ]
    assert [[one.code for one in found] for found in told] == [[], ["licence_forbids_use"], ["licence_not_stated"]]
    for words in (
        "Apache-2.0",
        "CC-BY-SA-4.0",
        "BSD-3-Clause",
        "OpenRAIL",
        "Llama community licence",
        "AFL-3.0, Academic Free License",
    ):
        assert not licence_findings(Card("m", "text", "here", licence=words))
    for words in ("Research only", "CC BY-NC-SA 4.0", "Non commercial", "for academic purposes", "research use only"):
        assert licence_findings(Card("m", "text", "here", licence=words))
    assert not hs.rank(reviews(), backbones="wordllama", use="commercial", every_cut=False).findings
    with pytest.raises(OptionError, match="the use is unknown"):
        hs.rank(reviews(), backbones="wordllama", use="fun")


def test_what_is_wrong_is_one_sentence(headstart: Callable[..., Said], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="there is no such score"):
        hs.rank(reviews(), scores=["luck"])
    with pytest.raises(OptionError, match="there is no source to rank"):
        hs.rank(reviews(), backbones=[])
    said = headstart("rank", tmp_path, "--backbones", "nothing_of_this_name")
    assert said.code == 2
    latin = tmp_path / "latin.txt"
    latin.write_bytes(b"wordllama\n\xe9")
    for pool, words in ((str(latin), "cannot be read"), (["wordllama", "minilm_l6@99"], "no cut 99")):
        with pytest.raises(OptionError, match=words):
            hs.rank(reviews(), backbones=pool)
    for seed in (-1, 2**40, True, 0.5):
        with pytest.raises(OptionError, match="the seed is out of range"):
            hs.rank(reviews(), backbones="wordllama", seed=seed)  # type: ignore[arg-type]


def test_label_sets_are_ranked_by_the_score_that_is_shown() -> None:
    rows = [(text, ("film", label)) for text, label in reviews()]
    found = hs.rank(rows, backbones="wordllama", task="multilabel", every_cut=False)
    assert found.headline == "brier_score"
    shown = [one.measures["brier_score"].value for one in found.contenders]
    assert shown == sorted(shown)
    assert "Brier score" in found.advice.reasons[0]


def test_what_held_no_fold_is_not_foretold() -> None:
    """A group for each class: no fold teaches what another asks."""
    rows = pd.DataFrame({"text": [f"number {n}" for n in range(12)], "label": ["a"] * 6 + ["b"] * 6})
    rows["who"], rows["split"] = rows["label"], ["train"] * 5 + ["test"] + ["train"] * 5 + ["test"]
    found = hs.fit(rows, target="label", group="who", strategy=[hs.Classical(), hs.Majority()], backbone="wordllama")
    assert found.proof.foretold is None


def test_the_table_for_people(headstart: Callable[..., Said], tmp_path: Path) -> None:
    file = tmp_path / "films.csv"
    file.write_text("text,label\n" + "\n".join(f"{text},{label}" for text, label in reviews()), encoding="utf-8")
    said = headstart("rank", file, "--backbones", "wordllama", "--target", "label")
    assert said.code == 0
    for words in ("advice:", "wordllama =", "majority", "headstart fit", "--backbone wordllama"):
        assert words in said.out
