"""Contenders: sources read at a cut, and ways without transfer, by what a probe answers out of fold."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls
from scipy.special import softmax

from headstart import baselines, metrics
from headstart.backbones.backbone import Backbone
from headstart.backbones.card import Card
from headstart.backbones.sources import source_head
from headstart.checkpoints import Checkpoints
from headstart.data import Dataset, spread
from headstart.errors import BackboneError, DataError
from headstart.frozen.execution import EXACT, Execution
from headstart.frozen.trials import choose_execution
from headstart.ground import Ground, begin
from headstart.mistakes import errors_of
from headstart.progress import Progress
from headstart.ranking.scores import HALVES, OF_SOURCE, Score, score_with_interval
from headstart.ranking.standings import Standing, standings
from headstart.statistics import FEWER_RESAMPLES, Measure
from headstart.strategies import Classical, FromScratch, Probe
from headstart.strategies.probe import STRENGTHS, Fitted
from headstart.tasks import Task

RANDOM, WEIGHTED = "random weights", "weighted"
SCORED_ON = 5_000
"""Examples that transferability scores are taken on, at most."""

FOLDS = 5
FP32 = 4


@dataclass(frozen=True, eq=False)
class Contender:
    """One source read at one cut, or one way without transfer.

    Attributes:
        name: of the backbone, or "majority", "classical", "random weights".
        cut: where it is read: the number of frozen stages, "top", or "weighted" for all of them together; "" without
            a network.
        transfers: whether anything is carried over.
        measures: what its probe answered out of fold; name to measure.
        errors: (k,) on each training example that was held out once: 1 for a wrong label, or the quadratic error.
        units: (k,) the number of the unit (group, or copies) of each.
        scores: transferability scores by name; None where one does not apply.
        seconds: that a pass of all examples, nothing of them kept, and its probe take.
        memory: bytes of its weights and of the features of all examples, in fp32.
        given: the source as it was named.
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
    scores: dict[str, Score | None] = field(default_factory=dict)
    memory: int = 0
    given: str = ""
    card: Card | None = None
    standing: Standing | None = None

    @property
    def label(self) -> str:
        """What it is called, with its cut where it is not read at the top."""
        return called(self.name, self.cut)

    def as_dict(self) -> dict[str, Any]:
        """Return the contender as JSON holds it."""
        return {
            "name": self.name,
            "cut": self.cut,
            "transfers": self.transfers,
            **(self.standing.as_dict() if self.standing is not None else {}),
            "metrics": {name: one.as_dict() for name, one in self.measures.items()},
            "scores": {name: None if one is None else one.as_dict() for name, one in self.scores.items()},
            "seconds": round(self.seconds, 2),
            "memory": self.memory,
            "given": self.given,
            "card": None if self.card is None else self.card.as_dict(),
        }


def called(name: str, cut: int | str | None) -> str:
    """Return what a source is called, with its cut where it is not read at the top."""
    return f"{name}@{cut}" if isinstance(cut, int) else name


@dataclass(frozen=True, eq=False)
class Read:
    """A source, what its examples are there, and the probe on them."""

    contender: Contender
    ground: Ground
    fitted: Fitted
    cut: int | None = None


def begun(
    train: Dataset, source: str | Backbone, seed: int, progress: Progress, cuts: Sequence[int | None] = (None,)
) -> Ground:
    """Return the ground of one source, to be read at some cuts (None is the top), before anything is run.

    Raises:
        BackboneError, DataError, OptionError: there is no such source or cut, or it does not read such examples.
    """
    ground = begin(train, None, source, seed, Checkpoints(), progress)
    own = tuple(cut for cut in cuts if cut is not None)
    for cut in own:
        ground.backbone.replay.resolve(cut)
    return replace(ground, cuts=own)


def at_speed(ground: Ground, like: Execution | None = None) -> Ground:
    """Return the ground of one source, run in the way that is fastest, or in the way of another where that serves."""
    examples = ground.examples
    way = choose_execution(
        ground.backbone, examples.inputs, examples.contents, cuts=ground.cuts, like=like, progress=ground.progress
    )
    ground = replace(ground, execution=way)
    return ground if ground.is_faithful else replace(ground, execution=EXACT)


def read_at(
    ground: Ground,
    cuts: Sequence[int | None],
    scores: Sequence[str],
    *,
    halves: int = HALVES,
    strengths: tuple[float, ...] = STRENGTHS,
) -> list[Read]:
    """Return a source, read at some cuts of its ground, from one pass.

    What it cost is a pass of all examples, as was measured on a few, whatever of them is kept; and its probe.

    Args:
        ground: of the source, with these cuts.
        cuts: None is the top.
        scores: transferability scores to add.
        halves: of the examples that each score is taken on for its interval; 0 gives none.
        strengths: that a probe chooses from.
    """
    passing, card, found = _passing(ground), ground.backbone.card, []
    for cut in cuts:
        start = time.perf_counter()
        fitted = ground.probe(Probe(cut=cut, strengths=strengths))
        seconds = passing + time.perf_counter() - start
        place = "top" if cut is None else ground.backbone.replay.resolve(cut)
        contender = contended(ground, card.name, place, fitted, seconds, transfers=True)
        memory = FP32 * card.parameters + ground.features_at(cut).nbytes
        scored = _scored(ground, ground.features_at(cut), scores, card if cut is None else None, halves)
        found.append(Read(replace(contender, card=card, scores=scored, memory=memory), ground, fitted, cut))
    return found


def lightest(grounds: Sequence[Ground]) -> Ground:
    """Return the ground of the lightest network, by parameters times numbers of an input, of those with stages if any.

    It serves to ask what random weights give: that costs a pass.
    """

    def weight(ground: Ground) -> int:
        inputs = next(iter(ground.backbone.example_batch().values()))
        return ground.backbone.card.parameters * inputs[0].numel()

    return min([one for one in grounds if one.backbone.n_stages > 1] or list(grounds), key=weight)


def _passing(ground: Ground) -> float:
    """Read all examples, and return the seconds that this takes where nothing of them is kept, as far as is known."""
    start = time.perf_counter()
    ground.features_at(None)
    return len(ground.examples) * ground.execution.seconds or time.perf_counter() - start


def without_transfer(ground: Ground, scores: Sequence[str]) -> list[Contender]:
    """Return what needs no source: its network with random weights, classical features, the commonest answer."""
    random = replace(ground, backbone=FromScratch().begin(ground.backbone, ground.seed))
    passing, start = _passing(random), time.perf_counter()
    fitted = random.probe(Probe())
    spent = passing + time.perf_counter() - start
    blank = contended(random, RANDOM, "top", fitted, spent, transfers=False)
    blank = replace(blank, scores=_scored(random, random.features, scores))
    start = time.perf_counter()
    _, classical = baselines.fit_without(Classical(), ground.examples, ground.task, seed=ground.seed)
    spent = time.perf_counter() - start
    constant = replace(fitted, outputs=baselines.majority(ground.examples, ground.task, len(ground.examples)))
    return [
        blank,
        contended(ground, baselines.CLASSICAL, "", classical, spent, transfers=False),
        contended(ground, baselines.MAJORITY, "", constant, 0.0, transfers=False),
    ]


def at_every_cut(best: Read, scores: Sequence[str] = ()) -> tuple[tuple[Contender, ...], dict[str, float]]:
    """Return one source, read at every cut where its state can be read, the lowest first, and what each cut weighs.

    Of a network that can be read at the top alone that says nothing: it is left out. Below the top a probe's penalty is
    that of the cut above or the next freer one, as there are fewer dimensions below; never the freest, which takes the
    longest.

    They stand among each other. Last come all of them together, which stand beside them: the mean of what their probes
    answer out of fold, so weighted as answers the examples of other folds best, with no weight below 0 (stacked
    regressions: Breiman 1996).
    """
    ground, cuts = best.ground, readable_cuts(best.ground.backbone)
    if not cuts:
        return (), {}
    ground, seen, strengths = replace(ground, cuts=cuts), list[Read](), tuple(STRENGTHS)
    for cut in (None, *reversed(cuts)):
        seen[:0] = read_at(ground, [cut], scores, halves=0, strengths=strengths)
        place = min(STRENGTHS.index(seen[0].fitted.strength), len(STRENGTHS) - 3)
        strengths = STRENGTHS[place : place + 2]
    weights, mixed = _weighted(ground, [one.fitted for one in seen])
    spent = max(one.contender.seconds for one in seen)
    together = contended(ground, ground.backbone.name, WEIGHTED, mixed, spent, transfers=True)
    single = [one.contender for one in seen]
    together = replace(together, card=ground.backbone.card, memory=max(one.memory for one in single))
    found = (*standing(single), standing([*single, together])[-1])
    found = tuple(replace(one, given=best.contender.given) for one in found)
    return found, {str(one.cut): round(float(weight), 4) for one, weight in zip(single, weights, strict=True)}


def _weighted(ground: Ground, fitted: Sequence[Fitted]) -> tuple[np.ndarray, Fitted]:
    """Return the weights (k,) of some probes' answers, and what they answer together, by weights from other folds."""
    outputs = np.stack([one.outputs for one in fitted])
    seen = np.logical_and.reduce([one.seen for one in fitted])
    target = _as_outputs(ground.task, ground.truth, outputs.shape[1:])
    mixed = np.zeros(outputs.shape[1:])
    for held in ground.folds(FOLDS):
        others = seen & ~held
        places = others if others.any() else seen
        mixed[held] = np.tensordot(_stacked(outputs[:, places], target[places]), outputs[:, held], 1)
    return _stacked(outputs[:, seen], target[seen]), replace(fitted[-1], outputs=mixed, seen=seen)


def _stacked(outputs: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the weights (k,), none below 0 and 1 together, of outputs (k, n, …) that come nearest to a target (n, …).

    Only sums over examples are kept: (k, k) and (k,). Where they do not settle it, the best single one has all.
    """
    rows, wanted = outputs.reshape(len(outputs), -1), target.ravel()
    products = rows @ rows.T
    products[np.diag_indices_from(products)] += 1e-9 * max(float(np.trace(products)), 1e-12)
    lower = np.linalg.cholesky(products)
    try:
        found, _ = nnls(lower.T, np.linalg.solve(lower, rows @ wanted))
    except RuntimeError:
        found = np.zeros(len(rows))
    if not found.any():
        found = np.eye(len(rows))[int(((rows - wanted) ** 2).sum(1).argmin())]
    return np.asarray(found / found.sum())


def _as_outputs(task: Task, truth: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return what perfect outputs (n, c) or (n,) would be."""
    if task.form != "label":
        return truth.astype(np.float64)
    return np.asarray(truth[:, None] == np.arange(shape[1]), dtype=np.float64)


def readable_cuts(backbone: Backbone) -> tuple[int, ...]:
    """Return the cuts below the top at which a probe can read."""
    batch = backbone.example_batch()
    cuts = []
    for cut in range(1, backbone.n_stages):
        with contextlib.suppress(BackboneError), torch.no_grad():
            backbone.read_at(batch, cut)
            cuts.append(cut)
    return tuple(cuts)


def contended(
    ground: Ground, name: str, cut: int | str, fitted: Fitted, seconds: float, *, transfers: bool
) -> Contender:
    """Return a contender by what its probe answered out of fold.

    Raises:
        DataError: nothing was answered.
    """
    if not fitted.seen.any():
        raise DataError(
            "there are too few examples to compare sources on.",
            expected="two or more examples of a class",
            hint="add labelled examples",
        )
    truth, outputs, seen = ground.truth, fitted.outputs, fitted.seen
    units = ground.units[seen] if ground.units is not None else None
    breaks = ground.examples.breaks
    measures = metrics.measure(
        ground.task,
        truth[seen],
        outputs[seen],
        units,
        resamples=FEWER_RESAMPLES,
        breaks=None if breaks is None else breaks[seen],
    )
    errors = errors_of(ground.task, truth[seen], outputs[seen])
    return Contender(name, cut, transfers, measures, errors, ground.examples.units[seen], seconds)


def standing(contenders: Sequence[Contender]) -> list[Contender]:
    """Return contenders with their standings among each other."""
    found = standings(np.stack([one.errors for one in contenders]), contenders[0].units)
    return [replace(one, standing=own) for one, own in zip(contenders, found, strict=True)]


def rank_of(contender: Contender) -> int:
    """Return where a contender stands; 1 is the best."""
    assert contender.standing is not None
    return contender.standing.rank


def _scored(
    ground: Ground,
    features: np.ndarray,
    scores: Sequence[str],
    card: Card | None = None,
    halves: int = HALVES,
) -> dict[str, Score | None]:
    """Return scores of features, on a sample where there are very many examples.

    With a card they are those of a source's top, where its own head, if it is known, gives answers as well.
    """
    few = spread(len(features), SCORED_ON)
    masks = [own for mask in ground.folds(FOLDS) if (own := mask[few]).any() and not own.all()]
    head = source_head(card) if card is not None and set(scores) & set(OF_SOURCE) else None
    source = None if head is None else softmax(features[few] @ head[0].T + head[1], axis=1)
    units = ground.examples.units[few]
    return {
        name: score_with_interval(name, features[few], ground.truth[few], ground.task, masks, source, units, halves)
        for name in scores
    }
