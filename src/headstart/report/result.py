"""The result of the main job: what it made, found and proved; the page and the JSON tell it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.affinity import proposed
from headstart.backbones.card import CLASSICAL
from headstart.comparison.proof import Proof
from headstart.comparison.sharing import Beside
from headstart.data import Finding
from headstart.evaluation import Evaluation
from headstart.model import Model
from headstart.multitask import MultiTaskModel
from headstart.ranking.sources import Ranking
from headstart.sharing import Together

SCHEMA, SEVERAL = "headstart.fit/1", "headstart.fit_several/1"
CHOSEN = (
    "strength",
    "balanced",
    "losses",
    "chosen_on",
    "seed",
    "epoch",
    "schedule",
    "curve",
    "tested_rates",
    "learnable",
)


@dataclass(frozen=True, eq=False)
class Result:
    """What the main job made and found.

    Attributes:
        model: trained, with its record.
        evaluation: on the test set, which no choice was made on.
        proof: of the declared comparison with no transfer on it.
        data: what the data set is called.
        n: examples in train, validation and test.
        groups: the number of groups in each, where there are groups.
        notes: what was inferred or decided, in words.
        warnings: what is wrong with the data, and what to know of the numbers.
        seconds: by phase, and in total.
        forecast: by kind of work, the seconds that were forecast for it and those it took.
        path: where the model was saved; None when it was not.
        report: the page that tells of it; None where nothing was saved.
        ranking: of the sources, where several were named.
    """

    model: Model
    evaluation: Evaluation
    proof: Proof
    data: str
    n: dict[str, int]
    groups: dict[str, int]
    notes: tuple[str, ...]
    warnings: tuple[Finding, ...]
    seconds: dict[str, float]
    forecast: dict[str, tuple[float, float]]
    path: Path | None
    report: Path | None = None
    ranking: Ranking | None = None

    def __str__(self) -> str:
        return str(self.evaluation)

    @property
    def saved(self) -> str:
        """Where it was saved, in words."""
        return f"saved {self.path}, and {self.report}"

    def as_dict(self) -> dict[str, Any]:
        """Return the result as `headstart fit --json` prints it; docs/json.md names every field."""
        record = self.model.record
        return {
            "schema": SCHEMA,
            "model": str(self.path) if self.path else None,
            "report": str(self.report) if self.report else None,
            "data": self.data,
            "backbone": record["backbone"],
            "strategy": record["strategy"],
            "cut": record["cut"],
            "task": self.model.task.kind,
            "target": self.model.task.target,
            "n": self.n,
            "groups": self.groups,
            **self.evaluation.as_dict(),
            "proof": self.proof.as_dict(),
            "warnings": [{"code": finding.code, "text": finding.text} for finding in self.warnings],
            "notes": list(self.notes),
            "chosen": {name: record[name] for name in CHOSEN if name in record},
            "arms": record["arms"],
            "ranking": None if self.ranking is None else [one.as_dict() for one in self.ranking.contenders],
            "plan": record["plan"],
            "seconds": self.seconds,
            "forecast": {name: {"forecast": said, "fact": took} for name, (said, took) in self.forecast.items()},
        }


@dataclass(frozen=True, eq=False)
class MultiTaskResult:
    """What came of the main job for several targets.

    Attributes:
        model: of all targets.
        targets: by name, the result of each; nothing in it is saved by itself.
        together: how the targets stood on one network, or why they were not learned on one.
        sharing: by name of those that share, what it was worth to them on the test set.
        data: what the data set is called.
        n: examples in train, validation and test.
        notes: what was inferred or decided, in words.
        warnings: what is wrong with the data.
        seconds: by phase, and in total.
        path: where the model was saved; None when it was not.
        report: the page that tells of all of them; None where nothing was saved.
        reports: by name, the page that tells of a target; empty where nothing was saved.
    """

    model: MultiTaskModel
    targets: dict[str, Result]
    together: Together
    sharing: dict[str, Beside]
    data: str
    n: dict[str, int]
    notes: tuple[str, ...]
    warnings: tuple[Finding, ...]
    seconds: dict[str, float]
    path: Path | None
    report: Path | None
    reports: dict[str, Path]

    def __str__(self) -> str:
        return "; ".join(f"{target}: {one.evaluation}" for target, one in self.targets.items())

    @property
    def saved(self) -> str:
        """Where it was saved, in words."""
        return f"saved {self.path}, report {self.report}, and one a target beside it"

    @property
    def proposed(self) -> str:
        """Which targets should share a network by their affinity, in words; empty where there is none."""
        cosines = np.array(self.model.record["affinity"])
        groups = [[list(self.targets)[place] for place in group] for group in proposed(cosines)]
        if len(groups) == 1:
            return "all of them may share a network"
        together = [f"{', '.join(group)} may share a network" for group in groups if len(group) > 1]
        apart = [group[0] for group in groups if len(group) == 1]
        return "; ".join([*together, *([f"{', '.join(apart)} had better stand apart"] if apart else [])])

    def told(self, target: str) -> str:
        """Say in words which network answers a target, and what sharing was worth to it."""
        group = self._group(target)
        others = ", ".join(own.task.target for own in group if own.task.target != target)
        network = {
            "together": f"learned together with {others}" if others else "learned together with the others",
            "frozen": f"reads the source as it is, as {others} does",
            "own": "has a network of its own",
            "none": "is answered without a network",
        }[self.kind_of(target)]
        if target in self.sharing:
            return f"{network}; {self.sharing[target].words}"
        seen = self.together.targets.get(target)
        return f"{network}: {self.together.why if seen is None else seen.why}"

    def kind_of(self, target: str) -> str:
        """Say what answers a target: "together" with others, the "frozen" source as others do, its "own", or "none"."""
        group = self._group(target)
        if group[0].backbone.library == CLASSICAL:
            return "none"
        if target in self.sharing:
            return "together"
        return "frozen" if len(group) > 1 else "own"

    def _group(self, target: str) -> list[Model]:
        return next(one for one in self.model.shared if any(own.task.target == target for own in one))

    def as_dict(self) -> dict[str, Any]:
        """Return the result as `headstart fit --json` prints it; docs/json.md names every field."""
        return {
            "schema": SEVERAL,
            "model": str(self.path) if self.path else None,
            "data": self.data,
            "n": self.n,
            "targets": {target: one.as_dict() for target, one in self.targets.items()},
            "affinity": self.model.record["affinity"],
            "networks": [[one.task.target for one in group] for group in self.model.shared],
            "together": {
                "why": self.together.why,
                "strategy": None if self.together.strategy is None else self.together.strategy.name,
                "balance": self.together.balance,
                "balances": self.together.balances,
                "targets": {target: one.as_dict() for target, one in self.together.targets.items()},
            },
            "sharing": {target: one.as_dict() for target, one in self.sharing.items()},
            "report": None if self.report is None else str(self.report),
            "proposed": self.proposed,
            "reports": {target: str(page) for target, page in self.reports.items()},
            "warnings": [{"code": finding.code, "text": finding.text} for finding in self.warnings],
            "notes": list(self.notes),
            "seconds": self.seconds,
        }
