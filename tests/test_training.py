"""The one loop: what is frozen stays, what should move moves, and the same question gives the same bits."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import headstart as hs
from headstart.adaptation import adapt_to
from headstart.backbones.backbone import Backbone, digest_of_tensors, weights_hash
from headstart.backbones.sources import source_head
from headstart.checkpoints import Checkpoints
from headstart.errors import OptionError
from headstart.frozen import features
from headstart.frozen.execution import Execution
from headstart.frozen.states import states_at
from headstart.ground import begin
from headstart.heads import fit_head
from headstart.learning import rates as rates_module
from headstart.learning.losses import Target, weakest_direction
from headstart.learning.rates import range_test
from headstart.learning.relation import Relation
from headstart.learning.tuning import Tuning, begin_tuning
from headstart.plan import make_plan
from headstart.progress import silent
from headstart.strategies import Learning, as_fields, from_fields
from headstart.tasks import Task
from tests import tiny

SHORT = hs.Schedule(epochs=2, rate=2e-4, head_rate=1e-3, batch_size=4)
STRATEGIES = {
    "finetune": hs.FineTune(cut=0, schedule=SHORT),
    "finetune above a cut": hs.FineTune(cut=2, schedule=SHORT),
    "gradual unfreezing": hs.FineTune(cut=1, moves=2, schedule=replace(SHORT, epochs=4)),
    "norms": hs.FineTune(cut=1, learn="norms", schedule=SHORT),
    "biases": hs.FineTune(cut=1, learn="biases", schedule=SHORT),
    "lora": hs.LoRA(rank=2, schedule=SHORT),
    "scratch": hs.FromScratch(schedule=replace(SHORT, dropout=True)),
    "refine": hs.Refine(schedule=replace(SHORT, statistics=True)),
    "averaged": hs.FineTune(cut=1, average=0.7, schedule=SHORT),
}

BESIDE = ("lora", "refine")
"""What learns none of the source's own tensors."""

ROOT = Path(__file__).parents[1]
SOURCES = os.pathsep.join([str(ROOT), str(ROOT / "src")])
"""Where a process of its own finds the tests, and the very code they test."""


class StopError(Exception):
    """A test's own interruption."""


@pytest.fixture(params=["text", "image"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return tiny.text_backbone() if request.param == "text" else tiny.image_backbone()


def examples(backbone: Backbone) -> hs.Dataset:
    return tiny.texts() if backbone.card.modality == "text" else tiny.pictures()


def tuning(backbone: Backbone, strategy: Learning, *, keep: bool = True) -> Tuning:
    ground = begin(examples(backbone), None, backbone, 0, Checkpoints(), silent)
    features = ground.features if strategy.starts_from_probe else None
    return begin_tuning(
        strategy,
        backbone,
        ground.examples,
        ground.task,
        features=features,
        strength=0.1,
        balanced=False,
        storage="whole" if keep else "none",
    )


def digest(model: hs.Model) -> str:
    head = {"weight": torch.from_numpy(model.head.weight), "bias": torch.from_numpy(model.head.bias)}
    return digest_of_tensors({**model.backbone.trunk.state_dict(), **head})


def names(kind: str) -> Iterator[str]:
    yield from (name for name in STRATEGIES if kind == "text" or name != "lora")


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_is_frozen_is_bitwise_unchanged_and_the_source_too(backbone: Backbone, name: str) -> None:
    if name == "lora" and backbone.card.modality == "image":
        pytest.skip("a network of convolutions has hardly a linear layer")
    before = weights_hash(backbone.trunk)
    strategy = STRATEGIES[name]
    ready = tuning(backbone, strategy)
    every = np.arange(len(ready.examples))
    lesson, trained = ready.train(every, every[:0], "t")
    assert weights_hash(backbone.trunk) == before
    assert len(trained.curve) == ready.schedule.epochs + 1
    if strategy.starts_from_probe:
        learned = {key for key, one in lesson.backbone.trunk.named_parameters() if one.requires_grad}
        source = {key: one.cpu() for key, one in backbone.trunk.state_dict().items()}
        mine = {key: one.cpu() for key, one in lesson.backbone.trunk.state_dict().items()}
        for key, tensor in source.items():
            if key in mine and key not in learned:
                assert torch.equal(mine[key], tensor), key
        assert any(not torch.equal(mine[key], source[key]) for key in learned if key in source) or name in BESIDE


def test_a_network_that_is_told_to_move_and_does_not_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = tuning(tiny.text_backbone(), hs.FineTune(cut=0, schedule=SHORT))
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self, closure=None: None)
    every = np.arange(len(ready.examples))
    with pytest.raises(AssertionError, match="was asked to learn and has not moved"):
        ready.train(every, every[:0], "t")


def test_a_frozen_tensor_that_changes_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = tuning(tiny.image_backbone(), hs.FineTune(cut=2, schedule=SHORT))
    monkeypatch.setattr(torch.nn.Module, "eval", lambda self: self.train(True))
    lesson = ready.lesson(np.arange(16), np.arange(0))
    lesson.backbone.trunk.train(True)
    from headstart.learning.training import train

    with pytest.raises(AssertionError, match="frozen tensor has changed"):
        train(lesson)


def test_batchnorm_keeps_its_statistics_unless_it_is_told_not_to() -> None:
    backbone = tiny.image_backbone()
    scratch = hs.FromScratch(augment="none", schedule=replace(SHORT, statistics=True))
    for strategy, keeps in ((hs.FineTune(cut=2, schedule=SHORT), True), (scratch, False)):
        ready = tuning(backbone, strategy)
        first = dict(ready.lesson(np.arange(16), np.arange(0)).backbone.trunk.named_buffers())
        lesson, trained = ready.train(np.arange(16), np.arange(0), "t")
        last = dict(lesson.backbone.trunk.named_buffers())
        assert not trained.diverged
        assert all(torch.equal(last[name], first[name]) == keeps for name in first if "running" in name)


@pytest.mark.parametrize("cut", [1, 2])
def test_kept_states_teach_what_recomputed_ones_teach(backbone: Backbone, cut: int) -> None:
    trained = []
    for keep in (True, False):
        ready = tuning(backbone, hs.FineTune(cut=cut, schedule=SHORT), keep=keep)
        assert bool(ready.states[0].kept) == keep
        every = np.arange(len(ready.examples))
        lesson, _ = ready.train(every, every[::3], "t")
        trained.append(lesson.backbone.trunk.state_dict())
    for name, tensor in trained[0].items():
        assert torch.allclose(tensor.float(), trained[1][name].float(), atol=2e-4), name


@pytest.mark.parametrize("name", ["finetune above a cut", "gradual unfreezing", "lora", "scratch"])
def test_the_same_question_gives_the_same_bits_whatever_ran_before(name: str) -> None:
    backbone, data = tiny.text_backbone(), tiny.texts()
    first = digest(hs.adapt(data, backbone=backbone, strategy=STRATEGIES[name]))
    torch.manual_seed(12345)
    torch.randn(1000)
    np.random.default_rng().random(10)
    hs.adapt(tiny.pictures(), backbone=tiny.image_backbone(), strategy=STRATEGIES["finetune"])
    assert digest(hs.adapt(data, backbone=backbone, strategy=STRATEGIES[name])) == first
    assert digest(hs.adapt(data, backbone=backbone, strategy=STRATEGIES[name], seed=1)) != first


@contextlib.contextmanager
def disturbed(what: str) -> Iterator[None]:
    """Set something for the whole process, as another program's cell might have."""
    setting = {
        "no gradients": torch.no_grad,
        "inference": torch.inference_mode,
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
        "a device": lambda: torch.device("meta"),
    }
    with setting.get(what, contextlib.nullcontext)():
        torch.set_default_dtype(torch.float64 if what == "a type" else torch.float32)
        torch.set_float32_matmul_precision("medium" if what == "a precision" else "highest")
        torch.set_num_threads(2 if what == "threads" else 1)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)
            torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize(
    "what", ["no gradients", "inference", "autocast", "a device", "a type", "a precision", "threads"]
)
def test_what_else_is_set_in_the_process_changes_no_bit(what: str, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    rows, strategies = data_rows(tiny.texts()), [hs.FineTune(cut=4, epochs=1), hs.FromScratch("small", epochs=1)]
    torch.set_num_threads(1)
    plans, digests = [], []
    for number, strategy in enumerate(strategies):
        made = hs.fit(rows, strategy=strategy, out=tmp_path / f"{number}.headstart")
        plans.append(hs.read_plan(tmp_path / f"{number}.headstart"))
        digests.append(digest(made.model))
    with disturbed(what):
        again = [digest(hs.fit(rows, plan=plan).model) for plan in plans]
        loaded = hs.load(tmp_path / "0.headstart").backbone.trunk
    torch.set_num_threads(before)
    assert again == digests
    assert {one.dtype for one in loaded.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", ["gradual unfreezing", "lora", "scratch"])
def test_an_interrupted_run_goes_on_to_the_same_bits_from_any_step(name: str, tmp_path: Path) -> None:
    backbone, data = tiny.text_backbone(), tiny.texts()
    whole = digest(hs.adapt(data, backbone=backbone, strategy=STRATEGIES[name]))
    left = iter(range(1, 100))
    stops = 0

    def interrupt(phase: str, done: int, total: int) -> None:
        if "above cut" in phase and done == interrupt.at:  # type: ignore[attr-defined]
            raise StopError

    keeper = Checkpoints(tmp_path, interval=0.0)
    for at in left:
        interrupt.at = at  # type: ignore[attr-defined]
        try:
            model = adapt_to(begin(data, None, backbone, 0, keeper, interrupt), [STRATEGIES[name]]).model
            break
        except StopError:
            stops += 1
    assert stops >= 10
    assert digest(model) == whole


def test_a_choice_that_is_interrupted_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    backbone, data = tiny.text_backbone(), tiny.texts()
    strategies = [hs.Probe(), STRATEGIES["finetune"], STRATEGIES["gradual unfreezing"]]
    calls = 0

    def interrupt(phase: str, done: int, total: int) -> None:
        nonlocal calls
        calls += "above cut" in phase
        if "above cut" in phase and calls % 17 == 16:
            raise StopError

    def chosen(keeper: Checkpoints) -> hs.Model:
        for _ in range(200):
            try:
                return adapt_to(
                    begin(data, None, backbone, 0, keeper, interrupt if keeper.folder else silent), strategies
                ).model
            except StopError:
                continue
        raise AssertionError("the work never ends")

    models = [chosen(Checkpoints()), chosen(Checkpoints(tmp_path, interval=0.0))]
    assert calls > 100
    assert digest(models[0]) == digest(models[1])
    assert models[0].record["arms"] == models[1].record["arms"]
    assert [arm["strategy"] for arm in models[0].record["arms"]] == ["probe", "finetune", "finetune"]


def test_probes_at_several_cuts_stand_each_for_itself(backbone: Backbone) -> None:
    data, cuts = examples(backbone), (1, 2, None)
    alone = [hs.adapt(data, backbone=backbone, strategy=hs.Probe(cut=cut)) for cut in cuts]
    both = hs.adapt(data, backbone=backbone, strategy=[hs.Probe(cut=cut) for cut in cuts])
    arms = both.record["arms"]
    assert [arm["cut"] for arm in arms] == [1, 2, "top"]
    assert len({arm["error"] for arm in arms}) == 3
    chosen = [arm["chosen"] for arm in arms].index(True)
    assert digest(both) == digest(alone[chosen])
    assert both.record["cut"] == arms[chosen]["cut"]


def test_a_torn_checkpoint_is_not_trusted(tmp_path: Path) -> None:
    keeper = Checkpoints(tmp_path)
    keeper.save("a", {"x": torch.arange(5.0)}, {"step": 3})
    tensors, fields = keeper.load("a") or ({}, {})
    assert fields == {"step": 3}
    assert torch.equal(tensors["x"], torch.arange(5.0))
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "b.safetensors", {"fields": "{}"})
    assert keeper.load("b") is None
    file = tmp_path / "a.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    assert keeper.load("a") is None
    file.write_bytes(bytes(content[:20]))
    assert keeper.load("a") is None


def test_another_question_does_not_use_what_an_unfinished_one_left(tmp_path: Path) -> None:
    keeper = Checkpoints(tmp_path)
    keeper.keep_plan({"seed": 1}, {"a": 1})
    keeper.save("final", {"x": torch.zeros(1)}, {})
    assert keeper.plan({"seed": 1}) == {"a": 1}
    assert keeper.plan({"seed": 2}) is None
    assert keeper.load("final") is None


@pytest.mark.parametrize("rate", [5e-3, 0.1, 0.5, 1e4])
def test_a_rate_far_too_high_is_undone_and_said(backbone: Backbone, rate: float) -> None:
    data = examples(backbone)
    model = hs.adapt(data, backbone=backbone, strategy=hs.FineTune(cut=1, rate=rate, epochs=3, batch_size=4))
    probe = hs.adapt(data, backbone=backbone)
    outputs = model.outputs(data.inputs)
    assert np.isfinite(outputs).all()
    if model.record["diverged"]:
        assert "try a lower one" in model.record["notes"][-1]
        assert model.record["epoch"] == 0
        assert (outputs.argmax(1) == probe.outputs(data.inputs).argmax(1)).mean() > 0.8
    else:
        assert (outputs.argmax(1) == model.task.encode(data.values)).mean() > 0.8, "a silent wreck"


def test_a_loss_that_is_no_number_is_undone_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Target, "loss", lambda self, logits, truth: logits[:, 0] * math.nan)
    model = hs.adapt(tiny.texts(), backbone=tiny.text_backbone(), strategy=STRATEGIES["finetune"])
    assert "no number at step 1" in model.record["diverged"]
    assert np.isfinite(model.outputs(["a lovely thing"])).all()


def test_early_stopping_restores_the_best_epoch_on_held_out_examples() -> None:
    schedule = replace(SHORT, epochs=8, rate=0.05, patience=1)
    ready = tuning(tiny.text_backbone(), hs.FineTune(cut=0, schedule=schedule))
    lesson, trained = ready.train(np.arange(12), np.arange(12, 24), "t")
    held = [point["held"] for point in trained.curve]
    assert trained.epoch == int(np.argmin(held))
    assert len(held) <= 9
    from headstart.learning.training import answers

    logits = answers(lesson.backbone, lesson.head, lesson.states[-1], lesson.held)
    assert np.allclose(lesson.target.outputs(logits), trained.outputs[trained.epoch], atol=1e-6)


def test_the_cut_moves_at_most_once_an_epoch_so_that_it_comes_to_its_place() -> None:
    backbone = tiny.text_backbone()
    for epochs in (1, 2):
        schedule = replace(SHORT, epochs=epochs)
        ready = tuning(backbone, hs.FineTune(cut=1, moves=3, schedule=schedule))
        every = np.arange(len(ready.examples))
        lesson, _ = ready.train(every, every[:0], "t")
        lowest = lesson.backbone.replay.plan.stages[1][0]
        after, before = (one.trunk.get_submodule(lowest).state_dict() for one in (lesson.backbone, backbone))
        assert any(not torch.equal(after[name], before[name]) for name in before)


def test_the_record_says_where_the_cut_was_when_learning_stopped() -> None:
    ground = begin(tiny.texts(), tiny.texts(40).take(range(24, 40)), tiny.text_backbone(), 0, Checkpoints(), silent)
    schedule = replace(SHORT, epochs=3, rate=0.01)
    model = adapt_to(ground, [hs.FineTune(cut=1, moves=3, schedule=schedule)]).model
    cuts = hs.FineTune(cut=1, moves=3, schedule=schedule).cuts(ground.backbone)
    assert model.record["cut"] == cuts[model.record["epoch"] - 1 if not model.record["diverged"] else -1]


def test_a_target_that_never_varies_pushes_nothing_and_is_no_fault() -> None:
    data = hs.read([(f"thing number {place}", 3.5) for place in range(16)], task="regression")
    for strategy in (hs.FineTune(cut=1, learn="norms", schedule=SHORT), hs.FineTune(cut=1, schedule=SHORT)):
        model = hs.adapt(data, backbone=tiny.text_backbone(), strategy=strategy)
        assert np.allclose(model.outputs(data.inputs), 3.5, atol=1e-3)


def test_pictures_that_leave_a_stage_without_a_gradient_are_no_fault() -> None:
    rows = [(np.zeros((40, 40 + place, 3), np.uint8), "yn"[place % 2]) for place in range(24)]
    model = hs.adapt(hs.read(rows), strategy=hs.FineTune(epochs=1))
    assert np.isfinite(model.outputs([rows[0][0]])).all()


def test_a_batch_of_a_single_picture_is_learned_by_a_network_that_estimates_statistics() -> None:
    scratch = hs.FromScratch(augment="none", schedule=replace(SHORT, batch_size=5, statistics=True))
    model = hs.adapt(tiny.pictures(16), backbone=tiny.image_backbone(), strategy=scratch)
    assert np.isfinite(model.outputs(tiny.pictures(16).inputs)).all()


def test_a_network_that_was_wrecked_and_learned_anew_does_not_fool_the_range_test() -> None:
    rates = [10.0**-place for place in range(6, 1, -1)]
    assert rates_module._harmful(rates, [0.4, 0.39, 0.7, 0.05, 0.04], 0.69) == rates[2]
    assert rates_module._harmful(rates, [0.5, 0.3, 0.2, 0.21, 0.5], 0.69) == rates[4]
    assert rates_module._harmful(rates, [0.9, 0.95, 0.8, 0.7, 0.6], 0.69) == rates_module.RANGE[1]


def test_the_rates_rise_and_fall_as_written() -> None:
    schedule = hs.Schedule(warmup=0.1)
    assert schedule.share(0, 100) == pytest.approx(0.1)
    assert schedule.share(9, 100) == pytest.approx(1.0)
    assert schedule.share(10, 100) == pytest.approx(1.0)
    assert schedule.share(55, 100) == pytest.approx(0.5)
    assert schedule.share(99, 100) < 0.001
    assert hs.Schedule(warmup=0).share(0, 1) == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"rate": 0.0},
        {"rate": float("nan")},
        {"decay": 0.0},
        {"warmup": 1.0},
        {"batch_size": 1.5},
        {"mixup": -1},
    ],
)
def test_a_schedule_out_of_range_is_refused_when_made(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="out of range"):
        hs.Schedule(**wrong)  # type: ignore[arg-type]


def test_strategies_survive_json() -> None:
    for strategy in [*STRATEGIES.values(), hs.Probe(cut=2), hs.FineTune()]:
        assert from_fields(as_fields(strategy)) == strategy


def test_a_cut_with_nothing_above_it_is_refused() -> None:
    backbone = tiny.text_backbone()
    with pytest.raises(OptionError, match="that is a probe"):
        hs.adapt(tiny.texts(), backbone=backbone, strategy=hs.FineTune(cut=backbone.n_stages))


def test_a_range_test_takes_a_rate_below_the_one_that_does_harm() -> None:
    ready = tuning(tiny.text_backbone(), hs.FineTune(cut=0, schedule=SHORT))
    found = range_test(ready.lesson(np.arange(24), np.arange(0)))
    assert 1e-6 < found.rate < 0.1
    assert len(found.rates) == len(found.losses) > 10
    assert list(found.rates) == sorted(found.rates)


def test_an_unknown_backbone_gets_its_rate_from_a_range_test() -> None:
    model = hs.adapt(tiny.texts(), backbone=tiny.text_backbone(), strategy=hs.FineTune(cut=1, epochs=1))
    assert model.record["tested_rates"]["rate"] == model.record["schedule"]["rate"]


@pytest.mark.parametrize("settings", [{"mixup": 0.4}, {"dropout": True}, {"smoothing": 0.1}])
def test_what_is_drawn_is_drawn_from_the_seed(settings: dict[str, float]) -> None:
    slow = replace(SHORT, rate=1e-5, head_rate=1e-4)
    strategy, plain = hs.FineTune(cut=1, schedule=replace(slow, **settings)), hs.FineTune(cut=1, schedule=slow)
    one, two, three = (
        digest(hs.adapt(tiny.pictures(), backbone=tiny.image_backbone("resnet10t"), strategy=each))
        for each in (strategy, strategy, plain)
    )
    assert one == two
    assert one != three or "dropout" in settings  # a ResNet has none


def test_pictures_are_drawn_anew_from_the_seed() -> None:
    prepare, pixels = tiny.image_backbone().prepare, [np.random.default_rng(1).integers(0, 255, (50, 70, 3), np.uint8)]
    one, two, three = (prepare.augmented(pixels, seed, flip=True)["x"] for seed in ((0, 1), (0, 1), (0, 2)))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)
    assert one.shape == prepare(pixels)["x"].shape
    model = hs.adapt(
        tiny.pictures(), backbone=tiny.image_backbone(), strategy=hs.FineTune(cut=1, augment="flip", schedule=SHORT)
    )
    assert model.record["cut"] == 1


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_every_kind_of_task_is_learned(kind: str) -> None:
    words = ["lovely", "dreadful"]
    rows = [(f"{words[place % 2]} thing number {place}", place) for place in range(24)]
    values = {
        "classification": lambda place: words[place % 2],
        "multilabel": lambda place: [words[place % 2], "thing"] if place % 3 else ["thing"],
        "regression": lambda place: 1e6 + 1e3 * (place % 2),
    }
    data = hs.read([(text, values[kind](place)) for text, place in rows], task=kind)  # type: ignore[arg-type]
    model = hs.adapt(
        data, backbone=tiny.text_backbone(), strategy=hs.FineTune(cut=0, schedule=replace(SHORT, epochs=6))
    )
    curve = [point["fitted"] for point in model.record["curve"][1:]]
    assert curve[-1] < curve[0]
    outputs = model.outputs(data.inputs)
    if kind == "regression":
        assert np.abs(outputs - model.task.encode(data.values)).mean() < 400
    else:
        assert (model.task.decide(outputs) == model.task.encode(data.values)).mean() > 0.75


def test_the_losses_are_scikit_learns() -> None:
    from sklearn.metrics import brier_score_loss, log_loss, mean_squared_error

    from headstart.mistakes import quadratic_errors

    dice = np.random.default_rng(0)
    logits = dice.normal(size=(30, 3)).astype(np.float32)
    task = Task("y", "classification", ("a", "b", "c"))
    truth = dice.integers(0, 3, 30)
    target = Target.of(task, truth)
    losses = target.loss(torch.from_numpy(logits), target.scaled(truth))
    assert float(losses.mean()) == pytest.approx(log_loss(truth, task.outputs(logits)), abs=1e-6)
    shares = np.bincount(truth, minlength=3) / 30
    assert target.chance(truth) == pytest.approx(log_loss(truth, np.tile(shares, (30, 1))), abs=1e-9)
    errors = quadratic_errors(task, truth, task.outputs(logits))
    assert errors.mean() == pytest.approx(brier_score_loss(truth, task.outputs(logits), scale_by_half=False), abs=1e-9)
    number = Task("y", "regression")
    values = dice.normal(1000, 50, 30)
    target = Target.of(number, values)
    predicted = dice.normal(1000, 50, 30)
    scaled = torch.tensor((predicted - target.centre) / target.spread)[:, None]
    assert float(target.loss(scaled, target.scaled(values)).mean()) * target.spread**2 == pytest.approx(
        mean_squared_error(values, predicted), rel=1e-5
    )


def test_states_of_texts_are_kept_without_padding() -> None:
    backbone = tiny.text_backbone()
    (rows,) = states_at(backbone, ["a", "a longer text than the other"], 2).kept
    assert [row[0].shape[0] for row in rows] == [3, 8]


def test_lora_is_merged_and_needs_no_peft_to_predict(tmp_path: Path) -> None:
    data = tiny.texts()
    model = hs.adapt(data, backbone=tiny.text_backbone(), strategy=hs.LoRA(rank=4, schedule=replace(SHORT, rate=1e-3)))
    assert set(model.backbone.trunk.state_dict()) == set(tiny.text_backbone().trunk.state_dict())
    assert model.record["learnable"] < 0.03 * sum(one.numel() for one in model.backbone.trunk.parameters())
    path = model.save(tmp_path / "m.headstart")
    np.save(tmp_path / "outputs.npy", model.outputs(data.inputs))
    program = (
        "import sys; sys.modules['peft'] = None; import numpy as np, headstart as hs; from tests import tiny; "
        f"outputs = hs.load({str(path)!r}).outputs(tiny.texts().inputs); "
        f"assert np.allclose(outputs, np.load({str(tmp_path / 'outputs.npy')!r}), atol=1e-5)"
    )
    env = {**os.environ, "PYTHONPATH": SOURCES}
    subprocess.run([sys.executable, "-c", program], check=True, env=env)


@pytest.mark.parametrize("kind", ["gpt2", "distilbert", "roberta"])
def test_lora_and_fine_tuning_know_other_transformers(kind: str) -> None:
    sizes = {
        "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "bos_token_id": 1, "eos_token_id": 2},
        "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
        "roberta": {**tiny.TEXT, "max_position_embeddings": 64},
    }
    backbone = tiny.text_backbone(kind, **sizes[kind])
    before = weights_hash(backbone.trunk)
    for strategy in (hs.LoRA(rank=2, schedule=SHORT), hs.FineTune(cut=2, schedule=SHORT)):
        model = hs.adapt(tiny.texts(), backbone=backbone, strategy=strategy)
        assert weights_hash(model.backbone.trunk) != before or model.record["diverged"]
        assert set(model.backbone.trunk.state_dict()) == set(backbone.trunk.state_dict())


def test_a_model_made_here_is_the_source_of_the_next_and_its_lineage_shows(tmp_path: Path) -> None:
    first = hs.adapt(tiny.texts(), backbone=tiny.text_backbone(), strategy=hs.FineTune(cut=1, schedule=SHORT))
    path = first.save(tmp_path / "first.headstart")
    second = hs.adapt(tiny.texts(30), backbone=str(path), strategy=hs.FineTune(cut=1, schedule=SHORT))
    assert second.backbone.card.lineage == ("first.headstart", "tiny-bert")
    assert second.record["backbone"] == "first.headstart"
    saved = second.save(tmp_path / "second.headstart")
    words = (saved / "README.md").read_text()
    assert "Made from: first.headstart, which was made from tiny-bert" in words
    assert "<svg" in (saved / "training.svg").read_text()
    listed = {Path(one.card.name).name: one.card for one in hs.list_backbones(tmp_path)}
    assert listed["second.headstart"].lineage == ("first.headstart", "tiny-bert")
    assert "then 30 examples" in listed["second.headstart"].trained_on
    assert hs.load(saved).backbone.card == second.backbone.card


def test_what_a_source_was_taught_is_not_taken_for_new_by_what_is_made_from_it(tmp_path: Path) -> None:
    rows = data_rows(tiny.texts(40))
    first = hs.adapt(hs.read(rows), backbone=tiny.text_backbone(), strategy=hs.FineTune(cut=1, schedule=SHORT))
    path = str(first.save(tmp_path / "first.headstart"))
    for strategy in (hs.Probe(), hs.FineTune(cut=1, schedule=SHORT)):
        found = hs.fit(rows, backbone=path, strategy=strategy)
        told = [warning.text for warning in found.warnings if warning.code == "seen_in_training"]
        assert len(told) == 1
        assert told[0].startswith(f"{found.n['test']} of {found.n['test']} examples were used to train this model, or")
    second = hs.load(found.model.save(tmp_path / "second.headstart"))
    with pytest.raises(hs.DataError, match="would prove nothing"):
        hs.evaluate(second, hs.read(rows))
    scratch = hs.fit(rows, backbone=path, strategy=hs.FromScratch(schedule=SHORT))
    probed = hs.adapt(hs.read(rows[:20]), backbone=tiny.text_backbone()).save(tmp_path / "probed.headstart")
    frozen = hs.fit(rows, backbone=str(probed), strategy=hs.Probe())
    assert not [one for result in (scratch, frozen) for one in result.warnings if one.code == "seen_in_training"]


@pytest.mark.parametrize("n", [2, 3])
def test_hardly_any_examples_give_a_sound_result(n: int) -> None:
    data = hs.read([(f"{word} thing", word) for word in ("lovely", "dreadful", "odd")[:n]])
    for strategy in (hs.FineTune(cut=0, schedule=SHORT), hs.LoRA(schedule=SHORT), hs.FromScratch(schedule=SHORT)):
        model = hs.adapt(data, backbone=tiny.text_backbone(), strategy=strategy)
        assert np.isfinite(model.outputs(data.inputs)).all()
    ground = begin(data, None, tiny.text_backbone(), 0, Checkpoints(), silent)
    model = adapt_to(ground, [hs.Probe(), hs.FineTune(cut=0, schedule=SHORT)]).model
    assert model.record["strategy"] == "probe"
    assert "too few examples to compare" in model.record["notes"][-1]


def test_a_class_that_a_fold_lacks_is_learned_all_the_same() -> None:
    words = (("cold", "no"), ("lovely", "yes"))
    rows = [(f"number {place} {words[place % 2][0]}", words[place % 2][1]) for place in range(20)]
    data = hs.read([*rows, ("a rare bird", "maybe")])
    ground = begin(data, None, tiny.text_backbone(), 0, Checkpoints(), silent)
    model = adapt_to(ground, [hs.Probe(), hs.FineTune(cut=1, schedule=SHORT)]).model
    assert model.task.labels == ("maybe", "no", "yes")
    assert np.isfinite(model.outputs(data.inputs)).all()
    assert all(math.isfinite(arm["error"]) for arm in model.record["arms"])


def test_a_validation_set_chooses_the_epoch_and_is_learned_from() -> None:
    train, validation = tiny.texts(24), tiny.texts(40).take(range(24, 40))
    schedule = replace(SHORT, epochs=3)
    model = hs.adapt(
        train, validation=validation, backbone=tiny.text_backbone(), strategy=hs.FineTune(cut=0, schedule=schedule)
    )
    assert model.record["n"] == {"train": 24, "validation": 16}
    assert 1 <= model.record["epoch"] <= 3
    assert len(model.seen) == 40


def test_a_plan_replays_the_same_bits(tmp_path: Path) -> None:
    data, backbone = tiny.texts(60), tiny.text_backbone()
    strategies = [hs.Probe(), STRATEGIES["finetune"]]
    made = hs.fit(data_rows(data), backbone=backbone, strategy=strategies, out=tmp_path / "a.headstart")
    again = hs.fit(data_rows(data), backbone=backbone, plan=hs.read_plan(tmp_path / "a.headstart"))
    assert digest(again.model) == digest(made.model)
    assert again.model.record["arms"] == made.model.record["arms"]
    (tmp_path / "p.json").write_text("[]")
    with pytest.raises(OptionError, match="plan"):
        hs.read_plan(tmp_path / "p.json")


@pytest.mark.parametrize("cache", ["off", "first", "second"])
def test_the_same_call_and_its_plan_give_the_same_bits_whatever_the_cache_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str
) -> None:
    data, strategy = tiny.texts(60), STRATEGIES["gradual unfreezing"]
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "first"))
    made = hs.adapt(data, backbone=tiny.text_backbone(), strategy=strategy)
    monkeypatch.setenv("HEADSTART_CACHE", cache if cache == "off" else str(tmp_path / cache))
    used = tiny.text_backbone()
    used.prepare.encode(["a text that the tokenizer cuts off and fills up"])
    plan = hs.Plan.from_dict(made.record["plan"])
    for again in (
        hs.adapt(data, backbone=used, strategy=strategy),
        hs.adapt(data, backbone=tiny.text_backbone(), strategy=strategy, plan=plan),
    ):
        assert digest(again) == digest(made)
        assert again.record["strength"] == made.record["strength"]


def test_what_is_tried_on_a_few_examples_is_not_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    counts, own = [], features.passed

    def counting(backbone: Backbone, inputs: Sequence[object], *words: Any, **named: Any) -> Any:
        counts.append(len(inputs))
        return own(backbone, inputs, *words, **named)

    monkeypatch.setattr(features, "passed", counting)
    hs.adapt(tiny.texts(60), backbone=tiny.text_backbone(), strategy=STRATEGIES["finetune"])
    assert counts[-1] == 60, "all are batched together, whatever few were tried before"


@pytest.mark.parametrize(
    ("strategies", "held", "wanted"),
    [(1, None, 2 * 10), (2, None, 3 * 2 * 10 + 3 * 10 / 3), (2, 0.2, 1.8 * 2 * 10 + 3 * 10 * 0.2 / 3)],
    ids=["learning", "cross-validation", "validation set"],
)
def test_the_forecast_counts_every_training_and_every_answer(
    strategies: int, held: float | None, wanted: float
) -> None:
    backbone = tiny.text_backbone()
    learned = hs.FineTune(epochs=2, batch_size=10)
    asked = [hs.Probe(), learned][-strategies:]
    made = make_plan(
        backbone, 1000, asked, Execution(), lacking=0, held=held, pilot=lambda _strategy, _storage, _precision: 0.1
    )
    assert made.folds == 3
    assert made.seconds[-1] == pytest.approx(wanted, abs=0.1)


def test_heads_are_considered_however_small_the_budget_is() -> None:
    asked = [hs.Majority(), hs.Classical(), hs.Probe(), hs.FineTune(epochs=2)]
    made = make_plan(
        tiny.text_backbone(),
        1000,
        asked,
        Execution(seconds=1.0),
        lacking=1000,
        budget=1.0,
        are_asked=False,
        pilot=lambda _strategy, _storage, _precision: 0.1,
    )
    assert list(made.strategies) == asked[:3]
    assert len(made.left_out) == 1


def test_what_was_settled_for_a_question_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    data, backbone = tiny.texts(60), tiny.text_backbone()
    first = hs.adapt(data, backbone=backbone, strategy=STRATEGIES["finetune"])
    monkeypatch.setattr(Tuning, "seconds_a_step", lambda self: 1e9)
    again = hs.adapt(data, backbone=backbone, strategy=STRATEGIES["finetune"])
    assert again.record["plan"]["seconds"] == first.record["plan"]["seconds"]
    other = hs.adapt(data, backbone=backbone, strategy=STRATEGIES["finetune"], seed=1)
    assert other.record["plan"]["seconds"] != first.record["plan"]["seconds"]


def data_rows(data: hs.Dataset) -> list[tuple[str, str]]:
    return [(str(text), str(label)) for text, label in zip(data.inputs, data.values, strict=True)]


PROCESS = """
import sys
import numpy as np
import headstart as hs
from headstart.devices import processes
from tests import tiny

schedule = hs.Schedule(epochs=3, rate=2e-4, head_rate=1e-3, batch_size=5)
strategy = hs.FineTune(cut=1, moves=2, schedule=schedule)
model = hs.adapt(tiny.texts(), backbone=tiny.text_backbone(), strategy=strategy)
model.save(sys.argv[1] + ".headstart")
scratch = hs.FromScratch(augment="none", schedule=hs.Schedule(epochs=1, batch_size=5, statistics=True))
drawn = hs.adapt(tiny.pictures(), backbone=tiny.image_backbone(), strategy=scratch)
np.save(f"{sys.argv[1]}-drawn-{processes().rank}-of-{processes().world}.npy", drawn.outputs(tiny.pictures().inputs))
np.save(f"{sys.argv[1]}-{processes().rank}-of-{processes().world}.npy", model.outputs(tiny.texts().inputs))
"""


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROCESS)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": SOURCES, "CUDA_VISIBLE_DEVICES": ""}
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for words in ([sys.executable], two):
        subprocess.run([*words, str(program), str(tmp_path / "m")], check=True, capture_output=True, env=env)
    one, first, second = (np.load(tmp_path / f"m-{name}.npy") for name in ("0-of-1", "0-of-2", "1-of-2"))
    assert np.array_equal(first, second)
    assert np.allclose(one, first, atol=1e-5)
    drawn = [np.load(tmp_path / f"m-drawn-{rank}-of-2.npy") for rank in (0, 1)]
    assert np.array_equal(*drawn)


def test_what_is_anchored_stays_closer_to_where_it_began(backbone: Backbone) -> None:
    moved = []
    for anchor in (0.0, 100.0):
        ready = tuning(backbone, hs.FineTune(cut=0, anchor=anchor, schedule=replace(SHORT, weight_decay=0.0)))
        every = np.arange(len(ready.examples))
        lesson, _ = ready.train(every, every[:0], "t")
        before, after = backbone.trunk.state_dict(), lesson.backbone.trunk.state_dict()
        moved.append(
            sum(float(((after[key] - one) ** 2).sum()) for key, one in before.items() if one.is_floating_point())
        )
    assert moved[1] < 0.5 * moved[0]


def test_the_weakest_direction_is_numpys_smallest_singular_value() -> None:
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(6, 10)))
    assert float(weakest_direction(features)) == pytest.approx(np.linalg.svd(features.numpy())[1].min() ** 2)


def test_shrinkage_makes_the_weakest_direction_weaker(backbone: Backbone) -> None:
    left = []
    for shrinkage in (0.0, 10.0):
        ready = tuning(backbone, hs.FineTune(cut=0, shrinkage=shrinkage, schedule=replace(SHORT, epochs=4)))
        every = np.arange(len(ready.examples))
        lesson, _ = ready.train(every, every[:0], "t")
        left.append(float(weakest_direction(tiny.whole(lesson.backbone, ready.examples.inputs[:8]))))
    assert left[1] < left[0]


def test_refine_leaves_the_source_as_it_is_and_begins_as_the_probe(backbone: Backbone) -> None:
    ready = tuning(backbone, hs.Refine(schedule=SHORT))
    every = np.arange(len(ready.examples))
    assert ready.features is not None
    lesson = ready.lesson(every, every[:0])
    logits = lesson.head.cpu()(tiny.whole(lesson.backbone, ready.examples.inputs))
    begun = lesson.target.outputs(logits.detach().cpu().numpy())
    start = fit_head(ready.features, ready.truth, ready.task, ready.strength[0])
    assert np.allclose(begun, ready.task.outputs(start.logits(ready.features)), atol=1e-4)
    lesson, _ = ready.train(every, every[:0], "t")
    inside = lesson.backbone.trunk.get_submodule("below.source").state_dict()
    assert all(torch.equal(inside[name].cpu(), tensor.cpu()) for name, tensor in backbone.trunk.state_dict().items())
    d = ready.features.shape[1]
    assert np.allclose(tiny.whole(lesson.backbone, ready.examples.inputs).numpy()[:, :d], ready.features, atol=1e-5)
    assert float(lesson.head.weight.detach()[:, d:].abs().max()) > 0


def test_refine_is_saved_and_loaded_and_can_be_a_source(backbone: Backbone, tmp_path: Path) -> None:
    data = examples(backbone)
    model = hs.adapt(data, backbone=backbone, strategy=hs.Refine(schedule=SHORT))
    loaded = hs.load(model.save(tmp_path / "m.headstart"))
    assert np.array_equal(loaded.outputs(data.inputs), model.outputs(data.inputs))
    source = hs.load_backbone(str(tmp_path / "m.headstart"))
    again = hs.adapt(data, backbone=source, strategy=hs.FineTune(cut=-1, schedule=SHORT))
    assert again.record["cut"] == source.n_stages - 1 == backbone.n_stages


def test_averaged_weights_lie_between_where_learning_began_and_ended(backbone: Backbone) -> None:
    ended = {}
    for average in (0.0, 0.5):
        ready = tuning(backbone, hs.FineTune(cut=0, average=average, schedule=SHORT))
        every = np.arange(len(ready.examples))
        ended[average] = ready.train(every, every[:0], "t")[0].backbone.trunk.state_dict()
    start = backbone.trunk.state_dict()
    moved = {
        average: sum(float(((one[name] - start[name]) ** 2).sum()) for name in start if start[name].is_floating_point())
        for average, one in ended.items()
    }
    assert 0 < moved[0.5] < moved[0.0]


def test_co_tuning_relates_each_class_to_what_the_source_answers_to_it() -> None:
    dice = np.random.default_rng(0)
    features, truth = dice.normal(size=(30, 5)), np.arange(30) % 3
    source = dice.normal(size=(7, 5)).astype(np.float32), dice.normal(size=7).astype(np.float32)
    relation = Relation.between(source, features, truth, 4)
    logits = features @ source[0].T + source[1]
    answered = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.allclose(relation.table[1], answered[truth == 1].mean(0), atol=1e-6)
    assert np.allclose(relation.table[3], answered.mean(0), atol=1e-6)
    losses = relation.loss(torch.from_numpy(features).float(), torch.from_numpy(truth)).detach().numpy()
    assert np.allclose(losses, -(relation.table.numpy()[truth] * np.log(answered)).sum(1), atol=1e-4)


def test_co_tuning_needs_a_source_whose_classes_are_known(backbone: Backbone) -> None:
    with pytest.raises(OptionError, match="relates a source's classes"):
        hs.adapt(examples(backbone), backbone=backbone, strategy=hs.FineTune(cut=1, relation=0.2))


def test_co_tuned_pictures_keep_more_of_what_the_source_knows() -> None:
    data, kept = tiny.pictures(), []
    source = hs.load_backbone("efficientnet_lite0")
    head = source_head(source.card)
    assert head is not None
    weight, bias = (torch.from_numpy(one) for one in head)
    before = functional.log_softmax(tiny.whole(source, data.inputs) @ weight.T + bias, 1)
    for relation in (0.0, 5.0):
        strategy = hs.FineTune(relation=relation, schedule=hs.Schedule(epochs=2, rate=1e-4, batch_size=8, decay=1.0))
        model = hs.adapt(data, backbone=source, strategy=strategy)
        assert not model.record["diverged"]
        after = functional.log_softmax(tiny.whole(model.backbone, data.inputs) @ weight.T + bias, 1)
        kept.append(float(functional.kl_div(after, before, log_target=True, reduction="batchmean")))
    assert kept[1] < kept[0]
