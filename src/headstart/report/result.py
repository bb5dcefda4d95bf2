"""The result of the main job: what it made, found and proved; the page and the JSON tell it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.comparison.proof import Proof
from headstart.data import Finding
from headstart.evaluation import Evaluation
from headstart.model import Model
from headstart.ranking.sources import Ranking

SCHEMA = "headstart.fit/1"
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
