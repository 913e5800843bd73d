"""The primary's policy for the explorers' fitness, with copied weights, so that explorers cannot change it."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mawm.agents.actor_critic import ActorCritic
from mawm.agents.config import AgentConfig
from mawm.agents.snapshot_weights import load_weights
from mawm.agents.world_model import WorldModel
from mawm.types import Bools, Floats, Spaces


class PolicyView:
    """pi_phi without memory: the policy of one agent at an observation, as if its battle began there."""

    def __init__(self, spaces: Spaces, config: AgentConfig) -> None:
        any_weights = torch.Generator().manual_seed(0)
        self.model = WorldModel(
            spaces.obs_size, spaces.n_actions, config.world_model, config.behaviour.bins, any_weights
        )
        self.actor_critic = ActorCritic(spaces.n_actions, config.world_model, config.behaviour, any_weights)

    def show(self, owner: str, weights: dict[str, NDArray[Any]]) -> None:
        """Load these weights (`Agent.policy_weights`)."""
        load_weights(owner, {"world_model": self.model, "actor": self.actor_critic.actor}, weights)

    @torch.no_grad()
    def log_probs(self, obs: Floats, avail: Bools) -> NDArray[np.float64]:
        """Log-probabilities (R, A) at observations (R, O) with masks (R, A); -inf where not available."""
        rows = len(obs)
        state, no_action = self.model.rssm.initial(rows), torch.zeros(rows, dtype=torch.long)
        first = torch.ones(rows, dtype=torch.bool)
        latent = self.model.rssm.observe_step(state, torch.from_numpy(obs), no_action, first, None)
        logits = self.actor_critic.policy(latent, torch.from_numpy(avail)).to(torch.float64)
        return np.where(avail, torch.log_softmax(logits, -1).numpy(), -np.inf)
