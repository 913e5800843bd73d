"""Layers of the networks: linear maps, products with one-hot latents given as indices, and small perceptrons."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mawm.agents import dense
from mawm.agents.matmul import affine, linear, matmul, relu_affine, rounded, uses_bf16, widened


def uniform_weight(
    shape: tuple[int, ...], fan_in: int, fan_out: int, generator: torch.Generator, scale: float = 1.0
) -> nn.Parameter:
    """A weight, uniform in +-`scale` (6 / (fan_in + fan_out))^(1/2)."""
    bound = scale * (6.0 / (fan_in + fan_out)) ** 0.5
    return nn.Parameter((torch.rand(shape, generator=generator) * 2.0 - 1.0) * bound)


class Linear(nn.Module):
    """y = x W' + b. The given generator draws the weights; torch's own layers would use the global generator."""

    def __init__(self, fan_in: int, fan_out: int, generator: torch.Generator, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = uniform_weight((fan_out, fan_in), fan_in, fan_out, generator, scale)
        self.bias = nn.Parameter(torch.zeros(fan_out))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (..., fan_out) of inputs (..., fan_in)."""
        return linear(x, self.weight, self.bias)


def gather_grad(index: Tensor, grad: Tensor, rows: int) -> Tensor:
    """onehot(index)' @ grad (rows, out) by index_add, six times faster; index (R, G), grad (R, out)."""
    grad, out = grad.contiguous(), grad.new_zeros(rows, grad.shape[-1])
    for column in index.unbind(1):
        out.index_add_(0, column, grad)
    return out


def stoch_grad(stoch: Tensor, classes: int, grad: Tensor) -> Tensor:
    """onehot(stoch)' @ grad (G C, out) for class indices (R, G) and grad (R, out).

    A product takes half the time of index_add with bf16 factors, and twice the time with float32 factors.
    """
    if not uses_bf16():
        first = torch.arange(stoch.shape[1], device=stoch.device) * classes
        return gather_grad(stoch + first, grad, stoch.shape[1] * classes)
    # The transposed one-hot (G C, R) by comparison takes a fifth of the time of a scatter.
    of_class = torch.arange(classes, device=stoch.device).to(torch.bfloat16).unsqueeze(1)
    transposed = stoch.t().to(torch.bfloat16).contiguous().unsqueeze(1)
    onehot = transposed.new_empty(transposed.shape[0], classes, transposed.shape[2])
    return matmul(torch.eq(transposed, of_class, out=onehot).flatten(0, 1), grad)


CACHED = 1 << 18
"""Size in numbers of a weight that fits into a processor's second-level cache together with other data."""


class RowSums:
    """Sums of rows of a weight (N, out), without autograd, for `count` index rows at a time.

    A large weight is split into `parts` of its columns: parts that fit into the cache are read twice as fast.
    """

    def __init__(self, weight: Tensor, count: int, parts: int = 1) -> None:
        self.count = parts
        self.tables = [x.contiguous() for x in weight.chunk(parts, 1)] if weight.numel() > CACHED else [weight]
        self.at = torch.arange(count, device=weight.device)

    def __call__(self, index: Tensor) -> Tensor:
        """Sums (R, out) of the rows at indices (R, G), if there is one part."""
        (out,) = self.parts(index)
        return out

    def parts(self, index: Tensor) -> list[Tensor]:
        """Sums (R, out / parts) of the rows at indices (R, G), for each part.

        The checks of `functional.embedding_bag` take longer than the sums, so this calls `torch.embedding_bag`.
        """
        at, flat = self.at * index.shape[1], index.flatten()
        sums = [torch.embedding_bag(x, flat, at, False, 0, False, None, False, None)[0] for x in self.tables]
        return sums if len(sums) == self.count else list(sums[0].chunk(self.count, 1))


class _GatherProduct(torch.autograd.Function):
    """onehot(index) @ weight as a gather, with a straight-through gradient for the probabilities (DreamerV2)."""

    @staticmethod
    def forward(ctx: Any, index: Tensor, probs: Tensor | None, weight: Tensor) -> Tensor:
        ctx.save_for_backward(index, weight)
        return functional.embedding_bag(index, weight, mode="sum")

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        index, weight = ctx.saved_tensors
        _, needs_probs, needs_weight = ctx.needs_input_grad
        grad = grads[0].contiguous()
        grad_probs = matmul(grad, weight.t()) if needs_probs else None
        return None, grad_probs, gather_grad(index, grad, len(weight)) if needs_weight else None


class StochLinear(nn.Module):
    """onehot(z) W for categorical latents given as class indices (..., G), without building the one-hot.

    It adds G rows of the weight, which replaces a product of width G * C. If `probs` (..., G * C) is given, it receives
    the straight-through gradient of the one-hot input.
    """

    def __init__(self, groups: int, classes: int, fan_out: int, generator: torch.Generator) -> None:
        super().__init__()
        # Exactly `groups` of the inputs are one, so this fan-in keeps the variance of the output.
        self.weight = uniform_weight((groups * classes, fan_out), groups, fan_out, generator)
        self.register_buffer("offset", torch.arange(groups) * classes, persistent=False)
        self.groups = groups

    def rows(self, index: Tensor) -> Tensor:
        """Row numbers in the weight of class indices (..., G)."""
        assert isinstance(self.offset, Tensor)
        return index + self.offset

    def forward(self, index: Tensor, probs: Tensor | None = None) -> Tensor:
        """Products (..., out) of class indices (..., G); gradients also reach `probs` (..., G * C)."""
        if dense.is_dense():
            z = dense.latents(index, len(self.weight) // self.groups, probs)
            return z.flatten(-2) @ self.weight
        flat = self.rows(index).reshape(-1, self.groups)
        rows = None if probs is None else probs.reshape(len(flat), -1)
        out: Tensor = _GatherProduct.apply(flat, rows, self.weight)  # type: ignore[no-untyped-call]
        return out.reshape(*index.shape[:-1], -1)


class _FeatureProduct(torch.autograd.Function):
    """W_h h + W_z onehot(z) + b for h (R, D) and z (R, G); probabilities (R, G C) as in `StochLinear`.

    Only products read the result, so it has the precision of matrix factors.
    """

    @staticmethod
    def forward(ctx: Any, stoch: Tensor, rows: Tensor, deter: Tensor, probs: Tensor | None, *weights: Tensor) -> Tensor:
        """Outputs (R, out); `rows` (R, G) are z's rows of W_z; `weights` are W_h (out, D), b (out,), W_z (G C, out)."""
        ctx.dtype = deter.dtype
        of_deter, bias, of_stoch = (weight.detach() for weight in weights)
        factor, deter_factor = rounded(deter), rounded(of_deter)
        ctx.save_for_backward(stoch, factor, deter_factor, of_stoch)
        # Each state selects exactly one row of the first variable, so these rows contain the bias.
        table = of_stoch.to(factor.dtype, copy=True)
        table[: len(table) // stoch.shape[1]] += bias
        return RowSums(table, rows.shape[0])(rows).addmm_(factor, deter_factor.t())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of `forward`'s arguments, where autograd needs them."""
        stoch, deter, of_deter, of_stoch = ctx.saved_tensors
        _, _, needs_deter, needs_probs, needs_weights, *_ = ctx.needs_input_grad
        grad = grads[0].contiguous()
        return (
            None,
            None,
            matmul(grad, of_deter) if needs_deter else None,
            matmul(grad, of_stoch.t()) if needs_probs else None,
            matmul(grad.t(), deter) if needs_weights else None,
            grad.sum(0).to(ctx.dtype) if needs_weights else None,
            stoch_grad(stoch, len(of_stoch) // stoch.shape[1], grad) if needs_weights else None,
        )


class _Layers(torch.autograd.Function):
    """x -> W relu(x) + b for each layer. Hidden values have the precision of matrix factors."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> Tensor:
        """Outputs (R, out) of first products x (R, in); `weights` are W (out, in) and b (out,) of each layer."""
        factors = [rounded(weight) for weight in weights]
        ctx.dtype, active = x.dtype, [rounded(functional.relu(x))]
        for weight, bias in zip(factors[:-2:2], factors[1:-2:2], strict=True):
            active.append(relu_affine(active[-1], weight, bias))
        ctx.save_for_backward(*active, *factors[::2])
        return affine(widened(active[-1]), widened(factors[-2]), weights[-1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of `forward`'s arguments."""
        half = len(ctx.saved_tensors) // 2
        grad, of_weights = rounded(grads[0]), list[Tensor | None]()
        for active, weight in zip(ctx.saved_tensors[half - 1 :: -1], ctx.saved_tensors[: half - 1 : -1], strict=True):
            of_weights = [matmul(grad.t(), active), grad.sum(0).to(grads[0].dtype), *of_weights]
            grad = torch.ops.aten.threshold_backward(grad @ weight, active, 0)
        return grad.to(ctx.dtype), *of_weights


class FeatureLinear(nn.Module):
    """A linear map of the latent state (deter h, stoch z): W_h h + W_z onehot(z) + b."""

    def __init__(self, deter: int, groups: int, classes: int, fan_out: int, generator: torch.Generator) -> None:
        super().__init__()
        self.deter = Linear(deter, fan_out, generator)
        self.stoch = StochLinear(groups, classes, fan_out, generator)

    def forward(self, deter: Tensor, stoch: Tensor, probs: Tensor | None = None) -> Tensor:
        """Outputs (..., out) at latent states; gradients also reach `probs`."""
        if dense.is_dense():
            x: Tensor = self.deter(deter) + self.stoch(stoch, probs)
            return x
        index = self.stoch.rows(stoch).flatten(0, -2)
        rows = None if probs is None else probs.reshape(len(index), -1)
        weights = self.deter.weight, self.deter.bias, self.stoch.weight
        inputs = stoch.flatten(0, -2), index, deter.flatten(0, -2), rows
        out: Tensor = _FeatureProduct.apply(*inputs, *weights)  # type: ignore[no-untyped-call]
        return out.reshape(*deter.shape[:-1], -1)


class Mlp(nn.Module):
    """The layers after a first product: activation, hidden layers, output."""

    def __init__(self, widths: Sequence[int], generator: torch.Generator, out_scale: float = 1.0) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.layers = nn.ModuleList(
            Linear(a, b, generator, out_scale if i == len(pairs) - 1 else 1.0) for i, (a, b) in enumerate(pairs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (..., widths[-1]) of first products (..., widths[0])."""
        weights = [w for layer in self.layers for w in layer.parameters()]
        if dense.is_dense():
            return dense.perceptron(x, weights)
        out: Tensor = _Layers.apply(x.flatten(0, -2), *weights)  # type: ignore[no-untyped-call]
        return out.reshape(*x.shape[:-1], -1)
