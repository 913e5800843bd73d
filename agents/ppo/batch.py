"""Builds a padded batch from whole battles, for PPO updates with backpropagation through time."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mawm.agents.ppo.battle_log import Battle
from mawm.agents.ppo.nets import PpoNets
from mawm.agents.returns import ValueNorm


@dataclass(frozen=True, eq=False)
class PpoBatch:
    """B battles of M agents at arrivals t = 0..T (`mawm.types`); shorter battles and dead agents are padded with zeros.

    obs (T+1, M, B, O), avail (T+1, M, B, A). (T+1, M, B): action taken at an arrival, old_log_prob (its log-probability
    when it was taken), acted (whether there was an action). (T+1, 1, B), for the whole team: advantage (standardised)
    and returns.
    """

    obs: Tensor
    avail: Tensor
    action: Tensor
    old_log_prob: Tensor
    acted: Tensor
    advantage: Tensor
    returns: Tensor

    @property
    def team_acted(self) -> Tensor:
        """Whether any agent acted, (T+1, 1, B): the critic learns at these arrivals."""
        return self.acted.any(1, keepdim=True)


def gae(reward: Tensor, discount: Tensor, value: Tensor, acted: Tensor, lam: float) -> Tensor:
    """Generalised advantages (T+1, B): A_t = delta_t + d_{t+1} lam A_{t+1}, delta_t = r_{t+1} + d_{t+1} v_{t+1} - v_t.

    Schulman et al. (2016). `reward` and `discount` d (T+1, B), zero at a terminal arrival, belong to the arrivals, as
    `value` does. A_t is zero where no agent `acted` (T+1, B): at the last arrival of a battle and after it. In a battle
    cut by the time limit, the value of the last arrival replaces the rewards that would have followed.
    """
    out = torch.zeros_like(value)
    for t in range(len(value) - 2, -1, -1):
        delta = reward[t + 1] + discount[t + 1] * value[t + 1] - value[t]
        out[t] = acted[t] * (delta + discount[t + 1] * lam * out[t + 1])
    return out


@torch.no_grad()
def batch_of(
    battles: list[Battle], nets: PpoNets, norm: ValueNorm, *, discount: float, lam: float, device: str
) -> PpoBatch:
    """Batch of battles, with advantages from the present critic. No action is taken at an agent's last arrival.

    Rewards are those of the agent that died last. Streams of agents that died earlier are shorter: their last
    reward is the discounted sum of the rest (`mawm.collect`).
    """
    length = max(int(battle.arrivals.max()) for battle in battles)
    padded = [battle.first(length).of for battle in battles]
    of = {name: torch.from_numpy(np.stack([p[name] for p in padded], 2)).to(device) for name in padded[0]}
    arrivals = torch.from_numpy(np.stack([battle.arrivals for battle in battles], 1)).to(device)
    acted = torch.arange(length, device=device)[:, None, None] < arrivals - 1
    last = arrivals.argmax(0).expand(length, 1, -1)
    reward, terminal = (of[name].gather(1, last).squeeze(1) for name in ("reward", "terminal"))
    value = norm.denormalise(nets.value(of["obs"]))
    advantage = gae(reward, discount * (~terminal).to(reward.dtype), value, acted.any(1), lam).unsqueeze(1)
    used = advantage.expand_as(acted)[acted]
    return PpoBatch(
        of["obs"],
        of["avail"],
        torch.roll(of["prev_action"], -1, 0),  # an action is stored with the arrival that it led to
        of["log_prob"],
        acted,
        (advantage - used.mean()) / (used.std(correction=0) + 1e-6),
        advantage + value.unsqueeze(1),
    )
