"""Summaries as they are read: each with the text it is about, and what is odd about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset, Finding
from headstart.errors import OptionError
from headstart.tasks import Task
from headstart.wording import count, some
from headstart.writing.overlap import copied
from headstart.writing.sentences import sentences_of
from headstart.writing.texts import Written
from headstart.writing.words import words_of

UNRELATED = 0.05
"""Words of the references that their texts have, on average, below which they are hardly about them."""


def require_summaries(tasks: Sequence[Task], modality: str) -> None:
    """Raise an `OptionError` unless a summary is the only target, and what it is about is a text.

    Raises:
        OptionError: it is not.
    """
    own = next(task for task in tasks if task.form == "text")
    if modality != "text":
        hint = f"if these are names of classes: --target {own.target}:classification"
        raise OptionError(f"{own.target!r} holds texts, and only texts are summarized.", got=f"{modality}s", hint=hint)


def about(values: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    """Return summaries, each of which knows the text it is about; None where there is none."""
    return [None if one is None else Written(one, str(text or "")) for one, text in zip(values, inputs, strict=True)]


def summary_findings(dataset: Dataset) -> list[Finding]:
    """Return what is odd: summaries no shorter than their texts or not about them, and texts with nothing to choose."""
    rows = list(zip(dataset.names, dataset.inputs, dataset.values, strict=True))
    longer = [name for name, text, summary in rows if len(words_of(str(summary))) >= len(words_of(str(text)))]
    single = [name for name, text, _ in rows if len(sentences_of(str(text))) == 1]
    findings = []
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
