"""Copies of networks with fixed weights, without autograd, for many evaluations in imagination and of values."""

from torch import Tensor

from mawm.agents import dense
from mawm.agents.matmul import Factor, relu_affine, rounded, widened
from mawm.agents.nets import FeatureLinear, Linear, Mlp, RowSums


class FixedLinear:
    """A linear map with a memory layout for many products."""

    def __init__(self, layer: Linear) -> None:
        self.factor = Factor(layer.weight.detach().t())
        self.bias = layer.bias.detach()

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs (B, out) of inputs (B, in)."""
        return self.factor.add_product(self.bias.expand(len(x), -1).clone(), x)


class FixedHead:
    """A perceptron whose input is B latent states. Its first product consists of `columns` of a layer.

    Hidden values have the precision of matrix factors. The bias of the first product is added to the rows of the first
    latent variable, because each state selects exactly one of them.
    """

    def __init__(self, first: FeatureLinear, tail: Mlp, count: int, columns: slice = slice(None)) -> None:
        self.weight = rounded(first.deter.weight.detach()[columns].t()).contiguous()
        # The same rounding as in `FeatureLinear`, so that the ratio of a policy to itself is 1.
        table = first.stoch.weight.detach()[:, columns].to(self.weight.dtype, copy=True)
        table[: len(table) // first.stoch.groups] += first.deter.bias.detach()[columns]
        self.pick = RowSums(table, count)
        layers = [layer for layer in tail.layers if isinstance(layer, Linear)]
        self.hidden = [(rounded(x.bias.detach()), rounded(x.weight.detach())) for x in layers[:-1]]
        self.out = FixedLinear(layers[-1])

    def __call__(self, deter: Tensor, rows: Tensor) -> Tensor:
        """Outputs (B, out) of `rounded` h (B, D) and rows (B, G) of the weight of z."""
        x = self.pick(rows).addmm_(deter, self.weight).relu_()
        for bias, weight in self.hidden:
            x = relu_affine(x, weight, bias)
        return self.out(widened(x))


def fixed(first: FeatureLinear, tail: Mlp, count: int, columns: slice = slice(None)) -> FixedHead | dense.Head:
    """A perceptron with its present weights, without autograd, for `count` latent states at a time."""
    return dense.Head(first, tail, columns) if dense.is_dense() else FixedHead(first, tail, count, columns)
