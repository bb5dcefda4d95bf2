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
from headstart.arms import Arm, choose
from headstart.backbones import local
from headstart.data.calendars import DAYS
from headstart.data.clocks import are_changes, season_of_numbers
from headstart.data.histories import WORDS, History
from headstart.data.inputs import gather
from headstart.data.series import needed, origins
from headstart.data.times import read_times
from headstart.errors import DataError, OptionError
from headstart.forecasts import (
    difference_of_forecasts,
    difference_over_time,
    newey_west,
    quantile_errors,
    scaled_errors,
    spread_factor,
)
from headstart.heads.paths import as_it_is, moved
from headstart.mistakes import errors_of
from headstart.paired import difference_of_means
from headstart.strategies import probe
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
    assert "12 monthly, season 12" in " ".join(examples.notes)
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
    assert Task("y", "forecasting", horizon=2).encode([future])[0].tolist() == [1 / 7, 1.0, 29.0, 7.0, 29.0, 0.0]


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
        (lambda frame: frame.drop(index=[90]), "gaps_in_futures"),
        (lambda frame: frame.assign(y=frame.y.mask(frame.index < 60, 5.0)), "flat_histories"),
        (lambda frame: frame.drop(index=[*range(77, 95, 3)]), "untested_series"),
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
    with pytest.raises(DataError, match=r"left to learn from, choose on and test(.|\n)*no origin is left to test"):
        read(table(1).drop(index=[*range(40, 95, 4)]))
    with pytest.raises(DataError, match="left to learn from, choose on and test"):
        read(table(1).drop(index=[*range(54, 76, 3)]))
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
        ([str(10 * k) for k in range(60)], 7, "600"),
        ([f"{k / 4}" for k in range(60)], 7, "15"),
        ([str(1_577_836_800 + 3600 * k) for k in range(60)], 24, "2020-01-03T12:00:00"),
        ([str(1_577_836_800_000 + 86_400_000 * k) for k in range(60)], 7, "2020-03-01"),
        ([f"{d:%Y%m}" for d in pd.date_range("2020-01-01", periods=60, freq="MS")], 12, "2025-01-01"),
        ([f"{d:%Y-%m-%d}" for d in pd.date_range("2020-01-31", periods=60, freq="ME")], 12, "2025-01-31"),
        ([f"{d:%Y-%m-%d}" for d in pd.date_range("2020-07-31", periods=60, freq="ME")][:56], 12, "2025-03-31"),
        ([f"{d:%Y-%m-28}" for d in pd.date_range("2020-01-31", periods=62, freq="ME")], 12, "2025-03-28"),
        ([f"{d:%Y-%m-%d}" for d in pd.date_range("2020-03-31", periods=58, freq="QE")], 4, "2034-09-30"),
        ([f"{d:%d/%m/%Y}" for d in pd.date_range("2020-01-01", periods=60)], 7, "2020-03-01"),
        ([f"{d:%m/%d/%Y}" for d in pd.date_range("2020-01-01", periods=60)], 7, "2020-03-01"),
        ([f"{d:%d.%m.%y %H:%M}" for d in pd.date_range("2020-01-01", periods=60)], 7, "2020-03-01"),
        ([f"{d:%d-%m-%Y}" for d in pd.date_range("2020-01-01", periods=60, freq="MS")], 12, "2025-01-01"),
        ([f"{d:%m/%d/%Y}" for d in pd.date_range("2020-01-01", periods=60, freq="MS")], 12, "2025-01-01"),
        ([f"Q{k % 4 + 1} {2000 + k // 4}" for k in range(60)], 4, "2015-01-01"),
        ([f"{2000 + k // 4}-Q{k % 4 + 1}" for k in range(60)], 4, "2015-01-01"),
        ([f"{d}" for d in pd.date_range("2020-01-01", periods=60, freq="MS", tz="Europe/Berlin")], 12, "2025-01-01"),
        ([f"{d}" for d in pd.date_range("2020-01-01", periods=60, freq="h", tz="-05:00")], 24, "2020-01-03T12:00:00"),
        ([f"{d}" for d in pd.date_range("2020-01-01", periods=120, freq="30min")], 48, "2020-01-03T12:00:00"),
        ([f"{d}" for d in pd.date_range("2020-01-01", periods=60, freq="6h")], 4, "2020-01-16T00:00:00"),
        ([f"{d}" for d in pd.date_range("2020-01-01", periods=60, freq="10ms")], 7, "2020-01-01T00:00:00.600000"),
    ],
)
def test_times_of_many_kinds_are_told(times: list[str], season: int, following: str) -> None:
    frame = pd.DataFrame({"date": times, "y": np.arange(float(len(times))) % 7})
    (given,) = gather(frame, "series", ("", "date", "y"))
    assert given.value.season == season
    assert given.value.times(1) == [following]


def test_how_times_were_read_is_said() -> None:
    days = pd.date_range("2020-01-01", periods=40)
    berlin = pd.date_range("2020-03-28", periods=40, freq="h", tz="Europe/Berlin")
    assert read_times([f"{d:%d/%m/%Y}" for d in days]).notes == ("times as day/month/year",)
    assert read_times([f"{d:%m/%d/%Y}" for d in days]).notes == ("times as month/day/year",)
    assert read_times([str(d) for d in berlin[:20]]).notes == ("times as clocks showed them, +01:00",)
    assert read_times([str(d) for d in berlin]).notes == ("times in UTC, since not all are as far off it",)
    assert read_times([f"{d:%Y-%m-%d}" for d in days]).notes == ()
    stray = read_times([*(f"{d:%d/%m/%Y}" for d in days), "01/32/2020"])
    assert np.isnan(stray.seconds[-1])
    assert (np.diff(stray.seconds[:-1]) == 86_400).all()


def test_what_did_not_come_is_not_tested() -> None:
    """Blank cells at the end are no values, and an origin goes where a step after it had none."""
    frame = seasonal(0)
    blank = frame.assign(y=frame.y.mask(frame.index >= 84))
    assert read(blank).values == read(frame[:84]).values
    (given,) = gather(blank, "series", ("id", "date", "y"))
    assert given.value.end == "2007-12-01"
    holed = read(frame.drop(index=[90]))
    paths = {value.path for value in holed.values if isinstance(value, Future)}
    assert 0 < len(paths) < len(read(frame))
    assert all(len(set(path)) == HORIZON for path in paths)


def test_a_history_that_never_changed_measures_nothing() -> None:
    late = seasonal(0).assign(y=lambda one: one.y.mask(one.index < 50, 5.0))
    data = read(late)
    assert all(np.ptp(one.values) > 0 for one in data.inputs)
    assert set(data.given or ()) == {"train", "validation", "test"}
    with pytest.raises(DataError, match="up to which nothing changes"):
        read(late.assign(y=late.y.mask(late.index < 60, 5.0)))


def test_no_method_forecasts_change_where_there_was_none() -> None:
    for method in local.METHODS:
        assert not local.forecast(History.of([5.0] * 30), method, 4).any(), method


def test_series_that_are_not_named_are_asked_for() -> None:
    with pytest.raises(DataError, match="many rows share a time") as raised:
        hs.read(table(3).assign(kind="a"), time="date", target="y", horizon=HORIZON)
    assert raised.value.hint == "name the series: --series id"


def test_separators_of_thousands_are_taken_out_and_what_is_no_number_refused() -> None:
    frame = seasonal(0).assign(y=lambda one: one.y * 100)
    written = frame.assign(y=[f"{value:,.2f}" for value in frame.y])
    data = read(written)
    assert np.allclose(data.inputs[-1].values, frame.y[: len(data.inputs[-1].values)], atol=0.01)
    assert any("separators of thousands" in note for note in data.notes)
    assert len(hs.read(written, time="date", series="id", horizon=HORIZON)) == len(data)
    for cells in ([f"{value:.2f}".replace(".", ",") for value in frame.y], frame.y.mask(frame.index % 2 == 0, np.inf)):
        with pytest.raises(DataError, match="no number"):
            read(frame.assign(y=cells))


def test_a_series_has_one_season_of_numbered_steps() -> None:
    """The shortest of those that are as plain; a trend that bends has none, and later values do not tell."""
    steps, wrong = np.arange(600), 0
    for seed in range(20):
        dice = np.random.default_rng(seed)
        wrong += season_of_numbers(5 * np.sin(2 * np.pi * steps / 12) + dice.normal(0, 2, 600)) != 12
        bent = np.convolve(dice.normal(size=700), 0.9 ** np.arange(40), "valid").cumsum()
        wrong += season_of_numbers(bent) != 1
    assert wrong <= 2
    frame = pd.DataFrame({"y": np.tile([1.0, 5.0, 2.0, 8.0], 40) + np.random.default_rng(0).normal(0, 2.5, 160)})
    one, other = (
        hs.read(own, target="y", horizon=4) for own in (frame, frame.assign(y=frame.y.mask(steps[:160] > 150, 0.0)))
    )
    assert len({history.season for history in one.inputs}) == 1
    assert {history.season for history in one.inputs} == {history.season for history in other.inputs}


def test_temperatures_are_no_changes() -> None:
    steps, dice = np.arange(120), np.random.default_rng(0)
    frame = pd.DataFrame({"y": 6 - 12 * np.cos(2 * np.pi * steps / 12) + dice.normal(size=120)})
    data = hs.read(frame, target="y", horizon=4)
    assert all(value.base == value.centre for value in data.values if isinstance(value, Future))


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
    return np.hstack([paths, np.tile([10.0, 2.0, 10.0, 0.0], (len(paths), 1))])


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


def test_without_overlap_diebold_and_mariano_is_students_t() -> None:
    """One step ahead Harvey's factor is (k + 1 - 2 + 0) / k of the variance of k."""
    from scipy.stats import ttest_1samp

    gaps, k = np.random.default_rng(0).normal(0.5, 1, 30), 30
    found = difference_over_time(gaps, np.arange(k), 0.95)
    assert found.value == pytest.approx(gaps.mean())
    assert found.p == pytest.approx(ttest_1samp(gaps, 0).pvalue)
    assert difference_over_time(gaps, np.arange(k) / 4, 0.95).p != found.p


def test_many_overlapping_origins_are_held_to_neweys_and_wests_variance() -> None:
    import statsmodels.api as sm

    gaps, k, reach = 1 + np.cumsum(np.random.default_rng(0).normal(0, 0.3, 40)) % 1, 40, 3
    fitted = sm.OLS(gaps, np.ones(k)).fit(cov_type="HAC", cov_kwds={"maxlags": reach - 1, "kernel": "bartlett"})
    factor = (k + 1 - 2 * reach + reach * (reach - 1) / k) / k
    assert newey_west(gaps - gaps.mean(), reach) == pytest.approx(fitted.bse[0] ** 2 / factor)


def overlapping(dice: np.random.Generator, k: int, stride: int, h: int = 12) -> np.ndarray:
    """Sums of h independent steps, each future's own."""
    sums = np.concatenate([[0.0], dice.normal(size=h + stride * k).cumsum()])
    return np.array([sums[place + h] - sums[place] for place in range(0, stride * k, stride)]) / h**0.5


@pytest.mark.parametrize(("k", "stride"), [(5, 1), (5, 4), (10, 4), (20, 3), (5, 12), (40, 4)])
def test_a_gap_that_is_none_is_seldom_claimed(k: int, stride: int) -> None:
    """Nominal are 5 %; of 600 tables 48 are 8 %."""
    dice, when = np.random.default_rng(0), np.arange(k) * stride / 12
    claimed = np.zeros(3)
    for _ in range(600):
        nulls = overlapping(dice, k, stride), dice.normal(size=k)
        found = (*nulls, nulls[0] + 3)
        claimed += [difference_over_time(gaps, when, 0.95).is_claimed for gaps in found]
    assert max(claimed[:2]) <= 48
    assert claimed[2] >= {(5, 1): 0, (5, 4): 200}.get((k, stride), 540)


def test_origins_of_one_time_tell_nothing_alone() -> None:
    found = difference_over_time(np.full(5, 2.0) + np.arange(5) / 10, np.arange(5) / 12, 0.95)
    assert (found.low, found.high, found.p) == (-np.inf, np.inf, 1.0)
    assert found.method.endswith("too few or lie too near")
    truth, units = np.column_stack([np.zeros((60, 6)), np.tile(np.arange(5) / 12, 12)]), np.repeat(np.arange(12), 5)
    both = difference_of_forecasts(path_task(), truth, np.full(60, 1.0) + units / 100, units, 0.95)
    assert not both.is_claimed
    assert both.method == "t tests over series and over 5 origins, which lie too near to tell"


@pytest.mark.parametrize("common", [0.0, 0.6])
def test_series_of_one_time_are_no_independent_ones(common: float) -> None:
    """Thirty walks, five times, two forecasts that lie equally far off; 48 of 600 are 8 %. By series it were 63 %."""
    dice, h, k, places = np.random.default_rng(1), 12, 30, np.arange(5) * 12
    steps, units, when = np.arange(1, h + 1)[:, None] / 10, np.tile(np.arange(k), 5), np.repeat(np.arange(5.0), k)
    truth = np.column_stack([np.zeros((5 * k, h + 3)), when])
    claimed = np.zeros(2)
    for _ in range(600):
        noise = common**0.5 * dice.normal(size=(h * 5, 1)) + (1 - common) ** 0.5 * dice.normal(size=(h * 5, k))
        futures = [noise[place : place + h].cumsum(0) for place in places]
        gaps = np.concatenate([np.abs(one + steps).mean(0) - np.abs(one - steps).mean(0) for one in futures])
        for place, shown in enumerate((gaps, gaps + 2)):
            claimed[place] += difference_of_forecasts(path_task(h), truth, shown, units, 0.95).is_claimed
    assert claimed[0] <= 48
    assert claimed[1] >= 570


def test_contenders_are_chosen_by_errors_that_know_of_shared_times() -> None:
    """At four of five times the first of two forecasts is a little ahead, at one far behind, in all series alike."""
    units, times = np.repeat(np.arange(12), 5), np.tile(np.arange(5), 12)
    noise = np.random.default_rng(0).normal(0, 0.01, 60)
    by_time = np.array([0.1, 0.1, 0.1, 0.1, -1.0])[times] + noise
    task = path_task(1)
    arms = [
        Arm(name, name, "top", np.zeros((60, 9)) + np.expand_dims(off, -1), np.ones(60, dtype=bool))
        for name, off in (("first", 2 - by_time), ("second", np.full(60, 2.0)))
    ]
    apart = np.column_stack([np.zeros((60, 4)), times + 1e6 * units])
    shared = np.column_stack([np.zeros((60, 4)), times])
    alone, (_, _) = choose(arms, apart, task, units)
    together, standings = choose(arms, shared, task, units)
    assert (alone, together) == (1, 0)
    assert 0 < standings[0].behind < standings[0].standard_error


def test_series_that_share_no_time_are_taken_as_independent() -> None:
    gaps, units = np.random.default_rng(0).normal(0.5, 1, 60), np.repeat(np.arange(12), 5)
    truth = np.column_stack([np.zeros((60, 6)), np.tile(np.arange(5.0), 12) + 1e6 * units])
    found = difference_of_forecasts(path_task(), truth, gaps, units, 0.95)
    assert "taken as independent" in found.method
    assert found.p == difference_of_means(gaps, np.zeros(60), units).p
    assert found.units == 12


def test_origins_lie_in_the_time_that_series_share(examples: hs.Dataset) -> None:
    truth, given = examples.task.encode(examples.values), np.array(examples.given)
    assert sorted(set(np.round(truth[given == "test", -1], 9))) == [-4, -3, -2, -1, 0]
    numbered = read(table().assign(date=list(range(96)) * 12))
    assert len(set(np.round(numbered.task.encode(numbered.values)[:, -1] / 1e6))) == 12
    few = read(table(2).assign(date=list(range(96)) * 2))
    assert few.task.encode(few.values)[:, -1].max() == 0


@pytest.mark.parametrize("freq", ["YS", "QS", "QE", "MS", "ME", "W", "D", "B", "h", "15min"])
def test_futures_of_every_frequency_lie_a_horizon_apart(freq: str) -> None:
    data = read(pd.concat([seasonal(seed, 260, freq=freq) for seed in range(2)]))
    when = np.unique(data.task.encode(data.given_part("test").values)[:, -1])
    assert np.diff(when) == pytest.approx(1, abs=0.01)
    assert not [one for one in data.findings if one.code == "learned_later"]
    assert set(DAYS) == set(WORDS) - {""}


def test_what_is_learned_while_others_are_tested_is_said() -> None:
    late = seasonal(5).assign(date=lambda one: pd.date_range("2004-01-01", periods=len(one), freq="MS"))
    assert "learned_later" not in {one.code for one in read(table(2)).findings}
    (found,) = (one for one in read(pd.concat([table(2), late])).findings if one.code == "learned_later")
    assert found.text.startswith("1 series is learned from or chosen on at times at which others are tested")
    assert found.text.endswith(": s5")


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


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_what_was_learned_gets_wider_intervals_where_held_out_series_ask_for_it(
    patchtst: hs.Model, examples: hs.Dataset, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    monkeypatch.setattr(probe, "spread_factor", lambda *_: 1.0)
    asked = list(examples.inputs[:4])
    plain = patchtst.task.by_step(
        hs.adapt(examples, backbone="patchtst", strategy=hs.FromScratch(epochs=2)).outputs(asked)
    )
    monkeypatch.setattr(probe, "spread_factor", lambda *_: factor)
    wide = patchtst.task.by_step(
        hs.adapt(examples, backbone="patchtst", strategy=hs.FromScratch(epochs=2)).outputs(asked)
    )
    assert np.allclose(wide[..., 4], plain[..., 4], atol=1e-5)
    spans = [one[..., 8] - one[..., 0] for one in (plain, wide)]
    assert np.allclose(spans[1], max(factor, 1.0) * spans[0], rtol=1e-3)


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
    frame = table(3, 60).drop(index=[30])
    frame.to_csv(path, index=False)
    assert [one["code"] for one in headstart("predict", out, path, "--json").json["warnings"]] == ["gaps"]
    seasonal(0, 60, freq="D").to_csv(path, index=False)
    other = headstart("predict", out, path, "--json").json["warnings"]
    assert other == [{"code": "other_frequency", "text": "what is asked is daily; what was learned from is monthly"}]
    frame.to_csv(path, index=False)
    assert "1 step without a value" in headstart("predict", out, path).err
    assert headstart("predict", out, path).out.count("\n") == 3 * HORIZON
    compared = headstart("compare", path, *words, "--arms", "majority,classical", "--backbone", "patchtst", "--json")
    assert compared.json["proof"]["sentence"].startswith("nothing was compared")
    assert "beside_random_walk" in {one["code"] for one in compared.json["warnings"]}
    missing = headstart("fit", path, "--series", "id", "--time", "date", "--target", "y", "--json")
    assert (missing.code, missing.json["problem"]) == (2, "how far ahead is not said.")
    refused = headstart("rank", path, "--horizon", 3, "--json")
    assert refused.code == 2
    assert Future is not None


def test_where_nothing_comes_back_the_walk_has_one_name(headstart: Callable[..., Any], tmp_path: Path) -> None:
    path, out = tmp_path / "prices.csv", tmp_path / "prices.headstart"
    days, steps = pd.bdate_range("2020-01-01", periods=160), np.random.default_rng(3).normal(size=160)
    pd.DataFrame({"date": days.strftime("%Y-%m-%d"), "y": 100 + steps.cumsum()}).to_csv(path, index=False)
    words = ["--time", "date", "--target", "y", "--horizon", HORIZON, "--strategy", "majority"]
    said = headstart("fit", path, *words, "--backbone", "patchtst", "--out", out)
    assert said.code == 0, said.err
    assert "seasonal random walk" not in said.out
    assert "no transfer: random walk" in said.out
    assert "the saved model is the random walk: MASE" in " ".join(said.out.split())


def test_what_is_ahead_of_the_random_walk_is_good_news() -> None:
    from headstart.comparison.verdicts import beside_walk

    dice, units = np.random.default_rng(0), np.arange(20)
    truth = np.column_stack([dice.normal(size=(20, 3)) + 5, np.tile([10.0, 2.0, 10.0], (20, 1)), units])
    task = path_task(overlap=0)
    (found,) = beside_walk(task, truth, np.full((20, 27), 5.0), units)
    assert found.text.startswith("ahead of the random walk: MASE")
    assert found.is_good
    (lost,) = beside_walk(task, truth, np.full((20, 27), -5.0), units)
    assert lost.text.startswith("behind the random walk")
    assert not lost.is_good
    (same,) = beside_walk(task, truth, np.zeros((20, 27)), units)
    assert same.text.startswith("the saved model is the random walk: MASE")
