"""What is wrong with the data, said in plain words before anything is trained."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np

from headstart.data.copies import IMAGE_BITS, TEXT_JACCARD, Pair, exact_pairs
from headstart.data.dataset import Dataset, Finding
from headstart.data.histories import History
from headstart.data.summaries import summary_findings
from headstart.errors import DataError
from headstart.wording import count, some


def check(dataset: Dataset) -> tuple[Finding, ...]:
    """Return all findings on a data set: those of reading, of its labels, of its copies and of its given split.

    Raises:
        DataError: there is nothing to learn: fewer than two classes, or a constant number.
    """
    _require_something_to_learn(dataset)
    about = summary_findings(dataset) if dataset.task.form == "text" else _label_findings(dataset)
    own = (*dataset.findings, *about, *_copy_findings(dataset.wholes))
    return dataset.told((*own, *_split_findings(dataset.wholes), *_unseen_findings(dataset)))


def _require_something_to_learn(dataset: Dataset) -> None:
    if dataset.task.form == "path":
        return
    distinct = set(dataset.values)
    if dataset.task.form == "labels":
        distinct = {label for labels in dataset.values if isinstance(labels, tuple) for label in labels}
        if distinct:
            return
    if len(distinct) < 2:
        noun = {"number": "value", "text": "summary"}.get(dataset.task.form, "class")
        noun = "tag" if dataset.task.kind == "tagging" else noun
        raise DataError(
            f"there is only one {noun} in {dataset.task.target!r}: nothing to learn.",
            expected="two or more classes" if noun == "class" else f"{noun}s that differ".replace("ys", "ies"),
            got=repr(next(iter(distinct), "none")),
            hint="name another --target" + (", or check the folders" if noun == "class" else ""),
        )


def _label_findings(dataset: Dataset) -> list[Finding]:
    if dataset.task.form in ("number", "path"):
        return []
    findings = []
    alike: dict[str, list[str]] = defaultdict(list)
    for label in dataset.task.labels:
        alike[_likeness(label)].append(label)
    for same in alike.values():
        if len(same) > 1:
            names = " and ".join(repr(label) for label in same)
            findings.append(
                Finding(
                    "label_variants", f"labels differ only by letter case, blanks or the writing of a number: {names}"
                )
            )
    if dataset.task.form == "label":
        counts = Counter(dataset.values)
        single = sorted(str(label) for label, number in counts.items() if number == 1)
        if single:
            noun = "class has" if len(single) == 1 else "classes have"
            text = f"{len(single)} {noun} one example, which cannot be both learned and tested: {some(single)}"
            findings.append(Finding("single_example", text))
    return findings


def _likeness(label: str) -> str:
    """Return what labels share that are probably one: letter case, blanks and the writing of numbers put aside."""
    try:
        return str(float(label))
    except ValueError:
        return "".join(label.casefold().split())


def _copy_findings(dataset: Dataset) -> list[Finding]:
    if dataset.modality == "series":
        return _twin_findings(dataset)
    findings = []
    noun = "image" if dataset.modality == "image" else "text"
    exact = exact_pairs(dataset.contents)
    inside = [pair for pair in exact if _same_part(dataset, *pair)]
    if inside:
        names = [f"{dataset.names[later]} is {dataset.names[first]}" for first, later in inside]
        text = f"{count(len(inside), noun)} repeated exactly, kept on one side of every split: {some(names)}"
        findings.append(Finding("duplicates", text))
    clashing = [(one, other) for one, other in exact if dataset.values[one] != dataset.values[other]]
    if clashing and dataset.task.form != "text":
        names = [f"{dataset.names[one]} and {dataset.names[other]}" for one, other in clashing]
        findings.append(
            Finding("conflicting_labels", f"{count(len(clashing), noun)} with two different labels: {some(names)}")
        )
    wide = dataset.tied_too_widely
    near = _only_near(dataset)
    tied = [(one, other) for one, other in near if not wide[one] and _same_part(dataset, one, other)]
    if tied:
        text = f"{count(len(tied), 'near-duplicate pair')} kept on one side of every split ({_threshold(dataset)}): "
        findings.append(Finding("near_duplicates", text + _pair_names(dataset, tied)))
    if wide.any():
        text = (
            f"{int(wide.sum()):,} {noun}s look so alike ({_threshold(dataset)}) that keeping them together would tie "
            f"more than 5 % of a class; they may stand on both sides of a split"
        )
        findings.append(Finding("near_duplicates_not_tied", text))
    return findings


def _twin_findings(dataset: Dataset) -> list[Finding]:
    """Say which series are others under another name: what one shows is learned from the other."""
    inputs = [one for one in dataset.inputs if isinstance(one, History)]
    pairs = exact_pairs(dataset.contents)
    twins = sorted({(inputs[first].name, inputs[later].name) for first, later in pairs})
    names = [f"{later} is {first}" for first, later in twins if first != later]
    if not names:
        return []
    return [
        Finding("duplicates", f"{count(len(names), 'series', 'series')} repeated under another name: {some(names)}")
    ]


def _same_part(dataset: Dataset, one: int, other: int) -> bool:
    return dataset.given is None or dataset.given[one] == dataset.given[other]


def _only_near(dataset: Dataset) -> list[Pair]:
    return [(one, other) for one, other in dataset.near_pairs if dataset.contents[one] != dataset.contents[other]]


def _threshold(dataset: Dataset) -> str:
    if dataset.modality == "image":
        return f"perceptual hashes at most {IMAGE_BITS} of 64 bits apart"
    return f"shingle sets with Jaccard similarity of {TEXT_JACCARD} or more"


def _pair_names(dataset: Dataset, pairs: list[Pair]) -> str:
    return some([f"{dataset.names[one]} and {dataset.names[other]}" for one, other in pairs])


def _split_findings(dataset: Dataset) -> list[Finding]:
    """Report on a given split; it is never altered. Series are split by time, so that each is in every part."""
    if dataset.given is None or dataset.modality == "series":
        return []
    given = dataset.given
    findings = []
    across = _crossing(dataset.contents, given)
    if across:
        names = _pair_names(dataset, across)
        noun = "text" if dataset.task.form == "text" else "example"
        text = f"{count(len(across), noun)} in more than one given split (exact copies): {names}"
        findings.append(Finding("copies_across_splits", text))
    near = [(one, other) for one, other in _only_near(dataset) if given[one] != given[other]]
    if near:
        text = f"{count(len(near), 'near-duplicate pair')} across the given splits: {_pair_names(dataset, near)}"
        findings.append(Finding("near_duplicates_across_splits", text))
    if dataset.groups is not None:
        shared = sorted({dataset.groups[one] for one, _ in _crossing(dataset.groups, given)})
        if shared:
            text = f"{count(len(shared), 'group')} in more than one given split: {some(shared)}"
            findings.append(Finding("groups_across_splits", text))
    return findings


def _crossing(keys: Iterable[str], given: tuple[str, ...]) -> list[Pair]:
    """Return (first, other) for every key that stands in more than one split, once a key and split."""
    first: dict[str, int] = {}
    pairs, told = [], set()
    for index, key in enumerate(keys):
        start = first.setdefault(key, index)
        if given[start] != given[index] and (key, given[index]) not in told:
            told.add((key, given[index]))
            pairs.append((start, index))
    return pairs


def _unseen_findings(dataset: Dataset) -> list[Finding]:
    unseen = _unseen_labels(dataset)
    if not unseen:
        return []
    text = f"{count(len(unseen), 'label')} of the test set never seen in training: {some(unseen)}"
    return [Finding("unseen_labels", text)]


def _unseen_labels(dataset: Dataset) -> list[str]:
    if dataset.task.form != "label" or dataset.given is None:
        return []
    labels = np.array(dataset.values, dtype=str)
    is_test = np.array(dataset.given) == "test"
    return sorted(set(labels[is_test].tolist()) - set(labels[~is_test].tolist()))
