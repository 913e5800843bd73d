"""Divergence of imagined observations from those of other policies: `policy_mi`, A Eq. 7 as printed."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mawm.agents.actor_critic import Head, Imagined, threshold_avail
from mawm.agents.categorical import masked_logits, sample, softmax
from mawm.agents.config import InformationConfig
from mawm.agents.information.estimators import gaps
from mawm.agents.information.population import FeaturePolicies, Population, Snapshots
from mawm.agents.information.term import Intrinsic
from mawm.agents.rssm import Latent
from mawm.agents.snapshot_weights import Arrays, under
from mawm.agents.world_model import WorldModel


class PolicyInformation(Intrinsic):
    """log p_theta(o | pi_phi) - log (1/K) sum_k p_theta(o | pi_k) of every imagined arrival, with K policies.

    Each pi_k repeats every rollout from the same start with the same noise for actions and latents, so that densities
    differ only where the policies differ: copies of pi_phi give exactly 0. p_theta(o | .) is the decoder's density at
    the latent state, without the action. {pi_k} are the agent's last K actors, one every `snapshot_every` environment
    steps, or explorers if the gate passes their policies (policy and open mode).
    """

    def __init__(
        self, actor: Head, config: InformationConfig, precision: float, rng: np.random.Generator, device: str
    ) -> None:
        self.config, self.precision, self.rng, self.device = config, precision, rng, device
        self.snapshots = Snapshots(actor, config.others, device)
        self.explorers: FeaturePolicies | None = None
        self.taken_at = 0

    @torch.no_grad()
    def gains(self, model: WorldModel, imagined: Imagined, noise: Tensor) -> Tensor | None:
        """Nats (H, B) per arrival, M rollouts at a time; None while the population is empty."""
        population: Population = self.explorers or self.snapshots
        if not len(population):
            return None
        size, total = self.config.observations, imagined.action.shape[1]
        gains = []
        for at in range(0, total, size):
            part = Imagined(*(x[:, at : at + size] for x in imagined))
            gains.append(self._gains(model, part, noise[:, at : at + size], population))
        return torch.cat(gains, 1)

    def _gains(self, model: WorldModel, own: Imagined, noise: Tensor, population: Population) -> Tensor:
        means = model.decode_observation(Latent(own.deter[1:], own.stoch[1:]))
        obs_noise = torch.from_numpy(self.rng.standard_normal(means.shape, np.float32)).to(self.device)
        obs = means + obs_noise / self.precision**0.5
        # (H, m) without the normalisation constant, which is the same for all densities.
        own_density = -0.5 * obs_noise.square().sum(-1)
        others = self._densities(model, own, noise, population, obs)
        return gaps(own_density.flatten(), others.flatten(1).t()).view(own_density.shape)

    def _densities(
        self, model: WorldModel, own: Imagined, noise: Tensor, population: Population, own_obs: Tensor
    ) -> Tensor:
        """Log-densities (K, H, m) of observations under each policy of the population."""
        many = len(population)
        state = Latent(*(x[0].expand(many, *x[0].shape) for x in (own.deter, own.stoch)))
        avail, obs = own.avail[0].expand(many, -1, -1), model.decode_observation(state)
        densities = []
        noise = noise.unsqueeze(1).expand(-1, many, -1, -1)
        transition = model.rssm.transition(noise[..., :-1])
        for t, step_noise in enumerate(noise):
            logits = masked_logits(population.logits(state, model.rssm.scale.raw(obs)), avail)
            action = sample(softmax(logits), step_noise[..., -1].contiguous())
            state = transition(t, state, action)
            avail, obs = threshold_avail(model.predict(state).avail), model.decode_observation(state)
            densities.append(-0.5 * self.precision * (own_obs[t] - obs).square().sum(-1))
        return torch.stack(densities, 1)

    def remember(self, actor: Head, env_steps: int) -> None:
        """Copy the actor every `snapshot_every` environment steps."""
        if env_steps - self.taken_at >= self.config.snapshot_every:
            self.taken_at = env_steps
            self.snapshots.take()

    def compare_with(self, policies: Arrays) -> None:
        """Use explorers as the population, if any of them is finite."""
        explorers = FeaturePolicies(policies, self.config.others, self.device)
        if len(explorers):
            self.explorers = explorers

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """The population, and the environment step of its last snapshot."""
        arrays = {f"snapshots/{name}": value for name, value in self.snapshots.state().items()}
        if self.explorers is not None:
            arrays |= {f"explorers/{name}": value for name, value in self.explorers.arrays.items()}
        return arrays, {"taken_at": self.taken_at}

    def load_state(self, arrays: Arrays, values: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.snapshots.load_state(under(arrays, "snapshots/"))
        explorers = under(arrays, "explorers/")
        self.explorers = FeaturePolicies(explorers, self.config.others, self.device) if explorers else None
        self.taken_at = int(values["taken_at"])
