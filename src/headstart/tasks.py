"""What is predicted: a target column, its kind, and how outputs become answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
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
        is_remembered: what is taught are a model's own outputs, (c,) probabilities or a number, instead of labels.
    """

    target: str
    kind: Kind
    labels: tuple[str, ...] = ()
    is_remembered: bool = False

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

    @property
    def width(self) -> int:
        """How many numbers the truth of an example takes: one a label where there may be several, or shares of them."""
        return self.n_outputs if self.kind == "multilabel" or self.is_remembered else 1

    def encode(self, values: Sequence[Value]) -> np.ndarray:
        """Return targets as numbers: (n,) label indices, (n, c) zeros and ones, or (n,) floats.

        A label this task does not know becomes -1 (classification) or is left out (multi-label).
        """
        if self.kind == "regression" or self.is_remembered:
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


def labels_of(value: Value | None) -> tuple[str, ...]:
    """Return the labels of an example's value."""
    return value if isinstance(value, tuple) else (str(value),)


@dataclass(frozen=True)
class Several:
    """Several targets of the same examples, each of which may be lacking.

    Their outputs (n, c) stand side by side, and so does their truth (n, w): a label's index, a number, or a column a
    label where there may be many; NaN where an example has none.

    Attributes:
        parts: the targets.
    """

    parts: tuple[Task, ...]

    @property
    def n_outputs(self) -> int:
        """How many numbers a head gives for an example."""
        return sum(part.n_outputs for part in self.parts)

    @property
    def spans(self) -> list[slice]:
        """Where the outputs of each target stand."""
        return _side_by_side([part.n_outputs for part in self.parts])

    @property
    def columns(self) -> list[slice]:
        """Where the truth of each target stands."""
        return _side_by_side([part.width for part in self.parts])

    def encode(self, targets: Mapping[str, Sequence[Value | None]]) -> np.ndarray:
        """Return the truth (n, w) of examples, from the values (n,) of each target by its name."""
        tables = []
        for part, columns in zip(self.parts, self.columns, strict=True):
            values = targets[part.target]
            known = [place for place, value in enumerate(values) if value is not None]
            table = np.full((len(values), columns.stop - columns.start), np.nan)
            if known:
                table[known] = part.encode([value for value in values if value is not None]).reshape(len(known), -1)
            tables.append(table)
        return np.concatenate(tables, 1)

    def of(self, truth: np.ndarray, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Return which examples (n,) have the target at a place, and their truth as its `Task.encode` gives it."""
        own, part = truth[:, self.columns[place]], self.parts[place]
        known = ~np.isnan(own[:, 0])
        if part.kind == "regression":
            return known, own[known, 0]
        if part.is_remembered:
            return known, own[known]
        return known, (own[known] if part.kind == "multilabel" else own[known, 0]).astype(np.int64)

    def outputs(self, logits: np.ndarray) -> np.ndarray:
        """Turn logits (n, c) into the outputs of all targets (n, c)."""
        own = [part.outputs(logits[:, span]) for part, span in zip(self.parts, self.spans, strict=True)]
        return np.concatenate([one.reshape(len(logits), -1) for one in own], 1)

    def outputs_of(self, outputs: np.ndarray, place: int) -> np.ndarray:
        """Return the outputs of the target at a place, as its task has them."""
        own = outputs[:, self.spans[place]]
        return own[:, 0] if self.parts[place].kind == "regression" else own


def _side_by_side(widths: Sequence[int]) -> list[slice]:
    ends = np.cumsum([0, *widths]).tolist()
    return [slice(start, end) for start, end in pairwise(ends)]
