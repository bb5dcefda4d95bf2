"""Comparing: contenders against no transfer, without making a model: the middle part of the main job alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.adaptation import adapt_to, asked_strategies
from headstart.backbones.backbone import Backbone
from headstart.checkpoints import checkpoints_beside
from headstart.comparison.proof import Proof, prove
from headstart.data import TEST_SHARE, Finding, check, read
from headstart.ground import begin
from headstart.plan import BUDGET, Plan
from headstart.progress import Progress, silent
from headstart.strategies import Strategy
from headstart.tasks import Kind
from headstart.wording import user_path

SCHEMA = "headstart.compare/1"


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was compared, and what came of it.

    Attributes:
        data: what the data set is called.
        backbone: the source.
        kind: of the task.
        target: the target column.
        n: examples in train, validation and test.
        arms: how each contender stood on training examples it had not learned from, as JSON holds it.
        proof: of the declared comparison.
        plan: what was settled beforehand.
        notes: what was inferred or decided, in words.
        findings: what is wrong with the data, and what to know of the verdict.
    """

    data: str
    backbone: str
    kind: str
    target: str
    n: dict[str, int]
    arms: tuple[dict[str, Any], ...]
    proof: Proof
    plan: dict[str, Any]
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        return self.proof.sentence

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as `headstart compare --json` prints it; docs/json.md names every field."""
        return {
            "schema": SCHEMA,
            "data": self.data,
            "backbone": self.backbone,
            "task": self.kind,
            "target": self.target,
            "n": self.n,
            "arms": list(self.arms),
            "proof": self.proof.as_dict(),
            "plan": self.plan,
            "notes": list(self.notes),
            "warnings": [{"code": finding.code, "text": finding.text} for finding in self.findings],
        }


def compare(
    data: object,
    *,
    arms: Strategy | Sequence[Strategy] | None = None,
    input: str | Sequence[str] | None = None,
    target: str | Sequence[Any] | None = None,
    group: str | None = None,
    task: Kind | None = None,
    series: str | None = None,
    time: str | None = None,
    horizon: int | None = None,
    backbone: str | Backbone | None = None,
    test: float = TEST_SHARE,
    seed: int = 0,
    budget: float = BUDGET,
    plan: Plan | None = None,
    checkpoint: str | Path | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Hold contenders against each other out of fold, and the best with transfer against the best without on the test.

    Args:
        data, input, target, group, task, series, time, horizon: as `read` takes them.
        arms: the contenders, the simplest first; by default what suits the data and the budget, with and without
            transfer.
        backbone: a name as `load_backbone` takes it, or a loaded backbone; the modality's default otherwise.
        test: the share held out, in (0, 1), where the data brings no split of its own.
        seed: of the split, of the folds, and of everything drawn while learning.
        budget: seconds that it may take, above 0; what would take longer is left out, and said.
        plan: replays what was settled for another run.
        checkpoint: a path beside which unfinished work is kept, so that a killed run is gone on with.
        progress: called with (phase, done, total).

    Raises:
        DataError, OptionError, BackboneError, DependencyError: the question was wrong.
        StorageError: unfinished work cannot be kept.

    Example:
        >>> import headstart as hs
        >>> rows = [(f"{word} film {n}", word) for word in ("good", "bad") for n in "one two three four five".split()]
        >>> hs.compare(rows, arms=[hs.Classical(), hs.Probe()], backbone="wordllama").proof.verdict.word
        'no proven benefit'
    """
    asked: Any = {"input": input, "target": target, "group": group, "task": task}
    dataset = read(data, **asked, series=series, time=time, horizon=horizon, progress=progress)
    train, validation, tested, held_out = dataset.three_sets(test=test, seed=seed)
    with checkpoints_beside(user_path(checkpoint) if checkpoint is not None else None) as keeper:
        ground = begin(train, validation, backbone or None, seed, keeper, progress)
        adapted = adapt_to(ground, asked_strategies(arms), plan=plan, budget=budget, with_rival=True)
        proof = prove(adapted, tested, progress=progress)
    record = adapted.model.record
    n = {"train": len(train), "validation": len(validation) if validation is not None else 0, "test": len(tested)}
    return Comparison(
        dataset.name,
        ground.backbone.name,
        adapted.model.task.kind,
        adapted.model.task.target,
        n,
        tuple(record["arms"]),
        proof,
        record["plan"],
        tuple(map(dataset.called, (*dataset.notes, *([held_out] if held_out else []), *record["notes"]))),
        dataset.told((*check(dataset), *proof.findings)),
    )
