"""Divergence of imagined observations from those of other policies: `policy_mi`, A Eq. 7 as printed."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mawm.agents.actor_critic import Head, Imagined, threshold_avail
from mawm.agents.categorical import masked_logits, sample, softmax
from mawm.agents.compute import to_tensor
from mawm.agents.config import InformationConfig
from mawm.agents.information.estimators import gaps
from mawm.agents.information.term import Intrinsic
from mawm.agents.rssm import Latent
from mawm.agents.snapshot_weights import Arrays, under
from mawm.agents.world_model import WorldModel


class Snapshots:
    """The last K actors with latents of the present model, so that old ones do not act exactly as before."""

    def __init__(self, actor: Head, keep: int, device: str) -> None:
        self.actor, self.keep, self.device = actor, keep, device
        self.kept: list[dict[str, Tensor]] = []

    def __len__(self) -> int:
        return len(self.kept)

    def take(self) -> None:
        """Copy the actor; the new copy replaces the oldest one if there are K."""
        weights = {name: value.detach().clone() for name, value in self.actor.named_parameters()}
        self.kept = [*self.kept, weights][-self.keep :]

    def logits(self, latent: Latent, obs: Tensor) -> Tensor:
        """Logits (K, B, A): of policy k at latent states (K, B, ...) of row k. It does not use the observations."""
        rows = zip(self.kept, latent.deter, latent.stoch, strict=True)
        return torch.stack([torch.func.functional_call(self.actor, weights, (h, z)) for weights, h, z in rows])

    def state(self) -> Arrays:
        """The copies, oldest first."""
        return {f"{i}/{name}": w.cpu().numpy() for i, kept in enumerate(self.kept) for name, w in kept.items()}

    def load_state(self, arrays: Arrays) -> None:
        """Continue from `state`."""
        names = [name for name, _ in self.actor.named_parameters()]
        count = len({key.split("/")[0] for key in arrays})
        self.kept = [
            {name: torch.from_numpy(arrays[f"{i}/{name}"].copy()).to(self.device) for name in names}
            for i in range(count)
        ]


class FeaturePolicies:
    """Explorers' policies softmax(tanh(o P + s) W_k), applied to decoded observations."""

    FIELDS = ("projection", "shift", "weights")

    def __init__(self, arrays: Arrays, keep: int, device: str) -> None:
        """Projection (O, F), shift (F,), weights (K, F, A); non-finite policies are skipped."""
        weights = arrays["weights"]
        weights = weights[np.isfinite(weights).all((1, 2))][:keep]
        self.arrays = {**{name: arrays[name] for name in self.FIELDS}, "weights": weights}
        self._tensors = {name: to_tensor(np.asarray(value, np.float32), device) for name, value in self.arrays.items()}

    def __len__(self) -> int:
        return len(self.arrays["weights"])

    def logits(self, latent: Latent, obs: Tensor) -> Tensor:
        """Logits (K, B, A): of policy k at raw observations (K, B, O) of row k. It does not use the latent states."""
        t = self._tensors
        return torch.bmm(torch.tanh(obs @ t["projection"] + t["shift"]), t["weights"])


Population = Snapshots | FeaturePolicies


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
