"""Small data made here, real data where it is at hand, and the command line in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import headstart as hs
from headstart.cli import app

GOOD = [
    "a lovely film",
    "what a joy",
    "the best play of the year",
    "warm and funny",
    "I smiled all the way",
    "a delight",
]
BAD = ["a dreadful film", "what a bore", "the worst play of the year", "cold and dull", "I slept all the way", "a mess"]


@pytest.fixture(scope="session", autouse=True)
def _a_share_of_the_processors() -> None:
    """Give each of the processes that run the tests its share of the threads."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests out of the user's cache; what one test computes is found by the next."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HEADSTART_STATE", str(tmp_path_factory.mktemp("state")))
        yield


def real_data() -> Path:
    """Return the folder of real data sets: HEADSTART_DATA, or shared/data beside the checkout."""
    return Path(os.environ.get("HEADSTART_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture
def real() -> Callable[[str], Path]:
    def find(name: str) -> Path:
        path = real_data() / name
        if not path.exists():
            pytest.skip(f"the data set {name} is not at hand: set HEADSTART_DATA")
        return path

    return find


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.out)
        return answer


@pytest.fixture
def headstart() -> Callable[..., Said]:
    """Run the command line in this process."""

    def run(*words: object, stdin: str | bytes | None = None) -> Said:
        result = CliRunner().invoke(app, [str(word) for word in words], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Said(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """A table of twelve reviews."""
    path = tmp_path / "reviews.csv"
    rows = [f"{text},good" for text in GOOD] + [f"{text},bad" for text in BAD]
    path.write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def picture(seed: int, colour: str, side: int = 48) -> Image.Image:
    """Return a noisy square of a colour."""
    noise = np.random.default_rng(seed).integers(0, 90, (side, side, 3), dtype=np.uint8)
    noise[..., {"red": 0, "green": 1, "blue": 2}[colour]] += 150
    return Image.fromarray(noise)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of eight red and eight blue pictures."""
    root = tmp_path / "photos"
    for colour in ("red", "blue"):
        (root / colour).mkdir(parents=True)
        for number in range(8):
            picture(100 * len(colour) + number, colour).save(root / colour / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def text_model() -> hs.Model:
    rows = [(text, "good") for text in GOOD] + [(text, "bad") for text in BAD]
    return hs.adapt(hs.read(rows), backbone="wordllama")


@pytest.fixture(scope="session")
def saved_text_model(text_model: hs.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_model.save(tmp_path_factory.mktemp("saved") / "reviews.headstart")
