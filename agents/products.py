"""Matrix products, exact in float32 or with both factors rounded to bf16 where the processor has units for that.

Parameters, sums and everything between products stay float32; one switch a process, set before any learner is built. On
a processor with AVX512-BF16 a product of the paper's sizes takes half the time.
"""

import torch
from torch import Tensor
from torch.nn import functional

_ROUNDED = False


def set_precision(name: str) -> None:
    """`float32` or `bf16`, for all products of this process: a property of it, like its number of threads."""
    global _ROUNDED
    _ROUNDED = name == "bf16"


def has_bf16_units() -> bool:
    """Whether this processor multiplies bf16 numbers faster than float32 ones."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)


class _RoundedLinear(torch.autograd.Function):
    """x W' with all three products (forward, and the gradients of x and W) on factors rounded to bf16."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, weight: Tensor) -> Tensor:
        x16, weight16 = x.bfloat16(), weight.bfloat16()
        ctx.save_for_backward(x16, weight16)
        return functional.linear(x16, weight16).float()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x16, weight16 = ctx.saved_tensors  # type: ignore[attr-defined]
        needs = ctx.needs_input_grad  # type: ignore[attr-defined]
        grad16 = grads[0].bfloat16()
        grad_x = (grad16 @ weight16).float() if needs[0] else None
        flat = grad16.flatten(0, -2)
        grad_weight = (flat.t() @ x16.flatten(0, -2)).float() if needs[1] else None
        return grad_x, grad_weight


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The product x W' + b for x (..., in), W (out, in)."""
    if not _ROUNDED:
        return functional.linear(x, weight, bias)
    out: Tensor = _RoundedLinear.apply(x, weight)  # type: ignore[no-untyped-call]
    return out + bias


def add_linear(addend: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """The sum addend + x W' for x (B, in), W (out, in)."""
    if not _ROUNDED:
        return torch.addmm(addend, x, weight.t())
    out: Tensor = _RoundedLinear.apply(x, weight)  # type: ignore[no-untyped-call]
    return out + addend


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The product a b of matrices, outside of autograd's sight."""
    return (a.bfloat16() @ b.bfloat16()).float() if _ROUNDED else a @ b
