"""How much imagined observations would tell of the model's parameters: `param_ig` over an ensemble of heads."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mawm.agents.actor_critic import Head, Imagined
from mawm.agents.config import InformationConfig, WorldModelConfig
from mawm.agents.information.ensemble import Ensemble
from mawm.agents.information.estimators import gaps
from mawm.agents.information.term import Arrays
from mawm.agents.optimiser import Optimiser
from mawm.agents.rssm import Posteriors
from mawm.agents.snapshot_weights import load_weights, save_weights, under
from mawm.agents.world_model import Batch, WorldModel, resets


class ParameterInformation:
    """I(theta; o) of A Eq. 6, theta one of K + 1 heads that predict o_t: log p_i(o) - log (1/K) sum_k p_k(o).

    They read h_t, the recurrent state before o_t is seen. Each is fitted on the agent's own arrivals, a coin for each
    sequence and head (a bootstrap), without gradient into the RSSM. An imagined observation is drawn from one head and
    compared with the K others. These are not fresh for each observation: averages over M do not vary less than 1/K.
    Where the heads agree nothing is to be learned, and the mean gain is 0.
    """

    def __init__(
        self, obs_size: int, model: WorldModelConfig, config: InformationConfig, weights: torch.Generator,
        learn_rng: np.random.Generator, gain_rng: np.random.Generator, device: str,
    ) -> None:  # fmt: skip
        self.config, self.precision, self.device = config, model.obs_scale, device
        self.ensemble = Ensemble(config.others + 1, model.deter, config.hidden, obs_size, weights).to(device)
        self.optimiser = Optimiser(self.ensemble, config.lr, model.clip)
        self.learn_rng, self.gain_rng = learn_rng, gain_rng

    def learn(self, batch: Batch, post: Posteriors) -> None:
        """One gradient step of all heads on the own rows of a batch."""
        heads, (_, sequences) = self.config.others + 1, batch.reward.shape
        # The coins are tossed whatever the batch holds, so that received rows change no generator.
        coins = torch.from_numpy(self.learn_rng.integers(0, 2, (heads, 1, sequences))).to(self.device)
        weight = coins * (~resets(batch.reset) & batch.own)
        error = (self.ensemble(post.deter.detach()) - batch.obs).square().sum(-1)
        loss = 0.5 * self.precision * (weight * error).sum() / weight.sum().clamp_min(1.0)
        self.optimiser.step(loss, batch._asdict())

    @torch.no_grad()
    def gains(self, model: WorldModel, imagined: Imagined, noise: Tensor) -> Tensor | None:
        """Nats (H, B) per arrival, M rollouts at a time."""
        groups = imagined.deter[1:].split(self.config.observations, 1)
        return torch.cat([self._gains(deter) for deter in groups], 1)

    def _gains(self, deter: Tensor) -> Tensor:
        heads, shape = self.config.others + 1, deter.shape[:2]
        means = self.ensemble(deter).flatten(1, 2)  # (E, R, O)
        own = torch.from_numpy(self.gain_rng.integers(0, heads, means.shape[1])).to(self.device)
        drawn = torch.from_numpy(self.gain_rng.standard_normal(means.shape[1:], np.float32)).to(self.device)
        seen = means[own, torch.arange(len(own), device=self.device)] + drawn / self.precision**0.5
        densities = (
            -0.5 * self.precision * (seen - means).square().sum(-1).t()
        )  # (R, E); what all have in common is left out
        order = (own[:, None] + torch.arange(heads, device=self.device)) % heads  # the head that drew it comes first
        densities = densities.gather(1, order)
        return gaps(densities[:, 0], densities[:, 1:]).view(shape)

    def remember(self, actor: Head, env_steps: int) -> None:
        """The parameters alone are what is asked about."""

    def compare_with(self, policies: Arrays) -> None:
        """One policy at a time: others do not matter."""

    def incident(self) -> tuple[int, Arrays] | None:
        """A fit of the heads that was not finite since the last call (`Optimiser.incident`); None without."""
        return self.optimiser.incident()

    @property
    def skipped(self) -> int:
        """Fits that were left out so far."""
        return self.optimiser.skipped

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Weights and the optimiser's moments; steps that were skipped."""
        arrays = save_weights({"ensemble": self.ensemble})
        arrays |= {f"optimiser/{name}": value for name, value in self.optimiser.state().items()}
        return arrays, {"skipped": self.optimiser.counters()}

    def load_state(self, arrays: Arrays, rest: dict[str, Any]) -> None:
        """Continue from `state`. ValueError where a weight is missing or has another shape."""
        load_weights("param_ig", {"ensemble": self.ensemble}, arrays)
        self.optimiser.load_state(under(arrays, "optimiser/"))
        self.optimiser.load_counters(rest["skipped"])
