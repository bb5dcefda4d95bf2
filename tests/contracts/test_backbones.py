"""Every backbone: its features are those of the library that it came from, and its promises hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file

import headstart as hs
from headstart.backbones import catalogue
from headstart.backbones.catalogue import CATALOGUE
from headstart.backbones.forecasters import forecasts_for
from headstart.errors import BackboneError, DependencyError
from headstart.frozen.execution import Execution
from headstart.frozen.features import extract, features_of

from ..conftest import BAD, GOOD, picture

TEXTS = [*GOOD, *BAD, "A much longer sentence, with clauses and commas, that needs padding. " * 3, "x"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    paths = []
    for number, (side, mode) in enumerate([(48, "RGB"), (300, "RGB"), (224, "L"), (97, "RGB")]):
        path = folder / f"{number}.{'png' if number % 2 else 'jpg'}"
        picture(number, "green", side).resize((side + 40, side)).convert(mode).save(path)
        paths.append(path)
    return paths


def histories(k: int = 4, n: int = 70) -> list[hs.History]:
    """Walks with a season, of unlike lengths."""
    dice, steps = np.random.default_rng(0), np.arange(n)
    walks = [dice.normal(size=n).cumsum() + 3 * np.sin(steps / 2 + place) + 50 for place in range(k)]
    return [hs.History(walk[: n - 9 * place], 12, f"walk {place}") for place, walk in enumerate(walks)]


def real_inputs(name: str, pictures: list[Path]) -> list[Any]:
    if CATALOGUE[name].card.modality == "series":
        return histories()
    return pictures if CATALOGUE[name].card.modality == "image" else TEXTS


def long_table(horizon: int = 3) -> hs.Dataset:
    """Few origins of two short series."""
    rows = [(one.name, place, value) for one in histories(2, 48) for place, value in enumerate(one.values)]
    frame = pd.DataFrame(rows, columns=["id", "time", "y"])
    data = hs.read(frame, series="id", time="time", target="y", horizon=horizon)
    return data.take(np.unique(np.linspace(0, len(data) - 1, 24).astype(int)))


SERIES = ("fracast", "patchtst", "patchtsmixer")


@pytest.mark.parametrize("name", SERIES)
def test_networks_for_series_keep_their_promises(name: str, tmp_path: Path) -> None:
    """Saved and loaded they answer alike, whatever they are batched with and whether the cache is asked."""
    backbone, data = hs.load_backbone(name), long_table()
    model = hs.adapt(data, backbone=backbone, strategy=hs.Probe())
    shown = data.inputs[:6]
    answers = model.outputs(shown)
    assert np.allclose(answers, hs.load(model.save(tmp_path / "model.headstart")).outputs(shown), atol=1e-5)
    assert np.allclose(answers[2:3], model.outputs(shown[2:3]), atol=1e-4)
    kept = features_of(backbone, shown, execution=Execution())
    assert np.array_equal(kept, features_of(backbone, shown, execution=Execution()))
    assert np.allclose(kept, extract(backbone, shown), atol=1e-4)
    with torch.no_grad():
        batch = backbone.example_batch()
        whole = backbone.whole(batch)
        for cut in range(backbone.n_stages + 1):
            again = backbone.above(batch, backbone.below(batch, cut), cut)
            assert torch.allclose(again, whole, atol=1e-4), cut


def test_learning_of_series_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    """Frozen is bitwise frozen, and a training that is taken up again ends with the bits of one that was not."""
    data, strategy = long_table(), hs.FineTune(cut=-2, epochs=2)
    backbone = hs.load_backbone("patchtst")
    whole = hs.adapt(data, backbone=backbone, strategy=strategy)
    steps = 0

    def killed(phase: str, done: int, total: int) -> None:
        nonlocal steps
        steps += "above cut" in phase
        if steps == 3:
            raise KeyboardInterrupt

    settings: Any = {"backbone": backbone, "strategy": strategy, "checkpoint": tmp_path / "m.headstart"}
    with pytest.raises(KeyboardInterrupt):
        hs.adapt(data, **settings, progress=killed)
    again = hs.adapt(data, **settings)
    before, after = whole.backbone.trunk.state_dict(), again.backbone.trunk.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    source = backbone.trunk.state_dict()
    frozen = [name for name in source if name.startswith("network.encoder.layers.0.")]
    assert frozen
    assert all(torch.equal(source[name], after[name]) for name in frozen)


def test_fracast_forecasts_as_its_package_does() -> None:
    from fracast import FracastModel

    reference = FracastModel.from_pretrained(weights="fp32")
    backbone = hs.load_backbone("fracast")
    for history in histories():
        expected = reference.forecast(history.values, horizon=12)
        own = extract(backbone, [history])[0, : 48 * 9].reshape(48, 9)[:12] * history.scale + history.centre
        assert np.abs(own - expected).max() < 1e-3 * np.ptp(history.values)


def test_a_folder_of_a_network_of_patches_is_a_source(tmp_path: Path) -> None:
    config = transformers.PatchTSTConfig(context_length=32, patch_length=8, patch_stride=8, d_model=16, ffn_dim=16)
    transformers.PatchTSTModel(config).save_pretrained(tmp_path / "patches")
    backbone = hs.load_backbone(str(tmp_path / "patches"))
    assert backbone.card.modality == "series"
    assert forecasts_for(backbone) == 0
    tuned = hs.adapt(long_table(), backbone=backbone, strategy=hs.FineTune(epochs=8))
    assert forecasts_for(tuned.backbone) == 3
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps({"model_type": "t5", "chronos_config": {}}))
    with pytest.raises(DependencyError, match="a library of its own"):
        hs.load_backbone(str(tmp_path / "other"))


@pytest.mark.parametrize("name", CATALOGUE)
def test_batch_size_and_order_change_nothing(name: str, pictures: list[Path]) -> None:
    backbone = hs.load_backbone(name)
    inputs = real_inputs(name, pictures)
    features = extract(backbone, inputs)
    assert features.shape == (len(inputs), backbone.card.dimensions)
    assert features.dtype == np.float32
    assert np.array_equal(features, extract(backbone, inputs))
    assert np.allclose(features, extract(backbone, inputs, batch_size=1), atol=1e-5)
    assert np.allclose(features[::-1], extract(backbone, inputs[::-1]), atol=1e-5)


@pytest.mark.parametrize("name", CATALOGUE)
def test_frozen_stays_frozen(name: str, pictures: list[Path]) -> None:
    backbone = hs.load_backbone(name)
    before = {key: tensor.cpu().clone() for key, tensor in backbone.trunk.state_dict().items()}
    if backbone.card.modality == "series":
        hs.adapt(long_table(), backbone=backbone, strategy=hs.FineTune(epochs=1))
    else:
        hs.adapt(hs.read(real_inputs(name, pictures)[:4], target=["a", "b"] * 2), backbone=backbone)
    assert all(torch.equal(before[key], tensor.cpu()) for key, tensor in backbone.trunk.state_dict().items())


@pytest.mark.parametrize("number", [0, 1, 2])
def test_image_features_are_timms_on_the_same_files(number: int, pictures: list[Path]) -> None:
    """The reference loads the checkpoint into timm by itself: weights in order of the state dictionary."""
    entry = CATALOGUE[f"efficientnet_lite{number}"]
    reference = timm.create_model(entry.architecture, pretrained=False).eval()
    checkpoint = torch.load(catalogue.verified(entry), weights_only=True)
    wanted = reference.state_dict()
    assert [tuple(one.shape) for one in checkpoint.values()] == [tuple(one.shape) for one in wanted.values()]
    reference.load_state_dict(dict(zip(wanted, checkpoint.values(), strict=True)))
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(reference), is_training=False)
    batch = torch.stack([transform(Image.open(path).convert("RGB")) for path in pictures])
    with torch.no_grad():
        expected = reference.forward_head(reference.forward_features(batch), pre_logits=True).numpy()
    got = extract(hs.load_backbone(entry.card.name), pictures)
    assert np.abs(got - expected).max() < 1e-5


@pytest.mark.parametrize("name", ["minilm_l6", "minilm_l6_sre"])
def test_text_features_are_sentence_transformers(name: str) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    reference = sentence_transformers.SentenceTransformer(
        str(catalogue.verified(CATALOGUE[name]).parent), device="cpu", local_files_only=True
    )
    long = ["word " * 400, *TEXTS]
    assert np.abs(extract(hs.load_backbone(name), long) - reference.encode(long)).max() < 1e-5


def test_static_features_are_the_mean_of_token_rows() -> None:
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    entry = CATALOGUE["wordllama"]
    table = load_file(catalogue.verified(entry))["embedding.weight"].astype(np.float32)
    tokenizer = Tokenizer.from_file(str(catalogue.locate(entry, entry.tokenizer)))
    expected = [table[tokenizer.encode(text, add_special_tokens=False).ids].mean(0) for text in TEXTS]
    assert np.abs(extract(hs.load_backbone("wordllama"), TEXTS) - np.stack(expected)).max() < 1e-5


def save_timm(folder: Path, name: str = "resnet18") -> torch.nn.Module:
    """Write a folder as timm does for the hub."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=7)
    config = {"architecture": name, "num_classes": 7, "pretrained_cfg": {**model.pretrained_cfg, "num_classes": 7}}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, default=str))
    save_file(model.state_dict(), folder / "model.safetensors")
    return model.eval()


def save_bert(folder: Path) -> transformers.BertModel:
    """Write a small random BERT as transformers does, tokenizer included."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    model = transformers.BertModel(config).eval()
    model.save_pretrained(folder)
    letters = [chr(code) for code in range(97, 123)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *[f"##{letter}" for letter in letters]]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = transformers.BertTokenizer(str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    return model


def in_hub_cache(home: Path, repository: str) -> Path:
    """Return the folder a hub download of a repository would lie in."""
    root = home / "hub" / ("models--" + repository.replace("/", "--"))
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0123abcd")
    return root / "snapshots" / "0123abcd"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for the hub: its cache in a temporary folder, and no network."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub._snapshot_download.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def mean_pooled(model: transformers.BertModel, folder: Path, texts: list[str]) -> np.ndarray:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
        return np.asarray((hidden * mask).sum(1) / mask.sum(1))


def test_a_local_folder_of_transformers(tmp_path: Path) -> None:
    model = save_bert(tmp_path / "bert")
    backbone = hs.load_backbone(str(tmp_path / "bert"))
    assert np.abs(extract(backbone, GOOD) - mean_pooled(model, tmp_path / "bert", GOOD)).max() < 1e-5
    assert backbone.card.licence == "mit"
    assert backbone.card.dimensions == 32
    assert backbone.n_stages >= 3


def test_a_transformers_repository_of_the_hub(hub: Path) -> None:
    model = save_bert(folder := in_hub_cache(hub, "somebody/tiny"))
    backbone = hs.load_backbone("hf-hub:somebody/tiny")
    assert backbone.name == "hf-hub:somebody/tiny"
    assert np.abs(extract(backbone, GOOD) - mean_pooled(model, folder, GOOD)).max() < 1e-5


def test_a_timm_repository_of_the_hub_and_a_local_folder(hub: Path, pictures: list[Path]) -> None:
    model = save_timm(folder := in_hub_cache(hub, "somebody/resnet"))
    model.reset_classifier(0)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    batch = torch.stack([transform(Image.open(path).convert("RGB")) for path in pictures])
    with torch.no_grad():
        expected = model(batch).numpy()
    for name in ("hf-hub:somebody/resnet", str(folder)):
        assert np.abs(extract(hs.load_backbone(name), pictures) - expected).max() < 1e-4


def test_a_timm_name_loads_its_pretrained_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.manual_seed(3)
    weights = timm.create_model("resnet18").state_dict()
    asked: list[object] = []

    def stand_in(model_id: object, *_: object, **__: object) -> dict[str, torch.Tensor]:
        asked.append(model_id)
        return dict(weights)

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", stand_in)
    backbone = hs.load_backbone("timm/resnet18.a1_in1k")
    assert asked == ["timm/resnet18.a1_in1k"]
    assert torch.equal(backbone.trunk.state_dict()["conv1.weight"], weights["conv1.weight"])
    assert backbone.card.licence == "apache-2.0"
    assert backbone.card.trained_on == "ImageNet-1k"
    data = hs.read([picture(n, ["red", "blue"][n % 2]) for n in range(8)], target=["r", "b"] * 4)
    model = hs.adapt(data, backbone=backbone)
    assert hs.load(model.save(tmp_path / "m.headstart")).backbone.card == backbone.card


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_decoder_only_models_are_encoders_at_their_last_token(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {
        "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
        "llama": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64},
    }
    config = transformers.AutoConfig.for_model(kind, vocab_size=60, bos_token_id=1, eos_token_id=2, **sizes[kind])
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    save_bert(tmp_path / "bert")
    model.save_pretrained(tmp_path / kind)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / kind / name).write_bytes((tmp_path / "bert" / name).read_bytes())
    backbone = hs.load_backbone(str(tmp_path / kind))
    assert backbone.architecture["pooling"] == "last"
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / kind)
    got = extract(backbone, GOOD)
    with torch.no_grad():
        for text, row in zip(GOOD, got, strict=True):
            hidden = model(tokenizer(text, return_tensors="pt")["input_ids"], output_hidden_states=True).hidden_states
            assert np.abs(hidden[-1][0, -1].numpy() - row).max() < 1e-5


def test_a_folder_whose_weights_are_not_whole_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    save_bert(tmp_path / "bert")
    weights = load_file(tmp_path / "bert" / "model.safetensors")
    weights.pop("encoder.layer.1.output.dense.weight")
    save_file(weights, tmp_path / "bert" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneError, match="1 weight missing"):
        hs.load_backbone(str(tmp_path / "bert"))


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_other_channel_counts_reuse_the_first_layer(channels: int) -> None:
    plain = hs.load_backbone("efficientnet_lite0").trunk.state_dict()["conv_stem.weight"]
    backbone = hs.load_backbone("efficientnet_lite0", channels=channels)
    first = backbone.trunk.state_dict()["conv_stem.weight"]
    assert first.shape[1] == channels
    if channels == 1:
        assert torch.allclose(first[:, 0], plain.sum(1), atol=1e-6)
    else:
        assert torch.allclose(first[:, 1], plain[:, 1] * 3 / channels, atol=1e-6)
    bands = [np.random.default_rng(n).random((40, 60, channels)) for n in range(2)]
    assert extract(backbone, bands).shape == (2, 1280)


def test_many_channels_are_prepared_as_three_are(pictures: list[Path]) -> None:
    prepare = hs.load_backbone("efficientnet_lite0").prepare
    plain = prepare(pictures[1:2])["x"]
    array = np.asarray(Image.open(pictures[1]), dtype=np.float32) / 255
    assert float((prepare._many_channels(array) - plain[0]).abs().mean()) < 0.01  # type: ignore[attr-defined]


def test_extreme_aspect_ratios_take_little_memory() -> None:
    thin = Image.new("RGB", (20_000, 2), "red")
    assert extract(hs.load_backbone("efficientnet_lite0"), [thin, thin.rotate(90, expand=True)]).shape == (2, 1280)


def test_weights_of_another_hash_are_never_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "evil.pth").write_bytes(b"pickle")
    monkeypatch.setattr(catalogue, "locate", lambda *_: tmp_path / "evil.pth")
    with pytest.raises(BackboneError, match="are not the ones this catalogue knows"):
        hs.load_backbone("efficientnet_lite0")


def test_a_missing_package_names_its_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(DependencyError, match=r"pip install 'headstart\[offline\]'"):
        hs.load_backbone("minilm_l6")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("efficientnet_lite", "did you mean efficientnet_lite"),
        ("timm/resnet1000000", "timm knows no network"),
        ("hf-hub:nobody/nothing", "cannot be had"),
        ("nowhere", "there is no backbone 'nowhere'"),
    ],
)
def test_what_is_no_backbone_says_so(name: str, words: str, hub: Path) -> None:
    with pytest.raises(BackboneError, match=words):
        hs.load_backbone(name)


def test_folders_that_are_no_model_say_so(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="is not a model"):
        hs.load_backbone(str(tmp_path))
    (tmp_path / "config.json").write_text("{broken")
    with pytest.raises(BackboneError, match=r"config\.json .* cannot be read"):
        hs.load_backbone(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BackboneError, match="names neither"):
        hs.load_backbone(str(tmp_path))


def test_cuts_read_other_features(pictures: list[Path]) -> None:
    for name, inputs in (("efficientnet_lite0", pictures), ("minilm_l6", TEXTS)):
        backbone = hs.load_backbone(name)
        low, top = extract(backbone, inputs, cut=3), extract(backbone, inputs)
        assert low.shape[0] == len(inputs)
        assert np.array_equal(extract(backbone, inputs, cut=backbone.n_stages), top)
        assert np.array_equal(low, extract(backbone, inputs, cut=3 - backbone.n_stages))


def test_the_device_is_the_best_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from headstart import devices

    choose: Callable[[], torch.device] = devices.choose_device
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose().type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose().type == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose().type == "cpu"
