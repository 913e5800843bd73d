"""Fits one agent's world model, computes losses of segments under it, and encodes the start states of rollouts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mawm.agents.compute import on_device, to_tensor
from mawm.agents.information.term import Intrinsic
from mawm.agents.optimiser import Optimiser
from mawm.agents.pooled_replay import PooledReplay
from mawm.agents.rssm import Latent, Posteriors
from mawm.agents.world_model import MEANS, Batch, Starts, WorldModel, resets
from mawm.types import Metrics, Segment

COMPARED = 1024
"""Number of sequences for measuring a world model's errors."""
CONTEXT = 5
"""Arrivals that the model must have observed in a battle before a rollout may start there."""
Sampler = Callable[[int, int, np.random.Generator], Batch]
"""Samples `batch` sequences of `length` steps."""


@dataclass(eq=False, repr=False)
class ModelTrainer:
    """The world model with its optimiser. `score_rng` is for the losses of segments, which must not affect training."""

    model: WorldModel
    replay: PooledReplay
    rng: np.random.Generator
    score_rng: np.random.Generator
    intrinsic: Intrinsic
    device: str
    updates: int = 0

    def __post_init__(self) -> None:
        self.model.to(self.device)
        config = self.model.config
        self.optimiser = Optimiser(self.model, config.lr, config.clip, config.lr_warmup)

    def _noise(self, rng: np.random.Generator, *shape: int) -> Tensor:
        return to_tensor(rng.random((*shape, self.model.config.groups), dtype=np.float32))

    def ready(self, updates: int) -> bool:
        """Whether there are updates to do, and the replay can be sampled."""
        return updates > 0 and self.replay.ready(self.model.config.seq_len)

    def draw(self) -> tuple[Batch, Tensor]:
        """The batch of the next gradient step and uniform noise (T, B, G) for its latents."""
        config = self.model.config
        batch = self.replay.sample_pooled(config.batch, config.seq_len, self.rng)
        return batch, self._noise(self.rng, config.seq_len, config.batch)

    def fit(self, updates: int) -> Metrics:
        """Run `updates` gradient steps on Eqs. 1-3; returns the mean losses, or {} before the replay can be sampled."""
        if not self.ready(updates):
            return {}
        logged = []
        for _ in range(updates):
            batch, noise = on_device(self.draw(), self.device)
            fitted = self.model.fitted(batch, noise)
            norm = self.optimiser.step(fitted.objective, batch._asdict())
            self.stepped(batch, fitted.states)
            logged.append([*fitted.means.tolist(), float(fitted.objective.detach()), norm])
        return self.metrics(logged)

    def stepped(self, batch: Batch, states: Posteriors) -> None:
        """Count a gradient step on a batch, and let the information term learn from it."""
        self.updates += 1
        self.intrinsic.learn(batch, states, self.model.rssm.scale)

    def metrics(self, logged: list[list[float]]) -> Metrics:
        """Means over gradient steps; a row of `logged` has the losses of `MEANS`, the objective and the norm."""
        columns = zip((*MEANS, "loss", "grad_norm"), zip(*logged, strict=True), strict=True)
        metrics = {f"world_model/{name}": sum(values) / len(values) for name, values in columns}
        metrics["world_model/skipped_updates"] = float(self.optimiser.skipped)
        return metrics

    @torch.no_grad()
    def errors(self, segments: Sequence[Segment]) -> Metrics:
        """Mean squared one-step prediction errors on segments (`deployed`) and on the replay (`trained`).

        Both use sequences that are sampled in the same way. `obs_error`: of the decoded mean observation, scaled, per
        component; `reward_error`: of the predicted reward. Both at the prior's most likely latent, before o_t is
        observed. Empty before the model can be fitted.
        """
        config = self.model.config
        if not segments or not self.replay.ready(config.seq_len):
            return {}
        rng = np.random.default_rng(0)  # a generator of its own, so that measuring does not affect training
        deployed = self.replay.like(segments)
        if not deployed.ready(config.seq_len):
            return {}
        metrics: Metrics = {}
        for name, replay in (("deployed", deployed), ("trained", self.replay)):
            obs, reward = self._prediction_errors(replay.sample_pooled(COMPARED, config.seq_len, rng), rng)
            metrics |= {f"{name}/obs_error": obs, f"{name}/reward_error": reward}
        return metrics

    def _prediction_errors(self, batch: Batch, rng: np.random.Generator) -> tuple[float, float]:
        """Mean squared errors of observation and reward."""
        batch, noise = on_device((batch, self._noise(rng, *batch.reset.shape)), self.device)
        reset = resets(batch.reset)
        deter = self.model.rssm.observe(batch.obs, batch.prev_action, reset, noise).deter
        expected = Latent(deter, self.model.rssm.prior(deter).argmax(-1))
        counted = ~reset
        obs = (self.model.decode_observation(expected) - self.model.rssm.scale(batch.obs)).square().mean(-1)[counted]
        predicted = self.model.predict(expected)
        reward = self.model.expected_reward(predicted.reward, predicted.terminal) - batch.reward
        return float(obs.mean()), float(reward.square()[counted].mean())

    @torch.no_grad()
    def losses_of(self, segments: Sequence[Segment], rng: np.random.Generator | None = None) -> NDArray[np.float64]:
        """Losses (n, 4) of segments under the agent's own model, in the order of `SCORES`, in nats per arrival.

        Each loss is a mean over the arrivals that have it, so that the means of short and long segments are comparable:
        the first arrival of a segment has no reward loss, and has a KL only if a battle begins there. Latents are
        sampled with `rng`, or with `score_rng`.
        """
        batch, mask = self._padded(segments)
        losses, _ = self.model.losses(batch, self._noise(rng or self.score_rng, *mask.shape).to(self.device))
        arrived = mask & ~resets(batch.reset)
        picked = (
            (losses.avail, mask),
            (losses.terminal, mask),
            (losses.reward, arrived),
            (losses.dyn, arrived | (mask & batch.is_first)),
        )
        means = [(loss * has).sum(0) / has.sum(0).clamp_min(1) for loss, has in picked]
        return torch.stack(means, -1).to(torch.float64).cpu().numpy()

    def _padded(self, segments: Sequence[Segment]) -> tuple[Batch, Tensor]:
        """A batch of segments, padded with zeros, and the mask (T, B) of the steps that are not padding."""
        lengths, device = np.array([len(s) for s in segments]), self.device
        valid = np.arange(lengths.max())[:, None] < lengths

        def padded(name: str) -> Tensor:
            return pad_sequence([to_tensor(getattr(segment, name)) for segment in segments]).to(device)

        # A segment lies in one battle, so the memory is reset where the battle begins.
        first, own = padded("is_first"), torch.ones(len(segments), dtype=torch.bool, device=device)
        fields = [padded(name) for name in ("obs", "prev_action", "reward", "terminal")]
        return Batch._make([*fields, first, first, padded("avail"), own]), torch.from_numpy(valid).to(device)

    def draw_starts(self, count: int, rng: np.random.Generator, source: Sampler) -> Starts:
        """Sequences from `source`, and `count` of their states in which rollouts start.

        Terminal states are excluded. The first `CONTEXT` states after an unknown past are used only if there are no
        others, because the model has observed too little there. There are 1.5 times as many states as are picked.
        """
        config = self.model.config
        rows = -(-3 * count // (2 * config.seq_len))
        batch = source(rows, config.seq_len, rng)
        noise = self._noise(rng, config.seq_len, rows)
        running = ~batch.terminal.numpy()
        informed = running & _with_context(batch.is_first.numpy(), resets(batch.reset).numpy())
        usable = informed if informed.any() else running
        places = np.flatnonzero(usable)
        picked = rng.choice(places, size=count, replace=len(places) < count)
        return Starts(batch, noise, torch.from_numpy(usable), torch.from_numpy(picked))


def _with_context(is_first: NDArray[np.bool_], reset: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """States (T, B) whose memory covers their battle from its beginning, or at least `CONTEXT` arrivals."""
    arrivals, known = np.zeros(is_first.shape[1], np.int64), np.zeros(is_first.shape[1], np.bool_)
    out = np.zeros(is_first.shape, np.bool_)
    for t in range(len(is_first)):
        known = np.where(reset[t], is_first[t], known)
        arrivals = np.where(reset[t], 0, arrivals + 1)
        out[t] = known | (arrivals >= CONTEXT)
    return out
