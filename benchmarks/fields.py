"""Other fields: what the main job finds on real data of each, beside what is asked of it.

Run `python -m benchmarks.fields`: every case that `results/fields.jsonl` lacks is run and appended; `--only` names
some, `--report` says what the results show. It needs HEADSTART_DATA. On two cores all of it takes about two hours, most
of which go to writing summaries and to the random walks.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

import headstart as hs
from benchmarks.sets import root
from headstart import baselines
from headstart.mistakes import errors_of
from headstart.paired import difference_of_means
from headstart.statistics import RESAMPLES, percentile_interval, resampled_weights
from headstart.strategies import contenders

RESULTS = Path(__file__).parent / "results" / "fields.jsonl"
HORIZON = 12
LONG = {"series": "series_id", "time": "timestamp", "target": "value", "horizon": HORIZON}
WALKS, STEPS = 200, 300
SHARE = 0.2
"""Of each series' history that a network is taught on, where it is compared with itself from scratch."""

WRITTEN, EPOCHS = 1991, 4
MEDICAL = {"symptom2disease": {}, "medical_abstracts": {}, "chest_xray": {"group": "patient_id"}}


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--only", nargs="*", default=list(CASES))
    parser.add_argument("--report", action="store_true", help="only say what the results show")
    chosen = parser.parse_args()
    done = [json.loads(line) for line in chosen.results.read_text().splitlines()] if chosen.results.exists() else []
    for name in [] if chosen.report else chosen.only:
        if name not in [row["case"] for row in done]:
            row = {"case": name, **CASES[name]()}
            with chosen.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    for line in chosen.results.read_text(encoding="utf-8").splitlines():
        print(json.dumps(json.loads(line), indent=1), flush=True)


def _table(name: str) -> Path:
    return next((root() / name).glob("*.csv"))


def _long(name: str) -> pd.DataFrame:
    return pd.read_csv(root() / name / ("finance.csv" if name.startswith("finance") else f"{name}.csv"))


def _told(result: hs.Result) -> dict:
    """Return what a result says: its measures and its baselines' with intervals, the verdict, the seconds."""
    rivals = {name: str(found[result.evaluation.headline]) for name, found in result.evaluation.baselines.items()}
    return {
        "strategy": result.model.record["strategy"],
        "sentence": result.proof.sentence,
        "metrics": {name: str(one) for name, one in result.evaluation.metrics.items()},
        "baselines": rivals,
        "warnings": [finding.code for finding in result.warnings],
        "seconds": result.seconds["total"],
    }


def tags() -> dict:
    """Slots of ATIS: fine-tuning MiniLM."""
    strategies = contenders("majority,classical,probe,finetune")
    return _told(hs.fit(_table("atis"), input="text", target="slots", strategy=strategies))


def series(name: str) -> dict:
    """Long tables: the chosen method beside the local ones, as ratios of mean errors with a bootstrap over series."""
    result = hs.fit(_long(name), **LONG)
    tested, task = result.proof.tested, result.model.task
    rivals = {
        word: errors_of(task, tested.truth, outputs)
        for word, outputs in baselines.each_alone(tested.data, task).items()
    }
    own = errors_of(task, tested.truth, tested.outputs)
    best = min(("ets", "theta", "arima"), key=lambda word: float(rivals[word].mean()))
    groups = np.unique(tested.data.groups, return_inverse=True)[1]
    ratios = {word: _ratio(own, rivals[word], groups) for word in ("seasonal_naive", "random_walk", best)}
    return {**_told(result), "origins": result.evaluation.n, "ratios": ratios}


def _ratio(own: np.ndarray, other: np.ndarray, groups: np.ndarray) -> list[float]:
    drawn = np.concatenate([(w @ own) / (w @ other) for w in resampled_weights(groups, RESAMPLES)])
    value = float(own.mean() / other.mean())
    return [round(one, 3) for one in (value, *percentile_interval(value, drawn))]


def pretrained() -> dict:
    """PatchTST taught on the pool of M4's series, against the same network from scratch, on a fifth of the history."""
    pool = pd.concat(
        [pd.read_csv(file).assign(series_id=lambda one, stem=file.stem: stem + one["series_id"].astype(str))
         for file in sorted((root() / "m4_source_pool").glob("*.csv"))]
    )  # fmt: skip
    source = hs.adapt(hs.read(pool, **LONG), backbone="patchtst", strategy=hs.FromScratch(network="same"))
    place = source.save(Path("pretrained.headstart"))
    found = {}
    for name in ("classic_series", "finance_daily_monthly"):
        own = [part.tail(max(60, round(SHARE * len(part)))) for _, part in _long(name).groupby("series_id")]
        train, test = hs.read(pd.concat(own), **LONG).split()
        tuned = hs.adapt(train, backbone=str(place), strategy=hs.FineTune())
        alone = hs.adapt(train, backbone="patchtst", strategy=hs.FromScratch(network="same"))
        truth = tuned.task.encode(test.values)
        errors = [errors_of(tuned.task, truth, one.outputs(test.inputs)) for one in (alone, tuned)]
        units = np.unique(test.groups, return_inverse=True)[1]
        gain = difference_of_means(*errors, units)
        found[name] = {"tuned": float(errors[1].mean()), "scratch": float(errors[0].mean()), "gain": gain.as_dict()}
    return found


def walks() -> dict:
    """Random walks: how often skill is claimed where there is none."""
    claimed, words = 0, []
    for seed in range(WALKS):
        values = 100 + np.cumsum(np.random.default_rng(seed).normal(size=STEPS))
        table = pd.DataFrame({"t": pd.date_range("2020-01-01", periods=STEPS, freq="D"), "v": values})
        arms = contenders("majority,classical,zeroshot,probe")
        result = hs.fit(table, time="t", target="v", horizon=HORIZON, strategy=arms)
        told = next(one.text for one in result.warnings if one.code == "beside_random_walk")
        is_claimed = told.startswith("ahead") or (
            result.proof.verdict is not None and result.proof.verdict.word == "helps"
        )
        claimed += is_claimed
        words.append(told.partition(":")[0])
    return {"walks": WALKS, "claimed": claimed, "words": {word: words.count(word) for word in sorted(set(words))}}


def summaries(name: str) -> dict:
    """Extractive summaries: what is chosen and, beside it, the probe with its paired gains."""
    data = hs.read(_table(name), input="text", target="summary")
    probe = hs.fit(data, strategy=[hs.Majority(), hs.Probe()]) if name == "scitldr" else None
    ahead = {} if probe is None else {word: one.as_dict() for word, one in probe.evaluation.ahead.items()}
    return {**_told(hs.fit(data)), "probe": None if probe is None else _told(probe), "ahead": ahead}


def written() -> dict:
    """Summaries that are written: an encoder's layers as a decoder, against the same network from scratch."""
    from headstart.summaries import rouges

    data = hs.read(_table("scitldr"), input="text", target="summary")
    train, tested = data.given_part("train").take(np.arange(WRITTEN)), data.given_part("test")
    truth, scores, found = data.task.encode(tested.values), {}, {}
    for strategy in (hs.FineTune(epochs=EPOCHS), hs.FromScratch(network="same", epochs=EPOCHS)):
        model = hs.adapt(train, strategy=strategy)
        answers = model.outputs(tested.inputs)
        scores[strategy.name] = rouges(truth, answers)[:, -1]
        found[strategy.name] = {
            "metrics": {name: str(one) for name, one in hs.evaluate(model, tested).metrics.items()},
            "examples": [str(one) for one in answers[:4]],
        }
    return {**found, "gain": difference_of_means(scores["finetune"], scores["scratch"]).as_dict()}


def medical(name: str) -> dict:
    """Diagnosis from texts or pictures."""
    place = root() / name if name == "chest_xray" else _table(name)
    target = {} if name == "chest_xray" else {"input": "text", "target": "label"}
    return _told(hs.fit(place, **target, **MEDICAL[name]))


CASES: dict[str, Callable[[], dict]] = {
    "atis": tags,
    "classic_series": lambda: series("classic_series"),
    "finance_daily_monthly": lambda: series("finance_daily_monthly"),
    "pretrained": pretrained,
    "scitldr": lambda: summaries("scitldr"),
    "dialogsum": lambda: summaries("dialogsum"),
    "bbc_news_summary100": lambda: summaries("bbc_news_summary100"),
    "symptom2disease": lambda: medical("symptom2disease"),
    "medical_abstracts": lambda: medical("medical_abstracts"),
    "chest_xray": lambda: medical("chest_xray"),
    "walks": walks,
    "written": written,
}

if __name__ == "__main__":
    main()
