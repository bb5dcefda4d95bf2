"""Strategies: a cut, what may change above it, and how; each a small frozen value in a file of its own."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypeAlias, cast

from headstart.errors import OptionError
from headstart.strategies.finetune import FineTune
from headstart.strategies.lora import LoRA
from headstart.strategies.probe import Probe
from headstart.strategies.schedule import Schedule
from headstart.strategies.scratch import FromScratch
from headstart.strategies.without import Classical, Majority

Learning: TypeAlias = FineTune | LoRA | FromScratch
"""The strategies that change a network: each has a name, cuts, a schedule, a network it begins as and one it saves."""

HeadOnly: TypeAlias = Probe | Classical | Majority
"""The strategies that fit a head to features that stay as they are."""

HEAD_ONLY = (Probe, Classical, Majority)

Strategy: TypeAlias = HeadOnly | Learning
"""All of them; `transfers` tells whether anything is carried over."""

KINDS: dict[str, Any] = {
    "majority": Majority,
    "classical": Classical,
    "probe": Probe,
    "finetune": FineTune,
    "lora": LoRA,
    "scratch": FromScratch,
}

__all__ = [
    "HEAD_ONLY",
    "KINDS",
    "Classical",
    "FineTune",
    "FromScratch",
    "HeadOnly",
    "Learning",
    "LoRA",
    "Majority",
    "Probe",
    "Schedule",
    "Strategy",
    "as_fields",
    "from_fields",
]


def as_fields(strategy: Strategy) -> dict[str, Any]:
    """Return a strategy as JSON holds it."""
    return {"strategy": strategy.name, **asdict(strategy)}


def named(name: str | None, *, cut: int | None, epochs: int | None, rate: float | None) -> list[Strategy] | None:
    """Return the strategy of a name, or with a cut alone the probe and fine-tuning there; None where nothing was asked.

    Raises:
        OptionError: there is no such strategy, or it has no such setting.
    """
    chosen = {key: value for key, value in (("cut", cut), ("epochs", epochs), ("rate", rate)) if value is not None}
    if name is None and not chosen:
        return None
    if name is None:
        learning = FineTune(cut=cut, epochs=epochs, rate=rate)
        return [Probe(cut=cut), learning] if cut else [learning]
    if name not in KINDS:
        raise OptionError("the strategy is unknown.", expected=", ".join(KINDS), got=name)
    unknown = sorted(set(chosen) - set(KINDS[name].__dataclass_fields__))
    if unknown:
        raise OptionError(f"the strategy {name} has no {unknown[0]}.", hint=f"leave out --{unknown[0]}")
    return [cast(Strategy, KINDS[name](**chosen))]


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
