"""Kernels: how a forward pass that is learned from is run, so that its backward pass is fast on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.grad import conv2d_weight
from torch.overrides import TorchFunctionMode

from headstart.devices import autocast

NARROW = 3
"""Columns of a depthwise kernel up to which oneDNN has fast code for the gradient of its weights."""


@contextmanager
def learned_from(device: torch.device, precision: str) -> Iterator[None]:
    """Run a forward pass that is learned from in a precision.

    On a CPU what has a slow backward pass is taken apart (decisions/0012): in bf16 attention becomes products and a
    softmax, since the backward pass of PyTorch's fused kernel takes ten times as long as its forward pass; and the
    gradients of some depthwise convolutions are found in another way.
    """
    with ExitStack() as stack:
        stack.enter_context(autocast(device, precision))
        if device.type == "cpu":
            stack.enter_context(_DepthwiseMode())
            if precision != "fp32":
                stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield


class _DepthwiseMode(TorchFunctionMode):
    """Run the depthwise convolutions whose backward pass is slow through `_Depthwise`."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in (functional.conv2d, torch.conv2d) and len(args) == 7 and not kwargs:
            inputs, weight, bias, stride, padding, dilation, groups = args
            dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else inputs.dtype
            is_depthwise = 1 < groups == weight.shape[0] == inputs.shape[1]
            is_plain = not isinstance(padding, str) and _pair(dilation) == (1, 1)
            is_wide = weight.requires_grad and weight.shape[3] > NARROW
            is_rounded = inputs.requires_grad and dtype != torch.float32 and _pair(stride) != (1, 1)
            is_slow = torch.is_grad_enabled() and (is_wide or is_rounded)
            if is_depthwise and is_plain and is_slow:
                return _Depthwise.apply(inputs, weight, bias, _pair(stride), _pair(padding), dtype)
        return func(*args, **(kwargs or {}))


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution whose gradients are found by what oneDNN has fast code for.

    For its weights that is kernels up to three columns wide, however high: wider ones take ten times as long, in bf16
    forty times. A kernel's columns see the input shifted, so its gradient falls apart into theirs.
    For its inputs that is, where there is a stride, fp32: in bf16 it takes thirty times as long.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
        dtype: torch.dtype,
    ) -> Tensor:
        inputs, kernel = inputs.to(dtype), weight.to(dtype)
        ctx.save_for_backward(inputs, kernel)
        ctx.stride, ctx.padding, ctx.dtype = stride, padding, weight.dtype
        return torch.conv2d(inputs, kernel, None if bias is None else bias.to(dtype), stride, padding, 1, len(kernel))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None, None]:
        inputs, kernel = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        below = _below(inputs, kernel, gradient, ctx.stride, ctx.padding) if ctx.needs_input_grad[0] else None
        own = _by_columns(inputs, kernel.shape, gradient, ctx.stride, ctx.padding) if ctx.needs_input_grad[1] else None
        own = None if own is None else own.to(ctx.dtype)
        return below, own, gradient.float().sum((0, 2, 3)) if ctx.needs_input_grad[2] else None, None, None, None


def _below(
    inputs: Tensor, kernel: Tensor, gradient: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """Return the gradient of the inputs of a depthwise convolution, from that of what it gives."""
    dtype = torch.float32 if stride != (1, 1) else inputs.dtype
    found = torch.ops.aten.convolution_backward(
        gradient.to(dtype),
        inputs.to(dtype),
        kernel.to(dtype),
        None,
        stride,
        padding,
        [1, 1],
        False,
        [0, 0],
        len(kernel),
        [True, False, False],
    )
    return torch.as_tensor(found[0].to(inputs.dtype))


def _by_columns(
    inputs: Tensor, shape: torch.Size, gradient: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """Return the gradient (c, 1, kh, kw) of a depthwise kernel, from that of what it gives."""
    height, width = int(shape[2]), int(shape[3])
    parts = []
    for first in range(0, width, NARROW):
        columns = min(NARROW, width - first)
        left, seen = padding[1] - first, (gradient.shape[3] - 1) * stride[1] + columns
        shifted = functional.pad(inputs, (left, seen - inputs.shape[3] - left))
        own = (shape[0], 1, height, columns)
        parts.append(conv2d_weight(shifted, own, gradient, stride, (padding[0], 0), 1, shape[0]))  # type: ignore[no-untyped-call]
    return torch.cat(parts, 3)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))
