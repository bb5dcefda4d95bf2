"""The ledger: how often a test set has served for a claim. Every further look has to clear a higher bar."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from headstart.checkpoints import digest_of
from headstart.wording import user_path

PLACE = "HEADSTART_STATE"
ALPHA = 0.05
DIGITS = 32


def alpha_at(look: int) -> float:
    """Return what look k is tested at: α/(k(k+1)), which sums to α over all looks there may ever be.

    Args:
        look: 1 is the first.
    """
    return ALPHA / (look * (look + 1))


def look_at(contents: Sequence[str], values: Sequence[object], outputs: Sequence[np.ndarray]) -> int:
    """Write down that a test set serves for a claim, and return which look this is; the same claim again is no new one.

    Where nothing can be written, looks are not counted: each is the first.

    Args:
        contents: (n,) the hash of each test example's content.
        values: (n,) their targets.
        outputs: what the contenders answered: what makes one claim differ from another.
    """
    file = _folder() / f"{digest_of(sorted(zip(contents, map(str, values), strict=True)))[:DIGITS]}.json"
    claim = digest_of(*(_rounded(one).tolist() for one in outputs))[:DIGITS]
    claims = _read(file)
    if claim not in claims:
        claims.append(claim)
        with suppress(OSError):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = file.with_suffix(f".{os.getpid()}.part")
            part.write_text(json.dumps(claims), encoding="utf-8")
            part.replace(file)
    return claims.index(claim) + 1


def _read(file: Path) -> list[str]:
    try:
        return [str(one) for one in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def _folder() -> Path:
    import platformdirs

    place = os.environ.get(PLACE, "").strip()
    folder = user_path(place) if place else platformdirs.user_state_path("headstart", appauthor=False)
    return folder / "looks"


def _rounded(outputs: np.ndarray) -> np.ndarray:
    """Return outputs without what rounding alone may change; texts are as they are."""
    return outputs if outputs.dtype == object else np.round(np.asarray(outputs, dtype=np.float64), 9)
