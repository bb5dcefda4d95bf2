"""Commands that make a model."""

from __future__ import annotations

from typing import Annotated, Any, cast

import typer

from headstart.cli.answers import default_out, example_input, one_answer, quoted, refuse, show_next
from headstart.cli.options import (
    Arms,
    Balance,
    BudgetEach,
    Cut,
    Data,
    Epochs,
    Group,
    Horizon,
    Inputs,
    Json,
    Kind,
    PlanFile,
    Rate,
    Saved,
    Sensitive,
    Series,
    Source,
    Target,
    Targets,
    TestShare,
    Time,
)
from headstart.wording import read_seconds, user_path

DEMO_BUDGET = 60.0
making = typer.Typer()


@making.command()
def demo(
    out: Annotated[str, typer.Option(help="Folder for the data and the models.")] = "headstart-demo",
    as_json: Json = False,
) -> None:
    """Do the main job on real data that ships with the dependencies.

    Example: `headstart demo`
    """
    with one_answer(as_json) as answer:
        from headstart import screen
        from headstart.demo import write_demos
        from headstart.job import fit as run_fit

        results = []
        for shown in write_demos(user_path(out)):
            model = shown.data.with_suffix(".headstart")
            screen.TALK.print(f"headstart fit {shown.data} --out {model}   # {shown.words}", soft_wrap=True)
            with screen.progress_bars() as progress:
                result = run_fit(str(shown.data), out=model, budget=DEMO_BUDGET, progress=progress)
            results.append(result.as_dict())
            if not as_json:
                screen.show_result(result)
                further = f"headstart fit {quoted(shown.data)} {shown.further}   # read lower down, before objects"
                show_next(
                    f"headstart predict {quoted(model)} {shown.try_it}",
                    f"headstart evaluate {quoted(model)} {quoted(shown.data)}",
                    *([further] if shown.further else []),
                )
        answer.update({"schema": "headstart.demo/1", "results": results})


@making.command(short_help="The main job: compare with no transfer, choose, learn, report.")
def fit(
    data: Data,
    inputs: Inputs = None,
    target: Targets = None,
    group: Group = None,
    sensitive: Sensitive = None,
    task: Kind = None,
    series: Series = None,
    time: Time = None,
    horizon: Horizon = None,
    backbone: Source = None,
    arms: Arms = None,
    cut: Cut = None,
    epochs: Epochs = None,
    rate: Rate = None,
    balance: Balance = None,
    budget: BudgetEach = None,
    plan: PlanFile = None,
    test: TestShare = 0.2,
    seed: Annotated[int, typer.Option(help="Of the split and the folds.")] = 0,
    out: Annotated[str | None, typer.Option(help="Where to save the model; DATA.headstart by default.")] = None,
    as_json: Json = False,
) -> None:
    """Read, check, split, compare with no transfer, choose, learn, measure, save and report: the main job.

    Interrupted, the same command goes on where it was. HEADSTART_PRECISION=fp32 computes nothing in less.
    Several targets, or the data sets that a .toml file names, learn on one network where that does them no harm.
    With --horizon the values of a long table are forecast, split by time.

    Example: `headstart fit photos/ --out ants.headstart`
    """
    with one_answer(as_json) as answer:
        from headstart import screen
        from headstart.data.pooling import is_sets
        from headstart.job import fit as run_fit
        from headstart.plan import read_plan
        from headstart.report.result import MultiTaskResult, Result
        from headstart.strategies import contenders
        from headstart.together import fit_together

        steps: dict[str, Any] = {"series": series, "time": time, "horizon": horizon, "task": task}
        with screen.progress_bars() as progress:
            shared: dict[str, Any] = {"input": inputs, "group": group, "backbone": backbone, "test": test, "seed": seed}
            shared |= {
                "strategy": contenders(arms, cut=cut, epochs=epochs, rate=rate),
                **({} if budget is None else {"budget": read_seconds(budget)}),
                "out": out if out is not None else default_out(data),
                "progress": progress,
            }
            if len(target or ()) > 1 or is_sets(data):
                single = {"--plan": plan, "--sensitive": sensitive}
                refuse(single | {f"--{name}": value for name, value in steps.items()}, "several targets at once")
                made: Result | MultiTaskResult = fit_together(
                    data, target=target, balance=cast(Any, balance or "sum"), **shared
                )
            else:
                refuse({"--balance": balance}, "a single target")
                asked = {"target": target[0] if target else None, "sensitive": sensitive or (), **steps}
                made = run_fit(data, plan=read_plan(plan) if plan is not None else None, **asked, **shared)
        answer.update(made.as_dict())
        if not as_json:
            screen.show_together(made) if isinstance(made, MultiTaskResult) else screen.show_result(made)
            screen.OUT.print(made.saved, soft_wrap=True)
            show_next(f"headstart predict {quoted(made.path)} {example_input(made)}")


@making.command(short_help="Add a target to a saved model; its old answers stay.")
def add(
    model: Saved,
    data: Data,
    inputs: Inputs = None,
    target: Target = None,
    group: Group = None,
    task: Kind = None,
    arms: Arms = None,
    cut: Cut = None,
    epochs: Epochs = None,
    rate: Rate = None,
    test: TestShare = 0.2,
    seed: Annotated[int, typer.Option(help="Of the split and the folds.")] = 0,
    out: Annotated[str | None, typer.Option(help="Where to save the whole; in place of MODEL by default.")] = None,
    as_json: Json = False,
) -> None:
    """Add a target to a saved model; what it answers already stays as it is, to the bit.

    With --arms finetune stages of the shared network may learn it, which are taught their old answers meanwhile: what
    changes of those is measured, and where that is more than a few the new target gets a network of its own.

    Example: `headstart add ants.headstart photos.csv --target season`
    """
    with one_answer(as_json) as answer:
        from headstart import screen
        from headstart.adding import add_target
        from headstart.strategies import contenders

        with screen.progress_bars() as progress:
            whole, result = add_target(
                model,
                data,
                input=inputs,
                target=target,
                group=group,
                strategy=contenders(arms, cut=cut, epochs=epochs, rate=rate),
                task=task,  # type: ignore[arg-type]  # read says what is wrong with it
                test=test,
                seed=seed,
                out=out if out is not None else model,
                progress=progress,
            )
        kept = whole.record["kept"]
        answer.update({**result.as_dict(), "schema": "headstart.add/1", "targets": list(whole.targets), "kept": kept})
        if not as_json:
            screen.show_result(result)
            screen.show_kept(kept)
            screen.OUT.print(f"saved {result.path}, which answers {', '.join(whole.targets)}", soft_wrap=True)
            show_next(f"headstart predict {quoted(result.path)} {example_input(result)}")


@making.command(short_help="Learn one strategy, with nothing held beside it.")
def adapt(
    data: Data,
    strategy: Annotated[
        str, typer.Option(help="probe, zeroshot, finetune, l2sp, bss, cotuning, average, lora, refine or scratch.")
    ] = "probe",
    inputs: Inputs = None,
    target: Target = None,
    group: Group = None,
    task: Kind = None,
    series: Series = None,
    time: Time = None,
    horizon: Horizon = None,
    backbone: Source = None,
    cut: Cut = None,
    epochs: Epochs = None,
    rate: Rate = None,
    seed: Annotated[int, typer.Option(help="Of the folds, and of everything drawn.")] = 0,
    plan: PlanFile = None,
    out: Annotated[str | None, typer.Option(help="Where to save the model; DATA.headstart by default.")] = None,
    as_json: Json = False,
) -> None:
    """Learn one strategy from all examples but a given test part, and save; nothing is measured.

    Interrupted, the same command goes on where it was.

    Example: `headstart adapt photos/ --strategy finetune --cut -2`
    """
    with one_answer(as_json) as answer:
        from headstart import artifact, screen
        from headstart.adaptation import adapt as run_adapt
        from headstart.data import read
        from headstart.plan import read_plan
        from headstart.strategies import named

        path = user_path(out if out is not None else default_out(data))
        artifact.check_destination(path.resolve())
        chosen = named(strategy, cut=cut, epochs=epochs, rate=rate)
        with screen.progress_bars() as progress:
            examples = read(
                data,
                input=inputs,
                target=target,
                group=group,
                task=task,  # type: ignore[arg-type]  # read says what is wrong with it
                series=series,
                time=time,
                horizon=horizon,
                progress=progress,
            )
            model = run_adapt(
                examples,
                backbone=backbone,
                strategy=chosen[0] if chosen else None,
                seed=seed,
                plan=read_plan(plan) if plan is not None else None,
                checkpoint=path,
                progress=progress,
            )
            model.save(path)
        answer.update({"schema": "headstart.adapt/1", "model": str(path), "data": examples.name, **model.record})
        if not as_json:
            screen.show_findings(examples.findings)
            screen.show_model(model, path)
            show_next(f"headstart evaluate {quoted(path)} LABELLED_DATA")
