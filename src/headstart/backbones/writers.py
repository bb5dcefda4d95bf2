"""Writers: what stands above an encoder and writes a text from the states of its tokens, one token after another.

It is a decoder with cross-attention: a checkpoint's own (T5, BART, Pegasus and their like) or, of an encoder that has
none, its own layers with new cross-attention (Rothe, Narayan and Severyn 2020). A causal model (GPT-2, Llama and their
like) goes on with a prompt: above its layers only its head from states to tokens is left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart import artifact
from headstart.backbones.backbone import Backbone
from headstart.backbones.decoders import (
    CHOOSER,
    LONGEST,
    Script,
    begin_as,
    built,
    by_token,
    decoder_of,
    encoder_of,
    quiet,
    script_for,
)
from headstart.devices import choose_device, moved
from headstart.errors import BackboneError
from headstart.progress import Progress, silent
from headstart.writing.texts import Written, as_array

IGNORED = -100
WRITTEN = 32
"""Texts that are written about at once."""

NO_REPEAT = 3
"""Tokens in a row that are never written twice."""

LONG_ENOUGH = 0.98
"""The share of the references that the longest text which may be written is no shorter than."""


class Writer(nn.Module):
    """A decoder above the states of tokens; with a backbone below it, a model that writes.

    Attributes:
        script: how it is built, and how it writes.
        tokenizer: its backbone's.
    """

    def __init__(self, model: nn.Module, script: Script, tokenizer: Any) -> None:
        super().__init__()
        self.model, self.script, self.tokenizer = model.eval(), script, tokenizer
        self.smoothing = 0.0

    @classmethod
    def drawn(cls, script: Script, tokenizer: Any, seed: int = 0) -> Writer:
        """Return a writer with random weights, drawn from a seed.

        Raises:
            BackboneError: there is no such decoder.
        """
        with torch.random.fork_rng(), quiet():
            torch.manual_seed(seed)
            return cls(built(script), script, tokenizer)

    @classmethod
    def above(cls, backbone: Backbone, seed: int = 0) -> Writer:
        """Return the writer that a backbone's own weights give: its decoder or, where it has none, its own layers.

        Raises:
            BackboneError: it has no decoder, and its layers cannot be one.
        """
        if (saved := saved_with(backbone)) is not None:
            return saved
        own, script = decoder_of(backbone), script_for(backbone)
        if own is not None:
            return cls(own, script, backbone.prepare.tokenizer)  # type: ignore[attr-defined]
        writer = cls.drawn(script, backbone.prepare.tokenizer, seed)  # type: ignore[attr-defined]
        if script.kind == "causal":
            writer.model.load_state_dict({"weight": encoder_of(backbone).get_input_embeddings().weight})  # type: ignore[operator]
        if script.kind == "warm":
            decoder: Any = writer.model.get_submodule("decoder")
            begin_as(getattr(decoder, decoder.base_model_prefix), encoder_of(backbone))
        return writer

    def suited(self, references: Sequence[str]) -> Writer:
        """Return a copy of its own that writes no more tokens than such references take, and learns."""
        lengths = [len(row) for row in self._encoded(references)]
        longest = min(LONGEST, self.script.longest, 1 + int(np.quantile(lengths, LONG_ENOUGH)) if lengths else LONGEST)
        script = self.script if self.continues else replace(self.script, longest=longest)
        own = Writer(deepcopy(self.model), script, self.tokenizer)
        for parameter in own.parameters():
            parameter.requires_grad_(True)
        return own

    @property
    def continues(self) -> bool:
        """Whether it is the head of a causal model."""
        return self.script.kind == "causal"

    @property
    def decoding(self) -> dict[str, Any]:
        """How it writes, as JSON holds it."""
        return {"beams": self.script.beams, "longest": self.script.longest, "no_repeat": NO_REPEAT}

    def labels(self, texts: Sequence[object], *, ends: bool = True) -> Tensor:
        """Return the tokens (n, m) of texts and the one they end with, cut off and filled up."""
        end = [self.script.end] if ends else []
        rows = [[*row[: self.script.longest - 1], *end] for row in self._encoded([str(one) for one in texts])]
        table = torch.full((len(rows), max(map(len, rows), default=1)), IGNORED)
        for place, row in enumerate(rows):
            table[place, : len(row)] = torch.tensor(row)
        return table

    def losses(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy (n,) of each text's tokens, every one after the true ones before it.

        Args:
            features: (n, l, d + 1) the states of tokens and, last, which they are, as `numbered` gives them.
            labels: (n, m), as `labels` gives them.
        """
        logits = self._continued(features, labels) if self.continues else self._decoded(features, labels)
        each = nn.functional.cross_entropy(
            logits.float().transpose(1, 2),
            labels,
            ignore_index=IGNORED,
            reduction="none",
            label_smoothing=self.smoothing if torch.is_grad_enabled() else 0.0,
        )
        return torch.as_tensor(each.sum(1) / (labels != IGNORED).sum(1).clamp(min=1))

    def _continued(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the logits (n, m, v) of the tokens that end each row."""
        sizes, lengths = (labels != IGNORED).sum(1), (features[..., -1] > 0).sum(1)
        first = (lengths - sizes - 1)[:, None]
        places = (first + torch.arange(labels.shape[1], device=labels.device)).clamp(0, features.shape[1] - 1)
        rows = torch.arange(len(labels), device=labels.device)[:, None]
        return torch.as_tensor(self.model(features[rows, places, :-1]))

    def _decoded(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the logits (n, m, v) of each text's tokens, every one after the true ones before it."""
        given = labels.masked_fill(labels == IGNORED, self.script.pad)
        given = torch.cat([torch.full_like(given[:, :1], self.script.start), given[:, :-1]], 1)
        states = _given(features[..., :-1])
        found: Any = self.model(
            encoder_outputs=states,
            attention_mask=(features[..., -1] > 0).long(),
            decoder_input_ids=given,
            decoder_attention_mask=torch.ones_like(given),
            use_cache=False,
        )
        bonus = self._bonus(features)
        return torch.as_tensor(found.logits if bonus is None else found.logits + bonus[:, None])

    def _bonus(self, features: Tensor) -> Tensor | None:
        """Return what is added to the logits (n, v) of tokens that stand in each text; None of a pretrained decoder.

        How much is learned from their states: what is worth taking over is seen there (Gehrmann et al. 2018), and a
        decoder that never saw a summary takes over too little (See et al. 2017).
        """
        chooser = getattr(self.model, CHOOSER, None)
        if chooser is None:
            return None
        favours, numbers = chooser(features[..., :-1])[..., 0].float(), features[..., -1].long()
        blank = torch.zeros(len(features), 1 + self.tokens, device=features.device)
        bonus = blank.scatter_reduce(1, numbers, favours, "amax", include_self=False)[:, 1:]
        special = torch.tensor(self.tokenizer.all_special_ids, device=features.device)
        return bonus.index_fill(1, special, 0.0)

    @torch.no_grad()
    def write(self, features: Tensor) -> np.ndarray:
        """Return the texts (n,) that are written above the states of tokens (n, l, d + 1), as `numbered` gives them."""
        model: Any = self.model
        states = _given(features[..., :-1].contiguous())
        bonus = self._bonus(features)
        with quiet():
            tokens = model.generate(
                encoder_outputs=states,
                attention_mask=(features[..., -1] > 0).long(),
                max_new_tokens=self.script.longest,
                num_beams=self.script.beams,
                no_repeat_ngram_size=NO_REPEAT,
                do_sample=False,
                decoder_start_token_id=self.script.start,
                eos_token_id=self.script.end,
                pad_token_id=self.script.pad,
                logits_processor=[] if bonus is None else [_Favoured(bonus)],
                renormalize_logits=True,
            )
        return self.said(tokens)

    def go_on(self, encoder: nn.Module, prompts: Sequence[Sequence[int]]) -> np.ndarray:
        """Return the texts (n,) that a causal model goes on with after prompts of tokens."""
        settings = {
            "max_new_tokens": self.script.longest,
            "num_beams": self.script.beams,
            "eos_token_id": self.script.end,
            "pad_token_id": self.script.pad,
            "no_repeat": NO_REPEAT,
        }
        from headstart.backbones.prompts import continued

        return self.said(continued(encoder, self.model, prompts, settings))

    def said(self, tokens: Tensor) -> np.ndarray:
        """Return the texts (n,) of tokens (n, m)."""
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=True)
        return as_array([Written(" ".join(text.split())) for text in texts])

    @property
    def tokens(self) -> int:
        """How many tokens there are to write."""
        model: Any = self.model
        return int((model if self.continues else model.get_output_embeddings()).out_features)

    @property
    def chance(self) -> float:
        """The loss of taking every token for as likely as any other."""
        return math.log(self.tokens)

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights by name, those that have several names once."""
        found: dict[int, str] = {}
        state = self.model.state_dict()
        return {name: one for name, one in state.items() if found.setdefault(one.data_ptr(), name) == name}

    def filled(self, tensors: dict[str, Tensor]) -> Writer:
        """Return it with the weights that `tensors` gave.

        Raises:
            BackboneError: they do not fit.
        """
        wanted = self.tensors()
        if set(wanted) != set(tensors):
            raise BackboneError(
                "the weights do not fit the decoder.", got=", ".join(sorted(set(wanted) ^ set(tensors))[:3])
            )
        self.model.load_state_dict(tensors, strict=False)
        return self

    def _encoded(self, texts: Sequence[str]) -> list[list[int]]:
        with quiet():
            return list(
                self.tokenizer(list(texts), add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
            )


class _Favoured:
    """Add a bonus (n, v) to what is said of each token, of however many beams a text has."""

    def __init__(self, bonus: Tensor) -> None:
        self.bonus = bonus

    def __call__(self, _tokens: Tensor, scores: Tensor) -> Tensor:
        return scores + self.bonus.repeat_interleave(len(scores) // len(self.bonus), 0)


def numbered(features: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the states of tokens (n, l, d + 1) in fp32; last stands which token it is, from 1 on, and 0 for none."""
    numbers = (batch["input_ids"] + 1) * batch["attention_mask"]
    return torch.cat([features[..., :-1].float(), numbers[..., None].float()], 2)


def _given(states: Tensor) -> Any:
    from transformers.modeling_outputs import BaseModelOutput

    return BaseModelOutput(last_hidden_state=states)


def saved_with(backbone: Backbone) -> Writer | None:
    """Return what writes in the saved model that a backbone was read from; None where it is none.

    Raises:
        ArtifactError: it is damaged.
    """
    if backbone.origin is None or not artifact.is_artifact(backbone.origin):
        return None
    saved, prefix = artifact.read(backbone.origin), "writer.0."
    script = Script(**saved.manifest["models"][0]["record"]["writer"])
    tensors = {name.removeprefix(prefix): one for name, one in saved.tensors().items() if name.startswith(prefix)}
    return Writer.drawn(script, backbone.prepare.tokenizer).filled(tensors)  # type: ignore[attr-defined]


def texts_of(backbone: Backbone, writer: Writer, inputs: Sequence[str], progress: Progress = silent) -> np.ndarray:
    """Return what is written (n,) about texts, those of like length together."""
    own, device = by_token(backbone), choose_device()
    own.trunk.to(device)
    writer.to(device)
    encoded = own.prepare.encode(inputs)
    texts: dict[int, object] = {}
    for places in _alike(encoded):
        rows = [encoded[place] for place in places]
        found = writer.go_on(encoder_of(own), rows) if writer.continues else writer.write(_states(own, rows))
        texts.update(zip(places, found.tolist(), strict=True))
        progress("writing", len(texts), len(inputs))
    return as_array([texts[place] for place in range(len(inputs))])


def losses_of(backbone: Backbone, writer: Writer, inputs: Sequence[str]) -> np.ndarray:
    """Return how unlikely (n,) each text's own beginning is as what is written about it: what is checked on loading."""
    own, device = by_token(backbone), choose_device()
    own.trunk.to(device)
    writer.to(device)
    found = np.zeros(len(inputs))
    encoded = own.prepare.encode([Written(text, text) for text in inputs])
    for places in _alike(encoded):
        labels = writer.labels([inputs[place] for place in places]).to(device)
        with torch.no_grad():
            losses = writer.losses(_states(own, [encoded[place] for place in places]), labels)
        found[places] = losses.double().cpu().numpy()
    return found


def likelihoods(
    backbone: Backbone,
    writer: Writer,
    inputs: Sequence[str],
    labels: Sequence[str],
    template: str,
    progress: Progress = silent,
) -> np.ndarray:
    """Return the mean log-likelihood (n, c) of each label's tokens after each text and what asks for it."""
    own, device = by_token(backbone), choose_device()
    own = replace(own, prepare=replace(own.prepare, template=template, ends=False))  # type: ignore[type-var]
    own.trunk.to(device)
    writer.to(device)
    found = np.zeros((len(inputs), len(labels)))
    for column, label in enumerate(labels):
        encoded = own.prepare.encode([Written(f" {label}", text) for text in inputs])
        for places in _alike(encoded):
            table = writer.labels([f" {label}"] * len(places), ends=False).to(device)
            with torch.no_grad():
                losses = writer.losses(_states(own, [encoded[place] for place in places]), table)
            found[places, column] = -losses.double().cpu().numpy()
        progress("asking", column + 1, len(labels))
    return found


def _alike(encoded: Sequence[Any]) -> list[list[int]]:
    """Return places a batch, rows of like length together."""
    order = sorted(range(len(encoded)), key=lambda place: (len(encoded[place]), place))
    return [order[start : start + WRITTEN] for start in range(0, len(order), WRITTEN)]


def _states(backbone: Backbone, rows: Sequence[Any]) -> Tensor:
    """Return the states of tokens (n, l, d + 1), as `numbered` gives them."""
    device = choose_device()
    batch = {name: moved(one, device) for name, one in backbone.prepare.collate(rows).items()}
    with torch.no_grad():
        return numbered(backbone.whole(batch), batch)
