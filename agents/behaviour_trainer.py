"""Imagines with one agent's model and fits its actor and critic, on its own rollouts and on those it received."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mawm.agents.actor_critic import ActorCritic, Imagined, Rows, Valued, imagine, threshold_avail
from mawm.agents.categorical import masked_logits
from mawm.agents.information.term import Intrinsic
from mawm.agents.model_trainer import ModelTrainer
from mawm.agents.rssm import Latent
from mawm.types import Metrics, Origin, Rollout


class BehaviourTrainer:
    """Actor and critic of one agent. Rollouts live for one round: stale ones would break the policy's update."""

    def __init__(
        self,
        actor_critic: ActorCritic,
        trainer: ModelTrainer,
        rng: np.random.Generator,
        explorer_rng: np.random.Generator,
        intrinsic: Intrinsic,
        intrinsic_weight: float,
        device: str,
    ) -> None:
        self.actor_critic = actor_critic
        self.trainer = trainer
        self.rng = rng
        self.explorer_rng = explorer_rng
        self.intrinsic = intrinsic
        self.intrinsic_weight = intrinsic_weight
        self.device = device
        self.gain = float("nan")
        """Mean gain of this round's rollouts in nats."""
        self.imagined: Imagined | None = None
        self.valued: Valued | None = None
        """What the critic says of them, once somebody has asked."""
        self.foreign = 0
        """How many of this round's rollouts, the last ones, start where explorers have been."""
        self.round = 0
        actor_critic.build(device)

    def imagine(self, updates: int) -> None:
        """Rollouts for `updates` behaviour updates (Z Algorithm 2 line 7), kept until `fit`."""
        self.round += 1
        self.imagined = self.valued = None
        config = self.actor_critic.config
        if updates == 0 or not self.trainer.replay.ready(self.trainer.model.config.seq_len):
            return
        count, horizon = updates * config.starts, config.horizon
        self.foreign = self._foreign(count)
        count -= self.foreign
        groups = self.trainer.model.config.groups
        replay = self.trainer.replay
        start, avail = self.trainer.starts(count, self.rng, replay.sample_own)
        noise = self._noise(self.rng, horizon, count, groups)
        if self.foreign:
            their_start, their_avail = self.trainer.starts(self.foreign, self.explorer_rng, replay.sample_considered)
            start = Latent(*(torch.cat(pair) for pair in zip(start, their_start, strict=True)))
            avail = torch.cat([avail, their_avail])
            noise = torch.cat([noise, self._noise(self.explorer_rng, horizon, self.foreign, groups)], 1)
        model, actor = self.trainer.model, self.actor_critic.actor
        found = imagine(model, actor, start, avail, config.discount, noise[..., -1], noise[..., :-1])
        self.imagined = self._with_gains(found, noise)

    def _with_gains(self, imagined: Imagined, noise: Tensor) -> Imagined:
        """The rollouts with lambda / H times the intrinsic gain of every arrival added to its reward."""
        gains = self.intrinsic.gains(self.trainer.model, imagined, noise)
        if gains is None:
            self.gain = float("nan")
            return imagined
        self.gain = float(gains.mean())
        return imagined._replace(reward=imagined.reward + self.intrinsic_weight / len(gains) * gains)

    def _foreign(self, count: int) -> int:
        """How many of the rollouts start where explorers have been: none while nothing of theirs was handed over."""
        if not self.trainer.replay.considered.places(self.trainer.model.config.seq_len):
            return 0
        return min(count - 1, round(self.actor_critic.config.explorer_starts * count))

    def _noise(self, rng: np.random.Generator, horizon: int, count: int, groups: int) -> Tensor:
        return torch.from_numpy(rng.random((horizon, count, groups + 1), dtype=np.float32)).to(self.device)

    @property
    def count(self) -> int:
        """How many rollouts of this round may be told: those that start in the agent's own experience come first."""
        return 0 if self.imagined is None else self.imagined.action.shape[1] - self.foreign

    def scores(self) -> NDArray[np.float64]:
        """Critic loss (n, 1) of the rollouts that may be told, for the selector."""
        if self.imagined is None:
            return np.zeros((0, 1))
        losses = self.actor_critic.critic_losses(self.imagined, self._valued(self.imagined))[: self.count]
        return losses.to(torch.float64).cpu().numpy()[:, None]

    def _valued(self, imagined: Imagined) -> Valued:
        """What the critic says of this round's own rollouts. It does not move before they are fitted on."""
        if self.valued is None:
            self.valued = self.actor_critic.value(imagined)
        return self.valued

    def rollout(self, index: int, origin: Origin) -> Rollout:
        """One of this round's rollouts as it is sent."""
        assert self.imagined is not None
        row = Imagined(*(x[:, index].cpu() for x in self.imagined))
        return Rollout(
            origin,
            deter=row.deter.numpy(),
            stoch=row.stoch.numpy().astype(np.uint8),
            avail=row.avail.numpy(),
            logits=row.logits.numpy(),
            action=row.action.numpy(),
            reward=row.reward.numpy(),
            discount=row.discount.numpy(),
            weight=row.weight.numpy(),
        )

    def fit(self, received: Sequence[Rollout], env_steps: int) -> Metrics:
        """Eqs. 4-5 on this round's rollouts and received ones.

        `epochs` passes' worth of steps over as many rows as the agent imagined itself: the number of gradient steps
        never depends on what was received.
        """
        if self.imagined is None:
            return {}
        config = self.actor_critic.config
        own_rows = self.imagined.action.numel()
        metrics: Metrics = {}
        pool, valued = self.imagined, self._valued(self.imagined)
        if received:
            theirs = self._stacked(received)
            metrics["channel/latent_agreement"] = self._agreement(theirs)
            pool, valued = pool.joined([theirs]), valued.joined(self.actor_critic.value(theirs))
        rows = self.actor_critic.prepare(pool, valued, len(received))
        metrics |= self.actor_critic.received_ratios(rows)
        exploration = self.actor_critic.exploration
        size = min(config.minibatch, own_rows)
        steps = config.epochs * max(1, own_rows // size)
        totals: dict[str, float] = {}
        for index in self._minibatches(len(rows.action), size, steps):
            said = self.actor_critic.update(
                Rows(*(x.index_select(0, index) for x in rows)), exploration.weight(env_steps)
            )
            exploration.adapt(said["actor/entropy_share"], env_steps)
            for name, value in said.items():
                totals[name] = totals.get(name, 0.0) + value
        self.imagined = self.valued = None
        self.intrinsic.remember(self.actor_critic.actor, env_steps)
        if self.gain == self.gain:
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

        avail = stack("avail")
        return Imagined(
            stack("deter"),
            stack("stoch").to(torch.long),
            avail,
            masked_logits(stack("logits"), avail),
            stack("action"),
            stack("reward"),
            stack("discount"),
            stack("weight"),
        )

    @torch.no_grad()
    def _agreement(self, theirs: Imagined) -> float:
        """Share of mask bits on which this agent's predictor agrees with the sender's, on the sender's latents."""
        latent = Latent(theirs.deter[:-1], theirs.stoch[:-1])
        predicted = threshold_avail(self.trainer.model.predict(latent).avail)
        return float((predicted == theirs.avail).to(torch.float32).mean())
