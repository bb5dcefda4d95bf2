"""What no transfer gives, without a network: the commonest answer, and a linear model on classical features."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.errors import OptionError
from headstart.strategies.probe import FOLDS, STRENGTHS

TEXT_STRENGTHS = (1.0, 10.0, 100.0)


@dataclass(frozen=True)
class Majority:
    """Always give the training set's shares, or its mean: what whoever knows nothing of an example answers.

    Of a series it is its last season again or, where there is none, its last value: the random walk.

    Attributes:
        folds: of the cross-validation that says how good that is, 2 or more.
    """

    folds: int = FOLDS

    name = "majority"
    word = "the commonest answer"
    transfers = False


@dataclass(frozen=True)
class Classical:
    """Fit a linear head on features that nobody pretrained; its penalty is chosen as the probe's is.

    Texts: TF-IDF of words and word pairs (Salton and Buckley 1988).
    Series: the median of exponential smoothing, Theta and ARIMA, fitted to each history alone.
    Images: histograms of colour and of gradient directions on a grid (after Dalal and Triggs 2005), and a thumbnail.

    Attributes:
        strengths: the values of C tried, each positive; None takes what suits the modality.
        folds: of the cross-validation, 2 or more; used where no validation set is given.
    """

    strengths: tuple[float, ...] | None = None
    folds: int = FOLDS

    name = "classical"
    word = "a linear model on classical features"
    transfers = False

    def __post_init__(self) -> None:
        if self.strengths is not None and (not self.strengths or min(self.strengths) <= 0):
            raise OptionError("a strength is not positive.", expected="numbers above 0", got=str(self.strengths))
        if self.folds < 2:
            raise OptionError("too few folds.", expected="2 or more", got=str(self.folds))

    def tried(self, modality: str) -> tuple[float, ...]:
        """Return the values of C that are tried on a modality."""
        return self.strengths or (TEXT_STRENGTHS if modality == "text" else STRENGTHS)
