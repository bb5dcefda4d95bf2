"""Text backbones: transformers' encoders (decoder-only models too) and static token tables, with their tokenizers."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import torch
import transformers
from torch import Tensor, nn
from transformers.models.auto import modeling_auto

from headstart.errors import BackboneError
from headstart.wording import count

Pooling: TypeAlias = Literal["mean", "cls", "last"]
LONGEST = 512
"""Tokens read of a text where the checkpoint names no length of its own."""


class Pool(nn.Module):
    """Reduce token states (n, l, d) to one vector a text (n, d): mean, first or last real token; then unit length."""

    def __init__(self, pooling: Pooling, normalize: bool) -> None:
        super().__init__()
        self.pooling = pooling
        self.normalize = normalize

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Return (n, d) from token states (n, l, d) and a mask (n, l) of ones and zeros."""
        rows = torch.arange(hidden.shape[0], device=hidden.device)
        if self.pooling == "mean":
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

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return (n, d); decoders count positions from the first real token, so padding on the left changes nothing."""
        extra = (
            {"position_ids": (attention_mask.cumsum(1) - 1).clamp(min=0), "use_cache": False} if self.positions else {}
        )
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **extra)
        pooled: Tensor = self.pool(states.last_hidden_state, attention_mask)
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

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return (n, d) from token ids and mask (n, l)."""
        pooled: Tensor = self.pool(self.embedding(input_ids), attention_mask)
        return pooled


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


def static_tokenizer(file: Path) -> Any:
    """Return the tokenizer of a static table from its file."""
    return transformers.PreTrainedTokenizerFast(tokenizer_file=str(file), pad_token="<unk>", padding_side="right")


def load_tokenizer(folder: Path) -> transformers.PreTrainedTokenizerBase:
    """Return a folder's tokenizer, padding on the right and with a padding token.

    Raises:
        BackboneError: the folder holds none.
    """
    try:
        with quietly():
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        first = str(error).strip().splitlines()[0]
        raise BackboneError(f"{folder.name} holds no tokenizer that can be loaded.", got=first) from None
    tokenizer.padding_side = "right"
    tokenizer.truncation_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return cast(transformers.PreTrainedTokenizerBase, tokenizer)


@dataclass(frozen=True)
class TextPreparer:
    """Turn texts into a batch of token ids.

    Attributes:
        tokenizer: the checkpoint's own.
        max_length: tokens read of a text, special ones included; the rest is cut off at the end.
        special: whether the checkpoint's special tokens are added.
        prompt: what the checkpoint puts before every text.
    """

    tokenizer: Any
    max_length: int
    special: bool = True
    prompt: str = ""
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    @cached_property
    def identity(self) -> str:
        """The hash of the tokenizer, without how it last cut off and filled up: it keeps that as state."""
        with self._lock:
            fields = json.loads(self.tokenizer.backend_tokenizer.to_str())
        fields |= {"truncation": None, "padding": None}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    def __call__(self, inputs: Sequence[str]) -> dict[str, Tensor]:
        """Return {"input_ids": (n, l), "attention_mask": (n, l)}, padded on the right."""
        return self.collate(self.encode(inputs))

    def augmented(self, inputs: Sequence[str], seed: Sequence[int], *, flip: bool) -> dict[str, Tensor]:
        """Return the batch as it is: texts are never altered."""
        return self(inputs)

    @property
    def padding(self) -> dict[str, int]:
        """The token that fills up a batch."""
        return {"input_ids": self.tokenizer.pad_token_id or 0, "attention_mask": 0}

    def encode(self, inputs: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, at most `max_length` of them and at least one."""
        texts = [self.prompt + text for text in inputs]
        with self._lock:  # the tokenizer keeps how it truncates as state
            ids = self.tokenizer(
                texts, truncation=True, max_length=self.max_length, add_special_tokens=self.special, padding=False
            )["input_ids"]
        return [row or [self.tokenizer.pad_token_id or 0] for row in ids]

    def collate(self, encoded: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """Return a batch from the token ids of its texts."""
        width = max(len(row) for row in encoded)
        ids = torch.full((len(encoded), width), self.padding["input_ids"])
        mask = torch.zeros((len(encoded), width), dtype=torch.int64)
        for place, row in enumerate(encoded):
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def outline(self, encoded: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """Return the whole batch: token ids and masks are read at every cut."""
        return self.collate(encoded)

    def truncated(self, inputs: Sequence[str]) -> list[int]:
        """Return the places of the texts that are longer than `max_length` tokens."""
        texts = [self.prompt + text for text in inputs]
        with self._lock:
            lengths = self.tokenizer(texts, truncation=False, add_special_tokens=self.special, verbose=False)
        return [place for place, ids in enumerate(lengths["input_ids"]) if len(ids) > self.max_length]

    def examples(self) -> list[str]:
        """Return synthetic texts of unlike lengths, to plan cuts with and to check a saved model by."""
        return ["One short line.", "A longer line of words, of 2 clauses, that ends later than the first one does."]

    def read(self, state: Sequence[Tensor], trunk: nn.Module, batch: Mapping[str, Tensor]) -> Tensor | None:
        """Pool the first token states (n, l, d) of a state as the checkpoint itself pools."""
        mask = batch["attention_mask"]
        hidden = next((one for one in state if one.ndim == 3 and one.shape[:2] == mask.shape), None)
        return None if hidden is None else cast(Tensor, trunk.get_submodule("pool")(hidden, mask))

    def describe(self) -> str:
        """Say what goes in, in words."""
        return f"{self.max_length} tokens"

    def quietly(self) -> AbstractContextManager[None]:
        """Keep transformers' own talk off the user's screen."""
        return quietly()


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


@contextmanager
def quietly() -> Iterator[None]:
    """Keep the library's own talk and bars off the user's screen."""
    talk, bars = transformers.logging, transformers.logging.is_progress_bar_enabled()
    level = talk.get_verbosity()
    talk.set_verbosity_error()
    talk.disable_progress_bar()
    try:
        yield
    finally:
        talk.set_verbosity(level)
        if bars:
            talk.enable_progress_bar()


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration as JSON holds it, without what names a path or a time of day."""
    kept = {name: value for name, value in config.items() if name not in ("_name_or_path", "transformers_version")}
    return cast(dict[str, Any], json.loads(json.dumps(kept, default=str)))
