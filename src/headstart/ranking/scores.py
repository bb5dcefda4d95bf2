"""Transferability scores: what frozen features say of a target without training a network.

Each is written down from its paper and takes features (n, d) and labels; larger is better in all of them.
None holds a table of all pairs of examples.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy import linalg

from headstart.data import spread
from headstart.statistics import LEVEL, two_sided
from headstart.tasks import Task

Z = two_sided(LEVEL)

CHUNK = 4096
"""Examples that are turned into fp64 at once."""

TINY = 1e-12
STEPS, SETTLED = 1000, 1e-9
"""Iterations of the evidence's fixed point, at most, and the relative change at which it has settled."""

DISTORTION = 1e-4
"""TransRate's ε, as in its paper."""

CLOSE = 64
"""Dimensions that GBC's classes are compared in, as in its paper."""

ENERGY, COMPONENTS = 0.8, 5
"""N-LEEP: the share of variance that is kept, and the components for each class, as in its paper."""

NEIGHBOURS = 5

HALVES, HALVED_FROM = 20, 1_000
"""Halves of the units that a score is taken on again for its interval, of at most so many examples."""


@dataclass(frozen=True)
class Score:
    """A score with its 95 % interval; None where there are too few examples to tell."""

    value: float
    low: float | None = None
    high: float | None = None

    def as_dict(self) -> dict[str, float | None]:
        """Return the fields as JSON holds them."""
        return asdict(self)


def logme(features: np.ndarray, targets: np.ndarray) -> float:
    """Return the logarithm of maximum evidence, by example, averaged over targets (You et al. 2021, eq. 2 and alg. 1).

    Targets y are Gaussian around a linear function of the features, with precision β, its weights Gaussian around 0
    with precision α.  With A = αI + βFᵀF and m = βA⁻¹Fᵀy,
    2 log p(y|F) = n log β + d log α − n log 2π − β‖Fm − y‖² − α‖m‖² − log|A|, largest over α and β, which are found as
    α ← γ/‖m‖² and β ← (n − γ)/‖Fm − y‖² with γ = Σ βσ²/(α + βσ²) over the singular values σ of F.
    It does not change when features are rotated.

    Args:
        features: (n, d).
        targets: (n, k) numbers; a class is a column of zeros and ones.
    """
    n, d = features.shape
    squares, products, rest = _spectrum(features, targets)
    alpha, beta = np.ones(targets.shape[1]), np.ones(targets.shape[1])
    for _ in range(STEPS):
        gains = alpha + beta * squares[:, None]
        gamma = (beta * squares[:, None] / gains).sum(0)
        weights = ((beta * np.sqrt(squares)[:, None] * products / gains) ** 2).sum(0)
        errors = ((alpha * products / gains) ** 2).sum(0) + rest
        last = alpha, beta
        alpha, beta = _bounded(gamma / np.maximum(weights, TINY)), _bounded((n - gamma) / np.maximum(errors, TINY))
        if max(np.abs(alpha / last[0] - 1).max(), np.abs(beta / last[1] - 1).max()) < SETTLED:
            break
    gains = alpha + beta * squares[:, None]
    weights = ((beta * np.sqrt(squares)[:, None] * products / gains) ** 2).sum(0)
    errors = ((alpha * products / gains) ** 2).sum(0) + rest
    spread = np.log(gains).sum(0) + (d - len(squares)) * np.log(alpha)
    evidence = (
        n * np.log(beta) + d * np.log(alpha) - n * math.log(2 * math.pi) - beta * errors - alpha * weights - spread
    )
    return float((evidence / (2 * n)).mean())


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """Return the H-score with a covariance shrunk as Ledoit and Wolf (2004) do (Ibrahim et al. 2022, section 3).

    (1 − λ) tr(Σ_λ⁻¹ Σ_z), where Σ_z is the covariance of the classes' means and λ the shrinkage of Σ_λ; from 0.
    Without shrinkage it is that of Bao et al. 2019, which is at its ceiling wherever there are more dimensions than
    examples.  It does not change when features are rotated, moved or all scaled alike.
    """
    from sklearn.covariance import ledoit_wolf

    table = features.astype(np.float64)
    table -= table.mean(0)
    if not table.any():
        return 0.0
    covariance, shrinkage = ledoit_wolf(table, assume_centered=True)
    if shrinkage >= 1:
        return 0.0
    covariance.flat[:: len(covariance) + 1] += TINY * float(np.trace(covariance)) / len(covariance)
    means, shares = _means(table, labels)
    inner = means * linalg.cho_solve(linalg.cho_factor(covariance), means.T).T
    return float((1 - shrinkage) * (shares * inner.sum(1)).sum())


def transrate(features: np.ndarray, labels: np.ndarray) -> float:
    """Return how much less is needed to code features once labels are known (Huang et al. 2022, eq. 3 and 4).

    R(Z) − Σ n_c/n R(Z_c), with R(Z) = ½ log|I + ZᵀZ/(nε)| of features less their mean.
    It does not change when features are rotated or moved.
    """
    table = features.astype(np.float64)
    table -= table.mean(0)
    classes, sizes = np.unique(labels, return_counts=True)
    within = [size * _rate(table[labels == one]) for one, size in zip(classes, sizes, strict=True)]
    return _rate(table) - float(sum(within)) / len(labels)


def gbc(features: np.ndarray, labels: np.ndarray) -> float:
    """Return less the overlap of the classes as Gaussians with diagonal covariances (Pándy et al. 2022, eq. 2).

    −Σ exp(−D(c, c′)) over ordered pairs of classes, with Bhattacharyya's distance
    D = ⅛ Δᵀ Σ⁻¹ Δ + ½ log(|Σ| / √(|Σ_c||Σ_c′|)), Σ = (Σ_c + Σ_c′)/2, in 64 principal components; at most 0.
    """
    table = _principal(features, CLOSE)
    classes = np.unique(labels)
    floor = TINY + 1e-9 * float(table.var())
    means = np.stack([table[labels == one].mean(0) for one in classes])
    spreads = np.stack([table[labels == one].var(0) + floor for one in classes])
    halves = np.log(spreads).sum(1) / 2
    total = 0.0
    for place in range(len(classes) - 1):
        shared = (spreads[place] + spreads[place + 1 :]) / 2
        apart = ((means[place] - means[place + 1 :]) ** 2 / shared).sum(1) / 8
        unlike = (np.log(shared).sum(1) - halves[place] - halves[place + 1 :]) / 2
        total += 2 * float(np.exp(-apart - unlike).sum())
    return -total


def n_leep(features: np.ndarray, labels: np.ndarray, *, seed: int = 0) -> float:
    """Return LEEP with the components of a Gaussian mixture in place of source classes (Li et al. 2021, section 3.2).

    Features are reduced to the principal components that hold 80 % of their variance; there are five components a
    class, here with diagonal covariances.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if len(features) < 2:
        return 0.0
    table = _principal(features, features.shape[1], ENERGY)
    components = min(COMPONENTS * len(np.unique(labels)), max(1, len(labels) // 2), len(np.unique(table, axis=0)))
    mixture = GaussianMixture(components, covariance_type="diag", reg_covar=1e-3, random_state=seed)
    scale = float(table.std()) or 1.0
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return leep(mixture.fit(table / scale).predict_proba(table / scale), labels)


def leep(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean log of what labels get through source classes (Nguyen et al. 2020, eq. 2); at most 0.

    (1/n) Σ log Σ_z P̂(y_i|z) θ(x_i)_z, with P̂(y, z) = (1/n) Σ θ(x_i)_z over examples of label y.

    Args:
        probabilities: (n, z) that the source's own head gives its classes.
        labels: (n,) of the target.
    """
    classes, place = np.unique(labels, return_inverse=True)
    joint = np.stack([probabilities[place == one].sum(0) for one in range(len(classes))]) / len(labels)
    given = joint / np.maximum(joint.sum(0), TINY)
    return float(np.log(np.maximum((given[place] * probabilities).sum(1), TINY)).mean())


def nce(source: np.ndarray, labels: np.ndarray) -> float:
    """Return less the conditional entropy of labels given source labels, in nats (Tran et al. 2019, eq. 7); at most 0.

    Args:
        source: (n,) the source's own answer to each example.
        labels: (n,) of the target.
    """
    _, place = np.unique(labels, return_inverse=True)
    _, other = np.unique(source, return_inverse=True)
    joint = np.zeros((place.max() + 1, other.max() + 1))
    np.add.at(joint, (place, other), 1 / len(labels))
    given = joint / joint.sum(0)
    return float((joint[joint > 0] * np.log(given[joint > 0])).sum())


def nearest(features: np.ndarray, targets: np.ndarray, folds: Sequence[np.ndarray], *, is_number: bool) -> float:
    """Return the share that the nearest neighbours in other folds answer rightly, or R² of numbers.

    (Cover and Hart 1967.) Five neighbours, by cosine; folds keep groups and copies together, which would answer for
    each other.

    Args:
        features: (n, d).
        targets: (n,) labels or numbers.
        folds: masks (n,) of what is held out.
        is_number: whether targets are numbers.
    """
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.preprocessing import normalize

    table = normalize(features)
    answers, seen = np.zeros(len(targets), dtype=targets.dtype), np.zeros(len(targets), dtype=bool)
    kind = KNeighborsRegressor if is_number else KNeighborsClassifier
    for held in folds:
        model = kind(min(NEIGHBOURS, int((~held).sum())), algorithm="brute").fit(table[~held], targets[~held])
        answers[held], seen = model.predict(table[held]), seen | held
    if not seen.any():
        return math.nan
    if not is_number:
        return float((answers == targets)[seen].mean())
    left = ((answers - targets)[seen] ** 2).sum()
    return float(1 - left / max(((targets[seen] - targets[seen].mean()) ** 2).sum(), TINY))


def score_of(
    name: str,
    features: np.ndarray,
    truth: np.ndarray,
    task: Task,
    folds: Sequence[np.ndarray],
    source: np.ndarray | None = None,
) -> float | None:
    """Return one of `NAMES` for a target of any kind; None where it does not apply.

    A score of labels is averaged over the labels of a multi-label target, each a question of its own, and does not
    apply to numbers; one of the source's own answers applies to single labels only.

    Args:
        name: of the score.
        features: (n, d).
        truth: as `Task.encode` gives it.
        task: what is predicted.
        folds: masks (n,) of what is held out, for scores that need it.
        source: (n, z) probabilities that the source's own head gives its classes; None where it is not known.
    """
    if name in OF_SOURCE:
        return OF_SOURCE[name](source, truth) if source is not None and task.form == "label" else None
    if task.form == "number":
        if name not in OF_NUMBERS:
            return None
        spread = float(truth.std()) or 1.0
        return SCORES[name](features, (truth - truth.mean()) / spread, folds, True)
    if task.form == "label":
        return SCORES[name](features, truth, folds, False)
    columns = [column for column in truth.T if 0 < column.sum() < len(column)]
    return float(np.mean([SCORES[name](features, column, folds, False) for column in columns])) if columns else None


def score_with_interval(
    name: str,
    features: np.ndarray,
    truth: np.ndarray,
    task: Task,
    folds: Sequence[np.ndarray],
    source: np.ndarray | None,
    units: np.ndarray,
    halves: int = HALVES,
) -> Score | None:
    """Return a score and how far it may be off, from halves of the units (Shao and Wu 1989); None as `score_of`.

    Of a half, drawn without replacement, a mean scatters around that of the whole as the whole does around the truth.
    A bootstrap's copies would make features look better than they are: an example answers for its own copy.

    Args:
        name: of the score.
        features: (n, d).
        truth: as `Task.encode` gives it.
        task: what is predicted.
        folds: masks (n,) of what is held out, for scores that need it.
        source: (n, z) probabilities that the source's own head gives its classes; None where it is not known.
        units: (n,) the number of the unit (group, or copies) of each example.
        halves: that are drawn; 0 gives no interval.
    """
    value = score_of(name, features, truth, task, folds, source)
    if value is None:
        return None
    few = spread(len(features), HALVED_FROM)
    _, place = np.unique(units[few], return_inverse=True)
    dice, k = np.random.default_rng(0), int(place.max()) + 1
    found = []
    for _ in range(halves if k >= 2 else 0):
        half = few[np.isin(place, dice.permutation(k)[: -(-k // 2)])]
        own = None if source is None else source[half]
        parts = [fold[half] for fold in folds if fold[half].any() and not fold[half].all()]
        one = score_of(name, features[half], truth[half], task, parts, own)
        if one is not None and math.isfinite(one):
            found.append(one)
    if len(found) < 2:
        return Score(value)
    wide = Z * float(np.std(found, ddof=1)) * math.sqrt(len(few) / len(features))
    lowest, highest = BOUNDS.get(name, (-math.inf, math.inf))
    if name == "nearest" and task.form != "number":
        lowest = 0.0
    return Score(value, max(lowest, value - wide), min(highest, value + wide))


def _evidence(features: np.ndarray, truth: np.ndarray, _folds: Sequence[np.ndarray], is_number: bool) -> float:
    if is_number:
        return logme(features, truth[:, None])
    return logme(features, (truth[:, None] == np.unique(truth)).astype(np.float64))


SCORES: dict[str, Callable[[np.ndarray, np.ndarray, Sequence[np.ndarray], bool], float]] = {
    "logme": _evidence,
    "h_score": lambda features, truth, _folds, _is_number: h_score(features, truth),
    "transrate": lambda features, truth, _folds, _is_number: transrate(features, truth),
    "gbc": lambda features, truth, _folds, _is_number: gbc(features, truth),
    "n_leep": lambda features, truth, _folds, _is_number: n_leep(features, truth),
    "nearest": lambda features, truth, folds, is_number: nearest(features, truth, folds, is_number=is_number),
}
"""What `rank` can add to its table: from features, targets, folds and whether targets are numbers to a score."""

OF_NUMBERS = ("logme", "nearest")
"""Those of them that apply to numbers."""

OF_SOURCE: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "leep": leep,
    "nce": lambda source, labels: nce(source.argmax(1), labels),
}
"""Those of the source's own answers, where its head is known."""

NAMES = (*SCORES, *OF_SOURCE)

BOUNDS = {"h_score": (0.0, math.inf), "nearest": (-math.inf, 1.0)} | dict.fromkeys(
    ("gbc", "n_leep", "leep", "nce"), (-math.inf, 0.0)
)
"""What a score cannot lie beyond."""


def _spectrum(features: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the squared singular values (r,) of features, Uᵀy (r, k), and what of ‖y‖² lies outside (k,)."""
    n, d = features.shape
    wide = n < d
    if wide:
        table = features.astype(np.float64)
        squares, left = np.linalg.eigh(table @ table.T)
        products = left.T @ targets
    else:
        gram, cross = np.zeros((d, d)), np.zeros((d, targets.shape[1]))
        for start in range(0, n, CHUNK):
            table = features[start : start + CHUNK].astype(np.float64)
            gram += table.T @ table
            cross += table.T @ targets[start : start + CHUNK]
        squares, right = np.linalg.eigh(gram)
        products = right.T @ cross / np.sqrt(np.maximum(squares, TINY))[:, None]
    kept = squares > max(TINY, squares[-1] * n * np.finfo(np.float64).eps)
    squares, products = squares[kept], products[kept]
    rest = np.maximum((np.asarray(targets, dtype=np.float64) ** 2).sum(0) - (products**2).sum(0), 0.0)
    return squares, products, rest


def _bounded(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(values, TINY, 1 / TINY))


def _means(table: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (c, d) of each class that occurs, and its share (c,)."""
    classes, sizes = np.unique(labels, return_counts=True)
    return np.stack([table[labels == one].mean(0) for one in classes]), sizes / len(labels)


def _rate(table: np.ndarray) -> float:
    """Return ½ log|I + ZᵀZ/(nε)|, from the smaller of the two products."""
    n, d = table.shape
    product = table @ table.T if n < d else table.T @ table
    product.flat[:: len(product) + 1] += n * DISTORTION
    _, size = np.linalg.slogdet(product / (n * DISTORTION))
    return float(size) / 2


def _principal(features: np.ndarray, most: int, energy: float = 1.0) -> np.ndarray:
    """Return features (n, k) in their first principal components: so many, or those that hold a share of variance."""
    table = features.astype(np.float64)
    table -= table.mean(0)
    n, d = table.shape
    if n < d:
        squares, left = np.linalg.eigh(table @ table.T)
        parts = left[:, ::-1] * np.sqrt(np.maximum(squares[::-1], 0))
    else:
        squares, right = np.linalg.eigh(table.T @ table)
        parts = table @ right[:, ::-1]
    shares = np.maximum(squares[::-1], 0)
    if not shares.sum():
        return np.asarray(parts[:, :1])
    enough = int(np.searchsorted(np.cumsum(shares) / shares.sum(), energy - TINY)) + 1 if energy < 1 else len(shares)
    return np.asarray(parts[:, : max(1, min(most, enough, int((shares > shares[0] * TINY).sum())))])
