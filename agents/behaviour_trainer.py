"""Imagines rollouts with one agent's model, and fits its actor and critic on its own and on received rollouts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mawm.agents.actor_critic import (
    ActorCritic,
    Imagined,
    Replayed,
    Rows,
    Valued,
    imagine_from,
    joined,
    threshold_avail,
)
from mawm.agents.categorical import masked_logits
from mawm.agents.compute import on_device, to_tensor
from mawm.agents.information.term import Intrinsic
from mawm.agents.model_trainer import ModelTrainer
from mawm.agents.rssm import Latent
from mawm.agents.world_model import Starts
from mawm.types import Metrics, Origin, Rollout


class Plan(NamedTuple):
    """The random choices of a round's imagination: start states, and noise (H, B, G + 1) of latents and actions.

    `starts` are the agent's own sequences, then explorers' sequences if rollouts start there too.
    """

    starts: tuple[Starts, ...]
    noise: Tensor


class FitPlan(NamedTuple):
    """The data of a round's gradient steps: rows (R, ...), the rows of each step (S,), replayed rows of each step."""

    rows: Rows
    minibatches: list[Tensor]
    replayed: list[tuple[Replayed, ...]]
    metrics: Metrics


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
    real: tuple[Replayed, Tensor] | None = None
    """Replayed rows for the critic, and its bias on them (`ActorCritic.replayed`); None if the critic uses none."""
    explorer_starts: int = 0
    """Number of this round's rollouts that start in explorers' states; they come last."""
    round: int = 0

    def imagine(self, updates: int) -> None:
        """Imagine rollouts for `updates` behaviour updates (Z Algorithm 2 line 7); they are kept until `fit`."""
        self.imagine_as_planned(self.plan_imagination(updates))

    def imagine_as_planned(self, plan: Plan | None) -> None:
        """Imagine the rollouts of a plan; nothing without one."""
        if plan is None:
            return
        plan = on_device(plan, self.device)
        imagined, states = imagine_from(self.model_trainer.model, self.actor_critic, *plan)
        self.keep(plan, imagined)
        if self.actor_critic.config.replay_critic > 0.0 and self.gain is None:
            self.real = self.actor_critic.replayed(plan.starts[0], states)

    def plan_imagination(self, updates: int) -> Plan | None:
        """Begin a round: draw start states and noise on the CPU; None if there is nothing to imagine."""
        self.round += 1
        self.imagined = self.valued = self.real = None
        trainer, replay = self.model_trainer, self.model_trainer.replay
        if not trainer.ready(updates):
            return None
        count = updates * self.actor_critic.config.starts
        self.explorer_starts = self._explorer_starts(count)
        count -= self.explorer_starts
        starts, noise = [trainer.draw_starts(count, self.rng, replay.sample_own)], [self._noise(self.rng, count)]
        if self.explorer_starts:
            starts.append(trainer.draw_starts(self.explorer_starts, self.explorer_rng, replay.sample_explorers))
            noise.append(self._noise(self.explorer_rng, self.explorer_starts))
        return Plan(tuple(starts), torch.cat(noise, 1))

    def keep(
        self,
        plan: Plan,
        imagined: Imagined,
        valued: Valued | None = None,
        real: tuple[Replayed, Tensor] | None = None,
    ) -> None:
        """Keep this round's rollouts, with lambda / H times the intrinsic gain of each arrival added to its reward.

        `valued` and `real`, if they are known, do not hold after a gain: real arrivals have no intrinsic reward.
        """
        gains = self.intrinsic.gains(self.model_trainer.model, imagined, plan.noise)
        self.gain = None if gains is None else float(gains.mean())
        if gains is not None:
            imagined = imagined._replace(reward=imagined.reward + self.intrinsic_weight / len(gains) * gains)
            valued = real = None
        self.imagined, self.valued, self.real = imagined, valued, real

    def _explorer_starts(self, count: int) -> int:
        """Number of rollouts that start in explorers' states: none before the replay holds such states."""
        if not self.model_trainer.replay.explorers.places(self.model_trainer.model.config.seq_len):
            return 0
        return min(count - 1, round(self.actor_critic.config.explorer_starts * count))

    def _noise(self, rng: np.random.Generator, count: int) -> Tensor:
        shape = (self.actor_critic.config.horizon, count, self.model_trainer.model.config.groups + 1)
        return to_tensor(rng.random(shape, dtype=np.float32))

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
        plan = self.plan_fit(received)
        return {} if plan is None else self.fit_as_planned(plan, env_steps)

    def fit_as_planned(self, plan: FitPlan, env_steps: int) -> Metrics:
        """The gradient steps of a plan."""
        exploration, logged = self.actor_critic.exploration, []
        for index, replayed in zip(plan.minibatches, plan.replayed, strict=True):
            minibatch = Rows(*(x.index_select(0, index) for x in plan.rows))
            logged.append(self.actor_critic.update(minibatch, exploration.weight(env_steps), replayed))
            exploration.adapt(logged[-1]["actor/entropy_share"], env_steps)
        return plan.metrics | self.finish_fit(logged, env_steps)

    def plan_fit(self, received: Sequence[Rollout]) -> FitPlan | None:
        """The rows of this round and their order; None without rollouts."""
        if self.imagined is None:
            return None
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
        size = min(config.minibatch, own_rows)
        steps = config.epochs * max(1, own_rows // size)
        replayed: list[tuple[Replayed, ...]] = [()] * steps
        if self.real is not None:
            real, bias = self.real
            metrics["critic/value_bias"] = float(bias)
            replayed = [(Replayed(*(x[i::steps] for x in real)),) for i in range(steps)]
        return FitPlan(rows, self._minibatches(len(rows.action), size, steps), replayed, metrics)

    def finish_fit(self, logged: list[dict[str, float]], env_steps: int) -> Metrics:
        """Forget this round's rollouts; returns means over the gradient steps, and the present weights."""
        self.imagined = self.valued = self.real = None
        self.intrinsic.remember(self.actor_critic.actor, env_steps)
        metrics = {} if self.gain is None else {"information/gain": self.gain}
        metrics |= {name: sum(step[name] for step in logged) / len(logged) for name in logged[0]}
        metrics["actor/entropy_weight"] = self.actor_critic.exploration.weight(env_steps)
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
            return to_tensor(np.stack([getattr(r, name) for r in received], 1), self.device)

        others = Imagined(*(stack(name) for name in Imagined._fields))
        return others._replace(stoch=others.stoch.long(), logits=masked_logits(others.logits, others.avail))

    @torch.no_grad()
    def _agreement(self, others: Imagined) -> float:
        """Share of mask bits on which this agent's predictor agrees with the sender's, at the sender's latents."""
        latent = Latent(others.deter[:-1], others.stoch[:-1])
        predicted = threshold_avail(self.model_trainer.model.predict(latent).avail)
        return float((predicted == others.avail).to(torch.float32).mean())
