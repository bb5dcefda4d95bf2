"""Classical backbones: features that nobody pretrained, words counted and pictures described, and one linear stage.

What was fitted on them is kept in the stage, so that a model without any transfer is saved, loaded and asked like any
other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from headstart.backbones.backbone import Backbone, Preparer
from headstart.backbones.card import CLASSICAL, Card
from headstart.backbones.replay import CutPlan
from headstart.data.images import open_image
from headstart.data.words import counted_of
from headstart.writing.words import SINGLE

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

RARE_FROM = 2000
"""From this many texts on, words and pairs that stand in one text only are left out."""

WORDS = "words.json"
SIDE = 64
CELLS = 4
ORIENTATIONS = 8
COLOURS = 8
DESCRIPTORS = 1
"""Goes up whenever descriptors are computed otherwise."""


class WordTrunk(nn.Module):
    """A row for each word, summed by the words' weights: a linear model on TF-IDF as a network."""

    def __init__(self, words: int, outputs: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words + 1, outputs, padding_idx=words)

    def forward(self, input_ids: Tensor, weights: Tensor) -> Tensor:
        """Return (n, c) from the numbers and weights (n, l) of words."""
        return torch.as_tensor((self.embedding(input_ids) * weights[..., None]).sum(1))


class DescriptorTrunk(nn.Module):
    """A linear model on descriptors as a network."""

    def __init__(self, d: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(d, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, c) from descriptors (n, d)."""
        return torch.as_tensor(self.linear(x))


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The words and pairs of words that count, and how rare each is.

    Attributes:
        words: (d,) in order.
        rarity: (d,) the inverse document frequency of each.
    """

    words: tuple[str, ...]
    rarity: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str]) -> Vocabulary:
        """Return the vocabulary of some texts; an empty one where they hold no word."""
        vectorizer = _vectorizer(min_df=2 if len(texts) >= RARE_FROM else 1)
        try:
            vectorizer.fit(list(texts))
        except ValueError:  # scikit-learn's word for an empty vocabulary
            return cls((), np.zeros(0))
        return cls(tuple(vectorizer.get_feature_names_out().tolist()), vectorizer.idf_)

    @cached_property
    def vectorizer(self) -> TfidfVectorizer:
        """What counts them."""
        vectorizer = _vectorizer(vocabulary=self.words)
        vectorizer.idf_ = self.rarity
        return vectorizer

    def counted(self, texts: Sequence[str]) -> Any:
        """Return TF-IDF (n, d) as a sparse matrix, each row of unit length."""
        from scipy.sparse import csr_matrix

        if not self.words:
            return csr_matrix((len(texts), 0))
        return self.vectorizer.transform(list(texts)).tocsr()

    def save_pretrained(self, folder: Path) -> None:
        """Write the vocabulary into a folder, as tokenizers do."""
        folder.mkdir(parents=True, exist_ok=True)
        fields = {"words": list(self.words), "rarity": self.rarity.tolist()}
        (folder / WORDS).write_text(json.dumps(fields, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def from_folder(cls, folder: Path) -> Vocabulary:
        """Return the vocabulary that lies in a folder.

        Raises:
            OSError, ValueError, KeyError: there is none.
        """
        fields = json.loads((folder / WORDS).read_text(encoding="utf-8"))
        return cls(tuple(fields["words"]), np.array(fields["rarity"], dtype=np.float64))


def _vectorizer(**settings: Any) -> TfidfVectorizer:
    """Return what counts words and pairs of them; of kana and Chinese, which leave no blanks, characters."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    pattern = rf"(?u)[{SINGLE}]|[^\W{SINGLE}]+|[^\w\s]"
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=pattern, **settings)


@dataclass(frozen=True)
class WordPreparer:
    """Turn texts into the numbers and weights of their words."""

    tokenizer: Vocabulary

    padding: ClassVar[dict[str, int]] = {"input_ids": 0, "weights": 0}

    @cached_property
    def identity(self) -> str:
        """The hash of the vocabulary."""
        digest = hashlib.sha256("\n".join(self.tokenizer.words).encode("utf-8", "surrogatepass"))
        digest.update(self.tokenizer.rarity.tobytes())
        return digest.hexdigest()

    def __call__(self, inputs: Sequence[str]) -> dict[str, Tensor]:
        """Return {"input_ids": (n, l), "weights": (n, l)}."""
        return self.collate(self.encode(inputs))

    def augmented(self, inputs: Sequence[str], seed: Sequence[int], *, flip: bool) -> dict[str, Tensor]:
        """Return the batch as it is: texts are never altered."""
        return self(inputs)

    def encode(self, inputs: Sequence[str]) -> list[list[tuple[int, float]]]:
        """Return the number and the weight of each word that counts; of a text without one, a word of no weight."""
        rows = self.tokenizer.counted(counted_of(inputs))
        spans = [slice(*rows.indptr[place : place + 2]) for place in range(len(inputs))]
        pairs = [list(zip(rows.indices[own].tolist(), rows.data[own].tolist(), strict=True)) for own in spans]
        return [own or [(len(self.tokenizer.words), 0.0)] for own in pairs]

    def collate(self, encoded: Sequence[Sequence[tuple[int, float]]]) -> dict[str, Tensor]:
        """Return a batch, filled up with a word of no weight."""
        width = max(len(row) for row in encoded)
        ids = torch.full((len(encoded), width), len(self.tokenizer.words))
        weights = torch.zeros(len(encoded), width)
        for place, row in enumerate(encoded):
            ids[place, : len(row)] = torch.tensor([number for number, _ in row])
            weights[place, : len(row)] = torch.tensor([weight for _, weight in row])
        return {"input_ids": ids, "weights": weights}

    def outline(self, encoded: Sequence[Any]) -> dict[str, Tensor]:
        """Return the whole batch."""
        return self.collate(encoded)

    def truncated(self, inputs: Sequence[str]) -> list[int]:
        """Return no places: texts are counted whole."""
        return []

    def examples(self) -> list[str]:
        """Return two unlike synthetic texts of known words."""
        words = self.tokenizer.words
        return [" ".join(words[:3]) or "a", " ".join(words[-5:]) or "b"]

    def read(self, state: Sequence[Tensor], trunk: nn.Module, batch: Mapping[str, Tensor]) -> Tensor | None:
        """Return nothing: there is no cut inside."""
        return None

    def describe(self) -> str:
        """Say what goes in, in words."""
        return f"words and pairs of words, {len(self.tokenizer.words):,} of them known"

    def quietly(self) -> AbstractContextManager[None]:
        """Do nothing: scikit-learn does not talk."""
        return nullcontext()


@dataclass(frozen=True)
class DescriptorPreparer:
    """Turn pictures into descriptors."""

    channels: int

    padding: ClassVar[dict[str, int]] = {}
    identity = f"descriptors {DESCRIPTORS}"

    def __call__(self, inputs: Sequence[Any]) -> dict[str, Tensor]:
        """Return {"x": (n, d)}.

        Raises:
            DataError: one cannot be read.
        """
        return self.collate(inputs)

    def augmented(self, inputs: Sequence[Any], seed: Sequence[int], *, flip: bool) -> dict[str, Tensor]:
        """Return the batch as it is."""
        return self(inputs)

    def encode(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Return the pictures as they are."""
        return inputs

    def collate(self, encoded: Sequence[Any]) -> dict[str, Tensor]:
        """Return {"x": (n, d)}."""
        return {"x": torch.from_numpy(np.stack([descriptor(source) for source in encoded]))}

    def outline(self, encoded: Sequence[Any]) -> dict[str, Tensor]:
        """Return a batch of zeros."""
        return {"x": torch.zeros(len(encoded), length_of_descriptor(self.channels))}

    def truncated(self, inputs: Sequence[Any]) -> list[int]:
        """Return no places: pictures are resized."""
        return []

    def examples(self) -> list[Any]:
        """Return two unlike synthetic pictures."""
        slope = np.linspace(0, 255, SIDE)[:, None, None] * np.ones((SIDE, SIDE, self.channels))
        coarse = np.random.default_rng(0).integers(0, 256, (8, 8, self.channels))
        return [slope.astype(np.uint8), coarse.repeat(SIDE // 8, 0).repeat(SIDE // 8, 1).astype(np.uint8)]

    def read(self, state: Sequence[Tensor], trunk: nn.Module, batch: Mapping[str, Tensor]) -> Tensor | None:
        """Return nothing: there is no cut inside."""
        return None

    def describe(self) -> str:
        """Say what goes in, in words."""
        return f"{SIDE} × {SIDE} pixels"

    def quietly(self) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()


def on_words(vocabulary: Vocabulary, weight: np.ndarray) -> Backbone:
    """Return the backbone that counts words and weighs them by a matrix (c, d)."""
    rows = np.vstack([weight.T, np.zeros((1, len(weight)))])
    architecture = {"library": CLASSICAL, "reads": "text", "inputs": len(vocabulary.words), "outputs": len(weight)}
    trunk, prepare = build(architecture, vocabulary)
    trunk.load_state_dict({"embedding.weight": torch.from_numpy(rows.astype(np.float32))})
    return _backbone("words", architecture, trunk, prepare)


def on_descriptors(channels: int, weight: np.ndarray) -> Backbone:
    """Return the backbone that describes pictures and weighs the descriptors by a matrix (c, d)."""
    architecture = {"library": CLASSICAL, "reads": "image", "channels": channels, "outputs": len(weight)}
    trunk, prepare = build(architecture, None)
    trunk.load_state_dict({"linear.weight": torch.from_numpy(weight.astype(np.float32))})
    return _backbone("descriptors", architecture, trunk, prepare)


def build(architecture: dict[str, Any], vocabulary: Vocabulary | None) -> tuple[nn.Module, Preparer]:
    """Return a trunk with random weights and its preparer; texts need a vocabulary.

    Raises:
        KeyError, TypeError: the architecture is none of these.
    """
    if architecture["reads"] == "series":
        from headstart.backbones import local

        return local.build(architecture)
    if architecture["reads"] == "image":
        channels = int(architecture["channels"])
        trunk = DescriptorTrunk(length_of_descriptor(channels), int(architecture["outputs"]))
        return trunk.eval(), DescriptorPreparer(channels)
    assert vocabulary is not None
    return WordTrunk(int(architecture["inputs"]), int(architecture["outputs"])).eval(), WordPreparer(vocabulary)


def _backbone(name: str, architecture: dict[str, Any], trunk: nn.Module, prepare: Preparer) -> Backbone:
    for parameter in trunk.parameters():
        parameter.requires_grad_(False)
    card = Card(
        name=name,
        modality=architecture["reads"],
        source="no pretrained weights",
        licence="none: nothing was taken from anyone",
        trained_on="nothing",
        parameters=sum(parameter.numel() for parameter in trunk.parameters()),
        dimensions=int(architecture["outputs"]),
        input=prepare.describe(),
    )
    (stage,) = (name for name, _ in trunk.named_children())
    return Backbone(card, architecture, trunk, prepare, CutPlan(((stage,),)))


def length_of_descriptor(channels: int) -> int:
    """Return d: of colours, directions and a thumbnail."""
    return channels * COLOURS + CELLS * CELLS * ORIENTATIONS + (2 * CELLS) ** 2


def descriptor(source: Any) -> np.ndarray:
    """Return the descriptor (d,) of a picture.

    Histograms of colour and of gradient directions on a grid (after Dalal and Triggs 2005), and a thumbnail.
    """
    picture = open_image(source, hint_size=SIDE)
    if isinstance(picture, np.ndarray):
        bands = [Image.fromarray(band).resize((SIDE, SIDE)) for band in np.moveaxis(picture, 2, 0)]
        pixels = np.stack([np.asarray(band) for band in bands], 2)
    else:
        pixels = np.asarray(picture.resize((SIDE, SIDE)), dtype=np.float32) / 255
    grey = pixels.mean(2)
    colours = [np.histogram(band, COLOURS, (0, 1))[0] / band.size for band in np.moveaxis(pixels, 2, 0)]
    thumbnail = grey.reshape(CELLS * 2, -1, CELLS * 2, SIDE // CELLS // 2).mean((1, 3)).ravel()
    return np.concatenate([*colours, _directions(grey), thumbnail]).astype(np.float32)


def _directions(grey: np.ndarray) -> np.ndarray:
    """Return histograms of gradient directions, weighted by strength, in a grid of cells, each of unit length."""
    down, right = np.gradient(grey)
    strength = np.hypot(down, right)
    direction = (np.arctan2(down, right) % np.pi * ORIENTATIONS / np.pi).astype(int) % ORIENTATIONS
    rows, columns = np.indices(grey.shape) * CELLS // SIDE
    place = (rows * CELLS + columns) * ORIENTATIONS + direction
    cells = np.bincount(place.ravel(), strength.ravel(), CELLS * CELLS * ORIENTATIONS).reshape(-1, ORIENTATIONS)
    return np.asarray((cells / (np.linalg.norm(cells, axis=1, keepdims=True) + 1e-3)).ravel())
