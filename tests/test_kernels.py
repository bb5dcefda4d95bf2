"""Kernels: gradients found in another way are the same gradients."""

import pytest
import torch

from headstart.learning import kernels
from headstart.learning.kernels import learned_from

CPU = torch.device("cpu")


def gradients(convolve, inputs, weight, bias):
    leaves = [one.clone().requires_grad_() for one in (inputs, weight, bias)]
    out = convolve(*leaves)
    direction = torch.linspace(-1, 1, out.numel()).reshape(out.shape)
    (out.float() * direction).sum().backward()
    return [out.detach().float(), *(one.grad.float() for one in leaves)]


@pytest.mark.parametrize("stride", [1, 2, (1, 2)])
@pytest.mark.parametrize("kernel", [(5, 5), (7, 7), (3, 5), (5, 4), (1, 5)])
@pytest.mark.parametrize("padding", [0, 2, (1, 0)])
def test_a_wide_depthwise_kernel_has_the_gradients_of_pytorch(monkeypatch, stride, kernel, padding):
    torch.manual_seed(0)
    inputs, bias = torch.randn(3, 6, 11, 9).contiguous(memory_format=torch.channels_last), torch.randn(6)
    weight = torch.randn(6, 1, *kernel)
    called = []
    by_columns = kernels._by_columns
    monkeypatch.setattr(kernels, "_by_columns", lambda *given: called.append(1) or by_columns(*given))

    def convolve(*leaves):
        return torch.nn.functional.conv2d(*leaves, stride, padding, 1, 6)

    def ours(*leaves):
        with learned_from(CPU, "fp32"):
            return convolve(*leaves)

    expected = gradients(convolve, inputs, weight, bias)
    assert not called
    for found, wanted in zip(gradients(ours, inputs, weight, bias), expected, strict=True):
        assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    assert called


@pytest.mark.parametrize(("stride", "size"), [(2, 3), (2, 5), (1, 5)])
def test_in_bf16_the_gradients_are_those_of_fp32_but_for_rounding(stride, size):
    torch.manual_seed(0)
    inputs, bias = torch.randn(4, 8, 12, 12), torch.randn(8)
    weight = torch.randn(8, 1, size, size)

    def ours(precision):
        def convolve(*leaves):
            with learned_from(CPU, precision):
                return torch.nn.functional.conv2d(*leaves, stride, size // 2, 1, 8)

        return convolve

    rounded, exact = (gradients(ours(precision), inputs, weight, bias) for precision in ("bf16", "fp32"))
    for found, wanted in zip(rounded, exact, strict=True):
        assert float((found - wanted).abs().max()) < 0.03 * float(wanted.abs().max())


def test_a_frozen_kernel_with_a_stride_hands_its_gradient_down_in_bf16_as_well():
    torch.manual_seed(0)
    weight = torch.randn(8, 1, 3, 3)
    below = []
    for precision in ("bf16", "fp32"):
        inputs = torch.linspace(-1, 1, 4 * 8 * 12 * 12).reshape(4, 8, 12, 12).requires_grad_()
        with learned_from(CPU, precision):
            out = torch.nn.functional.conv2d(inputs, weight, None, 2, 1, 1, 8)
        out.float().square().sum().backward()
        below.append(inputs.grad)
    assert float((below[0] - below[1]).abs().max()) < 0.03 * float(below[1].abs().max())


@pytest.mark.parametrize(
    ("groups", "size", "learns"), [(1, 5, True), (4, 5, True), (8, 3, True), (8, 5, False)], ids=str
)
def test_every_other_convolution_is_pytorchs_own(monkeypatch, groups, size, learns):
    monkeypatch.setattr(kernels._Depthwise, "apply", lambda *_: pytest.fail("it is not slow"))
    weight = torch.randn(8, 8 // groups, size, size, requires_grad=learns)
    with learned_from(CPU, "fp32"):
        out = torch.nn.functional.conv2d(torch.randn(2, 8, 9, 9), weight, None, 1, 1, 1, groups)
    assert out.shape == (2, 8, 9 + 2 - size + 1, 9 + 2 - size + 1)
