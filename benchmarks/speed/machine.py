"""Where a result was measured: the processor, the versions, and the state of the source."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGES = ("torch", "torchvision", "timm", "transformers", "scikit-learn", "fastai", "sentence-transformers", "setfit")
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "sve", "bf16")


@cache
def machine() -> dict[str, Any]:
    """Return the processor's model, how many cores this process may use, its memory, and what it multiplies."""
    fields = _processor()
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return {
        "cpu": fields.get("model name", platform.processor() or platform.machine()),
        "family": "/".join(fields.get(name, "?") for name in ("vendor_id", "cpu family", "model")),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9),
        "isa": [flag for flag in FLAGS if flag in flags],
        "system": f"{platform.system()} {platform.machine()}",
    }


@cache
def versions() -> dict[str, str]:
    """Return the versions of what takes part."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@cache
def source() -> str:
    """Return the hash of Headstart's own source as committed, and whether it was changed since.

    It does not move when only results or benchmarks are committed, so that an interrupted run goes on.
    """
    changed = _git("status", "--porcelain", "--", "src")
    return _git("rev-parse", "--short=12", "HEAD:src") + ("+" if changed else "")


@cache
def commit() -> str:
    """Return the commit that is checked out."""
    return _git("rev-parse", "--short=12", "HEAD")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603, S607
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def _processor() -> dict[str, str]:
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return {}
    first = file.read_text(encoding="utf-8").split("\n\n")[0]
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}
