"""One agent's recurrent state-space model: h_t = f(h_{t-1}, z_{t-1}, a_{t-1}), posterior q(z|h,o), prior p(z|h)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from mawm.agents import dense
from mawm.agents.categorical import DrawByClass, mixed_probs, sample
from mawm.agents.config import WorldModelConfig
from mawm.agents.fixed_heads import fixed_linear
from mawm.agents.matmul import Factor, matmul
from mawm.agents.nets import Linear, Mlp, RowSums, StochLinear
from mawm.agents.recurrence import Observe, RecurrenceInputs, Weights, observed
from mawm.agents.scales import ObservationScale


class Latent(NamedTuple):
    """A latent state: deter (..., D) and the class indices stoch (..., G)."""

    deter: Tensor
    stoch: Tensor


class Posteriors(NamedTuple):
    """Latent states of observed sequences: deter (T, B, D), stoch (T, B, G), probs (T, B, G, C) of the posterior."""

    deter: Tensor
    stoch: Tensor
    probs: Tensor


class Rssm(nn.Module):
    """Z section 4.1, RSSM: recurrent, representation and transition model, all with discrete latents (DreamerV2)."""

    def __init__(self, obs_size: int, n_actions: int, config: WorldModelConfig, generator: torch.Generator) -> None:
        super().__init__()
        c = self.config = config
        self.scale = ObservationScale(obs_size)
        self.encoder = Linear(obs_size, c.hidden, generator)
        self.encoder_tail = Mlp([c.hidden] * (c.layers + 1), generator)
        self.action_in = nn.Parameter((torch.rand(n_actions, 3 * c.deter, generator=generator) - 0.5) * 0.5)
        self.stoch_in = StochLinear(c.groups, c.classes, 3 * c.deter, generator)
        self.recurrent = Linear(c.deter, 3 * c.deter, generator)
        self.posterior_in = Linear(c.deter, c.hidden, generator)
        self.posterior_out = Mlp([c.hidden, c.groups * c.classes], generator)
        self.prior_in = Linear(c.deter, c.hidden, generator)
        self.prior_out = Mlp([c.hidden, c.groups * c.classes], generator)

    def initial(self, batch: int) -> Latent:
        """The latent states before the first observation."""
        c, like = self.config, self.action_in
        return Latent(
            like.new_zeros(batch, c.deter), torch.zeros(batch, c.groups, dtype=torch.long, device=like.device)
        )

    def embed(self, obs: Tensor) -> Tensor:
        """The posterior's input from raw observations (..., O)."""
        out: Tensor = self.encoder_tail(self.encoder(self.scale(obs)))
        return out

    @staticmethod
    def gates_(deter: Tensor, outer: Sequence[Tensor], inner: Sequence[Tensor]) -> Tensor:
        """The gated recurrent unit (Cho et al. 2014): h_t (..., D) from h_{t-1} and its gates' inputs (..., D).

        `outer` are the inputs from z and a, which are overwritten; `inner` are those from h. It has no gradient.
        """
        reset, update = (x.add_(y).sigmoid_() for x, y in zip(outer[:2], inner[:2], strict=True))
        candidate = outer[2].addcmul_(reset, inner[2]).tanh_()
        return torch.lerp(candidate, deter, update)

    def mixed(self, logits: Tensor) -> Tensor:
        """Probabilities (..., G, C) of logits (..., G C)."""
        return mixed_probs(logits.unflatten(-1, (self.config.groups, self.config.classes)), self.config.unimix)

    def prior(self, deter: Tensor) -> Tensor:
        """Probabilities (..., G, C) of the transition model p(z|h)."""
        return self.mixed(self.prior_out(self.prior_in(deter)))

    def observe(self, obs: Tensor, prev_action: Tensor, reset: Tensor, noise: Tensor) -> Posteriors:
        """Posterior states of sequences: obs (T, B, O), prev_action, reset (T, B), noise (T, B, G) in [0, 1).

        Where `reset` is true, the previous h, z and a are zero. It must be true at the first index.
        """
        if dense.is_dense():
            return Posteriors(*dense.observe(self, obs, prev_action, reset, noise))
        given, embedded, weights = self._observed(obs, prev_action, reset, noise)
        return Posteriors(*Observe.apply(given, embedded, *weights))  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def states(self, obs: Tensor, prev_action: Tensor, reset: Tensor, noise: Tensor) -> Latent:
        """The states of `observe`, without probabilities and without gradient."""
        if dense.is_dense():
            return Latent(*dense.observe(self, obs, prev_action, reset, noise)[:2])
        tape = observed(*self._observed(obs, prev_action, reset, noise))
        return Latent(tape.deter, tape.stoch)

    def _observed(
        self, obs: Tensor, prev_action: Tensor, reset: Tensor, noise: Tensor
    ) -> tuple[RecurrenceInputs, Tensor, Weights]:
        """The inputs of the posterior's recurrence."""
        c, out = self.config, self.posterior_out.layers[0]
        assert isinstance(out, Linear)
        rows = torch.cat([self.stoch_in.weight, self.action_in])
        weights = Weights(
            rows, self.recurrent.weight, self.recurrent.bias, self.posterior_in.weight, out.weight, out.bias
        )
        given = RecurrenceInputs(prev_action, reset, noise, c.classes, c.unimix)
        return given, self.embed(obs) + self.posterior_in.bias, weights

    def observe_step(
        self, state: Latent, obs: Tensor, prev_action: Tensor, reset: Tensor, noise: Tensor | None
    ) -> Latent:
        """One posterior step while acting, batch (B, ...); without noise z is the mode of the posterior."""
        keep = (~reset).to(obs.dtype).unsqueeze(-1)
        kept = state.deter * keep
        if dense.is_dense():
            deter = dense.gated_unit(kept, dense.gates_in(self, state.stoch, prev_action) * keep, self.recurrent(kept))
        else:
            gates_in = (functional.embedding(prev_action, self.action_in) + self.stoch_in(state.stoch)) * keep
            deter = self.gates_(kept, gates_in.chunk(3, -1), self.recurrent(kept).chunk(3, -1))
        probs = self.mixed(self.posterior_out(self.embed(obs) + self.posterior_in(deter)))
        return Latent(deter, probs.argmax(-1) if noise is None else sample(probs, noise))

    def transition(self, noise: Tensor) -> Callable[[int, Latent, Tensor], Latent]:
        """The prior's step for rollouts with noise (H, ..., G), with the present weights, without gradients."""
        return dense.transition(self, noise) if dense.is_dense() else Transition(self, noise)


class Transition:
    """The prior's step (h, z), a -> (h', z') in rollouts. It prepares the weights once for all steps."""

    def __init__(self, rssm: Rssm, noise: Tensor) -> None:
        c = self.config = rssm.config
        out, count = rssm.prior_out.layers[0], noise[0].numel() // c.groups
        assert isinstance(out, Linear)
        self.rssm = rssm
        # Each state selects one action, so the action's row contains the gates' biases. W h contains the candidate's.
        bias, gates = rssm.recurrent.bias.detach().clone(), 2 * c.deter
        actions = rssm.action_in.detach().clone()
        actions[:, :gates] += bias[:gates]
        self.pick = RowSums(torch.cat([rssm.stoch_in.weight.detach(), actions]), count, parts=3)
        self.first_action = c.groups * c.classes
        self.recurrent = Factor(rssm.recurrent.weight.detach().t())
        self.candidate_bias = bias[gates:]
        self.hidden = fixed_linear(rssm.prior_in)
        # `DrawByClass` needs the class before the group.
        self.of_hidden = rearrange(out.weight.detach(), "(g c) hidden -> (c g) hidden", g=c.groups)
        self.out_bias = rearrange(out.bias.detach(), "(g c) -> (c g) 1", g=c.groups)
        self.draw = DrawByClass(rearrange(noise, "t ... g -> t (g ...)"), c.classes, c.unimix)

    def __call__(self, t: int, state: Latent, action: Tensor) -> Latent:
        """States (..., D), (..., G) after actions (...) in `state`, with the noise of step t."""
        c, lead = self.config, action.shape
        deter = state.deter.reshape(-1, c.deter)
        z_rows = self.rssm.stoch_in.rows(state.stoch).reshape(-1, c.groups)
        outer = self.pick.parts(torch.cat([z_rows, action.reshape(-1, 1) + self.first_action], 1))
        inner = self.recurrent.product(deter, deter.new_empty(len(deter), 3 * c.deter)).chunk(3, 1)
        inner[2].add_(self.candidate_bias)
        deter = self.rssm.gates_(deter, outer, inner)
        logits = matmul(self.of_hidden, self.hidden(deter).relu_().t()).add_(self.out_bias)
        stoch = self.draw(t, logits.view(c.classes, -1)).view(c.groups, -1).t().long()
        return Latent(deter.view(*lead, -1), stoch.reshape(*lead, -1))
