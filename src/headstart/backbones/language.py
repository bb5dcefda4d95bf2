"""Text backbones: transformers' encoders (decoder-only models too) and static token tables, with their tokenizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import torch
import transformers
from torch import Tensor, nn
from transformers.models.auto import modeling_auto

from headstart.backbones.tokens import quietly
from headstart.errors import BackboneError
from headstart.wording import count

Pooling: TypeAlias = Literal["mean", "cls", "last", "tokens"]
LONGEST = 512
"""Tokens read of a text where the checkpoint names no length of its own."""


class Pool(nn.Module):
    """Reduce token states (s, l, d) to one vector a text, or a word: a mean, first or last real token; unit length.

    "tokens" reduces nothing: it gives the states and, last, whether there is a token (s, l, d + 1).
    """

    def __init__(self, pooling: Pooling, normalize: bool) -> None:
        super().__init__()
        self.pooling = pooling
        self.normalize = normalize

    def forward(self, hidden: Tensor, mask: Tensor, spans: Tensor | None = None) -> Tensor:
        """Return (n, d) from token states (s, l, d) and a mask (s, l) of ones and zeros.

        With spans (n, 3) it is that of words: in which text each stands, its first token there, and one past its last.
        """
        if self.pooling == "tokens":
            return torch.cat([hidden, mask[..., None].to(hidden.dtype)], 2)
        rows = torch.arange(hidden.shape[0], device=hidden.device)
        if spans is not None:
            pooled = _of_words(hidden, spans)
        elif self.pooling == "mean":
            weights = mask[..., None].to(hidden.dtype)
            pooled = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        elif self.pooling == "cls":
            pooled = hidden[rows, mask.argmax(1)]
        else:
            pooled = hidden[rows, mask.shape[1] - 1 - mask.flip(1).argmax(1)]
        return nn.functional.normalize(pooled, dim=1) if self.normalize else pooled


class TextTrunk(nn.Module):
    """A transformers encoder and its pooling: token ids and mask (n, l) to features (n, d)."""

    def __init__(self, encoder: nn.Module, pooling: Pooling, normalize: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.pool = Pool(pooling, normalize)
        self.positions = is_decoder_only(encoder.config)

    @property
    def table(self) -> nn.Module | None:
        """The token vectors that a text is looked up in; None where the encoder does not say."""
        try:
            return cast(nn.Module, self.encoder.get_input_embeddings())  # type: ignore[operator]
        except (AttributeError, NotImplementedError):
            return None

    def forward(self, input_ids: Tensor, attention_mask: Tensor, spans: Tensor | None = None) -> Tensor:
        """Return (n, d); decoders count positions from the first real token, so padding on the left changes nothing."""
        extra = (
            {"position_ids": (attention_mask.cumsum(1) - 1).clamp(min=0), "use_cache": False} if self.positions else {}
        )
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **extra)
        pooled: Tensor = self.pool(states.last_hidden_state, attention_mask, spans)
        return pooled


class StaticTrunk(nn.Module):
    """A table of token vectors, averaged over a text: the cheapest source there is."""

    def __init__(self, tokens: int, dimensions: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, dimensions)
        self.pool = Pool("mean", normalize=False)

    @property
    def table(self) -> nn.Module:
        """The token vectors."""
        return self.embedding

    def forward(self, input_ids: Tensor, attention_mask: Tensor, spans: Tensor | None = None) -> Tensor:
        """Return (n, d) from token ids and mask (n, l)."""
        pooled: Tensor = self.pool(self.embedding(input_ids), attention_mask, spans)
        return pooled


def _of_words(hidden: Tensor, spans: Tensor) -> Tensor:
    """Return the mean (n, d) of each word's token states, of states (s, l, d) and spans (n, 3)."""
    rows, first, last = spans.unbind(1)
    sums = nn.functional.pad(hidden.float().cumsum(1), (0, 0, 1, 0))
    return ((sums[rows, last] - sums[rows, first]) / (last - first)[:, None]).to(hidden.dtype)


def is_decoder_only(config: Any) -> bool:
    """Tell whether a model is causal and has no masked-language-model form: GPT, Llama, Qwen and their like."""
    causal = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    masked = modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    kind = config.model_type
    return kind in causal and kind not in masked and not getattr(config, "is_encoder_decoder", False)


def build_trunk(config: dict[str, Any], pooling: Pooling, normalize: bool) -> TextTrunk:
    """Return a trunk with random weights from a transformers configuration."""
    settings = transformers.AutoConfig.for_model(**config)
    return wrap_encoder(transformers.AutoModel.from_config(settings), pooling, normalize)


def wrap_encoder(model: nn.Module, pooling: Pooling, normalize: bool) -> TextTrunk:
    """Return a trunk around a model: the encoder of an encoder-decoder, without the unused pooler of a BERT."""
    encoder = model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model  # type: ignore[operator]
    if isinstance(getattr(encoder, "pooler", None), nn.Module):
        encoder.pooler = None
    return TextTrunk(encoder, pooling, normalize).eval()


def load_folder(folder: Path) -> tuple[TextTrunk, dict[str, Any]]:
    """Return the trunk in a transformers folder, and its architecture as JSON holds it.

    Pooling, unit length and the longest text are read from sentence-transformers' files where there are any;
    otherwise encoders average their tokens and decoders take the last.
    No code in the folder is run.

    Raises:
        BackboneError: the folder holds no model that transformers knows, or weights are missing from it.
    """
    try:
        with quietly():
            model, info = transformers.AutoModel.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise BackboneError(f"{folder.name} holds no model that transformers can load.", got=first) from None
    unused = ("pooler.", "decoder.") if getattr(model.config, "is_encoder_decoder", False) else ("pooler.",)
    missing = [name for name in info["missing_keys"] if not name.startswith(unused)]
    if missing:
        raise BackboneError(
            f"{count(len(missing), 'weight')} missing from {folder.name}: it would be partly random.",
            got=", ".join(missing[:3]),
        )
    pooling, normalize = _pooling(folder, model.config)
    config = {**model.config.to_diff_dict(), "model_type": model.config.model_type}
    architecture = {
        "library": "transformers",
        "config": _plain(config),
        "pooling": pooling,
        "normalize": normalize,
        "max_length": _longest(folder, model.config),
        "prompt": _prompt(folder),
        "dimensions": _width(model),
    }
    return wrap_encoder(model, pooling, normalize), architecture


def _pooling(folder: Path, config: Any) -> tuple[Pooling, bool]:
    """Read from sentence-transformers' modules how token states become one vector.

    Raises:
        BackboneError: a module is none that this can do exactly.
    """
    pooling: Pooling = "last" if is_decoder_only(config) else "mean"
    normalize = False
    for module in _json(folder / "modules.json") or []:
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind == "Pooling":
            pooling = _pooling_mode(folder, _json(folder / str(module.get("path")) / "config.json") or {})
        elif kind == "Normalize":
            normalize = True
        elif kind != "Transformer":
            raise BackboneError(f"{folder.name} ends in a module that cannot be followed: {kind}.")
    return pooling, normalize


def _pooling_mode(folder: Path, settings: dict[str, Any]) -> Pooling:
    """Return the one way of pooling that the settings name, in their older or newer form."""
    older = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last"}
    newer = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
    switched = [name for name, value in settings.items() if name.startswith("pooling_mode_") and value is True]
    named = settings.get("pooling_mode")
    modes = [newer.get(str(named), "")] if named else [older.get(name, "") for name in switched]
    if len(modes) != 1 or not modes[0]:
        raise BackboneError(
            f"{folder.name} pools in a way that cannot be followed.",
            expected="mean, cls or lasttoken",
            got=str(named or ", ".join(switched)),
        )
    return cast(Pooling, modes[0])


def _prompt(folder: Path) -> str:
    """Return what sentence-transformers puts before every text by default."""
    settings = _json(folder / "config_sentence_transformers.json") or {}
    return str((settings.get("prompts") or {}).get(settings.get("default_prompt_name")) or "")


def _width(model: nn.Module) -> int:
    width = getattr(model.config, "hidden_size", None)
    if not isinstance(width, int):
        raise BackboneError(f"a model of type {model.config.model_type} is no encoder of texts.")  # type: ignore[union-attr]
    return width


def _longest(folder: Path, config: Any) -> int:
    stated = (_json(folder / "sentence_bert_config.json") or {}).get("max_seq_length")
    if stated:
        return int(stated)
    positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or LONGEST
    positions = positions if positions > 0 else LONGEST
    offset = (
        (config.pad_token_id or 0) + 1 if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet") else 0
    )
    tokenizer = (_json(folder / "tokenizer_config.json") or {}).get("model_max_length") or LONGEST
    return int(min(positions - offset, tokenizer, LONGEST))


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration as JSON holds it, without what names a path or a time of day."""
    kept = {name: value for name, value in config.items() if name not in ("_name_or_path", "transformers_version")}
    return cast(dict[str, Any], json.loads(json.dumps(kept, default=str)))
