"""What every field promises, whatever the task and the kind of network: tasks beside the backbones that serve them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import headstart as hs
from headstart.adaptation import adapt_to
from headstart.backbones.backbone import Backbone
from headstart.checkpoints import Checkpoints
from headstart.frozen.execution import EXACT, Execution
from headstart.ground import begin

from .. import tiny


class StopError(Exception):
    """A test's own interruption."""


@dataclass(frozen=True)
class Field:
    """A task and its examples, a backbone that serves it, and what is learned of it beside a head."""

    data: Callable[[], hs.Dataset]
    backbone: Callable[[], Backbone]
    learning: hs.Strategy


GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 4, "vocab_size": 30522}
LLAMA = {**tiny.TEXT, "num_key_value_heads": 2, "head_dim": 8}
FINETUNE = hs.FineTune(cut=1, epochs=2, rate=1e-3, batch_size=8)
LORA = hs.LoRA(cut=1, epochs=2, rate=1e-3, batch_size=8)
FIELDS = {
    "labels of texts, BERT": Field(tiny.texts, tiny.text_backbone, FINETUNE),
    "labels of texts, GPT-2": Field(tiny.texts, lambda: tiny.text_backbone("gpt2", **GPT2), LORA),
    "labels of texts, Llama": Field(tiny.texts, lambda: tiny.text_backbone("llama", **LLAMA), LORA),
    "sets of labels, BERT": Field(tiny.labelled, tiny.text_backbone, FINETUNE),
    "numbers, BERT": Field(tiny.numbered, tiny.text_backbone, FINETUNE),
    "tags, BERT": Field(tiny.tagged, tiny.text_backbone, FINETUNE),
    "tags, Llama": Field(tiny.tagged, lambda: tiny.text_backbone("llama", **LLAMA), LORA),
    "labels of pictures": Field(tiny.pictures, tiny.image_backbone, FINETUNE),
}


@pytest.fixture(params=FIELDS)
def field(request: pytest.FixtureRequest) -> Field:
    return FIELDS[request.param]


@pytest.fixture(params=["head", "learning"])
def strategy(request: pytest.FixtureRequest, field: Field) -> hs.Strategy:
    return hs.Probe() if request.param == "head" else field.learning


def same(one: np.ndarray, other: np.ndarray, atol: float = 0.0) -> bool:
    if one.dtype == object or not atol:
        return one.shape == other.shape and bool((one == other).all())
    return one.shape == other.shape and bool(np.allclose(one, other, atol=atol))


def tensors(backbone: Backbone) -> dict[str, torch.Tensor]:
    return {name: one.detach().cpu().clone() for name, one in backbone.trunk.state_dict().items()}


def test_what_is_loaded_answers_as_what_was_saved(field: Field, strategy: hs.Strategy, tmp_path: Path) -> None:
    data = field.data()
    model = hs.adapt(data, backbone=field.backbone(), strategy=strategy)
    again = hs.load(model.save(tmp_path / "m.headstart"))
    assert again.task == model.task
    assert same(model.outputs(data.inputs, execution=EXACT), again.outputs(data.inputs, execution=EXACT))


def test_an_answer_does_not_depend_on_what_else_is_asked(field: Field, strategy: hs.Strategy) -> None:
    data = field.data()
    model = hs.adapt(data, backbone=field.backbone(), strategy=strategy)
    together = model.outputs(data.inputs, execution=EXACT)
    alone = np.concatenate([model.outputs([one], execution=EXACT) for one in data.inputs])
    assert same(together, alone, atol=1e-4)


def test_what_is_cached_is_what_is_computed(field: Field, strategy: hs.Strategy) -> None:
    data = field.data()
    model = hs.adapt(data, backbone=field.backbone(), strategy=strategy)
    computed = model.outputs(data.inputs, execution=EXACT)
    for _ in range(2):
        assert same(computed, model.outputs(data.inputs, execution=Execution(), contents=data.contents), atol=1e-6)


def test_what_is_frozen_stays_as_it_is(field: Field, strategy: hs.Strategy) -> None:
    backbone = field.backbone()
    before = tensors(backbone)
    model = hs.adapt(field.data(), backbone=backbone, strategy=strategy)
    assert all(torch.equal(one, before[name]) for name, one in tensors(backbone).items())
    cut = model.record["cut"]
    below = backbone.replay.plan.frozen(len(backbone.replay.plan.stages) if cut == "top" else cut)
    after = tensors(model.backbone)
    frozen = [name for name in after if any(name.startswith(f"{module}.") for module in below)]
    assert frozen
    assert all(torch.equal(after[name], before[name]) for name in frozen)


def test_what_was_interrupted_goes_on_to_the_same_bits(field: Field, tmp_path: Path) -> None:
    backbone, data = field.backbone(), field.data()
    whole = tensors(hs.adapt(data, backbone=backbone, strategy=field.learning).backbone)
    keeper, stops, seen = Checkpoints(tmp_path, interval=0.0), 0, 0

    def interrupt(phase: str, done: int, total: int) -> None:
        nonlocal seen
        seen += "above cut" in phase
        if "above cut" in phase and seen % 3 == 2:
            raise StopError

    for _ in range(100):
        try:
            again = adapt_to(begin(data, None, backbone, 0, keeper, interrupt), [field.learning]).model
            break
        except StopError:
            stops += 1
    assert stops >= 2
    assert all(torch.equal(one, whole[name]) for name, one in tensors(again.backbone).items())
