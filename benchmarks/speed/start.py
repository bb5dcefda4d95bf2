"""Benchmark `start`: the commands' start, and from nothing to the first prediction of a saved model."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from benchmarks.sets import rows
from benchmarks.speed.clock import Clock
from benchmarks.speed.race import Contender, Race, Task
from benchmarks.speed.weights import minilm, place

MADE_FROM = {"image": "hymenoptera", "text": "sst2"}


def ours(task: Task, clock: Clock) -> dict[str, Any]:
    """Load a saved model, which is checked while it is, and answer."""
    import headstart as hs

    asked = _asked(task)
    with clock.phase("load"):
        model = hs.load(saved(task.case["first"]))
    with clock.phase("answer"):
        return {"said": model.predict([asked])[0].label}


def bare(task: Task, clock: Clock) -> dict[str, Any]:
    """Load the same network with timm or transformers alone, and run it forward; there is no head and no check."""
    forward = _timm if task.case["first"] == "image" else _transformers
    return {"said": str(forward(_asked(task), clock).shape)}


def saved(modality: str) -> str:
    """Return the path of a model made beforehand."""
    return str(place() / f"first-{modality}.headstart")


def make() -> None:
    """Make the models whose first prediction is timed."""
    import headstart as hs
    from benchmarks.ours import read

    for modality, name in MADE_FROM.items():
        train = read(rows(name, 0).thinned(100)).given_part("train")
        few = train.take(np.arange(0, len(train), max(1, len(train) // 100)))
        hs.adapt(few, strategy=hs.Probe()).save(saved(modality))


def _asked(task: Task) -> str:
    return rows(MADE_FROM["image"], 0).test[0][0] if task.case["first"] == "image" else "a film that one remembers"


def _timm(file: str, clock: Clock) -> Any:
    from PIL import Image

    from benchmarks.loops import lite

    with clock.phase("load"):
        import timm
        import torch

        model = lite(0).eval()
        transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    with clock.phase("answer"), Image.open(file) as picture, torch.inference_mode():
        return model(transform(picture.convert("RGB"))[None])


def _transformers(text: str, clock: Clock) -> Any:
    with clock.phase("load"):
        import torch
        from transformers import AutoModel, AutoTokenizer

        tokenizer, model = AutoTokenizer.from_pretrained(minilm()), AutoModel.from_pretrained(minilm())
    with clock.phase("answer"), torch.inference_mode():
        return model(**tokenizer([text], return_tensors="pt")).last_hidden_state


RACES = (
    Race(
        "start",
        {"of": "the command"},
        (
            Contender("python -c pass", command=lambda _: [sys.executable, "-c", "pass"]),
            Contender("import headstart", command=lambda _: [sys.executable, "-c", "import headstart"]),
            Contender("headstart --help", command=lambda _: [sys.executable, "-m", "headstart", "--help"]),
        ),
    ),
    Race("start", {"first": "image"}, (Contender("headstart", run=ours), Contender("timm", run=bare))),
    Race("start", {"first": "text"}, (Contender("headstart", run=ours), Contender("transformers", run=bare))),
)

if __name__ == "__main__":
    make()
