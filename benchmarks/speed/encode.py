"""Benchmark `encode`: features of pictures from JPEG files, and of texts, a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rivals
from benchmarks.loops import Loop, eager_features
from benchmarks.sets import photographs
from benchmarks.speed.clock import Clock
from benchmarks.speed.race import TINY, Contender, Race, Task

TEXTS = 5000
IMAGE_BATCH = 32
OPENVINO = "HEADSTART_BENCH_OPENVINO"
"""The Python of an environment with sentence-transformers' openvino extra, which asks for an older transformers than
everything else here. Its onnx extra asks for transformers 4, which sentence-transformers 6 no longer runs with."""


def images_ours(task: Task, clock: Clock) -> dict[str, Any]:
    """Extract the features of every photograph."""
    files = _files(task)
    with clock.phase("import"):
        from headstart import extract, load_backbone
    with clock.phase("load"):
        backbone = load_backbone("efficientnet_lite0")
    with clock.phase("encode"):
        features = extract(backbone, [Path(file) for file in files], fast=True)
    return _kept(features, clock)


def images_eager(task: Task, clock: Clock) -> dict[str, Any]:
    """Run timm's network and transform over every photograph."""
    return _kept(eager_features(_files(task), Loop(batch=IMAGE_BATCH, **task.settings), clock), clock)


def texts_ours(task: Task, clock: Clock) -> dict[str, Any]:
    """Extract the features of texts; a logistic regression on them."""
    texts = task.rows.train[0]
    with clock.phase("import"):
        from headstart import extract, load_backbone
    with clock.phase("load"):
        backbone = load_backbone("minilm_l6")
    with clock.phase("encode"):
        features = extract(backbone, texts, fast=True)
    with clock.stopped():
        tested = extract(backbone, task.rows.test[0], fast=True)
    return _judged(task, clock, features, tested)


def texts_theirs(task: Task, clock: Clock) -> dict[str, Any]:
    """Encode the same texts with sentence-transformers; the same logistic regression on them."""
    features = rivals.sentence_features(task.rows.train[0], clock, **task.settings)
    with clock.stopped():
        tested = rivals.sentence_features(task.rows.test[0], Clock(), **task.settings)
    return _judged(task, clock, features, tested)


def _judged(task: Task, clock: Clock, features: np.ndarray, tested: np.ndarray) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression

    with clock.phase("head"):
        answers = LogisticRegression(max_iter=1000).fit(features, task.rows.train[1]).predict(tested)
    return {**_kept(features, clock), "right": answers == task.rows.test[1]}


def _kept(features: np.ndarray, clock: Clock) -> dict[str, Any]:
    return {"n": len(features), "a second": round(len(features) / clock.seconds["encode"], 1)}


def _files(task: Task) -> list[str]:
    files = photographs()
    return files[:: len(files) // TINY] if task.tiny else files


BATCHES = tuple({"batch": batch} for batch in (32, 64, 128))
IN_BF16 = tuple({**one, "bf16": True} for one in BATCHES)

RACES = (
    Race(
        "encode",
        {"what": "photographs"},
        (
            Contender("headstart", run=images_ours),
            Contender("timm, fp32", run=images_eager, choices=({"workers": 0}, {"workers": 2})),
            Contender(
                "timm, bf16 channels-last",
                run=images_eager,
                choices=({"workers": 0, "bf16": True}, {"workers": 2, "bf16": True}),
            ),
        ),
        clocked=("encode",),
    ),
    Race(
        "encode",
        {"what": "texts", "set": "sst2", "rows": TEXTS},
        (
            Contender("headstart", run=texts_ours),
            Contender("sentence-transformers", run=texts_theirs),
            Contender("sentence-transformers at its best", run=texts_theirs, choices=(*BATCHES, *IN_BF16)),
            Contender(
                "sentence-transformers, openvino",
                run=texts_theirs,
                choices=tuple({**one, "backend": "openvino"} for one in (*BATCHES[:2], *IN_BF16[:2])),
                python=OPENVINO,
            ),
        ),
        clocked=("encode",),
    ),
)
