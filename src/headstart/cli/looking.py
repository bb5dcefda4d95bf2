"""Commands that look before anything is made, or at what there is."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headstart.cli.answers import drawing_file, one_answer, quoted, refuse, show_next, write_drawing
from headstart.cli.options import (
    Arms,
    Budget,
    Data,
    Group,
    Horizon,
    Inputs,
    Json,
    Kind,
    PlanFile,
    Pool,
    Scores,
    Series,
    Source,
    SourceData,
    Target,
    Targets,
    TestShare,
    Time,
    Weights,
)
from headstart.wording import printable, read_seconds, read_weights, user_path

looking = typer.Typer()


@looking.command(short_help="Say which source serves the data best, and where to read it.")
def rank(
    data: Data,
    backbones: Pool = "offline",
    inputs: Inputs = None,
    target: Targets = None,
    weights: Weights = None,
    group: Group = None,
    task: Kind = None,
    series: Series = None,
    time: Time = None,
    horizon: Horizon = None,
    scores: Scores = "logme",
    use: Annotated[str | None, typer.Option(help="commercial: say which licences forbid it.")] = None,
    cuts: Annotated[bool, typer.Option(help="Read the best source at every cut as well.")] = True,
    source_data: SourceData = None,
    budget: Annotated[str | None, typer.Option(help="Time for reading sources on all examples, such as 5m.")] = None,
    plot: Annotated[str | None, typer.Option(help="Draw how sources stand against what they cost, as an SVG.")] = None,
    test: TestShare = 0.2,
    seed: Annotated[int, typer.Option(help="Of the split and the folds.")] = 0,
    as_json: Json = False,
) -> None:
    """Say which source serves the data best, where to read it, and whether transfer is worth it.

    Nothing is trained but linear heads, no test label is read, and what is computed is kept for fit.
    Of several targets it says which source serves all of them best, each by its weight.

    Example: `headstart rank photos/ --backbones efficientnet_lite0,timm/resnet50.a1_in1k`
    """
    with one_answer(as_json) as answer:
        from headstart import screen
        from headstart.data.pooling import is_sets
        from headstart.job import command_of
        from headstart.ranking.pools import ALL, OFFLINE
        from headstart.ranking.several import JointRanking, rank_together
        from headstart.ranking.sources import Ranking
        from headstart.ranking.sources import rank as run_rank

        refuse({"--series": series, "--time": time, "--horizon": horizon}, "rank yet: fit and compare take one source")
        pool = backbones if backbones in (OFFLINE, ALL) else _names(backbones)
        shared: Any = {"backbones": pool, "input": inputs, "group": group, "test": test, "seed": seed}
        file = None if plot is None else drawing_file(plot)
        with screen.progress_bars() as progress:
            if len(target or ()) > 1 or is_sets(data):
                single = {"--task": task, "--use": use, "--scores": scores != "logme", "--no-cuts": not cuts}
                refuse(single | {"--source-data": source_data, "--budget": budget, "--plot": plot}, "several targets")
                found: Ranking | JointRanking = rank_together(
                    data, target=target, weights=read_weights(weights), progress=progress, **shared
                )
            else:
                refuse({"--weight": weights}, "a single target")
                asked = {"target": target[0] if target else None, "task": task, "scores": _names(scores), "use": use}
                found = run_rank(
                    data,
                    every_cut=cuts,
                    source_data=None if source_data is None else user_path(source_data),
                    budget=None if budget is None else read_seconds(budget),
                    progress=progress,
                    **asked,  # type: ignore[arg-type]  # read says what is wrong with it
                    **shared,
                )
                write_drawing(file, found.drawing) if file is not None else None
        answer.update(found.as_dict())
        if not as_json:
            screen.show_rankings(found) if isinstance(found, JointRanking) else screen.show_ranking(found)
            again = {"input": inputs, "target": target, "group": group, "task": task, "backbone": found.given}
            show_next(command_of(data, again | {"test": test, "seed": seed}))


@looking.command(short_help="Hold contenders against no transfer, with intervals.")
def compare(
    data: Data,
    arms: Arms = None,
    inputs: Inputs = None,
    target: Target = None,
    group: Group = None,
    task: Kind = None,
    series: Series = None,
    time: Time = None,
    horizon: Horizon = None,
    backbone: Source = None,
    budget: Budget = "10m",
    plan: PlanFile = None,
    test: TestShare = 0.2,
    seed: Annotated[int, typer.Option(help="Of the split, the folds, and of everything drawn.")] = 0,
    as_json: Json = False,
) -> None:
    """Hold contenders against no transfer, and say by how much it helps; no model is saved.

    They are chosen from on training examples they did not learn from; the best on each side meet once on the test set.

    Example: `headstart compare photos/ --arms classical,probe,finetune@-7`
    """
    with one_answer(as_json) as answer:
        from headstart import screen
        from headstart.comparison.comparing import compare as run_compare
        from headstart.plan import read_plan
        from headstart.strategies import contenders

        with screen.progress_bars() as progress:
            found = run_compare(
                data,
                arms=contenders(arms),
                input=inputs,
                target=target,
                group=group,
                task=task,  # type: ignore[arg-type]  # read says what is wrong with it
                series=series,
                time=time,
                horizon=horizon,
                backbone=backbone,
                test=test,
                seed=seed,
                budget=read_seconds(budget),
                plan=read_plan(plan) if plan is not None else None,
                progress=progress,
            )
        answer.update(found.as_dict())
        if not as_json:
            screen.show_comparison(found)
            asked = {"series": series, "time": time, "target": target, "horizon": horizon}
            words = "".join(f" --{name} {quoted(value)}" for name, value in asked.items() if value is not None)
            show_next(f"headstart fit {quoted(data)}{words}")


@looking.command(short_help="List pretrained models, from where and under which licence.")
def backbones(
    folder: Annotated[str | None, typer.Argument(help="A folder of models made here, to list them too.")] = None,
    as_json: Json = False,
) -> None:
    """List what pretrained models there are, from where, and under which licence.

    Example: `headstart backbones`
    """
    with one_answer(as_json) as answer:
        from headstart.backbones.listing import list_backbones

        listed = list_backbones(folder)
        answer.update({"schema": "headstart.backbones/1", "backbones": [one.as_dict() for one in listed]})
        if not as_json:
            from headstart import screen

            screen.show_backbones(listed)


@looking.command()
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all of it; it is computed again when needed.")] = False,
    as_json: Json = False,
) -> None:
    """Show what was computed below a cut and kept, or remove it.

    HEADSTART_CACHE names its folder, or is off; HEADSTART_CACHE_SIZE is what it may take, such as 20GB.

    Example: `headstart cache`
    """
    with one_answer(as_json) as answer:
        from headstart.cache import the_cache

        kept = the_cache()
        cleared = kept.clear() if clear else 0
        shelves = kept.shelves()
        answer.update(
            {
                "schema": "headstart.cache/1",
                "folder": None if kept.folder is None else printable(str(kept.folder)),
                "bound": kept.bound,
                "bytes": sum(shelf["bytes"] for shelf in shelves),
                "shelves": shelves,
                "cleared": cleared,
            }
        )
        if not as_json:
            from headstart import screen

            screen.show_cache(answer, cleared=clear)


def _names(words: str) -> list[str]:
    """Return what stands between commas."""
    return [word.strip() for word in words.split(",") if word.strip()]
