"""Vocabulary: of a table of token vectors only the rows that examples hold are learned; the others stay as they are.

No gradient ever comes to those, yet every step would go through all of them: half of MiniLM is its table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from headstart.backbones.backbone import Backbone


@dataclass(frozen=True, eq=False)
class NarrowedTable:
    """A table that holds a part of its rows for as long as it learns.

    Attributes:
        table: the module, which is asked for tokens as ever.
        tokens: (m,) whose rows it holds, ascending.
        whole: (v, d) all rows as they were.
        padding: the token whose row never learns, where there is one.
        hook: what finds a token's row.
    """

    table: nn.Embedding
    tokens: Tensor
    whole: Tensor
    padding: int | None
    hook: RemovableHandle

    @classmethod
    def narrowed(cls, trunk: nn.Module, tokens: np.ndarray | None) -> NarrowedTable | None:
        """Leave a network's table only the rows of some tokens (m,); None where it has none that learns."""
        table = _table_of(trunk)
        if tokens is None or table is None or not table.weight.requires_grad:
            return None
        whole, padding = table.weight.detach(), table.padding_idx
        kept = torch.from_numpy(tokens if padding is None else np.union1d(tokens, [padding])).to(whole.device)
        place = torch.full((len(whole),), -1, device=whole.device)
        place[kept] = torch.arange(len(kept), device=whole.device)

        def find(_table: nn.Module, args: tuple[Tensor, ...], named: dict[str, Tensor]) -> Any:
            return (place[args[0] if args else named["input"]],), {}

        table.weight = nn.Parameter(whole[kept])
        table.padding_idx = None if padding is None else int(place[padding])
        return cls(table, kept, whole, padding, table.register_forward_pre_hook(find, with_kwargs=True))

    @property
    def resting(self) -> int:
        """How many numbers stand in the table now that do not learn."""
        return self.table.weight.numel() - len(self.tokens) * self.whole.shape[1]

    def restore(self) -> None:
        """Give the table all its rows back, those that learned as they are now."""
        self.hook.remove()
        rows = self.whole.clone()
        rows[self.tokens] = self.table.weight.detach()
        self.table.weight = nn.Parameter(rows)
        self.table.padding_idx = self.padding


def tokens_of(backbone: Backbone, encoded: Sequence[Any], more: np.ndarray | None = None) -> np.ndarray | None:
    """Return the tokens (m,) in encoded examples, with those that any batch may hold; None where there is no table.

    Args:
        backbone: whose table they are looked up in.
        encoded: the examples, as its `Preparer.encode` returns them.
        more: (k,) further ones.
    """
    if _table_of(backbone.trunk) is None:
        return None
    prepare = backbone.prepare
    texts = [*encoded, *prepare.encode(prepare.examples()), [prepare.padding["input_ids"]]]
    found = np.unique(np.concatenate([np.asarray(one, dtype=np.int64) for one in texts]))
    return found if more is None else np.union1d(found, more)


def _table_of(trunk: nn.Module) -> nn.Embedding | None:
    """Return a network's table of token vectors: one that is nothing but that, and stands in one place."""
    table = getattr(trunk, "table", None)
    if type(table) is not nn.Embedding or table.max_norm is not None or table.scale_grad_by_freq:
        return None
    owners = [one for _, one in trunk.named_parameters(remove_duplicate=False) if one is table.weight]
    return table if len(owners) == 1 else None
