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
from headstart.adaptation import Adapted, asked_strategies, carry_out, settle
from headstart.backbones.backbone import Backbone
from headstart.checkpoints import checkpoints_beside
from headstart.comparison.foresight import SETTLING, Foresight, foresee
from headstart.comparison.proof import prove
from headstart.data import TEST_SHARE, Dataset, Finding, check, read
from headstart.devices import processes
from headstart.errors import OptionError
from headstart.evaluation import evaluate
from headstart.extracts import Documents
from headstart.ground import Ground, begin, require_one_target
from headstart.model import Model
from headstart.plan import BUDGET, Plan
from headstart.progress import Progress, silent
from headstart.ranking.pools import ALL, OFFLINE, Variant, lines_of
from headstart.ranking.sources import Ranking, rank_sources
from headstart.report.page import write_report
from headstart.report.result import Result
from headstart.strategies import Classical, Majority, Probe, Strategy
from headstart.tasks import Kind
from headstart.wording import count, seconds_in_words, some, user_path

EXTRACTING = (Majority, Classical, Probe)
DEFAULTS = {"test": TEST_SHARE, "seed": 0, "balance": "sum"}


@dataclass
class Clock:
    """Seconds by phase, and what was forecast of them."""

    seconds: dict[str, float] = field(default_factory=dict)
    within: dict[str, float] = field(default_factory=dict)
    foreseen: Foresight | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the seconds of the body to those under a name."""
        begun = time.perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - begun, 3)

    @property
    def total(self) -> float:
        """Seconds of all phases."""
        return sum(self.seconds.values())

    def watched(self, ground: Ground, plan: Plan, tested: int, word: str = "all of it") -> Ground:
        """Forecast what a plan takes, and return its ground with a progress that tells how far all of it is."""
        with self.phase("settle"):
            rest = foresee(ground, plan, tested)
        foreseen = self.foreseen = Foresight({SETTLING: self.total} | rest)
        begun = last = time.perf_counter()
        before, whole, progress = self.total, math.ceil(foreseen.total), ground.progress
        name = f"{word}, about {seconds_in_words(foreseen.total)}"

        def note(phase: str, done: int, total: int) -> None:
            nonlocal last
            now = time.perf_counter()
            self.within[phase] = self.within.get(phase, 0.0) + now - last
            last = now
            progress(phase, done, total)
            progress(name, min(whole, round(before + now - begun)), whole)

        progress(name, min(whole, round(before)), whole)
        return replace(ground, progress=note)

    def told(self) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
        """Return the seconds by phase and in total, and by kind of work what was forecast and what it took."""
        forecast = {} if self.foreseen is None else self.foreseen.beside(self.within, self.total)
        return {**self.seconds, "total": round(self.total, 3)}, forecast


def fit(
    data: object,
    *,
    input: str | Sequence[str] | None = None,
    target: str | Sequence[Any] | None = None,
    group: str | None = None,
    sensitive: str | Sequence[str] = (),
    task: Kind | None = None,
    series: str | None = None,
    time: str | None = None,
    horizon: int | None = None,
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
        data, input, target, group, sensitive, task, series, time, horizon: as `read` takes them.
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
    clock, path, strategies = Clock(), destination(out), asked_strategies(strategy)
    asked: dict[str, Any] = {"input": input, "target": target, "group": group, "sensitive": sensitive, "task": task}
    asked |= {"series": series, "time": time, "horizon": horizon}
    with clock.phase("read"):
        dataset = read(data, **asked, progress=progress)
        require_one_target(dataset)
        findings = check(dataset)
        train, validation, tested, held_out = dataset.three_sets(test=test, seed=seed)
    with checkpoints_beside(path) as keeper:
        with clock.phase("load"):
            source, ranking = _source(train, validation, backbone, seed, len(tested), progress)
            ground = begin(train, validation, source, seed, keeper, progress)
            findings = (*findings, *truncated(dataset, ground.backbone, strategies))
        with clock.phase("settle"):
            ground, settled = settle(ground, strategies, plan=plan, budget=budget)
        ground = clock.watched(ground, settled, len(tested))
        with clock.phase("adapt"):
            adapted = carry_out(ground, settled, with_rival=True)
        result = judged(
            adapted,
            train,
            validation,
            tested,
            clock,
            findings=findings,
            notes=(*dataset.notes, *filter(None, [held_out]), *(ranking.notes if ranking else ())),
            ranking=ranking,
        )
        if path is not None:
            with clock.phase("save"):
                result.model.save(path)
    seconds, forecast = clock.told()
    report = None if path is None else report_beside(path)
    result = replace(result, seconds=seconds, forecast=forecast, path=path, report=report)
    replayed = out if strategies is not None or plan is not None or budget != BUDGET else None
    _report(result, data, asked | {"backbone": backbone, "test": test, "seed": seed, "plan": replayed, "out": out})
    return result


def judged(
    adapted: Adapted,
    train: Dataset,
    validation: Dataset | None,
    tested: Dataset,
    clock: Clock,
    *,
    findings: tuple[Finding, ...] = (),
    notes: tuple[str, ...] = (),
    ranking: Ranking | None = None,
) -> Result:
    """Prove what an adapted model is worth and measure it, on test examples; nothing is saved yet."""
    model, progress = adapted.model, adapted.ground.progress
    with clock.phase("compare"):
        proof = prove(adapted, tested, ranking=ranking, progress=progress)
    with clock.phase("evaluate"):
        found = evaluate(
            model,
            tested,
            train=train,
            validation=validation,
            classical=_classical(adapted),
            keep_seen=True,
            progress=progress,
        )
    n, groups = counted({"train": train, "validation": validation, "test": tested})
    told = {"metrics": found.as_dict()["metrics"], "proof": proof.certificate(), "comparison": proof.sentence}
    model = model.with_record(n=n, data=tested.name, **told)
    return Result(
        model,
        found,
        proof,
        tested.name,
        n,
        groups,
        tuple(map(tested.called, (*notes, *model.record["notes"]))),
        tested.told((*findings, *_news(findings, found.findings), *proof.findings)),
        *clock.told(),
        None,
        None,
        ranking,
    )


def _classical(adapted: Adapted) -> Model | None:
    """Return the classical model that was made, as the chosen one or as what it is held against."""
    made = [one for one in (adapted.model, adapted.rival) if one is not None]
    return next((one for one in made if one.record["strategy"] == Classical.name), None)


def report_beside(path: Path, word: str = "") -> Path:
    """Return where the report of a saved model lies, or that of one of its targets."""
    return path.with_name(f"{path.name.removesuffix(artifact.SUFFIX)}{word}.report.html")


def counted(sets: dict[str, Dataset | None]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the examples of each set, and its groups where there are groups."""
    n = {name: len(part) if part is not None else 0 for name, part in sets.items()}
    grouped = {name: part.groups for name, part in sets.items() if part is not None and part.groups is not None}
    return n, {name: len(set(groups)) for name, groups in grouped.items()}


def _source(
    train: Dataset,
    validation: Dataset | None,
    backbone: str | Backbone | Sequence[str | Backbone] | None,
    seed: int,
    tested: int,
    progress: Progress,
) -> tuple[str | Backbone | None, Ranking | None]:
    """Return the source that is meant or, where several are named, the one that ranks first, and the ranking."""
    asked, pool = asked_sources(backbone)
    if pool is None:
        return asked, None
    learned = train if validation is None else train.joined_with(validation)
    ranking = rank_sources(learned, pool, tested=tested, seed=seed, progress=progress)
    return ranking.backbones[ranking.best.name], ranking


def asked_sources(
    backbone: str | Backbone | Sequence[str | Backbone] | None,
) -> tuple[str | Backbone | None, str | Sequence[str | Backbone] | None]:
    """Return the source that is meant or, where it is several, the pool of them: commas stand between names.

    Raises:
        OptionError: one is named at a cut, which is a strategy's.
    """
    if isinstance(backbone, str) and "," in backbone:
        backbone = [name.strip() for name in backbone.split(",") if name.strip()]
    given = [backbone] if isinstance(backbone, str | Backbone) else backbone or ()
    named = [name for one in given for name in (lines_of(one) if isinstance(one, str) else [one])]
    cut = next((one for one in map(Variant.of, named) if one.cut is not None), None)
    if cut is not None:
        raise OptionError(
            "a source is learned from as a whole here.", got=str(cut), hint=f"--backbone {cut.source} --cut {cut.cut}"
        )
    if backbone is None or isinstance(backbone, Backbone):
        return backbone, None
    if isinstance(backbone, str) and backbone not in (OFFLINE, ALL):
        return backbone or None, None
    return None, backbone


def destination(out: str | Path | None) -> Path | None:
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
        write_report(result, result.report, command_of(data, asked))


def command_of(data: object, asked: Mapping[str, Any]) -> str:
    """Return what gives the result again, on the command line where the data is a file or a folder.

    What else was settled stands in the plan of the saved model.
    """
    words = ["headstart", "fit", str(data) if isinstance(data, str | Path) else "DATA"]
    for name, value in asked.items():
        are_names = name != "target" or isinstance(data, str | Path)
        several = list(value) if isinstance(value, list | tuple) and are_names else [value]
        if name == "backbone" and value is not None:
            several = [",".join(str(one.name if isinstance(one, Backbone) else one) for one in several)]
        if name in DEFAULTS and several == [DEFAULTS[name]]:
            continue
        for one in several:
            if isinstance(one, str | Path | int | float):
                words += [f"--{name}", str(one)]
    return shlex.join(words)


def _news(told: tuple[Finding, ...], found: tuple[Finding, ...]) -> list[Finding]:
    """Return the findings on the evaluation that those on the data do not tell already."""
    codes = {finding.code for finding in told}
    codes |= {"seen_in_training"} if "copies_across_splits" in codes else set()
    return [finding for finding in found if finding.code not in codes]


def truncated(
    dataset: Dataset, backbone: Backbone, strategies: Sequence[Strategy] | None = None
) -> tuple[Finding, ...]:
    """Say which texts a backbone cannot read to their end; where sentences are chosen, which hold one too long."""
    if dataset.task.form == "text" and all(isinstance(one, EXTRACTING) for one in strategies or ()):
        documents = Documents.of(dataset.inputs)
        places = sorted({int(documents.member[one]) for one in backbone.prepare.truncated(documents.sentences)})
    else:
        places = backbone.prepare.truncated(dataset.inputs)
    if not places:
        return ()
    names, most = some([dataset.names[place] for place in places]), backbone.prepare.describe()
    text = f"{count(len(places), 'text')} cut off after {most}, the most {backbone.name} reads: {names}"
    return (Finding("truncated_texts", text),)
