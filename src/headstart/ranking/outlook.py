"""Outlook: what the test set will show, and what more labels would bring, before a stage is learned."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from headstart.backbones.typical import Typical
from headstart.curves import FEWEST_SIZES, Curve, drawn_out, learning_curve
from headstart.data import spread
from headstart.ground import Ground
from headstart.heads import imbalance
from headstart.plan import FEWEST
from headstart.strategies.probe import DEFAULT_STRENGTH, Fitted
from headstart.tasks import Task
from headstart.wording import count

LIKELY = 0.9
"""How often what is seen should lie in the interval."""

ACCURACY = "accuracy"
FOLDS = 5
TINY = 1e-12
MORE = 100
"""Labels more, of which it is said what they would bring."""

CURVE_OF = 2_000
"""Examples that a learning curve is measured on, at most."""

NEVER_SEEN = 1.0
"""Errors below which, expected among so many units, it is not known how rare they are."""

TUNED = {"image": (-0.18, 0.44), "text": (-0.40, 0.29)}
"""By modality the logarithm of the error after fine-tuning beside the probe's: its mean, and its standard deviation
over sets (`benchmarks/truth.py`)."""


@dataclass(frozen=True)
class Expected:
    """A number that is expected, and the interval it should lie in nine times in ten."""

    value: float
    low: float
    high: float

    @classmethod
    def among(cls, drawn: np.ndarray, seen: np.ndarray | None = None) -> Expected:
        """Return what drawn numbers (r,) say, where what will be seen of them (r,) scatters further, or as much."""
        low, high = np.quantile(drawn if seen is None else seen, [(1 - LIKELY) / 2, (1 + LIKELY) / 2]).tolist()
        value = float(np.median(drawn))
        return cls(value, min(low, value), max(high, value))


@dataclass(frozen=True)
class Outlook:
    """What will be observed on test examples that nobody has looked at.

    Attributes:
        measure: "accuracy"; of numbers the "variance left", the share of it that is not explained; of label sets the
            "Brier score".
        tested: test examples that it will be observed on; 0 where it is not known how many.
        probe: of the best source's probe.
        tuned: after fine-tuning; None where no stage of it can learn, or there is too little to learn from.
        more: by how much 100 more labels would change what is expected of the probe; None of too few to tell.
        labels: that there are.
        distance: how far the target lies from what the source learned from, and the share of it that lies outside of
            what was typical there; None where that is not known.
        imbalance: how many times larger the largest class is than the smallest; None without classes.
    """

    measure: str
    tested: int
    probe: Expected
    tuned: Expected | None
    more: Expected | None
    labels: int
    imbalance: float | None = None
    distance: tuple[float, float] | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """What is expected, in sentences."""
        where = f"{count(self.tested, 'test example')}" if self.tested else "new examples"
        said = [f"on {where} the probe should show {shown(self.probe, self.measure)}"]
        if self.tuned is not None:
            said.append(f"after fine-tuning {shown(self.tuned, self.measure)}")
        classes = "" if self.imbalance is None else f", the largest class {self.imbalance:.1f} times the smallest"
        words = ", ".join(said) + ", nine times in ten"
        more = "what 100 more would bring cannot be told" if self.more is None else self._gained(self.more)
        told = (words, f"there are {self.labels:,} labels{classes}; {more}")
        if self.distance is None:
            return told
        far, outside = self.distance
        return *told, f"{outside:.0%} of the examples are unlike what the source learned from (distance {far:.2f})"

    def _gained(self, more: Expected) -> str:
        times, unit = (100, "points") if self.measure == ACCURACY else (1, f"of the {self.measure}")
        value, low, high = (times * one for one in (more.value, more.low, more.high))
        return f"100 more would bring {value:+.2g} [{low:+.2g}, {high:+.2g}] {unit}"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        return asdict(self)


def shown(one: Expected, measure: str) -> str:
    """Say what is expected of a measure, with its interval."""
    if measure != ACCURACY:
        return f"a {measure} of {one.value:.3g} [{one.low:.3g}, {one.high:.3g}]"
    return f"{100 * one.value:.1f} % [{100 * one.low:.0f}, {100 * one.high:.0f}] right"


def measure_of(task: Task) -> str:
    """Return what is expected of a task's answers: an accuracy, or a mean error."""
    names = {"label": ACCURACY, "number": "variance left", "path": "MASE", "text": "lack of ROUGE-L"}
    return names.get(task.form, "Brier score")


def outlook(
    ground: Ground, fitted: Fitted, errors: np.ndarray, cut: int | None, tested: int, optimism: float = 0.0
) -> Outlook:
    """Return what a source's probe, and the source fine-tuned, will show on test examples.

    A bootstrap over whole units says how far the error out of fold may be off, its learning curve what becomes of it
    once nothing is held out; then as many test examples are drawn as there will be, and alike in groups.

    Args:
        ground: of the source.
        fitted: its probe.
        errors: (k,) on each training example that was held out once.
        cut: where it reads; None is the top.
        tested: test examples; 0 where it is not known how many.
        optimism: by how much the best of several errors looks better than it is.
    """
    n, measure = len(ground.examples), measure_of(ground.task)
    units = ground.examples.units[fitted.seen]
    learned = next((int((~fold).sum()) for fold in ground.folds(FOLDS)), n)
    level = drawn_out(Curve("probe", "with", np.array([learned]), errors[None]), [learned], units)[:, 0]
    further = _further(ground, fitted, cut)
    now = (level if further is None else level * further[:, 0]) + optimism
    dice = np.random.default_rng(ground.seed)
    seen = _Seen(errors, units, tested, is_share=measure == ACCURACY)
    tunes = ground.backbone.library in ("timm", "transformers") and n >= FEWEST
    mean, deviation = TUNED[ground.examples.modality]
    tuned = now * np.exp(dice.normal(mean, deviation, len(now)))
    more = None if further is None else now * (1 - further[:, 1] / further[:, 0])
    return Outlook(
        measure,
        tested,
        seen.expected(now, dice),
        seen.expected(tuned, dice) if tunes else None,
        None if more is None else Expected.among(more if measure == ACCURACY else -more),
        n,
        imbalance(ground.truth) if measure == ACCURACY else None,
        None if (typical := ground.backbone.typical) is None else _distance(typical, ground.features),
    )


def _distance(typical: Typical, features: np.ndarray) -> tuple[float, float]:
    """Return Fréchet's distance from what was typical of a source, and the share of features (n, d) outside of it."""
    return typical.distance(features), typical.outside(features)


def _further(ground: Ground, fitted: Fitted, cut: int | None) -> np.ndarray | None:
    """Return what remains (r, 2) of the error once nothing is held out, and with 100 labels more; None of too few.

    The learning curve of the probe says so, measured on `CURVE_OF` examples at most.
    """
    few = spread(len(ground.examples), CURVE_OF)
    folds = [own for fold in ground.folds(FOLDS) if (own := fold[few]).any() and not own.all()]
    if not folds:
        return None
    curve = learning_curve(
        "probe",
        "with",
        ground.features_at(cut)[few],
        ground.truth[few],
        ground.task,
        folds,
        strength=fitted.strength or DEFAULT_STRENGTH,
        balanced=fitted.balanced,
        seed=ground.seed,
    )
    if len(curve.sizes) < FEWEST_SIZES or not curve.means[-1]:
        return None
    n, end = len(ground.examples), int(curve.sizes[-1])
    held_out = max(end, round((1 - 1 / FOLDS) * n))
    units = ground.examples.units[few][np.logical_or.reduce(folds)]
    drawn = drawn_out(curve, [held_out, n, n + MORE], units)
    ratios = drawn[:, 1:] / np.maximum(drawn[:, :1], TINY)
    return np.asarray(np.where(drawn[:, :1] > 0, ratios, 1.0))


def expected_of(errors: np.ndarray, units: np.ndarray, learned: int, tested: int, *, is_share: bool) -> Expected:
    """Return what test examples will show of a model, from its errors on examples it had not learned from.

    Args:
        errors: (k,) 1 for each wrong label, or the quadratic error.
        units: (k,) the number of the unit of each.
        learned: examples that it had learned from.
        tested: test examples.
        is_share: whether errors are of single labels.
    """
    curve = Curve("model", "with", np.array([learned]), errors[None])
    seen = _Seen(errors, units, tested, is_share=is_share)
    return seen.expected(drawn_out(curve, [learned], units)[:, 0], np.random.default_rng(0))


@dataclass(frozen=True, eq=False)
class _Seen:
    """How errors scatter, and over how many test examples they will be averaged."""

    errors: np.ndarray
    units: np.ndarray
    tested: int
    is_share: bool

    def expected(self, means: np.ndarray, dice: np.random.Generator) -> Expected:
        """Return the accuracy, or the error, that test examples should show where the true error is drawn (r,).

        Of errors that hardly ever occurred it is not known how rare they are: Jeffreys' half is added to them.
        """
        k = max(1.0, len(self.errors) / self.alike)
        if not self.is_share:
            scatter = float(self.errors.std()) * math.sqrt(self.alike / self.tested) if self.tested else 0.0
            return Expected.among(means, np.maximum(0.0, means + dice.normal(0.0, 1.0, len(means)) * scatter))
        unseen = np.where(means * k < NEVER_SEEN, dice.beta(0.5, k, len(means)), 0.0)
        rates = np.clip(means + unseen, 0.0, 1.0)
        if not self.tested:
            return Expected.among(1 - rates)
        m = max(1, round(self.tested / self.alike))
        return Expected.among(1 - rates, 1 - dice.binomial(m, rates) / m)

    @property
    def alike(self) -> float:
        """How many times fewer units than examples there are in effect, as units err alike (Kish 1965); at least 1."""
        off = self.errors - self.errors.mean()
        single = float((off**2).sum())
        _, place = np.unique(self.units, return_inverse=True)
        return max(1.0, float((np.bincount(place, off) ** 2).sum()) / single) if single else 1.0
