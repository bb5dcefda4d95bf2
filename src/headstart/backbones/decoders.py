"""Decoders: what may stand above an encoder's tokens, how it is built, and how a backbone gives tokens one by one.

A decoder is a checkpoint's own (T5, BART, Pegasus and their like) or, of an encoder that has none, its own layers with
cross-attention (Rothe, Narayan and Severyn 2020).
"""

from __future__ import annotations

import re
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import nn

from headstart import artifact
from headstart.backbones.backbone import Backbone
from headstart.errors import BackboneError

WriterKind: TypeAlias = Literal["warm", "seq2seq", "causal"]
OWN = "own"
"""What an architecture says of its decoder where that was pretrained with it."""

LONGEST = 256
"""Tokens that are written, at most."""

BEAMS = 4
"""Beginnings of a text that are followed at once."""

CHOOSER = "chooser"
"""What of a warm-started writer says from the states of a text's tokens by how much each is favoured."""

DECODER_LAYERS = 2
"""Of an encoder's layers, that a decoder is made from."""

LAYER = re.compile(r"layer\.(\d+)\.")
NONE = {"num_hidden_layers": 0, "intermediate_size": 8, "max_position_embeddings": 2, "vocab_size": 2}


@dataclass(frozen=True)
class Script:
    """How a writer is built, and how it writes.

    Attributes:
        kind: "warm" (an encoder's layers), "seq2seq" (a checkpoint's own decoder) or "causal" (the head of a model that
            goes on with a prompt).
        config: of transformers: of the decoder, or of the whole.
        start, end, pad: tokens that a text begins with, ends with, and is filled up with.
        longest: tokens that are written, at most, the last one included.
        beams: that are followed; 1 takes the likeliest token each time.
    """

    kind: WriterKind
    config: dict[str, Any]
    start: int
    end: int
    pad: int
    longest: int = LONGEST
    beams: int = BEAMS


class Taken(nn.Module):
    """Where an encoder stood: its states are given instead."""

    main_input_name = "input_ids"

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def forward(self, *_args: Any, **_named: Any) -> None:
        """Refuse to run: the states are always given."""
        raise AssertionError("a writer has no encoder of its own")


def by_token(backbone: Backbone) -> Backbone:
    """Return a text backbone that gives the states of tokens (n, l, d + 1) in place of one vector a text.

    Raises:
        BackboneError: it reads no tokens one by one.
    """
    from headstart.backbones.language import TextTrunk
    from headstart.backbones.prompts import PromptPreparer
    from headstart.backbones.tokens import TextPreparer

    trunk = backbone.trunk
    if not isinstance(trunk, TextTrunk):
        raise BackboneError(
            f"{backbone.name} cannot write.",
            expected="an encoder of texts from transformers, such as minilm_l6",
            got=backbone.name,
            hint="choose sentences instead: --strategy probe",
        )
    architecture = {**backbone.architecture, "pooling": "tokens", "pooled": [trunk.pool.pooling, trunk.pool.normalize]}
    own = TextTrunk(trunk.encoder, "tokens", normalize=False).eval()
    prepare = backbone.prepare
    if trunk.positions and isinstance(prepare, TextPreparer):
        prepare = PromptPreparer(prepare.tokenizer, prepare.max_length, prepare.special, prepare.prompt)
        architecture["asking"] = prepare.asking
    if has_decoder(backbone):
        architecture["decoder"] = OWN
    return replace(
        backbone,
        architecture=architecture,
        trunk=own,
        prepare=prepare,
        known_plan=backbone.replay.plan,
        typical=None,
        _lock=threading.RLock(),
    )


def pooled(backbone: Backbone) -> Backbone:
    """Return what `by_token` made, once it has learned, as a backbone that gives one vector a text again."""
    from headstart.backbones.language import TextTrunk
    from headstart.backbones.prompts import PromptPreparer, plain

    architecture = dict(backbone.architecture)
    pooling, normalize = architecture.pop("pooled")
    architecture.pop("asking", None)
    architecture.pop("decoder", None)
    prepare = plain(backbone.prepare) if isinstance(backbone.prepare, PromptPreparer) else backbone.prepare
    architecture["pooling"] = pooling
    trunk, plan = TextTrunk(encoder_of(backbone), pooling, normalize).eval(), backbone.replay.plan
    lock = threading.RLock()
    return replace(backbone, architecture=architecture, trunk=trunk, prepare=prepare, known_plan=plan, _lock=lock)


def script_for(backbone: Backbone) -> Script:
    """Return how a writer above a backbone is built.

    Raises:
        BackboneError: nothing of its kind can be a decoder.
    """
    config, tokenizer = dict(backbone.architecture["config"]), backbone.prepare.tokenizer  # type: ignore[attr-defined]
    pad = int(tokenizer.pad_token_id or 0)
    end = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    if getattr(backbone.trunk, "positions", False):
        asks = by_token(backbone).prepare
        return Script("causal", config, pad, asks.end, pad, asks.room, beams=1)  # type: ignore[attr-defined]
    if config.get("is_encoder_decoder") or _settings(config).is_encoder_decoder:
        start = config.get("decoder_start_token_id")
        return Script("seq2seq", config, pad if start is None else int(start), int(end), pad)
    start = tokenizer.cls_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    if start is None or end is None:
        raise BackboneError(f"{backbone.name} has no tokens that a text begins and ends with.", expected="an encoder")
    layers = min(DECODER_LAYERS, int(config.get("num_hidden_layers", DECODER_LAYERS)))
    script = Script("warm", {**config, "num_hidden_layers": layers}, int(start), int(end), pad)
    with torch.device("meta"), quiet():
        built(script)
    return script


def has_decoder(backbone: Backbone) -> bool:
    """Tell whether a decoder, or a causal model's head, lies where a backbone was read from."""
    config = backbone.architecture.get("config")
    if backbone.origin is None or config is None:
        return False
    if artifact.is_artifact(backbone.origin):
        return True
    return bool(getattr(backbone.trunk, "positions", False) or _settings(config).is_encoder_decoder)


def decoder_of(backbone: Backbone) -> nn.Module | None:
    """Return the pretrained decoder, or a causal model's head, that lies where a backbone was read from; or None.

    Raises:
        BackboneError: it lacks weights.
    """
    import transformers

    if not has_decoder(backbone):
        return None
    continues = bool(getattr(backbone.trunk, "positions", False))
    kind: Any = transformers.AutoModelForCausalLM if continues else transformers.AutoModelForSeq2SeqLM
    try:
        with quiet():
            model, info = kind.from_pretrained(
                backbone.origin,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BackboneError(
            f"{backbone.name} has no decoder that can be read.", got=str(error).splitlines()[0]
        ) from None
    if info["missing_keys"]:
        raise BackboneError(
            f"the decoder of {backbone.name} lacks weights.", got=", ".join(sorted(info["missing_keys"])[:3])
        )
    own: nn.Module = model.get_output_embeddings() if continues else _without_encoder(model)
    return own


def _settings(config: dict[str, Any]) -> Any:
    import transformers

    return transformers.AutoConfig.for_model(**config)


def encoder_of(backbone: Backbone) -> nn.Module:
    """Return the layers of a text backbone, without what pools."""
    return backbone.trunk.get_submodule("encoder")


def begin_as(decoder: nn.Module, encoder: nn.Module) -> None:
    """Let a decoder begin as some of an encoder's layers, as far from each other as can be (Shleifer and Rush 2020).

    Cross-attention begins as the layer's attention to its own text, which looks for what is alike (Ma et al. 2021).
    """
    given, wanted = encoder.state_dict(), decoder.state_dict()
    layers = [{int(one[1]) for name in names if (one := LAYER.search(name))} for names in (given, wanted)]
    chosen = np.linspace(0, len(layers[0]) - 1, len(layers[1])).round().astype(int).tolist()
    for name, tensor in wanted.items():
        own = LAYER.sub(lambda found: f"layer.{chosen[int(found[1])]}.", name).replace("crossattention", "attention")
        if own in given and given[own].shape == tensor.shape:
            tensor.copy_(given[own])


def built(script: Script) -> nn.Module:
    """Return a model with random weights and no encoder.

    Raises:
        BackboneError: networks of this kind have no cross-attention.
    """
    import transformers

    settings = _settings(script.config)
    if script.kind == "causal":
        return nn.Linear(settings.hidden_size, settings.vocab_size, bias=False)
    if script.kind == "seq2seq":
        return _without_encoder(transformers.AutoModelForSeq2SeqLM.from_config(settings))
    settings.is_decoder, settings.add_cross_attention = True, True
    try:
        decoder = transformers.AutoModelForCausalLM.from_config(settings)
    except (ValueError, KeyError):
        decoder = None
    if decoder is None or not any("crossattention" in name for name, _ in decoder.named_parameters()):
        raise BackboneError(
            f"layers of the kind {settings.model_type} cannot write.",
            expected="BERT, RoBERTa, ELECTRA or their like, or a model with a decoder of its own",
            got=settings.model_type,
            hint="choose sentences instead: --strategy probe",
        )
    empty = transformers.AutoModel.from_config(_settings({**script.config, **NONE, "pad_token_id": 0}))
    model = _without_encoder(transformers.EncoderDecoderModel(encoder=empty, decoder=decoder))
    model.add_module(CHOOSER, _chooser(settings.hidden_size))
    return model


def _chooser(d: int) -> nn.Linear:
    """Return what favours all tokens (n, l, d) of a text alike, to begin with."""
    chooser = nn.Linear(d, 1)
    nn.init.zeros_(chooser.weight)
    nn.init.ones_(chooser.bias)
    return chooser


def _without_encoder(model: Any) -> nn.Module:
    """Return a sequence-to-sequence model whose encoder is taken out."""
    encoder = model.get_encoder()
    name = next(name for name, module in model.named_modules() if module is encoder)
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, Taken(encoder.config))
    return model  # type: ignore[no-any-return]


def quiet() -> AbstractContextManager[None]:
    """Keep transformers' own talk off the user's screen."""
    from headstart.backbones.tokens import quietly

    return quietly()
