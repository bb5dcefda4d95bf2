"""Prompts: a text, what asks for a summary, and the summary, as one row of tokens for a model that goes on with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from headstart.backbones.tokens import TextPreparer, quietly

TEMPLATE = "\n\nTL;DR:"
"""What asks for a summary (Radford et al. 2019, section 3.6)."""

ROOM = 128
"""Tokens that are left for a summary, at most, and a quarter of what is read."""


@dataclass(frozen=True)
class PromptPreparer(TextPreparer):
    """Turn texts into prompts; one that is known by its summary into the prompt with the summary.

    Attributes:
        template: what asks for an answer after the text.
        ends: whether an answer is followed by the token that ends it.
    """

    template: str = TEMPLATE
    ends: bool = True

    @property
    def room(self) -> int:
        """Tokens that a summary has, the last one included."""
        return min(ROOM, max(2, self.max_length // 4))

    @property
    def end(self) -> int:
        """The token that a summary ends with."""
        tokenizer = self.tokenizer
        found = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
        return int(found if found is not None else self.padding["input_ids"])

    @property
    def asking(self) -> str:
        """The hash of how prompts are made."""
        return hashlib.sha256(f"{self.identity} {self.template} {self.room}".encode()).hexdigest()

    def encode(self, inputs: Sequence[Any]) -> list[list[int]]:
        """Return the tokens of each prompt, and of its summary where the text is its `source`."""
        asks = self._ids([self.template])[0]
        texts = self._ids([self.prompt + str(getattr(one, "source", "") or one) for one in inputs])
        answers = self._ids([str(one) if getattr(one, "source", "") else "" for one in inputs])
        rows = []
        for text, answer, one in zip(texts, answers, inputs, strict=True):
            prompt = text[: self.max_length - self.room - len(asks)] + asks
            rows.append(prompt + (self._closed(answer) if getattr(one, "source", "") else []))
        return rows

    def _closed(self, answer: Sequence[int]) -> list[int]:
        return [*answer[: self.room - 1], *([self.end] if self.ends else [])]

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        with quietly(), self._lock:
            found = self.tokenizer(list(texts), add_special_tokens=False, truncation=False, verbose=False)
        return list(found["input_ids"])


def plain(prepare: PromptPreparer) -> TextPreparer:
    """Return what prepares texts as they are."""
    return TextPreparer(prepare.tokenizer, prepare.max_length, prepare.special, prepare.prompt)


class _NoRepeat:
    """Never write three tokens in a row twice, whatever the prompt holds."""

    def __init__(self, size: int, after: int) -> None:
        from transformers import NoRepeatNGramLogitsProcessor

        self.own, self.after = NoRepeatNGramLogitsProcessor(size), after

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return torch.as_tensor(self.own(input_ids[:, self.after :], scores))


def continued(
    encoder: nn.Module, head: nn.Module, prompts: Sequence[Sequence[int]], settings: Mapping[str, Any]
) -> Tensor:
    """Return the tokens (n, m) that a causal model goes on with.

    Args:
        encoder: its layers.
        head: from states to logits.
        prompts: the tokens of each.
        settings: of `generate`; "no_repeat" of what is written.
    """
    import transformers

    config: Any = encoder.config
    with torch.device("meta"), quietly():
        model: Any = transformers.AutoModelForCausalLM.from_config(config)
    setattr(model, model.base_model_prefix, encoder)
    model.set_output_embeddings(head)
    model.eval()
    given = {name: value for name, value in settings.items() if name != "no_repeat"}
    device, width = next(encoder.parameters()).device, max(map(len, prompts))
    ids = torch.full((len(prompts), width), int(settings["pad_token_id"]))
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    with torch.no_grad(), quietly():
        tokens = model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            logits_processor=[_NoRepeat(int(settings["no_repeat"]), width)],
            do_sample=False,
            **given,
        )
    return torch.as_tensor(tokens[:, width:])
