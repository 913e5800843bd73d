"""The networks of N agents of the same sizes, whose weights lie one after another in shared tensors."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from mawm.agents import dense
from mawm.agents.optimiser import Optimiser

CONSTANT = ".offset"
"""The ends of the names of buffers that never change (`nets.StochLinear`)."""


class Networks(nn.ModuleDict):
    """The networks of one agent by their names, which are attributes too. `functional_call` calls `forward`."""

    def forward(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """The result of `function(self, *args)`."""
        return function(self, *args)


class StackedNetworks:
    """The networks of N agents, which have the same structure, as one module with an agent axis.

    The modules' parameters become views of shared tensors (N, ...): a change through the module of an agent is a change
    of its row, and the other way round. So all other code goes on to work with the module of one agent.
    """

    def __init__(self, modules: Sequence[Networks], weights: dict[str, Tensor]) -> None:
        """Share the modules' parameters; those in `weights` (by name, (N, ...)) are shared already."""
        self.modules = list(modules)
        self.weights = dict(weights)
        named = [dict(module.named_parameters()) for module in modules]
        for name in named[0].keys() - self.weights.keys():
            whole = torch.stack([parameters[name].detach() for parameters in named])
            for parameters, row in zip(named, whole, strict=True):
                parameters[name].data = row
            self.weights[name] = whole
        buffers_of = [dict(module.named_buffers()) for module in modules]
        constant = [name for name in buffers_of[0] if name.endswith(CONSTANT)]
        self._constants = {name: torch.stack([buffers[name] for buffers in buffers_of]) for name in constant}
        self._scales = [name for name in buffers_of[0] if name not in constant]

    def scales(self) -> tuple[Tensor, ...]:
        """Copies (N, ...) of the buffers that change during a run: the scales of observations and rewards."""
        named = [dict(module.named_buffers()) for module in self.modules]
        return tuple(torch.stack([buffers[name] for buffers in named]) for name in self._scales)

    def call(self, function: Callable[..., Any], scales: tuple[Tensor, ...], *args: Any) -> Any:
        """The results (N, ...) of `function(module, *args)` for each agent, with tensors (N, ...) in `args`.

        Tensors are in nested tuples. The function is written for one agent; no row depends on another row.
        """

        def of_one(state: dict[str, Tensor], *args: Any) -> Any:
            return functional_call(self.modules[0], state, (function, args))

        with dense.formulas():
            named = self.weights | self._constants | dict(zip(self._scales, scales, strict=True))
            return vmap(of_one)(named, *args)


class StackedOptimiser:
    """The optimisers of N alike modules: one backward pass and one norm for all; each agent has its own Adam and clip.

    An agent whose gradient is not finite keeps its weights, while the others' change.
    """

    def __init__(self, optimisers: Sequence[Optimiser], module: nn.Module, prefix: str) -> None:
        """Share the parameters of the optimisers' modules; `module` is the first one's, `prefix` goes before names."""
        self.optimisers = list(optimisers)
        self.clip = optimisers[0].clip
        self.data = torch.stack([optimiser.flat.detach() for optimiser in optimisers])
        self.grad = torch.zeros_like(self.data)
        for optimiser, data, grad in zip(optimisers, self.data, self.grad, strict=True):
            optimiser.move(data, grad)
        self.weights: dict[str, Tensor] = {}
        """The parameters (N, ...) by name."""
        self.gradients: list[Tensor] = []
        start = 0
        for name, parameter in module.named_parameters():
            columns, shape = slice(start, start + parameter.numel()), (len(self.data), *parameter.shape)
            self.weights[f"{prefix}{name}"] = self.data[:, columns].view(shape).requires_grad_()
            self.gradients.append(self.grad[:, columns].view(shape))
            start += parameter.numel()

    def prepare(self) -> None:
        """Create Adam's moments before the first step."""
        for optimiser in self.optimisers:
            optimiser.create_moments()

    def step(self, losses: Tensor) -> Tensor:
        """Differentiate the losses (N,), clip each agent's gradient, take a step; returns the unclipped norms (N,).

        Nothing here waits for the device. `count` must be called with the norms.
        """
        # `backward` would add gradients on the stream on which each weight was used first.
        torch._foreach_copy_(self.gradients, torch.autograd.grad(losses.sum(), list(self.weights.values())))
        norms: Tensor = self.grad.norm(dim=1)
        finite = norms.isfinite()
        self.grad.mul_(torch.where(finite & (norms > self.clip), self.clip / norms, 1.0).unsqueeze(1))
        for optimiser, skip in zip(self.optimisers, ~finite, strict=True):
            optimiser.adam(skip)
        return norms

    def count(self, norms: Sequence[float], inputs_of: Callable[[int], dict[str, Tensor]]) -> None:
        """Count each agent's step. It was skipped if its norm is not finite; then its inputs are kept."""
        for i, (optimiser, norm) in enumerate(zip(self.optimisers, norms, strict=True)):
            optimiser.count(norm, {} if math.isfinite(norm) else inputs_of(i))
