"""Sources, ranked on a target before anything is trained: what a probe on each answers, beside what no transfer gives.

Test labels are never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from headstart import metrics, plots
from headstart.backbones.backbone import Backbone
from headstart.data import TEST_SHARE, Dataset, Finding, check, read, splits
from headstart.data.inputs import inputs_like
from headstart.devices import undisturbed
from headstart.errors import OptionError
from headstart.ground import require_one_target
from headstart.progress import Progress, silent
from headstart.ranking.contenders import (
    WEIGHTED,
    Contender,
    Read,
    at_every_cut,
    at_speed,
    begun,
    called,
    lightest,
    rank_of,
    read_at,
    standing,
    without_transfer,
)
from headstart.ranking.judgement import COMMERCIAL, Advice, Overlap, advise, licence_findings, overlap_of
from headstart.ranking.outlook import Outlook, outlook
from headstart.ranking.pools import Variant, by_source, named, require_names
from headstart.ranking.racing import Dropped, race, raced_in_words
from headstart.ranking.scores import NAMES
from headstart.ranking.standings import gain_over, optimism
from headstart.tasks import Kind
from headstart.telling import TITLES
from headstart.wording import count

SCHEMA = "headstart.rank/2"

JUDGED = metrics.HEADLINE | {"multilabel": "brier_score"}
"""By kind of task the metric that is shown: it orders sources as their errors do."""

ERRORS = {"label": "accuracy", "labels": "the Brier score", "number": "the squared error"}


@dataclass(frozen=True, eq=False)
class Ranking:
    """What was found on a target.

    Attributes:
        data: what the data set is called.
        target: the target column.
        kind: of the task.
        n: training examples it was found on.
        units: groups among them, or examples.
        headline: the metric that is shown.
        contenders: the best first.
        cuts: the best source, read at every cut, the lowest first, and all of them together, weighted.
        advice: whether to transfer, with its reasons.
        overlap: what the best source may have seen of the target.
        notes: what was decided, in words.
        findings: what is wrong with the data.
        outlook: what the test set will show with the best source.
        weights: what each cut weighs where all are read together; empty where only the top was read.
        dropped: what a race left behind.
        backbones: the sources by name, loaded.
    """

    data: str
    target: str
    kind: str
    n: int
    units: int
    headline: str
    contenders: tuple[Contender, ...]
    cuts: tuple[Contender, ...]
    advice: Advice
    overlap: Overlap
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]
    outlook: Outlook
    weights: dict[str, float] = field(default_factory=dict)
    dropped: tuple[Dropped, ...] = ()
    backbones: dict[str, Backbone] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.contenders[0].name}: {self.contenders[0].measures[self.headline]}; {self.advice}"

    @property
    def best(self) -> Contender:
        """The source that stands highest."""
        return next(one for one in self.contenders if one.transfers)

    @property
    def given(self) -> str:
        """What it was named as."""
        return self.best.given

    @property
    def best_cut(self) -> int | str | None:
        """Where the best source is read best; None where only the top was read."""
        single = [one for one in self.cuts if one.cut != WEIGHTED]
        return min(single, key=rank_of).cut if single else None

    @property
    def deepest_cut(self) -> int | str | None:
        """The highest cut that a probe reads as well, as far as can be told, as the best one."""
        level = [one.cut for one in self.cuts if one.cut != WEIGHTED and one.standing is not None and one.standing.ties]
        return level[-1] if level else None

    @property
    def drawing(self) -> str:
        """How contenders stand against what they cost, as SVG."""
        rows = [
            (one.label, one.seconds, one.measures[self.headline], one.standing.ties, one.transfers)
            for one in self.contenders
            if one.standing is not None and self.headline in one.measures
        ]
        return plots.standings(rows, TITLES.get(self.headline, self.headline))

    def as_dict(self) -> dict[str, Any]:
        """Return the ranking as `headstart rank --json` prints it; docs/json.md names every field."""
        return {
            "schema": SCHEMA,
            "data": self.data,
            "task": self.kind,
            "target": self.target,
            "n": self.n,
            "units": self.units,
            "headline": self.headline,
            "contenders": [one.as_dict() for one in self.contenders],
            "cuts": [one.as_dict() for one in self.cuts],
            "best_cut": self.best_cut,
            "deepest_cut": self.deepest_cut,
            "weights": self.weights,
            "dropped": [one.as_dict() for one in self.dropped],
            **self.advice.as_dict(),
            "outlook": self.outlook.as_dict(),
            "overlap": self.overlap.as_dict(),
            "notes": list(self.notes),
            "warnings": [{"code": finding.code, "text": finding.text} for finding in self.findings],
        }


@undisturbed()
def rank(
    data: object,
    *,
    backbones: str | Backbone | Sequence[str | Backbone] = "offline",
    input: str | Sequence[str] | None = None,
    target: str | Sequence[Any] | None = None,
    group: str | None = None,
    task: Kind | None = None,
    scores: Sequence[str] = ("logme",),
    use: str | None = None,
    every_cut: bool = True,
    source_data: object = None,
    budget: float | None = None,
    test: float = TEST_SHARE,
    seed: int = 0,
    progress: Progress = silent,
) -> Ranking:
    """Say which source a target is served best by, where to read it, and whether transfer is worth it.

    Every source costs one pass over the training examples, which is kept: what is chosen afterwards begins at once.
    Sources are compared by what a linear probe answers to examples it was not fitted on, all on the same folds,
    beside the lightest of their networks with random weights, a linear model on classical features, and the commonest
    answer.

    Args:
        data, input, target, group, task: as `read` takes them.
        backbones: names as `load_backbone` takes them, or loaded ones; "offline" is every one that is installed and
            reads what the data holds, "all" these and the models made here in the working folder; a text file stands
            for the names in its lines; NAME@CUT is read at a cut, and NAME/160px reads smaller pictures. More than
            ten are raced: on a few examples first, so that the hopeless cost little.
        use: "commercial" says which licences forbid that, or are not stated.
        scores: transferability scores to add: names in `headstart.ranking.scores.NAMES`.
        every_cut: read the best source at every cut as well.
        source_data: what the sources learned from, where it is at hand: files, folders, tables, texts or pictures, or
            what `read` returns. What the target has nearly in common with it is said.
        budget: seconds that reading sources on all examples may take, above 0; the best of a race come first.
        test: the share that is held out, as `fit` holds it out; it is not looked at.
        seed: of the split and the folds.
        progress: called with (phase, done, total).

    Raises:
        DataError, OptionError, BackboneError, DependencyError: the question was wrong.

    Example:
        >>> import headstart as hs
        >>> rows = [(f"{word} film {n}", word) for word in ("good", "bad") for n in "one two three four five".split()]
        >>> [one.name for one in hs.rank(rows, backbones=["wordllama"]).contenders if one.transfers]
        ['wordllama']
    """
    unknown = sorted(set(scores) - set(NAMES))
    if unknown:
        raise OptionError("there is no such score.", expected=", ".join(NAMES), got=", ".join(unknown))
    if use not in (None, COMMERCIAL):
        raise OptionError("the use is unknown.", expected=COMMERCIAL, got=repr(use))
    if budget is not None and not budget > 0:
        raise OptionError("the budget is out of range.", expected="seconds above 0", got=repr(budget))
    dataset = read(data, input=input, target=target, group=group, task=task, progress=progress)
    require_one_target(dataset)
    train, held = without_test(dataset, test, seed)
    taught, unread = ((), 0) if source_data is None else inputs_like(source_data, train.modality, dataset.columns)
    if unread:
        held += f"; {count(unread, 'example')} of the sources' data cannot be read"
    found = rank_sources(
        train,
        backbones,
        scores=scores,
        every_cut=every_cut,
        taught=taught,
        budget=budget,
        tested=len(dataset) - len(train),
        seed=seed,
        progress=progress,
    )
    cards = [one.card for one in found.contenders if one.card is not None]
    licences = [one for card in cards for one in licence_findings(card)] if use == COMMERCIAL else []
    return replace(found, notes=tuple(map(dataset.called, (held, *found.notes))), findings=(*check(dataset), *licences))


@undisturbed()
def rank_sources(
    train: Dataset,
    backbones: str | Backbone | Sequence[str | Backbone],
    *,
    scores: Sequence[str] = (),
    every_cut: bool = False,
    taught: Sequence[Any] = (),
    budget: float | None = None,
    is_raced: bool = False,
    tested: int = 0,
    seed: int = 0,
    progress: Progress = silent,
) -> Ranking:
    """Rank sources on examples that have been read, and of which nothing is held out any more; see `rank`.

    Args:
        train, backbones, scores, every_cut, budget, seed, progress: as `rank` takes them.
        taught: what the sources learned from, where it is at hand.
        is_raced: whether a race was run before: all of them are read.
        tested: test examples that the outlook is for; 0 where it is not known how many.
    """
    if train.task.form in ("path", "text"):
        raise OptionError(
            f"sources are not ranked for {train.task.kind} yet.",
            expected="one --backbone, or none for the default",
            hint="headstart compare holds strategies on one source against each other",
        )
    seed = splits.require_seed(seed)
    given, left_out = named(backbones, train.modality)
    variants, dropped = [Variant.of(one) for one in given], list[Dropped]()
    if not is_raced:
        variants, dropped = race(train, variants, budget=budget, seed=seed, progress=progress)
    seen = _read(train, variants, scores, seed, progress)
    rivals = without_transfer(lightest([one.ground for one in seen]), scores)
    ordered = sorted(standing([*(one.contender for one in seen), *rivals]), key=rank_of)
    best, rival = (next(one for one in ordered if one.transfers is wanted) for wanted in (True, False))
    winner = next(one for one in seen if one.contender.label == best.label)
    ground, (cuts, weights) = winner.ground, at_every_cut(winner, scores) if every_cut else ((), {})
    overlap = overlap_of(ground.backbone, ground.examples, ground.task, taught)
    headline, own = JUDGED[ground.task.kind], np.stack([one.contender.errors for one in seen])
    return Ranking(
        train.name,
        ground.task.target,
        ground.task.kind,
        len(ground.examples),
        len(np.unique(ground.examples.units)),
        headline if headline in best.measures else next(iter(best.measures)),
        tuple(ordered),
        cuts,
        advise(
            gain_over(np.stack([one.errors for one in ordered]), best.units, ordered.index(best), ordered.index(rival)),
            len(np.unique(best.units)),
            source=best.label,
            without=rival.name,
            metric=ERRORS[ground.task.form],
            overlap=overlap,
        ),
        overlap,
        (*left_out, *raced_in_words(dropped)),
        (),
        outlook(ground, winner.fitted, best.errors, winner.cut, tested, optimism(own, best.units)),
        weights,
        tuple(dropped),
        {one.contender.name: one.ground.backbone for one in seen},
    )


def _read(
    train: Dataset, variants: Sequence[Variant], scores: Sequence[str], seed: int, progress: Progress
) -> list[Read]:
    """Read all sources, once it is known that there are such sources and cuts."""
    cuts = by_source(variants)
    grounds = {source: begun(train, source, seed, progress, own) for source, own in cuts.items()}
    require_names(
        [
            called(ground.backbone.card.name, None if cut is None else ground.backbone.replay.resolve(cut))
            for source, ground in grounds.items()
            for cut in cuts[source]
        ]
    )
    seen, like = list[Read](), None
    for source, slow in grounds.items():
        ground = at_speed(slow, like)
        like, given = ground.execution, source if isinstance(source, str) else source.name
        for one in read_at(ground, cuts[source], scores):
            seen.append(replace(one, contender=replace(one.contender, given=given)))
    return seen


def without_test(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, str]:
    """Return what may be looked at, and say so: not what `fit` would hold out with the same share and seed."""
    if dataset.given is not None:
        learned = dataset.take([place for place, part in enumerate(dataset.given) if part != "test"])
        return replace(learned, given=None), "the test part is not looked at"
    train, _ = dataset.split(test=share, seed=seed)
    return train, f"what fit holds out as the test set (seed {seed}) is not looked at"
