"""Racing: of many sources the hopeless are dropped on a few examples, so that fifty cost little more than five."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.special import ndtri

from headstart import __version__
from headstart.backbones.backbone import Backbone
from headstart.checkpoints import Checkpoints, digest_of
from headstart.data import Dataset, splits
from headstart.frozen.execution import EXACT
from headstart.frozen.passes import shelf_for
from headstart.frozen.trials import choose_execution
from headstart.ground import Ground, begin
from headstart.mistakes import errors_of
from headstart.progress import Progress, silent
from headstart.ranking.pools import Variant, by_source
from headstart.ranking.standings import Interval, as_interval, standings
from headstart.strategies import Probe
from headstart.wording import some

RACED = 10
"""Of more sources than these only those that a race leaves are read on all examples."""

FINAL = 5
"""Sources that a race leaves."""

FIRST, LARGEST = 1 / 16, 0.5
"""The share of the examples that a race begins with, which doubles, and that from which it ends."""

FEWEST, MOST = 60, 1_000
"""Examples of a first round, at least and at most."""

GOES_ON = 0.25
"""The share of the sources that goes on from a round, at most."""

HOPELESS = 0.01
"""How often, at most, one that is as good as the best may be taken for hopeless in a round."""

FEW_UNITS = 10
"""Below so many units nothing is hopeless: their spread is not known."""

TRIED = (0.01, 1.0)
"""Penalties that a probe chooses from in a race."""

OTHER_DRAW = 1_000_003
"""Added to the seed: what a split by the same seed holds out is not what a race would draw next."""

CLEARLY, NOT_BETTER, NO_TIME = "clearly behind", "not seen to be better", "no time left"


@dataclass(frozen=True)
class Dropped:
    """What was not read on all examples.

    Attributes:
        name: of the source, with its cut.
        n: examples it was seen on.
        behind: by how much its error was larger than the best one's, with the 95 % interval; None where there was no
            time to see it.
        why: "clearly behind", "not seen to be better" (there were others enough), or "no time left".
    """

    name: str
    n: int
    behind: Interval | None
    why: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        return {**asdict(self), "behind": as_interval(self.behind)}


def raced_in_words(dropped: Sequence[Dropped]) -> tuple[str, ...]:
    """Say what was not read on all examples, and why."""
    if not dropped:
        return ()
    words = [
        f"{why}: {some([one.name for one in dropped if one.why == why])}"
        for why in (CLEARLY, NOT_BETTER, NO_TIME)
        if any(one.why == why for one in dropped)
    ]
    seen = [f"{n:,}" for n in sorted({one.n for one in dropped}) if n]
    where = f"seen on {' and '.join(seen)} examples and " if seen else ""
    return (f"{where}left out, {'; '.join(words)}",)


@dataclass(frozen=True, eq=False)
class _Runner:
    """A variant on a sample: its errors there (k,), the unit (k,) of each, and the seconds a pass takes by example."""

    variant: Variant
    errors: np.ndarray
    units: np.ndarray
    seconds: float


def race(
    train: Dataset,
    variants: Sequence[Variant],
    *,
    budget: float | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[list[Variant], list[Dropped]]:
    """Return which sources are worth reading on all examples, and what was dropped.

    In every round all that are left are read on the same examples, twice as many as before. What is hopelessly behind
    the best is dropped (racing: Maron and Moore 1994); of the others the better quarter goes on (successive halving:
    Jamieson and Talwalkar 2016, with a steeper step), down to `FINAL`. A round that was run before is remembered.
    Up to `RACED` sources all are worth it; with a budget they are only timed.

    Args:
        train: examples nothing is held out of any more.
        variants: the sources.
        budget: seconds that reading on all examples may take; what stands highest comes first. None is no bound.
        seed: of the samples and the folds.
        progress: called with (phase, done, total).
    """
    left, dropped, is_race = list(variants), list[Dropped](), len(variants) > RACED
    share = min(MOST, max(FEWEST, FIRST * len(train))) / len(train)
    costs: dict[Variant, float] = {}
    while (is_race and len(left) > FINAL) or (budget is not None and not costs):
        sample = _sampled(train, min(share, LARGEST), seed)
        share *= 2
        if not _is_enough(sample):
            if share >= 1:
                break
            continue
        runners = _run(sample, left, seed, progress)
        costs |= {one.variant: one.seconds * len(train) for one in runners}
        is_last = share >= LARGEST
        most = FINAL if is_last else max(FINAL, int(GOES_ON * len(left)))
        left, gone = _better(runners, most if is_race else len(left), is_race=is_race)
        dropped += gone
        if is_last or not is_race:
            break
    if budget is not None and not costs:
        costs = _timed(train, left, seed, progress)
    kept = _affordable(left, costs, budget)
    n = max((one.n for one in dropped), default=0)
    dropped += [Dropped(str(one), n, None, NO_TIME) for one in left if one not in kept]
    return kept, dropped


def _timed(train: Dataset, variants: Sequence[Variant], seed: int, progress: Progress) -> dict[Variant, float]:
    """Return the seconds that a pass over all examples takes, where nothing can be learned from a sample of them."""
    costs: dict[Variant, float] = {}
    for source, cuts in by_source(variants).items():
        ground = begin(train, None, source, seed, Checkpoints(), silent)
        way = choose_execution(ground.backbone, train.inputs, train.contents, progress=progress)
        costs |= {Variant(source, cut): way.seconds * len(train) for cut in cuts}
    return costs


def _sampled(train: Dataset, share: float, seed: int) -> Dataset:
    """Return a share of the examples, units whole and classes even; a larger share holds the smaller one."""
    return train.take(splits.held_out(train.units, train.keys, train.strata, share, seed + OTHER_DRAW))


def _is_enough(sample: Dataset) -> bool:
    """Tell whether anything can be learned from a sample and seen of it: of two classes two units each."""
    pairs = set(zip(map(str, sample.strata), sample.units.tolist(), strict=True))
    counts = Counter(stratum for stratum, _ in pairs)
    return sum(number >= 2 for number in counts.values()) >= 2


def _run(sample: Dataset, variants: Sequence[Variant], seed: int, progress: Progress) -> list[_Runner]:
    """Read every variant on a sample; those of one source come from one pass."""
    cuts = by_source(variants)
    runners: dict[Variant, _Runner] = {}
    for done, (source, own) in enumerate(cuts.items(), start=1):
        runners |= {one.variant: one for one in _read(sample, source, own, seed)}
        progress(f"racing on {len(sample):,} examples", done, len(cuts))
    return [runners[one] for one in variants]


def _read(sample: Dataset, source: str | Backbone, cuts: Sequence[int | None], seed: int) -> list[_Runner]:
    """Return what the probes of one source answer out of fold, remembered from before or computed."""
    ground = begin(sample, None, source, seed, Checkpoints(), silent)
    memory = shelf_for(
        ground.backbone,
        replace(EXACT, cached=True),
        kind="race",
        of=digest_of(sample.contents, sample.values, sample.groups),
        cuts=[str(cut) for cut in cuts],
        settings=[seed, list(TRIED), ground.task.kind, list(sample.fold or ()), torch.get_num_threads()],
        headstart=__version__,
    )
    found = memory.recall()
    if not isinstance(found, dict):
        found = _raced(replace(ground, cuts=tuple(cut for cut in cuts if cut is not None)), cuts)
        memory.remember(found)
    units = ground.examples.units[np.array(found["seen"], dtype=np.int64)]
    return [
        _Runner(Variant(source, cut), np.array(errors), units, float(found["seconds"]))
        for cut, errors in zip(cuts, found["errors"], strict=True)
    ]


def _raced(ground: Ground, cuts: Sequence[int | None]) -> dict[str, Any]:
    """Return, as JSON holds them, where anything was seen, the errors there at each cut, and the seconds an example."""
    ground.features_of(ground.examples.take([0]), cuts)
    begun = time.perf_counter()
    fitted = [ground.probe(Probe(cut=cut, strengths=TRIED)) for cut in cuts]
    seconds = (time.perf_counter() - begun) / len(ground.examples)
    seen = np.logical_and.reduce([one.seen for one in fitted])
    if not seen.any():
        return {"seen": [], "errors": [[] for _ in cuts], "seconds": seconds}
    errors = [errors_of(ground.task, ground.truth[seen], one.outputs[seen]).tolist() for one in fitted]
    return {"seen": np.flatnonzero(seen).tolist(), "errors": errors, "seconds": seconds}


def _better(runners: Sequence[_Runner], most: int, *, is_race: bool) -> tuple[list[Variant], list[Dropped]]:
    """Return what goes on, the best first: what is not hopelessly behind, and of that the best so many."""
    errors, units = np.stack([one.errors for one in runners]), runners[0].units
    if not errors.shape[1]:
        return [one.variant for one in runners], []
    ranked = sorted(zip(standings(errors, units), runners, strict=True), key=lambda pair: pair[0].rank)
    bound = -float(ndtri(HOPELESS / len(runners)))
    is_told = is_race and len(np.unique(units)) >= FEW_UNITS
    going, dropped = list[Variant](), list[Dropped]()
    for standing, runner in ranked:
        is_hopeless = is_told and standing.behind > bound * standing.standard_error
        if len(going) < most and not is_hopeless:
            going.append(runner.variant)
            continue
        behind = (standing.behind, standing.behind_low, standing.behind_high)
        why = CLEARLY if is_hopeless else NOT_BETTER
        dropped.append(Dropped(str(runner.variant), errors.shape[1], behind, why))
    return going, dropped


def _affordable(variants: Sequence[Variant], costs: dict[Variant, float], budget: float | None) -> list[Variant]:
    """Return the first of some sources, as far as reading them stays within a budget; at least one.

    Each costs a pass, which serves all its cuts.
    """
    passes: dict[str | Backbone, float] = {}
    kept: list[Variant] = []
    for one in variants:
        passes.setdefault(one.source, costs.get(one, 0.0))
        if kept and budget is not None and sum(passes.values()) > budget:
            break
        kept.append(one)
    return kept
