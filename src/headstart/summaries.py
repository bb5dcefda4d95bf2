"""Summaries measured: how far they say what the references say, how long they are, and what is copied."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headstart.statistics import Metric
from headstart.writing.oracles import oracle
from headstart.writing.overlap import KINDS, copied, novel_bigrams, rouge
from headstart.writing.sentences import sentences_of
from headstart.writing.texts import Written, as_array
from headstart.writing.words import words_of

HEADLINE = "rougeL"
SHARES = frozenset({*KINDS, "copied", "novel_bigrams"})
"""Metrics that lie in [0, 1]."""


def rouges(truth: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return (n, 3) the F1 of ROUGE-1, ROUGE-2 and ROUGE-L between references (n,) and answers (n,)."""
    return np.array([rouge(str(one), str(other)) for one, other in zip(truth, outputs, strict=True)]).reshape(-1, 3)


def summary_metrics(truth: np.ndarray, outputs: np.ndarray) -> dict[str, Metric]:
    """Return the metrics of summaries (n,) beside references (n,), each the mean over examples.

    The first is ROUGE-L; `length` is the words of the answers beside those of the references, `copied` the share of an
    answer's words that its text has, `novel_bigrams` that of its pairs of words that its text has not. Neither is
    measured where all answers are put together from sentences: they copy by construction, and an interval would say
    that something had been found out.
    """
    scores = rouges(truth, outputs)
    found = {name: Metric.mean(one) for name, one in zip(KINDS, scores.T, strict=True)}
    found = {HEADLINE: found.pop(HEADLINE), **found}
    own, wanted = (np.array([len(words_of(str(text))) for text in texts], dtype=float) for texts in (outputs, truth))
    found["length"] = Metric.ratio(own, wanted, least=1.0)
    if all(getattr(one, "places", None) is not None for one in outputs.tolist()):
        return found
    found |= _of_sources("copied", copied, truth, outputs)
    return found | _of_sources("novel_bigrams", novel_bigrams, truth, outputs)


def oracles(truth: np.ndarray, *known: np.ndarray) -> tuple[np.ndarray, int]:
    """Return (n,) the best extracts by ROUGE-L that a search which sees the references finds, and how many are exact.

    An exact one is a ceiling: no other choice of the text's sentences comes nearer to the reference.

    Args:
        truth: (n,) references that know their texts.
        known: (n,) each, answers; from those that are extracts a search begins too, so that none of them is better.
    """
    answers, exact = [], 0
    for number, reference in enumerate(truth.tolist()):
        sentences = sentences_of(reference.source)
        places = [getattr(one[number], "places", None) for one in known]
        found = oracle(str(reference), reference.source, [one for one in places if one is not None])
        exact += found.is_exact
        answers.append(Written(" ".join(sentences[place] for place in found.places), reference.source, found.places))
    return as_array(answers), exact


def _of_sources(
    name: str, share: Callable[[str, str], float | None], truth: np.ndarray, outputs: np.ndarray
) -> dict[str, Metric]:
    """Return the mean share over the examples whose text is known and whose answer has words; none where none has."""
    pairs = zip(truth.tolist(), outputs.tolist(), strict=True)
    found = [share(str(answer), one.source) if getattr(one, "source", "") else None for one, answer in pairs]
    used = np.array([one is not None for one in found], dtype=bool)
    values = np.array([one for one in found if one is not None])
    return {name: Metric.mean(values, used)} if used.any() else {}
