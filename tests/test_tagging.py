"""Token labelling: words as examples, their texts kept whole, entities counted as seqeval counts them."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import headstart as hs
from headstart import baselines, metrics
from headstart.comparison.verdicts import judge
from headstart.data.words import Marked, Word, bare, tagged_by, tagging_of, texts_of, words_of
from headstart.entities import Entity, Found, entities_in, in_bio, marked
from headstart.errors import DataError, OptionError
from headstart.frozen.features import extract
from headstart.frozen.states import states_at
from headstart.learning.draws import batches_of
from headstart.paired import difference_of_metrics
from headstart.statistics import Metric
from headstart.tasks import Task

from .conftest import Said

CITIES = ["boston", "new york", "dallas", "san francisco", "denver", "st. paul"]
TAGS = ["O", "B-a", "I-a", "B-b", "I-b"]


def flights(n: int = 40) -> pd.DataFrame:
    dice, rows = np.random.default_rng(0), []
    for number in range(n):
        source, target = dice.choice(CITIES, 2, replace=False)
        words = ["flight", str(number), "from", *source.split(), "to", *target.split(), "please"]
        tags = ["O", "O", "O"]
        for kind, city in (("from", source), ("to", target)):
            tags += [f"B-{kind}"] + [f"I-{kind}"] * (len(city.split()) - 1) + (["O"] if kind == "from" else [])
        rows.append({"text": " ".join(words), "tags": " ".join([*tags, "O"])})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def data() -> hs.Dataset:
    return hs.read(flights(), input="text", target="tags")


def codes(found: hs.Dataset) -> dict[str, str]:
    return {finding.code: finding.text for finding in hs.check(found)}


@st.composite
def texts_with_entities(draw: st.DrawFn) -> tuple[str, list[Entity]]:
    text = draw(st.text(st.sampled_from("ab é'.,-\n1"), min_size=1, max_size=40))
    words = words_of(text, "pieces")
    entities, start = [], 0
    while start < len(words):
        end = draw(st.integers(start + 1, len(words)))
        if draw(st.booleans()):
            entities.append(Entity(words[start].start, words[end - 1].end, draw(st.sampled_from("xy"))))
        start = end
    return text, entities


@given(texts_with_entities())
@settings(max_examples=200, deadline=None)
def test_entities_come_back_from_the_tags_of_their_words(drawn: tuple[str, list[Entity]]) -> None:
    text, entities = drawn
    words = words_of(text, "pieces")
    tags = tagged_by(entities, words)
    found = [Entity(words[one.start].start, words[one.end - 1].end, one.label) for one in entities_in(tags)]
    assert found == entities
    assert in_bio(tags) == tags


@given(st.text(max_size=60), st.sampled_from(["blanks", "pieces"]))
@settings(max_examples=200, deadline=None)
def test_words_hold_all_of_a_text_but_its_blanks(text: str, splitting: str) -> None:
    words = words_of(text, splitting)
    assert "".join(map(str, words)) == "".join(text.split())
    assert all(one.end <= other.start for one, other in pairwise(words))


@given(st.lists(st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=8), min_size=1))
@settings(max_examples=200, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_entities_are_counted_as_seqeval_counts_them(texts: list[list[tuple[str, str]]]) -> None:
    seqeval = pytest.importorskip("seqeval.metrics", reason="seqeval cannot be built with every setuptools")
    truth, answers = ([[pair[side] for pair in text] for text in texts] for side in (0, 1))
    found = counted(truth, answers)
    theirs = {
        "entity_f1": seqeval.f1_score,
        "entity_precision": seqeval.precision_score,
        "entity_recall": seqeval.recall_score,
    }
    for name, score in theirs.items():
        assert found[name].value == pytest.approx(score(truth, answers)) if name in found else not score(truth, answers)
    marks = [any(tag != "O" for text in side for tag in text) for side in (truth, answers)]
    assert [name in found for name in theirs] == [any(marks), marks[1], marks[0]]


def counted(truth: list[list[str]], answers: list[list[str]]) -> dict[str, Metric]:
    breaks = np.repeat(np.arange(len(truth)), [len(text) for text in truth])
    return Found.of([tag for text in truth for tag in text], [tag for text in answers for tag in text], breaks).metrics


def test_the_example_that_seqeval_documents() -> None:
    truth = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    answers = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    assert {name: one.value for name, one in counted(truth, answers).items()} == {
        "entity_f1": 0.5,
        "entity_precision": 0.5,
        "entity_recall": 0.5,
    }


def test_resampled_entities_are_those_of_the_texts_drawn() -> None:
    dice = np.random.default_rng(1)
    breaks = np.repeat(np.arange(12), 5)
    truth, answers = (dice.choice(TAGS, 60).tolist() for _ in range(2))
    drawn = dice.integers(0, 12, 12)
    weights = np.bincount(drawn, minlength=12)[breaks][None]
    rows = np.concatenate([np.flatnonzero(breaks == text) for text in drawn])
    whole = Found.of(truth, answers, breaks).metrics
    again = Found.of([truth[row] for row in rows], [answers[row] for row in rows], np.repeat(np.arange(12), 5)).metrics
    for name, metric in whole.items():
        assert metric.weighted(weights)[0] == pytest.approx(again[name].value), name


def test_what_is_ahead_in_entities_is_seen_on_the_same_texts() -> None:
    dice, texts = np.random.default_rng(2), np.repeat(np.arange(60), 5)
    truth = dice.choice(TAGS, 300)
    better, worse = (np.where(dice.random(300) < share, truth, "O") for share in (0.9, 0.6))
    ours, theirs = (Found.of(truth.tolist(), one.tolist(), texts).metrics["entity_f1"] for one in (better, worse))
    gap = difference_of_metrics(ours, theirs, texts)
    assert gap.low <= gap.value <= gap.high
    assert gap.is_claimed
    assert gap.units == 60
    assert not difference_of_metrics(ours, ours, texts).is_claimed


def test_entities_of_texts_in_one_group_do_not_run_together() -> None:
    task = Task("tags", "tagging", ("B-a", "I-a", "O"), words="blanks")
    truth = np.array([0, 0, 0, 0])
    outputs = np.eye(3)[[0, 1, 0, 0]]
    groups, texts = np.zeros(4), np.array([0, 1, 2, 3])
    assert metrics.measure(task, truth, outputs, groups, breaks=texts)["entity_f1"].value == 1.0
    assert metrics.measure(task, truth, outputs, groups)["entity_f1"].value < 1.0


def test_an_unknown_tag_is_an_entity_that_no_answer_finds() -> None:
    task = Task("tags", "tagging", ("B-a", "O"), words="blanks")
    truth, outputs = np.array([-1, 1, 0]), np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    measured = metrics.measure(task, truth, outputs, np.array([0, 0, 1]))
    assert measured["entity_recall"].value == 0.5
    assert [row["label"] for row in metrics.per_class(task, truth, outputs, np.array([0, 0, 1]))] == ["a"]


def test_kinds_of_entities_that_were_never_learned_have_their_own_names(data: hs.Dataset) -> None:
    model = hs.adapt(data, backbone="wordllama")
    new = hs.read([("fly over new york", "O O B-over I-over"), ("fly to denver then", "O O B-to O")])
    found = hs.evaluate(model, new)
    assert [(row["label"], row["n"]) for row in found.per_class if row["n"]] == [("over", 1), ("to", 1)]
    assert found.metrics["entity_recall"].n == len(new)
    words = {finding.code: finding.text for finding in found.findings}
    assert words["unseen_labels"] == "2 words with tags the model never saw (B-over, I-over): counted as wrong"
    assert words["few_groups"] == "only 2 texts to measure on: the intervals are rough"


def test_a_share_of_no_entities_is_left_out() -> None:
    task, texts = Task("tags", "tagging", ("B-a", "O"), words="blanks"), np.repeat(np.arange(5), 2)
    none, some = np.ones(10, dtype=int), np.array([0, 1] * 5)

    def names(truth: np.ndarray, said: np.ndarray) -> list[str]:
        return [*metrics.measure(task, truth, np.eye(2)[said], texts)]

    assert names(none, none) == ["accuracy"]
    assert names(none, some) == ["entity_f1", "entity_precision", "accuracy"]
    assert names(some, none) == ["entity_f1", "entity_recall", "accuracy"]
    assert names(some, some) == ["entity_f1", "entity_precision", "entity_recall", "accuracy"]
    (row,) = metrics.per_class(task, none, np.eye(2)[some], texts)
    assert (row["recall"], row["f1"]) == (None, 0.0)
    assert judge(task, none, np.eye(2)[none], np.eye(2)[some], texts, breaks=texts).also == {}


def test_texts_without_entities_are_measured(data: hs.Dataset) -> None:
    model = hs.adapt(data, backbone="wordllama")
    new = hs.read([("how are you", "O O O"), ("fine thanks for that", "O O O O"), ("a to b", "O O B-to")])
    found = hs.evaluate(model, new.take([*range(7)]))
    assert found.headline in found.baselines["majority"]
    assert "entity_recall" not in found.metrics
    assert found.as_dict()["metrics"]["accuracy"]["n"] == 7


def test_entities_are_not_measured_by_a_model_of_tags(data: hs.Dataset) -> None:
    model = hs.adapt(data, backbone="wordllama")
    with pytest.raises(DataError, match="in another way") as caught:
        hs.evaluate(model, hs.read([("to new york", [(3, 11, "to")]), ("to denver", [(3, 9, "to")])]))
    assert caught.value.got == "entities by their characters"


@pytest.mark.parametrize(
    ("strategy", "words"), [(hs.Classical(), "better: the interval lies wholly above that of"), (hs.Probe(), "the")]
)
def test_nothing_is_said_of_transfer_beside_one_tag_for_every_word(
    data: hs.Dataset, strategy: hs.Classical | hs.Probe, words: str
) -> None:
    train, test = data.split(test=0.4)
    found = hs.evaluate(hs.adapt(train, strategy=strategy, backbone="wordllama"), test)
    assert words in found.comparison
    assert "transfer" not in found.comparison
    assert "one tag for every word" in found.comparison


@pytest.mark.parametrize(
    ("text", "bared"),
    [
        ("dallas,", "dallas"),
        ("(boston).", "boston"),
        ("New York!", "New York"),
        ('"New', "New"),
        ("“Rom,”", "Rom"),
        ("'New York'", "New York"),
        ("James'", "James'"),
        ("Foo (Inc).", "Foo (Inc)"),
        ("U.S.", "U.S."),
        ("6 p.m.,", "6 p.m."),
        ("Yahoo !", "Yahoo !"),
        ("...", "..."),
    ],
)
def test_an_entity_leaves_out_the_signs_around_it(text: str, bared: str) -> None:
    words = words_of(f"see {text} now", "blanks")
    answers = [{"label": tag, "probability": 1.0} for tag in ["O", "B-x", *["I-x"] * (len(words) - 3), "O"]]
    said = tagging_of(words, answers, "blanks")
    (found,) = said["entities"]
    assert found["text"] == bared == f"see {text} now"[found["start"] : found["end"]]
    assert " ".join(said["words"]) == f"see {text} now"
    (kept,) = tagging_of(words, answers, "pieces")["entities"]
    assert kept["text"] == text


@given(st.text(st.sampled_from("ab.,'\"() “”"), min_size=1, max_size=20))
@settings(max_examples=200, deadline=None)
def test_a_bare_entity_holds_all_letters_of_its_words(text: str) -> None:
    words = words_of(text, "blanks")
    if words:
        start, end = bare(words)
        letters = [sign for sign in text[start:end] if sign.isalnum()]
        assert letters == [sign for sign in text if sign.isalnum()]
        assert words[0].start <= start < words[0].end
        assert words[-1].start < end <= words[-1].end


def test_tagged_texts_become_words_and_stay_whole(data: hs.Dataset) -> None:
    assert data.task.kind == "tagging"
    assert data.task.labels == ("B-from", "B-to", "I-from", "I-to", "O")
    assert "token labelling" in " ".join(data.notes)
    assert len(set(texts_of(data.inputs).tolist())) == len(data.wholes) == 40
    train, test = data.split(seed=3)
    assert not {one.text for one in train.inputs} & {one.text for one in test.inputs}
    for held in train.held_in_turn(3):
        inside, outside = train.take(held), train.take(~held)
        assert not {one.text for one in inside.inputs} & {one.text for one in outside.inputs}
    assert data.wholes.values[0] == flights()["tags"][0]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("O B-x I-x O", ["O", "B-x", "I-x", "O"]),
        (["O", "B-x", "I-x", "O"], ["O", "B-x", "I-x", "O"]),
        ("O B-x E-x S-y", ["O", "B-x", "I-x", "B-y"]),
        ([{"start": 4, "end": 12, "label": "x"}], ["O", "B-x", "I-x", "O"]),
        ([(4, 12, "x")], ["O", "B-x", "I-x", "O"]),
        (json.dumps([{"start": 4, "end": 12, "label": "x"}]), ["O", "B-x", "I-x", "O"]),
        ("O,B-x, I-x;O", ["O", "B-x", "I-x", "O"]),
        (json.dumps(["O", "B-x", "I-x", "O"]), ["O", "B-x", "I-x", "O"]),
        ("['O', 'B-x', 'I-x', 'O']", ["O", "B-x", "I-x", "O"]),
        (np.array(["O", "B-x", "I-x", "O"], dtype=object), ["O", "B-x", "I-x", "O"]),
        ([{"start": np.int64(4), "end": np.int64(12), "label": "a b"}], ["O", "B-a_b", "I-a_b", "O"]),
    ],
)
def test_tags_and_entities_are_read_however_they_are_written(cell: object, value: list[str]) -> None:
    data = hs.read([("see new york now", cell), ("see new york soon", cell)])
    assert data.task.kind == "tagging"
    assert [*data.values] == value * 2


def test_lists_of_words_are_texts(tmp_path: Path) -> None:
    rows = [{"tokens": ["see", "new", "york"], "tags": ["O", "B-x", "I-x"]}] * 2
    pd.DataFrame(rows).to_parquet(tmp_path / "words.parquet")
    for source in (pd.DataFrame(rows), tmp_path / "words.parquet"):
        data = hs.read(source, input="tokens", target="tags")
        assert data.inputs[1] == Word("see new york", 4, 7)
        assert data.values[:3] == ("O", "B-x", "I-x")


def test_names_of_classes_are_no_tags() -> None:
    assert hs.read([("a b", "S-class"), ("c d", "E-class"), ("e f", "S-class")]).task.kind == "classification"


@pytest.mark.parametrize(("cell", "words"), [([(0, 99, "x")], "beyond"), ("O O", "entities")])
def test_entities_that_do_not_fit_are_refused(cell: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        hs.read([("a b", [(0, 1, "x")]), ("c d", cell)], task="tagging")


def test_entities_that_cut_words_take_them_whole_and_that_is_said() -> None:
    data = hs.read([("see Bostonians, now", [(4, 10, "city")]), ("see Dallas, now", [(4, 10, "city")])])
    assert [str(word) for word in data.inputs[:4]] == ["see", "Bostonians", ",", "now"]
    assert [*data.values] == ["O", "B-city", "O", "O"] * 2
    assert "row 1" in codes(data)["entities_cut_words"]
    assert "row 2" not in codes(data)["entities_cut_words"]


def test_broken_tags_are_mended_and_said() -> None:
    data = hs.read([("a b c", "O I-x I-y"), ("a b d", "O B-x I-x")])
    assert [*data.values] == ["O", "B-x", "B-y", "O", "B-x", "I-x"]
    assert "row 1" in codes(data)["tags_mended"]
    assert marked(["S-x", "E-x"]) == ["B-x", "I-x"]


def test_rows_whose_tags_do_not_fit_are_left_out_and_said() -> None:
    data = hs.read([("a b c", "O B-x"), ("a b", "O B-x"), ("c d", "B-y O")])
    assert len(data) == 4
    assert "row 1 (2 tags, 3 words)" in codes(data)["tags_mismatch"]
    with pytest.raises(DataError, match="fit no text"):
        hs.read([("a b c", "O B-x"), ("a b c d", "O B-x")])


def test_what_is_no_tag_is_refused() -> None:
    with pytest.raises(DataError, match="row 2") as caught:
        hs.read([("a b", "O B-x"), ("a b", "O what")], task="tagging")
    assert "'what'" in str(caught.value)
    with pytest.raises(DataError, match="row 2"):
        hs.read([("a b", "O B-x"), ("a b", "O what"), *[(f"a c {n}", "O O B-x") for n in range(18)]])
    with pytest.raises(DataError, match=r"row 2 .* no number of characters"):
        hs.read([("a b", [(0, 1, "x")]), ("a b", [{"start": "0", "end": 1, "label": "x"}])])
    with pytest.raises(DataError, match=r"row 1 .*overlap"):
        hs.read([("a b", [(0, 2, "x"), (1, 3, "y")]), ("a b", [])], task="tagging")


@pytest.mark.parametrize("tag", ["O", "B-x"])
def test_one_tag_teaches_nothing(tag: str) -> None:
    data = hs.read([(f"fly to {n}", " ".join([tag] * 3)) for n in "abcdefgh"])
    assert data.task.kind == "tagging"
    with pytest.raises(DataError, match="only one tag in") as caught:
        hs.check(data)
    assert "folders" not in str(caught.value)


def test_what_is_said_while_reading_is_said_of_texts() -> None:
    rows = [*((f"fly to {n}", "O O B-x") for n in "abcdefgh"), ("", "O"), ("fly off", ""), ("fly", "O")]
    told = codes(hs.read(pd.DataFrame(rows, columns=["text", "tags"]), target="tags", task="tagging"))
    assert told["empty_texts"].startswith("1 text empty")
    assert told["missing_labels"].startswith("1 text without a usable")


def test_groups_that_are_no_texts_are_called_groups(data: hs.Dataset) -> None:
    frame = flights().assign(document=[str(n // 4) for n in range(40)])
    grouped = hs.read(frame, input="text", target="tags", group="document")
    assert (
        data.called("2 groups of 9 examples with 'example' and --group")
        == "2 texts of 9 words with 'example' and --group"
    )
    assert grouped.called("one example, one group.") == "one word, one group."


def test_several_targets_cannot_hold_tags(data: hs.Dataset) -> None:
    frame = flights().assign(kind=["a", "b"] * 20)
    with pytest.raises(OptionError, match="alone"):
        hs.read(frame, input="text", target=["tags", "kind"])


def test_tags_are_not_added_to_a_model_of_another_target(
    data: hs.Dataset, text_model: hs.Model, tmp_path: Path
) -> None:
    saved = text_model.save(tmp_path / "m.headstart")
    with pytest.raises(OptionError, match="alone"):
        hs.add_target(saved, flights(), input="text", target="tags")


def test_a_word_is_the_mean_of_its_own_tokens(data: hs.Dataset) -> None:
    backbone = hs.load_backbone("minilm_l6")
    word = next(one for one in data.inputs if str(one) == "francisco")
    tokenizer = backbone.prepare.tokenizer
    batch = tokenizer([word.text], return_tensors="pt", return_offsets_mapping=True)
    offsets = batch.pop("offset_mapping")[0].tolist()
    with torch.no_grad():
        hidden = backbone.trunk.encoder(**batch).last_hidden_state[0]
    own = [n for n, (start, end) in enumerate(offsets) if word.start <= start < end <= word.end]
    wanted = torch.nn.functional.normalize(hidden[own].mean(0), dim=0).numpy()
    assert np.allclose(extract(backbone, [word])[0], wanted, atol=1e-5)


def test_words_do_not_depend_on_what_they_are_read_with(data: hs.Dataset) -> None:
    backbone = hs.load_backbone("minilm_l6")
    words = [*data.inputs[:30]]
    features = extract(backbone, words)
    assert np.allclose(features, extract(backbone, words, batch_size=1), atol=1e-5)
    assert np.allclose(features[::-1], extract(backbone, words[::-1]), atol=1e-5)
    middle = extract(backbone, words, cut=3)
    assert middle.shape == features.shape
    assert not np.allclose(middle, features, atol=1e-2)


@given(st.integers(1, 400), st.integers(0, 399))
@settings(max_examples=60, deadline=None)
def test_every_word_of_a_long_text_is_read(n: int, place: int) -> None:
    prepare = hs.load_backbone("wordllama").prepare
    short = type(prepare)(prepare.tokenizer, 32, special=False)
    text = " ".join(f"word{number}" for number in range(n))
    word = words_of(text, "blanks")[min(place, n - 1)]
    (own,) = short.encode([word])
    assert isinstance(own, Marked)
    assert 0 <= own.first < own.last <= len(own) <= 32
    assert str(word) in prepare.tokenizer.decode(own[own.first : own.last]).replace(" ", "")


@pytest.mark.parametrize("length", [25, 31, 40, 70, 700])
def test_a_word_that_is_longer_than_what_is_read_has_tokens(length: int) -> None:
    prepare = hs.load_backbone("minilm_l6").prepare
    short = type(prepare)(prepare.tokenizer, 32)
    text = "the city of " + "好" * length + " is large"
    for own in short.encode(words_of(text, "blanks")):
        assert isinstance(own, Marked)
        assert 0 <= own.first < own.last <= len(own) <= 32


def test_a_tie_of_like_texts_is_a_share_of_texts() -> None:
    rows = [(f"flight from boston to denver number {n % 10}", "O O B-a O B-b O O") for n in range(30)]
    rows += [(" ".join(f"w{n}x{k}" for k in range(8)), "O O O O O O O B-a") for n in range(30)]
    data = hs.read(rows)
    assert data.tied_too_widely.sum() == data.wholes.tied_too_widely.sum() * 7
    assert "near_duplicates_not_tied" in codes(data)


def test_neighbours_count_without_transfer() -> None:
    word = words_of("fly from St. Paul's 2", "blanks")[2]
    assert word.around.split() == ["p_from", "w_St_", "n_Paul_s", "b_St_", "e_St_"[:4] + "_", "s_capital"]
    assert words_of("a", "blanks")[0].around.startswith("p__ w_a n__")


def test_batches_hold_whole_texts_and_kept_states_are_those_computed(data: hs.Dataset) -> None:
    backbone = hs.load_backbone("minilm_l6")
    kept = states_at(backbone, data.inputs, 4)
    anew = states_at(backbone, data.inputs, 4, storage="none")
    assert kept.parts is not None
    assert len(kept.kept[0]) == 40
    batches = batches_of(kept, np.arange(len(data)), 8, (0, 0))
    assert sorted(place for batch in batches for place in batch) == [*range(len(data))]
    assert len(batches) == 5
    for batch in batches:
        assert len({int(kept.parts[place]) for place in batch}) == 8
        with torch.no_grad():
            one, other = (backbone.above(*states.batch(batch), 4) for states in (kept, anew))
        assert torch.allclose(one, other, atol=1e-5)


def test_tags_are_learned_and_saved(data: hs.Dataset, tmp_path: Path) -> None:
    train, test = data.split(test=0.3)
    model = hs.adapt(train, strategy=hs.FineTune(cut=3, epochs=8, rate=2e-4))
    found = hs.evaluate(model, test, train=train)
    assert found.headline == "entity_f1"
    assert found.metrics["entity_f1"].value > 0.9
    assert set(found.baselines) == {"lexicon", "classical"}
    assert found.metrics["entity_f1"].units == len(test.wholes)
    assert {row["label"] for row in found.per_class} == {"from", "to"}
    (answer,) = model.predict(["fly from boston to new york"])
    assert answer.answer["words"] == ["fly", "from", "boston", "to", "new", "york"]
    assert [one["text"] for one in answer.answer["entities"]] == ["boston", "new york"]
    again = hs.load(model.save(tmp_path / "m.headstart"))
    assert again.task == model.task
    assert again.predict(["fly from boston to new york"])[0].answer["tags"] == answer.answer["tags"]
    assert np.allclose(again.outputs(test.inputs), model.outputs(test.inputs), atol=1e-5)


def test_the_lexicon_gives_each_word_its_commonest_tag() -> None:
    data = hs.read([("a b", "O B-x"), ("a b", "O B-x"), ("c b", "O B-y")])
    asked = [Word("b z", 0, 1), Word("b z", 2, 3)]
    outputs = baselines.lexicon(data, data.take([0, 1]), data.task)
    assert data.task.labels[int(outputs[1].argmax())] == "B-x"
    assert [str(word) for word in asked] == ["b", "z"]


def test_the_main_job_on_tags(headstart: Callable[..., Said], tmp_path: Path) -> None:
    flights(60).to_csv(tmp_path / "flights.csv", index=False)
    out = tmp_path / "m.headstart"
    said = headstart("fit", tmp_path / "flights.csv", "--backbone", "wordllama", "--out", out, "--json")
    assert said.code == 0, said.err
    assert said.json["task"] == "tagging"
    assert said.json["headline"] == "entity_f1"
    page = html.unescape((tmp_path / "m.report.html").read_text())
    assert "entity F1" in page
    assert "tags learned from" in page
    shown = headstart("fit", tmp_path / "flights.csv", "--backbone", "wordllama", "--out", out)
    assert "entity F1" in shown.out
    sentences = [said.json["proof"]["sentence"], *said.json["notes"], *(one["text"] for one in said.json["warnings"])]
    assert "test texts" in sentences[0]
    for text in (page, shown.out, *sentences):
        assert not re.search(
            r"\b(examples?|groups?|labels?)\b(?![_.])", re.sub(r"<style.*?</style>", "", text, flags=re.S)
        )
    flights(90)[60:].to_csv(tmp_path / "new.csv", index=False)
    measured = headstart("evaluate", out, tmp_path / "new.csv")
    assert "test words" in measured.out
    assert "better: the interval lies wholly above that of the majority baseline (one tag for every word)" in " ".join(
        measured.out.split()
    )
    answered = headstart("predict", out, "fly from denver to st. paul")
    assert "denver" in answered.out
    ranked = headstart("rank", tmp_path / "flights.csv", "--backbones", "wordllama", "--json")
    assert ranked.code == 0, ranked.err
    assert not any("example" in note for note in ranked.json["notes"])
    shown = headstart("rank", tmp_path / "flights.csv", "--backbones", "wordllama")
    assert "training words" in shown.out
    assert "example" not in shown.out
