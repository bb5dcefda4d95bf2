"""Transfer learning that shows its working: a pretrained model is a sequence of stages, and transfer is a cut."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from headstart.errors import (
    ArtifactError,
    BackboneError,
    DataError,
    DependencyError,
    HeadstartError,
    OptionError,
    StorageError,
)

if TYPE_CHECKING:
    from headstart.adaptation import adapt
    from headstart.adding import add_target
    from headstart.backbones.backbone import Backbone
    from headstart.backbones.card import Card
    from headstart.backbones.listing import list_backbones
    from headstart.backbones.sources import load_backbone
    from headstart.data import Dataset, Finding, check, read
    from headstart.evaluation import Evaluation, evaluate
    from headstart.frozen.features import extract
    from headstart.job import fit
    from headstart.model import Model, Prediction
    from headstart.multitask import MultiTaskModel, load
    from headstart.plan import Plan, read_plan
    from headstart.ranking.several import JointRanking, rank_together
    from headstart.ranking.sources import Ranking, rank
    from headstart.report.result import MultiTaskResult, Result
    from headstart.strategies import FineTune, FromScratch, LoRA, Probe, Refine, Schedule, ZeroShot
    from headstart.together import fit_together

__version__ = "0.1.0"

__all__ = [
    "ArtifactError",
    "Backbone",
    "BackboneError",
    "Card",
    "Classical",
    "Comparison",
    "DataError",
    "Dataset",
    "DependencyError",
    "Evaluation",
    "Finding",
    "FineTune",
    "FromScratch",
    "HeadstartError",
    "History",
    "JointRanking",
    "LoRA",
    "Majority",
    "Model",
    "MultiTaskModel",
    "MultiTaskResult",
    "OptionError",
    "Plan",
    "Prediction",
    "Probe",
    "Ranking",
    "Refine",
    "Result",
    "Schedule",
    "StorageError",
    "ZeroShot",
    "adapt",
    "add_target",
    "check",
    "compare",
    "evaluate",
    "extract",
    "fit",
    "fit_together",
    "list_backbones",
    "load",
    "load_backbone",
    "rank",
    "rank_together",
    "read",
    "read_plan",
]

_HOMES = {
    "Backbone": "backbones.backbone",
    "Card": "backbones.card",
    "Classical": "strategies",
    "Comparison": "comparison.comparing",
    "Dataset": "data",
    "Evaluation": "evaluation",
    "FineTune": "strategies",
    "Finding": "data",
    "History": "data.histories",
    "FromScratch": "strategies",
    "LoRA": "strategies",
    "Refine": "strategies",
    "Majority": "strategies",
    "Model": "model",
    "MultiTaskModel": "multitask",
    "MultiTaskResult": "report.result",
    "Plan": "plan",
    "Prediction": "model",
    "Probe": "strategies",
    "JointRanking": "ranking.several",
    "Ranking": "ranking.sources",
    "Result": "report.result",
    "Schedule": "strategies",
    "ZeroShot": "strategies",
    "adapt": "adaptation",
    "add_target": "adding",
    "check": "data",
    "compare": "comparison.comparing",
    "evaluate": "evaluation",
    "extract": "frozen.features",
    "fit": "job",
    "fit_together": "together",
    "list_backbones": "backbones.listing",
    "load": "multitask",
    "load_backbone": "backbones.sources",
    "rank": "ranking.sources",
    "rank_together": "ranking.several",
    "read": "data",
    "read_plan": "plan",
}


def __getattr__(name: str) -> object:
    """Load a name from its room when it is first used: `import headstart` alone loads no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'headstart' has no attribute {name!r}")
    return getattr(importlib.import_module(f"headstart.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
