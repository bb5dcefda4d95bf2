"""Tagged texts: what a cell says of the words of its text, and the data set whose examples are those words."""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset, Finding
from headstart.data.words import Word, tagged_by, words_of
from headstart.entities import SCHEME, Entity, in_bio, marked
from headstart.errors import DataError
from headstart.wording import count, renamed, some

MOSTLY = 0.9
"""The share of cells that hold tags where a column is meant to: the others are refused, not taken for classes."""

SEPARATOR = re.compile(r"[\s,;]+")
FIELDS = ("start", "end", "label")


def is_tagging(cells: Sequence[Any]) -> bool:
    """Tell whether a column holds tags, one cell in ten may be a slip, or entities, and any of them.

    Tags are more than one in some cell: single ones are classes.
    """
    if not cells:
        return False
    if sum(map(are_tags, cells)) >= MOSTLY * len(cells):
        return any(len(_listed(cell)) > 1 for cell in cells if are_tags(cell))
    return all(map(are_entities, cells)) and any(map(_holds, cells))


def are_tags(cell: Any) -> bool:
    """Tell whether a cell holds tags: a list of them, or text with blanks between them."""
    parts = _listed(cell)
    return bool(parts) and all(isinstance(part, str) and SCHEME.fullmatch(part) for part in parts)


def are_entities(cell: Any) -> bool:
    """Tell whether a cell holds entities: objects with start, end and label, or triples of them, as a list or JSON."""
    try:
        return _entities(cell) is not None
    except DataError:
        return True


def read_tagging(cell: Any, name: str, row: str) -> tuple[str, ...] | tuple[Entity, ...]:
    """Return the tags or the entities in a cell.

    Raises:
        DataError: it holds neither.
    """
    try:
        entities = _entities(cell)
    except DataError as error:
        raise DataError(
            f"{row} of {name!r}: {error.problem}", expected=error.expected, got=error.got, hint=error.hint
        ) from None
    if entities is not None:
        return tuple(entities)
    tags = [str(part) for part in _listed(cell)]
    wrong = next((tag for tag in tags if not SCHEME.fullmatch(tag)), None)
    if wrong is not None:
        raise DataError(
            f"{row} of {name!r} holds what is no tag.",
            expected="O, B-x or I-x for each word, or entities with start, end and label",
            got=repr(wrong),
            hint="--task classification where cells are classes",
        )
    return tuple(tags)


def _holds(cell: Any) -> bool:
    """Tell whether a cell of entities holds any, good or bad."""
    try:
        return bool(_entities(cell))
    except DataError:
        return True


def _listed(cell: Any) -> list[Any]:
    """Return the parts of a cell: those of a list, or what stands between blanks, commas or semicolons."""
    if isinstance(cell, str):
        found = _written(cell)
        return found if isinstance(found, list) else [part for part in SEPARATOR.split(cell) if part]
    return list(cell) if isinstance(cell, Sequence | np.ndarray) else []


def _written(cell: str) -> Any:
    """Return the list that a text writes as JSON or as Python does; the text itself where it writes none."""
    if cell.lstrip().startswith("["):
        for read in (json.loads, ast.literal_eval):
            with contextlib.suppress(ValueError, SyntaxError):
                return read(cell)
    return cell


def _entities(cell: Any) -> list[Entity] | None:
    """Return the entities in a cell, in order; None where it holds none, or something else.

    Raises:
        DataError: two of them overlap, or one has no length.
    """
    if isinstance(cell, str):
        cell = _written(cell)
    if isinstance(cell, str) or not isinstance(cell, Sequence | np.ndarray):
        return None
    found = []
    for one in cell:
        fields = [one.get(key) for key in FIELDS] if isinstance(one, Mapping) else one
        if isinstance(fields, str) or not isinstance(fields, Sequence) or len(fields) != 3:
            return None
        start, end, label = fields
        if not (_is_place(start) and _is_place(end) and isinstance(label, str)) or start is None or end is None:
            if not isinstance(one, Mapping) or not set(FIELDS) <= set(one):
                return None
            raise DataError("an entity's place is no number of characters.", expected="start and end", got=f"{fields}")
        found.append(Entity(int(start), int(end), "_".join(label.split())))
    found.sort(key=lambda entity: entity.start)
    overlapping = next(((one, other) for one, other in pairwise(found) if other.start < one.end), None)
    if overlapping or any(one.end <= one.start or one.start < 0 for one in found):
        raise DataError(
            "entities overlap, or have no length.",
            expected="parts of a text beside one another",
            got=", ".join(f"{one.label} {one.start} to {one.end}" for one in overlapping or found),
        )
    return found


def _is_place(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def apart(texts: Dataset) -> Dataset:
    """Return the words of tagged texts as examples, each text or, where there are groups, each group kept together.

    Texts whose tags do not fit are left out; the findings say which, and what else was wrong with tags.

    Args:
        texts: a text an example; the value of each its tags or its entities.

    Raises:
        DataError: no text is left.
    """
    given = [value if isinstance(value, tuple) else () for value in texts.values]
    by_entities = any(isinstance(part, Entity) for value in given for part in value)
    if by_entities:
        _require_entities(texts, given)
    words = [words_of(str(text), "pieces" if by_entities else "blanks") for text in texts.inputs]
    tags = [tagged_by(value, own) if by_entities else in_bio(value) for value, own in zip(given, words, strict=True)]
    fitting = [len(own) == len(found) for own, found in zip(words, tags, strict=True)]
    findings = _findings(texts.names, given, words, tags)
    if not any(own for own, fits in zip(words, fitting, strict=True) if fits):
        raise DataError(
            f"the tags of {texts.task.target!r} fit no text.",
            expected="a tag for each word, which is what stands between blanks",
            got=findings[0].text if findings else "no word",
            hint="--task classification or multilabel where these are no tags",
        )
    place = np.repeat(np.arange(len(texts)), [len(own) * fits for own, fits in zip(words, fitting, strict=True)])
    chosen = [word for own, fits in zip(words, fitting, strict=True) if fits for word in own]
    values = tuple(tag for found, fits in zip(tags, fitting, strict=True) if fits for tag in found)
    named = [f"{texts.names[row]}, {str(word)!r}" for row, word in zip(place.tolist(), chosen, strict=True)]
    task = replace(texts.task, labels=tuple(sorted(set(values))), words="pieces" if by_entities else "blanks")
    unsaid = replace(texts, groups=texts.groups or tuple(map(str, texts.inputs)))
    return replace(
        unsaid.take(place),
        inputs=tuple(chosen),
        names=tuple(named),
        contents=tuple(word.content for word in chosen),
        values=values,
        task=task,
        findings=(*(replace(one, text=renamed(one.text, {"example": "text"})) for one in texts.findings), *findings),
    )


def _require_entities(texts: Dataset, given: Sequence[Sequence[Any]]) -> None:
    """Raise a `DataError` where tags stand among entities, or an entity lies beyond its text."""
    for name, text, value in zip(texts.names, texts.inputs, given, strict=True):
        if any(not isinstance(part, Entity) for part in value):
            raise DataError(f"{name} holds tags, and other rows entities.", expected="one of both", got=repr(value[0]))
        beyond = next((one for one in value if one.end > len(str(text))), None)
        if beyond is not None:
            words = f"{beyond.label} {beyond.start} to {beyond.end}"
            raise DataError(
                f"an entity of {name} lies beyond its text.", expected=f"characters 0 to {len(str(text))}", got=words
            )


def _cuts_words(entities: Sequence[Entity], words: Sequence[Word]) -> bool:
    """Tell whether an entity begins or ends inside a word, or beyond the text."""
    starts, ends = {word.start for word in words}, {word.end for word in words}
    return any(one.start not in starts or one.end not in ends for one in entities)


def _findings(
    names: Sequence[str], given: Sequence[Sequence[Any]], words: Sequence[Sequence[Word]], tags: Sequence[Sequence[str]]
) -> list[Finding]:
    rows = list(zip(names, given, words, tags, strict=True))
    unlike = [f"{name} ({len(found)} tags, {len(own)} words)" for name, _, own, found in rows if len(found) != len(own)]
    by_entities = [(name, value, own) for name, value, own, _ in rows if value and isinstance(value[0], Entity)]
    cut = [name for name, value, own in by_entities if _cuts_words(value, own)]
    mended = [
        name for name, value, _, found in rows if value and isinstance(value[0], str) and marked(value) != [*found]
    ]
    found = []
    if unlike:
        text = f"{count(len(unlike), 'text')} with another number of tags than words, left out: {some(unlike)}"
        found.append(Finding("tags_mismatch", text))
    if mended:
        text = f"tags of {count(len(mended), 'text')} break the BIO scheme; what goes on with nothing is taken to begin"
        found.append(Finding("tags_mended", f"{text}: {some(mended)}"))
    if cut:
        text = f"entities of {count(len(cut), 'text')} begin or end inside a word, which is taken whole: {some(cut)}"
        found.append(Finding("entities_cut_words", text))
    return found
