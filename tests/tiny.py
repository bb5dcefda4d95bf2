"""Backbones small enough to train in a test: random weights, real tokenizer, real preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch

import headstart as hs
from headstart.backbones import tokens, vision
from headstart.backbones.backbone import Backbone, weights_hash
from headstart.backbones.card import Card
from headstart.backbones.catalogue import CATALOGUE, verified
from headstart.backbones.sources import assemble
from headstart.devices import moved, undisturbed

TEXT = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}


@cache
def tokenizer() -> object:
    return tokens.load_tokenizer(verified(CATALOGUE["minilm_l6"]).parent)


def text_backbone(name: str = "bert", **settings: object) -> Backbone:
    """A transformer of three layers with MiniLM's tokens."""
    config = {"model_type": name, "vocab_size": 30522, "pad_token_id": 0, **(settings or TEXT)}
    architecture = {
        "library": "transformers",
        "config": config,
        "pooling": "last" if name == "gpt2" else "mean",
        "normalize": False,
        "max_length": 32,
        "dimensions": 32,
    }
    torch.manual_seed(0)
    trunk, prepare = assemble(architecture, tokenizer())
    return Backbone(Card(f"tiny-{name}", "text", "a test", sha256=weights_hash(trunk)), architecture, trunk, prepare)


def image_backbone(name: str = "mobilenetv3_small_050", side: int = 32) -> Backbone:
    """A small convolutional network with BatchNorm."""
    torch.manual_seed(0)
    trunk = vision.build_trunk(name, 3)
    preprocessing = {**vision.preprocessing_of(trunk), "input_size": [3, side, side]}
    architecture = {"library": "timm", "name": name, "channels": 3, "preprocessing": preprocessing, "arguments": {}}
    card = Card(f"tiny-{name}", "image", "a test", sha256=weights_hash(trunk))
    return Backbone(card, architecture, trunk, vision.ImagePreparer(preprocessing))


def texts(n: int = 24) -> hs.Dataset:
    """Sentences of two classes, of unlike lengths."""
    words = {"good": "lovely warm funny bright", "bad": "dreadful cold dull dark"}
    rows = [
        (" ".join([f"number {place}", *(list(words[label].split()) * 2)[place % 4 : place % 4 + 1 + place % 3]]), label)
        for place in range(n // 2)
        for label in words
    ]
    return hs.read(rows)


def whole(backbone: Backbone, inputs: Sequence[Any]) -> torch.Tensor:
    """What the whole network gives (n, d), wherever it is."""
    device = next(backbone.trunk.parameters()).device
    batch = {name: moved(tensor, device) for name, tensor in backbone.prepare(inputs).items()}
    with undisturbed():
        return backbone.whole(batch).detach().cpu()


def pictures(n: int = 16) -> hs.Dataset:
    """Noisy pictures, brighter in the upper or the lower half."""
    dice = np.random.default_rng(0)
    rows = []
    for place in range(n):
        picture = dice.integers(0, 120, (40, 40, 3))
        picture[:20] += 100 * (place % 2)
        picture[20:] += 100 * (1 - place % 2)
        rows.append((picture.astype(np.uint8), "upper" if place % 2 else "lower"))
    return hs.read(rows)


def labelled(n: int = 24) -> hs.Dataset:
    """Sentences with any number of labels."""
    rows = [{"text": f"number {place} " + "red " * (place % 2) + "round " * (place % 3 == 0)} for place in range(n)]
    sets = [["red"] * (place % 2) + ["round"] * (place % 3 == 0) for place in range(n)]
    return hs.read(
        [{**row, "label": labels} for row, labels in zip(rows, sets, strict=True)], input="text", target="label"
    )


def numbered(n: int = 24) -> hs.Dataset:
    """Sentences with a number each."""
    rows = [(f"{'very ' * (place % 5)}good, number {place}", place % 5 + place / 100) for place in range(n)]
    return hs.read(rows, task="regression")


def tagged(n: int = 24) -> hs.Dataset:
    """Sentences that name places."""
    places = ["boston", "new york", "san francisco", "dallas"]
    rows = []
    for number in range(n):
        source, target = places[number % 4], places[(number // 4 + number + 1) % 4]
        tags = [f"B-{kind} " + f"I-{kind} " * place.count(" ") for kind, place in (("from", source), ("to", target))]
        rows.append((f"flight {number} from {source} to {target}", f"O O O {tags[0]}O {tags[1]}".strip()))
    return hs.read(rows)
