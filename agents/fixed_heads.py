"""Copies of networks with fixed weights, without autograd, for many evaluations in imagination and of values."""

from collections.abc import Callable

from torch import Tensor

from mawm.agents import dense
from mawm.agents.matmul import Factor, relu_affine, rounded, widened
from mawm.agents.nets import FeatureLinear, Linear, Mlp, RowSums

Outputs = Callable[[Tensor, Tensor], Tensor]
"""Outputs (B, out) of `rounded` h (B, D) and rows (B, G) of the weight of z."""


def fixed_linear(layer: Linear) -> Callable[[Tensor], Tensor]:
    """A linear map with its present weights in a memory layout for many products: (B, in) -> (B, out)."""
    factor, bias = Factor(layer.weight.detach().t()), layer.bias.detach()
    return lambda x: factor.add_product(bias.expand(len(x), -1).clone(), x)


def fixed(first: FeatureLinear, tail: Mlp, count: int, columns: slice = slice(None)) -> Outputs:
    """A perceptron with its present weights, without autograd, for `count` latent states at a time.

    Its first product consists of `columns` of a layer. Hidden values have the precision of matrix factors. The bias of
    the first product is added to the rows of the first latent variable, because each state selects exactly one of them.
    """
    if dense.is_dense():
        return dense.head(first, tail, columns)
    weight = rounded(first.deter.weight.detach()[columns].t()).contiguous()
    # The same rounding as in `FeatureLinear`, so that the ratio of a policy to itself is 1.
    table = first.stoch.weight.detach()[:, columns].to(weight.dtype, copy=True)
    table[: len(table) // first.stoch.groups] += first.deter.bias.detach()[columns]
    layers = [layer for layer in tail.layers if isinstance(layer, Linear)]
    hidden = [(rounded(x.bias.detach()), rounded(x.weight.detach())) for x in layers[:-1]]
    pick, out = RowSums(table, count), fixed_linear(layers[-1])

    def outputs(deter: Tensor, rows: Tensor) -> Tensor:
        x = pick(rows).addmm_(deter, weight).relu_()
        for bias, factor in hidden:
            x = relu_affine(x, factor, bias)
        return out(widened(x))

    return outputs
