"""From whole battles to the padded batch that the clipped update learns from by backpropagation through time."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mawm.agents.battle_log import Battle
from mawm.agents.ppo_nets import PpoNets
from mawm.agents.returns import ValueNorm


@dataclass(frozen=True, eq=False)
class PpoBatch:
    """B battles of M agents, by arrivals t = 0..T; shorter battles and streams of the dead are padded with zeros.

    obs (T+1, M, B, O), avail (T+1, M, B, A); action, old_log_prob of it, and whether an agent `acted` at all (T+1, M,
    B); advantage (standardised) and returns (T+1, 1, B), which are the team's.
    """

    obs: Tensor
    avail: Tensor
    action: Tensor
    old_log_prob: Tensor
    acted: Tensor
    advantage: Tensor
    returns: Tensor

    @property
    def lived(self) -> Tensor:
        """Where (T+1, 1, B) anybody acted, so that there is a value to learn."""
        return self.acted.any(1, keepdim=True)


def gae(reward: Tensor, discount: Tensor, value: Tensor, lived: Tensor, lam: float) -> Tensor:
    """Generalised advantages (T+1, B): A_t = delta_t + d_{t+1} lam A_{t+1}, delta_t = r_{t+1} + d_{t+1} v_{t+1} - v_t.

    Schulman et al. (2016). `reward` and `discount` d (T+1, B), zero at a terminal arrival, belong to the arrivals, as
    `value` does; delta is zero where nobody `lived` (T+1, B) to act: at the last arrival of a battle and after it. The
    last value of a battle that was cut stands for what it would still have earned.
    """
    out = torch.zeros_like(value)
    for t in range(len(value) - 2, -1, -1):
        delta = reward[t + 1] + discount[t + 1] * value[t + 1] - value[t]
        out[t] = lived[t] * (delta + discount[t + 1] * lam * out[t + 1])
    return out


@torch.no_grad()
def batch_of(
    battles: list[Battle], nets: PpoNets, norm: ValueNorm, *, discount: float, lam: float, device: str
) -> PpoBatch:
    """A batch of some battles, valued by the critic as it is now; an agent's last arrival is no action any more.

    The team's rewards are those of whoever lived longest: a stream that ends before holds the same sum (`collect`).
    """
    length = max(int(battle.arrivals.max()) for battle in battles)
    padded = [battle.first(length).of for battle in battles]
    of = {name: torch.from_numpy(np.stack([p[name] for p in padded], 2)).to(device) for name in padded[0]}
    arrivals = torch.from_numpy(np.stack([battle.arrivals for battle in battles], 1)).to(device)
    acted = torch.arange(length, device=device)[:, None, None] < arrivals - 1
    last = arrivals.argmax(0).expand(length, 1, -1)
    reward, terminal = (of[name].gather(1, last).squeeze(1) for name in ("reward", "terminal"))
    value = norm.denormalise(nets.value(of["obs"]))
    gain = gae(reward, discount * (~terminal).to(reward.dtype), value, acted.any(1), lam).unsqueeze(1)
    used = gain.expand_as(acted)[acted]
    return PpoBatch(
        of["obs"],
        of["avail"],
        torch.roll(of["prev_action"], -1, 0),  # an action is stored with the arrival that it led to
        of["log_prob"],
        acted,
        (gain - used.mean()) / (used.std(correction=0) + 1e-6),
        gain + value.unsqueeze(1),
    )
