"""Series: long tables become histories and futures that never mix, and forecasts are held against what came."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import headstart as hs
from headstart.backbones import local
from headstart.data.clocks import are_changes
from headstart.data.histories import History
from headstart.data.series import needed, origins
from headstart.errors import DataError, OptionError
from headstart.forecasts import difference_over_time, quantile_errors, scaled_errors, spread_factor
from headstart.heads.paths import as_it_is, moved
from headstart.mistakes import errors_of
from headstart.tasks import QUANTILES, Future, Task

HORIZON = 4


def seasonal(seed: int, n: int = 96, *, freq: str = "MS") -> pd.DataFrame:
    """A season of twelve on a slope."""
    dice, steps = np.random.default_rng(seed), np.arange(n)
    values = 50 + 0.2 * steps + 8 * np.sin(2 * np.pi * (steps + seed) / 12) + dice.normal(size=n)
    return pd.DataFrame({"id": f"s{seed}", "date": pd.date_range("2001-01-01", periods=n, freq=freq), "y": values})


def table(k: int = 12, n: int = 96) -> pd.DataFrame:
    return pd.concat([seasonal(seed, n) for seed in range(k)], ignore_index=True)


def read(data: object, **settings: Any) -> hs.Dataset:
    return hs.read(data, **{"series": "id", "time": "date", "target": "y", "horizon": HORIZON, **settings})


@pytest.fixture(scope="module")
def examples() -> hs.Dataset:
    return read(table())


@pytest.fixture(scope="module")
def patchtst(examples: hs.Dataset) -> hs.Model:
    strategy = hs.FromScratch(epochs=2)
    return hs.adapt(examples.given_part("train"), backbone="patchtst", strategy=strategy)


def test_parts_lie_apart_by_the_horizon() -> None:
    for n in (24, 40, 60, 500):
        parts, stride = origins(n, 5, tested=5, windows=8)
        assert max(parts["test"]) + 5 == n
        assert len(parts["test"]) == min(5, max(1, (n - needed(5)) // 2 + 1))
        assert max(parts["validation"]) + 5 <= min(parts["test"])
        assert max(parts["train"]) + 5 <= min(parts["validation"])
        assert 1 <= len(parts["train"]) <= 8
        assert stride >= 1


def test_frequency_season_and_split_are_inferred_and_said(examples: hs.Dataset) -> None:
    assert {one.season for one in examples.given_part("test").inputs} == {12}
    assert set(examples.given) == {"train", "validation", "test"}
    assert examples.given.count("test") == 12 * 5
    assert "12 monthly" in " ".join(examples.notes)
    assert "with a gap of 4 steps" in " ".join(examples.notes)
    assert examples.task.overlap is None
    assert set(examples.groups or ()) == {f"s{seed}" for seed in range(12)}


def test_what_comes_after_an_origin_changes_nothing_before_it() -> None:
    """Every bit of what is known at an origin, features and forecasts, stays when later values change."""
    frame = table(1)
    changed = frame.copy()
    changed.loc[60:, "y"] = 1e6
    one, other = read(frame), read(changed)
    earlier = [place for place, history in enumerate(one.inputs) if len(history.values) <= 60]
    assert 3 < len(earlier) < len(one)
    backbone = hs.load_backbone("patchtst")
    for place in earlier[::4]:
        assert one.contents[place] == other.contents[place]
        first, second = one.inputs[place], other.inputs[place]
        assert first.scaled.tobytes() == second.scaled.tobytes()
        assert (first.centre, first.scale) == (second.centre, second.scale)
        assert torch.equal(backbone.prepare([first])["bits"], backbone.prepare([second])["bits"])
        for method in local.METHODS:
            assert local.forecast(first, method, HORIZON).tobytes() == local.forecast(second, method, HORIZON).tobytes()


def test_scales_are_of_the_past_alone_and_never_0() -> None:
    flat = History.of([5.0] * 30)
    assert flat.scale == 1.0
    assert History.of(np.arange(30.0), 7).scale == 7.0
    future = History.of(np.arange(30.0), 7).future(np.array([30.0, 36.0]))
    assert Task("y", "forecasting", horizon=2).encode([future])[0].tolist() == [1 / 7, 1.0, 29.0, 7.0, 29.0]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda frame: frame.sample(frac=1, random_state=0), "unsorted_times"),
        (lambda frame: pd.concat([frame, frame.tail(1)]), "duplicate_times"),
        (lambda frame: frame.drop(index=[40, 41]), "gaps"),
        (lambda frame: frame.assign(y=frame.y.mask(frame.index == 50)), "missing_values"),
        (lambda frame: frame.assign(y=frame.y.astype(object).mask(frame.index == 50, "n/a!")), "missing_values"),
        (lambda frame: frame.assign(date=frame.date.astype(str).mask(frame.index == 50, "soon")), "unreadable_times"),
        (lambda frame: pd.concat([frame, seasonal(99, 6)]), "too_short_series"),
        (lambda frame: pd.concat([frame, seasonal(99, 14)]), "short_series"),
        (lambda frame: pd.concat([frame, seasonal(99).assign(y=3.0)]), "constant_series"),
        (lambda frame: pd.concat([frame, seasonal(99).assign(y=np.nan)]), "empty_series"),
        (lambda frame: frame.assign(id=frame.id.mask(frame.index == 3)), "missing_series"),
        (lambda frame: frame.drop(index=[*range(5, 90, 2)]), "irregular_times"),
    ],
)
def test_bad_rows_are_handled_and_said(change: Callable[[pd.DataFrame], pd.DataFrame], code: str) -> None:
    data = read(change(table(2)))
    assert code in {finding.code for finding in hs.check(data)} if hasattr(hs, "check") else True
    assert code in {finding.code for finding in data.findings}
    assert all(np.isfinite(one.values).all() for one in data.inputs)


def test_unsorted_rows_give_the_same_examples() -> None:
    assert read(table(2)).contents == read(table(2).sample(frac=1, random_state=1).sort_values("id")).contents


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"horizon": None}, "how far ahead is not said."),
        ({"horizon": 0}, "the horizon is out of range."),
        ({"series": "nobody"}, "there is no column 'nobody'."),
        ({"time": "y"}, "a column has two parts."),
        ({"group": "id"}, "--group has no meaning where series are forecast."),
        ({"task": "regression"}, "--task has no meaning where series are forecast."),
    ],
)
def test_wrong_questions_get_one_sentence(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(OptionError) as raised:
        read(table(1), **settings)
    assert raised.value.problem == problem


def test_tables_without_a_usable_series_get_one_sentence() -> None:
    with pytest.raises(DataError, match="none of the 2 series"):
        read(table(2, 9))
    with pytest.raises(DataError, match="too short to hold anything out"):
        read(table(2, 13))
    with pytest.raises(DataError, match="no time in the column"):
        read(table(1).assign(date="soon"))
    with pytest.raises(DataError, match="holds no number"):
        read(table(1).assign(y="many"))


@pytest.mark.parametrize(
    ("times", "season", "following"),
    [
        ([str(1900 + k) for k in range(60)], 1, "1960-01-01"),
        ([str(k) for k in range(60)], 7, "60"),
        ([f"{d:%Y-%m-%d}" for d in pd.bdate_range("2020-01-06", periods=60)], 1, "2020-03-30"),
        ([f"{d:%Y-%m-%d}" for d in pd.date_range("2020-01-01", periods=60)], 7, "2020-03-01"),
        ([f"{d:%Y%m%d}" for d in pd.date_range("2020-03-31", periods=60, freq="QE")], 4, "2035-03-31"),
        ([f"{d}" for d in pd.date_range("2020-01-01", periods=60, freq="h")], 24, "2020-01-03T12:00:00"),
    ],
)
def test_times_of_many_kinds_are_told(times: list[str], season: int, following: str) -> None:
    from headstart.data.inputs import gather

    frame = pd.DataFrame({"date": times, "y": np.arange(60.0) % 7})
    (given,) = gather(frame, "series", ("", "date", "y"))
    assert given.value.season == season
    assert given.value.times(1) == [following]


def test_seasonal_walks_and_fits_agree_with_what_they_are() -> None:
    history = History.of(np.tile([1.0, 5.0, 2.0, 8.0], 12), 4)
    path = local.forecast(history, "seasonal_naive", 6)[0] * history.scale + history.centre
    assert np.allclose(path, [1, 5, 2, 8, 1, 5])
    line = History.of(np.arange(40.0) + np.random.default_rng(0).normal(size=40) / 10)
    for method in ("drift", "ets", "arima"):
        path = local.forecast(line, method, 3)[0] * line.scale + line.centre
        assert np.allclose(path, [40, 41, 42], atol=0.5), method


def test_fitted_methods_are_statsmodels() -> None:
    from statsmodels.tsa.forecasting.theta import ThetaModel

    values = np.random.default_rng(0).normal(size=80).cumsum()
    history = History.of(values)
    expected = ThetaModel(pd.Series(values), period=1, deseasonalize=False).fit().forecast(5)
    got = local.forecast(history, "theta", 5)[0] * history.scale + history.centre
    assert np.allclose(got, expected, rtol=1e-3, atol=1e-3)


def test_a_fit_that_fails_leaves_the_seasonal_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise np.linalg.LinAlgError

    monkeypatch.setitem(local.BY_NAME, "ets", fails)  # type: ignore[arg-type]
    history = History.of(np.arange(30.0) % 4, 4)
    assert np.array_equal(local.forecast(history, "ets", 3), local.forecast(history, "seasonal_naive", 3))


def path_task(h: int = 3, **settings: Any) -> Task:
    return Task("y", "forecasting", horizon=h, **settings)


def truth_of(paths: np.ndarray) -> np.ndarray:
    return np.hstack([paths, np.tile([10.0, 2.0, 10.0], (len(paths), 1))])


def test_errors_are_what_they_are_called() -> None:
    task, truth = path_task(2), truth_of(np.array([[1.0, -3.0]]))
    outputs = np.zeros((1, task.n_outputs))
    assert scaled_errors(task, truth, outputs) == pytest.approx(2.0)
    assert quantile_errors(task, truth, outputs) == pytest.approx(2.0)  # a point forecast: the absolute error
    measured = hs_metrics(task, np.repeat(truth, 4, 0), np.repeat(outputs, 4, 0))
    assert measured["mase"] == pytest.approx(2.0)
    assert measured["smape"] == pytest.approx((200 * 2 / 22 + 200 * 6 / 14) / 2)
    assert measured["weighted_quantile_loss"] == pytest.approx(4 / 8)
    assert measured["coverage_80"] == 0.0
    assert measured["direction"] == 0.5


def hs_metrics(task: Task, truth: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    from headstart.metrics import measure

    return {name: one.value for name, one in measure(task, truth, outputs).items()}


def test_returns_go_up_and_down_from_0() -> None:
    history = History.of(np.random.default_rng(0).normal(size=40))
    assert are_changes(history.values)
    assert history.future(np.array([0.5]), are_changes=True).base == 0.0
    assert History.of(np.arange(1.0, 40)).future(np.array([0.5])).base == 39.0


def test_intervals_become_as_wide_as_others_ask_for() -> None:
    task, dice = path_task(), np.random.default_rng(0)
    truth = truth_of(dice.normal(size=(400, 3)))
    from scipy.stats import norm

    narrow = np.tile(0.5 * norm.ppf(QUANTILES), (400, 3))
    assert spread_factor(task, truth, narrow, 1000) == pytest.approx(2.0, abs=0.15)
    assert spread_factor(task, truth, np.zeros((400, 27)), 400) == 1.0


def test_a_strict_head_is_the_source_as_it_is() -> None:
    task, dice = path_task(), np.random.default_rng(0)
    features = dice.normal(size=(60, 450)).astype(np.float32)
    truth = truth_of(dice.normal(size=(60, 3)))
    weight, bias = moved(features, truth, task, 1e-9)
    assert np.allclose(weight, as_it_is(450, 3), atol=1e-5)
    assert np.abs(bias).max() < 1e-5
    freer, _ = moved(features, truth, task, 1e3)
    assert np.abs(freer - weight).max() > 1e-3


def test_diebold_and_mariano_with_harveys_correction() -> None:
    """One step ahead without overlap it is Student's t with the factor (k + 1 - 2 + 0) / k of the variance of k."""
    gaps, k = np.random.default_rng(0).normal(0.5, 1, 30), 30
    found = difference_over_time(gaps, np.arange(k), 0, 0.95)
    error = np.sqrt(gaps.var() / k / ((k - 1) / k))
    assert found.value == pytest.approx(gaps.mean())
    from scipy.stats import t, ttest_1samp

    assert found.p == pytest.approx(2 * t.sf(abs(gaps.mean()) / error, k - 1))
    assert found.p == pytest.approx(ttest_1samp(gaps, 0).pvalue)
    assert difference_over_time(gaps, np.arange(k), 3, 0.95).p != found.p


def test_overlapping_errors_do_not_claim_too_often() -> None:
    dice, claimed = np.random.default_rng(0), 0
    for _ in range(200):
        gaps = np.convolve(dice.normal(size=43), np.ones(4) / 4, "valid")
        claimed += difference_over_time(gaps, np.arange(40), 3, 0.95).is_claimed
    assert claimed <= 30


def test_all_of_it_from_a_table_to_a_saved_model(tmp_path: Path) -> None:
    out = tmp_path / "series.headstart"
    arms = [hs.Majority(), hs.Classical(), hs.Probe()]
    parts: Any = {"series": "id", "time": "date", "target": "y", "horizon": HORIZON}
    result = hs.fit(table(10, 40), **parts, backbone="patchtst", strategy=arms, out=out)
    assert result.proof.sentence.startswith("no proven benefit") or "transfer" in result.proof.sentence
    assert next(iter(result.evaluation.metrics)) == "mase"
    assert set(result.evaluation.baselines) == {*local.METHODS, "classical"}
    assert result.evaluation.metrics["mase"].value < result.evaluation.baselines["random_walk"]["mase"].value
    assert "beside_random_walk" in {finding.code for finding in result.warnings}
    page = (tmp_path / "series.report.html").read_text(encoding="utf-8")
    assert "What was forecast, and what came" in page
    loaded = hs.load(out)
    (first, *_) = loaded.predict(table(2))
    assert [step["time"] for step in first.answer["forecast"]][:2] == ["2009-01-01", "2009-02-01"]
    low, value, high = (first.answer["forecast"][0][name] for name in ("low", "value", "high"))
    assert low <= value <= high


def test_a_single_series_is_judged_over_origins() -> None:
    arms = [hs.Majority(), hs.Classical(), hs.Probe()]
    walk = pd.DataFrame({"y": 100 + np.random.default_rng(3).normal(size=200).cumsum()})
    result = hs.fit(walk, target="y", horizon=HORIZON, backbone="patchtst", strategy=arms)
    assert result.proof.verdict is not None
    assert "Diebold-Mariano" in result.proof.verdict.gain.method
    assert result.proof.verdict.word == "no proven benefit"
    assert "random walk" in " ".join(finding.text for finding in result.warnings)
    assert all("row" not in note or "rows are steps" in note for note in result.notes)


def test_what_is_made_here_is_a_source_and_forecasts_as_far_as_it_learned(
    patchtst: hs.Model, examples: hs.Dataset, tmp_path: Path
) -> None:
    source = patchtst.save(tmp_path / "source.headstart")
    loaded = hs.load_backbone(str(source))
    assert int(loaded.trunk.get_buffer("known")) == HORIZON
    own = hs.adapt(examples, backbone=loaded, strategy=hs.ZeroShot())
    assert own.record["strategy"] == "zeroshot"
    with pytest.raises(OptionError, match="the source as it is does not answer this"):
        hs.adapt(read(table(), horizon=6), backbone=loaded, strategy=hs.ZeroShot())
    tuned = hs.adapt(examples, backbone=loaded, strategy=hs.FineTune(epochs=1))
    assert tuned.backbone.card.lineage


def test_the_source_as_it_is_is_asked_of_series_alone(reviews: Path) -> None:
    with pytest.raises(OptionError, match="cannot be asked"):
        hs.adapt(hs.read(reviews), backbone="wordllama", strategy=hs.ZeroShot())


def test_learned_quantiles_are_in_order_and_cover(patchtst: hs.Model, examples: hs.Dataset) -> None:
    shown = examples.given_part("test")
    outputs = patchtst.task.by_step(patchtst.outputs(shown.inputs))
    assert (np.diff(outputs, axis=2) >= 0).all()
    assert np.isfinite(
        errors_of(patchtst.task, patchtst.task.encode(shown.values), outputs.reshape(len(shown), -1))
    ).all()


def test_numbers_and_tables_are_forecast_and_others_refused(patchtst: hs.Model) -> None:
    values = np.arange(30.0)
    for given in (values, values.tolist(), [values], History.of(values)):
        (answer,) = patchtst.predict(given)
        assert [step["time"] for step in answer.answer["forecast"]] == ["+1", "+2", "+3", "+4"]
    assert patchtst.predict([values[:5]])[0].error == "series has fewer than 8 values."
    assert patchtst.predict(["no table"])[0].error == "no table is no table of series."
    assert patchtst.predict([np.array([1.0, np.nan] * 10)])[0].error == "series holds something that is no number."
    with pytest.raises(DataError):
        patchtst.predict([])


def test_commands_take_series(headstart: Callable[..., Any], tmp_path: Path) -> None:
    path, out = tmp_path / "long.csv", tmp_path / "long.headstart"
    table(3, 60).to_csv(path, index=False)
    words = ["--series", "id", "--time", "date", "--target", "y", "--horizon", HORIZON]
    made = headstart("adapt", path, *words, "--backbone", "patchtst", "--out", out, "--json")
    assert made.code == 0, made.err
    measured = headstart("evaluate", out, path, "--json").json
    assert measured["headline"] == "mase"
    assert measured["n"] == 3 * 5 or measured["n"] > 0
    said = headstart("predict", out, path, "--json").json
    assert [one["series"] for one in said["predictions"]] == ["s0", "s1", "s2"]
    assert headstart("predict", out, path).out.count("\n") == 3 * HORIZON
    compared = headstart("compare", path, *words, "--arms", "majority,classical", "--backbone", "patchtst", "--json")
    assert compared.json["proof"]["sentence"].startswith("nothing was compared")
    missing = headstart("fit", path, "--series", "id", "--time", "date", "--target", "y", "--json")
    assert (missing.code, missing.json["problem"]) == (2, "how far ahead is not said.")
    refused = headstart("rank", path, "--horizon", 3, "--json")
    assert refused.code == 2
    assert Future is not None
