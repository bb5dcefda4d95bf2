"""Texts as token ids: the tokenizers of checkpoints, and what a batch of texts, or of words in texts, is made of."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from headstart.data.words import Marked, Word
from headstart.errors import BackboneError


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


@dataclass(frozen=True, eq=False)
class _Tokens:
    """The tokens of a text, which of them stand for its own characters, and where those begin and end.

    Special tokens stand before the first and after the last of those.
    """

    ids: list[int]
    first: int
    last: int
    starts: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, found: Any, row: int, shift: int) -> _Tokens:
        """Return those in a row of what a tokenizer found; characters are counted after the prompt."""
        ids, is_own = found["input_ids"][row], np.array(found["special_tokens_mask"][row]) == 0
        own = np.flatnonzero(is_own)
        first, last = (int(own[0]), int(own[-1]) + 1) if len(own) else (0, len(ids))
        spans = np.array(found["offset_mapping"][row]).reshape(-1, 2)[first:last] - shift
        return cls(ids or [0], first, last, np.maximum.accumulate(spans[:, 0]), np.maximum.accumulate(spans[:, 1]))

    def around(self, word: Word, most: int) -> Marked:
        """Return the tokens of the text, or as many as are read, with those of a word marked among them.

        Of a long text it is the part in whose middle the word stands: parts overlap by half.
        """
        first = self.first + int(np.searchsorted(self.ends, word.start, side="right"))
        last = self.first + int(np.searchsorted(self.starts, word.end, side="left"))
        first = min(first, len(self.ids) - 1)
        last = max(last, first + 1)
        room = most - (len(self.ids) - (self.last - self.first))
        if len(self.ids) <= most or room < 1:
            return Marked(self.ids, first, last)
        step = max(1, room // 2)
        start = self.first + max(0, (first + last) // 2 - self.first - room // 4) // step * step
        start = max(self.first, min(start, self.last - room))
        kept = [*self.ids[: self.first], *self.ids[start : start + room], *self.ids[self.last :]]
        first = min(max(first, start), start + room - 1)
        last = max(min(last, start + room), first + 1)
        return Marked(kept, first - start + self.first, last - start + self.first)


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

    def encode(self, inputs: Sequence[str | Word]) -> list[list[int]]:
        """Return the token ids of each text, at most `max_length` of them and at least one; of words `Marked` ones."""
        words = [one for one in inputs if isinstance(one, Word)]
        if words:
            return [*self._marked(words)]
        texts = [f"{self.prompt}{text}" for text in inputs]
        with self._lock:  # the tokenizer keeps how it truncates as state
            ids = self.tokenizer(
                texts, truncation=True, max_length=self.max_length, add_special_tokens=self.special, padding=False
            )["input_ids"]
        return [row or [self.tokenizer.pad_token_id or 0] for row in ids]

    def _marked(self, words: Sequence[Word]) -> list[Marked]:
        """Return the tokens of the texts that words stand in, each read once; of a long text a part around the word."""
        texts = list(dict.fromkeys(word.text for word in words))
        place = {text: number for number, text in enumerate(texts)}
        with self._lock:
            found = self.tokenizer(
                [self.prompt + text for text in texts],
                truncation=False,
                add_special_tokens=self.special,
                return_offsets_mapping=True,
                return_special_tokens_mask=True,
                verbose=False,
            )
        read = [_Tokens.of(found, row, len(self.prompt)) for row in range(len(texts))]
        return [read[place[word.text]].around(word, self.max_length) for word in words]

    def collate(self, encoded: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """Return a batch from the token ids of its texts; of words that stand in one text, it is there once."""
        if encoded and isinstance(encoded[0], Marked):
            texts = {tuple(row): number for number, row in enumerate(dict.fromkeys(map(tuple, encoded)))}
            spans = [(texts[tuple(one)], one.first, one.last) for one in encoded if isinstance(one, Marked)]
            return {**self.collate(list(texts)), "spans": torch.tensor(spans)}
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
        if any(isinstance(one, Word) for one in inputs):
            return []
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
        return None if hidden is None else cast(Tensor, trunk.get_submodule("pool")(hidden, mask, batch.get("spans")))

    def describe(self) -> str:
        """Say what goes in, in words."""
        return f"{self.max_length} tokens"

    def quietly(self) -> AbstractContextManager[None]:
        """Keep transformers' own talk off the user's screen."""
        return quietly()


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
