"""Forecasters: networks for series by name, from a package, from a folder, or with random weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from headstart.backbones import series
from headstart.backbones.backbone import Backbone, weights_hash
from headstart.backbones.card import Card
from headstart.errors import BackboneError, DependencyError
from headstart.tasks import STEPS

LIBRARIES = {"chronos": "chronos-forecasting", "tinytimemixer": "granite-tsfm", "timesfm": "timesfm"}
"""What runs forecasters that are not run here, by a word of their configuration."""


def from_package(card: Card, path: Path) -> Backbone:
    """Read fracast's weights as data into the network that its package describes.

    Args:
        card: of the catalogue.
        path: of the weights, verified; the configuration lies beside them.

    Raises:
        DependencyError: the package cannot be imported: its network is code of its own.
        BackboneError: the weights do not fit.
    """
    config = json.loads(path.with_name("config.json").read_text(encoding="utf-8"))
    own = {name: config[name] for name in ("model", "pyramid")}
    architecture = {"library": series.LIBRARY, "network": "fracast", "config": own}
    trunk, prepare = series.build(architecture)
    renamed = {
        name.replace("core.", "ladder.core.", 1) if name.startswith("core.") else f"asked.{name}": tensor
        for name, tensor in load_file(path).items()
    }
    try:
        trunk.load_state_dict({**renamed, "known": torch.tensor(STEPS)}, strict=True)
    except RuntimeError as error:
        raise BackboneError(f"the weights do not fit {card.name}.", got=str(error).splitlines()[0]) from None
    return Backbone(card, architecture, trunk, prepare)


def untrained(name: str) -> Backbone:
    """Return a network that nobody pretrained; its weights are drawn alike every time."""
    architecture = series.untrained(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trunk, prepare = series.build(architecture)
    card = Card(name, "series", "random weights", "none: nothing was taken from anyone", "nothing")
    return Backbone(_measured(card, trunk, prepare), architecture, trunk, prepare)


def from_folder(folder: Path, card: Card, config: dict[str, Any]) -> Backbone:
    """Return the encoder in a transformers folder of PatchTST or PatchTSMixer; its own forecast is to be learned.

    Raises:
        BackboneError: it is for several channels, or its weights cannot be read.
    """
    import transformers

    if int(config.get("num_input_channels", 1)) != 1:
        raise BackboneError(f"{folder.name} reads several series at once.", expected="num_input_channels of 1")
    try:
        model = transformers.AutoModel.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, dtype=torch.float32
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise BackboneError(f"{folder.name} holds no model that transformers can load.", got=first) from None
    plain = {**model.config.to_diff_dict(), "model_type": model.config.model_type}
    fields = json.loads(json.dumps(plain, default=str))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trunk = series.PatchTrunk(model, model.config).eval()
    prepare = series.SeriesPreparer(trunk.context)
    architecture = {"library": series.LIBRARY, "network": model.config.model_type, "config": fields}
    return Backbone(_measured(card, trunk, prepare), architecture, trunk, prepare)


def _measured(card: Card, trunk: nn.Module, prepare: series.SeriesPreparer) -> Card:
    """Return a card with the sizes and the hash of its network."""
    return replace(
        card,
        parameters=sum(parameter.numel() for parameter in trunk.parameters()),
        dimensions=int(trunk.num_features),  # type: ignore[arg-type]
        input=prepare.describe(),
        sha256=weights_hash(trunk),
    )


def require_library(folder: Path, config: dict[str, Any]) -> None:
    """Raise a `DependencyError` for a forecaster whose own library would be needed.

    Raises:
        DependencyError: it is Chronos, TinyTimeMixer or TimesFM.
    """
    words = f"{config.get('model_type', '')} {' '.join(map(str, config.get('architectures') or ()))} {' '.join(config)}"
    for mark, package in LIBRARIES.items():
        if mark in words.lower():
            raise DependencyError(
                f"{folder.name} needs a library of its own, which is not run here yet.",
                expected="fracast, PatchTST or PatchTSMixer",
                got=f"a model of {package}",
                hint="use the default: leave out --backbone",
            )


def forecasts_for(backbone: Backbone) -> int:
    """Return the steps that a network for series has learned to forecast itself; 0 of any other and of a random one."""
    known = dict(backbone.trunk.named_buffers()).get("known")
    own = getattr(backbone.trunk, "forecast", None)
    is_blank = isinstance(own, nn.Linear) and not bool(own.weight.any())
    return 0 if known is None or is_blank or backbone.card.trained_on == "nothing" else int(known)


def note_taught(backbone: Backbone, source: Backbone, horizon: int) -> None:
    """Note in a network that learned to forecast from nothing how many steps it knows now."""
    known = dict(backbone.trunk.named_buffers()).get("known")
    if known is not None and (backbone.card.trained_on == "nothing" or not forecasts_for(source)):
        known.fill_(min(STEPS, horizon))
