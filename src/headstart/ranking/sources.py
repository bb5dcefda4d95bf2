"""Sources, ranked on a target before anything is trained: what a probe on each answers, beside what no transfer gives.

Test labels are never read.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from scipy.special import softmax

from headstart import baselines, metrics
from headstart.backbones.backbone import Backbone
from headstart.backbones.card import Card
from headstart.backbones.sources import source_head
from headstart.checkpoints import Checkpoints
from headstart.data import TEST_SHARE, Dataset, Finding, check, read, spread
from headstart.devices import undisturbed
from headstart.errors import BackboneError, DataError, OptionError
from headstart.frozen.execution import EXACT
from headstart.frozen.trials import choose_execution
from headstart.ground import Ground, begin, require_one_target
from headstart.progress import Progress, silent
from headstart.ranking.judgement import COMMERCIAL, Advice, Overlap, advise, class_overlap, licence_findings
from headstart.ranking.pools import named, require_names
from headstart.ranking.scores import NAMES, OF_SOURCE, score_of
from headstart.ranking.standings import Standing, standings
from headstart.statistics import FEWER_RESAMPLES, Measure
from headstart.strategies import Classical, FromScratch, Probe
from headstart.strategies.probe import Fitted
from headstart.tasks import Kind, Task

SCHEMA = "headstart.rank/1"
RANDOM = "random weights"
SCORED_ON = 5_000
"""Examples that transferability scores are taken on, at most."""

FOLDS = 5


@dataclass(frozen=True, eq=False)
class Contender:
    """One source read at one cut, or one way without transfer.

    Attributes:
        name: of the backbone, or "majority", "classical", "random weights".
        cut: where it is read: the number of frozen stages, or "top"; "" without a network.
        transfers: whether anything is carried over.
        measures: what its probe answered out of fold; name to measure.
        errors: (k,) on each training example that was held out once: 1 for a wrong label, or the quadratic error.
        units: (k,) the number of the unit (group, or copies) of each.
        scores: transferability scores by name; None where one does not apply.
        seconds: that its features and its probe took.
        card: of the backbone; None without one.
        standing: among all contenders.
    """

    name: str
    cut: int | str
    transfers: bool
    measures: dict[str, Measure]
    errors: np.ndarray
    units: np.ndarray
    seconds: float
    scores: dict[str, float | None] = field(default_factory=dict)
    card: Card | None = None
    standing: Standing | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the contender as JSON holds it."""
        return {
            "name": self.name,
            "cut": self.cut,
            "transfers": self.transfers,
            **(self.standing.as_dict() if self.standing is not None else {}),
            "metrics": {name: one.as_dict() for name, one in self.measures.items()},
            "scores": self.scores,
            "seconds": round(self.seconds, 2),
            "card": None if self.card is None else self.card.as_dict(),
        }


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
        cuts: the first source, read at every cut; the lowest cut first.
        advice: whether to transfer, with its reasons.
        overlap: what the best source may have seen of the target.
        notes: what was decided, in words.
        findings: what is wrong with the data.
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
    backbones: dict[str, Backbone] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.contenders[0].name}: {self.contenders[0].measures[self.headline]}; {self.advice}"

    @property
    def best(self) -> Contender:
        """The source that stands highest."""
        return next(one for one in self.contenders if one.transfers)

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
            **self.advice.as_dict(),
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
    test: float = TEST_SHARE,
    seed: int = 0,
    progress: Progress = silent,
) -> Ranking:
    """Say which source a target is served best by, where to read it, and whether transfer is worth it.

    Every source costs one pass over the training examples, which is kept: what is chosen afterwards begins at once.
    Sources are compared by what a linear probe answers to examples it was not fitted on, all on the same folds,
    beside the same network with random weights, a linear model on classical features, and the commonest answer.

    Args:
        data, input, target, group, task: as `read` takes them.
        backbones: names as `load_backbone` takes them, or loaded ones; "offline" is every one that is installed and
            reads what the data holds, "all" these and the models made here in the working folder; a text file stands
            for the names in its lines.
        use: "commercial" says which licences forbid that, or are not stated.
        scores: transferability scores to add: names in `headstart.ranking.scores.NAMES`.
        every_cut: read the best source at every cut as well.
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
    dataset = read(data, input=input, target=target, group=group, task=task, progress=progress)
    require_one_target(dataset)
    train, held = without_test(dataset, test, seed)
    found = rank_sources(train, backbones, scores=scores, every_cut=every_cut, seed=seed, progress=progress)
    cards = [one.card for one in found.contenders if one.card is not None]
    licences = [one for card in cards for one in licence_findings(card)] if use == COMMERCIAL else []
    return replace(found, notes=(held, *found.notes), findings=(*check(dataset), *licences))


@undisturbed()
def rank_sources(
    train: Dataset,
    backbones: str | Backbone | Sequence[str | Backbone],
    *,
    scores: Sequence[str] = (),
    every_cut: bool = False,
    seed: int = 0,
    progress: Progress = silent,
) -> Ranking:
    """Rank sources on examples that have been read, and of which nothing is held out any more; see `rank`."""
    names, left_out = named(backbones, train.modality)
    grounds = [_ground(train, name, seed, progress) for name in names]
    require_names([ground.backbone.name for ground in grounds])
    seen = [_read_at_top(ground, scores) for ground in grounds]
    first = seen[0].ground
    rivals = _without_transfer(first, scores)
    ordered = sorted(_standing([*(one.contender for one in seen), *rivals]), key=_rank_of)
    best, rival = (next(one for one in ordered if one.transfers is wanted) for wanted in (True, False))
    winner = next(one.ground for one in seen if one.contender.name == best.name)
    overlap = class_overlap(winner.backbone.card, winner.task)
    headline = metrics.HEADLINE[winner.task.kind]
    return Ranking(
        train.name,
        winner.task.target,
        winner.task.kind,
        len(winner.examples),
        len(np.unique(winner.examples.units)),
        headline if headline in best.measures else next(iter(best.measures)),
        tuple(ordered),
        _at_every_cut(winner, scores) if every_cut else (),
        advise(
            best.errors,
            rival.errors,
            best.units,
            source=best.name,
            without=rival.name,
            metric="accuracy" if winner.task.kind == "classification" else "the squared error",
            overlap=overlap,
        ),
        overlap,
        left_out,
        (),
        {one.contender.name: one.ground.backbone for one in seen},
    )


def without_test(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, str]:
    """Return what may be looked at, and say so: not what `fit` would hold out with the same share and seed."""
    if dataset.given is not None:
        learned = dataset.take([place for place, part in enumerate(dataset.given) if part != "test"])
        return replace(learned, given=None), "the test part is not looked at"
    train, _ = dataset.split(test=share, seed=seed)
    return train, f"what fit holds out as the test set (seed {seed}) is not looked at"


@dataclass(frozen=True, eq=False)
class _Seen:
    """A source, and what its examples are there."""

    contender: Contender
    ground: Ground


def _ground(train: Dataset, source: str | Backbone, seed: int, progress: Progress) -> Ground:
    """Return the ground of one source, run in the way that is fastest here."""
    ground = begin(train, None, source, seed, Checkpoints(), progress)
    examples = ground.examples
    way = choose_execution(ground.backbone, examples.inputs, examples.contents, progress=progress)
    ground = replace(ground, execution=way)
    return ground if ground.is_faithful else replace(ground, execution=EXACT)


def _read_at_top(ground: Ground, scores: Sequence[str]) -> _Seen:
    begun = time.perf_counter()
    fitted = ground.probe(Probe())
    seconds = time.perf_counter() - begun
    card = ground.backbone.card
    contender = _contender(ground, card.name, "top", fitted, seconds, transfers=True)
    return _Seen(replace(contender, card=card, scores=_scored(ground, ground.features, scores, card)), ground)


def _without_transfer(ground: Ground, scores: Sequence[str]) -> list[Contender]:
    """Return what needs no source: the same network with random weights, classical features, the commonest answer."""
    begun = time.perf_counter()
    random = replace(ground, backbone=FromScratch().begin(ground.backbone, ground.seed))
    fitted = random.probe(Probe())
    spent = time.perf_counter() - begun
    blank = _contender(random, RANDOM, "top", fitted, spent, transfers=False)
    blank = replace(blank, scores=_scored(random, random.features, scores))
    begun = time.perf_counter()
    _, classical = baselines.fit_without(Classical(), ground.examples, ground.task, seed=ground.seed)
    spent = time.perf_counter() - begun
    constant = replace(fitted, outputs=baselines.majority(ground.examples, ground.task, len(ground.examples)))
    return [
        blank,
        _contender(ground, baselines.CLASSICAL, "", classical, spent, transfers=False),
        _contender(ground, baselines.MAJORITY, "", constant, 0.0, transfers=False),
    ]


def _at_every_cut(ground: Ground, scores: Sequence[str]) -> tuple[Contender, ...]:
    """Return one source, read at every cut where its state can be read, the lowest first; from one pass."""
    cuts = readable_cuts(ground.backbone)
    everywhere = replace(ground, cuts=cuts)
    found = []
    for cut in (*cuts, None):
        begun = time.perf_counter()
        fitted = everywhere.probe(Probe(cut=cut))
        spent = time.perf_counter() - begun
        own = _contender(ground, ground.backbone.name, "top" if cut is None else cut, fitted, spent, transfers=True)
        found.append(replace(own, scores=_scored(ground, everywhere.features_at(cut), scores)))
    return tuple(_standing(found))


def readable_cuts(backbone: Backbone) -> tuple[int, ...]:
    """Return the cuts below the top at which a probe can read."""
    batch = backbone.example_batch()
    cuts = []
    for cut in range(1, backbone.n_stages):
        with contextlib.suppress(BackboneError), torch.no_grad():
            backbone.read_at(batch, cut)
            cuts.append(cut)
    return tuple(cuts)


def _contender(
    ground: Ground, name: str, cut: int | str, fitted: Fitted, seconds: float, *, transfers: bool
) -> Contender:
    if not fitted.seen.any():
        raise DataError(
            "there are too few examples to compare sources on.",
            expected="two or more examples of a class",
            hint="add labelled examples",
        )
    truth, outputs, seen = ground.truth, fitted.outputs, fitted.seen
    units = ground.units[seen] if ground.units is not None else None
    measures = metrics.measure(ground.task, truth[seen], outputs[seen], units, resamples=FEWER_RESAMPLES)
    errors = _errors(ground.task, truth[seen], outputs[seen])
    return Contender(name, cut, transfers, measures, errors, ground.examples.units[seen], seconds)


def _errors(task: Task, truth: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return 1 for each wrong label; where there are no single labels, the quadratic error."""
    if task.kind == "classification":
        return np.asarray(task.decide(outputs) != truth, dtype=np.float64)
    return metrics.quadratic_errors(task, truth, outputs)


def _standing(contenders: Sequence[Contender]) -> list[Contender]:
    """Return contenders with their standings among each other."""
    found = standings(np.stack([one.errors for one in contenders]), contenders[0].units)
    return [replace(one, standing=standing) for one, standing in zip(contenders, found, strict=True)]


def _rank_of(contender: Contender) -> int:
    assert contender.standing is not None
    return contender.standing.rank


def _scored(
    ground: Ground, features: np.ndarray, scores: Sequence[str], card: Card | None = None
) -> dict[str, float | None]:
    """Return scores of features, on a sample where there are very many examples.

    With a card they are those of a source's top, where its own head, if it is known, gives answers as well.
    """
    few = spread(len(features), SCORED_ON)
    masks = [mask[few] for mask in ground.folds(FOLDS)]
    head = source_head(card) if card is not None and set(scores) & set(OF_SOURCE) else None
    source = None if head is None else softmax(features[few] @ head[0].T + head[1], axis=1)
    return {name: score_of(name, features[few], ground.truth[few], ground.task, masks, source) for name in scores}
