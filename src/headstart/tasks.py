"""What is predicted: a target column, its kind, and how outputs become answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy.special import expit, softmax

from headstart.errors import DataError, OptionError
from headstart.wording import renamed
from headstart.writing.texts import as_array

Kind: TypeAlias = Literal["classification", "multilabel", "regression", "tagging", "forecasting", "summarization"]
Form: TypeAlias = Literal["label", "labels", "number", "path", "text"]

FORMS: dict[Kind, Form] = {
    "classification": "label",
    "multilabel": "labels",
    "regression": "number",
    "tagging": "label",
    "forecasting": "path",
    "summarization": "text",
}
"""What an example's answer is, by the kind of task: a label, any number of them, a number, what comes next, a text."""

KINDS: tuple[Kind, ...] = tuple(FORMS)
CALLED: dict[str, dict[str, str]] = {"tagging": {"example": "word", "label": "tag"}}
"""What examples and labels are called where a person reads of them, by the kind of task, where it is another word."""

TOGETHER = ("classification", "multilabel", "regression")
"""The kinds that several targets of one network may be of."""

UNKNOWN = -1
MOST_LABELS = 1000
"""As many as ImageNet has (Russakovsky et al. 2015); a target with more is mostly a name, a number or a text."""

QUANTILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MEDIAN = QUANTILES.index(0.5)
STEPS = 48
"""Steps that a network for series forecasts itself: its features begin with their quantiles."""


@dataclass(frozen=True)
class Future:
    """What came after a history, and what it is measured by: all of it known at the origin but the path.

    Attributes:
        path: (h,) values in the user's unit.
        centre: the last value of the history.
        scale: the mean absolute seasonal difference of the history, above 0.
        base: what a change is seen from: the centre or, of a series of changes such as returns, 0.
        when: where the origin lies in time, in horizons; of series that share no time far from all others.
    """

    path: tuple[float, ...]
    centre: float
    scale: float
    base: float
    when: float = 0.0

    @property
    def row(self) -> list[float]:
        """The path in units of the scale from the centre, then centre, scale, base and when: (h + 4,)."""
        path = ((value - self.centre) / self.scale for value in self.path)
        return [*path, self.centre, self.scale, self.base, self.when]


BESIDE = 4
"""Numbers that stand beside the path in the truth: centre, scale, base and when."""

Value: TypeAlias = str | tuple[Any, ...] | float | Future


def called(text: str, kind: str) -> str:
    """Return a sentence of ours with examples and labels called what they are in a kind of task: words and tags."""
    return renamed(text, CALLED.get(kind, {}))


@dataclass(frozen=True)
class Task:
    """A target and its kind.

    Attributes:
        target: the name of the column or, for folders, "label".
        kind: "classification" (one label), "multilabel" (any number of labels), "regression" (a number), "tagging" (a
            label for each word of a text, in the BIO scheme) or "summarization" (a text about a text).
        labels: (c,) the label names in sorted order, at most `MOST_LABELS`; empty where the answer is none of them.
        is_remembered: what is taught are a model's own outputs, (c,) probabilities or a number, instead of labels.
        words: where words are tagged, what they are: what stands between "blanks", or "pieces": runs of letters and
            digits, and every other sign.
        frequencies: where series are forecast, of which frequencies they were, in words.
        horizon: h, the steps that are forecast; 0 but for forecasting.
        overlap: where origins are the units of intervals, how many later ones a future reaches over, so that their
            errors hang together; None where series are the units.
    """

    target: str
    kind: Kind
    labels: tuple[str, ...] = ()
    is_remembered: bool = False
    words: str = ""
    frequencies: str = ""
    horizon: int = 0
    overlap: int | None = None

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

    def called(self, text: str) -> str:
        """Return a sentence of ours with examples and labels called what they are; see `tasks.called`."""
        return called(text, self.kind)

    @property
    def form(self) -> Form:
        """What an example's answer is: all that learning, choosing and comparing go by."""
        return FORMS[self.kind]

    @property
    def n_outputs(self) -> int:
        """How many numbers a head gives for an example: c, 1 of a number or a text, or h quantile by quantile."""
        if self.form == "path":
            return self.horizon * len(QUANTILES)
        return 1 if self.form in ("number", "text") else len(self.labels)

    @property
    def width(self) -> int:
        """How many numbers the truth of an example takes: one a label where there may be several, or shares of them."""
        if self.form == "path":
            return self.horizon + BESIDE
        return self.n_outputs if self.form == "labels" or self.is_remembered else 1

    def encode(self, values: Sequence[Value]) -> np.ndarray:
        """Return the truth: (n,) label indices, (n, c) zeros and ones, (n,) numbers or texts, or (n, h + 4) futures.

        A label this task does not know becomes -1 (classification) or is left out (multi-label).
        """
        if self.form == "text":
            return as_array(values)
        if self.form == "path":
            rows = [value.row for value in values if isinstance(value, Future)]
            return np.array(rows, dtype=np.float64).reshape(len(rows), self.width)
        if self.form == "number" or self.is_remembered:
            return np.array(values, dtype=np.float64)
        place = {label: index for index, label in enumerate(self.labels)}
        if self.form == "label":
            return np.array([place.get(str(value), UNKNOWN) for value in values], dtype=np.int64)
        table = np.zeros((len(values), len(self.labels)), dtype=np.int64)
        for row, labels in enumerate(values):
            known = [place[label] for label in labels if label in place] if isinstance(labels, tuple) else []
            table[row, known] = 1
        return table

    def blank(self, n: int) -> np.ndarray:
        """Return outputs of n examples that say nothing: zeros (n, c) or (n,), or empty texts (n,)."""
        if self.form == "text":
            return as_array([""] * n)
        return np.zeros(n if self.form == "number" else (n, self.n_outputs))

    def outputs(self, logits: np.ndarray) -> np.ndarray:
        """Turn a head's logits (n, c) into probabilities (n, c), numbers (n,) for regression, or quantiles (n, h·9)."""
        if self.form == "path":
            return np.sort(self.by_step(logits.astype(np.float64)), axis=2).reshape(logits.shape)
        if self.form == "number":
            return np.asarray(logits[:, 0])
        logits = logits.astype(np.float64)
        probabilities = softmax(logits, axis=1) if self.form == "label" else expit(logits)
        return np.asarray(probabilities)

    def decide(self, outputs: np.ndarray) -> np.ndarray:
        """Turn outputs into encoded answers: the likeliest label, every label at 0.5 or more, number or medians."""
        if self.form == "path":
            return self.by_step(outputs)[:, :, MEDIAN]
        if self.form == "label":
            return np.asarray(outputs.argmax(axis=1))
        return (outputs >= 0.5).astype(np.int64) if self.form == "labels" else outputs

    def by_step(self, outputs: np.ndarray) -> np.ndarray:
        """Return forecasts (n, h·9) as (n, h, 9): quantiles of each step."""
        return outputs.reshape(len(outputs), -1, len(QUANTILES))

    def paths(self, truth: np.ndarray) -> np.ndarray:
        """Return what came (n, h), in units of each history's scale from its centre, of the truth of forecasting."""
        return truth[:, : self.horizon]

    def answer(self, output: np.ndarray) -> dict[str, Any]:
        """Say one example's output (c,) in words, as `predict` prints it."""
        if self.form == "path":
            return {"quantiles": self.by_step(output[None])[0].tolist()}
        if self.form == "text":
            places = getattr(output, "places", None)
            return {"summary": str(output), **({} if places is None else {"sentences": list(places)})}
        if self.form == "number":
            return {"value": float(output)}
        probabilities = {label: float(p) for label, p in zip(self.labels, output, strict=True)}
        if self.form == "labels":
            return {"labels": [label for label, p in probabilities.items() if p >= 0.5], "probabilities": probabilities}
        best = self.labels[int(output.argmax())]
        return {"label": best, "probability": probabilities[best], "probabilities": probabilities}


def require_shareable(tasks: Sequence[Task]) -> None:
    """Raise an `OptionError` if one of several targets is of a kind that is learned alone.

    Raises:
        OptionError: one is.
    """
    alone = next((task for task in tasks if task.kind not in TOGETHER), None)
    if alone is not None and len(tasks) > 1:
        names = ", ".join(task.target for task in tasks)
        raise OptionError(f"{alone.target!r} is learned alone: {alone.kind}.", expected="one target", got=names)


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
        if part.form == "number":
            return known, own[known, 0]
        if part.is_remembered:
            return known, own[known]
        return known, (own[known] if part.form == "labels" else own[known, 0]).astype(np.int64)

    def outputs(self, logits: np.ndarray) -> np.ndarray:
        """Turn logits (n, c) into the outputs of all targets (n, c)."""
        own = [part.outputs(logits[:, span]) for part, span in zip(self.parts, self.spans, strict=True)]
        return np.concatenate([one.reshape(len(logits), -1) for one in own], 1)

    def outputs_of(self, outputs: np.ndarray, place: int) -> np.ndarray:
        """Return the outputs of the target at a place, as its task has them."""
        own = outputs[:, self.spans[place]]
        return own[:, 0] if self.parts[place].form == "number" else own


def _side_by_side(widths: Sequence[int]) -> list[slice]:
    ends = np.cumsum([0, *widths]).tolist()
    return [slice(start, end) for start, end in pairwise(ends)]
