"""Actor and critic of the model-free baseline: perceptrons on observations, no memory and no world model."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from mawm.agents.categorical import masked_logits
from mawm.agents.nets import Linear


class PpoNets(nn.Module):
    """One actor and one critic for M agents: the actor sees one agent's observation, the critic those of all M.

    Both also see which of the M agents it is (one-hot), where there is more than one. With M = 1 the critic sees what
    the actor sees.
    """

    def __init__(self, members: int, obs_size: int, n_actions: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.members = members
        ids = members if members > 1 else 0
        # A small last layer makes the first policy nearly uniform.
        self.actor = _perceptron((obs_size + ids, hidden, hidden, n_actions), 0.01, generator)
        self.critic = _perceptron((obs_size * members + ids, hidden, hidden, 1), 1.0, generator)

    def logits(self, obs: Tensor, member: Tensor, avail: Tensor) -> Tensor:
        """Masked logits (R, A) of own observations (R, O), places in the team (R,) int64 and masks (R, A)."""
        return masked_logits(self.actor(self._with_id(obs, member)), avail)

    def value(self, joint: Tensor, member: Tensor) -> Tensor:
        """Values (R,) of the observations of all M side by side (R, M * O), for the agents at places `member` (R,)."""
        out: Tensor = self.critic(self._with_id(joint, member)).squeeze(-1)
        return out

    def _with_id(self, x: Tensor, member: Tensor) -> Tensor:
        if self.members == 1:
            return x
        return torch.cat([x, functional.one_hot(member, self.members).to(x.dtype)], -1)


def _perceptron(widths: tuple[int, ...], out_gain: float, generator: torch.Generator) -> nn.Sequential:
    """Orthogonal weights with gain sqrt(2) and tanh between them; the last layer has gain `out_gain`."""
    layers: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(pairwise(widths)):
        layer, last = Linear(fan_in, fan_out, generator), i == len(widths) - 2
        nn.init.orthogonal_(layer.weight, out_gain if last else 2.0**0.5, generator=generator)
        layers += [layer] if last else [layer, nn.Tanh()]
    return nn.Sequential(*layers)
