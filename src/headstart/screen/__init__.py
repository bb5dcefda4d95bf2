"""What is printed on a terminal, for people."""

from headstart.screen.rankings import show_backbones, show_ranking, show_rankings
from headstart.screen.results import (
    show_cache,
    show_comparison,
    show_evaluation,
    show_kept,
    show_model,
    show_predictions,
    show_result,
    show_together,
)
from headstart.screen.terminal import OUT, TALK, progress_bars, show_error, show_findings

__all__ = [
    "OUT",
    "TALK",
    "progress_bars",
    "show_backbones",
    "show_cache",
    "show_comparison",
    "show_error",
    "show_evaluation",
    "show_findings",
    "show_kept",
    "show_model",
    "show_predictions",
    "show_ranking",
    "show_rankings",
    "show_result",
    "show_together",
]
