"""Strategies: a cut, what may change above it, and how; each a small frozen value in a file of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, TypeAlias, cast

from headstart.backbones.backbone import Backbone
from headstart.errors import OptionError
from headstart.strategies.finetune import FineTune
from headstart.strategies.lora import LoRA
from headstart.strategies.probe import Probe
from headstart.strategies.refine import Refine
from headstart.strategies.schedule import Schedule
from headstart.strategies.scratch import FromScratch
from headstart.strategies.without import Classical, Majority
from headstart.strategies.zeroshot import ZeroShot

Learning: TypeAlias = FineTune | LoRA | Refine | FromScratch
"""The strategies that change a network: each has a name, cuts, a schedule, a network it begins as and one it saves."""

HeadOnly: TypeAlias = Probe | Classical | Majority | ZeroShot
"""The strategies that fit a head to features that stay as they are, or nothing at all."""

HEAD_ONLY = (Probe, Classical, Majority, ZeroShot)

Strategy: TypeAlias = HeadOnly | Learning
"""All of them; `transfers` tells whether anything is carried over."""

HELD_BACK = {
    "l2sp": FineTune(anchor=0.1),
    "bss": FineTune(shrinkage=1e-3),
    "cotuning": FineTune(relation=0.2),
    "average": FineTune(average=0.9),
}
"""Fine-tuning that keeps closer to where it began, by the name it is asked for by; decisions/0014 says how strongly."""

KINDS: dict[str, Any] = {
    "majority": Majority,
    "classical": Classical,
    "zeroshot": ZeroShot,
    "probe": Probe,
    "finetune": FineTune,
    "lora": LoRA,
    "refine": Refine,
    "scratch": FromScratch,
}

__all__ = [
    "HEAD_ONLY",
    "HELD_BACK",
    "KINDS",
    "Classical",
    "FineTune",
    "FromScratch",
    "HeadOnly",
    "Learning",
    "LoRA",
    "Majority",
    "Probe",
    "Refine",
    "Schedule",
    "Strategy",
    "ZeroShot",
    "as_fields",
    "below",
    "contenders",
    "from_fields",
    "options_for",
    "require_writing",
]


def below(strategy: Learning, source: Backbone, seed: int = 0) -> Backbone:
    """Return the network below a strategy's cuts: the source or, where that is not used, what is drawn in its place."""
    return source if strategy.cuts_source else strategy.begin(source, seed)


def require_writing(strategies: Sequence[Strategy]) -> None:
    """Raise an `OptionError` where a strategy cannot learn to write, or is held back by what texts have not.

    Raises:
        OptionError: one cannot.
    """
    for one in strategies:
        held = isinstance(one, FineTune) and (one.shrinkage or one.relation)
        if isinstance(one, Refine) or held:
            raise OptionError(
                f"{one.word} is not for summaries.", expected="majority, classical, probe, finetune, lora or scratch"
            )


def as_fields(strategy: Strategy) -> dict[str, Any]:
    """Return a strategy as JSON holds it."""
    return {"strategy": strategy.name, **asdict(strategy)}


def named(name: str | None, *, cut: int | None, epochs: int | None, rate: float | None) -> list[Strategy] | None:
    """Return the strategy of a name, or with a cut alone the probe and fine-tuning there; None where nothing was asked.

    Raises:
        OptionError: there is no such strategy, or it has no such setting.
    """
    chosen: dict[str, Any] = {
        key: value for key, value in (("cut", cut), ("epochs", epochs), ("rate", rate)) if value is not None
    }
    if name is None and not chosen:
        return None
    if name is None:
        learning = FineTune(cut=cut, epochs=epochs, rate=rate)
        return [Probe(cut=cut), learning] if cut else [learning]
    if name in HELD_BACK:
        return [replace(HELD_BACK[name], **chosen)]
    if name not in KINDS:
        raise OptionError("the strategy is unknown.", expected=", ".join((*KINDS, *HELD_BACK)), got=name)
    unknown = sorted(set(chosen) - set(KINDS[name].__dataclass_fields__))
    if unknown:
        raise OptionError(f"the strategy {name} has no {unknown[0]}.", hint=f"leave out --{unknown[0]}")
    return [cast(Strategy, KINDS[name](**chosen))]


def contenders(
    words: str | None, *, cut: int | None = None, epochs: int | None = None, rate: float | None = None
) -> list[Strategy] | None:
    """Return the strategies that names with commas between them mean, such as "classical,probe,finetune@-2".

    A single name takes the settings, as `named` does; None where nothing was asked.

    Raises:
        OptionError: there is no such strategy, or it has no such setting.
    """
    if words is None or not set(words) & set(",@"):
        return named(words, cut=cut, epochs=epochs, rate=rate)
    if (cut, epochs, rate) != (None, None, None):
        raise OptionError("a cut, epochs or a rate belong to a single strategy.", hint="name cuts as in finetune@-2")
    found: list[Strategy] = []
    for word in (one.strip() for one in words.split(",") if one.strip()):
        name, _, place = word.partition("@")
        if place and not re.fullmatch("-?[0-9]+", place):
            raise OptionError("the cut is no whole number.", expected="such as finetune@-2", got=word)
        found += named(name, cut=int(place) if place else None, epochs=None, rate=None) or []
    if not found:
        raise OptionError("no contender is named.", expected=", ".join(KINDS), got=repr(words))
    return found


def options_for(strategies: Sequence[Strategy] | None) -> dict[str, object]:
    """Return what asks for strategies on the command line: by name and cut; a single one by its epochs and rate too."""
    words = []
    for one in strategies or ():
        kind = next((name for name, held in HELD_BACK.items() if _is_held_back(one, held)), one.name)
        cut = getattr(one, "cut", None)
        words.append(kind if cut is None else f"{kind}@{cut}")
    if len(words) != 1:
        return {"arms": ",".join(words) or None}
    name, _, cut = words[0].partition("@")
    only = (strategies or ())[0]
    settings = {field: getattr(only, field, None) for field in ("epochs", "rate")}
    return {"arms": name, "cut": int(cut) if cut else None, **settings}


def _is_held_back(strategy: Strategy, held: FineTune) -> bool:
    own = ("anchor", "shrinkage", "relation", "average")
    return isinstance(strategy, FineTune) and all(getattr(strategy, one) == getattr(held, one) for one in own)


def from_fields(fields: dict[str, Any]) -> Strategy:
    """Return the strategy that `as_fields` wrote.

    Raises:
        KeyError, TypeError: it wrote no such thing.
        OptionError: something is out of its range.
    """
    rest: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    kind = KINDS[rest.pop("strategy")]
    if isinstance(rest.get("schedule"), dict):
        rest["schedule"] = Schedule(**rest["schedule"])
    return cast(Strategy, kind(**rest))
