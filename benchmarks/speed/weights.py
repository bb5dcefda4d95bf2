"""The same weights for everyone, in the form that each peer loads: made once, before anything is timed."""

from __future__ import annotations

import json
import os
import tempfile
from functools import cache
from pathlib import Path

CUT = 14
"""Of EfficientNet-Lite0's 21 stages: the upper third learns."""

RANDOM = ("resnet50", "vit_small_patch16_224")
"""timm's networks that are filled with random weights: only their speed is asked for."""

LITE = "tf_efficientnet_lite0"


def place() -> Path:
    """Return the folder that the weights are kept in."""
    return Path(tempfile.gettempdir()) / f"headstart-benchmarks-{os.getuid()}"


def lite_file() -> Path:
    """Return EfficientNet-Lite0's weights under timm's names, without a classifier."""
    return place() / "lite0.safetensors"


def learned() -> list[str]:
    """Return the names of the modules above the cut."""
    return list(json.loads((place() / "learned.json").read_text(encoding="utf-8")))


def minilm() -> Path:
    """Return the folder of MiniLM-L6, as transformers and sentence-transformers load it."""
    return Path((place() / "minilm.txt").read_text(encoding="utf-8"))


def prepare() -> None:
    """Write what is missing."""
    from safetensors.torch import save_file

    import headstart as hs
    from headstart.backbones.catalogue import CATALOGUE, verified

    place().mkdir(mode=0o700, exist_ok=True)
    backbone = hs.load_backbone("efficientnet_lite0")
    tensors = {name: tensor.contiguous() for name, tensor in backbone.trunk.state_dict().items()}
    save_file(tensors, _new(lite_file()))
    _new(lite_file()).rename(lite_file())
    above = [name for stage in backbone.replay.plan.stages[CUT:] for name in stage]
    (place() / "learned.json").write_text(json.dumps(above), encoding="utf-8")
    (place() / "minilm.txt").write_text(str(verified(CATALOGUE["minilm_l6"]).parent), encoding="utf-8")
    for name in RANDOM:
        _random(name)


@cache
def is_prepared() -> bool:
    """Tell whether there is nothing to write."""
    files = [lite_file(), place() / "learned.json", place() / "minilm.txt"]
    return all(file.is_file() for file in [*files, *(place() / name / "config.json" for name in RANDOM)])


def _random(name: str) -> None:
    """Write a network with random weights as timm's own folder."""
    import timm
    import torch
    from timm.models import save_for_hf

    torch.manual_seed(0)
    save_for_hf(timm.create_model(name, num_classes=0), place() / name, model_config={"num_classes": 0})


def _new(file: Path) -> Path:
    return file.with_name(f"{file.name}.new")


if __name__ == "__main__":
    prepare()
