"""The plan: everything that is measured on the machine, or settled before the first result, so that it can be replayed.

The same plan, versions and machine give the same bits, whatever ran before.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch

from headstart.backbones.backbone import Backbone
from headstart.backbones.forecasters import forecasts_for
from headstart.backbones.sources import source_head
from headstart.devices import Precision, choose_device, choose_precision
from headstart.errors import OptionError
from headstart.frozen.execution import Execution
from headstart.frozen.states import COPY_SPEED, FP32, Storage, bytes_at, bytes_kept, rounding_error, seconds_below
from headstart.strategies import (
    HEAD_ONLY,
    HELD_BACK,
    Classical,
    FineTune,
    FromScratch,
    Learning,
    Majority,
    Probe,
    Strategy,
    ZeroShot,
    as_fields,
    below,
    from_fields,
)
from headstart.tasks import Task
from headstart.wording import seconds_in_words, user_path

SCHEMA = "headstart.plan/2"
BUDGET = 600.0
"""Seconds that considering strategies and learning the chosen one may take, where nothing is said."""

FOLDS = 3
MORE_FOLDS = 5
FEW = 200
"""Up to this many examples there are more folds: each leaves too little to learn from otherwise."""

FEWEST = 40
"""Below this many examples fine-tuning is not considered: nothing could be seen of it."""

SHORTER = 0.8
"""The share of a step in fp32 that one in another precision may take to be worth its rounding."""

WORTH = 1.0
"""Seconds that a training must become shorter by for less than fp32 to be used."""

VIEWS = 6
"""Views of each picture that the network from scratch learns from where nothing was asked for: to decode each anew in
every epoch takes most of its time."""

DEAREST = 2.8
"""Times the most expensive fine-tuning that all that is considered may take together."""

ANSWERING = 1 / 3
"""What answering takes beside learning: of a step's forward and backward passes, two of three parts are backward."""

MEMORY_SHARE = 0.3
UNKNOWN_MEMORY = 4e9


@dataclass(frozen=True)
class Plan:
    """What is done, on what, how.

    Attributes:
        strategies: those considered, the simplest first.
        folds: of the cross-validation that compares them.
        precision: of learning: "fp32" or "bf16".
        execution: how frozen stages are run.
        threads: that sums are split over.
        storage: how what lies below each strategy's cut is kept: "whole", "bf16", "int8" or "none".
        seconds: forecast for each strategy, its comparison and its learning; 0 for a probe.
        features: forecast for the features that the cache lacks, in seconds; 0 where it is not measured.
        memory: forecast of what is kept of the examples, in bytes.
        left_out: what was not considered or not kept, and why, in words.
        machine: where the plan was made.
    """

    strategies: tuple[Strategy, ...]
    folds: int
    precision: Precision
    execution: Execution
    threads: int
    storage: tuple[Storage, ...]
    seconds: tuple[float, ...]
    features: float = 0.0
    memory: int = 0
    left_out: tuple[str, ...] = ()
    machine: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON holds it."""
        return {"schema": SCHEMA, **asdict(self), "strategies": [as_fields(strategy) for strategy in self.strategies]}

    def with_strategies(self, strategies: Sequence[Strategy]) -> Plan:
        """Return the plan for other strategies: of one it does not know no seconds are forecast."""
        known = dict(zip(self.strategies, zip(self.storage, self.seconds, strict=True), strict=True))
        usual: tuple[Storage, float] = (self.storage[-1] if self.storage else "whole", 0.0)
        storage, seconds = zip(*(known.get(one, usual) for one in strategies), strict=True)
        return replace(self, strategies=tuple(strategies), storage=storage, seconds=seconds, left_out=())

    def kept_at(self, backbone: Backbone) -> tuple[int, Storage] | None:
        """Return the cut whose states the pass of features can keep as well, and how; None where there is none.

        It is where the first strategy learns that learns above a cut of the source, in the features' own precision.
        """
        if self.precision != self.execution.precision or not self.execution.cached:
            return None
        for strategy, storage in zip(self.strategies, self.storage, strict=True):
            if isinstance(strategy, HEAD_ONLY) or not strategy.cuts_source or strategy.augment != "none":
                continue
            cut = strategy.cuts(backbone)[-1]
            if 0 < cut < backbone.n_stages and storage != "none":
                return cut, storage
        return None

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Plan:
        """Return the plan that `as_dict` wrote.

        Raises:
            OptionError: it is no plan.
        """
        try:
            if fields["schema"] != SCHEMA:
                raise OptionError("the plan is of another format.", expected=SCHEMA, got=str(fields["schema"]))
            known = {name: fields[name] for name in cls.__dataclass_fields__}
            strategies = tuple(from_fields(one) for one in known.pop("strategies"))
            known["execution"] = Execution(**known["execution"])
            rest: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value for name, value in known.items()
            }
            return cls(strategies, **rest)
        except (KeyError, TypeError, ValueError) as error:
            raise OptionError("this is not a plan.", expected="what a model's manifest holds", got=str(error)) from None


Pilot: TypeAlias = Callable[[Learning, Storage, Precision], float]
"""From a strategy, how its states are kept and a precision to the seconds a step takes."""


def read_plan(path: str | Path) -> Plan:
    """Return the plan in a file, or in a saved model.

    Raises:
        OptionError: there is none.
    """
    file = user_path(path)
    file = file / "manifest.json" if file.is_dir() else file
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        return Plan.from_dict((fields.get("models") or [{}])[0].get("record", {}).get("plan", fields))
    except (OSError, ValueError, AttributeError) as error:
        if isinstance(error, OptionError):
            raise
        raise OptionError(f"{path} holds no plan.", expected="a plan, or a saved model with one") from None


def make_plan(
    backbone: Backbone,
    n: int,
    strategies: Sequence[Strategy],
    execution: Execution,
    *,
    lacking: int,
    held: float | None = None,
    budget: float = BUDGET,
    are_asked: bool = True,
    pilot: Pilot,
) -> Plan:
    """Decide what is considered, and how it runs on this machine.

    Args:
        backbone: the source.
        n: examples to learn from.
        strategies: to consider, the simplest first.
        execution: how frozen stages are run.
        lacking: examples whose features the cache has not.
        held: the share of the examples that is the validation set; None compares by cross-validation.
        budget: seconds for all of it, above 0.
        are_asked: whether they were asked for, and are run whatever time it takes.
        pilot: called with a strategy, how its states are kept and a precision, returns the seconds a step takes.

    Raises:
        OptionError: the budget is not above 0.
    """
    if not budget > 0:
        raise OptionError("the budget is out of range.", expected="seconds above 0", got=repr(budget))
    folds = MORE_FOLDS if n <= FEW else FOLDS
    device = choose_device()
    learning = sorted((one for one in strategies if not isinstance(one, HEAD_ONLY)), key=lambda one: not one.transfers)
    precision = _precision(learning[0], backbone, n, choose_precision(device), pilot) if learning else "fp32"
    trainings, answered = _work(len(strategies), folds, held)
    offers = []
    for strategy in strategies:
        if isinstance(strategy, HEAD_ONLY):
            offers.append(_Offer(strategy))
            continue
        network, cuts = below(strategy, backbone), strategy.cuts(backbone)
        kept, why = storage_for(network, cuts, n, precision)
        cost = _forecast(strategy, backbone, n, pilot(strategy, kept, precision), trainings, answered)
        memory = 0 if kept == "none" else int(n * bytes_kept(network, cuts, precision, kept))
        offers.append(_Offer(strategy, kept, cost, memory, why))
    rest = max(budget - lacking * execution.seconds, 0.0)
    taken, left_out = (offers, []) if are_asked else _within(offers, rest, backbone)
    return Plan(
        tuple(offer.strategy for offer in taken),
        folds,
        precision,
        execution,
        torch.get_num_threads(),
        tuple(offer.storage for offer in taken),
        tuple(round(offer.seconds, 1) for offer in taken),
        round(lacking * execution.seconds, 1),
        n * backbone.card.dimensions * FP32 + sum(offer.memory for offer in taken),
        (*left_out, *(offer.why for offer in taken if offer.why)),
        f"{device.type}, {platform.machine()}, torch {torch.__version__}",
    )


@dataclass(frozen=True)
class _Offer:
    """A strategy that might be considered: how its states are kept, the seconds and bytes it takes, why it is so."""

    strategy: Strategy
    storage: Storage = "whole"
    seconds: float = 0.0
    memory: int = 0
    why: str = ""


def _within(offers: list[_Offer], rest: float, backbone: Backbone) -> tuple[list[_Offer], list[str]]:
    """Return what the budget allows, still the simplest first, and what it does not, in words.

    Fine-tuning as it is by default comes first, then what it is held against, then other cuts.
    All of it together takes no longer than a few times what learning every stage takes.
    """
    bound = max((DEAREST * one.seconds for one in offers if isinstance(one.strategy, FineTune)), default=rest)
    rest = min(rest, bound)
    wanted = sorted(
        range(len(offers)),
        key=lambda place: (
            offers[place].seconds > 0,
            offers[place].strategy != FineTune(),
            offers[place].strategy.transfers,
        ),
    )
    taken, left_out = set(), []
    for place in wanted:
        offer = offers[place]
        if offer.seconds <= rest:
            rest -= offer.seconds
            taken.add(place)
            continue
        left_out.append(
            f"{in_words(offer.strategy, backbone)} was not considered: it would take about "
            f"{seconds_in_words(offer.seconds)}, and {seconds_in_words(max(rest, 0))} are left"
        )
    return [offer for place, offer in enumerate(offers) if place in taken], left_out


def default_strategies(backbone: Backbone, n: int, task: Task) -> list[Strategy]:
    """Return what is considered where nothing was asked for, the simplest first.

    Where labels are few, and the source's own classes are known, learning is held to them as well.
    """
    heads: list[Strategy] = [Majority(), Classical(), Probe()]
    if task.form == "text":
        return heads
    library = backbone.library
    if task.form == "path":
        return _for_series(backbone, n, task)
    if n < FEWEST or library not in ("timm", "transformers"):
        return heads
    scratch = FromScratch(network="small", views=VIEWS)
    if library == "transformers":
        return [*heads, FineTune(cut=upper_half(backbone)), FineTune(), scratch]
    knows = n <= FEW and task.form == "label" and source_head(backbone.card) is not None
    return [*heads, FineTune(), *([HELD_BACK["cotuning"]] if knows else []), FineTune(cut=0), scratch]


def _for_series(backbone: Backbone, n: int, task: Task) -> list[Strategy]:
    """Return what is considered of series: the source as it is too, where it has learned to forecast so far."""
    own: list[Strategy] = [ZeroShot()] if forecasts_for(backbone) >= task.horizon else []
    heads: list[Strategy] = [Majority(), Classical(), *own, Probe()]
    return heads if n < FEWEST else [*heads, FineTune(), FromScratch(network="small")]


def upper_half(backbone: Backbone) -> int:
    """Return the cut in the middle of a network, 1 or more."""
    return max(1, backbone.n_stages // 2)


def in_words(strategy: Strategy, backbone: Backbone) -> str:
    """Name a strategy and its cut."""
    if isinstance(strategy, HEAD_ONLY):
        return strategy.word
    return f"{strategy.word} above cut {strategy.cuts(backbone)[-1]}"


def _precision(strategy: Learning, backbone: Backbone, n: int, possible: Precision, pilot: Pilot) -> Precision:
    """Return the precision to learn in: less than fp32 only where a step is clearly shorter and seconds count."""
    if possible == "fp32":
        return possible
    plain, short = (pilot(strategy, "whole", precision) for precision in ("fp32", possible))
    saved = _forecast(strategy, backbone, n, plain - short)
    return possible if short <= SHORTER * plain and saved >= WORTH else "fp32"


def _work(strategies: int, folds: int, held: float | None) -> tuple[float, float]:
    """Return what comparing strategies and learning one takes: trainings on everything, and how often all are answered.

    Without each of k folds, and once more on everything, takes k trainings; beside a validation set there is one
    without it, even of a single strategy.
    """
    if held is not None:
        return 2.0 - held, held
    return (float(folds), 1.0) if strategies > 1 else (1.0, 0.0)


def _forecast(
    strategy: Learning, backbone: Backbone, n: int, step: float, trainings: float = 1.0, answered: float = 0.0
) -> float:
    """Return the seconds of so many trainings on n examples, a share of which is answered around every epoch."""
    schedule = strategy.settled(backbone)
    steps = n / schedule.batch_size
    return step * steps * (schedule.epochs * trainings + (schedule.epochs + 1) * answered * ANSWERING)


def storage_for(backbone: Backbone, cuts: Sequence[int], n: int, precision: Precision) -> tuple[Storage, str]:
    """Decide how the states at some cuts of a network are kept, and say why where that is not as they are.

    They are not kept where computing them again takes no longer than reading them.
    """
    each = sum(bytes_at(backbone, cut, precision) for cut in cuts)
    if cuts[-1] and each / COPY_SPEED > sum(seconds_below(backbone, cut, precision) for cut in cuts):
        words = f"what lies below cut {cuts[-1]} is computed anew each time: reading {each / 1e3:,.0f} kB takes longer"
        return "none", words
    room = MEMORY_SHARE * _free_memory()
    halves = 2 if precision == "fp32" else 1
    if each * n <= room:
        return "whole", ""
    smaller: dict[Storage, int] = {"bf16": halves, "int8": 2 * halves}
    for storage, times in smaller.items():
        if cuts[-1] and times > 1 and each * n / times <= room:
            error = rounding_error(backbone, cuts[-1], storage)
            return storage, f"states at cut {cuts[-1]} are kept in {storage}, with an error of {error:.1%}"
    return "none", f"what lies below cut {cuts[-1]} is computed anew each time: keeping it would take too much memory"


def _free_memory() -> float:
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return UNKNOWN_MEMORY
