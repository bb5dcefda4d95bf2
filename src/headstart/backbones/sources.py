"""From a name to a backbone: the catalogue, timm, the hub, a local folder, or a model made here."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from headstart import artifact
from headstart.backbones.backbone import Backbone, Preparer, weights_hash
from headstart.backbones.card import CLASSICAL, MADE_HERE, Card
from headstart.backbones.catalogue import CATALOGUE, Entry, locate, verified
from headstart.backbones.plans import shipped_plan
from headstart.backbones.replay import CutPlan
from headstart.backbones.typical import Typical
from headstart.devices import undisturbed
from headstart.errors import BackboneError
from headstart.wording import user_path

TIMM, HUB = "timm/", "hf-hub:"
STATIC_LENGTH = 512
HUB_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "1_Pooling/*")
SIZED = re.compile(r"(.+)/([0-9]+)px")
"""A source that reads pictures of another side than its own, such as efficientnet_lite0/160px."""

UNTRAINED = ("patchtst", "patchtsmixer")
FIRST_CONV = "conv_stem.weight"
LITE_HEAD = "_fc"


@undisturbed()
def load_backbone(name: str, *, channels: int = 3) -> Backbone:  # noqa: PLR0911  a return for each kind of name
    """Load a pretrained model with its preprocessing.

    Args:
        name: a catalogue name, `timm/NAME`, `hf-hub:ORG/NAME`, a local folder of timm or transformers, or a
            `.headstart` artifact; NAME/160px reads pictures of that side; "patchtst", "patchtsmixer" are untrained.
        channels: of the pictures it will see; the first layer's weights are reused for other counts than 3.

    Raises:
        BackboneError: there is no such model, its weights are not the expected ones, or it cannot be read.
        DependencyError: the package that carries the weights is not installed.
        ArtifactError: the artifact is damaged.
    """
    if not isinstance(name, str):
        raise BackboneError("this is no name of a backbone.", expected="text", got=type(name).__name__)
    if name in CATALOGUE:
        return _from_catalogue(CATALOGUE[name], channels)
    if name in UNTRAINED:
        from headstart.backbones import forecasters

        return forecasters.untrained(name)
    if name.startswith(TIMM) and SIZED.fullmatch(name) is None:
        return _from_timm(name, channels)
    if name.startswith(HUB) and SIZED.fullmatch(name) is None:
        return _from_folder(_snapshot(name.removeprefix(HUB)), name, channels)
    path = user_path(name)
    if (sized := SIZED.fullmatch(name)) is not None and not path.exists():
        return _at_side(load_backbone(sized[1], channels=channels), int(sized[2]))
    if path.is_dir() and artifact.is_artifact(path):
        return _from_saved(artifact.read(path))
    if path.is_dir():
        return _from_folder(path, path.name, channels)
    close = difflib.get_close_matches(name, CATALOGUE, n=1)
    raise BackboneError(
        f"there is no backbone {name!r}.",
        expected="a catalogue name, timm/NAME, hf-hub:ORG/NAME, a local folder, or a .headstart artifact",
        hint=f"did you mean {close[0]}?" if close else "headstart backbones lists what is available",
    )


def assemble(architecture: dict[str, Any], tokenizer: Any) -> tuple[nn.Module, Preparer]:
    """Build a trunk with random weights, and its preparer, from an architecture as JSON holds it.

    Args:
        architecture: as `Backbone.architecture` holds it.
        tokenizer: for texts: a loaded one, or the folder it lies in; None for pictures.

    Raises:
        BackboneError: the architecture is unknown, or a text backbone has no tokenizer.
    """
    library = architecture["library"]
    if library == "beside":
        from headstart.backbones.beside import Beside, side_of

        trunk, prepare = assemble(architecture["source"], tokenizer)
        small, _ = assemble(architecture["small"], getattr(prepare, "tokenizer", None))
        return Beside(trunk, small, side_of(architecture["small"])).eval(), prepare
    if library == "timm":
        from headstart.backbones import vision

        arguments, channels = _safe(architecture["name"], architecture["arguments"]), architecture["channels"]
        trunk = vision.build_trunk(architecture["name"], channels, **arguments)
        return trunk, vision.ImagePreparer(architecture["preprocessing"], channels)
    if library == CLASSICAL:
        from headstart.backbones import classical

        words = classical.Vocabulary.from_folder(tokenizer) if isinstance(tokenizer, Path) else tokenizer
        return classical.build(architecture, words)
    if library == "series":
        from headstart.backbones import series

        return series.build(architecture)
    from headstart.backbones import language, tokens

    if tokenizer is None or library not in ("transformers", "static"):
        raise BackboneError("a saved backbone cannot be built.", expected="a known library, and a tokenizer for texts")
    prepare = tokens.TextPreparer(
        tokens.load_tokenizer(tokenizer) if isinstance(tokenizer, Path) else tokenizer,
        architecture["max_length"],
        special=library == "transformers",
        prompt=architecture.get("prompt", ""),
    )
    if library == "static":
        return language.StaticTrunk(*architecture["table"]).eval(), prepare
    return language.build_trunk(architecture["config"], architecture["pooling"], architecture["normalize"]), prepare


def _safe(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return a saved network's arguments once none of them would make timm read another file or a hub."""
    unsafe = [key for key in arguments if key.startswith(("checkpoint", "pretrained", "cache", "script", "custom"))]
    if unsafe or not re.fullmatch(r"[\w.\-]+", name):
        raise BackboneError("a saved network may not name files or a hub.", got=", ".join(unsafe) or name)
    return arguments


def _from_saved(saved: artifact.Artifact) -> Backbone:
    """Return a saved model's backbone as a source under the model's own name.

    Of several targets it is the network that most of them share.
    """
    parts = saved.manifest.get("parts")
    most = max(parts, key=lambda one: len(one["targets"])) if parts else None
    backbone = from_artifact(saved if most is None else artifact.read(saved.folder / most["folder"]))
    card = backbone.card
    made_of = card.lineage if card.lineage and card.source == MADE_HERE else (card.name, *card.lineage)
    return replace(backbone, card=replace(card, name=saved.folder.name, source=MADE_HERE, lineage=made_of))


def from_artifact(saved: artifact.Artifact) -> Backbone:
    """Return the backbone inside a saved model: any model made here can be the source of the next."""
    fields, prefix, tensors = saved.manifest["backbone"], "backbone.", saved.tensors()
    weights = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
    tokenizer = saved.folder / artifact.TOKENIZER
    trunk, prepare = assemble(fields["architecture"], tokenizer if tokenizer.is_dir() else None)
    _fill(trunk, weights, fields["card"]["name"])
    plan = CutPlan.from_json(fields["plan"]) if fields.get("plan") else None
    taught = tensors["taught"].numpy()
    card, typical = Card.from_dict(fields["card"]), Typical.from_tensors(tensors)
    origin = saved.folder if any(name.startswith("writer.0.") for name in tensors) else None
    return Backbone(card, fields["architecture"], trunk, prepare, plan, taught, typical, origin)


def _fill(trunk: nn.Module, weights: dict[str, Tensor], name: str) -> None:
    try:
        trunk.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise BackboneError(f"the weights do not fit {name}.", got=" ".join(lines[1:2]) or lines[0]) from None


def _at_side(backbone: Backbone, side: int) -> Backbone:
    """Return a backbone that reads pictures of another side, in pixels.

    Raises:
        BackboneError: it reads none, or only those of its own size.
    """
    card, name = backbone.card, f"{backbone.name}/{side}px"
    if backbone.library != "timm" or "source" in backbone.architecture:
        raise BackboneError(f"{card.name} reads no pictures of another size.", expected="a network of timm", got=name)
    from headstart.backbones import vision

    channels = backbone.architecture["channels"]
    preprocessing = {**backbone.architecture["preprocessing"], "input_size": [channels, side, side]}
    prepare = vision.ImagePreparer(preprocessing, channels)
    card = replace(card, name=name, input=prepare.describe())
    architecture = {**backbone.architecture, "preprocessing": preprocessing}
    sized = replace(backbone, card=card, architecture=architecture, prepare=prepare, typical=None)
    try:
        with torch.no_grad():
            sized.whole(sized.example_batch())
    except (RuntimeError, AssertionError, ValueError) as error:
        raise BackboneError(f"{backbone.name} cannot read pictures of that size.", got=name, hint=str(error)) from None
    return sized


def _from_catalogue(entry: Entry, channels: int) -> Backbone:
    path = verified(entry)
    if entry.library == "timm":
        backbone = _lite(entry, path, channels)
    elif entry.library == "static":
        backbone = _static(entry, path)
    elif entry.library == "series":
        from headstart.backbones import forecasters

        backbone = forecasters.from_package(entry.card, path)
    else:
        backbone = _from_transformers(path.parent, entry.card)
    return replace(backbone, known_plan=shipped_plan(entry.card.name))


def _lite(entry: Entry, path: Path, channels: int) -> Backbone:
    """Read an EfficientNet-Lite checkpoint into timm's network of the same architecture."""
    from timm.models import adapt_input_conv

    from headstart.backbones import vision

    trunk = vision.build_trunk(entry.architecture, channels)
    weights = rename_lite(torch.load(path, map_location="cpu", weights_only=True), trunk)
    weights[FIRST_CONV] = adapt_input_conv(channels, weights[FIRST_CONV])
    _fill(trunk, weights, entry.card.name)
    return _vision_backbone(entry.card, entry.architecture, trunk, channels)


def rename_lite(weights: dict[str, Tensor], trunk: nn.Module) -> dict[str, Tensor]:
    """Map the parameter names of an EfficientNet-Lite checkpoint to timm's; the classifier is left out.

    The checkpoint numbers its blocks through; timm numbers them within a stage, and stage 0 has no expansion.
    """
    stages = trunk.get_submodule("blocks").children()
    blocks = [f"blocks.{s}.{b}" for s, stage in enumerate(stages) for b, _ in enumerate(stage.children())]
    tops = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    later = {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    }
    renamed = {}
    for name, tensor in weights.items():
        match = re.match(r"_blocks\.(\d+)\.(\w+)\.(.*)", name)
        if match:
            block = blocks[int(match[1])]
            renamed[f"{block}.{(first if block.startswith('blocks.0.') else later)[match[2]]}.{match[3]}"] = tensor
        elif not name.startswith(f"{LITE_HEAD}."):
            top, _, rest = name.partition(".")
            renamed[f"{tops[top]}.{rest}"] = tensor
    return renamed


def source_head(card: Card) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the weight (c, d) and bias (c,) of the head that a source was trained with; None where it is not known.

    Raises:
        BackboneError, DependencyError: its weights are not the expected ones, or not installed.
    """
    entry = CATALOGUE.get(card.name)
    if entry is None or entry.library != "timm":
        return None
    weights = torch.load(verified(entry), map_location="cpu", weights_only=True)
    if f"{LITE_HEAD}.weight" not in weights:
        return None
    return weights[f"{LITE_HEAD}.weight"].numpy(), weights[f"{LITE_HEAD}.bias"].numpy()


def _vision_backbone(
    card: Card, name: str, trunk: nn.Module, channels: int, arguments: dict[str, Any] | None = None
) -> Backbone:
    from headstart.backbones import vision

    preprocessing = vision.preprocessing_of(trunk)
    architecture = {
        "library": "timm",
        "name": name,
        "channels": channels,
        "preprocessing": preprocessing,
        "arguments": arguments or {},
    }
    prepare = vision.ImagePreparer(preprocessing, channels)
    return Backbone(card, architecture, trunk, prepare)


def _static(entry: Entry, path: Path) -> Backbone:
    from headstart.backbones import language, tokens

    table = load_file(path)["embedding.weight"].float()
    trunk = language.StaticTrunk(*table.shape).eval()
    trunk.embedding.load_state_dict({"weight": table})
    tokenizer = tokens.static_tokenizer(locate(entry, entry.tokenizer))
    architecture = {"library": "static", "table": list(table.shape), "max_length": STATIC_LENGTH}
    prepare = tokens.TextPreparer(tokenizer, STATIC_LENGTH, special=False)
    return Backbone(entry.card, architecture, trunk, prepare)


def _from_timm(name: str, channels: int) -> Backbone:
    from headstart.backbones import vision

    short = name.removeprefix(TIMM)
    try:
        trunk = vision.build_trunk(short, channels, pretrained=True)
    except BackboneError:
        raise
    except Exception as error:  # noqa: BLE001  the hub client's own errors are of many kinds
        raise _unreachable(name, error) from None
    return _vision_backbone(_timm_card(name, trunk, "timm, from the hub"), short, trunk, channels)


def _timm_card(name: str, trunk: nn.Module, source: str) -> Card:
    from headstart.backbones import vision

    config: dict[str, Any] = getattr(trunk, "pretrained_cfg", {}) or {}
    preprocessing = vision.preprocessing_of(trunk)
    tag = str(config.get("tag") or "")
    return Card(
        name=name,
        modality="image",
        source=source,
        licence=str(config.get("license") or "not stated"),
        trained_on=_imagenet(tag) or "not stated",
        parameters=_size(trunk),
        dimensions=int(getattr(trunk, "num_features", 0)),
        input=vision.ImagePreparer(preprocessing, int(preprocessing["input_size"][0])).describe(),
        sha256=weights_hash(trunk),
        paper=str(config.get("paper_ids") or ""),
    )


def _imagenet(tag: str) -> str:
    """Read the training data from a timm tag, such as `in22k_ft_in1k`."""
    names = {"in1k": "ImageNet-1k", "in21k": "ImageNet-21k", "in22k": "ImageNet-22k", "in12k": "ImageNet-12k"}
    return ", then ".join(names[part] for part in tag.split("_") if part in names)


def _from_folder(folder: Path, name: str, channels: int) -> Backbone:
    """Load a folder as timm saves it (its config names an architecture) or as transformers does."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BackboneError(
            f"{folder} is not a model.", expected="a folder with a config.json and weights, or a .headstart artifact"
        ) from None
    except (ValueError, OSError) as error:
        raise BackboneError(f"the config.json in {folder} cannot be read.", got=str(error)) from None
    if not isinstance(config, dict):
        raise BackboneError(f"the config.json in {folder} is not an object with named fields.")
    from headstart.backbones import forecasters

    if config.get("model_type") in UNTRAINED:
        return forecasters.from_folder(folder, Card(name, "series", str(name), licence=_licence(folder)), config)
    forecasters.require_library(folder, config)
    if "model_type" in config:
        return _from_transformers(folder, Card(name=name, modality="text", source=str(name)))
    if "architecture" in config:
        return _from_timm_folder(folder, name, config, channels)
    raise BackboneError(f"{folder} names neither a timm architecture nor a transformers model type.")


def _from_timm_folder(folder: Path, name: str, config: dict[str, Any], channels: int) -> Backbone:
    from headstart.backbones import vision

    try:
        arguments = dict(config.get("model_args") or {})
        trunk = vision.build_trunk(f"local-dir:{folder}", channels, pretrained=True)
    except (OSError, KeyError, TypeError, ValueError, AttributeError, SafetensorError, AssertionError) as error:
        raise BackboneError(f"the weights in {folder} cannot be read.", got=str(error).splitlines()[0]) from None
    return _vision_backbone(_timm_card(name, trunk, str(name)), config["architecture"], trunk, channels, arguments)


def _from_transformers(folder: Path, card: Card) -> Backbone:
    from headstart.backbones import language, tokens

    trunk, architecture = language.load_folder(folder)
    prepare = tokens.TextPreparer(
        tokens.load_tokenizer(folder), architecture["max_length"], prompt=architecture["prompt"]
    )
    if not card.sha256:
        fields = {
            **card.as_dict(),
            "licence": _licence(folder),
            "parameters": _size(trunk),
            "dimensions": int(architecture["dimensions"]),
            "input": prepare.describe(),
            "sha256": weights_hash(trunk),
        }
        card = Card.from_dict(fields)
    return Backbone(card, architecture, trunk, prepare, origin=folder)


def _licence(folder: Path) -> str:
    """Read the licence from the front matter of a model card."""
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    match = re.search(r"^license:\s*(\S+)", text, flags=re.MULTILINE)
    return match[1].strip("'\"") if match else "not stated"


def _size(trunk: nn.Module) -> int:
    return sum(parameter.numel() for parameter in trunk.parameters())


def _snapshot(repository: str) -> Path:
    """Return the folder of a hub repository, from the hub's cache where it is there; no pickle is fetched."""
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(repository, allow_patterns=list(HUB_FILES)))
    except Exception as error:  # noqa: BLE001  the hub client's own errors are of many kinds
        raise _unreachable(f"{HUB}{repository}", error) from None


def _unreachable(name: str, error: Exception) -> BackboneError:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return BackboneError(
        f"{name} cannot be had.",
        got=first,
        hint="check the name and the connection, or use an offline backbone: headstart backbones",
    )
