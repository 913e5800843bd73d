"""Fits one agent's world model on its pooled replay, scores its segments, and encodes where imagination starts."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mawm.agents.information.term import Intrinsic
from mawm.agents.optimiser import Optimiser
from mawm.agents.pooled_replay import PooledReplay
from mawm.agents.rssm import Latent
from mawm.agents.world_model import Batch, Losses, WorldModel, resets
from mawm.types import Metrics, Segment

COMPARED = 1024
"""Stretches that a world model's errors are measured on."""
CONTEXT = 5
"""Arrivals of a battle that a world model must have seen before imagination may start there."""
Sampler = Callable[[int, int, np.random.Generator], Batch]
"""Samples `batch` stretches of `length` steps."""


class ModelTrainer:
    """The world model with its optimiser. Two generators: what is scored never moves what is trained on."""

    def __init__(
        self,
        model: WorldModel,
        replay: PooledReplay,
        rng: np.random.Generator,
        score_rng: np.random.Generator,
        intrinsic: Intrinsic,
        device: str,
    ) -> None:
        self.model = model.to(device)
        self.model.reward_output.to(device)
        self.replay = replay
        self.rng = rng
        self.score_rng = score_rng
        self.intrinsic = intrinsic
        self.device = device
        self.optimiser = Optimiser(model, model.config.lr, model.config.clip, model.config.lr_warmup)
        self.updates = 0

    def _noise(self, rng: np.random.Generator, *shape: int) -> Tensor:
        return torch.from_numpy(rng.random((*shape, self.model.config.groups), dtype=np.float32)).to(self.device)

    def fit(self, updates: int) -> Metrics:
        """`updates` gradient steps on Eqs. 1-3; gives the mean losses, or nothing before a stretch can be sampled."""
        config = self.model.config
        if updates == 0 or not self.replay.ready(config.seq_len):
            return {}
        self.updates += updates
        totals: dict[str, float] = {}
        for _ in range(updates):
            batch = self.replay.sample_pooled(config.batch, config.seq_len, self.rng)
            losses, post = self.model.losses(batch, self._noise(self.rng, config.seq_len, config.batch))
            objective = self.model.objective(losses, batch.own)
            norm = self.optimiser.step(objective, batch._asdict())
            self.intrinsic.learn(batch._replace(obs=self.model.rssm.scale(batch.obs)), post)
            for name, value in {**_means(losses, batch), "loss": float(objective.detach()), "grad_norm": norm}.items():
                totals[name] = totals.get(name, 0.0) + value
        metrics = {f"world_model/{name}": value / updates for name, value in totals.items()}
        metrics["world_model/skipped_updates"] = float(self.optimiser.skipped)
        return metrics

    @torch.no_grad()
    def errors(self, segments: Sequence[Segment]) -> Metrics:
        """Mean squared error a step ahead, before o_t is seen, on segments (`deployed`) and in the replay (`trained`).

        Both on stretches that are sampled alike, so that they differ in nothing but whose experience it is.
        `obs_error`: of the decoded mean observation, per number of it, scaled; `reward_error`: of the predicted reward.
        Both at the likeliest latent of the prior. Empty before the model could be fitted.
        """
        config = self.model.config
        if not segments or not self.replay.ready(config.seq_len):
            return {}
        rng = np.random.default_rng(0)  # what is measured moves no generator of training
        deployed = self.replay.like(segments)
        if not deployed.ready(config.seq_len):
            return {}
        found, there = (
            self._ahead(replay.sample_pooled(COMPARED, config.seq_len, rng), rng) for replay in (deployed, self.replay)
        )
        names = ("obs_error", "reward_error")
        return {f"deployed/{n}": v for n, v in zip(names, found, strict=True)} | {
            f"trained/{n}": v for n, v in zip(names, there, strict=True)
        }

    def _ahead(self, batch: Batch, rng: np.random.Generator) -> tuple[float, float]:
        reset = resets(batch.reset)
        noise = self._noise(rng, *reset.shape)
        deter = self.model.rssm.observe(batch.obs, batch.prev_action, reset, noise).deter
        expected = Latent(deter, self.model.rssm.prior(deter).argmax(-1))
        counted = ~reset
        seen = (self.model.decode_observation(expected) - self.model.rssm.scale(batch.obs)).square().mean(-1)[counted]
        earned = self.model.reward_output.mean(self.model.predict(expected).reward) - batch.reward
        # A stale reward is one that the model is not fitted on.
        return float(seen.mean()), float(earned.square()[counted & ~batch.stale].mean())

    @torch.no_grad()
    def score(self, segments: Sequence[Segment], rng: np.random.Generator | None = None) -> NDArray[np.float64]:
        """Losses (n, 4) of segments under the agent's own model, in the order of `SCORES`, in nats per arrival.

        Each loss is a mean over the arrivals that have it: the first arrival of a segment has no reward loss, and a KL
        only where a battle begins. So a short segment has no lower mean than a long one. Latents are sampled with
        `rng`, or with the generator kept for scoring.
        """
        batch, mask = self._padded(segments)
        losses, _ = self.model.losses(batch, self._noise(rng or self.score_rng, *mask.shape))
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
        """Segments side by side, filled up with zeros, and which steps (T, B) are theirs."""
        length = max(len(s) for s in segments)
        count = len(segments)
        valid = np.arange(length)[:, None] < np.array([len(s) for s in segments])

        def padded(name: str) -> Tensor:
            first = getattr(segments[0], name)
            out = np.zeros((length, count, *first.shape[1:]), first.dtype)
            for i, segment in enumerate(segments):
                out[: len(segment), i] = getattr(segment, name)
            return torch.from_numpy(out).to(self.device)

        none = torch.zeros(length, count, dtype=torch.bool, device=self.device)
        # A segment lies in one battle, so memory is reset where the battle begins.
        first, own = padded("is_first"), torch.ones(count, dtype=torch.bool, device=self.device)
        fields = [padded(name) for name in ("obs", "prev_action", "reward", "terminal")]
        return Batch._make([*fields, first, first, none, padded("avail"), own]), torch.from_numpy(valid).to(self.device)

    @torch.no_grad()
    def starts(self, count: int, rng: np.random.Generator, source: Sampler) -> tuple[Latent, Tensor]:
        """`count` posterior states (B, ...) of what `source` samples with their true masks (B, A), without gradient.

        Terminal states start nothing, and neither do the first `CONTEXT` states after an unknown past, unless no other
        state is left: the model has seen too little there. 1.5 times as many states are encoded as are used.
        """
        config = self.model.config
        rows = -(-3 * count // (2 * config.seq_len))
        batch = source(rows, config.seq_len, rng)
        noise = self._noise(rng, config.seq_len, rows)
        reset = resets(batch.reset)
        seen = self.model.rssm.states(batch.obs, batch.prev_action, reset, noise)
        goes_on = ~batch.terminal.cpu().numpy()
        fit = goes_on & _with_context(batch.is_first.cpu().numpy(), reset.cpu().numpy())
        places = np.flatnonzero(fit if fit.any() else goes_on)
        picked = rng.choice(places, size=count, replace=len(places) < count)
        index = torch.from_numpy(picked).to(self.device)
        state = Latent(seen.deter.flatten(0, 1)[index], seen.stoch.flatten(0, 1)[index])
        return state, batch.avail.flatten(0, 1)[index]


def _with_context(is_first: NDArray[np.bool_], reset: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """States (T, B) whose memory goes back to the beginning of their battle, or over at least `CONTEXT` arrivals."""
    seen, known = np.zeros(is_first.shape[1], np.int64), np.zeros(is_first.shape[1], np.bool_)
    out = np.zeros(is_first.shape, np.bool_)
    for t in range(len(is_first)):
        known = np.where(reset[t], is_first[t], known)
        seen = np.where(reset[t], 0, seen + 1)
        out[t] = known | (seen >= CONTEXT)
    return out


def _means(losses: Losses, batch: Batch) -> Metrics:
    losses = Losses(*(x.detach() for x in losses))
    own_rows = max(float(batch.own.sum()), 1.0) / len(batch.own)
    return {
        "obs_loss": float(losses.obs.mean()) / own_rows,
        "action_loss": float(losses.action.mean()) / own_rows,
        "reward_loss": float(losses.reward.mean()),
        "terminal_loss": float(losses.terminal.mean()),
        "avail_loss": float(losses.avail.mean()),
        "kl": float(losses.dyn.mean()),
    }
