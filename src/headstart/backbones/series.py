"""Series backbones: networks that read a history and say what comes next; fracast, PatchTST and PatchTSMixer.

A history goes in as the bits of its values, scaled by its own past: as token ids are of texts, they are no numbers to
be learned from, so that every module may read them whatever lies below a cut.
Behind them stands the last season again, `STEPS` steps of it. Features begin with the network's own forecast, as many
steps of nine quantiles; then come what it has pooled, the latest values and that season, so that a head on them is a
seasonal autoregression at least.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from headstart.backbones.local import examples
from headstart.errors import BackboneError, DependencyError
from headstart.tasks import QUANTILES, STEPS

LIBRARY = "series"
OUTPUTS = STEPS * len(QUANTILES)
NARROW = 64
"""Numbers that a forecast of a network of patches is made from: its steps and quantiles hang together."""

LAGS = 24
"""Latest values that stand among the features, with their season's worth of steps left to the network."""

KINDS = ("patchtst", "patchtsmixer")
UNTRAINED: dict[str, dict[str, Any]] = {
    "patchtst": {
        "model_type": "patchtst",
        "num_input_channels": 1,
        "context_length": 128,
        "patch_length": 8,
        "patch_stride": 8,
        "d_model": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "ffn_dim": 128,
        "attention_dropout": 0.0,
        "ff_dropout": 0.0,
        "path_dropout": 0.0,
        "positional_dropout": 0.0,
        "norm_type": "layernorm",
        "scaling": None,
    },
    "patchtsmixer": {
        "model_type": "patchtsmixer",
        "num_input_channels": 1,
        "context_length": 128,
        "patch_length": 8,
        "patch_stride": 8,
        "d_model": 48,
        "num_layers": 3,
        "expansion_factor": 2,
        "dropout": 0.0,
        "scaling": None,
    },
}
"""Networks that nobody pretrained: what is made from one of them here can be the source of the next."""


class Ladder(nn.Module):
    """fracast's encoder: scaled values and which are there (n, l) to states (n, l, d), with both of them beside."""

    def __init__(self, core: nn.Module) -> None:
        super().__init__()
        self.core = core

    def forward(self, values: Tensor, there: Tensor) -> Tensor:
        """Return (n, l, d)."""
        rows = there[:, None]
        return torch.as_tensor(self.core(values[:, None], rows, rows.to(values.dtype)))


class Asked(nn.Module):
    """fracast's head: states (n, l, d) and the history to quantiles (n, h, 9)."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, hidden: Tensor, values: Tensor, there: Tensor) -> Tensor:
        """Return (n, h, 9)."""
        return torch.as_tensor(self.head.forward_horizon(hidden, ctx=values, ctx_mask=there))  # type: ignore[operator]


class FracastTrunk(nn.Module):
    """fracast: the bits of a history (n, l) to features (n, d)."""

    def __init__(self, core: nn.Module, head: nn.Module, context: int) -> None:
        super().__init__()
        self.ladder, self.asked, self.context = Ladder(core), Asked(head), context
        self.num_features = OUTPUTS + 2 * int(core.d) + LAGS + STEPS  # type: ignore[arg-type]
        self.register_buffer("known", torch.tensor(STEPS))

    def forward(self, bits: Tensor) -> Tensor:
        """Return (n, d); values lie between 0 and 1 inside, as it was pretrained."""
        with torch.autocast(bits.device.type, enabled=False):
            values, there, season = opened(bits, self.context)
            low = torch.where(there, values, torch.inf).amin(1, keepdim=True)
            high = torch.where(there, values, -torch.inf).amax(1, keepdim=True)
            span = (high - low).clamp(min=1e-5)
            inside = torch.where(there, (values - low) / span, 0.0)
            hidden = self.ladder(inside, there)
            own = self.asked(hidden, inside, there) * span[..., None] + low[..., None]
            pooled = torch.cat([hidden.mean(1), hidden[:, -1]], 1)
            return torch.cat([continued(own, self.get_buffer("known")), pooled, latest(values), season], 1)


class PatchTrunk(nn.Module):
    """PatchTST or PatchTSMixer with a forecast of its own: the bits of a history (n, l) to features (n, d).

    Values have mean 0 and spread 1 inside (Kim et al. 2022); what comes out is a change from something between the last
    value and the last season, in the middle of which a network begins that has learned nothing.
    """

    def __init__(self, network: nn.Module, config: Any) -> None:
        super().__init__()
        self.network = network
        self.context = int(config.context_length)
        width = int(config.d_model)
        patches = (self.context - int(config.patch_length)) // int(config.patch_stride) + 1
        self.narrowed = nn.Linear(patches * width, NARROW)
        self.forecast = nn.Linear(NARROW, OUTPUTS)
        nn.init.zeros_(self.forecast.weight)
        nn.init.zeros_(self.forecast.bias)
        self.between = nn.Linear(NARROW, 1)
        nn.init.zeros_(self.between.weight)
        nn.init.zeros_(self.between.bias)
        self.num_features = OUTPUTS + width + LAGS + STEPS
        self.register_buffer("known", torch.tensor(STEPS))

    def forward(self, bits: Tensor) -> Tensor:
        """Return (n, d)."""
        with torch.autocast(bits.device.type, enabled=False):
            values, there, season = opened(bits, self.context)
            number = there.sum(1, keepdim=True).clamp(min=1)
            mean = torch.where(there, values, 0.0).sum(1, keepdim=True) / number
            apart = torch.where(there, values - mean, 0.0)
            spread = (apart.square().sum(1, keepdim=True) / number).sqrt().clamp(min=1e-3)
            inside = (apart / spread)[..., None]
            hidden = self.network(past_values=inside).last_hidden_state[:, 0]
            told = self.narrowed(hidden.flatten(1))
            change = self.forecast(told).unflatten(1, (STEPS, len(QUANTILES))) * spread[..., None]
            own = change + (self.between(told).sigmoid() * season)[..., None]
            return torch.cat([continued(own, self.get_buffer("known")), hidden.mean(1), latest(values), season], 1)


def opened(bits: Tensor, context: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the values (n, l) of the latest steps, 0 before a history begins, which of them are there, and the season.

    The season is what comes if the last one comes again (n, 48).
    """
    numbers = bits.view(torch.float32)
    raw = numbers[:, -context - STEPS : -STEPS]
    there = ~raw.isnan()
    return torch.where(there, raw, 0.0), there, numbers[:, -STEPS:]


def continued(own: Tensor, known: Tensor) -> Tensor:
    """Return quantiles (n, h, 9) flat, with the last step that was learned in place of those after it."""
    steps = torch.arange(own.shape[1], device=own.device).minimum(known - 1)
    return own.index_select(1, steps).flatten(1)


def latest(values: Tensor) -> Tensor:
    """Return the latest values (n, 24), large ones drawn in."""
    return torch.asinh(values[:, -LAGS:])


@dataclass(frozen=True)
class SeriesPreparer:
    """Turn histories into a batch.

    Attributes:
        context: l, the latest values that are read.
    """

    context: int

    padding: ClassVar[dict[str, int]] = {}

    @property
    def identity(self) -> str:
        """How values are scaled, and how many are read."""
        return f"history scaled by its seasonal differences, the latest {self.context}, and its last season"

    def __call__(self, inputs: Sequence[Any]) -> dict[str, Tensor]:
        """Return {"bits": (n, l + 48)}, padded on the left."""
        return self.collate(self.encode(inputs))

    def augmented(self, inputs: Sequence[Any], seed: Sequence[int], *, flip: bool) -> dict[str, Tensor]:
        """Return the batch as it is: series are never altered."""
        return self.collate(inputs)

    def encode(self, inputs: Sequence[Any]) -> tuple[np.ndarray, ...]:
        """Return the bits (l + 48,) of each history's values and its last season again; NaN before it begins.

        They are in units of its scale from its centre.
        """
        rows = np.full((len(inputs), self.context + STEPS), np.nan, dtype=np.float32)
        for row, history in zip(rows, inputs, strict=True):
            own = history.scaled[-self.context :]
            row[self.context - len(own) : self.context] = own
            row[self.context :] = np.resize(history.scaled[-history.season :], STEPS)
        return tuple(rows.view(np.int32))

    def collate(self, encoded: Sequence[Any]) -> dict[str, Tensor]:
        """Return {"bits": (n, l + 48)}."""
        return {"bits": torch.from_numpy(np.stack(encoded))}

    def outline(self, encoded: Sequence[Any]) -> dict[str, Tensor]:
        """Return the whole batch: values are read at every cut."""
        return self.collate(encoded)

    def truncated(self, inputs: Sequence[Any]) -> list[int]:
        """Return no places: of a long history the latest values are what counts."""
        return []

    def examples(self) -> list[Any]:
        """Return two unlike synthetic histories."""
        return list(examples())

    def read(self, state: Sequence[Tensor], trunk: nn.Module, batch: Mapping[str, Tensor]) -> Tensor | None:
        """Average the first states (n, …, d) over their places."""
        hidden = next((one for one in state if one.ndim >= 3), None)
        return None if hidden is None else hidden.flatten(1, -2).mean(1)

    def describe(self) -> str:
        """Say what goes in, in words."""
        return f"the latest {self.context} values"

    def quietly(self) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()


def build(architecture: dict[str, Any]) -> tuple[nn.Module, SeriesPreparer]:
    """Return a trunk with random weights, and its preparer, from an architecture as JSON holds it.

    Raises:
        BackboneError: the architecture is unknown.
        DependencyError: it is fracast, and its package is not installed.
    """
    config = architecture["config"]
    if architecture["network"] == "fracast":
        return _fracast(config), SeriesPreparer(int(config["model"]["W"]))
    if architecture["network"] not in KINDS:
        raise BackboneError("a saved backbone cannot be built.", expected="fracast, patchtst or patchtsmixer")
    import transformers

    settings = transformers.AutoConfig.for_model(**config)
    trunk = PatchTrunk(transformers.AutoModel.from_config(settings), settings)
    return trunk.eval(), SeriesPreparer(trunk.context)


def _fracast(config: dict[str, Any]) -> FracastTrunk:
    try:
        from fracast._core.model import build_from_cfg
    except ImportError:
        raise DependencyError(
            "the network of fracast is not installed.",
            expected="the package fracast",
            hint="pip install 'headstart[offline]'",
        ) from None
    core, head = build_from_cfg(config)
    return FracastTrunk(core, head, int(config["model"]["W"])).eval()


def untrained(name: str) -> dict[str, Any]:
    """Return the architecture of a network that nobody pretrained."""
    return {"library": LIBRARY, "network": name, "config": UNTRAINED[name]}
