"""Linear heads: fitted on fixed features, in chunks of rows and all folds at once; and one that goes on learning."""

from headstart.heads.linear import ABSENT, MANY, Head, LinearHead, Parts, as_met, fit_head, imbalance

__all__ = ["ABSENT", "MANY", "Head", "LinearHead", "Parts", "as_met", "fit_head", "imbalance"]
