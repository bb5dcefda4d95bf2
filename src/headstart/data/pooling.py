"""Several data sets in one pool: each with a target of its own, so that one network may learn them all."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from headstart.data.dataset import Dataset, Finding, Split
from headstart.data.reading import NO_GROUP, read
from headstart.data.splits import TEST_SHARE
from headstart.errors import DataError, OptionError
from headstart.progress import Progress, silent
from headstart.tasks import Task, require_shareable
from headstart.wording import count, some, user_path

ASKED = ("input", "target", "group", "task")
"""What a table in a file of data sets may ask for beside its data, as `read` takes it."""


SETS = ".toml"


def is_sets(path: str | Path) -> bool:
    """Tell whether a path names a file that names data sets."""
    return str(path).lower().endswith(SETS)


def read_sets(path: str | Path, *, progress: Progress = silent) -> dict[str, Dataset]:
    """Return the data sets that a TOML file names: a table each, with `data` and whatever else `read` takes.

    Paths in it are taken from its own folder.

    Raises:
        DataError: it cannot be read.
        OptionError: a table asks for what there is not.
    """
    file = user_path(path)
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        got = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{file.name} cannot be read as TOML.", got=got) from None
    expected = 'two or more tables, such as [reviews] with data = "reviews.csv"'
    if len(tables) < 2 or not all(isinstance(one, dict) and "data" in one for one in tables.values()):
        raise DataError(f"{file.name} names no data sets.", expected=expected, got=", ".join(tables) or "nothing")
    found = {}
    for name, asked in tables.items():
        unknown = sorted(set(asked) - {"data", *ASKED})
        if unknown:
            raise OptionError(f"[{name}] asks for what there is not.", expected=", ".join(ASKED), got=unknown[0])
        for word, value in asked.items():
            are_names = word == "input" and isinstance(value, list) and all(isinstance(one, str) for one in value)
            if not (isinstance(value, str) or are_names):
                expected = "names, as texts" if word == "input" else "a name, as a text"
                raise OptionError(f"[{name}] {word} is no name.", expected=expected, got=repr(value))
        given = {word: value for word, value in asked.items() if word in ASKED}
        found[name] = read(file.parent / asked["data"], **given, progress=progress)
    return found


def read_several(
    data: object,
    *,
    input: str | Sequence[str] | None = None,
    target: Sequence[str] | None = None,
    group: str | None = None,
    test: float = TEST_SHARE,
    seed: int = 0,
    progress: Progress = silent,
) -> Dataset:
    """Return a data set with several targets, or the pool of several data sets, of one target each.

    Raises:
        DataError: something cannot be read, or cannot be pooled.
        OptionError: there is only one target, or a column is named that no set is read by.
    """
    if isinstance(data, str | Path) and is_sets(data):
        _refuse({"--input": input, "--target": target, "--group": group}, f"stands in {Path(data).name}, set by set")
        data = read_sets(data, progress=progress)
    if isinstance(data, Mapping) and not type(data).__module__.startswith("datasets"):
        _refuse({"target": target}, "each of several data sets has its own")
        if len(data) < 2:
            raise DataError("there are no several data sets.", expected="two or more, by name", got=str(len(data)))
        if any(isinstance(one, Dataset) for one in data.values()):
            _refuse({"input": input, "group": group}, "belongs where each data set is read")
        sets = {str(name): read(one, input=input, group=group, progress=progress) for name, one in data.items()}
        return pooled(sets, test=test, seed=seed)
    dataset = read(data, input=input, target=target, group=group, progress=progress)
    if not dataset.tasks:
        raise OptionError("there is only one target.", expected="two or more", got=repr(dataset.task.target))
    return dataset


def _refuse(options: Mapping[str, object], why: str) -> None:
    for name, value in options.items():
        if value:
            raise OptionError(f"{name} has no meaning for several data sets.", expected=f"{name} {why}", got=str(value))


def pooled(sets: Mapping[str, Dataset], *, test: float = TEST_SHARE, seed: int = 0) -> Dataset:
    """Return the examples of several data sets as one, each target named after its set.

    Each set is split by itself first. What is tested in one set is learned from in no other, nor is its like.
    A validation set that not all of them bring is learned from.

    Args:
        sets: by name; of one modality, each with one target.
        test: the share held out, in (0, 1), of sets that bring no split of their own.
        seed: of those splits.

    Raises:
        DataError: they cannot be pooled.
    """
    _require_alike(sets)
    parts = {name: _parts(one, test, seed) for name, one in sets.items()}
    if not all("validation" in sides for sides in parts.values()):
        parts = {name: _without_validation(sides) for name, sides in parts.items()}
    tasks = {name: replace(one.task, target=name) for name, one in sets.items()}
    are_grouped = any(one.groups is not None for one in sets.values())
    rows = [
        _renamed(part, name, side, tasks, are_grouped=are_grouped)
        for name, sides in parts.items()
        for side, part in sides.items()
    ]
    whole = rows[0]
    for one in rows[1:]:
        given = (*(whole.given or ()), *(one.given or ()))
        whole = replace(whole.joined_with(one), given=given)
    findings = tuple(finding for one in sets.values() for finding in one.findings)
    origin = np.repeat([name for name, sides in parts.items() for _ in sides], [len(one) for one in rows])
    taken = _tested_elsewhere(whole, origin)
    if taken.any():
        text = f"{count(int(taken.sum()), 'example')} left out of learning: its like is tested in another of the sets"
        findings = (*findings, Finding("tested_elsewhere", text))
    joint = Task(" · ".join(sets), "classification")
    notes = (f"{count(len(sets), 'data set')} in one pool: {some(list(sets))}",)
    whole = whole.take(~taken)
    columns = {one.columns for one in sets.values()}
    whole = replace(whole, columns=columns.pop() if len(columns) == 1 else ())
    return replace(whole, name="+".join(sets), task=joint, tasks=tuple(tasks.values()), notes=notes, findings=findings)


def _tested_elsewhere(whole: Dataset, origin: np.ndarray) -> np.ndarray:
    """Tell (n,) which examples to learn from hang together with a test example of another set.

    That is by group, as a copy, or as a near-duplicate. Inside a set its own split stands.
    """
    is_tested = np.array(whole.given) == "test"
    tested: dict[int, set[str]] = {}
    for unit, name in zip(whole.units[is_tested].tolist(), origin[is_tested].tolist(), strict=True):
        tested.setdefault(unit, set()).add(name)
    others = [bool(tested.get(unit, set()) - {name}) for unit, name in zip(whole.units.tolist(), origin, strict=True)]
    return np.asarray(np.array(others, dtype=bool) & ~is_tested)


def _require_alike(sets: Mapping[str, Dataset]) -> None:
    kinds = {(one.modality, one.channels) for one in sets.values()}
    if len(kinds) > 1:
        words = ", ".join(f"{name}: {one.modality}s" for name, one in sets.items())
        raise DataError("these data sets cannot share a network.", expected="inputs of one kind", got=words)
    require_shareable([one.task for one in sets.values()])
    joint = [name for name, one in sets.items() if one.tasks]
    if joint:
        raise DataError(
            f"the data set {joint[0]!r} has several targets itself.", expected="one target a data set in a pool"
        )


def _parts(one: Dataset, test: float, seed: int) -> dict[Split, Dataset]:
    train, validation, tested, _ = one.three_sets(test=test, seed=seed)
    if not len(tested):
        raise DataError(f"{one.name} has no test part.", expected="examples that nothing is learned from")
    sides: dict[Split, Dataset] = {"train": train, "test": tested}
    return sides if validation is None else {**sides, "validation": validation}


def _without_validation(sides: dict[Split, Dataset]) -> dict[Split, Dataset]:
    train = sides["train"] if "validation" not in sides else sides["train"].joined_with(sides["validation"])
    return {"train": train, "test": sides["test"]}


def _renamed(part: Dataset, name: str, side: Split, tasks: Mapping[str, Task], *, are_grouped: bool) -> Dataset:
    """Return a part of a set as it lies in the pool: its own target beside those it has not.

    A group of one name is one group in all sets: the same patient may be in several. What has no group has one of its
    own, and its name is that of no other set's.
    """
    own = part.groups if part.groups is not None else part.names
    lacking = [part.groups is None or one.startswith(NO_GROUP) for one in own]
    groups = tuple(f"{name}: {one}" if is_lacking else one for one, is_lacking in zip(own, lacking, strict=True))
    return replace(
        part,
        names=tuple(f"{name}: {one}" for one in part.names),
        groups=groups if are_grouped else None,
        sensitive={},
        given=(side,) * len(part),
        values=tuple(f"{name}: {one}" for one in map(str, part.strata)),
        targets={target: part.values if target == name else (None,) * len(part) for target in tasks},
    )
