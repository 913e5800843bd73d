"""Imagines rollouts with one agent's model, and fits its actor and critic on its own and on received rollouts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mawm.agents.actor_critic import ActorCritic, Imagined, Replayed, Rows, Valued, imagine, joined, threshold_avail
from mawm.agents.categorical import masked_logits
from mawm.agents.information.term import Intrinsic
from mawm.agents.model_trainer import ModelTrainer
from mawm.agents.rssm import Latent
from mawm.agents.world_model import Encoded
from mawm.types import Metrics, Origin, Rollout


@dataclass(eq=False, repr=False)
class BehaviourTrainer:
    """Actor and critic of one agent. Rollouts are used in one round only: the policy's update needs fresh ones."""

    actor_critic: ActorCritic
    model_trainer: ModelTrainer
    rng: np.random.Generator
    explorer_rng: np.random.Generator
    intrinsic: Intrinsic
    intrinsic_weight: float
    device: str
    gain: float | None = None
    """Mean gain of this round's rollouts in nats; None if the information term added no reward."""
    imagined: Imagined | None = None
    valued: Valued | None = None
    """Values of `imagined`, computed when first needed."""
    encoded: Encoded | None = None
    """The agent's own sequences in which this round's rollouts start; None if the information term added a reward."""
    explorer_starts: int = 0
    """Number of this round's rollouts that start in explorers' states; they come last."""
    round: int = 0

    def imagine(self, updates: int) -> None:
        """Imagine rollouts for `updates` behaviour updates (Z Algorithm 2 line 7); they are kept until `fit`."""
        self.round += 1
        self.imagined = self.valued = self.encoded = None
        config = self.actor_critic.config
        if updates == 0 or not self.model_trainer.replay.ready(self.model_trainer.model.config.seq_len):
            return
        count = updates * config.starts
        self.explorer_starts = self._explorer_starts(count)
        count -= self.explorer_starts
        replay = self.model_trainer.replay
        start, avail, self.encoded = self.model_trainer.starts(count, self.rng, replay.sample_own)
        noise = self._noise(self.rng, count)
        if self.explorer_starts:
            explorer_start, explorer_avail, _ = self.model_trainer.starts(
                self.explorer_starts, self.explorer_rng, replay.sample_explorers
            )
            start = Latent(*(torch.cat(pair) for pair in zip(start, explorer_start, strict=True)))
            avail = torch.cat([avail, explorer_avail])
            noise = torch.cat([noise, self._noise(self.explorer_rng, self.explorer_starts)], 1)
        model, actor = self.model_trainer.model, self.actor_critic.actor
        rollouts = imagine(model, actor, start, avail, config.discount, noise[..., -1], noise[..., :-1])
        self.imagined = self._with_gains(rollouts, noise)
        if self.gain is not None:
            self.encoded = None  # real arrivals have no intrinsic reward, so their returns are of another kind

    def _with_gains(self, imagined: Imagined, noise: Tensor) -> Imagined:
        """The rollouts, with lambda / H times the intrinsic gain of each arrival added to its reward."""
        gains = self.intrinsic.gains(self.model_trainer.model, imagined, noise)
        if gains is None:
            self.gain = None
            return imagined
        self.gain = float(gains.mean())
        return imagined._replace(reward=imagined.reward + self.intrinsic_weight / len(gains) * gains)

    def _explorer_starts(self, count: int) -> int:
        """Number of rollouts that start in explorers' states: none before the replay holds such states."""
        if not self.model_trainer.replay.explorers.places(self.model_trainer.model.config.seq_len):
            return 0
        return min(count - 1, round(self.actor_critic.config.explorer_starts * count))

    def _noise(self, rng: np.random.Generator, count: int) -> Tensor:
        shape = (self.actor_critic.config.horizon, count, self.model_trainer.model.config.groups + 1)
        return torch.from_numpy(rng.random(shape, dtype=np.float32)).to(self.device)

    @property
    def count(self) -> int:
        """Number of rollouts of this round that may be sent: the first ones, which start in own experience."""
        return 0 if self.imagined is None else self.imagined.action.shape[1] - self.explorer_starts

    def critic_losses(self) -> NDArray[np.float64]:
        """Critic loss (n, 1) of the rollouts that may be sent, for the selector."""
        if self.imagined is None:
            return np.zeros((0, 1))
        losses = self.actor_critic.critic_losses(self.imagined, self._valued(self.imagined))[: self.count]
        return losses.to(torch.float64).cpu().numpy()[:, None]

    def _valued(self, imagined: Imagined) -> Valued:
        """Values of this round's own rollouts. The critic does not change before `fit`, so they are cached."""
        if self.valued is None:
            self.valued = self.actor_critic.value(imagined)
        return self.valued

    def rollouts(self, origin: Origin) -> list[Rollout]:
        """The rollouts that may be sent, in the form that is sent. They are views of this round's arrays."""
        if self.imagined is None:
            return []
        fields = {name: x.cpu().numpy() for name, x in self.imagined._asdict().items()}
        fields["stoch"] = fields["stoch"].astype(np.uint8)
        return [Rollout(origin, **{name: x[:, i] for name, x in fields.items()}) for i in range(self.count)]

    def fit(self, received: Sequence[Rollout], env_steps: int) -> Metrics:
        """Gradient steps on Eqs. 4-5, on this round's own rollouts and received ones.

        The number of gradient steps is that of `epochs` passes over the agent's own rows. It does not depend on the
        number of received rows.
        """
        if self.imagined is None:
            return {}
        config = self.actor_critic.config
        own_rows = self.imagined.action.numel()
        metrics: Metrics = {}
        pool, valued = self.imagined, self._valued(self.imagined)
        if received:
            others = self._stacked(received)
            metrics["channel/latent_agreement"] = self._agreement(others)
            pool, valued = joined(pool, others), joined(valued, self.actor_critic.value(others))
        rows = self.actor_critic.prepare(pool, valued, len(received))
        metrics |= self.actor_critic.received_ratios(rows)
        exploration = self.actor_critic.exploration
        size = min(config.minibatch, own_rows)
        steps = config.epochs * max(1, own_rows // size)
        replayed: list[Replayed] | None = None
        if config.replay_critic > 0.0 and self.encoded is not None:
            all_replayed, metrics["critic/value_bias"] = self.actor_critic.replayed(self.encoded)
            replayed = [Replayed(*(x[i::steps] for x in all_replayed)) for i in range(steps)]
        totals: dict[str, float] = {}
        for i, index in enumerate(self._minibatches(len(rows.action), size, steps)):
            minibatch = Rows(*(x.index_select(0, index) for x in rows))
            part = replayed[i] if replayed else None
            losses = self.actor_critic.update(minibatch, exploration.weight(env_steps), part)
            exploration.adapt(losses["actor/entropy_share"], env_steps)
            for name, value in losses.items():
                totals[name] = totals.get(name, 0.0) + value
        self.imagined = self.valued = self.encoded = None
        self.intrinsic.remember(self.actor_critic.actor, env_steps)
        if self.gain is not None:
            metrics["information/gain"] = self.gain
        metrics |= {name: value / steps for name, value in totals.items()}
        metrics["actor/entropy_weight"] = exploration.weight(env_steps)
        metrics["critic/advantage_scale"] = self.actor_critic.advantages.scale
        metrics["behaviour/skipped_updates"] = float(
            self.actor_critic.actor_opt.skipped + self.actor_critic.critic_opt.skipped
        )
        return metrics

    def _minibatches(self, rows: int, size: int, steps: int) -> list[Tensor]:
        order = np.concatenate([self.rng.permutation(rows) for _ in range(-(-steps * size // rows))])
        return [torch.from_numpy(order[i * size : (i + 1) * size]).to(self.device) for i in range(steps)]

    def _stacked(self, received: Sequence[Rollout]) -> Imagined:
        def stack(name: str) -> Tensor:
            return torch.from_numpy(np.stack([getattr(r, name) for r in received], 1)).to(self.device)

        others = Imagined(*(stack(name) for name in Imagined._fields))
        return others._replace(stoch=others.stoch.long(), logits=masked_logits(others.logits, others.avail))

    @torch.no_grad()
    def _agreement(self, others: Imagined) -> float:
        """Share of mask bits on which this agent's predictor agrees with the sender's, at the sender's latents."""
        latent = Latent(others.deter[:-1], others.stoch[:-1])
        predicted = threshold_avail(self.model_trainer.model.predict(latent).avail)
        return float((predicted == others.avail).to(torch.float32).mean())
