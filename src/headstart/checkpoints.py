"""Where unfinished work is kept, so that the same command goes on where a killed one stopped.

A folder beside the result: a plan, and one file for each piece of work, each written whole or not at all.
What lies there is only trusted by the same question: other data, another strategy or another version starts anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.artifact import held, storage_errors
from headstart.backbones.backbone import digest_of_tensors
from headstart.devices import processes
from headstart.errors import StorageError

if TYPE_CHECKING:
    from torch import Tensor

INTERVAL = 10.0
"""Seconds of training that may be lost."""

SPARED = 20.0
"""Checkpoints take at most one part in this many of the time: where writing one is slow, they become rarer."""

PLAN = "plan.json"
SUFFIX = ".safetensors"


@dataclass(eq=False)
class Checkpoints:
    """A folder of unfinished work, or nothing at all where there is no folder.

    Attributes:
        folder: where it lies; None keeps nothing.
        interval: seconds between two checkpoints of the same piece of work.
    """

    folder: Path | None = None
    interval: float = INTERVAL
    _written: float = field(default_factory=time.monotonic)
    _took: float = 0.0

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the tensors and the fields of a piece of work; None where there is none that can be trusted."""
        from safetensors import SafetensorError, safe_open

        file = self._file(name)
        if file is None or not file.is_file():
            return None
        try:
            with safe_open(file, framework="pt") as opened:
                fields = json.loads(opened.metadata()["fields"])
                stated = fields.pop("digest")
                tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118  it is no mapping
        except (SafetensorError, OSError, ValueError, KeyError, TypeError):
            return None
        return (tensors, fields) if stated == digest_of_tensors(tensors) else None

    def is_due(self) -> bool:
        """Tell whether a checkpoint should be written now."""
        return self.folder is not None and time.monotonic() - self._written >= max(self.interval, SPARED * self._took)

    def save(self, name: str, tensors: Mapping[str, Tensor], fields: Mapping[str, Any]) -> None:
        """Write a piece of work, whole or not at all.

        Raises:
            StorageError: the disk is full or cannot be written; what was there is still there.
        """
        from safetensors.torch import save_file

        file = self._file(name)
        if file is None:
            return
        begun = time.monotonic()
        plain = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
        part = file.with_suffix(".part")
        with storage_errors(file.parent):
            save_file(plain, part, {"fields": json.dumps({**fields, "digest": digest_of_tensors(plain)})})
            _synced(part)
            part.replace(file)
        self._written = time.monotonic()
        self._took = self._written - begun

    def drop(self, name: str) -> None:
        """Remove a piece of work that is no longer needed."""
        file = self._file(name)
        if file is not None:
            file.unlink(missing_ok=True)

    def plan(self, question: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the plan that was made for this very question; whatever belongs to another one is removed."""
        if self.folder is None:
            return None
        try:
            stored = json.loads((self.folder / PLAN).read_text(encoding="utf-8"))
            if stored["question"] == json.loads(json.dumps(question)):
                return dict(stored["plan"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        for file in self.folder.iterdir():
            file.unlink()
        return None

    def keep_plan(self, question: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
        """Write the plan before the first result.

        Raises:
            StorageError: the disk is full or cannot be written.
        """
        if self.folder is None:
            return
        part = self.folder / f"{PLAN}.part"
        with storage_errors(self.folder):
            part.write_text(json.dumps({"question": question, "plan": plan}, indent=2), encoding="utf-8")
            _synced(part)
            part.replace(self.folder / PLAN)

    def first(self, name: str, value: list[str]) -> list[str]:
        """Return what was given under a name the first time this work was at this point, which is kept."""
        if self.folder is None:
            return value
        file = self.folder / f"{name}.json"
        try:
            return list(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            part = file.with_suffix(".part")
        with storage_errors(self.folder):
            part.write_text(json.dumps(value), encoding="utf-8")
            _synced(part)
            part.replace(file)
        return value

    def _file(self, name: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{name}{SUFFIX}"


@contextlib.contextmanager
def checkpoints_beside(path: Path | None, *, interval: float = INTERVAL) -> Iterator[Checkpoints]:
    """Keep unfinished work in a hidden folder beside a result; it is removed when the body has come to its end.

    Several processes started together keep none: all would have to go on from the same step.
    An error leaves nothing behind but work that is worth going on with; so does a killed process.

    Raises:
        StorageError: another process is at the same work, or the folder cannot be made.
    """
    if path is None or processes().world > 1:
        yield Checkpoints()
        return
    folder = path.absolute().parent / f".{path.name}.unfinished"
    with storage_errors(path):
        folder.mkdir(mode=0o700, exist_ok=True)
    try:
        with held(folder):
            try:
                yield Checkpoints(folder, interval)
                is_worth_keeping = False
            except BaseException:
                is_worth_keeping = any(folder.glob(f"*{SUFFIX}"))
                raise
            finally:
                if not is_worth_keeping:
                    shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        raise StorageError(
            f"{path.name} is being made by another process.", hint="wait for it, or choose another name with --out"
        ) from None


def digest_of(*parts: object) -> str:
    """Return the SHA-256 of what a question is made of."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode("utf-8", "surrogatepass")).hexdigest()


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _synced(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
