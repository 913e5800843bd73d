"""Information gain about the model's parameters from imagined observations: `param_ig` with an ensemble of heads."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mawm.agents.actor_critic import Imagined
from mawm.agents.config import InformationConfig, WorldModelConfig
from mawm.agents.information.estimators import gaps
from mawm.agents.information.term import Intrinsic
from mawm.agents.nets import uniform_weight
from mawm.agents.optimiser import Optimiser
from mawm.agents.rssm import Posteriors
from mawm.agents.scales import ObservationScale
from mawm.agents.snapshot_weights import Arrays, load_weights, save_weights, under
from mawm.agents.world_model import Batch, WorldModel, resets


class Ensemble(nn.Module):
    """E perceptrons with one hidden layer each, as stacked weights that are drawn independently."""

    def __init__(self, members: int, fan_in: int, hidden: int, fan_out: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = uniform_weight((members, fan_in, hidden), fan_in, hidden, generator)
        self.second = uniform_weight((members, hidden, fan_out), hidden, fan_out, generator)
        self.first_bias = nn.Parameter(torch.zeros(members, 1, hidden))
        self.second_bias = nn.Parameter(torch.zeros(members, 1, fan_out))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (E, ..., out) of inputs (..., in)."""
        rows = x.reshape(1, -1, x.shape[-1]).expand(len(self.first), -1, -1)
        hidden = functional.relu(torch.baddbmm(self.first_bias, rows, self.first))
        return torch.baddbmm(self.second_bias, hidden, self.second).view(-1, *x.shape[:-1], self.second.shape[-1])


class ParameterInformation(Intrinsic):
    """I(theta; o) of A Eq. 6, theta one of K + 1 heads that predict o_t: log p_i(o) - log (1/K) sum_k p_k(o).

    The heads' input is h_t, the recurrent state before o_t is observed. Each head is fitted on a random half of the
    agent's own sequences (a bootstrap), without gradient into the RSSM. An imagined observation is drawn from one head
    and compared with the K others. These are the same for all observations, so the variance of averages over M stays of
    order 1/K. Where the heads agree, the mean gain is 0.
    """

    def __init__(
        self, obs_size: int, model: WorldModelConfig, config: InformationConfig, weights: torch.Generator,
        learn_rng: np.random.Generator, gain_rng: np.random.Generator, device: str,
    ) -> None:  # fmt: skip
        self.config, self.precision, self.device = config, model.obs_scale, device
        self.ensemble = Ensemble(config.others + 1, model.deter, config.hidden, obs_size, weights).to(device)
        self.optimiser = Optimiser(self.ensemble, config.lr, model.clip)
        self.learn_rng, self.gain_rng = learn_rng, gain_rng

    def learn(self, batch: Batch, post: Posteriors, scale: ObservationScale) -> None:
        """One gradient step of all heads on the own rows of a batch."""
        heads, (_, sequences) = self.config.others + 1, batch.reward.shape
        # Random numbers are drawn for received rows too, so that the channel does not affect the generator.
        bootstrap = torch.from_numpy(self.learn_rng.integers(0, 2, (heads, 1, sequences))).to(self.device)
        weight = bootstrap * (~resets(batch.reset) & batch.own)
        error = (self.ensemble(post.deter.detach()) - scale(batch.obs)).square().sum(-1)
        loss = 0.5 * self.precision * (weight * error).sum() / weight.sum().clamp_min(1.0)
        self.optimiser.step(loss, batch._replace(obs=scale(batch.obs))._asdict())

    @torch.no_grad()
    def gains(self, model: WorldModel, imagined: Imagined, noise: Tensor) -> Tensor | None:
        """Nats (H, B) per arrival, M rollouts at a time."""
        groups = imagined.deter[1:].split(self.config.observations, 1)
        return torch.cat([self._gains(deter) for deter in groups], 1)

    def _gains(self, deter: Tensor) -> Tensor:
        heads, shape = self.config.others + 1, deter.shape[:2]
        means = self.ensemble(deter).flatten(1, 2)  # (E, R, O)
        own = torch.from_numpy(self.gain_rng.integers(0, heads, means.shape[1])).to(self.device)
        noise = torch.from_numpy(self.gain_rng.standard_normal(means.shape[1:], np.float32)).to(self.device)
        obs = means[own, torch.arange(len(own), device=self.device)] + noise / self.precision**0.5
        # (R, E) without the normalisation constant, which is the same for all heads.
        densities = -0.5 * self.precision * (obs - means).square().sum(-1).t()
        order = (own[:, None] + torch.arange(heads, device=self.device)) % heads  # the head that drew `obs` comes first
        densities = densities.gather(1, order)
        return gaps(densities[:, 0], densities[:, 1:]).view(shape)

    def incident(self) -> tuple[int, Arrays] | None:
        """The last non-finite fit of the heads since the last call (`Optimiser.incident`); None if there is none."""
        return self.optimiser.incident()

    @property
    def skipped(self) -> int:
        """Number of skipped fits."""
        return self.optimiser.skipped

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Arrays: weights and the optimiser's moments. Values for JSON: numbers of skipped steps."""
        arrays = save_weights({"ensemble": self.ensemble})
        arrays |= {f"optimiser/{name}": value for name, value in self.optimiser.state().items()}
        return arrays, {"skipped": self.optimiser.counters()}

    def load_state(self, arrays: Arrays, values: dict[str, Any]) -> None:
        """Continue from `state`. ValueError if a weight is missing or has another shape."""
        load_weights("param_ig", {"ensemble": self.ensemble}, arrays)
        self.optimiser.load_state(under(arrays, "optimiser/"))
        self.optimiser.load_counters(values["skipped"])
