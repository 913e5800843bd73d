"""A model-free learner, the yardstick of the world models: PPO on real battles, with the calls of an `Agent`."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mawm.agents.battle_log import BattleLog
from mawm.agents.categorical import sample
from mawm.agents.config import AgentConfig
from mawm.agents.optimiser import Optimiser
from mawm.agents.ppo_nets import PpoNets
from mawm.agents.ppo_rows import PpoRows, rows_of
from mawm.agents.snapshot_weights import load_weights, save_weights, under
from mawm.broadcast import Outbox
from mawm.gate import Gate
from mawm.seeds import named_generator, named_seed
from mawm.types import Bools, Floats, Ints, Metrics, Role, Segment, Since, Spaces

GENERATORS = ("act", "evaluate", "behaviour")
"""One generator a purpose; a draw for one never moves another."""


class Ppo:
    """PPO for one agent, or for all of them with one actor and a critic that sees everybody's observations (`members`).

    An action follows from the agent's own observation alone in both cases. Nothing is offered to other learners. An
    update is due once the battles played to their end since the last one hold `rollout` steps a battle side by side.
    """

    def __init__(
        self,
        name: str,
        members: tuple[int, ...],
        spaces: Spaces,
        config: AgentConfig,
        *,
        seed: int,
        lanes: int,
        role: Role = Role.PRIMARY,
        device: str = "cpu",
    ) -> None:
        self.name = name
        self.members = members
        self.spaces = spaces
        self.config = config.ppo
        # The collector sums a dead agent's rest with this discount: a second one would contradict it.
        self.discount = config.behaviour.discount
        self.device = device
        self.gate = Gate(role)
        self.rngs = {purpose: named_generator(seed, f"{role}/{name}/{purpose}") for purpose in GENERATORS}
        weights = torch.Generator().manual_seed(named_seed(seed, f"{role}/init"))
        nets = PpoNets(len(members), spaces.obs_size, spaces.n_actions, self.config.hidden, weights)
        self.nets = nets.to(device)
        self.optimiser = Optimiser(self.nets, self.config.lr, self.config.clip)
        self.log = BattleLog(spaces, members, lanes // len(members))

    def begin(self, slot: str, lanes: int) -> None:
        """Forget the unfinished rollout if `slot` is "train"; an evaluation leaves nothing to forget."""
        if slot == "train":
            self.log = BattleLog(self.spaces, self.members, lanes // len(self.members))

    @torch.no_grad()
    def act(self, obs: Floats, avail: Bools, is_first: Bools, *, slot: str, mode: str) -> Ints:
        """Actions (L,) of the lanes of a slot, each from its own observation (L, O) alone; a member's lanes adjoin."""
        rng = self.rngs["act" if slot == "train" else "evaluate"]
        rows = len(obs) // len(self.members)
        noise = self._tensor(rng.random(len(obs), dtype=np.float32))
        member = torch.arange(len(self.members), device=self.device).repeat_interleave(rows)
        allowed = self._tensor(avail)
        logits = self.nets.logits(self._tensor(obs), member, allowed)
        if mode == "random":
            logits = torch.where(allowed, 0.0, -1e9)
        log_probs = torch.log_softmax(logits, -1)
        action = log_probs.argmax(-1) if mode == "greedy" else sample(log_probs.exp(), noise)
        if slot == "train":
            chosen = log_probs.gather(-1, action.unsqueeze(-1)).view(len(self.members), rows)
            self.log.acted(is_first[:rows], chosen.cpu().numpy())
        return action.cpu().numpy().astype(np.int64)

    def remember(self, segments: list[Segment]) -> None:
        """Keep own experience until the rollout is complete."""
        for segment in segments:
            self.gate.check(segment.origin)
        self.log.keep(segments)

    def offer_segments(self, segments: list[Segment], *, env_steps: int) -> Outbox:
        """Nothing."""
        return Outbox()

    def admit(self, messages: list[bytes]) -> Metrics:
        """Nothing comes, because nobody offers anything."""
        assert not messages
        return {"replay/own_steps": float(self.log.steps)}

    def fit_world_model(self, updates: int) -> Metrics:
        """There is no world model."""
        return {}

    def imagine(self, updates: int) -> None:
        """Nothing is imagined."""

    def offer_rollouts(self, *, env_steps: int) -> Outbox:
        """Nothing."""
        return Outbox()

    def fit_behaviour(self, messages: list[bytes], *, env_steps: int) -> Metrics:
        """All epochs of an update if the rollout is complete; its battles are used once and forgotten."""
        assert not messages
        if self.log.steps < self.config.rollout * len(self.log.rows):
            return {}
        rows = rows_of(
            self.log.take(),
            self.nets,
            discount=self.discount,
            lam=self.config.lam,
            reward_scale=self.config.reward_scale,
            device=self.device,
        )
        said = []
        for _ in range(self.config.epochs):
            order = self.rngs["behaviour"].permutation(len(rows))
            parts = np.array_split(order, min(self.config.minibatches, len(order)))
            said += [self._update(rows, self._tensor(part)) for part in parts]
        means = {tag: float(np.mean([metrics[tag] for metrics in said])) for tag in said[0]}
        return {
            **means,
            "critic/mean_return": float(rows.returns.mean()) / self.config.reward_scale,
            "behaviour/skipped_updates": float(self.optimiser.skipped),
        }

    def _update(self, rows: PpoRows, index: Tensor) -> Metrics:
        """One gradient step on some rows (index (n,)): -min(ratio A, clip(ratio) A) - entropy + (V - G)^2 / 2."""
        config, member, arrival = self.config, rows.member[index], rows.arrival[index]
        avail, advantage = rows.avail[index], rows.advantage[index]
        log_probs = torch.log_softmax(self.nets.logits(rows.obs[arrival, member], member, avail), -1)
        log_prob = log_probs.gather(-1, rows.action[index].unsqueeze(-1)).squeeze(-1)
        ratio = (log_prob - rows.old_log_prob[index]).exp()
        clipped = ratio.clamp(1.0 - config.ppo_clip, 1.0 + config.ppo_clip)
        entropy = -(log_probs.exp() * log_probs.clamp_min(-50.0)).sum(-1).mean()
        actor_loss = -torch.minimum(ratio * advantage, clipped * advantage).mean() - config.entropy * entropy
        value = self.nets.value(rows.obs[arrival].flatten(1), member)
        critic_loss = 0.5 * (value - rows.returns[index]).square().mean()
        norm = self.optimiser.step(actor_loss + config.value_weight * critic_loss, vars(rows))
        most = avail.sum(-1).to(torch.float32).log().mean()
        return {
            "actor/loss": float(actor_loss.detach()),
            "actor/entropy": float(entropy.detach()),
            "actor/entropy_share": float(entropy.detach() / most.clamp_min(1e-6)),
            "actor/clipped_share": float((ratio != clipped).to(torch.float32).mean()),
            "actor/grad_norm": norm,
            "critic/loss": float(critic_loss.detach()),
        }

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def incidents(self) -> dict[str, tuple[int, dict[str, NDArray[Any]]]]:
        """Whether updates were not finite since the last call: how many in a row, and the rollout behind them."""
        incident = self.optimiser.incident()
        return {} if incident is None else {"ppo": incident}

    def model_error(self, segments: list[Segment]) -> Metrics:
        """There is no world model."""
        return {}

    def state(self, since: Since | None = None) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Everything to go on from: arrays by name, and a JSON-able rest. No table is kept."""
        arrays = save_weights({"ppo": self.nets})
        arrays |= {f"optimiser/ppo/{key}": value for key, value in self.optimiser.state().items()}
        arrays |= {f"battles/{key}": value for key, value in self.log.state().items()}
        generators = {purpose: rng.bit_generator.state for purpose, rng in self.rngs.items()}
        return arrays, {"generators": generators, "skipped": self.optimiser.counters()}

    def load_state(self, arrays: dict[str, NDArray[Any]], rest: dict[str, Any]) -> None:
        """Continue from `state`. ValueError where a weight is missing or has another shape."""
        load_weights(self.name, {"ppo": self.nets}, arrays)
        self.optimiser.load_state(under(arrays, "optimiser/ppo/"))
        self.optimiser.load_counters(rest["skipped"])
        self.log.load_state(under(arrays, "battles/"))
        for purpose, rng in self.rngs.items():
            rng.bit_generator.state = rest["generators"][purpose]
