"""Plain formulas of the networks: one-hot inputs, and gradients by autograd.

The learner's usual operations gather rows and have gradients that are written by hand: they are fast on a CPU, but
`torch.func.vmap` cannot run them for several agents at once, and a GPU would wait for hundreds of small kernels.
Within `formulas()` the same networks compute by the formulas below; the numbers differ by rounding only.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from mawm.agents.nets import FeatureLinear, Mlp
    from mawm.agents.rssm import Latent, Rssm

_DENSE = False


def is_dense() -> bool:
    """Whether the networks of this process compute by the plain formulas now."""
    return _DENSE


@contextmanager
def formulas() -> Iterator[None]:
    """Within this context the networks compute by the plain formulas."""
    global _DENSE
    before, _DENSE = _DENSE, True
    try:
        yield
    finally:
        _DENSE = before


def one_hot(index: Tensor, classes: int) -> Tensor:
    """One-hot vectors (..., classes) of indices (...)."""
    return (index.unsqueeze(-1) == torch.arange(classes, device=index.device)).to(torch.get_default_dtype())


def latents(stoch: Tensor, classes: int, probs: Tensor | None) -> Tensor:
    """One-hot vectors (..., G, C) of samples (..., G); their gradient goes straight through to `probs` (DreamerV2)."""
    onehot = one_hot(stoch, classes)
    if probs is None:
        return onehot
    probs = probs.reshape(onehot.shape)
    return onehot + (probs - probs.detach())


def perceptron(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """The layers W relu(x) + b of inputs x (..., in), for each pair W (out, in), b (out,) of `weights`."""
    for weight, bias in zip(weights[::2], weights[1::2], strict=True):
        x = functional.linear(functional.relu(x), weight, bias)
    return x


def draw(probs: Tensor, uniform: Tensor) -> Tensor:
    """Class indices (...) of probabilities (..., C) by the inverse CDF of the noise `uniform` (...)."""
    cdf = probs.detach().cumsum(-1)
    passed = cdf <= uniform.unsqueeze(-1) * cdf[..., -1:]
    return passed.sum(-1).clamp(max=probs.shape[-1] - 1)


def divergences(p: Tensor, q: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """KL(sg(p), q) and KL(p, sg(q)) (...) of independent variables (..., G, C); sg stops the gradient.

    The logarithms replace probabilities below `least` by `least`. The gradient passes as if they were not replaced, so
    that such a probability can rise again.
    """
    log_p, log_q = ((x + (x.clamp_min(least) - x).detach()).log() for x in (p, q))
    dyn = p.detach() * (log_p.detach() - log_q)
    rep = p * (log_p - log_q.detach())
    return dyn.sum((-2, -1)), rep.sum((-2, -1))


def gated_unit(deter: Tensor, outer: Tensor, inner: Tensor) -> Tensor:
    """The gated recurrent unit: h_t (..., D) from h_{t-1} and its gates' inputs (..., 3 D) from (z, a) and from h."""
    (reset, update, candidate), (by_reset, by_update, by_candidate) = outer.chunk(3, -1), inner.chunk(3, -1)
    reset, update = torch.sigmoid(reset + by_reset), torch.sigmoid(update + by_update)
    return torch.lerp(torch.tanh(candidate + reset * by_candidate), deter, update)


def observe(rssm: "Rssm", obs: Tensor, prev_action: Tensor, reset: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
    """`Rssm.observe`: deter (T, B, D), stoch (T, B, G), probs (T, B, G, C)."""
    c = rssm.config
    keep = (~reset).to(obs.dtype).unsqueeze(-1)
    embedded = rssm.embed(obs)
    of_actions = one_hot(prev_action, rssm.action_in.shape[0]) @ rssm.action_in
    deter, z = torch.zeros_like(embedded[0, :, :1]).expand(-1, c.deter), torch.zeros_like(noise[0, :, :1])
    z = z.to(obs.dtype).expand(-1, c.groups * c.classes)
    steps = []
    for t in range(len(obs)):
        kept = deter * keep[t]
        outer = (of_actions[t] + z @ rssm.stoch_in.weight) * keep[t]
        deter = gated_unit(kept, outer, rssm.recurrent(kept))
        probs = rssm.mixed(rssm.posterior_out(embedded[t] + rssm.posterior_in(deter)))
        stoch = draw(probs, noise[t])
        z = latents(stoch, c.classes, probs).flatten(-2)
        steps.append((deter, stoch, probs))
    return tuple(torch.stack(parts) for parts in zip(*steps, strict=True))


def gates_in(rssm: "Rssm", stoch: Tensor, action: Tensor) -> Tensor:
    """The inputs (..., 3 D) of the recurrent unit from z (..., G) and a (...)."""
    of_action = one_hot(action, rssm.action_in.shape[0]) @ rssm.action_in
    return of_action + one_hot(stoch, rssm.config.classes).flatten(-2) @ rssm.stoch_in.weight


def transition(rssm: "Rssm", noise: Tensor) -> "Callable[[int, Latent, Tensor], Latent]":
    """`rssm.Transition` by the plain formulas."""

    def step(t: int, state: "Latent", action: Tensor) -> "Latent":
        deter = gated_unit(state.deter, gates_in(rssm, state.stoch, action), rssm.recurrent(state.deter))
        return type(state)(deter, draw(rssm.prior(deter), noise[t]))

    return step


def head(first: "FeatureLinear", tail: "Mlp", columns: slice) -> Callable[[Tensor, Tensor], Tensor]:
    """`fixed_heads.fixed` by the plain formulas."""
    of_deter, bias, of_stoch = first.deter.weight[columns], first.deter.bias[columns], first.stoch.weight[:, columns]

    def outputs(deter: Tensor, rows: Tensor) -> Tensor:
        places = torch.arange(len(of_stoch), device=rows.device).view(rows.shape[-1], -1)
        onehot = (rows.unsqueeze(-1) == places).to(deter.dtype).flatten(-2)
        out: Tensor = tail(functional.linear(deter, of_deter, bias) + onehot @ of_stoch)
        return out

    return outputs
