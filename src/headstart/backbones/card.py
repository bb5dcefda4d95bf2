"""What is known of a pretrained model: a record that travels with everything made from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

CLASSICAL = "classical"
"""The library of what nobody pretrained: words counted, pictures described."""

MADE_HERE = "a model made here"
"""The source of weights that were learned here."""


@dataclass(frozen=True)
class Card:
    """Where a backbone comes from and what it is.

    Attributes:
        name: as it is written after `--backbone`.
        modality: "image", "text" or "series".
        source: the package, hub repository, folder or artifact its weights were read from.
        licence: of the weights, as their source states it; "not stated" otherwise.
        trained_on: the data its weights were learned from; "not stated" otherwise.
        parameters: how many numbers it holds.
        dimensions: d, the length of its features.
        input: what it takes, in words, such as "224 × 224 pixels" or "256 tokens".
        sha256: of the weights file, or of all tensors where there is no single file.
        paper: where it is described.
        lineage: the backbones it was made from, nearest first.
    """

    name: str
    modality: Literal["image", "text", "series"]
    source: str
    licence: str = "not stated"
    trained_on: str = "not stated"
    parameters: int = 0
    dimensions: int = 0
    input: str = ""
    sha256: str = ""
    paper: str = ""
    lineage: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        return {**asdict(self), "lineage": list(self.lineage)}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Card:
        """Return the card that `as_dict` wrote; fields that a later version added are passed over."""
        known = {name: fields[name] for name in cls.__dataclass_fields__ if name in fields}
        return cls(**{**known, "lineage": tuple(fields.get("lineage", ()))})
