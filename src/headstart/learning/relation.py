"""Co-Tuning: the source's own head goes on learning beside the target's, by how their classes are related."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn
from torch.nn import functional


class Relation(nn.Module):
    """How a source's classes stand to a target's (You et al. 2020, section 3).

    Args:
        head: from features (n, d) to the source's own logits (n, s).
        table: (c, s) the source's class given the target's: what the source answers to each class, on average.
    """

    table: Tensor

    def __init__(self, head: nn.Linear, table: Tensor) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("table", table)

    @classmethod
    def between(
        cls, source: tuple[np.ndarray, np.ndarray], features: np.ndarray, truth: np.ndarray, classes: int
    ) -> Relation:
        """Return the relation that labelled features show.

        Args:
            source: weight (s, d) and bias (s,) of the source's own head.
            features: (n, d) of the source's top.
            truth: (n,) the target's classes.
            classes: how many there are; one that does not occur is related to what the source answers on the whole.
        """
        weight, bias = source
        answered = softmax(features @ weight.T + bias, axis=1)
        table = np.stack(
            [answered[truth == one].mean(0) if (truth == one).any() else answered.mean(0) for one in range(classes)]
        )
        head = nn.Linear(weight.shape[1], len(weight))
        head.load_state_dict({"weight": torch.from_numpy(weight.copy()), "bias": torch.from_numpy(bias.copy())})
        return cls(head, torch.from_numpy(table.astype(np.float32)))

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy (n,) of the source's answers with what each label's class is related to."""
        return -(self.table[labels] * functional.log_softmax(self.head(features), 1)).sum(1)
