"""A data set: inputs, one target or several, and what is known of each example. Nothing changes it in place."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Literal, TypeAlias, TypeVar

import numpy as np

from headstart.data import copies, splits
from headstart.data.histories import History
from headstart.data.images import ImageInput
from headstart.data.words import Word, texts_of
from headstart.errors import DataError, OptionError
from headstart.tasks import Task, Value
from headstart.wording import count, renamed

Modality: TypeAlias = Literal["image", "text", "series"]
Split: TypeAlias = Literal["train", "validation", "test"]
Input: TypeAlias = ImageInput | History | str | Word
T = TypeVar("T")

STRATA_OF_A_NUMBER = 5


@dataclass(frozen=True)
class Finding:
    """One thing seen in the data, with a stable code and a sentence in plain words; a warning unless it is good."""

    code: str
    text: str
    is_good: bool = False


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled examples of one modality, ready to be split, probed and evaluated.

    Attributes:
        name: what the set is called.
        modality: "image", "text" or "series".
        inputs: (n,) files, pictures, arrays, texts, words of texts, or histories.
        names: (n,) what an example is called in a message: a relative path or a row.
        contents: (n,) SHA-256 of each input's content.
        task: the target and its kind.
        values: (n,) the target of each example: a label, a tuple of labels, or a number.
        near: (n,) perceptual hashes of images; empty for texts.
        groups: (n,) what must not be separated (a patient), or None.
        sensitive: column name to (n,) values that errors will be reported by.
        given: (n,) the split the user gave, or None.
        columns: the input columns of the table it came from; empty for folders and lists.
        channels: of the pictures; 0 for texts.
        notes: what was inferred, in words.
        findings: what is wrong with the data, found while reading.
        fold: (n,) the fold of each example where that is decided, so that all see the same; None otherwise.
        tasks: where there are several targets, each of them; `task` and `values` then are what a split is stratified
            by: the classes of all of them together.
        targets: of each of those, by name, the value (n,) of every example, None where it has none.
    """

    name: str
    modality: Modality
    inputs: tuple[Input, ...]
    names: tuple[str, ...]
    contents: tuple[str, ...]
    task: Task
    values: tuple[Value, ...]
    near: tuple[int, ...] = ()
    groups: tuple[str, ...] | None = None
    sensitive: dict[str, tuple[str, ...]] = field(default_factory=dict)
    given: tuple[Split, ...] | None = None
    columns: tuple[str, ...] = ()
    channels: int = 0
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    fold: tuple[int, ...] | None = None
    tasks: tuple[Task, ...] = ()
    targets: dict[str, tuple[Value | None, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, indices: Sequence[int] | np.ndarray) -> Dataset:
        """Return the examples at `indices`, in that order; boolean masks of length n work too."""
        chosen = np.asarray(indices)
        places = np.flatnonzero(chosen).tolist() if chosen.dtype == bool else chosen.tolist()

        def pick(column: tuple[T, ...]) -> tuple[T, ...]:
            return tuple(column[place] for place in places)

        return replace(
            self,
            inputs=pick(self.inputs),
            names=pick(self.names),
            contents=pick(self.contents),
            values=pick(self.values),
            near=pick(self.near) if self.near else (),
            groups=pick(self.groups) if self.groups is not None else None,
            sensitive={name: pick(column) for name, column in self.sensitive.items()},
            given=pick(self.given) if self.given is not None else None,
            fold=pick(self.fold) if self.fold is not None else None,
            targets={name: pick(column) for name, column in self.targets.items()},
        )

    def only(self, task: Task) -> Dataset:
        """Return the examples that have one of several targets, with that alone."""
        column = self.targets[task.target]
        known = [place for place, value in enumerate(column) if value is not None]
        values = tuple(value for value in column if value is not None)
        return replace(self.take(known), task=task, values=values, tasks=(), targets={})

    def given_part(self, split: Split) -> Dataset:
        """Return the examples of a split the user gave; none when there is no such split."""
        given = self.given or ()
        return self.take([index for index, name in enumerate(given) if name == split])

    def three_sets(
        self, *, test: float = splits.TEST_SHARE, seed: int = 0
    ) -> tuple[Dataset, Dataset | None, Dataset, str]:
        """Return train, validation (or None) and test, and say where they come from: given, or split by us.

        Raises:
            OptionError: `test` is not in (0, 1).
            DataError: a side would be empty, or the given split has no train part.
        """
        if self.given is None:
            train, tested = self.split(test=test, seed=seed)
            words = (
                f"{len(tested):,} of {len(self):,} examples are held out as the test set, by content and seed {seed}"
            )
            return train, None, tested, words
        if "train" not in self.given:
            parts = ", ".join(sorted(set(self.given)))
            raise DataError("the given split has no train part.", expected="train, and validation or test", got=parts)
        validation = self.given_part("validation")
        return self.given_part("train"), validation if len(validation) else None, self.given_part("test"), ""

    def split(self, *, test: float = splits.TEST_SHARE, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Return (train, test): a pure function of content, group and seed, stratified by class.

        Groups, exact copies and near-duplicates stay on one side.
        A given split is not altered: where the data brings a test part, that part is the test set, whatever the
        share and seed, and everything else is train.

        Raises:
            OptionError: `test` is not in (0, 1), or the seed is below 0.
            DataError: a side would be empty.
        """
        seed = splits.require_seed(seed)
        if not isinstance(test, int | float) or not 0 < test < 1:
            raise OptionError("the test share is out of range.", expected="a number in (0, 1)", got=repr(test))
        if self.given is not None and {"train", "test"} <= set(self.given):
            in_test = np.array(self.given) == "test"
            return self.take(~in_test), self.take(in_test)
        mask = splits.held_out(self.units, self.keys, self.strata, test, seed)
        if mask.all() or not mask.any():
            units = count(len(set(self.units.tolist())), "unit that may be separated", "units that may be separated")
            raise DataError(
                f"{len(self)} examples in {units} are too few to hold out a test set.",
                expected="a class with 3 or more " + ("groups" if self.groups is not None else "unlike examples"),
                hint="add examples, or give the test set yourself with a `split` column or a test/ folder",
            )
        return self.take(~mask), self.take(mask)

    def folds(self, k: int, *, seed: int = 0) -> np.ndarray:
        """Return (n,) the fold in [0, k) of each example, for cross-validation; the one that was decided, if any."""
        if self.fold is not None:
            return np.array(self.fold)
        return splits.fold_of(self.units, self.keys, self.strata, k, seed)

    def with_folds(self, k: int, *, seed: int = 0) -> Dataset:
        """Return the examples with their folds decided: whatever part of them is taken keeps them."""
        fold = self.folds(min(k, max(2, len(set(self.units.tolist())))), seed=seed)
        return replace(self, fold=tuple(fold.tolist()))

    def held_in_turn(self, k: int, *, seed: int = 0) -> list[np.ndarray]:
        """Return the masks (n,) of what each of k folds holds out; of fewer where there are fewer units.

        A fold that would hold everything, so that nothing is left to learn from, is none.
        """
        fold = self.folds(min(k, max(2, len(set(self.units.tolist())))), seed=seed)
        masks = [fold == number for number in np.unique(fold)]
        return [mask for mask in masks if not mask.all()]

    def joined_with(self, other: Dataset) -> Dataset:
        """Return the examples of both, this one's first; both come from one reading."""
        both_grouped = self.groups is not None and other.groups is not None
        return replace(
            self,
            inputs=self.inputs + other.inputs,
            names=self.names + other.names,
            contents=self.contents + other.contents,
            values=self.values + other.values,
            near=self.near + other.near,
            groups=(self.groups or ()) + (other.groups or ()) if both_grouped else None,
            sensitive={name: column + other.sensitive[name] for name, column in self.sensitive.items()},
            targets={name: column + other.targets[name] for name, column in self.targets.items()},
            given=None,
            fold=None,
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """What the split of each example is drawn by: its group where there is one, else its content."""
        return self.groups if self.groups is not None else self.contents

    @cached_property
    def strata(self) -> tuple[object, ...]:
        """The class (n,) each example counts for: its label, its rarest label, its fifth of the range, or one alone."""
        if self.task.form == "number":
            edges = np.quantile(np.array(self.values), np.arange(1, STRATA_OF_A_NUMBER) / STRATA_OF_A_NUMBER)
            return tuple(np.searchsorted(edges, np.array(self.values)).tolist())
        if self.task.form == "labels":
            counts = Counter(label for labels in self.values if isinstance(labels, tuple) for label in labels)
            return tuple(
                min(labels, key=lambda label: (counts[label], label)) if isinstance(labels, tuple) and labels else ""
                for labels in self.values
            )
        return ("",) * len(self) if self.task.form in ("path", "text") else self.values

    @cached_property
    def breaks(self) -> np.ndarray | None:
        """The number (n,) of the text that each tagged word stands in; None of other examples."""
        return texts_of(self.inputs) if self.task.kind == "tagging" else None

    def called(self, text: str) -> str:
        """Return a sentence of ours with examples, labels and groups called what they are; see `Task.called`.

        Groups are texts where tagged words have no other group.
        """
        is_text = self.task.kind == "tagging" and self.wholes.groups is None
        return renamed(self.task.called(text), {"group": "text"} if is_text else {})

    def told(self, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """Return findings with examples, labels and groups called what they are."""
        return tuple(replace(one, text=self.called(one.text)) for one in findings)

    @cached_property
    def first_words(self) -> np.ndarray:
        """Where (k,) the first word stands of each of the texts whose words are tagged."""
        return np.unique(texts_of(self.inputs), return_index=True)[1]

    @cached_property
    def wholes(self) -> Dataset:
        """The texts whose words are tagged, an example each, with all tags of a text as one value; else this itself."""
        if self.task.kind != "tagging":
            return self
        ends = [*self.first_words.tolist(), len(self)]
        texts = self.take(self.first_words)
        inputs = tuple(one.text if isinstance(one, Word) else one for one in texts.inputs)
        return replace(
            texts,
            inputs=inputs,
            names=tuple(name.partition(", ")[0] for name in texts.names),
            contents=tuple(hashlib.sha256(str(text).encode("utf-8", "surrogatepass")).hexdigest() for text in inputs),
            values=tuple(" ".join(map(str, self.values[slice(*own)])) for own in pairwise(ends)),
            task=Task(self.task.target, "summarization"),
            groups=None if texts.groups == inputs else texts.groups,
        )

    @cached_property
    def near_pairs(self) -> list[copies.Pair]:
        """The pairs of near-duplicates, exact copies included."""
        if self.task.kind == "tagging":
            first = self.first_words.tolist()
            return [(first[one], first[other]) for one, other in self.wholes.near_pairs]
        if self.modality == "series":
            return []
        if self.modality == "text":
            return copies.near_texts([str(text) for text in self.inputs])
        return copies.near_images(self.near)

    @cached_property
    def tied_too_widely(self) -> np.ndarray:
        """Tell (n,) which examples lie in a near-duplicate cluster too large to keep on one side."""
        if self.task.kind == "tagging":
            return np.asarray(self.wholes.tied_too_widely[texts_of(self.inputs)])
        return copies.oversized(copies.clusters(len(self), self.near_pairs), np.array(self.strata, dtype=str))

    @cached_property
    def units(self) -> np.ndarray:
        """The number (n,) of the unit each example belongs to: groups, copies and near-duplicates joined."""
        near = [pair for pair in self.near_pairs if not self.tied_too_widely[pair[0]]]
        grouped = copies.exact_pairs(self.groups) if self.groups is not None else []
        return copies.clusters(len(self), [*near, *grouped, *copies.exact_pairs(self.contents)])
