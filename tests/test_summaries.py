"""Summaries: sentences that are chosen, texts that are written, and how both are measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer

import headstart as hs
from headstart.backbones.backbone import Backbone
from headstart.backbones.classical import Vocabulary
from headstart.backbones.decoders import by_token, pooled
from headstart.backbones.sources import load_backbone
from headstart.backbones.writers import Writer, numbered
from headstart.errors import BackboneError, OptionError
from headstart.extracts import BESIDE, Decoding, Documents
from headstart.summaries import oracles, summary_metrics
from headstart.writing.oracles import oracle
from headstart.writing.overlap import copied, novel_bigrams, rouge
from headstart.writing.sentences import sentences_of
from headstart.writing.texts import Written, as_array, packed, unpacked
from headstart.writing.words import words_of

from .conftest import Said
from .tiny import text_backbone, tokenizer
from .tiny import texts as small_texts

THINGS = [
    "river",
    "mountain",
    "engine",
    "garden",
    "market",
    "school",
    "bridge",
    "forest",
    "museum",
    "theatre",
    "harbour",
    "station",
]
FILLER = ["The weather was mild that day.", "Nobody was surprised by it.", "More is to follow next week."]


def rows(n: int = 48) -> list[tuple[str, str]]:
    """Texts whose summary is the sentence that begins with "We", wherever it stands."""
    found = []
    for place in range(n):
        one, other = THINGS[place % len(THINGS)], THINGS[(place * 5 + 1) % len(THINGS)]
        core = f"We propose a new {one} for every {other} number {place}."
        filler = [f"{text[:-1]} in {other} {place}." for text in FILLER]
        filler.insert(place % 4, core)
        found.append((" ".join(filler), f"A new {one} for every {other} number {place} is proposed."))
    return found


def data(n: int = 48) -> hs.Dataset:
    return hs.read(rows(n), task="summarization")


def texts(model: hs.Model, inputs: list[str]) -> list[str]:
    return [one.answer["summary"] for one in model.predict(inputs)]


def test_rouge_is_what_the_paper_counts() -> None:
    reference, answer = "police killed the gunman", "police kill the gunman"
    assert rouge(reference, answer) == pytest.approx((0.75, 1 / 3, 0.75))
    assert rouge(reference, "the gunman kill police")[2] == pytest.approx(0.5)


@given(st.lists(st.sampled_from("abcd"), max_size=12), st.lists(st.sampled_from("abcd"), max_size=12))
def test_rouge_is_what_the_library_counts(one: list[str], other: list[str]) -> None:
    found = RougeScorer(["rouge1", "rouge2", "rougeL"]).score(" ".join(one), " ".join(other))
    assert rouge(" ".join(one), " ".join(other)) == pytest.approx(tuple(each.fmeasure for each in found.values()))


def test_other_scripts_are_not_counted_as_nothing() -> None:
    assert rouge("Größe der Tür", "die Größe der Tür")[0] > 0.8
    assert rouge("猫坐在垫子上", "猫在垫子上")[0] > 0.8


def test_plain_english_is_counted_as_the_library_counts() -> None:
    text = "The snake_case COVID-19 price's 1,234.5 (2nd) is don't—no: A.B.C. e-mail's x"
    assert list(words_of(text)) == DefaultTokenizer(use_stemmer=False).tokenize(text)


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_is_counted_as_the_library_counts(text: str) -> None:
    assert list(words_of(text)) == DefaultTokenizer(use_stemmer=False).tokenize(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("हिन्दी में लिखा", ["हिन्दी", "में", "लिखा"]),
        ("ที่นี่ดี", ["ที่", "นี่", "ดี"]),
        ("한국어 단어", ["한국어", "단어"]),
        ("\u1112\u1161\u11ab", ["한"]),
        ("猫がカー・abc", ["猫", "が", "カ", "ー", "abc"]),
        ("\u4e30\u8c48\uf900", ["\u4e30", "\u8c48", "\u8c48"]),
        ("\U00020001\U00030001", ["\U00020001", "\U00030001"]),
        ("Nai\u0308ve Größe", ["na\u00efve", "größe"]),
        ("q\u0323x", ["q\u0323x"]),
        ("ﾈｺ", ["ﾈ", "ｺ"]),
        ("\u8d77\uabcd", ["\u8d77", "\uabcd"]),
        ("ꀀꀁ", ["ꀀꀁ"]),
    ],
)
def test_words_are_those_of_their_script(text: str, words: list[str]) -> None:
    assert list(words_of(text)) == words


WRAPPED = """We propose a new method for the summarization of long
scientific texts. It reads every sentence once, and
scores it by what the reference says of it in the
training data.

Two experiments show that it is faster than what has been
known before. It is simple."""


def test_wrapped_lines_are_no_sentences() -> None:
    assert sentences_of(WRAPPED) == (
        "We propose a new method for the summarization of long scientific texts.",
        "It reads every sentence once, and scores it by what the reference says of it in the training data.",
        "Two experiments show that it is faster than what has been known before.",
        "It is simple.",
    )


@pytest.mark.parametrize(
    "text",
    [
        "#Person1#: Hi, how are you today my friend\n#Person2#: I am well. And you\n#Person1#: Well, thanks a lot",
        "anna: hi there how are you\nbert: i am well and you\nanna: i am well too",
        "the cats sleep all day .\nthe dogs run all day .\nit rains all day long .",
        "hello\nhow are you and what have you done since we met\nwell\nnot much",
        "a) the first of the points\nb) the second of the points\nc) the third of the points",
    ],
)
def test_turns_and_lists_keep_their_lines(text: str) -> None:
    assert sentences_of(text) == tuple(text.split("\n"))


@pytest.mark.parametrize("text", [" ".join(f"word{place}" for place in range(20_000)), "猫" * 20_000])
def test_a_sentence_without_an_end_is_bounded(text: str) -> None:
    pieces = sentences_of(text)
    assert max(len(words_of(one)) for one in pieces) <= 200
    assert len(pieces) < 250
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")


def test_sentences_are_lines_where_there_are_several() -> None:
    assert sentences_of("Dr. Smith went home. He slept.") == ("Dr. Smith went home.", "He slept.")
    assert sentences_of("#A: Hi. How are you?\n#B: Well.") == ("#A: Hi. How are you?", "#B: Well.")
    assert sentences_of("") == ("",)


def test_the_oracle_takes_what_says_the_reference_best() -> None:
    text = "Cats sleep. The dog ran to the river. It rained."
    assert oracle("the dog ran to the river", text).places == (1,)
    assert oracle("nothing alike whatsoever", "Cats sleep.").places == (0,)
    assert oracle("", text).score == 0.0


def lines(rng: np.random.Generator, most: int, words: str) -> list[str]:
    return [" ".join(rng.choice(list(words), rng.integers(1, 9))) for _ in range(rng.integers(1, most))]


def score(reference: str, sentences: Sequence[str], places: Sequence[int]) -> float:
    return rouge(reference, " ".join(sentences[place] for place in places))[2]


@pytest.mark.parametrize("seed", range(40))
def test_the_oracle_is_the_ceiling_of_the_headline(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sentences, reference = lines(rng, 9, "abcdefghijkl"), " ".join(rng.choice(list("abcdefghijkl"), 12))
    text = "\n".join(sentences)
    own = sentences_of(text)
    found = oracle(reference, text)
    every = [places for k in range(1, len(own) + 1) for places in combinations(range(len(own)), k)]
    assert found.is_exact
    assert found.score == pytest.approx(score(reference, own, found.places))
    assert found.score == pytest.approx(max(score(reference, own, places) for places in every))


def test_an_oracle_that_is_not_exact_is_no_worse_than_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.writing.oracles.STEPS", 10)
    rng = np.random.default_rng(0)
    for _ in range(10):
        sentences, reference = lines(rng, 60, "abcdefghijkl"), " ".join(rng.choice(list("abcdefghijkl"), 60))
        own = sentences_of("\n".join(sentences))
        known = [tuple(np.flatnonzero(rng.random(len(own)) < 0.3).tolist()) for _ in range(5)]
        found = oracle(reference, "\n".join(sentences), known)
        best = max(score(reference, own, places) for places in [*known, *((place,) for place in range(len(own)))])
        assert found.score >= best


def test_what_is_copied_and_what_is_new() -> None:
    assert copied("a b", "a b c") == 1.0
    assert novel_bigrams("a c", "a b c") == 1.0
    assert novel_bigrams("", "a b") is None


def test_sentences_are_put_together_in_their_order_and_without_repeating() -> None:
    sentences = ["one two three four", "one two three five", "six seven eight nine"]
    scores = np.array([0.1, 0.9, 0.8])
    assert Decoding(2).places(scores, sentences) == (1, 2)
    assert Decoding(3, is_varied=True).places(scores, sentences) == (1, 2)
    assert Decoding(1, share=0.7).places(scores, sentences) == (1, 2)


def test_an_array_of_texts_survives_being_kept() -> None:
    before = as_array([Written("a", "of this", (0, 2)), Written("ä", "of that"), ""])
    after = unpacked(packed(before))
    assert after.tolist() == before.tolist()
    assert [one.places for one in after] == [(0, 2), None, None]


def test_metrics_carry_intervals_and_the_ceiling_is_above() -> None:
    own = data()
    truth = own.task.encode(own.values)
    lead = as_array([sentences_of(str(text))[0] for text in own.inputs])
    ceiling, exact = oracles(truth)
    found, best = (summary_metrics(truth, answers) for answers in (lead, ceiling))
    assert list(found) == ["rougeL", "rouge1", "rouge2", "length", "copied", "novel_bigrams"]
    assert found["rougeL"].value < best["rougeL"].value
    assert exact == len(truth)
    assert list(best) == ["rougeL", "rouge1", "rouge2", "length"]


def test_the_main_job_chooses_sentences(headstart: Callable[..., Said], tmp_path: Path) -> None:
    table = tmp_path / "papers.jsonl"
    table.write_text("\n".join(json.dumps({"text": text, "summary": summary}) for text, summary in rows()))
    out = tmp_path / "m.headstart"
    said = headstart("fit", table, "--target", "summary", "--backbone", "wordllama", "--out", out, "--json")
    answer = said.json
    assert answer["task"] == "summarization"
    assert any("summarization" in note for note in answer["notes"])
    assert answer["headline"] == "rougeL"
    assert set(answer["baselines"]) >= {"majority", "centroid"}
    assert answer["metrics"]["rougeL"]["value"] > answer["baselines"]["majority"]["value"]
    assert answer["ahead"]["majority"]["low"] > 0
    assert answer["ceilings"]["oracle"]["rougeL"]["value"] >= answer["metrics"]["rougeL"]["value"]
    assert "Side by side" in Path(answer["report"]).read_text()
    text = rows()[5][0]
    one = headstart("predict", out, text, "--json").json["predictions"][0]
    assert one["summary"] in text
    assert [sentences_of(text)[place] for place in one["sentences"]] == [one["summary"]]
    again = headstart("evaluate", out, table, "--json").json
    assert {name: one["n"] for name, one in again["ahead"].items()} == dict.fromkeys(
        ("majority", "centroid", "oracle"), 8
    )
    assert again["ahead"]["majority"] == answer["ahead"]["majority"]
    assert again["ahead"]["oracle"] == answer["ahead"]["oracle"]
    assert again["ahead"]["oracle"]["value"] <= 0
    assert again["exact_ceilings"] == 8
    assert again["comparison"].startswith("better than the ")
    screen = headstart("evaluate", out, table).out
    gap = answer["ahead"]["majority"]
    shown = f"{100 * gap['value']:.1f} points [{100 * gap['low']:.1f}, {100 * gap['high']:.1f}]"
    assert f"ahead of the first sentences by {shown}" in screen
    assert "the best extract" in screen
    page = Path(answer["report"]).read_text()
    assert f"ahead of the first sentences by {shown}" in page
    assert "<th>the best extract</th>" in page
    assert headstart("compare", table, "--target", "summary", "--backbone", "wordllama", "--json").code == 0


@pytest.mark.parametrize("strategy", [hs.Majority(), hs.Classical(), hs.Probe()], ids=lambda one: one.name)
def test_what_chooses_sentences_is_saved_and_answers_alike_whatever_the_batch(
    strategy: hs.Strategy, tmp_path: Path
) -> None:
    own = data(24)
    model = hs.adapt(own, backbone="wordllama", strategy=strategy)
    inputs = [str(text) for text in own.inputs]
    answers = texts(model, inputs)
    assert texts(hs.load(model.save(tmp_path / "m")), inputs) == answers
    assert [texts(model, [one])[0] for one in inputs] == answers
    assert texts(hs.adapt(own, backbone="wordllama", strategy=strategy), inputs) == answers


def folder_of(model: transformers.PreTrainedModel, place: Path) -> Backbone:
    model.generation_config = transformers.GenerationConfig()
    model.save_pretrained(place)
    tokenizer().save_pretrained(place)  # type: ignore[attr-defined]
    return load_backbone(str(place))


def t5() -> transformers.PreTrainedModel:
    config = transformers.T5Config(
        vocab_size=30522, d_model=32, d_ff=64, num_layers=2, num_heads=2, d_kv=16, pad_token_id=0
    )
    return transformers.T5ForConditionalGeneration(config)


def bart() -> transformers.PreTrainedModel:
    sizes = {f"{part}_{name}": value for part in ("encoder", "decoder") for name, value in SIZES.items()}
    config = transformers.BartConfig(
        vocab_size=30522, d_model=32, max_position_embeddings=64, pad_token_id=0, bos_token_id=101, eos_token_id=102,
        decoder_start_token_id=102, forced_eos_token_id=None, **sizes,
    )  # fmt: skip
    return transformers.BartForConditionalGeneration(config)


def gpt2() -> transformers.PreTrainedModel:
    config = transformers.GPT2Config(
        vocab_size=30522, bos_token_id=101, eos_token_id=102, n_embd=32, n_layer=2, n_head=2, n_positions=64
    )
    return transformers.GPT2LMHeadModel(config)


def llama() -> transformers.PreTrainedModel:
    config = transformers.LlamaConfig(
        vocab_size=30522, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


OF_HUB = {"t5": t5, "bart": bart, "gpt2": gpt2, "llama": llama}
SIZES = {"layers": 2, "attention_heads": 2, "ffn_dim": 64}


@pytest.fixture(params=["bert", "t5", "bart", "gpt2", "llama"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Backbone:
    if request.param == "bert":
        return text_backbone()
    return folder_of(OF_HUB[request.param](), tmp_path / request.param)


def test_what_writes_is_saved_and_writes_alike_whatever_the_batch(source: Backbone, tmp_path: Path) -> None:
    own = data(16)
    before = {name: one.clone() for name, one in source.trunk.state_dict().items()}
    model = hs.adapt(own, backbone=source, strategy=hs.FineTune(cut=1, epochs=1, batch_size=8))
    assert all(bool((one == source.trunk.state_dict()[name]).all()) for name, one in before.items())
    inputs = [str(text) for text in own.inputs]
    answers = texts(model, inputs)
    assert model.record["decoding"]["beams"] == (1 if model.writer is not None and model.writer.continues else 4)
    assert texts(hs.load(model.save(tmp_path / "m")), inputs) == answers
    assert [texts(model, [one])[0] for one in inputs] == answers
    again = hs.adapt(own, backbone=source, strategy=hs.FineTune(cut=1, epochs=1, batch_size=8))
    assert texts(again, inputs) == answers
    frozen = by_token(source).replay.plan.frozen(1)
    for name in frozen:
        pairs = zip(
            source.trunk.get_submodule(name).parameters(),
            model.backbone.trunk.get_submodule(name).parameters(),
            strict=True,
        )
        assert all(bool((one.cpu() == other.cpu()).all()) for one, other in pairs)


def test_an_encoder_that_learns_to_write_favours_the_tokens_of_the_text() -> None:
    plain = text_backbone()
    source = by_token(plain)
    writer = Writer.above(source)
    batch = source.prepare(["river bridge", "school"])
    seen = numbered(source.whole(batch), batch)
    bonus = writer._bonus(seen)
    assert bonus is not None
    for row, mask, own in zip(batch["input_ids"], batch["attention_mask"], bonus, strict=True):
        wanted = torch.zeros(writer.tokens)
        wanted[row[mask == 1]] = 1.0
        wanted[writer.tokenizer.all_special_ids] = 0.0
        assert wanted.sum() > 0
        assert bool((own == wanted).all())
    model = hs.adapt(data(16), backbone=plain, strategy=hs.FineTune(epochs=1, batch_size=4))
    assert model.writer is not None
    assert all(bool((one != 0).any()) for name, one in model.writer.tensors().items() if name.startswith("chooser"))


def test_an_encoder_decoder_begins_with_its_own_decoder(tmp_path: Path) -> None:
    whole = t5()
    writer = Writer.above(folder_of(whole, tmp_path / "t5"))
    name, own = next((name, one) for name, one in writer.tensors().items() if "EncDecAttention" in name)
    assert bool((whole.state_dict()[name] == own).all())


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_causal_model_learns_by_lora_what_comes_after_a_prompt(name: str, tmp_path: Path) -> None:
    own, source = data(16), folder_of(OF_HUB[name](), tmp_path / name)
    model = hs.adapt(own, backbone=source, strategy=hs.LoRA(epochs=1, batch_size=4, rate=1e-2))
    inputs = [str(text) for text in own.inputs]
    answers = texts(model, inputs)
    assert texts(hs.load(model.save(tmp_path / "m")), inputs) == answers
    assert [texts(model, [one])[0] for one in inputs] == answers
    assert model.writer is not None
    head, plain = model.writer.tensors()["weight"], Writer.above(by_token(source)).tensors()["weight"]
    assert bool((head == plain).all())


@pytest.mark.parametrize("name", ["t5", "gpt2"])
def test_a_source_with_a_decoder_is_asked_as_it_is(name: str, tmp_path: Path) -> None:
    own, source = data(12), folder_of(OF_HUB[name](), tmp_path / name)
    model = hs.adapt(own, backbone=source, strategy=[hs.Probe(), hs.ZeroShot()])
    assert [arm["strategy"] for arm in model.record["arms"]] == ["probe", "zeroshot"]
    model = hs.adapt(own, backbone=source, strategy=hs.ZeroShot())
    inputs = [str(text) for text in own.inputs]
    answers = texts(model, inputs)
    assert texts(hs.load(model.save(tmp_path / "m")), inputs) == answers
    assert [texts(model, [one])[0] for one in inputs[:3]] == answers[:3]


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_causal_model_says_which_label_it_finds_likeliest(name: str, tmp_path: Path) -> None:
    own, source = small_texts(), folder_of(OF_HUB[name](), tmp_path / name)
    model = hs.adapt(own, backbone=source, strategy=hs.ZeroShot())
    outputs = model.outputs(own.inputs)
    assert outputs.shape == (len(own), 2)
    assert outputs.sum(1) == pytest.approx(1)
    assert np.allclose(hs.load(model.save(tmp_path / "m")).outputs(own.inputs), outputs, atol=1e-5)
    assert np.allclose(model.outputs(own.inputs[:1]), outputs[:1], atol=1e-5)
    tuned = hs.adapt(own, backbone=source, strategy=[hs.Probe(), hs.LoRA(epochs=1)])
    assert {arm["strategy"] for arm in tuned.record["arms"]} == {"probe", "lora"}


def test_a_source_without_a_decoder_cannot_be_asked() -> None:
    with pytest.raises(OptionError, match="cannot be asked for"):
        hs.adapt(data(12), backbone=text_backbone(), strategy=hs.ZeroShot())


def test_what_was_made_here_goes_on_writing(tmp_path: Path) -> None:
    own = data(12)
    model = hs.adapt(own, backbone=text_backbone(), strategy=hs.FineTune(epochs=1))
    source = load_backbone(str(model.save(tmp_path / "m.headstart")))
    asked = hs.adapt(own, backbone=source, strategy=hs.ZeroShot())
    inputs = [str(text) for text in own.inputs]
    assert texts(asked, inputs) == texts(model, inputs)
    again = hs.adapt(own, backbone=source, strategy=hs.FineTune(epochs=1))
    assert again.backbone.card.lineage[0] == "m.headstart"
    labels = hs.adapt(small_texts(), backbone=source)
    assert labels.record["strategy"] == "probe"


def test_an_encoder_gives_its_layers_to_the_decoder() -> None:
    source = text_backbone()
    tensors = Writer.above(by_token(source)).tensors()
    given = source.trunk.get_submodule("encoder").state_dict()
    own = tensors["decoder.bert.encoder.layer.1.attention.self.query.weight"]
    assert bool((own == given["encoder.layer.2.attention.self.query.weight"]).all())


def test_what_pools_is_what_it_was_once_it_has_written() -> None:
    source = text_backbone()
    back = pooled(by_token(source))
    assert back.architecture["pooling"] == source.architecture["pooling"]
    assert np.array_equal(hs.extract(back, ["a text"]), hs.extract(source, ["a text"]))


def test_strategies_are_compared_and_a_killed_run_goes_on(tmp_path: Path) -> None:
    own, other = data(36), hs.read(rows(60)[36:], task="summarization")
    arms = [hs.Probe(), hs.FineTune(cut=2, epochs=1), hs.FromScratch(network="small", epochs=1)]

    class KilledError(Exception):
        pass

    def kill(phase: str, done: int, total: int) -> None:
        if phase.startswith("learning from scratch") and done == total:
            raise KilledError

    whole = hs.adapt(own, backbone=text_backbone(), strategy=arms, validation=other, checkpoint=tmp_path / "a")
    with pytest.raises(KilledError):
        hs.adapt(
            own, backbone=text_backbone(), strategy=arms, validation=other, checkpoint=tmp_path / "b", progress=kill
        )
    resumed = hs.adapt(own, backbone=text_backbone(), strategy=arms, validation=other, checkpoint=tmp_path / "b")
    assert resumed.record["arms"] == whole.record["arms"]
    assert [arm["strategy"] for arm in whole.record["arms"]] == ["probe", "finetune", "scratch"]
    assert whole.record["arms"][0]["chosen"]


def test_odd_summaries_are_said() -> None:
    own = [
        *rows(12),
        ("A single sentence stands here.", "It is shorter, or is it not, who knows that?"),
        ("A text.", ""),
    ]
    found = hs.read([{"text": text, "summary": summary} for text, summary in own], target="summary")
    codes = {finding.code: finding.text for finding in found.findings}
    assert "1 example without a usable 'summary', left out: row 14" in codes["missing_labels"]
    from headstart.data import check

    codes = {finding.code: finding.text for finding in check(found)}
    assert "1 summary no shorter than the text: row 13" in codes["long_summaries"]
    assert "1 text of one sentence is its own extract: row 13" in codes["single_sentences"]


def test_a_model_is_not_held_beside_itself() -> None:
    found = hs.evaluate(
        hs.adapt(data(24), backbone="wordllama", strategy=hs.Majority()), hs.read(rows(60)[24:], task="summarization")
    )
    assert found.ahead["majority"].value == 0
    assert not any("the first sentences" in line for line in found.paired)
    assert "the centroid" in found.comparison


def test_a_reference_without_a_word_is_none() -> None:
    own = [*rows(12), ("A text. It is short.", "..."), ("Another one. It is shorter.", "—")]
    found = hs.read([{"text": text, "summary": summary} for text, summary in own], target="summary")
    codes = {finding.code: finding.text for finding in found.findings}
    assert len(found) == 12
    assert "2 examples without a usable 'summary', left out: row 13, row 14" in codes["missing_labels"]


def test_references_of_other_texts_are_said() -> None:
    from headstart.data import check

    texts = [text for text, _ in rows(12)]
    other = [f"Katzen schlafen gern lange nachts {place}x" for place in range(12)]
    found = hs.read(list(zip(texts, other, strict=True)), task="summarization")
    assert "share almost no words" in {one.code: one.text for one in check(found)}["unrelated_references"]
    assert "unrelated_references" not in {one.code for one in check(data(12))}


@pytest.mark.parametrize(
    "target",
    [
        "https://www.example.com/a/b/c/{}",
        "{} Station Road, Upper Floor, London W{}",
        "/home/me/some folder/with names/in it/file {}.txt",
        "Alice B. Carol, Dan E. Frank, Gina {}",
    ],
)
def test_what_says_nothing_of_the_texts_is_no_summary(target: str) -> None:
    table = [{"text": text, "other": target.format(place, place)} for place, (text, _) in enumerate(rows(24))]
    assert hs.read(table, input="text", target="other").task.kind == "classification"
    assert hs.read(table, input="text", target="other:summarization").task.kind == "summarization"


def test_summaries_in_a_script_without_blanks_are_recognised() -> None:
    table = [{"text": f"今天天气很好第{n}天。我们去公园散步{n}次。", "short": f"天气好去公园{n}天"} for n in range(24)]
    found = hs.read(table, target="short")
    assert found.task.kind == "summarization"
    from headstart.data import check

    assert "long_summaries" not in {one.code for one in check(found)}
    beside = Documents.of(["今天天气很好。好。"]).beside(np.zeros(2))
    assert beside[0, BESIDE.index("words")] > beside[1, BESIDE.index("words")]
    assert {"今", "天", "今 天", "abc"} <= set(Vocabulary.of(["今天天气abc"]).words)


def test_a_summary_is_the_only_target() -> None:
    own = [{"text": text, "summary": summary, "label": str(n % 2)} for n, (text, summary) in enumerate(rows(12))]
    with pytest.raises(OptionError, match="is learned alone"):
        hs.read(own, input="text", target=["summary", "label"])


def test_what_cannot_write_says_so() -> None:
    with pytest.raises(BackboneError, match="wordllama cannot write"):
        hs.adapt(data(16), backbone="wordllama", strategy=hs.FineTune())
    with pytest.raises(OptionError, match="not for summaries"):
        hs.adapt(data(16), backbone=text_backbone(), strategy=hs.Refine())


def test_documents_know_their_sentences() -> None:
    found = Documents.of(["Cats sleep. Dogs run.", "It rained."])
    assert found.sentences == ("Cats sleep.", "Dogs run.", "It rained.")
    assert found.member.tolist() == [0, 0, 1]
    assert found.means(np.array([[1.0], [3.0], [5.0]])).tolist() == [[2.0], [5.0]]


def test_the_real_ones(real: Callable[[str], Path]) -> None:
    result = hs.fit(str(real("bbc_news_summary100")), input="text", target="summary", backbone="wordllama")
    own, best = result.evaluation.metrics["rougeL"], result.evaluation.ceilings["oracle"]["rougeL"]
    assert best.value > 0.6 > own.value
    assert result.evaluation.ahead["oracle"].high < 0
