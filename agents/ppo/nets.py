"""Actor and critic of the model-free baseline: recurrent networks on observations."""

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from mawm.agents.categorical import masked_logits
from mawm.agents.nets import Linear


class Gru(nn.Module):
    """A GRU layer (Cho et al. 2014); orthogonal weights, drawn from the given generator.

    It calls `torch.gru` in float32 at every `--precision`. `nn.GRU` would draw its weights from the global generator.
    """

    def __init__(self, fan_in: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.input = Linear(fan_in, 3 * hidden, generator)
        self.recurrent = Linear(hidden, 3 * hidden, generator)
        for layer in (self.input, self.recurrent):
            nn.init.orthogonal_(layer.weight, generator=generator)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Hidden states (T, B, H) after each input (T, B, in); `hidden` (B, H) is the initial state."""
        weights = (self.input.weight, self.recurrent.weight, self.input.bias, self.recurrent.bias)
        # has_biases, num_layers, dropout, train, bidirectional, batch_first
        states, _ = torch.gru(x, hidden.unsqueeze(0), weights, True, 1, 0.0, True, False, False)
        return states


class RecurrentNet(nn.Module):
    """Layer norm, a ReLU layer, a GRU and a linear head, with layer norm between them (Yu et al. 2022, appendix).

    Weights are orthogonal. The head's are small, so that the first policy is nearly uniform and the first values are
    nearly equal. With random first values, a battle cut by the time limit, whose return includes the value of its last
    arrival, would sometimes look better than it is.
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
        """Outputs (T, R, out) and the last hidden states (R, H) of inputs (T, R, size); `hidden` (R, H): initial."""
        states = self.gru(self.body(x), hidden)
        return self.head(states), states[-1]


class PpoNets(nn.Module):
    """One actor for the M agents of a learner and one critic for their team.

    The actor sees one agent's own observations and, where M > 1, which agent it is (one-hot). The critic sees the
    concatenated observations of all M. It has one output for all agents, because they receive the same return.
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
        """Masked logits (T, M, B, A) of own observations (T, M, B, O) and masks; last hidden states (M * B, H)."""
        steps, members, rows = obs.shape[:3]
        own = rearrange(obs, "t m b o -> t (m b) o")
        if members > 1:
            one_hot = torch.eye(members, dtype=obs.dtype, device=obs.device)
            own = torch.cat([own, repeat(one_hot, "m agent -> t (m b) agent", t=steps, b=rows)], -1)
        logits, hidden = self.actor(own, hidden)
        return masked_logits(logits.view_as(avail), avail), hidden

    def value(self, obs: Tensor) -> Tensor:
        """Normalised values (T, B) at each arrival of whole battles with observations (T, M, B, O)."""
        joint = rearrange(obs, "t m b o -> t b (m o)")
        out: Tensor = self.critic(joint, self.initial(joint.shape[1]))[0].squeeze(-1)
        return out
