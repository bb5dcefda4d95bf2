"""Evaluation: a model on labelled examples, every number with its interval, beside what no transfer gives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from headstart import baselines, metrics, summarizing
from headstart.data import Dataset, Finding
from headstart.data.summaries import unrelated
from headstart.devices import undisturbed
from headstart.errors import DataError, OptionError
from headstart.model import Model, fingerprints
from headstart.paired import Difference, difference_of_means
from headstart.progress import Progress, silent
from headstart.statistics import Measure
from headstart.strategies import KINDS
from headstart.summaries import oracles, rouges
from headstart.tasks import Task
from headstart.telling import OF_TEXTS, gap, standing
from headstart.wording import count, plural, some

Measures = dict[str, Measure]


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        task: what was predicted.
        n: examples it was measured on.
        metrics: name to measure.
        baselines: "majority" and, where training examples were at hand, "classical"; where words are tagged "lexicon"
            in place of the former; of series "random_walk", "drift", "seasonal_naive" where there is a season, "ets",
            "theta", "arima" and what is combined of the last three, "classical"; each name to measure.
        per_class: precision, recall and F1 of each label.
        confusion: counts (c, c), true label by answer.
        findings: what a reader of the numbers should know.
        ceilings: of summaries, "oracle": the best extract by ROUGE-L that a search which sees the reference finds.
        ahead: of summaries, by how much the headline is ahead of each baseline's and of the oracle's, example by
            example; below 0 it is behind.
        exact_ceilings: texts whose oracle is a ceiling: the search showed that no choice of sentences is better.
        transfers: whether the model carries anything over from a source.
    """

    task: Task
    n: int
    metrics: Measures
    baselines: dict[str, Measures]
    per_class: list[dict[str, Any]]
    confusion: list[list[int]]
    findings: tuple[Finding, ...] = ()
    ceilings: dict[str, Measures] = field(default_factory=dict)
    ahead: dict[str, Difference] = field(default_factory=dict)
    exact_ceilings: int = 0
    transfers: bool = True

    @property
    def headline(self) -> str:
        """The name of the metric that is shown first: one that the baselines have as well."""
        shared = [name for name in self.metrics if all(name in one for one in self.baselines.values())]
        wanted = metrics.HEADLINE[self.task.kind]
        return wanted if wanted in shared else next(iter(shared or self.metrics))

    @property
    def comparison(self) -> str:
        """Say how the headline stands beside the best baseline's, by their intervals; not a test of the difference.

        Of summaries it is said by the paired difference, example by example.
        """
        if not self.baselines:
            return ""
        if self.ahead:
            others = [name for name in self.baselines if not _is_same(self.ahead[name])]
            strongest = max(others, key=lambda name: self.baselines[name][self.headline].value, default="")
            return self._beside(strongest) if strongest else ""
        is_lower = self.headline in metrics.LOWER
        best, ahead = (min, "below") if is_lower else (max, "above")
        rival = best(self.baselines, key=lambda name: self.baselines[name][self.headline].value)
        ours, theirs = self.metrics[self.headline], self.baselines[rival][self.headline]
        is_plain = self.task.kind == "tagging" and rival == baselines.MAJORITY
        name = f"{rival.replace('_', ' ')} baseline" + (" (one tag for every word)" if is_plain else "")
        is_claim = self.transfers and not is_plain
        if is_lower:
            ours, theirs = theirs, ours
        if ours.low > theirs.high:
            words = "better than without transfer" if is_claim else "better"
            return f"{words}: the interval lies wholly {ahead} that of the {name}"
        if ours.high < theirs.low:
            words = "no benefit from transfer here" if is_claim else "worse"
            return f"{words}: the interval of the {name} lies wholly {ahead} this model's"
        return f"no clear difference from the {name}: the intervals overlap"

    @property
    def paired(self) -> tuple[str, ...]:
        """Say by how much the headline is ahead of each baseline and of the oracle, but of none that answers alike."""
        return tuple(
            f"{standing(one)} {OF_TEXTS.get(name, name)} by {gap(one)}"
            for name, one in self.ahead.items()
            if not _is_same(one)
        )

    @property
    def ceiling_words(self) -> str:
        """Say what the best extract is, and of how many texts it is a ceiling; "" where nothing is summarized."""
        if not self.ceilings:
            return ""
        words = "the best extract by ROUGE-L is found by a search which sees the reference"
        if self.exact_ceilings == self.n:
            return f"{words}: no choice of sentences is better"
        return (
            f"{words}: of {self.exact_ceilings:,} of {self.n:,} texts it showed that no choice of sentences is better"
        )

    def _beside(self, rival: str) -> str:
        one, name = self.ahead[rival], OF_TEXTS.get(rival, rival)
        if one.low > 0:
            return f"better than {name}: ahead by {gap(one)}"
        if one.high < 0:
            return f"worse than {name}: behind by {gap(one)}"
        return f"no clear difference from {name}: {standing(one).split()[0]} by {gap(one)}"

    def __str__(self) -> str:
        return f"{self.headline} {self.metrics[self.headline]}"

    def as_dict(self) -> dict[str, Any]:
        """Return the evaluation as JSON holds it.

        A baseline carries its headline metric's value, low, high and n, and every metric by its name.
        """
        rivals = {name: {**found[self.headline].as_dict(), **_plain(found)} for name, found in self.baselines.items()}
        return {
            "headline": self.headline,
            "comparison": self.comparison,
            "metrics": _plain(self.metrics),
            "baselines": rivals,
            "ceilings": {name: _plain(found) for name, found in self.ceilings.items()},
            "ahead": {name: one.as_dict() for name, one in self.ahead.items()},
            "exact_ceilings": self.exact_ceilings,
            "per_class": self.per_class,
            "labels": list(self.task.labels),
            "confusion": self.confusion,
        }


@undisturbed()
def evaluate(
    model: Model,
    data: Dataset,
    *,
    train: Dataset | None = None,
    validation: Dataset | None = None,
    classical: Model | None = None,
    keep_seen: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """Measure a model on labelled examples.

    Args:
        model: what is measured.
        data: labelled examples; those the model was trained on are left out, and that is said.
        train: examples to train the classical baseline on.
        validation: what the classical baseline is chosen on; cross-validation inside `train` otherwise.
        classical: the classical baseline, where it is made already.
        keep_seen: measure on training examples too: only for a given split, which is never altered.
        progress: called with (phase, done, total).

    Raises:
        DataError: no example is left, or the targets do not fit the model.

    Example:
        >>> import headstart as hs
        >>> data = hs.read([("good film", "yes"), ("bad film", "no"), ("fine play", "yes"), ("dull", "no")])
        >>> model = hs.adapt(data, backbone="wordllama")
        >>> new = hs.read([("a good play", "yes"), ("a bad one", "no")])
        >>> hs.evaluate(model, new).n
        2
    """
    _require_one_target(model)
    _require_same_task(model, data)
    kept, findings = _kept(model, data, keep_seen)
    outputs = model.outputs(kept.inputs, contents=kept.contents, progress=progress)
    task = _with_strange_tags(model.task, kept)
    truth = task.encode(kept.values)
    units = np.unique(kept.groups, return_inverse=True)[1] if kept.groups is not None else None

    groups = len(kept) if units is None else int(units.max()) + 1
    if model.task.form == "number" and groups < 2:
        raise DataError(
            "a single unit cannot be measured: it has no spread.", expected="two or more examples or groups", got="1"
        )

    breaks = kept.breaks

    def measured(answers: np.ndarray) -> Measures:
        return metrics.measure(task, truth, _as_wide(task, answers), units, breaks=breaks)

    rivals = _rivals(model, kept, train, validation, classical)
    is_text = model.task.form == "text"
    best, exact = oracles(truth, outputs, *rivals.values()) if is_text else (truth, 0)
    beside = {**rivals, "oracle": best} if is_text else {}
    found = (*findings, *_few_units(groups, kept), *_unknown_labels(model.task, kept), *_untested(task, kept))
    return Evaluation(
        model.task,
        len(kept),
        measured(outputs),
        {name: measured(answers) for name, answers in rivals.items()},
        metrics.per_class(task, truth, _as_wide(task, outputs), units, breaks),
        metrics.confusion(model.task, truth, outputs),
        kept.told((*found, *(unrelated(kept) if is_text else ()))),
        {"oracle": measured(best)} if is_text else {},
        {name: _ahead(truth, outputs, one, units) for name, one in beside.items()},
        exact,
        getattr(KINDS.get(str(model.record.get("strategy"))), "transfers", True),
    )


def _with_strange_tags(task: Task, data: Dataset) -> Task:
    """Return a task of tags with those of some data added that were never learned: they mark entities all the same."""
    if task.kind != "tagging":
        return task
    return replace(task, labels=(*task.labels, *sorted(set(map(str, data.values)) - set(task.labels))))


def _as_wide(task: Task, outputs: np.ndarray) -> np.ndarray:
    """Return outputs (n, c) with a column for each tag that no answer has; others as they are."""
    if task.kind != "tagging":
        return outputs
    return np.pad(outputs, ((0, 0), (0, task.n_outputs - outputs.shape[1])))


def _is_same(ahead: Difference) -> bool:
    """Tell whether two do not differ on any example: a model that is a baseline stands beside itself."""
    return ahead.value == ahead.low == ahead.high == 0


def _ahead(truth: np.ndarray, outputs: np.ndarray, others: np.ndarray, units: np.ndarray | None) -> Difference:
    """Return by how much the ROUGE-L of answers is ahead of that of others."""
    own, theirs = (rouges(truth, one)[:, -1] for one in (outputs, others))
    return difference_of_means(own, theirs, units)


def _rivals(
    model: Model, test: Dataset, train: Dataset | None, validation: Dataset | None, made: Model | None
) -> dict[str, np.ndarray]:
    if model.task.form == "path":
        own = baselines.each_alone(test, model.task)
        if baselines.walk_of(test) == "random_walk":
            del own["seasonal_naive"]  # it is the same
        return own if made is None else own | {baselines.CLASSICAL: made.outputs(test.inputs, contents=test.contents)}
    if model.task.form == "text":
        return _summaries(model, test, train, validation, made)
    if train is None:
        shares = model.record.get("majority")
        if not shares:
            return {}
        constant = np.tile(np.array(shares), (len(test), 1))
        return {baselines.MAJORITY: constant[:, 0] if model.task.form == "number" else constant}
    learned = train if validation is None else train.joined_with(validation)
    if made is None:
        held = None if validation is None else np.arange(len(learned)) >= len(train)
        found = baselines.classical(learned, test, model.task, held=held, seed=int(model.record.get("seed", 0)))
    else:
        found = made.outputs(test.inputs, contents=test.contents)
    if model.task.words:
        return {baselines.LEXICON: baselines.lexicon(learned, test, model.task), baselines.CLASSICAL: found}
    return {baselines.MAJORITY: baselines.majority(learned, model.task, len(test)), baselines.CLASSICAL: found}


def _summaries(
    model: Model, test: Dataset, train: Dataset | None, validation: Dataset | None, made: Model | None
) -> dict[str, np.ndarray]:
    """Return what needs no source answers texts: their first sentences, the centroid's, and the classical model's."""
    if train is None:
        found = summarizing.led(model.record["lead"], test.inputs)
    else:
        learned = train if validation is None else train.joined_with(validation)
        found = summarizing.rivals(learned, test, model.task)
    return found if made is None else {**found, baselines.CLASSICAL: made.outputs(test.inputs)}


def _kept(model: Model, data: Dataset, keep_seen: bool) -> tuple[Dataset, tuple[Finding, ...]]:
    seen = np.isin(fingerprints(data.contents), np.union1d(model.seen, model.backbone.seen))
    if not seen.any():
        return data, ()
    text = f"{int(seen.sum()):,} of {len(data):,} examples were used to train this model, or one that it was made from"
    if keep_seen:
        return data, (
            Finding("seen_in_training", f"{text}; they are measured all the same: the numbers may be too good"),
        )
    if seen.all():
        raise DataError(
            f"all {len(data)} examples were used to train this model: measuring on them would prove nothing.",
            expected="examples the model has not seen",
            hint="hold some out: headstart fit does so by itself",
        )
    return data.take(~seen), (Finding("seen_in_training", f"{text} and are left out"),)


def _few_units(units: int, data: Dataset) -> tuple[Finding, ...]:
    if data.groups is None or units >= metrics.FEW_UNITS:
        return ()
    return (Finding("few_groups", f"only {count(units, 'group')} to measure on: the intervals are rough"),)


def _untested(task: Task, data: Dataset) -> tuple[Finding, ...]:
    if task.kind != "classification":
        return ()
    absent = sorted(set(task.labels) - {str(value) for value in data.values})
    if not absent:
        return ()
    text = f"{count(len(absent), 'class', 'classes')} without a test example: {some(absent)}"
    return (Finding("class_not_tested", text),)


def _unknown_labels(task: Task, data: Dataset) -> tuple[Finding, ...]:
    if task.form in ("number", "path", "text"):
        return ()
    sets = [set(value) if isinstance(value, tuple) else {str(value)} for value in data.values]
    unknown = [labels - set(task.labels) for labels in sets if labels - set(task.labels)]
    if not unknown:
        return ()
    names = some(sorted(set().union(*unknown)))
    effect = "counted as wrong" if task.form == "label" else "those labels are left out"
    text = f"{count(len(unknown), 'example')} with labels the model never saw ({names}): {effect}"
    return (Finding("unseen_labels", text),)


def _require_one_target(model: object) -> None:
    if not isinstance(model, Model):
        raise OptionError("this is no model of one target.", expected="a Model", hint="choose one with .only(target)")


def _require_same_task(model: Model, data: Dataset) -> None:
    if not isinstance(data, Dataset):
        raise DataError("this is not a data set.", expected="what hs.read returns", got=type(data).__name__)
    if data.modality != model.backbone.card.modality:
        raise DataError(f"the model reads {plural(model.backbone.card.modality)}.", got=plural(data.modality))
    if data.task.kind != model.task.kind:
        raise DataError(
            "the data's task is not the model's.",
            expected=f"{model.task.kind} of {model.task.target!r}",
            got=f"{data.task.kind} of {data.task.target!r}",
            hint=f"--target {model.task.target}",
        )
    if data.task.words != model.task.words:
        names = {"blanks": "tags, one a word", "pieces": "entities by their characters"}
        raise DataError(
            "the data marks entities in another way than what the model learned from.",
            expected=names[model.task.words],
            got=names[data.task.words],
        )
    if data.task.horizon != model.task.horizon:
        raise DataError(
            "the model forecasts another horizon.",
            expected=f"{model.task.horizon} steps",
            got=f"{data.task.horizon}",
            hint="leave out --horizon",
        )
    known = {label for value in data.values for label in (value if isinstance(value, tuple) else (value,))}
    if model.task.form not in ("number", "path", "text") and not known & set(model.task.labels):
        raise DataError(
            "none of the data's labels is one the model knows.",
            expected=", ".join(model.task.labels[:5]),
            got=", ".join(sorted(map(str, known))[:5]),
            hint="name the right column with --target",
        )


def _plain(measures: Measures) -> dict[str, dict[str, float | int]]:
    return {name: measure.as_dict() for name, measure in measures.items()}
