"""The saved model: a folder that can be read without running anything, whole or not at all.

```
ants.headstart/
├── manifest.json         what it is, and the SHA-256 of every other file
├── weights.safetensors   backbone and head
├── golden.safetensors    synthetic inputs and the outputs they must give
├── README.md             the model card
├── training.svg          how it was learned, where more than a head was
├── tokenizer/            for texts
└── parts/                where it answers several targets: a folder like this one for each network
```
It is written under a temporary name, synced, and renamed; nothing in it is a pickle.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import ArtifactError, StorageError

if TYPE_CHECKING:
    from torch import Tensor

try:
    import fcntl
except ImportError:  # pragma: no cover  Windows has no such lock; leftovers there are removed by hand
    fcntl = None  # type: ignore[assignment]

FORMAT_FAMILY = "headstart.artifact/"
FORMAT = f"{FORMAT_FAMILY}2"
SUFFIX = ".headstart"
TOKENIZER = "tokenizer"
PARTS = "parts"
CURVES = "training.svg"
PART, OLD = ".part-", ".old-"
MANIFEST, WEIGHTS, GOLDEN, README = "manifest.json", "weights.safetensors", "golden.safetensors", "README.md"
RENAME_EXCHANGE = 2
AT_FDCWD = -100


@dataclass(frozen=True)
class Artifact:
    """A saved model that has been read and found whole.

    Attributes:
        folder: where it lies.
        manifest: what it is.
    """

    folder: Path
    manifest: dict[str, Any]

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights by name."""
        return _load(self.folder / WEIGHTS)

    def golden(self) -> dict[str, Tensor]:
        """Return the synthetic inputs and the outputs they must give."""
        return _load(self.folder / GOLDEN)


def is_artifact(path: Path) -> bool:
    """Tell whether a folder is a saved model of ours: by its manifest, or by its suffix if that is damaged."""
    if not path.is_dir():
        return False
    try:
        return str(json.loads((path / MANIFEST).read_text(encoding="utf-8"))["format"]).startswith(FORMAT_FAMILY)
    except (OSError, ValueError, KeyError, TypeError):
        return path.suffix == SUFFIX and any((path / name).is_file() for name in (MANIFEST, WEIGHTS))


def check_destination(path: Path) -> None:
    """Raise unless an artifact may be written at `path`: nothing is there, or an artifact that it will replace.

    Raises:
        StorageError: something else is there, or the folder above does not exist or cannot be written.
    """
    if path.exists() and not (path.is_dir() and (is_artifact(path) or not any(path.iterdir()))):
        raise StorageError(
            f"{path} exists and is not a model of ours: it is left as it is.", hint="choose another name with --out"
        )
    foreign = _foreign_files(path) if path.is_dir() else []
    if foreign:
        raise StorageError(
            f"{path} holds a file that is not part of the model: it is left as it is.",
            got=foreign[0],
            hint="move it elsewhere, or choose another name with --out",
        )
    parent = path.absolute().parent
    if not parent.is_dir():
        raise StorageError(f"the folder {parent} does not exist.", hint=f"mkdir -p {parent}")
    if not os.access(parent, os.W_OK):
        raise StorageError(f"the folder {parent} cannot be written.", hint="choose another place with --out")


def _foreign_files(path: Path) -> list[str]:
    """Return the files in a folder that no save of ours put there."""
    own = {MANIFEST, WEIGHTS, GOLDEN, README, CURVES}
    found = (file.relative_to(path) for file in path.rglob("*") if file.is_file())
    return sorted(file.as_posix() for file in found if str(file) not in own and file.parts[0] not in (TOKENIZER, PARTS))


def write(path: Path, fill: Callable[[Path], None]) -> None:
    """Write an artifact, whole or not at all; one of ours that was there is replaced in a single step.

    Args:
        path: where.
        fill: writes what is in it into an empty folder.

    Raises:
        StorageError: the disk is full or `path` cannot be written; what was there is still there.
    """
    path = path.resolve()
    check_destination(path)
    with storage_errors(path):
        _settle(path)
        part = Path(tempfile.mkdtemp(prefix=f".{path.name}{PART}", dir=path.parent))
    try:
        with storage_errors(path), held(part):
            fill(part)
            _sync(part)
            _move_into_place(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def fill(
    folder: Path,
    manifest: dict[str, Any],
    weights: dict[str, Tensor],
    golden: dict[str, Tensor],
    readme: str,
    save_tokenizer: Callable[[Path], object] | None = None,
    pictures: dict[str, str] | None = None,
) -> None:
    """Write a model's files into an empty folder, the manifest last."""
    from safetensors.torch import save_file

    save_file(weights, folder / WEIGHTS)
    save_file(golden, folder / GOLDEN)
    for name, drawing in (pictures or {}).items():
        (folder / name).write_text(drawing, encoding="utf-8")
    if save_tokenizer is not None:
        save_tokenizer(folder / TOKENIZER)
    seal(folder, manifest, readme)


def seal(folder: Path, manifest: dict[str, Any], readme: str) -> None:
    """Write the model card, and the manifest with the SHA-256 of every other file in the folder."""
    (folder / README).write_text(readme, encoding="utf-8")
    files = {
        file.relative_to(folder).as_posix(): _digest(file) for file in sorted(folder.rglob("*")) if _is_checked(file)
    }
    whole = {"format": FORMAT, **manifest, "files": files}
    whole = json.loads(json.dumps(whole, allow_nan=False))
    text = json.dumps({**whole, "digest": _canonical_digest(whole)}, indent=2, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read(path: Path) -> Artifact:
    """Return the artifact at `path` once every file is there and unchanged.

    Raises:
        ArtifactError: it is missing, incomplete, changed or not ours.
    """
    _settle(path.absolute())
    if not path.exists():
        raise ArtifactError(f"there is no model at {path}.", hint="train one: headstart fit DATA --out " + path.name)
    if not path.is_dir() or not (path / MANIFEST).is_file():
        raise ArtifactError(f"{path} is not a saved model.", expected="a folder with a manifest.json")
    manifest = _read_manifest(path)
    _require_only_listed(path, manifest["files"])
    for name, digest in manifest["files"].items():
        file = path / name
        if not file.resolve().is_relative_to(path.resolve()):
            raise ArtifactError(f"{path.name} names a file outside itself: {name}.")
        if not file.is_file():
            raise ArtifactError(f"{path.name} is incomplete: {name} is missing.", hint="copy the whole folder again")
        if _digest(file) != digest:
            raise ArtifactError(
                f"{path.name} is damaged or was changed: {name} is not what was saved.",
                expected=f"SHA-256 {digest[:16]}…",
                hint="copy the folder again, or train anew",
            )
    return Artifact(path, manifest)


def _require_only_listed(path: Path, files: dict[str, str]) -> None:
    """Every file there must be one whose SHA-256 the manifest knows: nothing is read unchecked."""
    found = {file.relative_to(path).as_posix() for file in path.rglob("*") if _is_checked(file)} - {MANIFEST}
    unknown = sorted(found - set(files))
    if unknown:
        raise ArtifactError(
            f"{path.name} was changed: {unknown[0]} is not listed in its manifest.", hint=f"remove {path / unknown[0]}"
        )


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        stated = manifest.pop("digest")
        version, files = manifest["format"], manifest["files"]
    except (ValueError, KeyError, AttributeError, TypeError, OSError):
        raise ArtifactError(f"the manifest of {path.name} cannot be read.", hint="copy the folder again") from None
    if version != FORMAT:
        is_older = str(version) < FORMAT
        hint = "train it anew: this version writes another format" if is_older else "pip install -U headstart"
        raise ArtifactError(f"{path.name} is of another format.", expected=FORMAT, got=str(version), hint=hint)
    if stated != _canonical_digest(manifest) or not isinstance(files, dict):
        raise ArtifactError(
            f"{path.name} is damaged or was changed: {MANIFEST} is not what was saved.",
            hint="copy the folder again, or train anew",
        )
    return dict(manifest)


def _is_checked(file: Path) -> bool:
    """Everything but the model card, which its owner may edit."""
    return file.is_file() and file.name != README


def _canonical_digest(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _load(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(file)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{file.name} cannot be read.", got=str(error)) from None
    return tensors


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system and safetensors say of a failed write into one sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except StorageError:
        raise
    except (OSError, SafetensorError) as error:
        number = getattr(error, "errno", None)
        full = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or "No space" in str(error)
        full = full or "os error 28" in str(error) or "File too large" in str(error)
        problem = "the disk is full" if full else "the disk refused to write"
        raise StorageError(
            f"{problem}: {path} was not saved, and what was there before is unchanged.",
            got=str(error).splitlines()[0],
            hint="free some space or choose another place with --out",
        ) from None


def _sync(folder: Path) -> None:
    """Make sure that what will be renamed is on the disk."""
    for file in [*folder.rglob("*"), folder]:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _move_into_place(part: Path, path: Path) -> None:
    if not path.exists():
        part.rename(path)
    elif not _exchange(part, path):
        old = Path(tempfile.mkdtemp(prefix=f".{path.name}{OLD}", dir=path.parent))
        path.rename(old / path.name)
        part.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in a single step where the system can (Linux's renameat2); tell whether it did."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return bool(rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0)


def _settle(path: Path) -> None:
    """Put right what a killed save left: bring back a model that was set aside, remove what is unfinished."""
    if not path.parent.is_dir():
        return
    for old in path.parent.glob(f".{glob.escape(path.name)}{OLD}*"):
        if not path.exists() and (old / path.name).is_dir():
            (old / path.name).rename(path)
        shutil.rmtree(old, ignore_errors=True)
    for part in path.parent.glob(f".{glob.escape(path.name)}{PART}*"):
        with contextlib.suppress(OSError), held(part):
            shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder; the system lets go of it when its holder is killed.

    Raises:
        OSError: another process holds it.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
