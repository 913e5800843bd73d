"""How far imagined observations lie from those of other policies: `policy_mi`, A Eq. 7 as printed."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mawm.agents.actor_critic import Head, Imagined, threshold_avail
from mawm.agents.categorical import masked_logits, sample, softmax
from mawm.agents.config import InformationConfig
from mawm.agents.information.estimators import gaps
from mawm.agents.information.population import FeaturePolicies, Population, Snapshots
from mawm.agents.information.term import Arrays
from mawm.agents.rssm import Latent, Posteriors
from mawm.agents.snapshot_weights import under
from mawm.agents.world_model import Batch, WorldModel


class PolicyInformation:
    """log p_theta(o | pi_phi) - log (1/K) sum_k p_theta(o | pi_k) of every imagined arrival, K <= 20 policies.

    Every rollout is imagined again by each pi_k from the same start with the same luck (the random numbers behind
    actions and latents), so that densities differ where the policies do and nowhere else: a population of copies of
    pi_phi gives exactly 0. p_theta(o | .) is the decoder's density at the latent state reached; actions are not part of
    it. {pi_k} are the agent's last K actors, one every `snapshot_every` environment steps; explorers once some are
    handed over (the gate's policy and open mode).
    """

    def __init__(
        self, actor: Head, config: InformationConfig, precision: float, rng: np.random.Generator, device: str
    ) -> None:
        self.config, self.precision, self.rng, self.device = config, precision, rng, device
        self.snapshots = Snapshots(actor, config.others, device)
        self.explorers: FeaturePolicies | None = None
        self.taken_at = 0

    def learn(self, batch: Batch, post: Posteriors) -> None:
        """The model as it is is all that is asked."""

    @torch.no_grad()
    def gains(self, model: WorldModel, imagined: Imagined, noise: Tensor) -> Tensor | None:
        """Nats (H, B) per arrival, M rollouts at a time; None as long as there is no other policy."""
        population: Population = self.explorers or self.snapshots
        if not len(population):
            return None
        size, total = self.config.observations, imagined.action.shape[1]
        found = []
        for at in range(0, total, size):
            part = Imagined(*(x[:, at : at + size] for x in imagined))
            found.append(self._gains(model, part, noise[:, at : at + size], population))
        return torch.cat(found, 1)

    def _gains(self, model: WorldModel, own: Imagined, noise: Tensor, population: Population) -> Tensor:
        means = model.decode_observation(Latent(own.deter[1:], own.stoch[1:]))
        drawn = torch.from_numpy(self.rng.standard_normal(means.shape, np.float32)).to(self.device)
        seen = means + drawn / self.precision**0.5
        ours = -0.5 * drawn.square().sum(-1)  # (H, m); what all densities have in common is left out
        theirs = self._densities(model, own, noise, population, seen)
        return gaps(ours.flatten(), theirs.flatten(1).t()).view(ours.shape)

    def _densities(
        self, model: WorldModel, own: Imagined, noise: Tensor, population: Population, seen: Tensor
    ) -> Tensor:
        """Log-densities (K, H, m) of what was seen, had each policy of the population acted instead."""
        many = len(population)
        state = Latent(*(x[0].expand(many, *x[0].shape) for x in (own.deter, own.stoch)))
        avail, obs = own.avail[0].expand(many, -1, -1), model.decode_observation(state)
        found = []
        noise = noise.unsqueeze(1).expand(-1, many, -1, -1)
        transition = model.rssm.transition(noise[..., :-1])
        for t, luck in enumerate(noise):
            logits = masked_logits(population.logits(state, model.rssm.scale.raw(obs)), avail)
            action = sample(softmax(logits), luck[..., -1].contiguous())
            state = transition(t, state, action)
            avail, obs = threshold_avail(model.predict(state).avail), model.decode_observation(state)
            found.append(-0.5 * self.precision * (seen[t] - obs).square().sum(-1))
        return torch.stack(found, 1)

    def remember(self, actor: Head, env_steps: int) -> None:
        """Copy the actor when due."""
        if env_steps - self.taken_at >= self.config.snapshot_every:
            self.taken_at = env_steps
            self.snapshots.take()

    def compare_with(self, policies: Arrays) -> None:
        """Explorers are the population from now on, if any of them is finite."""
        found = FeaturePolicies(policies, self.config.others, self.device)
        if len(found):
            self.explorers = found

    def incident(self) -> tuple[int, Arrays] | None:
        """Nothing is fitted."""
        return None

    @property
    def skipped(self) -> int:
        """None."""
        return 0

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """The population, and when its last member was added."""
        arrays = {f"snapshots/{name}": value for name, value in self.snapshots.state().items()}
        if self.explorers is not None:
            arrays |= {f"explorers/{name}": value for name, value in self.explorers.arrays.items()}
        return arrays, {"taken_at": self.taken_at}

    def load_state(self, arrays: Arrays, rest: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.snapshots.load_state(under(arrays, "snapshots/"))
        explorers = under(arrays, "explorers/")
        self.explorers = FeaturePolicies(explorers, self.config.others, self.device) if explorers else None
        self.taken_at = int(rest["taken_at"])
