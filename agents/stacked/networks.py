"""The networks of N agents of the same sizes, whose weights lie one after another in shared tensors."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from mawm.agents import dense
from mawm.agents.actor_critic import ActorCritic, Head
from mawm.agents.optimiser import Optimiser
from mawm.agents.world_model import WorldModel


class Networks(nn.Module):
    """All networks that an agent learns."""

    def __init__(self, model: WorldModel, actor_critic: ActorCritic) -> None:
        super().__init__()
        self.model = model
        self.actor_critic = actor_critic


class ActingNetworks(nn.Module):
    """The networks by which an agent acts."""

    def __init__(self, model: WorldModel, actor: Head) -> None:
        super().__init__()
        self.model = model
        self.actor = actor


class _Call(nn.Module):
    """Calls functions of a module, as `functional_call` needs a module whose `forward` it can call."""

    def __init__(self, networks: nn.Module) -> None:
        super().__init__()
        self.networks = networks

    def forward(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        return function(self.networks, *args)


class StackedNetworks:
    """N modules of the same structure, each with the weights of one agent, as one module with an agent axis.

    The modules' parameters become views of shared tensors (N, ...): a change through the module of an agent is a change
    of its row, and the other way round. So all other code goes on to work with the module of one agent.
    """

    def __init__(self, modules: Sequence[nn.Module], weights: dict[str, Tensor] | None = None) -> None:
        """Share the modules' parameters; those in `weights` (by name, (N, ...)) are shared already."""
        self.modules = list(modules)
        self.weights = dict(weights or {})
        named = [dict(module.named_parameters()) for module in modules]
        for name in named[0].keys() - self.weights.keys():
            whole = torch.stack([parameters[name].detach() for parameters in named])
            for parameters, row in zip(named, whole, strict=True):
                parameters[name].data = row
            self.weights[name] = whole
        self._first = _Call(modules[0])
        self._buffers = [name for name, _ in modules[0].named_buffers()]

    def buffers(self) -> tuple[Tensor, ...]:
        """Copies (N, ...) of all buffers: scales of observations and rewards."""
        return tuple(torch.stack(each) for each in zip(*(module.buffers() for module in self.modules), strict=True))

    def call(self, function: Callable[..., Any], buffers: tuple[Tensor, ...], *args: Any) -> Any:
        """The results (N, ...) of `function(module, *args)` for each agent, with tensors (N, ...) in `args`.

        Tensors are in nested tuples. The function is written for one agent; no row depends on another row.
        """

        def of_one(state: dict[str, Tensor], *args: Any) -> Any:
            return functional_call(self._first, state, (function, args))

        with dense.formulas():
            named = self.weights | dict(zip(self._buffers, buffers, strict=True))
            return vmap(of_one)({f"networks.{name}": x for name, x in named.items()}, *args)


class StackedOptimiser:
    """The optimisers of N alike modules: one backward pass and one norm for all; each agent has its own Adam and clip.

    An agent whose gradient is not finite keeps its weights, while the others' change.
    """

    def __init__(self, optimisers: Sequence[Optimiser]) -> None:
        self.optimisers = list(optimisers)
        self.clip = optimisers[0].clip
        self.data = torch.stack([optimiser.flat.detach() for optimiser in optimisers])
        self.grad = torch.zeros_like(self.data)
        for optimiser, data, grad in zip(optimisers, self.data, self.grad, strict=True):
            optimiser.move(data, grad)
        self.views: dict[str, Tensor] = {}
        self.slopes: list[Tensor] = []

    def weights(self, module: nn.Module, prefix: str) -> dict[str, Tensor]:
        """The shared parameters (N, ...) by name; `module` is the one of the first optimiser."""
        start = 0
        for name, parameter in module.named_parameters():
            columns, shape = slice(start, start + parameter.numel()), (len(self.data), *parameter.shape)
            self.views[f"{prefix}{name}"] = self.data[:, columns].view(shape).requires_grad_()
            self.slopes.append(self.grad[:, columns].view(shape))
            start += parameter.numel()
        return dict(self.views)

    def prepare(self) -> None:
        """Create Adam's moments before the first step."""
        for optimiser in self.optimisers:
            optimiser.create_moments()

    def step(self, losses: Tensor) -> Tensor:
        """Differentiate the losses (N,), clip each agent's gradient, take a step; returns the unclipped norms (N,).

        Nothing here waits for the device. `count` must be called with the norms.
        """
        # `backward` would add gradients on the stream on which each weight was used first.
        torch._foreach_copy_(self.slopes, torch.autograd.grad(losses.sum(), list(self.views.values())))
        norms: Tensor = self.grad.norm(dim=1)
        finite = norms.isfinite()
        self.grad.mul_(torch.where(finite & (norms > self.clip), self.clip / norms, 1.0).unsqueeze(1))
        for optimiser, skip in zip(self.optimisers, ~finite, strict=True):
            optimiser.adam(skip)
        return norms

    def count(self, norms: Sequence[float], inputs: Sequence[dict[str, Tensor]]) -> None:
        """Count each agent's step, which was skipped if its norm is not finite; `inputs` as in `Optimiser.step`."""
        for optimiser, norm, given in zip(self.optimisers, norms, inputs, strict=True):
            optimiser.count(norm, given)
