from __future__ import annotations

import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import headstart as hs
from headstart import artifact, model
from headstart.errors import ArtifactError, StorageError


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_is_what_is_loaded(saved_text_model: Path, text_model: hs.Model) -> None:
    loaded = hs.load(saved_text_model)
    texts = ["a fine day", "something else", "x"]
    assert np.array_equal(loaded.outputs(texts), text_model.outputs(texts))
    assert loaded.task == text_model.task
    assert loaded.record == json.loads(json.dumps(text_model.record))
    assert loaded.predict(texts) == text_model.predict(texts)


def test_a_probe_at_a_lower_cut_is_saved_with_its_cut(photos: Path, tmp_path: Path) -> None:
    model = hs.adapt(hs.read(photos), strategy=hs.Probe(cut=-3))
    path = model.save(tmp_path / "low.headstart")
    loaded = hs.load(path)
    assert loaded.cut == model.backbone.n_stages - 3
    pictures = sorted(photos.rglob("*.png"))[:3]
    assert np.allclose(loaded.outputs(pictures), model.outputs(pictures), atol=1e-6)
    again = hs.adapt(hs.read(photos), backbone=str(path))
    card = again.backbone.card
    assert (card.name, card.lineage) == ("low.headstart", (model.backbone.name,))
    assert card.sha256 == model.backbone.card.sha256


def test_the_folder_is_private_readable_and_without_pickles(saved_text_model: Path) -> None:
    assert stat.S_IMODE(saved_text_model.stat().st_mode) == 0o700
    names = {str(path.relative_to(saved_text_model)) for path in saved_text_model.rglob("*") if path.is_file()}
    assert {
        "manifest.json",
        "weights.safetensors",
        "golden.safetensors",
        "README.md",
        "tokenizer/tokenizer.json",
    } <= names
    assert not [name for name in names if name.endswith((".pkl", ".pt", ".pth", ".bin", ".joblib"))]
    manifest = json.loads((saved_text_model / "manifest.json").read_text())
    assert manifest["models"][0]["task"]["labels"] == ["bad", "good"]
    assert manifest["backbone"]["card"]["licence"] == "MIT"
    assert manifest["files"].keys() == names - {"manifest.json", "README.md"}
    assert "wordllama" in (saved_text_model / "README.md").read_text()


@pytest.fixture
def copied(saved_text_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_text_model, tmp_path / "copy.headstart"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("harm", [flip, cut_short, Path.unlink])
@pytest.mark.parametrize(
    "name", ["manifest.json", "weights.safetensors", "golden.safetensors", "tokenizer/tokenizer.json"]
)
def test_damage_is_one_clear_sentence(copied: Path, name: str, harm: Callable[[Path], None]) -> None:
    harm(copied / name)
    with pytest.raises(ArtifactError, match=r"damaged or was changed|is incomplete|cannot be read|not a saved model"):
        hs.load(copied)


def rewrite(folder: Path, **changes: object) -> None:
    """Change a manifest and make its digest right again, as a forger would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["digest"]
    manifest.update(changes)
    manifest["digest"] = artifact._canonical_digest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_forged_manifest_cannot_reach_outside_or_leave_files_unchecked(copied: Path) -> None:
    files = json.loads((copied / "manifest.json").read_text())["files"]
    rewrite(copied, files={**files, "../../etc/passwd": "0"})
    with pytest.raises(ArtifactError, match="names a file outside itself"):
        hs.load(copied)
    rewrite(copied, files={})
    with pytest.raises(ArtifactError, match="not listed in its manifest"):
        hs.load(copied)


def test_a_file_that_was_added_is_not_trusted(copied: Path) -> None:
    (copied / "tokenizer" / "tokenizer_extra.json").write_text("{}")
    with pytest.raises(ArtifactError, match="not listed in its manifest"):
        hs.load(copied)


def test_another_format_says_what_to_do(copied: Path) -> None:
    rewrite(copied, format="headstart.artifact/99")
    with pytest.raises(ArtifactError, match="another format"):
        hs.load(copied)


def test_golden_outputs_are_compared(copied: Path) -> None:
    from safetensors.torch import load_file, save_file

    golden = load_file(copied / "golden.safetensors")
    golden["outputs.0"] = golden["outputs.0"].flip(1)
    save_file(golden, copied / "golden.safetensors")
    files = json.loads((copied / "manifest.json").read_text())["files"]
    rewrite(copied, files={**files, "golden.safetensors": artifact._digest(copied / "golden.safetensors")})
    with pytest.raises(ArtifactError, match="does not answer as it did when it was saved"):
        hs.load(copied)


@pytest.mark.parametrize(
    "make", [lambda path: path.write_text("mine"), lambda path: (path.mkdir(), (path / "x").touch())]
)
def test_what_is_not_ours_is_left_as_it_is(
    text_model: hs.Model, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "thing")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StorageError, match="is not a model of ours"):
        text_model.save(tmp_path / "thing")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_of_ours_is_replaced_in_one_step(text_model: hs.Model, tmp_path: Path) -> None:
    first = text_model.save(tmp_path / "m.headstart")
    before = (first / "manifest.json").read_bytes()
    text_model.with_record(seed=7).save(first)
    assert (first / "manifest.json").read_bytes() != before
    assert names_in(tmp_path) == ["m.headstart"]
    assert hs.load(first).record["seed"] == 7


def test_a_missing_parent_and_a_full_disk(
    text_model: hs.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        text_model.save(tmp_path / "no" / "m.headstart")
    saved = text_model.save(tmp_path / "m.headstart")
    before = (saved / "manifest.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifact, "_sync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        text_model.save(saved)
    assert (saved / "manifest.json").read_bytes() == before
    assert names_in(tmp_path) == ["m.headstart"]


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
from headstart.cli import app
sys.argv = ["headstart", *sys.argv[1:]]
app()
"""


def test_a_write_that_the_system_cuts_off_leaves_nothing(reviews: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    words = ["fit", str(reviews), "--backbone", "wordllama", "--out", str(out / "m.headstart")]
    done = subprocess.run([sys.executable, "-c", LIMITED, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "was not saved, and what was there before is unchanged" in done.stderr
    assert "Traceback" not in done.stderr
    assert names_in(out) == []


def test_a_kill_at_any_moment_leaves_a_whole_model_or_none(text_model: hs.Model, tmp_path: Path) -> None:
    path, dice = tmp_path / "m.headstart", random.Random(0)
    manifest, golden = model._manifest([text_model]), model._golden([text_model])
    weights = {"head.weight": torch.zeros(2, 4), "table": torch.zeros(1000, 1000)}
    for _ in range(30):
        process = os.fork()
        if process == 0:
            while True:
                artifact.write(path, lambda part: artifact.fill(part, manifest, weights, golden, "card"))
        time.sleep(dice.uniform(0.0, 0.15))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        if path.exists():
            assert artifact.read(path).tensors()["table"].shape == (1000, 1000)
    artifact.write(path, lambda part: artifact.fill(part, manifest, weights, golden, "card"))
    assert names_in(tmp_path) == ["m.headstart"]


def test_a_folder_with_a_manifest_of_its_own_or_with_files_of_the_users_is_left_alone(
    text_model: hs.Model, tmp_path: Path
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "manifest.json").write_text('{"name": "app"}')
    (tmp_path / "app" / "thesis.txt").write_text("years of work")
    with pytest.raises(StorageError, match="is not a model of ours"):
        text_model.save(tmp_path / "app")
    saved = text_model.save(tmp_path / "m.headstart")
    (saved / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match="holds a file that is not part of the model"):
        text_model.save(saved)
    assert (saved / "notes.txt").read_text() == "mine"
    assert (tmp_path / "app" / "thesis.txt").exists()


def test_a_link_to_a_model_stays_a_link(text_model: hs.Model, tmp_path: Path) -> None:
    saved = text_model.save(tmp_path / "m.headstart")
    (tmp_path / "link").symlink_to(saved)
    text_model.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert names_in(tmp_path) == ["link", "m.headstart"]


def test_what_a_kill_between_two_renames_set_aside_is_brought_back(text_model: hs.Model, tmp_path: Path) -> None:
    saved = text_model.save(tmp_path / "m.headstart")
    aside = tmp_path / ".m.headstart.old-x"
    aside.mkdir()
    saved.rename(aside / "m.headstart")
    assert hs.load(saved).task == text_model.task
    assert names_in(tmp_path) == ["m.headstart"]


def test_the_owner_may_edit_the_model_card(copied: Path) -> None:
    (copied / "README.md").write_text("mine")
    assert hs.load(copied).task.labels == ("bad", "good")


@pytest.mark.parametrize(
    "changes",
    [
        {"models": [{"task": [], "columns": [], "record": {}}]},
        {"models": []},
        {
            "models": [
                {
                    "task": {"target": "y", "kind": "classification", "labels": ["a", "b", "c"]},
                    "columns": [],
                    "record": {},
                }
            ]
        },
        {"models": [{"task": {"target": "y", "kind": "guess", "labels": ["a", "b"]}, "columns": [], "record": {}}]},
        {"cut": "x"},
        {"cut": 99},
        {"backbone": None},
    ],
)
def test_a_manifest_that_makes_no_sense_is_one_clear_sentence(copied: Path, changes: dict[str, object]) -> None:
    rewrite(copied, **changes)
    with pytest.raises(ArtifactError):
        hs.load(copied)


def test_a_card_of_a_later_version_is_read(copied: Path) -> None:
    backbone = json.loads((copied / "manifest.json").read_text())["backbone"]
    backbone["card"]["colour"] = "blue"
    rewrite(copied, backbone=backbone)
    assert hs.load(copied).backbone.name == "wordllama"


def test_a_saved_network_may_not_name_other_files() -> None:
    from headstart.backbones.sources import assemble

    fields = {"library": "timm", "name": "resnet18", "channels": 3, "arguments": {"checkpoint_path": "x"}}
    with pytest.raises(hs.BackboneError, match="may not name files"):
        assemble(fields, None)
