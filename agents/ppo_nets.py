"""Actor and critic of the model-free baseline: recurrent networks on observations, no world model."""

import torch
from torch import Tensor, nn

from mawm.agents.categorical import masked_logits
from mawm.agents.nets import Linear


class Gru(nn.Module):
    """A layer of gated recurrent units (Cho et al. 2014); orthogonal weights, drawn from the given generator.

    torch's own loop over time, float32 at every precision; torch's module would draw from the global generator.
    """

    def __init__(self, fan_in: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.input = Linear(fan_in, 3 * hidden, generator)
        self.recurrent = Linear(hidden, 3 * hidden, generator)
        for layer in (self.input, self.recurrent):
            nn.init.orthogonal_(layer.weight, generator=generator)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Hidden states (T, B, H) after each of the inputs (T, B, in), from `hidden` (B, H) on."""
        weights = (self.input.weight, self.recurrent.weight, self.input.bias, self.recurrent.bias)
        # With biases, one layer, no dropout, gradients wanted, one direction, time first.
        states, _ = torch.gru(x, hidden.unsqueeze(0), weights, True, 1, 0.0, True, False, False)
        return states


class RecurrentNet(nn.Module):
    """Layer norm, a ReLU layer, a GRU and a linear head, with layer norm between them (Yu et al. 2022, appendix).

    Orthogonal weights. A small head makes the first policy nearly uniform, and the first values nearly equal: were they
    random, long battles, which are cut where the value stands for the rest, would now and then seem to pay.
    """

    def __init__(self, size: int, hidden: int, out: int, generator: torch.Generator) -> None:
        super().__init__()
        first, head = Linear(size, hidden, generator), Linear(hidden, out, generator)
        nn.init.orthogonal_(first.weight, 2.0**0.5, generator=generator)
        nn.init.orthogonal_(head.weight, 0.01, generator=generator)
        self.body = nn.Sequential(nn.LayerNorm(size), first, nn.ReLU(), nn.LayerNorm(hidden))
        self.gru = Gru(hidden, hidden, generator)
        self.head = nn.Sequential(nn.LayerNorm(hidden), head)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (T, R, out) and the last hidden states (R, H) of inputs (T, R, size), from `hidden` (R, H) on."""
        states = self.gru(self.body(x), hidden)
        return self.head(states), states[-1]


class PpoNets(nn.Module):
    """One actor for the M agents of a learner and one critic for their team.

    The actor sees one agent's own observations and, where M > 1, which agent it is (one-hot). The critic sees the
    observations of all M side by side; it need not be told whose value is asked for, because all earn the same return.
    """

    def __init__(self, members: int, obs_size: int, n_actions: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.members = members
        self.hidden = hidden
        self.actor = RecurrentNet(obs_size + (members if members > 1 else 0), hidden, n_actions, generator)
        self.critic = RecurrentNet(obs_size * members, hidden, 1, generator)

    def initial(self, rows: int) -> Tensor:
        """Hidden states (rows, H) at the start of a battle."""
        return next(self.parameters()).new_zeros(rows, self.hidden)

    def logits(self, obs: Tensor, avail: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Masked logits (T, M, B, A) of own observations (T, M, B, O) and masks, and hidden states (M * B, H) after."""
        steps, members, rows = obs.shape[:3]
        own = obs.flatten(1, 2)
        if members > 1:
            who = torch.eye(members, dtype=obs.dtype, device=obs.device).repeat_interleave(rows, 0)
            own = torch.cat([own, who.expand(steps, -1, -1)], -1)
        logits, hidden = self.actor(own, hidden)
        return masked_logits(logits.view_as(avail), avail), hidden

    def value(self, obs: Tensor) -> Tensor:
        """Normalised values (T, B) of whole battles, observations (T, M, B, O), at each of their arrivals."""
        joint = obs.transpose(1, 2).flatten(2)
        out: Tensor = self.critic(joint, self.initial(joint.shape[1]))[0].squeeze(-1)
        return out
