"""Sources, ranked for several targets at once: one network is to serve all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headstart.backbones.backbone import Backbone
from headstart.data import TEST_SHARE, Dataset
from headstart.data.pooling import read_several
from headstart.devices import undisturbed
from headstart.errors import OptionError
from headstart.progress import Progress, silent
from headstart.ranking.contenders import Contender
from headstart.ranking.pools import Variant, named
from headstart.ranking.racing import race
from headstart.ranking.sources import Ranking, rank_sources, without_test
from headstart.wording import some

SCHEMA = "headstart.rank_several/1"
SMALLEST = 1e-12


@dataclass(frozen=True, eq=False)
class JointRanking:
    """How sources stand for several targets.

    Attributes:
        data: what the data set is called.
        rankings: by target, that of its own examples.
        weights: of the targets.
        errors: by source, the best first: the weighted mean over targets of the error of its probe out of fold, in
            units of what the commonest answer, or the mean, errs by.
        notes: what was decided, in words.
    """

    data: str
    rankings: dict[str, Ranking]
    weights: dict[str, float]
    errors: dict[str, float]
    notes: tuple[str, ...] = field(default=())

    @property
    def best(self) -> Backbone:
        """The source that serves all targets best."""
        return next(iter(self.rankings.values())).backbones[next(iter(self.errors))]

    @property
    def given(self) -> str:
        """What it was named as."""
        name, first = next(iter(self.errors)), next(iter(self.rankings.values()))
        return next(one.given for one in first.contenders if one.name == name)

    def as_dict(self) -> dict[str, Any]:
        """Return the ranking as `headstart rank --json` prints it; docs/json.md names every field."""
        return {
            "schema": SCHEMA,
            "data": self.data,
            "weights": self.weights,
            "errors": self.errors,
            "targets": {target: one.as_dict() for target, one in self.rankings.items()},
            "notes": list(self.notes),
        }


@undisturbed()
def rank_together(
    data: object,
    *,
    target: Sequence[str] | None = None,
    weights: Mapping[str, float] | None = None,
    backbones: str | Backbone | Sequence[str | Backbone] = "offline",
    input: str | Sequence[str] | None = None,
    group: str | None = None,
    test: float = TEST_SHARE,
    seed: int = 0,
    progress: Progress = silent,
) -> JointRanking:
    """Say which source serves several targets best, each by its weight.

    Args:
        data: as `read` takes it, or several data sets as `fit_together` takes them.
        input: the column or columns of the inputs; inferred when that is safe.
        group: the column of what must not be separated, such as a patient.
        target: the columns; "rating:regression" says what kind of target one is. Several data sets have their own.
        weights: of targets by name, above 0; 1 where it is not said.
        backbones: as `rank` takes them.
        test: the share that is held out, as `fit` holds it out; it is not looked at.
        seed: of the split and the folds.
        progress: called with (phase, done, total).

    Raises:
        DataError, OptionError, BackboneError, DependencyError: the question was wrong.
    """
    dataset = read_several(data, input=input, target=target, group=group, test=test, seed=seed, progress=progress)
    train, held = without_test(dataset, test, seed)
    return rank_targets(train, backbones, weights=weights, notes=(held,), seed=seed, progress=progress)


def rank_targets(
    train: Dataset,
    backbones: str | Backbone | Sequence[str | Backbone],
    *,
    weights: Mapping[str, float] | None = None,
    notes: tuple[str, ...] = (),
    seed: int = 0,
    progress: Progress = silent,
) -> JointRanking:
    """Rank sources on examples with several targets, of which nothing is held out any more; see `rank_together`."""
    own = _settled(weights or {}, [task.target for task in train.tasks])
    given, left_out = named(backbones, train.modality)
    rankings: dict[str, Ranking] = {}
    left, raced = _raced(train, given, seed, progress)
    for task in train.tasks:
        loaded = next(iter(rankings.values())).backbones.values() if rankings else None
        sources = left if loaded is None else list(loaded)
        rankings[task.target] = rank_sources(train.only(task), sources, is_raced=True, seed=seed, progress=progress)
    names = [one.name for one in next(iter(rankings.values())).contenders if one.transfers]
    total = sum(own.values())
    errors = {
        name: sum(own[target] * _beside_guessing(one, name) for target, one in rankings.items()) / total
        for name in names
    }
    ordered = dict(sorted(errors.items(), key=lambda one: one[1]))
    return JointRanking(train.name, rankings, own, ordered, (*notes, *left_out, *raced))


def _raced(
    train: Dataset, names: Sequence[str | Backbone], seed: int, progress: Progress
) -> tuple[list[str | Backbone], tuple[str, ...]]:
    """Return the sources that a race leaves for any of the targets, and say which it leaves out for all of them.

    Raises:
        OptionError: one is to be read at a cut.
    """
    variants = [Variant.of(name) for name in names]
    at_cut = next((str(one) for one in variants if one.cut is not None), None)
    if at_cut is not None:
        raise OptionError("several targets are served by a source as a whole.", got=at_cut, hint="leave out the @")
    kept = {
        one.source: None
        for task in train.tasks
        for one in race(train.only(task), variants, seed=seed, progress=progress)[0]
    }
    left_out = [str(one) for one in variants if one.source not in kept]
    words = (f"left out after a race, as other sources are better for every target: {some(left_out)}",)
    return [one.source for one in variants if one.source in kept], words if left_out else ()


def _settled(weights: Mapping[str, float], targets: Sequence[str]) -> dict[str, float]:
    for name, weight in weights.items():
        if name not in targets:
            raise OptionError(f"there is no target {name!r}.", expected=", ".join(targets), got=repr(name))
        if not (math.isfinite(weight) and weight > 0):
            raise OptionError(f"the weight of {name!r} is no weight.", expected="a number above 0", got=str(weight))
    return {target: float(weights.get(target, 1.0)) for target in targets}


def _beside_guessing(ranking: Ranking, name: str) -> float:
    """Return a source's mean error, in units of what the commonest answer errs by."""
    guessing = _mean_error(ranking.contenders, "majority")
    return _mean_error(ranking.contenders, name) / max(guessing, SMALLEST)


def _mean_error(contenders: Sequence[Contender], name: str) -> float:
    return float(np.mean(next(one.errors for one in contenders if one.name == name)))
