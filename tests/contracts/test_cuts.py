"""Every network, cut anywhere: below then above equals whole, in value and in gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from headstart.backbones import language, tokens, vision
from headstart.backbones.catalogue import CATALOGUE
from headstart.backbones.planning import plan_cuts
from headstart.backbones.replay import CutPlan, Replay
from headstart.backbones.sources import load_backbone
from headstart.errors import OptionError

TIMM = {
    "resnet18": 32,
    "mobilenetv2_035": 64,
    "mobilenetv3_small_050": 64,
    "tf_efficientnet_lite0": 64,
    "regnetx_002": 32,
    "convnext_atto": 64,
    "densenet121": 32,
    "vit_tiny_patch16_224": 224,
    "deit_tiny_distilled_patch16_224": 224,
    "swin_tiny_patch4_window7_224": 224,
    "mixer_s32_224": 224,
    "mobilevit_xxs": 64,
    "edgenext_xx_small": 64,
    "pvt_v2_b0": 64,
    "poolformer_s12": 64,
}
TINY = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
LLAMA = {**TINY, "num_key_value_heads": 2, "head_dim": 8}
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "bert": TINY,
    "roberta": {**TINY, "max_position_embeddings": 64},
    "distilbert": {"vocab_size": 97, "dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 64},
    "albert": {**TINY, "embedding_size": 16},
    "mpnet": TINY,
    "electra": {**TINY, "embedding_size": 16},
    "deberta-v2": {**TINY, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "max_position_embeddings": 64},
    "modernbert": {**TINY, "pad_token_id": 0, "global_attn_every_n_layers": 2, "local_attention": 8},
    "llama": LLAMA,
    "qwen2": {name: value for name, value in LLAMA.items() if name != "head_dim"},
    "gpt2": {"vocab_size": 97, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64},
    "t5": {"vocab_size": 97, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 3, "num_heads": 4},
}


def image_network(name: str) -> tuple[nn.Module, dict[str, Tensor]]:
    torch.manual_seed(0)
    side = TIMM[name]
    return timm.create_model(name, num_classes=0).eval(), {"x": torch.randn(2, 3, side, side)}


def text_network(name: str) -> tuple[nn.Module, dict[str, Tensor]]:
    torch.manual_seed(0)
    pooling = "last" if name in ("llama", "qwen2", "gpt2") else "mean"
    settings = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **TRANSFORMERS[name]}
    return language.build_trunk({"model_type": name, **settings}, pooling, normalize=False), padded(
        [[5, 6, 7], [8] * 9]
    )


def padded(rows: list[list[int]], *, left: bool = False) -> dict[str, Tensor]:
    width = max(map(len, rows))
    blanks = [[0] * (width - len(row)) for row in rows]
    pairs = list(zip(rows, blanks, strict=True))
    ids = [blank + row if left else row + blank for row, blank in pairs]
    mask = [[0] * len(blank) + [1] * len(row) if left else [1] * len(row) + [0] * len(blank) for row, blank in pairs]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


def network(name: str) -> tuple[nn.Module, dict[str, Tensor]]:
    return image_network(name) if name in TIMM else text_network(name)


@pytest.fixture(scope="module")
def replayed() -> Callable[[str], tuple[Replay, dict[str, Tensor]]]:
    made: dict[str, tuple[Replay, dict[str, Tensor]]] = {}

    def get(name: str) -> tuple[Replay, dict[str, Tensor]]:
        if name not in made:
            trunk, batch = network(name)
            made[name] = Replay(trunk, plan_cuts(trunk, batch)), batch
        return made[name]

    return get


def close(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() <= 1e-5 * max(1.0, float(other.abs().max())))


@pytest.mark.parametrize("name", [*TIMM, *TRANSFORMERS])
def test_below_then_above_is_whole(name: str, replayed: Callable[[str], Any]) -> None:
    replay, batch = replayed(name)
    assert replay.n_stages >= 3
    with torch.no_grad():
        whole = replay.trunk(**batch)
        for cut in range(replay.n_stages + 1):
            assert close(replay.above(batch, replay.below(batch, cut), cut), whole), cut


@pytest.mark.parametrize("name", [*TIMM, *TRANSFORMERS])
def test_gradients_above_the_cut_are_those_of_the_whole(name: str, replayed: Callable[[str], Any]) -> None:
    replay, batch = replayed(name)
    cut = replay.n_stages // 2
    replay.trunk.zero_grad()
    replay.trunk(**batch).square().sum().backward()
    above = replay.plan.stages[cut:]
    names = [
        f"{module}.{parameter}"
        for stage in above
        for module in stage
        if module not in replay.plan.live
        for parameter, _ in replay.trunk.get_submodule(module).named_parameters()
    ]
    parameters = dict(replay.trunk.named_parameters())
    wanted = {name: parameters[name].grad for name in names if parameters[name].grad is not None}
    expected = {name: grad.clone() for name, grad in wanted.items() if "rel_embeddings" not in name}
    assert expected
    replay.trunk.zero_grad()
    with torch.no_grad():
        state = replay.below(batch, cut)
    replay.above(batch, state, cut).square().sum().backward()
    scale = max(float(grad.abs().max()) for grad in expected.values())
    for parameter, grad in expected.items():
        got = parameters[parameter].grad
        assert got is not None, parameter
        assert float((got - grad).abs().max()) <= 1e-4 * max(1.0, scale), parameter


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_texts_of_other_lengths_and_a_batch_of_one(name: str, replayed: Callable[[str], Any]) -> None:
    replay, _ = replayed(name)
    rows = [[11, 12, 13, 14, 15], [21, 22], [31] * 12]
    with torch.no_grad():
        together = replay.trunk(**padded(rows))
        for place, row in enumerate(rows):
            alone = padded([row])
            for cut in range(replay.n_stages + 1):
                assert close(replay.above(alone, replay.below(alone, cut), cut), together[place : place + 1])


@pytest.mark.parametrize("name", TIMM)
def test_batches_of_more_rows(name: str, replayed: Callable[[str], Any]) -> None:
    replay, batch = replayed(name)
    more = {"x": torch.cat([batch["x"], 1 - batch["x"], batch["x"].flip(3)])[:5]}
    with torch.no_grad():
        whole = replay.trunk(**more)
        for cut in range(replay.n_stages + 1):
            assert close(replay.above(more, replay.below(more, cut), cut), whole), cut


def test_noting_shapes_draws_no_number() -> None:
    trunk, batch = text_network("bert")
    replay = Replay(trunk, plan_cuts(trunk, batch))
    batch = padded([[5] * 4, [6, 7], [8]])
    state = replay.below(batch, 2)
    trunk.train()
    answers = []
    for _ in range(2):
        torch.manual_seed(1)
        answers.append(replay.above(batch, state, 2))
    assert torch.equal(*answers)
    torch.manual_seed(2)
    assert not torch.equal(answers[0], replay.above(batch, state, 2))


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_left_padded_batches(name: str, replayed: Callable[[str], Any]) -> None:
    replay, _ = replayed(name)
    batch = padded([[11, 12, 13, 14, 15], [21, 22], [31] * 12], left=True)
    with torch.no_grad():
        whole = replay.trunk(**batch)
        for cut in range(replay.n_stages + 1):
            assert close(replay.above(batch, replay.below(batch, cut), cut), whole)


@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt2"])
def test_padding_on_the_left_changes_nothing_for_decoders(name: str, replayed: Callable[[str], Any]) -> None:
    replay, _ = replayed(name)
    rows = [[11, 12, 13, 14, 15], [21, 22]]
    with torch.no_grad():
        assert close(replay.trunk(**padded(rows, left=True)), replay.trunk(**padded(rows)))


@pytest.mark.parametrize("name", CATALOGUE)
def test_catalogue_entries_are_cut_as_shipped(name: str) -> None:
    backbone = load_backbone(name)
    batch = backbone.example_batch()
    assert backbone.known_plan == plan_cuts(backbone.trunk, batch)
    with torch.no_grad():
        whole = backbone.whole(batch)
        assert whole.shape == (2, backbone.card.dimensions)
        for cut in range(backbone.n_stages + 1):
            assert close(backbone.above(batch, backbone.below(batch, cut), cut), whole)
    assert sum(parameter.numel() for parameter in backbone.trunk.parameters()) == backbone.card.parameters


class Paired(nn.Module):
    """A network whose first module gives a row for each pair of examples, which grows as no multiple of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = Pairs(), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        pairs = self.first(x)
        return self.third(self.second(x).relu() + 0 * len(pairs))


class Pairs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.combinations(x[:, 0])


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_shapes_that_do_not_grow_with_the_rows_are_those_of_the_batch(rows: int) -> None:
    trunk, batch = Paired(), {"x": torch.randn(rows, 4)}
    replay = Replay(trunk, CutPlan((("first", "second"), ("third",))))
    seen: list[int] = []
    trunk.third.register_forward_pre_hook(lambda _module, _args: seen.append(len(trunk.first(batch["x"]))))
    assert torch.equal(replay.above(batch, replay.below(batch, 1), 1), trunk(**batch))
    assert set(seen) == {rows * (rows - 1) // 2}


class Tangled(nn.Module):
    """A network whose every module is called twice: it has no sound cut."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.layer(x).relu())


def test_a_network_that_cannot_be_cut_works_whole() -> None:
    batch = {"x": torch.randn(2, 4)}
    replay = Replay(trunk := Tangled(), plan_cuts(trunk, batch))
    assert replay.n_stages == 1
    assert torch.equal(replay.above(batch, replay.below(batch, 1), 1), trunk(**batch))
    with pytest.raises(OptionError, match="there is no cut 2"):
        replay.below(batch, 2)


def test_a_cut_leaves_the_network_as_it_was(replayed: Callable[[str], Any]) -> None:
    replay, batch = replayed("resnet18")
    replay.trunk.train()
    before = {name: tensor.clone() for name, tensor in replay.trunk.state_dict().items()}
    with torch.no_grad():
        replay.trunk.eval()
        state = replay.below(batch, 4)
        replay.above(batch, state, 4)
    assert all(torch.equal(before[name], tensor) for name, tensor in replay.trunk.state_dict().items())
    assert not any("forward" in module.__dict__ for module in replay.trunk.modules())


@pytest.mark.parametrize("name", [*TIMM, *TRANSFORMERS])
def test_a_probe_can_read_at_every_cut(name: str, replayed: Callable[[str], Any]) -> None:
    """The width it reads is the same for batches of other sizes and lengths."""
    replay, batch = replayed(name)
    if name in TIMM:
        prepare: Any = vision.ImagePreparer({}, 3)
        batches = [batch, {"x": batch["x"][:1]}]
    else:
        prepare = tokens.TextPreparer(None, 16)
        batches = [batch, padded([[11, 12, 13, 14, 15], [21, 22], [31] * 12])]
    with torch.no_grad():
        for cut in range(1, replay.n_stages):
            widths = set()
            for one in batches:
                leaves = [leaf for leaf in tree_leaves(replay.below(one, cut)) if torch.is_tensor(leaf)]
                read = prepare.read([leaf for leaf in leaves if leaf.is_floating_point()], replay.trunk, one)
                assert read is not None, cut
                assert read.shape[0] == len(next(iter(one.values())))
                widths.add(read.shape[1])
            assert len(widths) == 1, cut
