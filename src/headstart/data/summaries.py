"""Summaries as they are read: each with the text it is about, and what is odd about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset, Finding
from headstart.data.splits import spread
from headstart.errors import DataError, OptionError
from headstart.tasks import Task
from headstart.wording import count, some
from headstart.writing.overlap import copied
from headstart.writing.sentences import sentences_of
from headstart.writing.texts import Written
from headstart.writing.words import words_of

UNRELATED = 0.05
"""Words of the references that their texts have, on average, below which they are hardly about them."""

FOREIGN = 0.25
"""The share of a summary's words that its text has, below which it is hardly one of it."""

LOOKED_AT = 400
"""Summaries that this is judged by."""


def require_summaries(tasks: Sequence[Task], modality: str) -> None:
    """Raise an `OptionError` unless a summary is the only target, and what it is about is a text.

    Raises:
        OptionError: it is not.
    """
    own = next(task for task in tasks if task.form == "text")
    if modality != "text":
        hint = f"if these are names of classes: --target {own.target}:classification"
        raise OptionError(f"{own.target!r} holds texts, and only texts are summarized.", got=f"{modality}s", hint=hint)


def require_own_words(task: Task, values: Sequence[Any]) -> None:
    """Raise a `DataError` where texts that nobody called summaries share hardly a word with what they stand beside.

    Raises:
        DataError: they do: they are addresses, names or answers.
    """
    share = taken_over([one for one in values if one is not None])
    if share is not None and share < FOREIGN:
        raise DataError(
            f"{task.target!r} holds texts that are hardly made of the inputs' words: they seem to be no summaries.",
            expected="labels, numbers, or summaries of the inputs",
            got=f"{100 * share:.0f} % of a usual one's words in its input",
            hint=f"--target {task.target}:summarization if they are, or another --target",
        )


def taken_over(summaries: Sequence[Written]) -> float | None:
    """Return the median share of a summary's words that its text has; None where there is none."""
    few = [summaries[place] for place in spread(len(summaries), LOOKED_AT).tolist()]
    found = [share for one in few if (share := copied(one, one.source)) is not None]
    return float(np.median(found)) if found else None


def about(values: Sequence[Any], inputs: Sequence[Any]) -> list[Written | None]:
    """Return summaries, each of which knows the text it is about; None where there is none, or none with a word."""
    pairs = zip(values, inputs, strict=True)
    return [Written(one, str(text or "")) if one is not None and words_of(str(one)) else None for one, text in pairs]


def wordless(values: Sequence[Any], names: Sequence[str]) -> list[Finding]:
    """Return what is to be said of summaries that hold no word."""
    found = [name for one, name in zip(values, names, strict=True) if one is not None and not words_of(str(one))]
    text = f"{count(len(found), 'summary', 'summaries')} without a word, left out: {some(found)}"
    return [Finding("wordless_summaries", text)] if found else []


def summary_findings(dataset: Dataset) -> list[Finding]:
    """Return what is odd: summaries no shorter than their texts or not about them, and texts with nothing to choose."""
    rows = list(zip(dataset.names, dataset.inputs, dataset.values, strict=True))
    longer = [name for name, text, summary in rows if len(words_of(str(summary))) >= len(words_of(str(text)))]
    single = [name for name, text, _ in rows if len(sentences_of(str(text))) == 1]
    share = taken_over([one for one in dataset.values if isinstance(one, Written)])
    findings = []
    if share is not None and share < FOREIGN:
        text = f"a usual summary has {100 * share:.0f} % of its words from its text: its sentences say little of it"
        findings.append(Finding("foreign_summaries", text))
    if longer:
        text = f"{count(len(longer), 'summary', 'summaries')} no shorter than the text: {some(longer)}"
        findings.append(Finding("long_summaries", text))
    if single:
        words = "is its own extract" if len(single) == 1 else "are their own extracts"
        text = f"{count(len(single), 'text')} of one sentence {words}: {some(single)}"
        findings.append(Finding("single_sentences", text))
    return [*findings, *unrelated(dataset)]


def unrelated(dataset: Dataset) -> tuple[Finding, ...]:
    """Return a finding where the references have hardly a word in common with the texts they should be about."""
    pairs = zip(dataset.values, dataset.inputs, strict=True)
    shares = [copied(str(summary), str(text)) or 0.0 for summary, text in pairs]
    if not shares or float(np.mean(shares)) >= UNRELATED:
        return ()
    text = (
        f"the references share almost no words with their texts ({100 * np.mean(shares):.1f} % of their words): "
        "is it the wrong column, or another language?"
    )
    return (Finding("unrelated_references", text),)
