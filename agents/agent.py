"""One learner with its own world model, actor, critic, replays, broadcasters and random generators.

Z is the paper of Zeng & Zhang (docs/paper.md). Equations without a letter are Z's.
"""

from dataclasses import KW_ONLY, InitVar, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from mawm.agents.acting_memory import ActingMemory
from mawm.agents.actor_critic import ActorCritic
from mawm.agents.averaged import AveragedPolicy
from mawm.agents.behaviour_trainer import BehaviourTrainer
from mawm.agents.config import AgentConfig
from mawm.agents.information.parameters import ParameterInformation
from mawm.agents.information.policies import PolicyInformation
from mawm.agents.information.term import Intrinsic
from mawm.agents.learner import Incidents, Learner, State
from mawm.agents.model_trainer import ModelTrainer
from mawm.agents.pooled_replay import PooledReplay
from mawm.agents.scales import RewardUnit
from mawm.agents.snapshot import load, optimisers, save
from mawm.agents.snapshot_weights import Arrays, save_weights
from mawm.agents.world_model import WorldModel
from mawm.seeds import named_generator, named_seed
from mawm.sharing import codec
from mawm.sharing.broadcast import Broadcaster, Outbox
from mawm.sharing.provenance import Gate
from mawm.sharing.selection_statistics import phase
from mawm.types import ROLES, Bools, Floats, Ints, Metrics, Origin, Role, Rollout, Segment, Since, Spaces

EXAMINED = 8
"""Number of received segments per round whose loss is logged before and after the model is fitted."""
GENERATORS = ("act", "evaluate", "model", "score", "behaviour", "examine", "explorer_starts", "information", "gains")
"""Purposes. Each has a random generator of its own, so that a draw for one does not change the numbers of another."""


@dataclass(eq=False, repr=False)
class Agent(Learner):
    """The learner of the environment agents in `members`: one agent, or the whole team with one model.

    A lane is one member in one of the battles that run side by side: `lanes` = members x battles. The learner has one
    row of observations, one memory, and one ring of its own experience for each lane.

    The learner's random numbers depend only on (seed, role, name), so other learners do not change them. Its initial
    weights depend only on (seed, role): all agents start from the same phi_0, theta_0 (Z section 4.1).
    """

    name: str
    members: tuple[int, ...]
    spaces: Spaces
    config: AgentConfig
    _: KW_ONLY
    seed: InitVar[int]
    lanes: InitVar[int]
    experience: Broadcaster
    rollouts: Broadcaster
    wire: codec.Wire
    role: Role = Role.PRIMARY
    gate: InitVar[Gate | None] = None
    device: str = "cpu"

    def __post_init__(self, seed: int, lanes: int, gate: Gate | None) -> None:
        spaces, config, role = self.spaces, self.config, self.role
        self.learned_from = {role}
        """Roles of the data that the world model may have learned from; `label` is computed from them."""
        self.rngs = {purpose: named_generator(seed, f"{role}/{self.name}/{purpose}") for purpose in GENERATORS}
        weights = torch.Generator().manual_seed(named_seed(seed, f"{role}/init"))
        model = WorldModel(spaces.obs_size, spaces.n_actions, config.world_model, config.behaviour.bins, weights)
        self.actor_critic = ActorCritic(spaces.n_actions, config.world_model, config.behaviour, weights, self.device)
        # The same time is recent for a learner of many agents as for a learner of one.
        replay = replace(config.replay, recent_steps=config.replay.recent_steps * len(self.members))
        self.replay = PooledReplay(spaces, replay, lanes, gate or Gate(role))
        self.intrinsic = self._intrinsic(seed)
        self.model_trainer = ModelTrainer(
            model, self.replay, self.rngs["model"], self.rngs["score"], self.intrinsic, self.device
        )
        self.behaviour_trainer = BehaviourTrainer(
            self.actor_critic,
            self.model_trainer,
            self.rngs["behaviour"],
            self.rngs["explorer_starts"],
            self.intrinsic,
            config.information.weight,
            self.device,
        )
        self.acting = AveragedPolicy(model, self.actor_critic.actor, config.behaviour.averaging)
        self.reward_unit = RewardUnit(config.behaviour.discount, lanes)
        self.memories: dict[str, ActingMemory] = {}
        self.examined: list[Segment] = []

    def _intrinsic(self, seed: int) -> Intrinsic:
        """The information term. Its weights have a generator of their own, so that they change no other weights."""
        config, model = self.config.information, self.config.world_model
        if config.kind == "policy_mi" and config.weight > 0.0:
            return PolicyInformation(self.actor_critic.actor, config, model.obs_scale, self.rngs["gains"], self.device)
        if config.kind == "param_ig" and config.weight > 0.0:
            weights = torch.Generator().manual_seed(named_seed(seed, f"{self.role}/information"))
            rngs = self.rngs["information"], self.rngs["gains"]
            return ParameterInformation(self.spaces.obs_size, model, config, weights, *rngs, self.device)
        return Intrinsic()

    def begin(self, slot: str, lanes: int) -> None:
        """Reset the acting memory of `slot` ("train" or "eval") to `lanes` lanes."""
        battles = lanes // len(self.members)
        greedy = round(self.config.behaviour.greedy_battles * battles) if slot == "train" else 0
        self.memories[slot] = ActingMemory(self.acting, lanes, self.device, np.arange(lanes) % battles < greedy)

    def act(self, obs: Floats, avail: Bools, is_first: Bools, *, slot: str, mode: str) -> Ints:
        """Actions (L,) of the L lanes of a slot, from their own observations (L, O) and memories."""
        return self.memories[slot].act(obs, avail, is_first, mode, self.acting_rng(slot))

    def played(self, actions: Ints, *, slot: str) -> None:
        """Remember the actions (L,) that were played in the last step of a slot, instead of those of `act`."""
        self.memories[slot].prev_action = actions.copy()

    def acting_rng(self, slot: str) -> np.random.Generator:
        """The generator of the actions in a slot."""
        return self.rngs["act" if slot == "train" else "evaluate"]

    def remember(self, segments: list[Segment]) -> None:
        """Store the agent's own experience (Z Algorithm 1 line 6)."""
        self.replay.remember(segments)
        self.model_trainer.model.rssm.scale.widen(segment.obs for segment in segments)
        self.reward_unit.take(segments)
        self.apply_reward_unit()

    def apply_reward_unit(self) -> None:
        """Set the agent's unit of rewards in reward predictor, critic and advantages (`scales.RewardUnit`)."""
        actor_critic = self.actor_critic
        for part in (self.model_trainer.model.reward_output, actor_critic.value_output, actor_critic.advantages):
            part.set_unit(self.reward_unit.value)

    def offer_segments(self, segments: list[Segment], *, env_steps: int) -> Outbox:
        """Select segments by the losses of the agent's own model, and return their messages (Z section 4.2)."""
        self.experience.budget.advance(env_steps)
        sizes = [codec.segment_bytes(len(s), self.spaces.obs_size, self.spaces.n_actions, self.wire) for s in segments]
        # Losses of a model that was never fitted carry no information and would distort the windows for K arrivals.
        if not segments or not self.experience.active or self.model_trainer.updates == 0:
            return self.experience.silent(sizes)
        losses = self.model_trainer.losses_of(segments)
        lengths, phases = (np.array([of(s) for s in segments], np.int64) for of in (len, phase))
        return self.experience.publish(
            segments, sizes, losses, partial(codec.encode_segment, wire=self.wire), lengths, phases
        )

    def admit(self, messages: list[bytes]) -> Metrics:
        """Store received experience that the gate admits. The metrics show the replay and a loss before the fit."""
        received = [codec.decode_segment(m) for m in messages]
        self.replay.admit(received)
        self.examined = received[:EXAMINED]
        sizes = {"own_steps": len(self.replay.own), "received_steps": len(self.replay.received)}
        return self._examine("before") | {f"replay/{name}": float(size) for name, size in sizes.items()}

    def add_explorer_starts(self, segments: list[Segment]) -> None:
        """Store explorers' segments as start states of rollouts (mode `policy` of the gate). They train no model."""
        self.replay.remember_explorers(segments)

    def learn_from_explorers(self, segments: list[Segment]) -> None:
        """Store explorers' segments like a peer's (mode `open` of the gate). ProvenanceError in other modes."""
        self.replay.admit(segments)
        self.learned_from |= {segment.origin.role for segment in segments}

    def compare_with(self, policies: Arrays) -> None:
        """Use explorers' policies in the information term (modes `policy` and `open` of the gate)."""
        self.intrinsic.compare_with(policies)

    def policy_weights(self) -> Arrays:
        """Copies of the weights that the policy needs to act: world model and actor."""
        return save_weights({"world_model": self.acting.model, "actor": self.acting.actor})

    @property
    def label(self) -> Role:
        """The role of the agent's rollouts: its own role, until the model has learned from data of the other role."""
        return next((role for role in ROLES if role != self.role and role in self.learned_from), self.role)

    def _examine(self, when: str) -> Metrics:
        """Mean loss of the agent's own model on newly received segments; `when`: "before" or "after" fitting."""
        if not self.examined or self.model_trainer.updates == 0:
            return {}
        losses = self.model_trainer.losses_of(self.examined, self.rngs["examine"]).sum(1)
        return {f"channel/received_loss_{when}": float(losses.mean())}

    def fit_world_model(self, updates: int) -> Metrics:
        """Take gradient steps on Eqs. 1-3."""
        return self.finish_fit_world_model(self.model_trainer.fit(updates))

    def finish_fit_world_model(self, metrics: Metrics) -> Metrics:
        """The metrics of `fit_world_model` from those of its gradient steps."""
        if metrics:
            metrics["information/skipped_updates"] = float(self.intrinsic.skipped)
        return metrics | self._examine("after")

    def imagine(self, updates: int) -> None:
        """Imagine rollouts for `updates` behaviour updates."""
        self.behaviour_trainer.imagine(updates)

    def offer_rollouts(self, *, env_steps: int) -> Outbox:
        """Select rollouts of this round by the critic's loss, and return their messages (Z section 4.2)."""
        self.rollouts.budget.advance(env_steps)
        count = self.behaviour_trainer.count
        model, horizon = self.config.world_model, self.config.behaviour.horizon
        sizes = [codec.rollout_bytes(horizon, model.deter, model.groups, self.spaces.n_actions, self.wire)] * count
        # The loss of a critic that was never fitted is the same for every rollout.
        if not count or not self.rollouts.active or not self.actor_critic.critic_opt.taken:
            return self.rollouts.silent(sizes)
        origin = Origin(self.members[0], self.label, self.behaviour_trainer.round)
        items, losses = self.behaviour_trainer.rollouts(origin), self.behaviour_trainer.critic_losses()
        return self.rollouts.publish(items, sizes, losses, partial(codec.encode_rollout, wire=self.wire))

    def fit_behaviour(self, messages: list[bytes], *, env_steps: int, share_won: float = 0.0) -> Metrics:
        """Take gradient steps on Eqs. 4-5 with own and received rollouts.

        `share_won`: share of the latest training battles that the team won; the entropy weight depends on it.
        """
        metrics = self.behaviour_trainer.fit(self.begin_fit_behaviour(messages, share_won), env_steps)
        self.acting.follow(self.model_trainer.updates)
        return metrics

    def begin_fit_behaviour(self, messages: list[bytes], share_won: float) -> list[Rollout]:
        """The received rollouts, which the gate admits."""
        self.actor_critic.exploration.set_share_won(share_won)
        received = [codec.decode_rollout(m) for m in messages]
        for rollout in received:
            self.replay.gate.check(rollout.origin)
        return received

    def incidents(self) -> Incidents:
        """Non-finite updates since the last call, by network: the number in a row, and the batch of the last one."""
        incidents = {name: optimiser.incident() for name, optimiser in optimisers(self).items()}
        incidents["information"] = self.intrinsic.incident()
        return {name: incident for name, incident in incidents.items() if incident is not None}

    def model_error(self, segments: list[Segment]) -> Metrics:
        """One-step errors of the world model on these segments, and on sequences of its replay."""
        return self.model_trainer.errors(segments)

    def state(self, since: Since | None = None) -> State:
        """The checkpoint: arrays by name and values for JSON. Of the replay, only rows appended after `since`."""
        return save(self, since or {})

    def load_state(self, arrays: Arrays, values: dict[str, Any]) -> None:
        """Continue from the result of `state`."""
        load(self, arrays, values)
