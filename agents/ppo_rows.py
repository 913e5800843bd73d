"""From whole battles to rows (state, action, advantage) of the clipped update."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mawm.agents.battle_log import Battle
from mawm.agents.ppo_nets import PpoNets
from mawm.agents.returns import lambda_returns


@dataclass(frozen=True, eq=False)
class PpoRows:
    """R actions of living agents. The observations of all M at one arrival are held once, whoever acted there.

    obs (S, M, O) of S arrivals; of each row: `arrival` (R,) into `obs`, `member` (R,), avail (R, A), action,
    old_log_prob, advantage (standardised) and returns (R,).
    """

    obs: Tensor
    arrival: Tensor
    member: Tensor
    avail: Tensor
    action: Tensor
    old_log_prob: Tensor
    advantage: Tensor
    returns: Tensor

    def __len__(self) -> int:
        return len(self.action)


def gae(reward: Tensor, terminal: Tensor, value: Tensor, discount: float, lam: float) -> Tensor:
    """Generalised advantages (T, M): sum over k of (discount * lam)^k delta_{t+k}, which stops at a terminal arrival.

    `reward` and `terminal` (T, M) belong to arrivals 1..T, `value` (T+1, M) to arrivals 0..T. A stream that ends on an
    arrival that is not terminal was cut: its last value stands for what it would still have earned.
    """
    return lambda_returns(reward, discount * (~terminal).to(reward.dtype), value, lam) - value[:-1]


@torch.no_grad()
def rows_of(
    battles: list[Battle], nets: PpoNets, *, discount: float, lam: float, reward_scale: float, device: str
) -> PpoRows:
    """The rows of some battles, valued by the networks as they are now; the dead act in no row."""

    def joined(name: str) -> Tensor:
        return torch.from_numpy(np.concatenate([b.of[name] for b in battles])).to(device)

    obs, reward, terminal = joined("obs"), joined("reward") * reward_scale, joined("terminal")
    value = _values(obs, nets)
    advantage, acted, start = torch.zeros_like(value), np.zeros(tuple(value.shape), np.bool_), 0
    for battle in battles:
        stop = start + len(battle.of["reward"])
        here, come = slice(start, stop - 1), slice(start + 1, stop)
        advantage[here] = gae(reward[come], terminal[come], value[start:stop], discount, lam)
        acted[start:stop] = _acted(battle)
        start = stop
    arrival, member = (torch.from_numpy(index).to(device) for index in acted.nonzero())
    action = torch.roll(joined("prev_action"), -1, 0)  # an action is stored with the arrival that it led to
    gain = advantage[arrival, member]
    return PpoRows(
        obs,
        arrival,
        member,
        joined("avail")[arrival, member],
        action[arrival, member],
        joined("log_prob")[arrival, member],
        (gain - gain.mean()) / (gain.std(correction=0) + 1e-6),
        gain + value[arrival, member],
    )


def _values(obs: Tensor, nets: PpoNets) -> Tensor:
    """Values (S, M) of observations (S, M, O)."""
    joint = obs.flatten(1)
    members = torch.arange(nets.members, device=obs.device)
    return torch.stack([nets.value(joint, member.expand(len(joint))) for member in members], 1)


def _acted(battle: Battle) -> NDArray[np.bool_]:
    """Where (T+1, M) an agent acted and learned what came of it: everywhere but at its last arrival and after it."""
    return np.arange(len(battle.of["reward"]))[:, None] < battle.arrivals - 1
