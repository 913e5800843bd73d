"""One learner: it owns a world model, actor, critic, replays, broadcasters and generators, and shares none of them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mawm.agents.actor_critic import ActorCritic
from mawm.agents.averaged import AveragedPolicy
from mawm.agents.behaviour_trainer import BehaviourTrainer
from mawm.agents.config import AgentConfig
from mawm.agents.intrinsic import Intrinsic, NoInformation
from mawm.agents.memory import ActingMemory
from mawm.agents.model_trainer import ModelTrainer
from mawm.agents.parameter_information import ParameterInformation
from mawm.agents.policy_information import PolicyInformation
from mawm.agents.pooled import PooledReplay
from mawm.agents.scales import RewardUnit
from mawm.agents.snapshot import load, optimisers, save
from mawm.agents.snapshot_weights import save_weights
from mawm.agents.world_model import WorldModel
from mawm.broadcast import Broadcaster, Outbox
from mawm.codec import (
    Wire,
    decode_rollout,
    decode_segment,
    encode_rollout,
    encode_segment,
    rollout_bytes,
    segment_bytes,
)
from mawm.gate import Gate
from mawm.picks import phase
from mawm.seeds import named_generator, named_seed
from mawm.types import ROLES, Bools, Floats, Ints, Metrics, Origin, Role, Segment, Since, Spaces

EXAMINED = 8
"""Received segments of a round whose loss is looked at before and after the model is fitted."""
GENERATORS = ("act", "evaluate", "model", "score", "behaviour", "examine", "explorer_starts", "information", "gains")
"""One generator a purpose; a draw for one never moves another."""


class Agent:
    """The learner of one environment agent, or of all of them where one model serves the team (`members`).

    Its randomness depends on (seed, role, name) alone, so adding or reordering other agents changes nothing in it. Its
    initial weights depend on (seed, role) alone: all agents start from the same phi_0, theta_0 (Z section 4.1).
    """

    def __init__(  # noqa: PLR0913 - everything that an agent owns is handed in by name
        self,
        name: str,
        members: tuple[int, ...],
        spaces: Spaces,
        config: AgentConfig,
        *,
        seed: int,
        lanes: int,
        experience: Broadcaster,
        rollouts: Broadcaster,
        wire: Wire,
        role: Role = Role.PRIMARY,
        gate: Gate | None = None,
        device: str = "cpu",
    ) -> None:
        self.name = name
        self.members = members
        self.role = role
        self.learned_from = {role}
        """Roles of the data that the world model may have learned from: its label, and that of all it imagines."""
        self.spaces = spaces
        self.config = config
        self.device = device
        self.experience = experience
        self.rollouts = rollouts
        self.wire = wire
        self.rngs = {purpose: named_generator(seed, f"{role}/{name}/{purpose}") for purpose in GENERATORS}
        weights = torch.Generator().manual_seed(named_seed(seed, f"{role}/init"))
        model = WorldModel(spaces.obs_size, spaces.n_actions, config.world_model, config.behaviour.bins, weights)
        self.behaviour = ActorCritic(spaces.n_actions, config.world_model, config.behaviour, weights)
        self.replay = PooledReplay(spaces, config.replay, lanes, gate or Gate(role), device)
        self.intrinsic = self._intrinsic(seed)
        self.modelling = ModelTrainer(
            model, self.replay, self.rngs["model"], self.rngs["score"], self.intrinsic, device
        )
        self.behaving = BehaviourTrainer(
            self.behaviour,
            self.modelling,
            self.rngs["behaviour"],
            self.rngs["explorer_starts"],
            self.intrinsic,
            config.information.weight,
            device,
        )
        self.acting = AveragedPolicy(model, self.behaviour.actor, config.behaviour.averaging)
        self.reward_unit = RewardUnit(config.behaviour.discount, lanes)
        self.memories: dict[str, ActingMemory] = {}
        self.examined: list[Segment] = []

    def _intrinsic(self, seed: int) -> Intrinsic:
        """The information term; its weights are drawn apart, so that it changes no others."""
        config, model = self.config.information, self.config.world_model
        if config.kind == "policy_mi" and config.weight > 0.0:
            return PolicyInformation(self.behaviour.actor, config, model.obs_scale, self.rngs["gains"], self.device)
        if config.kind == "param_ig" and config.weight > 0.0:
            weights = torch.Generator().manual_seed(named_seed(seed, f"{self.role}/information"))
            rngs = self.rngs["information"], self.rngs["gains"]
            return ParameterInformation(self.spaces.obs_size, model, config, weights, *rngs, self.device)
        return NoInformation()

    def begin(self, slot: str, lanes: int) -> None:
        """Forget what `slot` ("train" or "eval") remembers and give it `lanes` lanes."""
        self.memories[slot] = ActingMemory(self.acting, lanes, self.device)

    def act(self, obs: Floats, avail: Bools, is_first: Bools, *, slot: str, mode: str) -> Ints:
        """Actions (L,) of the lanes of a slot from their own observations (L, O) and memories alone."""
        rng = self.rngs["act" if slot == "train" else "evaluate"]
        return self.memories[slot].act(obs, avail, is_first, mode, rng)

    def remember(self, segments: list[Segment]) -> None:
        """Keep the agent's own experience (Z Algorithm 1 line 6)."""
        self.replay.remember(segments)
        self.modelling.model.rssm.scale.widen(segment.obs for segment in segments)
        self.reward_unit.take(segments)
        self.count_in_unit()

    def count_in_unit(self) -> None:
        """Pass the agent's unit of rewards to reward predictor, critic and advantages (`scales.RewardUnit`)."""
        for counting in (self.modelling.model.reward_output, self.behaviour.value_output, self.behaviour.advantages):
            counting.stretch(self.reward_unit.value)

    def offer_segments(self, segments: list[Segment], *, env_steps: int) -> Outbox:
        """What of this experience is broadcast: scored by the agent's own model (Z section 4.2)."""
        self.experience.budget.advance(env_steps)
        sizes = [segment_bytes(len(s), self.spaces.obs_size, self.spaces.n_actions, self.wire) for s in segments]
        # Losses of a model that was never fitted say nothing of an item, and would rule the windows for K items.
        if not segments or not self.experience.active or self.modelling.updates == 0:
            return self.experience.silent(sizes)
        scores = self.modelling.score(segments)
        arrivals, phases = (np.array([of(s) for s in segments], np.int64) for of in (len, phase))
        return self.experience.publish(
            sizes, scores, lambda i, sequence: encode_segment(segments[i], sequence, self.wire), arrivals, phases
        )

    def admit(self, messages: list[bytes]) -> Metrics:
        """Keep received experience, behind the gate."""
        received = [decode_segment(m) for m in messages]
        self.replay.admit(received)
        self.examined = received[:EXAMINED]
        before = self._examine("before")
        return before | {
            "replay/own_steps": float(len(self.replay.own)),
            "replay/received_steps": float(len(self.replay.received)),
        }

    def consider(self, segments: list[Segment]) -> None:
        """Let some imagination start where explorers have been (the gate's policy mode); no model learns from it."""
        self.replay.consider(segments)

    def mix(self, segments: list[Segment]) -> None:
        """Learn from explorers' segments as from a peer's (the gate's open mode). ProvenanceError in any other."""
        self.replay.admit(segments)
        self.learned_from |= {segment.origin.role for segment in segments}

    def compare_with(self, policies: dict[str, NDArray[Any]]) -> None:
        """Take explorers' policies for the information term (the gate's policy mode); no model learns from them."""
        self.intrinsic.compare_with(policies)

    def policy_weights(self) -> dict[str, NDArray[Any]]:
        """Copies of the weights that the policy acts by: world model and actor."""
        return save_weights({"world_model": self.acting.model, "actor": self.acting.actor})

    @property
    def label(self) -> Role:
        """The role of what the world model makes: foreign as soon as it has learned from anything foreign."""
        return next((role for role in ROLES if role != self.role and role in self.learned_from), self.role)

    def _examine(self, when: str) -> Metrics:
        """Own loss on the experience that has just come in: was it news, and is it learned?"""
        if not self.examined or self.modelling.updates == 0:
            return {}
        losses = self.modelling.score(self.examined, self.rngs["examine"]).sum(1)
        return {f"channel/received_loss_{when}": float(losses.mean())}

    def fit_world_model(self, updates: int) -> Metrics:
        """Gradient steps on Eqs. 1-3."""
        metrics = self.modelling.fit(updates)
        if metrics:
            metrics["information/skipped_updates"] = float(self.intrinsic.skipped)
        return metrics | self._examine("after")

    def imagine(self, updates: int) -> None:
        """Rollouts for `updates` behaviour updates, from the agent's own experience."""
        self.behaving.imagine(updates)

    def offer_rollouts(self, *, env_steps: int) -> Outbox:
        """What of this round's imagination is broadcast: scored by the critic's loss (Z section 4.2)."""
        self.rollouts.budget.advance(env_steps)
        count = self.behaving.count
        model, horizon = self.config.world_model, self.config.behaviour.horizon
        sizes = [rollout_bytes(horizon, model.deter, model.groups, self.spaces.n_actions, self.wire)] * count
        # The loss of a critic that was never fitted is the same for every rollout.
        if not count or not self.rollouts.active or not self.behaviour.critic_opt.moments:
            return self.rollouts.silent(sizes)
        origin = Origin(self.members[0], self.label, self.behaving.round)
        return self.rollouts.publish(
            sizes,
            self.behaving.scores(),
            lambda i, sequence: encode_rollout(self.behaving.rollout(i, origin), sequence, self.wire),
        )

    def fit_behaviour(self, messages: list[bytes], *, env_steps: int, won: float = 0.0) -> Metrics:
        """Gradient steps on Eqs. 4-5, on own and received rollouts; `won`: share of the latest battles that it won."""
        self.behaviour.exploration.see(won)
        received = [decode_rollout(m) for m in messages]
        for rollout in received:
            self.replay.gate.check(rollout.origin)
        metrics = self.behaving.fit(received, env_steps)
        self.acting.follow(self.modelling.updates)
        return metrics

    def incidents(self) -> dict[str, tuple[int, dict[str, NDArray[Any]]]]:
        """Of each network with updates that were not finite since the last call: how many in a row, and of what."""
        found = {name: optimiser.incident() for name, optimiser in optimisers(self).items()}
        found["information"] = self.intrinsic.incident()
        return {name: incident for name, incident in found.items() if incident is not None}

    def model_error(self, segments: list[Segment]) -> Metrics:
        """One-step errors of the world model on these segments, and on as much of what it was fitted on."""
        return self.modelling.errors(segments)

    def state(self, since: Since | None = None) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Everything to go on from: arrays by name, and a JSON-able rest; of the replay, what came after `since`."""
        return save(self, since or {})

    def load_state(self, arrays: dict[str, NDArray[Any]], rest: dict[str, Any]) -> None:
        """Continue from `state`."""
        load(self, arrays, rest)
