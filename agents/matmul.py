"""Matrix products in float32, or with both factors rounded to bf16 for processors that have bf16 units.

Parameters, sums and values between products stay float32. Each process sets the precision once, before it builds a
learner. On a processor with AMX torch rounds the factors; with AVX512-BF16 only, this module rounds them.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_ROUNDED = False
"""Whether this module rounds the factors, because torch does not."""
_BF16 = False
"""Whether products have bf16 factors."""


def set_precision(name: str) -> None:
    """Set the precision of all products of this process: `float32`, `bf16`, or on a GPU `tf32`."""
    global _ROUNDED, _BF16
    native = name == "bf16" and _supports("_is_amx_tile_supported")
    torch.backends.mkldnn.matmul.fp32_precision = "bf16" if native else "ieee"  # type: ignore[attr-defined]
    torch.backends.cuda.matmul.fp32_precision = "tf32" if name == "tf32" else "ieee"
    _ROUNDED = name == "bf16" and not native
    _BF16 = name == "bf16"


def has_bf16_units() -> bool:
    """Whether this processor multiplies bf16 numbers faster than float32 ones."""
    return _supports("_is_avx512_bf16_supported") or _supports("_is_amx_tile_supported")


@cache
def _has_fused_bf16() -> bool:
    """Whether this processor can run the fused operation on bf16 numbers; one without AVX512 cannot."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _supports(probe: str) -> bool:
    return bool(getattr(torch.cpu, probe, bool)())


class _RoundedLinear(torch.autograd.Function):
    """x W', where all three products (forward, and the gradients of x and W) have factors rounded to bf16."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        x16, weight16 = x.bfloat16(), weight.bfloat16()
        ctx.save_for_backward(x16, weight16)
        return functional.linear(x16, weight16).float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x16, weight16 = ctx.saved_tensors
        needs_x, needs_weight = ctx.needs_input_grad
        grad16 = grads[0].bfloat16()
        grad_x = (grad16 @ weight16).float() if needs_x else None
        return grad_x, (grad16.flatten(0, -2).t() @ x16.flatten(0, -2)).float() if needs_weight else None


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The product x W' + b for x (..., in), W (out, in)."""
    if not _ROUNDED:
        return functional.linear(x, weight, bias)
    out: Tensor = _RoundedLinear.apply(x, weight)  # type: ignore[no-untyped-call]
    return out + bias


def uses_bf16() -> bool:
    """Whether products have bf16 factors."""
    return _BF16


def rounded(x: Tensor) -> Tensor:
    """A factor of several products, rounded to bf16 once; unchanged with precision `float32`."""
    return x.bfloat16() if _BF16 else x


def widened(x: Tensor) -> Tensor:
    """A `rounded` factor for a product with a float32 result: float32 where torch rounds factors itself."""
    return x.float() if _BF16 and not _ROUNDED else x


def _is_rounded(a: Tensor, b: Tensor) -> bool:
    return _ROUNDED or a.dtype is torch.bfloat16 or b.dtype is torch.bfloat16


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The product a b of matrices, without autograd; the factors may be `rounded` already."""
    return (a.bfloat16() @ b.bfloat16()).float() if _is_rounded(a, b) else a @ b


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The sum x W' + b of x (R, in), W (out, in), without autograd; x, W may be `rounded` already."""
    if _is_rounded(x, weight):
        return matmul(x, weight.t()).add_(bias)
    return torch.addmm(bias, x, weight.t())


def relu_affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The hidden layer relu(x W' + b) of `rounded` tensors, without autograd; for bf16 in one operation if possible."""
    if x.dtype is torch.bfloat16 and x.device.type == "cpu" and _has_fused_bf16():
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu", [], "")
        return out
    return torch.addmm(bias, x, weight.t()).relu_()


class Factor:
    """The right factor (in, out) of many products without autograd, made contiguous and rounded once.

    A product of few rows with a contiguous factor takes half the time.
    """

    def __init__(self, values: Tensor) -> None:
        self.rounded = _ROUNDED
        self.values = values.to(torch.bfloat16 if self.rounded else values.dtype).contiguous()

    def product(self, x: Tensor, out: Tensor) -> Tensor:
        """Write x W (B, out) of x (B, in) into `out`."""
        if self.rounded:
            return out.copy_(x.bfloat16() @ self.values)
        return torch.mm(x, self.values, out=out)

    def add_product(self, out: Tensor, x: Tensor) -> Tensor:
        """Add x W (B, out) of x (B, in) to `out`."""
        if self.rounded:
            return out.add_(x.bfloat16() @ self.values)
        return out.addmm_(x, self.values)
