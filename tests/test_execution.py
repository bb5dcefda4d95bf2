"""Frozen stages run in several ways, and what comes out is kept: the same features, only sooner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._pytree import tree_leaves

import headstart as hs
from headstart import plan
from headstart.adaptation import settle
from headstart.backbones.backbone import Backbone
from headstart.backbones.replay import Shape
from headstart.cache import Shelf, the_cache
from headstart.checkpoints import Checkpoints, checkpoints_beside
from headstart.data.reading import content_of
from headstart.devices import allowed_precisions, autocast, choose_device, memory_kept, precisions, undisturbed
from headstart.errors import OptionError
from headstart.frozen import execution, features, states, trials
from headstart.frozen.execution import Execution, cosines
from headstart.frozen.features import features_at, features_of
from headstart.frozen.passes import batches_by_length
from headstart.frozen.states import States, Storage, rounding_error, states_at
from headstart.frozen.trials import choose_execution
from headstart.ground import begin
from headstart.progress import silent
from tests import tiny
from tests.conftest import BAD, GOOD, picture

TEXTS = [*GOOD, *BAD]
PICTURES = [picture(number, "red") for number in range(6)]
CASES = {"text": (tiny.text_backbone, TEXTS), "image": (tiny.image_backbone, PICTURES)}

converted = pytest.mark.skipif(choose_device().type != "cpu", reason="graphs are converted for a CPU")


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Backbone, Sequence[Any]]:
    make, inputs = CASES[request.param]
    return make(), inputs


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many inputs each pass really computes."""
    counts: list[int] = []
    own = features.passed

    def counting(backbone: Backbone, inputs: Sequence[Any], *words: Any, **named: Any) -> Any:
        counts.append(len(inputs))
        return own(backbone, inputs, *words, **named)

    for module in (features, states):
        monkeypatch.setattr(module, "passed", counting)
    return counts


@converted
def test_a_converted_network_gives_the_features_of_the_network(case: tuple[Backbone, Sequence[Any]]) -> None:
    backbone, inputs = case
    got = features_of(backbone, inputs, execution=Execution(backend="openvino", cached=False))
    assert np.abs(got - hs.extract(backbone, inputs)).max() < 1e-4
    assert execution._READERS[backbone.trunk]["features [None]"] is not None, "it fell back to the network itself"


@converted
def test_a_converted_state_is_the_state(case: tuple[Backbone, Sequence[Any]]) -> None:
    backbone, inputs = case
    batch = backbone.prepare(inputs)
    (got,) = execution.state_reader(backbone, 2, Execution(backend="openvino"))(batch)
    assert torch.allclose(got, backbone.below(batch, 2), atol=1e-4)


def test_a_network_that_cannot_be_converted_runs_as_it_is(
    case: tuple[Backbone, Sequence[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, inputs = case

    def refuse(*_: Any) -> None:
        raise RuntimeError("no such operation")

    monkeypatch.setattr(execution, "_graph", refuse)
    got = features_of(backbone, inputs, execution=Execution(backend="openvino", cached=False))
    assert np.array_equal(got, hs.extract(backbone, inputs))


def test_a_conversion_that_answers_otherwise_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny.text_backbone()
    monkeypatch.setattr(execution, "_compiled", lambda *_: lambda batch: [torch.ones(2, 32)])
    got = features_of(backbone, TEXTS, execution=Execution(backend="openvino", cached=False))
    assert np.array_equal(got, hs.extract(backbone, TEXTS))


def test_what_was_computed_once_is_found_and_what_is_new_is_computed(
    case: tuple[Backbone, Sequence[Any]], computed: list[int]
) -> None:
    backbone, inputs = case
    first = features_of(backbone, inputs[:4], execution=Execution())
    again = features_of(backbone, [*inputs[3:], *inputs[:4], inputs[0]], execution=Execution())
    assert computed == [4, len(inputs) - 4]
    assert np.array_equal(again[len(inputs) - 3 :][:4], first)
    assert np.array_equal(again[-1], first[0])
    assert np.allclose(again[: len(inputs) - 3], hs.extract(backbone, inputs[3:]), atol=1e-5)


def test_changed_weights_preprocessing_or_cut_find_nothing(
    case: tuple[Backbone, Sequence[Any]], computed: list[int]
) -> None:
    backbone, inputs = case
    features_of(backbone, inputs, execution=Execution())
    with torch.no_grad():
        next(backbone.trunk.parameters()).add_(0.5)
    changed = features_of(backbone, inputs, execution=Execution())
    assert np.array_equal(changed, hs.extract(backbone, inputs))
    backbone.architecture["note"] = "other preprocessing"
    features_of(backbone, inputs, execution=Execution())
    features_of(backbone, inputs, cut=2, execution=Execution())
    features_of(backbone, inputs, execution=Execution("bf16"))
    assert computed == [len(inputs)] * 6


def test_several_cuts_are_read_in_one_pass(case: tuple[Backbone, Sequence[Any]], computed: list[int]) -> None:
    backbone, inputs = case
    alone = [features_of(backbone, inputs, cut=cut) for cut in (1, 2, None)]
    computed.clear()
    first = features_at(backbone, inputs[:3], [2], execution=Execution())
    several = features_at(backbone, [*inputs, inputs[0]], [None, 2, 1, backbone.n_stages], execution=Execution())
    assert computed == [3, len(inputs)]
    assert np.array_equal(several[1][:3], first[0])
    assert np.array_equal(several[0], several[3])
    for one, other in zip(alone, [several[2], several[1], several[0]], strict=True):
        assert np.allclose(other[:-1], one, atol=1e-5)
        assert np.array_equal(other[-1], other[0])
    again = features_at(backbone, inputs, [1, None], execution=Execution())
    assert computed == [3, len(inputs)]
    assert all(np.array_equal(one, other[:-1]) for one, other in zip(again, [several[2], several[0]], strict=True))


@converted
def test_a_converted_network_reads_at_several_cuts(case: tuple[Backbone, Sequence[Any]]) -> None:
    backbone, inputs = case
    got = features_at(backbone, inputs, [1, None], execution=Execution(backend="openvino", cached=False))
    assert execution._READERS[backbone.trunk]["features [1, None]"] is not None, "it fell back to the network itself"
    assert np.abs(got[0] - features_of(backbone, inputs, cut=1)).max() < 1e-4
    assert np.abs(got[1] - features_of(backbone, inputs)).max() < 1e-4


def test_a_pass_in_bf16_leaves_no_trace_in_one_in_fp32(case: tuple[Backbone, Sequence[Any]]) -> None:
    backbone, inputs = case
    batch = backbone.prepare(inputs)
    state = backbone.below(batch, 2)
    with autocast(torch.device("cpu"), "bf16"):
        backbone.above(batch, backbone.below(batch, 2), 2)
    assert all(torch.bfloat16 in casts for _, _, casts, *_ in backbone.replay.shapes)
    backbone.above(batch, state, 2)
    plain = [value for (_, _, casts, *_), value in backbone.replay.shapes.items() if not casts]
    assert plain
    kinds = {leaf.dtype for leaf in tree_leaves(plain, is_leaf=lambda one: isinstance(one, Shape))}
    assert torch.bfloat16 not in kinds


def test_a_tokenizer_that_was_used_is_the_same_tokenizer() -> None:
    backbone = tiny.text_backbone()
    before = replace(backbone.prepare).identity
    backbone.prepare.truncated(TEXTS)
    backbone.prepare.encode(TEXTS)
    assert replace(backbone.prepare).identity == before


def test_a_file_may_be_given_by_its_name(tmp_path: Path) -> None:
    backbone, file = tiny.image_backbone(), tmp_path / "one.png"
    PICTURES[0].save(file)
    before = hs.extract(backbone, [str(file)], fast=True)
    assert np.allclose(before, hs.extract(backbone, [PICTURES[0]]), atol=1e-5)
    PICTURES[1].save(file)
    assert not np.array_equal(hs.extract(backbone, [str(file)], fast=True), before)


def test_a_renamed_file_is_found_and_a_resized_one_is_not(tmp_path: Path, computed: list[int]) -> None:
    backbone = tiny.image_backbone()
    one, other, small = (tmp_path / f"{name}.png" for name in ("one", "other", "small"))
    PICTURES[0].save(one)
    first = features_of(backbone, [one], execution=Execution())
    one.rename(other)
    assert np.array_equal(features_of(backbone, [other], execution=Execution()), first)
    Image.open(other).resize((30, 30)).save(small)
    features_of(backbone, [small], execution=Execution())
    assert computed == [1, 1]


@pytest.mark.parametrize("backend", ["eager", pytest.param("openvino", marks=converted)])
def test_states_and_features_come_from_one_pass(
    case: tuple[Backbone, Sequence[Any]], backend: execution.Backend, computed: list[int]
) -> None:
    backbone, inputs = case
    way, plain = Execution(backend=backend), hs.extract(backbone, inputs)
    computed.clear()
    first = states_at(backbone, inputs, 2, execution=way, to_top=True)
    assert np.allclose(features_at(backbone, inputs, [None], execution=way)[0], plain, atol=1e-4)
    assert computed == [len(inputs)], "the network ran twice"
    again = states_at(backbone, inputs, 2, execution=way, to_top=True)
    places = list(range(len(inputs)))
    assert torch.equal(again.batch(places)[1], first.batch(places)[1])
    assert torch.allclose(first.batch(places)[1], states_at(backbone, inputs, 2).batch(places)[1], atol=1e-4)
    assert computed == [len(inputs), 0, len(inputs)]


def test_a_pass_to_the_top_leaves_alone_what_is_there(
    case: tuple[Backbone, Sequence[Any]], computed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, inputs = case
    states_at(backbone, inputs[:2], 2, execution=Execution())
    features_of(backbone, inputs[1:4], execution=Execution())
    computed.clear()
    states_at(backbone, inputs, 2, execution=Execution(), to_top=True)
    monkeypatch.setattr(states, "through_reader", lambda *_: pytest.fail("the features are there"))
    with_more = states_at(backbone, inputs, 1, execution=Execution(), to_top=True)
    assert np.allclose(features_of(backbone, inputs, execution=Execution()), hs.extract(backbone, inputs), atol=1e-5)
    assert computed == [len(inputs) - 1, len(inputs), len(inputs)]
    assert len(with_more.kept[0]) == len(inputs)


def test_fine_tuning_runs_what_lies_below_once(case: tuple[Backbone, Sequence[Any]], computed: list[int]) -> None:
    backbone, inputs = case
    data = hs.read(list(zip(inputs, ["a", "b"] * (len(inputs) // 2), strict=True)))
    way = Execution()
    ground, _ = settle(begin(data, None, backbone, 0, Checkpoints(), silent), [hs.FineTune(cut=2)], execution=way)
    assert ground.keeps == (2, "whole")
    computed.clear()
    rows = ground.features
    states_at(backbone, inputs, 2, execution=way)
    assert computed == [len(inputs), 0]
    assert np.allclose(rows, hs.extract(backbone, inputs), atol=1e-4)


@pytest.mark.parametrize("storage", ["whole", "bf16", "int8"])
def test_stored_states_differ_by_what_is_said(case: tuple[Backbone, Sequence[Any]], storage: Storage) -> None:
    backbone, inputs = case
    places = list(range(len(inputs)))
    _, whole = states_at(backbone, inputs, 2, storage="none").batch(places)
    for _ in range(2):
        kept = states_at(backbone, inputs, 2, storage=storage, execution=Execution())
        _, state = kept.batch(places)
        mask = kept.backbone.prepare.outline(kept.encoded).get("attention_mask")
        real = torch.ones(state.shape[:2]) if mask is None else mask
        off = (state.cpu() - whole.cpu()) * real.cpu().view(*real.shape, *(1,) * (state.ndim - 2))
        error = off.norm() / whole.norm().cpu()
        expected = rounding_error(backbone, 2, storage)
        assert float(error) <= 3 * expected + 1e-6
    assert {"whole": expected == 0, "bf16": 0 < expected < 4e-3, "int8": 0 < expected < 3e-2}[storage]


def test_a_pass_that_was_killed_goes_on_with_the_same_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computed: list[int]
) -> None:
    backbone, texts = tiny.text_backbone(), [*TEXTS, *(f"{text}, and so on and on" for text in TEXTS)]
    monkeypatch.setattr("headstart.cache.shelf.INTERVAL", 0.0)
    whole = features_of(backbone, texts, batch_size=4)

    def stop(phase: str, done: int, total: int) -> None:
        if done >= 8:
            raise KeyboardInterrupt

    with checkpoints_beside(tmp_path / "model") as keeper:
        with pytest.raises(KeyboardInterrupt):
            features_of(backbone, texts, execution=Execution(), batch_size=4, keeper=keeper, progress=stop)
        steps: list[int] = []
        again = features_of(
            backbone,
            texts,
            execution=Execution(),
            batch_size=4,
            keeper=keeper,
            progress=lambda _phase, done, _n: steps.append(done),
        )
    assert np.array_equal(again, whole)
    assert len(steps) == 4, "two of the six batches were kept"


def test_a_pass_computes_what_the_cache_has_lost_since_it_was_begun(tmp_path: Path) -> None:
    backbone = tiny.text_backbone()
    whole = features_of(backbone, TEXTS)
    with checkpoints_beside(tmp_path / "model") as keeper:
        features_of(backbone, TEXTS[:3], execution=Execution(), keeper=Checkpoints())
        features_of(backbone, TEXTS, execution=Execution(), keeper=keeper)
        the_cache().clear()
        again = features_of(backbone, TEXTS, execution=Execution(), keeper=keeper)
    assert np.allclose(again, whole, atol=1e-5)


def test_what_has_learned_answers_in_the_precision_it_learned_in() -> None:
    plan = {"execution": {"precision": "bf16", "seconds": 1.0}, "precision": "fp32"}
    probed = hs.adapt(tiny.texts(), backbone=tiny.text_backbone())
    assert probed.with_record(plan=plan).execution.precision == "bf16"
    assert probed.with_record(plan=plan, strategy="finetune").execution.precision == "fp32"


def test_a_fixed_view_is_the_same_every_time_and_unlike_the_others() -> None:
    backbone = tiny.image_backbone()

    def views(inputs: Sequence[Any]) -> States:
        return states_at(backbone, inputs, 2, augment="crop", views=2, execution=Execution())

    views_of, turned = views(PICTURES), views(PICTURES[::-1])
    plain, first, second, third = (
        views_of.batch([0], seed, epoch)[1] for seed, epoch in ((None, 0), ((0,), 0), ((0,), 1), ((0,), 2))
    )
    assert torch.equal(first, third)
    assert not torch.equal(first, second)
    assert torch.equal(plain, states_at(backbone, PICTURES, 2).batch([0])[1])
    assert torch.equal(turned.batch([5], (1,), 0)[1], first)


def _seconds(way: Execution) -> float:
    return 1.0 if way.backend == "eager" else 0.5


@converted
def test_little_work_is_run_plainly_and_much_in_the_fastest_faithful_way(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny.text_backbone()
    assert str(choose_execution(backbone, TEXTS)) == "fp32"
    monkeypatch.setattr(trials, "WORTH", 0.0)
    monkeypatch.setattr(trials, "REPAYS", 0.0)
    monkeypatch.setattr(trials, "GAIN", 1e9)
    monkeypatch.setattr(trials._Trial, "seconds", lambda trial, way: _seconds(way))
    more = [*TEXTS, *(f"{text} indeed" for text in TEXTS)]
    chosen = choose_execution(backbone, more)
    assert chosen.backend == "openvino"
    assert chosen.cosine >= trials.FAITHFUL
    tried: list[str] = []
    monkeypatch.setattr(trials._Trial, "seconds", lambda trial, way: tried.append(str(way)) or _seconds(way))
    assert str(choose_execution(backbone, more, like=chosen)) == str(chosen)
    assert tried == ["fp32", str(chosen)], "what served another network is taken where it serves this one"
    monkeypatch.setattr(trials, "FAITHFUL", 1.1)
    assert str(choose_execution(backbone, more)) == "fp32"


@converted
def test_what_is_converted_to_be_tried_is_what_is_run(
    case: tuple[Backbone, Sequence[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, inputs = case
    for name, value in (("WORTH", 0.0), ("REPAYS", 0.0), ("GAIN", 1e9)):
        monkeypatch.setattr(trials, name, value)
    monkeypatch.setattr(execution, "REPAYS", 0.0)
    choose_execution(backbone, inputs, cuts=[2, backbone.n_stages, -1])
    monkeypatch.setattr(execution, "_graph", lambda *_: pytest.fail("the network was converted twice"))
    cuts = [None, 2, backbone.n_stages, -1]
    got = features_at(backbone, inputs, cuts, execution=Execution(backend="openvino", cached=False))
    assert all(
        np.abs(one - features_of(backbone, inputs, cut=cut)).max() < 1e-4 for one, cut in zip(got, cuts, strict=True)
    )


@converted
@pytest.mark.parametrize(("kind", "warmed"), [("image", 6), ("text", trials.WARMING)])
def test_a_graph_is_timed_once_it_is_ready_for_the_shape_that_pictures_have(
    kind: str, warmed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("WORTH", 0.0), ("REPAYS", 0.0), ("GAIN", 0.0)):
        monkeypatch.setattr(trials, name, value)
    few: list[int] = []
    own = trials._measured
    monkeypatch.setattr(trials, "_measured", lambda read, batch, n: few.append(n) or own(read, batch, n))
    make, inputs = CASES[kind]
    choose_execution(make(), inputs)
    assert few[0] == trials.WARMING, "plain PyTorch needs no making ready"
    assert few[-1] == warmed


@converted
def test_a_precision_that_is_unfaithful_is_not_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("WORTH", 0.0), ("REPAYS", 0.0), ("GAIN", 1e9)):
        monkeypatch.setattr(trials, name, value)
    monkeypatch.setattr(trials, "allowed_precisions", lambda _device: ("fp32", "bf16"))
    asked: list[str] = []
    monkeypatch.setattr(trials._Trial, "cosine", lambda _trial, way: asked.append(str(way)) or 0.9)
    tried: list[str] = []
    monkeypatch.setattr(trials._Trial, "seconds", lambda _trial, way: tried.append(str(way)) or _seconds(way))
    assert choose_execution(tiny.text_backbone(), TEXTS).precision == "fp32"
    assert "fp32, OpenVINO" in tried
    assert "bf16, OpenVINO" not in tried
    assert "fp32" not in asked, "fp32 is what the others are held against"


def test_a_few_whose_features_in_fp32_are_known_are_asked_first(
    case: tuple[Backbone, Sequence[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, inputs = case
    contents = [content_of(one) for one in inputs]
    known = [0, 2]
    wanted = trials.exact_features(backbone, [inputs[place] for place in known], [contents[place] for place in known])
    few, found = trials.exact_few(backbone, [inputs[place] for place in (2, 0)], [contents[2], contents[0]])
    assert few == [0, 1]
    assert np.array_equal(found, wanted[::-1]), "these are the remembered ones, to the bit"
    kept: list[str] = []
    add = Shelf.add_many
    monkeypatch.setattr(Shelf, "add_many", lambda shelf, own, rows: kept.extend(own) or add(shelf, own, rows))
    few, found = trials.exact_few(backbone, inputs, contents)
    assert sorted(kept) == sorted(set(contents) - {contents[place] for place in known}), "the others were kept before"
    assert sorted(few) == list(range(len(inputs))), "two are fewer than the few: all are computed"
    assert np.abs(found[[few.index(place) for place in known]] - wanted).max() < 1e-4


def test_what_was_tried_is_remembered_for_other_inputs_but_for_how_faithful_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("WORTH", 0.0), ("GAIN", 1e9), ("FAITHFUL", 0.0), ("CHEAP", 0.0)):
        monkeypatch.setattr(trials, name, value)
    texts = [f"{text} and {text}" for text in TEXTS]
    first = choose_execution(tiny.text_backbone(), texts)
    monkeypatch.setattr(trials, "_measured", lambda *_: pytest.fail("it was measured before"))
    compared: list[int] = []
    monkeypatch.setattr(trials, "cosines", lambda one, other: compared.append(len(one)) or cosines(one, other))
    assert choose_execution(tiny.text_backbone(), texts) == first
    assert not compared
    others = [f"{text} indeed" for text in texts]
    other = choose_execution(tiny.text_backbone(), others)
    assert (other.precision, other.backend) == (first.precision, first.backend)
    assert other.seconds > first.seconds, "a longer text takes longer"
    assert compared == ([] if first.precision == "fp32" else [len(others)])


def test_the_environment_names_the_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_PRECISION", "fp32")
    assert allowed_precisions(torch.device("cpu")) == ["fp32"]
    monkeypatch.setenv("HEADSTART_PRECISION", "fp7")
    with pytest.raises(OptionError, match="HEADSTART_PRECISION is none that this device has"):
        allowed_precisions(torch.device("cpu"))


def test_an_older_set_of_instructions_has_no_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert precisions(torch.device("cpu")) == ["fp32"]


def test_cosines_are_those_of_rows() -> None:
    one = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [float("nan"), 1.0]])
    other = torch.tensor([[0.0, 2.0], [0.0, 0.0], [2.0, 2.0], [1.0, 1.0]])
    assert cosines(one, other).tolist() == pytest.approx([0.0, 1.0, 1.0, 0.0])


def test_texts_of_like_length_stand_together_and_pictures_in_order() -> None:
    assert batches_by_length([0] * 40) == [list(range(32)), list(range(32, 40))]
    batches = batches_by_length([3000, 2, 2000, 3, 1])
    assert batches == [[4, 1, 3], [2], [0]]
    assert batches_by_length([5, 4, 3], 1) == [[2], [1], [0]]


def test_memory_is_given_back_in_the_end() -> None:
    with memory_kept():
        assert torch.zeros(2**20).sum() == 0


def test_features_of_many_lie_in_a_file_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "LARGE", 100)
    backbone = tiny.text_backbone()
    got = features_of(backbone, TEXTS)
    assert isinstance(got, np.memmap)
    assert np.array_equal(got, hs.extract(backbone, TEXTS))


def test_unfaithful_features_are_computed_again_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    data, backbone = tiny.texts(), tiny.text_backbone()
    shuffled = Execution("bf16", cached=False)
    monkeypatch.setattr("headstart.adaptation.choose_execution", lambda *_, **__: shuffled)
    honest = hs.adapt(data, backbone=backbone)
    assert honest.record["plan"]["execution"]["precision"] == "bf16"
    monkeypatch.setattr("headstart.ground.WAVERS", -1.0)
    monkeypatch.setattr("headstart.tasks.Task.decide", lambda self, outputs: outputs)
    model = hs.adapt(data, backbone=backbone)
    assert model.record["plan"]["execution"]["precision"] == "fp32"
    assert "features are computed in fp32: bf16 would change answers" in model.record["notes"]


def test_what_is_faster_to_compute_than_to_read_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny.image_backbone()
    monkeypatch.setattr(plan, "seconds_below", lambda *_: 0.0)
    assert plan.storage_for(backbone, (2,), 10, "fp32")[0] == "none"
    monkeypatch.setattr(plan, "seconds_below", lambda *_: 1.0)
    assert plan.storage_for(backbone, (2,), 10, "fp32") == ("whole", "")
    needed = 10 * plan.bytes_at(backbone, 2) / plan.MEMORY_SHARE
    monkeypatch.setattr(plan, "_free_memory", lambda: needed / 3)
    storage, words = plan.storage_for(backbone, (2,), 10, "fp32")
    assert storage == "int8"
    assert words.startswith("states at cut 2 are kept in int8, with an error of ")


def test_weights_that_changed_are_cast_anew_inside_another_context() -> None:
    layer = torch.nn.Linear(4, 4, bias=False)
    seen = []
    with undisturbed():
        for _ in range(2):
            with autocast(torch.device("cpu"), "bf16"):
                seen.append(layer(torch.ones(1, 4)).detach().float())
            with torch.no_grad():
                layer.weight.add_(1.0)
    assert not torch.equal(*seen)


def test_less_than_fp32_is_learned_in_only_where_it_saves_seconds() -> None:
    backbone, strategy = tiny.text_backbone(), hs.FineTune()

    def chosen(seconds: dict[str, float], n: int = 1000) -> str:
        return plan._precision(strategy, backbone, n, "bf16", lambda _strategy, _storage, precision: seconds[precision])

    assert chosen({"fp32": 0.1, "bf16": 0.05}) == "bf16"
    assert chosen({"fp32": 0.1, "bf16": 0.09}) == "fp32"
    assert chosen({"fp32": 0.1, "bf16": 0.05}, n=10) == "fp32"


def test_converting_reports_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO's own `convert_model` sends what it converts to its makers, unless it is told not to."""
    telemetry = pytest.importorskip("openvino_telemetry.main")

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("somebody was told")

    monkeypatch.setattr(telemetry.Telemetry, "init", refuse)
    monkeypatch.setattr(telemetry.Telemetry, "send_event", refuse)
    backbone = tiny.text_backbone()
    assert execution._graph(lambda batch: backbone.read_at(batch, None), backbone)[0] is not None


def test_convolutions_are_exact_and_the_same_every_time_while_ours_run() -> None:
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=True):
        with undisturbed():
            inside = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
        after = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    assert inside == (False, False, True)
    assert after == (True, True, False)
