"""Where training runs: the device, its precision and threads, and the processes that share the work."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from headstart.errors import OptionError

Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]

PRECISION = "HEADSTART_PRECISION"
"""The environment's word on precision."""

BF16_ISA = ("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX512_CORE_AMX", "AVX512_CORE_AMX_FP16", "AVX10_1_512")
"""What oneDNN calls the sets of instructions that hold bf16."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""As in glibc's malloc.h."""

LARGEST_THRESHOLD = 2**25
"""The most that older versions of glibc allow for mapping."""


def choose_device() -> torch.device:
    """Return the fastest device that is there: CUDA, Apple's MPS, or the CPU; each process its own CUDA device."""
    if torch.cuda.is_available():
        return torch.device("cuda", processes().rank % max(1, torch.cuda.device_count()))
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def precisions(device: torch.device) -> list[Precision]:
    """Return the precisions that a device multiplies in hardware, fp32 first."""
    if device.type == "cuda":
        return ["fp32", "bf16", "fp16"] if torch.cuda.is_bf16_supported(including_emulation=False) else ["fp32", "fp16"]
    if device.type == "mps":
        return ["fp32", "fp16"]
    return ["fp32", "bf16"] if _cpu_multiplies_bf16() else ["fp32"]


def choose_precision(device: torch.device) -> Precision:
    """Return the precision to learn in: "bf16" where the device multiplies it in hardware, else "fp32".

    Weights, their updates and the loss stay fp32; HEADSTART_PRECISION=fp32 keeps everything so.
    """
    return "bf16" if "bf16" in allowed_precisions(device) else "fp32"


def allowed_precisions(device: torch.device) -> list[Precision]:
    """Return a device's precisions, or the one of them that the environment names.

    Raises:
        OptionError: the environment names another one.
    """
    known: list[Precision] = precisions(device)
    forced = os.environ.get(PRECISION, "")
    if forced and forced not in known:
        raise OptionError(f"{PRECISION} is none that this device has.", expected=", ".join(known), got=forced)
    return [one for one in known if forced in ("", one)]


def _cpu_multiplies_bf16() -> bool:
    """Tell whether this processor has instructions for bf16, and is allowed to use them."""
    if os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper() not in ("ALL", "DEFAULT", *BF16_ISA):
        return False
    has: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(has.get(name, False) for name in ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16"))


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the context in which a forward pass runs in a precision.

    Weights are cast anew in each: PyTorch's memory of cast weights is emptied by the outermost context only, and
    inside another one, even one that is switched off, the weights of the first step would be used for ever.
    """
    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    if precision not in kinds:
        return nullcontext()
    return torch.autocast(device.type, kinds[precision], cache_enabled=False)


@contextmanager
def memory_kept() -> Iterator[None]:
    """Keep freed memory in the process while the body runs: taking it anew from Linux costs more than a convolution.

    By default glibc gives every large block back at once, and each new one is cleared page by page.
    """
    glibc = _glibc()
    if glibc is None:
        yield
        return
    for parameter, large in ((M_TRIM_THRESHOLD, 2**31 - 1), (M_MMAP_THRESHOLD, 2**30)):
        if not glibc.mallopt(parameter, large):
            glibc.mallopt(parameter, LARGEST_THRESHOLD)
    try:
        yield
    finally:
        glibc.malloc_trim(0)


@cache
def _glibc() -> Any:
    """Return the C library where it is glibc, whose allocator can be told; None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


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
    each change what is learned and answered. So would cuDNN's own choices: TF32 keeps three digits of a convolution
    that is meant to be fp32, and some of its algorithms add up in another order every time.
    """
    before = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in {"cpu", choose_device().type}:
            stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False))
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_default_dtype(before[0])
            torch.set_float32_matmul_precision(before[1])


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; pictures in the memory layout that convolutions like best."""
    if tensor.ndim == 4 and tensor.is_floating_point() and any(tensor.stride()):
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
