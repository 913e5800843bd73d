"""Layers of the networks: plain linear maps, products with one-hot latents kept as indices, and small perceptrons."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from mawm.agents.products import linear, matmul


def _uniform(
    shape: tuple[int, ...], fan_in: int, fan_out: int, scale: float, generator: torch.Generator
) -> nn.Parameter:
    bound = scale * (6.0 / (fan_in + fan_out)) ** 0.5
    return nn.Parameter((torch.rand(shape, generator=generator) * 2.0 - 1.0) * bound)


class Linear(nn.Module):
    """y = x W' + b, drawn from the given generator: torch's own layers would draw from the global one."""

    def __init__(self, fan_in: int, fan_out: int, generator: torch.Generator, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = _uniform((fan_out, fan_in), fan_in, fan_out, scale, generator)
        self.bias = nn.Parameter(torch.zeros(fan_out))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (..., fan_out) of inputs (..., fan_in)."""
        return linear(x, self.weight, self.bias)


def gather_grad(index: Tensor, grad: Tensor, rows: int) -> Tensor:
    """onehot(index)' @ grad (rows, out) as additions, six times cheaper: index (R, G), grad (R, out)."""
    out = grad.new_zeros(rows, grad.shape[-1])
    for column in index.unbind(1):
        out.index_add_(0, column, grad)
    return out


class _GatherProduct(torch.autograd.Function):
    """onehot(index) @ weight as a gather; its gradient reaches the probabilities straight through (DreamerV2)."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, index: Tensor, probs: Tensor | None, weight: Tensor
    ) -> Tensor:
        ctx.save_for_backward(index, weight)
        return functional.embedding_bag(index, weight, mode="sum")

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        index, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        needs = ctx.needs_input_grad  # type: ignore[attr-defined]
        grad = grads[0].contiguous()
        grad_probs = matmul(grad, weight.t()) if needs[1] else None
        grad_weight = gather_grad(index, grad, len(weight)) if needs[2] else None
        return None, grad_probs, grad_weight


class StochLinear(nn.Module):
    """onehot(z) W for categorical latents given as class indices (..., G), without ever building the one-hot.

    32 rows are gathered and added instead of a product of width 1024. `probs` (..., G * C), where given, receives the
    straight-through gradient that a one-hot input would have received.
    """

    def __init__(self, groups: int, classes: int, fan_out: int, generator: torch.Generator) -> None:
        super().__init__()
        # Only `groups` of the inputs are ever one at a time: that is the fan-in that keeps the output's variance.
        self.weight = _uniform((groups * classes, fan_out), groups, fan_out, 1.0, generator)
        self.register_buffer("offset", torch.arange(groups) * classes, persistent=False)
        self.groups = groups

    def rows(self, index: Tensor) -> Tensor:
        """Rows of the weight that class indices (..., G) pick."""
        assert isinstance(self.offset, Tensor)
        return index + self.offset

    def forward(self, index: Tensor, probs: Tensor | None = None) -> Tensor:
        """Products (..., out) of class indices (..., G); gradients also reach `probs` (..., G * C)."""
        flat = self.rows(index).reshape(-1, self.groups)
        rows = None if probs is None else probs.reshape(len(flat), -1)
        out: Tensor = _GatherProduct.apply(flat, rows, self.weight)  # type: ignore[no-untyped-call]
        return out.reshape(*index.shape[:-1], -1)


class FeatureLinear(nn.Module):
    """A linear map of the latent state (deter h, stoch z): W_h h + W_z onehot(z) + b."""

    def __init__(self, deter: int, groups: int, classes: int, fan_out: int, generator: torch.Generator) -> None:
        super().__init__()
        self.deter = Linear(deter, fan_out, generator)
        self.stoch = StochLinear(groups, classes, fan_out, generator)

    def forward(self, deter: Tensor, stoch: Tensor, probs: Tensor | None = None) -> Tensor:
        """Outputs (..., out) at latent states; gradients also reach `probs`."""
        out: Tensor = self.deter(deter) + self.stoch(stoch, probs)
        return out


class Tail(nn.Module):
    """What follows a first product: activation, further hidden layers, output."""

    def __init__(self, widths: Sequence[int], generator: torch.Generator, out_scale: float = 1.0) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.layers = nn.ModuleList(
            Linear(a, b, generator, out_scale if i == len(pairs) - 1 else 1.0) for i, (a, b) in enumerate(pairs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (..., widths[-1]) of first products (..., widths[0])."""
        for layer in self.layers:
            x = layer(functional.relu(x))
        return x
