"""The state of an agent that acts: one latent state and one previous action for each lane."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mawm.agents.actor_critic import Head, policy_logits
from mawm.agents.averaged import AveragedPolicy
from mawm.agents.categorical import sample
from mawm.agents.compute import on_device, to_tensor
from mawm.agents.rssm import Latent, Rssm
from mawm.types import Bools, Floats, Ints


class Inputs(NamedTuple):
    """Inputs of L lanes: obs (L, O), avail (L, A), noise (L, G + 1) of the latents and the action, others (L,).

    `greedy`: the lanes that take the likeliest action while others sample.
    """

    obs: Tensor
    prev_action: Tensor
    is_first: Tensor
    avail: Tensor
    noise: Tensor
    greedy: Tensor


@torch.no_grad()
def decide(rssm: Rssm, actor: Head, state: Latent, given: Inputs, mode: str) -> tuple[Latent, Tensor]:
    """The next states and actions (L,); modes as in `ActingMemory.act`.

    Latents are sampled in every mode, because the actor learned on sampled latents.
    """
    state = rssm.observe_step(state, given.obs, given.prev_action, given.is_first, given.noise[:, :-1])
    if mode == "random":
        probs = given.avail / given.avail.sum(-1, keepdim=True)
    else:
        probs = torch.softmax(policy_logits(actor, state, given.avail), -1)
    likeliest, sampled = probs.argmax(-1), sample(probs, given.noise[:, -1])
    if mode == "greedy":
        return state, likeliest
    return state, sampled if mode == "random" else torch.where(given.greedy, likeliest, sampled)


class ActingMemory:
    """Acts in L independent lanes at once, from the agent's own observations.

    Each call of `act` draws one uniform number for each latent and one for each action. All modes draw equally many, so
    the mode does not change later random numbers. Lanes with a true value in `greedy` (L,) take the mode of the policy
    where the others sample.
    """

    def __init__(self, policy: AveragedPolicy, lanes: int, device: str, greedy: Bools | None = None) -> None:
        self.policy = policy
        self.device = device
        self.greedy = np.zeros(lanes, np.bool_) if greedy is None else greedy
        self.state = policy.model.rssm.initial(lanes)
        self.prev_action = np.zeros(lanes, np.int64)

    def act(self, obs: Floats, avail: Bools, is_first: Bools, mode: str, rng: np.random.Generator) -> Ints:
        """Actions (L,) for observations (L, O): `sample` the policy, take its mode (`greedy`), or act at `random`."""
        given = on_device(self.inputs(obs, avail, is_first, rng), self.device)
        return self.keep(*decide(self.policy.model.rssm, self.policy.actor, self.state, given, mode))

    def inputs(self, obs: Floats, avail: Bools, is_first: Bools, rng: np.random.Generator) -> Inputs:
        """The inputs of the next decision, on the CPU."""
        lanes, groups = self.state.stoch.shape
        noise = rng.random((lanes, groups + 1), dtype=np.float32)
        return Inputs(*(to_tensor(x) for x in (obs, self.prev_action, is_first, avail, noise, self.greedy)))

    def keep(self, state: Latent, action: Tensor) -> Ints:
        """Keep the state after a decision; returns a copy of the actions."""
        self.state, self.prev_action = state, action.cpu().numpy().astype(np.int64)
        return self.prev_action.copy()

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The state as arrays by name."""
        return {
            "deter": self.state.deter.cpu().numpy(),
            "stoch": self.state.stoch.cpu().numpy(),
            "prev_action": self.prev_action,
        }

    def load(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Continue from `arrays`."""
        self.state = Latent(*(to_tensor(arrays[name], self.device) for name in ("deter", "stoch")))
        self.prev_action = np.asarray(arrays["prev_action"], np.int64)
