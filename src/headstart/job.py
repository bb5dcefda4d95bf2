"""The main job: read, check, split, choose, learn, evaluate, save."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headstart import artifact
from headstart.adaptation import asked_strategies, carry_out, settle
from headstart.backbones.backbone import Backbone
from headstart.checkpoints import checkpoints_beside
from headstart.comparison.foresight import Foresight, foresee
from headstart.comparison.proof import prove
from headstart.data import TEST_SHARE, Dataset, Finding, check, read
from headstart.devices import processes
from headstart.evaluation import evaluate
from headstart.ground import begin
from headstart.plan import BUDGET, Plan
from headstart.progress import Progress, silent
from headstart.ranking.pools import ALL, OFFLINE
from headstart.ranking.sources import Ranking, rank_sources
from headstart.report.page import write_report
from headstart.report.result import Result
from headstart.strategies import Strategy
from headstart.tasks import Kind
from headstart.wording import count, seconds_in_words, some, user_path

DEFAULTS = {"test": TEST_SHARE, "seed": 0}


@dataclass
class _Clock:
    """Seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict)
    within: dict[str, float] = field(default_factory=dict)
    start: float = field(default_factory=time.perf_counter)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - begun, 3)

    def watching(self, progress: Progress, foreseen: Foresight) -> Progress:
        """Return a progress that also notes the seconds of each of its phases, and tells how far all of it is."""
        last, whole = time.perf_counter(), math.ceil(foreseen.total)
        name = f"all of it, about {seconds_in_words(foreseen.total)}"
        progress(name, min(whole, round(last - self.start)), whole)

        def note(phase: str, done: int, total: int) -> None:
            nonlocal last
            now = time.perf_counter()
            self.within[phase] = self.within.get(phase, 0.0) + now - last
            last = now
            progress(phase, done, total)
            progress(name, min(whole, round(now - self.start)), whole)

        return note

    def told(self, foreseen: Foresight) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
        """Return the seconds by phase and in total, and by kind of work what was forecast and what it took."""
        total = time.perf_counter() - self.start
        return {**self.seconds, "total": round(total, 3)}, foreseen.beside(self.within, total)


def fit(
    data: object,
    *,
    input: str | Sequence[str] | None = None,
    target: str | Sequence[Any] | None = None,
    group: str | None = None,
    sensitive: str | Sequence[str] = (),
    task: Kind | None = None,
    backbone: str | Backbone | Sequence[str | Backbone] | None = None,
    strategy: Strategy | Sequence[Strategy] | None = None,
    test: float = TEST_SHARE,
    seed: int = 0,
    budget: float = BUDGET,
    plan: Plan | None = None,
    out: str | Path | None = None,
    progress: Progress = silent,
) -> Result:
    """Do the main job: read and check the data, hold out a test set, choose a strategy, learn, measure, save.

    Strategies are compared by what they say of training examples they did not learn from; the simplest one that is
    within a standard error of the best is learned once more on all of them, and only then is the test set looked at.
    Killed at any moment, the same call with the same `out` goes on where it was, to the same bits.

    Args:
        data, input, target, group, sensitive, task: as `read` takes them.
        backbone: a name as `load_backbone` takes it, or a loaded backbone; the modality's default otherwise. Of
            several, of "offline" (what is installed) or "all" (and models made here) the one that ranks first is taken.
        strategy: the one to run, or several to choose from, the simplest first; by default the probe and fine-tuning,
            where the budget allows.
        test: the share held out, in (0, 1), where the data brings no split of its own.
        seed: of the split, of the folds, and of everything drawn while learning.
        budget: seconds that comparing and learning may take, above 0; what would take longer is left out, and said.
        plan: replays what was settled for another run, from `read_plan`.
        out: where to save the model; not saved without it.
        progress: called with (phase, done, total).

    Raises:
        DataError, OptionError, BackboneError, DependencyError: the question was wrong; nothing is written.
        StorageError: the model could not be saved; what was there before is unchanged.

    Example:
        >>> import headstart as hs
        >>> rows = [(f"{word} film {n}", word) for word in ("good", "bad") for n in "one two three four five".split()]
        >>> result = hs.fit(rows, backbone="wordllama")
        >>> result.n
        {'train': 8, 'validation': 0, 'test': 2}
    """
    clock, path, strategies = _Clock(), _destination(out), asked_strategies(strategy)
    with clock.phase("read"):
        dataset = read(data, input=input, target=target, group=group, sensitive=sensitive, task=task, progress=progress)
        findings = check(dataset)
        train, validation, tested, held_out = dataset.three_sets(test=test, seed=seed)
    with checkpoints_beside(path) as keeper:
        with clock.phase("load"):
            source, ranking = _source(train, validation, backbone, seed, progress)
            ground = begin(train, validation, source, seed, keeper, progress)
        with clock.phase("settle"):
            ground, settled = settle(ground, strategies, plan=plan, budget=budget)
            foreseen = foresee(ground, settled, len(tested), clock.start)
        progress = clock.watching(progress, foreseen)
        with clock.phase("adapt"):
            made = carry_out(replace(ground, progress=progress), settled, with_rival=True)
        with clock.phase("compare"):
            proof = prove(made, tested, ranking=ranking, progress=progress)
        with clock.phase("evaluate"):
            found = evaluate(made.model, tested, train=train, validation=validation, keep_seen=True, progress=progress)
        n, groups = _counted({"train": train, "validation": validation, "test": tested})
        told = {"metrics": found.as_dict()["metrics"], "proof": proof.certificate(), "comparison": proof.sentence}
        model = made.model.with_record(n=n, data=dataset.name, **told)
        if path is not None:
            with clock.phase("save"):
                model.save(path)
    result = Result(
        model,
        found,
        proof,
        dataset.name,
        n,
        groups,
        (*dataset.notes, *filter(None, [held_out]), *(ranking.notes if ranking else ()), *model.record["notes"]),
        (*findings, *_truncated(dataset, ground.backbone), *_news(findings, found.findings), *proof.findings),
        *clock.told(foreseen),
        path,
        path.with_name(f"{path.name.removesuffix(artifact.SUFFIX)}.report.html") if path is not None else None,
        ranking,
    )
    asked = {"input": input, "target": target, "group": group, "sensitive": sensitive, "task": task}
    replayed = out if strategies is not None or plan is not None or budget != BUDGET else None
    _report(result, data, asked | {"backbone": backbone, "test": test, "seed": seed, "plan": replayed, "out": out})
    return result


def _counted(sets: dict[str, Dataset | None]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the examples of each set, and its groups where there are groups."""
    n = {name: len(part) if part is not None else 0 for name, part in sets.items()}
    grouped = {name: part.groups for name, part in sets.items() if part is not None and part.groups is not None}
    return n, {name: len(set(groups)) for name, groups in grouped.items()}


def _source(
    train: Dataset,
    validation: Dataset | None,
    backbone: str | Backbone | Sequence[str | Backbone] | None,
    seed: int,
    progress: Progress,
) -> tuple[str | Backbone | None, Ranking | None]:
    """Return the source that is meant or, where several are named, the one that ranks first, and the ranking."""
    if isinstance(backbone, str) and "," in backbone:
        backbone = [name.strip() for name in backbone.split(",") if name.strip()]
    if backbone is None or isinstance(backbone, Backbone):
        return backbone, None
    if isinstance(backbone, str) and backbone not in (OFFLINE, ALL):
        return backbone or None, None
    learned = train if validation is None else train.joined_with(validation)
    ranking = rank_sources(learned, backbone, seed=seed, progress=progress)
    return ranking.backbones[ranking.best.name], ranking


def _destination(out: str | Path | None) -> Path | None:
    """Return where the model is saved, once it may be.

    Raises:
        StorageError: it may not.
    """
    if out is None:
        return None
    path = user_path(out)
    artifact.check_destination(path.resolve())
    return path


def _report(result: Result, data: object, asked: Mapping[str, Any]) -> None:
    """Write the report; of several processes started together only the first does."""
    if result.report is not None and processes().rank == 0:
        write_report(result, result.report, _command(data, asked))


def _command(data: object, asked: Mapping[str, Any]) -> str:
    """Return what gives the result again, on the command line where the data is a file or a folder.

    What else was settled stands in the plan of the saved model.
    """
    words = ["headstart", "fit", str(data) if isinstance(data, str | Path) else "DATA"]
    for name, value in asked.items():
        several = list(value) if isinstance(value, list | tuple) and name != "target" else [value]
        if name == "backbone" and value is not None:
            several = [",".join(str(one.name if isinstance(one, Backbone) else one) for one in several)]
        for one in several:
            if isinstance(one, str | Path | int | float) and not (name in DEFAULTS and one == DEFAULTS[name]):
                words += [f"--{name}", str(one)]
    return shlex.join(words)


def _news(told: tuple[Finding, ...], found: tuple[Finding, ...]) -> list[Finding]:
    """Return the findings on the evaluation that those on the data do not tell already."""
    codes = {finding.code for finding in told}
    codes |= {"seen_in_training"} if "copies_across_splits" in codes else set()
    return [finding for finding in found if finding.code not in codes]


def _truncated(dataset: Dataset, backbone: Backbone) -> tuple[Finding, ...]:
    places = backbone.prepare.truncated(dataset.inputs)
    if not places:
        return ()
    names, most = some([dataset.names[place] for place in places]), backbone.prepare.describe()
    text = f"{count(len(places), 'text')} cut off after {most}, the most {backbone.name} reads: {names}"
    return (Finding("truncated_texts", text),)
