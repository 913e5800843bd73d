"""The weights with which an agent acts: a moving average of its learned weights."""

import copy
import math

import torch

from mawm.agents.actor_critic import Head
from mawm.agents.world_model import WorldModel


class AveragedPolicy:
    """Copies of the world model and the actor, whose weights follow the learned weights slowly (Polyak averaging).

    After the t-th update of the world model:

        average += (1 - d_t) (learned - average),   d_t = min(decay, (1 + t) / (10 + t)).

    `follow` is called once per round. It applies all updates of the round in one step, with the product of their d_t.
    So the average spans about the last tenth of all updates, and at most the last 1 / (1 - decay) updates. Near a good
    policy the gradient is mostly noise. Then the learned weights fluctuate around the policy, and their average is
    closer to it. With `decay` 0 the agent acts with the learned weights.
    """

    def __init__(self, model: WorldModel, actor: Head, decay: float) -> None:
        self.decay = decay
        self.learned = (model, actor)
        self.model, self.actor = model, actor
        if decay:
            self.model = copy.deepcopy(model).requires_grad_(False)
            # The units of observations are not learned weights. Both models share them.
            self.model.rssm.scale = model.rssm.scale
            self.actor = copy.deepcopy(actor).requires_grad_(False)
        self.updates = 0
        """Number of updates of the world model at the last call of `follow` or `restart`."""

    def follow(self, updates: int) -> None:
        """Move the average towards the learned weights; `updates`: all updates of the world model so far."""
        if not self.decay or updates == self.updates:
            return
        keep = math.prod(min(self.decay, (1.0 + t) / (10.0 + t)) for t in range(self.updates + 1, updates + 1))
        self.updates = updates
        with torch.no_grad():
            for average, learned in zip((self.model, self.actor), self.learned, strict=True):
                for weight, new in zip(average.parameters(), learned.parameters(), strict=True):
                    weight.lerp_(new, 1.0 - keep)

    def restart(self, updates: int) -> None:
        """Begin a new average at the learned weights; `updates`: all updates of the world model so far."""
        self.updates = updates
        if self.decay:
            self.model.load_state_dict(self.learned[0].state_dict())
            self.actor.load_state_dict(self.learned[1].state_dict())
