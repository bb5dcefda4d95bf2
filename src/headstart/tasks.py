"""What is predicted: a target column, its kind, and how outputs become answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy.special import expit, softmax

from headstart.errors import DataError, OptionError

Kind: TypeAlias = Literal["classification", "multilabel", "regression"]
Value: TypeAlias = str | tuple[str, ...] | float

KINDS: tuple[Kind, ...] = ("classification", "multilabel", "regression")
UNKNOWN = -1
MOST_LABELS = 1000
"""As many as ImageNet has (Russakovsky et al. 2015); a target with more is mostly a name, a number or a text."""


@dataclass(frozen=True)
class Task:
    """A target and its kind.

    Attributes:
        target: the name of the column or, for folders, "label".
        kind: "classification" (one label), "multilabel" (any number of labels) or "regression" (a number).
        labels: (c,) the label names in sorted order, at most `MOST_LABELS`; empty for regression.
    """

    target: str
    kind: Kind
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise OptionError("the kind of task is unknown.", expected=", ".join(KINDS), got=repr(self.kind))
        if len(self.labels) > MOST_LABELS:
            raise DataError(
                f"{self.target!r} has too many labels to learn.",
                expected=f"at most {MOST_LABELS:,} different labels",
                got=f"{len(self.labels):,}, such as {self.labels[0]!r}",
                hint="name another --target, join rare labels into one, or use --task regression for a number",
            )

    @property
    def n_outputs(self) -> int:
        """How many numbers a head gives for an example: c, or 1 for regression."""
        return 1 if self.kind == "regression" else len(self.labels)

    def encode(self, values: Sequence[Value]) -> np.ndarray:
        """Return targets as numbers: (n,) label indices, (n, c) zeros and ones, or (n,) floats.

        A label this task does not know becomes -1 (classification) or is left out (multi-label).
        """
        if self.kind == "regression":
            return np.array(values, dtype=np.float64)
        place = {label: index for index, label in enumerate(self.labels)}
        if self.kind == "classification":
            return np.array([place.get(str(value), UNKNOWN) for value in values], dtype=np.int64)
        table = np.zeros((len(values), len(self.labels)), dtype=np.int64)
        for row, labels in enumerate(values):
            known = [place[label] for label in labels if label in place] if isinstance(labels, tuple) else []
            table[row, known] = 1
        return table

    def outputs(self, logits: np.ndarray) -> np.ndarray:
        """Turn a head's logits (n, c) into probabilities (n, c), or into numbers (n,) for regression."""
        if self.kind == "regression":
            return np.asarray(logits[:, 0])
        logits = logits.astype(np.float64)
        probabilities = softmax(logits, axis=1) if self.kind == "classification" else expit(logits)
        return np.asarray(probabilities)

    def decide(self, outputs: np.ndarray) -> np.ndarray:
        """Turn outputs into encoded answers: the likeliest label, every label at 0.5 or more, or the number."""
        if self.kind == "classification":
            return np.asarray(outputs.argmax(axis=1))
        return (outputs >= 0.5).astype(np.int64) if self.kind == "multilabel" else outputs

    def answer(self, output: np.ndarray) -> dict[str, Any]:
        """Say one example's output (c,) in words, as `predict` prints it."""
        if self.kind == "regression":
            return {"value": float(output)}
        probabilities = {label: float(p) for label, p in zip(self.labels, output, strict=True)}
        if self.kind == "multilabel":
            return {"labels": [label for label, p in probabilities.items() if p >= 0.5], "probabilities": probabilities}
        best = self.labels[int(output.argmax())]
        return {"label": best, "probability": probabilities[best], "probabilities": probabilities}
