"""Benchmark `peak`: the share of the machine's arithmetic that a forward pass uses."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.speed.clock import Clock
from benchmarks.speed.race import Contender, Race, Task
from benchmarks.speed.weights import RANDOM, place

if TYPE_CHECKING:
    import headstart as hs

BATCH = 32
SIZES = (1024, 2048, 3072, 4096)
SECONDS = 4.0


def headstart(task: Task, clock: Clock) -> dict[str, Any]:
    """Run our forward pass on a prepared batch again and again."""
    import headstart as hs

    backbone = hs.load_backbone(_backbone(task.case["network"]))
    forward, precision = our_forward(backbone)
    rate = _count(backbone.trunk) / _best(forward, task)
    with clock.stopped():
        most = _product(precision, task)
    return {"precision": precision, "gflops": round(rate / 1e9, 1), "share": round(rate / most, 3)}


def our_forward(backbone: hs.Backbone) -> tuple[Callable[[], object], str]:
    """Return what runs one prepared batch as `hs.extract(fast=True)` does, and its precision."""
    import torch

    from headstart.devices import choose_device, choose_precision, moved
    from headstart.frozen.execution import Execution, features_reader, has_openvino

    device = choose_device()
    execution = Execution(choose_precision(device), "openvino" if has_openvino() else "eager", cached=False)
    backbone.trunk.to(device).eval()
    read = features_reader(backbone, [None], execution)
    batch = {"x": moved(_pictures(), device)}

    def forward() -> object:
        with torch.no_grad():
            return read(batch)

    return forward, execution.precision


def eager(task: Task, clock: Clock) -> dict[str, Any]:
    """Run timm's network as it comes, in fp32 or under bf16 autocast, channels-last."""
    import torch

    import headstart as hs

    with clock.phase("load"):
        trunk = hs.load_backbone(_backbone(task.case["network"])).trunk.eval()
    precision = "bf16" if task.settings.get("bf16") else "fp32"
    pictures = _pictures()
    if precision == "bf16":
        trunk, pictures = trunk.to(memory_format=torch.channels_last), pictures.to(memory_format=torch.channels_last)

    def forward() -> object:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return trunk(pictures)

    rate = _count(trunk) / _best(forward, task)
    return {"precision": precision, "gflops": round(rate / 1e9, 1), "share": round(rate / _product(precision, task), 3)}


def _backbone(network: str) -> str:
    return str(place() / network) if network in RANDOM else network


def _pictures() -> Any:
    import torch

    return torch.randn(BATCH, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def _count(trunk: Any) -> int:
    """Return the operations of a batch's forward pass, two a multiply-add."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        trunk(_pictures()[:1])
    return BATCH * counter.get_total_flops()


def _product(precision: str, task: Task) -> float:
    """Return the operations a second of the best square matrix product in a precision."""
    import torch

    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    best = 0.0
    for size in SIZES[: task.fewer(len(SIZES))]:
        left, right = (torch.randn(size, size).to(kind) for _ in range(2))
        best = max(best, 2 * size**3 / _best(lambda left=left, right=right: left @ right, task))
    return best


def _best(run: Callable[[], object], task: Task) -> float:
    """Return the seconds of the fastest of the runs that a few seconds hold, after two that do not count."""
    run(), run()
    end = time.perf_counter() + task.fewer(int(SECONDS))
    fastest = float("inf")
    while True:
        begun = time.perf_counter()
        run()
        now = time.perf_counter()
        fastest = min(fastest, now - begun)
        if now > end:
            return fastest


RACES = tuple(
    Race(
        "peak",
        {"network": network},
        (
            Contender("headstart", run=headstart),
            Contender("eager, fp32", run=eager),
            Contender("eager, bf16 channels-last", run=eager, choices=({"bf16": True},)),
        ),
    )
    for network in ("efficientnet_lite0", *RANDOM)
)
