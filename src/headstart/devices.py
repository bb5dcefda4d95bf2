"""Where training runs: the device, its precision and threads, and the processes that share the work."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def choose_device() -> torch.device:
    """Return the fastest device that is there: CUDA, Apple's MPS, or the CPU; each process its own CUDA device."""
    if torch.cuda.is_available():
        return torch.device("cuda", processes().rank % max(1, torch.cuda.device_count()))
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def choose_precision(device: torch.device) -> str:
    """Return "bf16" where a device multiplies it in hardware and its optimiser keeps fp32 weights, else "fp32"."""
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the context in which a forward pass runs in a precision."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


@contextmanager
def steady(threads: int) -> Iterator[None]:
    """Fix the number of threads while the body runs, so that sums are taken in the same order every time."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Run the body as a new process would: what this one has set for PyTorch is put aside until it ends.

    Gradients off, inference mode, another default type or device, autocast, and products in a lower precision would
    each change what is learned and answered.
    """
    before = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in {"cpu", choose_device().type}:
            stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_default_dtype(before[0])
            torch.set_float32_matmul_precision(before[1])


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; pictures in the memory layout that convolutions like best."""
    if tensor.ndim == 4 and tensor.is_floating_point():
        return tensor.to(device, memory_format=torch.channels_last)
    return tensor.to(device)


@dataclass(frozen=True)
class Processes:
    """The processes that were started together, as `accelerate launch` or `torchrun` start them.

    Together they give what one gives, within 1e-5 of an output on a CPU, but for what each draws for its part of a
    batch: dropout, crops, mixing, and BatchNorm's statistics where they are estimated anew.
    The bits are the same in all of them.

    Attributes:
        rank: the number of this one, from 0.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    def share(self, places: Sequence[int]) -> Sequence[int]:
        """Return the part of a batch that this process computes."""
        return places[self.rank :: self.world]

    def agreed(self, value: Any) -> Any:
        """Return the first process's value in all of them: what was measured on the machine may differ."""
        if self.world == 1:
            return value
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in place, as one message."""
        if self.world == 1 or not tensors:
            return
        from accelerate.utils import reduce

        flat = reduce(torch.cat([tensor.reshape(-1) for tensor in tensors]), "sum")
        for tensor, summed in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(summed.view_as(tensor))

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over all processes, in place."""
        self.add_up(tensors)
        for tensor in tensors:
            tensor.div_(self.world)


def processes() -> Processes:
    """Return this process's place among those started together; alone, the first of one."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Processes()
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available())
    return Processes(state.process_index, state.num_processes)
