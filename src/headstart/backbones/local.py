"""Local methods: what each history says of its own future, without a source and without other series.

The random walk, with and without drift, the seasonal one, exponential smoothing, Theta and ARIMA are statsmodels';
forecasts are in units of a history's scale from its centre, medians with a spread that grows as the method says.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from threading import Lock
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor, nn

from headstart.backbones.backbone import Backbone
from headstart.backbones.card import CLASSICAL, Card
from headstart.backbones.replay import CutPlan
from headstart.cache import the_cache
from headstart.data.histories import History
from headstart.tasks import QUANTILES

VERSION = 2
"""Goes up whenever a method forecasts otherwise."""

READ = 400
"""Values of a history that a model is fitted on, the latest: older ones tell little and cost much."""

SEASONAL_TEST = 1.645
"""Standard errors that the autocorrelation at the season must exceed to be one (Assimakopoulos and Nikolopoulos)."""

FARTHEST = 50.0
"""Times the range of a history beyond which a forecast is taken for a failure of the fit."""

FITTING = Lock()
"""One fit at a time: what Python does with warnings is common to all threads."""

Path: TypeAlias = tuple[np.ndarray, np.ndarray]
"""The median (h,) of each step, and its standard deviation (h,)."""

FITTED = ("ets", "theta", "arima")
PLAIN = ("random_walk", "drift", "seasonal_naive")
METHODS = (*PLAIN, *FITTED)


def random_walk(values: np.ndarray, _season: int, horizon: int) -> Path:
    """Return the last value for every step; the spread grows with the root of the step."""
    return np.full(horizon, values[-1]), _spread(np.diff(values)) * np.sqrt(np.arange(1, horizon + 1))


def drift(values: np.ndarray, _season: int, horizon: int) -> Path:
    """Return the line through the first value and the last, drawn on."""
    steps, own = np.arange(1, horizon + 1), np.diff(values)
    grown = np.sqrt(steps * (1 + steps / max(1, len(own))))
    return values[-1] + own.mean() * steps, _spread(own - own.mean()) * grown


def seasonal_naive(values: np.ndarray, season: int, horizon: int) -> Path:
    """Return the last season again; of a season of 1 that is the random walk."""
    steps = np.arange(horizon)
    spread = _spread(values[season:] - values[:-season])
    return values[-season:][steps % season], spread * np.sqrt(steps // season + 1)


def ets(values: np.ndarray, season: int, horizon: int) -> Path:
    """Return exponential smoothing's forecast, its trend and season chosen by AICc (Hyndman et al. 2002)."""
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    is_seasonal = _is_seasonal(values, season) and len(values) >= 2 * season + 4
    seasons = [None] if not is_seasonal else ["add", "mul"] if values.min() > 0 else ["add"]
    best: Any = None
    for (trend, damped), seasonal in product(((None, False), ("add", False), ("add", True)), seasons):
        periods = season if seasonal else None
        model = ExponentialSmoothing(
            values, trend=trend, damped_trend=damped, seasonal=seasonal, seasonal_periods=periods
        )
        found = model.fit(use_brute=False)
        if np.isfinite(found.aicc) and (best is None or found.aicc < best.aicc):
            best = found
    one = best.params
    alpha, beta = one["smoothing_level"], _number(one["smoothing_trend"])
    gamma, phi = _number(one["smoothing_seasonal"]), _number(one["damping_trend"], 1.0)
    lags = np.arange(1, horizon)
    carried = (
        alpha + alpha * beta * np.cumsum(phi**lags) + gamma * (lags % season == 0) * (best.model.seasonal is not None)
    )
    grown = np.sqrt(1 + np.concatenate([[0.0], np.cumsum(carried**2)]))
    return best.forecast(horizon), _spread(best.resid) * grown


def theta(values: np.ndarray, season: int, horizon: int) -> Path:
    """Return Theta's forecast (Assimakopoulos and Nikolopoulos 2000), its season taken out where there is one."""
    import pandas as pd
    from statsmodels.tsa.forecasting.theta import ThetaModel

    is_seasonal = _is_seasonal(values, season) and len(values) >= 2 * season
    method = "auto" if values.min() > 0 else "additive"
    model = ThetaModel(pd.Series(values), period=season, deseasonalize=is_seasonal, use_test=False, method=method)
    found = model.fit()
    forecast = found.forecast(horizon).to_numpy()
    alpha = min(max(float(found.params["alpha"]), 0.0), 1.0)
    own = _spread(np.diff(values)) if not is_seasonal else _spread(values[season:] - values[:-season]) / np.sqrt(2)
    return forecast, own * np.sqrt(1 + alpha**2 * np.arange(horizon))


def arima(values: np.ndarray, season: int, horizon: int) -> Path:
    """Return an ARIMA's forecast, its orders chosen by AICc.

    How often to difference is settled first, by KPSS and by how strong the season is (Hyndman and Khandakar 2008); the
    orders that are not seasonal are compared by Hannan and Rissanen's estimates (1982), which are a hundred times as
    fast as the likelihood, and the two best are fitted by that.
    """
    from statsmodels.tsa.arima.model import ARIMA

    seasonal = int(_is_seasonal(values, season) and len(values) >= 3 * season and season <= 24)
    apart = values[season:] - values[:-season] if seasonal else values
    d = _differences(apart)
    orders = _orders(np.diff(apart, d) if d else apart)
    best: Any = None
    for p, q in orders:
        above = [(0, 1, 1, season)] if seasonal else [(0, 0, 0, 0)]
        trend = "c" if d + seasonal == 0 else "t" if d + seasonal == 1 and not seasonal else "n"
        for upper in above:
            found = ARIMA(values, order=(p, d, q), seasonal_order=upper, trend=trend).fit(
                method_kwargs={"maxiter": 50, "disp": 0}
            )
            if best is None or found.aicc < best.aicc:
                best = found
    forecast = best.get_forecast(horizon)
    return forecast.predicted_mean, forecast.se_mean


def _differences(values: np.ndarray) -> int:
    """Return how often to difference before KPSS finds no trend any more, at most 2."""
    from statsmodels.tsa.stattools import kpss

    for d in range(2):
        own = np.diff(values, d) if d else values
        if np.ptp(own) == 0 or kpss(own, nlags="auto")[1] > 0.05:
            return d
    return 2 if len(values) < READ and kpss(np.diff(values, 2), nlags="auto")[1] > 0.05 and _is_twice(values) else 1


def _is_twice(values: np.ndarray) -> bool:
    """Tell whether the second differences vary less than the first: only then is a second one of use."""
    return bool(np.diff(values, 2).std() < np.diff(values).std())


def _orders(values: np.ndarray, shown: int = 2) -> list[tuple[int, int]]:
    """Return the orders (p, q) that fit a stationary series best, by AICc of Hannan and Rissanen's estimates."""
    from statsmodels.tsa.arima.estimators.hannan_rissanen import hannan_rissanen

    n, own = len(values), values - values.mean()
    scores = {}
    for p, q in product(range(4), range(3)):
        if n < 10 + 3 * (p + q):
            continue
        if p + q == 0:
            variance = float(own.var())
        else:
            try:
                variance = float(hannan_rissanen(own, p, q, demean=False)[0].sigma2)
            except (ValueError, np.linalg.LinAlgError):
                continue
        k = p + q + 1
        scores[p, q] = n * np.log(max(variance, 1e-300)) + 2 * k + 2 * k * (k + 1) / max(1, n - k - 1)
    return sorted(scores, key=lambda one: scores[one])[:shown] or [(0, 1)]


def _is_seasonal(values: np.ndarray, season: int) -> bool:
    """Tell whether the autocorrelation at the season is above what chance brings, in differences."""
    if season < 2 or len(values) < 3 * season:
        return False
    own = np.diff(values)
    own = own - own.mean()
    total = float(own @ own)
    if total == 0:
        return False
    found = np.array([float(own[lag:] @ own[:-lag]) / total for lag in range(1, season + 1)])
    limit = SEASONAL_TEST * np.sqrt((1 + 2 * (found[:-1] ** 2).sum()) / len(own))
    return bool(found[-1] > limit)


def _spread(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(errors)))) if len(errors) else 0.0


def _number(value: Any, otherwise: float = 0.0) -> float:
    return otherwise if value is None or not np.isfinite(value) else float(value)


BY_NAME: Mapping[str, Callable[[np.ndarray, int, int], Path]] = {
    "random_walk": random_walk,
    "drift": drift,
    "seasonal_naive": seasonal_naive,
    "ets": ets,
    "theta": theta,
    "arima": arima,
}


def forecast(history: History, method: str, horizon: int) -> np.ndarray:
    """Return medians and spreads (2, h) of one method on one history; the seasonal walk's where a fit fails."""
    values, season = history.scaled, history.season
    if method in FITTED:
        values = values[-max(READ, 3 * season) :]
        if not np.ptp(values):
            return np.stack([np.full(horizon, values[-1]), np.zeros(horizon)])  # Theta sees it rise
        lowest = float(history.values[-len(values) :].min())
        shift = history.centre / history.scale if lowest > 0 else 0.0  # only then may a season be a factor
        with FITTING, warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # optimisers report whatever does not converge
            try:
                median, spread = BY_NAME[method](values + shift, season, horizon)
                found = np.stack([np.asarray(median) - shift, np.asarray(spread)])
            except (ValueError, np.linalg.LinAlgError, IndexError, AttributeError, ZeroDivisionError, KeyError):
                found = np.full((2, horizon), np.nan)
        reach = FARTHEST * (float(np.ptp(values)) + 1.0)
        if np.isfinite(found).all() and float(np.abs(found).max()) <= reach:
            return found
    return np.stack(BY_NAME[method if method in PLAIN else "seasonal_naive"](values, season, horizon))


def forecasts(histories: Sequence[History], methods: Sequence[str], horizon: int) -> np.ndarray:
    """Return medians and spreads (n, m, 2, h) of methods; those that are fitted from the cache, where they were before.

    Args:
        histories: n of them.
        methods: m of `METHODS`.
        horizon: h steps.
    """
    found = np.empty((len(histories), len(methods), 2, horizon))
    for place, method in enumerate(methods):
        if method in PLAIN:
            found[:, place] = [forecast(one, method, horizon) for one in histories]
        else:
            found[:, place] = _kept(histories, method, horizon)
    return found


def _kept(histories: Sequence[History], method: str, horizon: int) -> np.ndarray:
    about = {"kind": "local", "method": method, "horizon": horizon, "version": VERSION}
    shelf = the_cache().shelf({**about, "statsmodels": version("statsmodels")})
    keys = [one.content for one in histories]
    places = shelf.find(keys)
    rows: dict[str, np.ndarray] = {}
    for place, history in enumerate(histories):
        if places[place, 0] < 0 and keys[place] not in rows:
            rows[keys[place]] = forecast(history, method, horizon)
    if rows:
        shelf.add_many(list(rows), torch.from_numpy(np.stack(list(rows.values()))))
        shelf.write()
    known = np.flatnonzero(places[:, 0] >= 0)
    found = np.empty((len(histories), 2, horizon))
    if len(known):
        found[known] = shelf.stacked(places[known]).numpy()
    for place in np.flatnonzero(places[:, 0] < 0).tolist():
        found[place] = rows[keys[place]]
    return found


def combined(found: np.ndarray) -> np.ndarray:
    """Return quantiles (n, h·9) of the median over methods of their medians and of their spreads (n, m, 2, h).

    A median of few unlike methods is hard to beat (Petropoulos and Svetunkov 2020); its errors are taken as normal.
    """
    median, spread = np.moveaxis(np.median(found, axis=1), 1, 0)
    return np.asarray((median[..., None] + spread[..., None] * ndtri(QUANTILES)).reshape(len(found), -1))


class ScaledTrunk(nn.Module):
    """Forecasts as they are: a network with nothing in it to learn."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.passing = _Passing(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, h·9)."""
        return torch.as_tensor(self.passing(x))


class _Passing(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


@dataclass(frozen=True)
class LocalPreparer:
    """Turn histories into what local methods forecast of them."""

    methods: tuple[str, ...]
    horizon: int

    padding: ClassVar[dict[str, int]] = {}

    @property
    def identity(self) -> str:
        """The methods and their version."""
        return f"{' '.join(self.methods)} {self.horizon} {VERSION}"

    def __call__(self, inputs: Sequence[Any]) -> dict[str, Tensor]:
        """Return {"x": (n, h·9)}."""
        return self.collate(inputs)

    def augmented(self, inputs: Sequence[Any], seed: Sequence[int], *, flip: bool) -> dict[str, Tensor]:
        """Return the batch as it is."""
        return self(inputs)

    def encode(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Return the histories as they are."""
        return inputs

    def collate(self, encoded: Sequence[Any]) -> dict[str, Tensor]:
        """Return {"x": (n, h·9)}."""
        quantiles = combined(forecasts(encoded, self.methods, self.horizon))
        return {"x": torch.from_numpy(quantiles.astype(np.float32))}

    def outline(self, encoded: Sequence[Any]) -> dict[str, Tensor]:
        """Return a batch of zeros."""
        return {"x": torch.zeros(len(encoded), self.horizon * len(QUANTILES))}

    def truncated(self, inputs: Sequence[Any]) -> list[int]:
        """Return no places."""
        return []

    def examples(self) -> list[Any]:
        """Return two unlike synthetic histories."""
        return examples()

    def read(self, state: Sequence[Tensor], trunk: nn.Module, batch: Mapping[str, Tensor]) -> Tensor | None:
        """Return nothing: there is no cut inside."""
        return None

    def describe(self) -> str:
        """Say what goes in, in words."""
        return f"the latest {READ} values of a history"

    def quietly(self) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()


def examples() -> list[History]:
    """Return a season on a slope, and a walk: synthetic histories to plan cuts with and to check a saved model by."""
    steps, dice = np.arange(60), np.random.default_rng(0)
    return [
        History(100 + 0.5 * steps + 5 * np.sin(2 * np.pi * steps / 12) + dice.normal(size=60), 12),
        History(10 + np.cumsum(dice.normal(size=40)), 1),
    ]


def build(architecture: dict[str, Any]) -> tuple[nn.Module, LocalPreparer]:
    """Return the trunk and the preparer of local methods."""
    horizon = int(architecture["horizon"])
    return ScaledTrunk(horizon * len(QUANTILES)).eval(), LocalPreparer(tuple(architecture["methods"]), horizon)


def on_histories(methods: Sequence[str], horizon: int) -> Backbone:
    """Return the backbone that forecasts each history by itself."""
    architecture = {"library": CLASSICAL, "reads": "series", "methods": list(methods), "horizon": horizon}
    trunk, prepare = build(architecture)
    trunk.requires_grad_(False)
    card = Card(
        name="local methods",
        modality="series",
        source="no pretrained weights",
        licence="none: nothing was taken from anyone",
        trained_on="nothing",
        dimensions=horizon * len(QUANTILES),
        input=prepare.describe(),
    )
    return Backbone(card, architecture, trunk, prepare, CutPlan((("passing",),)))
