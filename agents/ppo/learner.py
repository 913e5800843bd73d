"""The model-free baseline: PPO on real battles, with the interface of `Agent`."""

from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from mawm.agents.categorical import sample
from mawm.agents.compute import to_tensor
from mawm.agents.config import AgentConfig
from mawm.agents.learner import Incidents, Learner, State
from mawm.agents.optimiser import Optimiser
from mawm.agents.ppo.batch import PpoBatch, batch_of
from mawm.agents.ppo.battle_log import BattleLog
from mawm.agents.ppo.nets import PpoNets
from mawm.agents.returns import ValueNorm
from mawm.agents.snapshot_weights import Arrays, load_weights, save_weights, under
from mawm.seeds import named_generator, named_seed
from mawm.sharing.provenance import Gate
from mawm.types import Bools, Floats, Ints, Metrics, Role, Segment, Since, Spaces

GENERATORS = ("act", "evaluate")
"""One random generator per purpose, so that draws for evaluation do not change those for training."""


class Ppo(Learner):
    """Recurrent PPO (Schulman et al. 2017) for the agents in `members`, with one actor and one critic.

    With one learner per agent this is IPPO (de Witt et al. 2020). With one learner for all agents, whose critic sees
    the observations of all, it is MAPPO (Yu et al. 2022). Both use the settings of the MAPPO paper. In both cases an
    action depends only on the agent's own observations. Learners send each other nothing. An update runs when the
    battles that ended since the last update have at least `rollout` steps for each parallel battle.
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
        # The collector sums the rewards after an agent's death with this discount, so PPO must use the same one.
        self.discount = config.behaviour.discount
        self.device = device
        self.gate = Gate(role)
        self.rngs = {purpose: named_generator(seed, f"{role}/{name}/{purpose}") for purpose in GENERATORS}
        weights = torch.Generator().manual_seed(named_seed(seed, f"{role}/init"))
        nets = PpoNets(len(members), spaces.obs_size, spaces.n_actions, self.config.hidden, weights)
        self.nets = nets.to(device)
        self.optimiser = Optimiser(self.nets, self.config.lr, self.config.clip)
        self.norm = ValueNorm()
        self.log = BattleLog(spaces, members, lanes // len(members))
        self.hidden: dict[str, Tensor] = {}
        """The actor's hidden states (L, H), one per lane, for each slot."""

    def begin(self, slot: str, lanes: int) -> None:
        """Reset the hidden states of `slot` ("train" or "eval"); for "train", also discard the collected battles."""
        self.hidden[slot] = self.nets.initial(lanes)
        if slot == "train":
            self.log = BattleLog(self.spaces, self.members, lanes // len(self.members))

    @torch.no_grad()
    def act(self, obs: Floats, avail: Bools, is_first: Bools, *, slot: str, mode: str) -> Ints:
        """Actions (L,) for own observations (L, O). Lanes are ordered by member, then by battle: L = M * B."""
        rng = self.rngs["act" if slot == "train" else "evaluate"]
        members, rows = len(self.members), len(obs) // len(self.members)
        noise = to_tensor(rng.random(len(obs), dtype=np.float32), self.device)
        allowed = to_tensor(avail, self.device)
        logits, self.hidden[slot] = self.nets.logits(
            rearrange(to_tensor(obs, self.device), "(m b) o -> 1 m b o", m=members),
            rearrange(allowed, "(m b) a -> 1 m b a", m=members),
            self.hidden[slot].masked_fill(to_tensor(is_first, self.device).unsqueeze(-1), 0.0),
        )
        logits = logits.view_as(allowed)
        if mode == "random":
            logits = torch.where(allowed, 0.0, -1e9)
        log_probs = torch.log_softmax(logits, -1)
        action = log_probs.argmax(-1) if mode == "greedy" else sample(log_probs.exp(), noise)
        if slot == "train":
            chosen = log_probs.gather(-1, action.unsqueeze(-1)).view(members, rows)
            self.log.acted(is_first[:rows], chosen.cpu().numpy())
        return action.cpu().numpy().astype(np.int64)

    def remember(self, segments: list[Segment]) -> None:
        """Store own experience until the next update."""
        for segment in segments:
            self.gate.check(segment.origin)
        self.log.keep(segments)

    def admit(self, messages: list[bytes]) -> Metrics:
        """Accept no messages: no PPO learner sends any."""
        assert not messages
        return {"replay/own_steps": float(self.log.steps)}

    def fit_behaviour(self, messages: list[bytes], *, env_steps: int, share_won: float = 0.0) -> Metrics:
        """Run all epochs of an update if enough battles have ended; then discard these battles."""
        assert not messages
        if self.log.steps < self.config.rollout * len(self.log.rows):
            return {}
        batch = batch_of(
            self.log.take(), self.nets, self.norm, discount=self.discount, lam=self.config.lam, device=self.device
        )
        returns = batch.returns[batch.team_acted]
        self.norm.update(returns)
        epochs = [self._update(batch) for _ in range(self.config.epochs)]
        means = {tag: float(np.mean([metrics[tag] for metrics in epochs])) for tag in epochs[0]}
        return {
            **means,
            "critic/mean_return": float(returns.mean()),
            "behaviour/skipped_updates": float(self.optimiser.skipped),
        }

    def _update(self, batch: PpoBatch) -> Metrics:
        """One gradient step on whole battles: -min(ratio A, clip(ratio) A) - c entropy + (V - normalised G)^2 / 2.

        Hidden states start from zero at the beginning of each battle. Entries where an agent did not act (dead agents
        and padding) are left out of the loss.
        """
        config, acted, team_acted = self.config, batch.acted, batch.team_acted
        avail, advantage = batch.avail[acted], batch.advantage.expand_as(acted)[acted]
        logits, _ = self.nets.logits(batch.obs, batch.avail, self.nets.initial(acted[0].numel()))
        log_probs = torch.log_softmax(logits[acted], -1)
        log_prob = log_probs.gather(-1, batch.action[acted].unsqueeze(-1)).squeeze(-1)
        ratio = (log_prob - batch.old_log_prob[acted]).exp()
        clipped = ratio.clamp(1.0 - config.ppo_clip, 1.0 + config.ppo_clip)
        entropy = -(log_probs.exp() * log_probs.clamp_min(-50.0)).sum(-1).mean()
        actor_loss = -torch.minimum(ratio * advantage, clipped * advantage).mean() - config.entropy * entropy
        value = self.nets.value(batch.obs).unsqueeze(1)[team_acted]
        critic_loss = 0.5 * (value - self.norm.normalise(batch.returns[team_acted])).square().mean()
        # Actor and critic share no weights, and Adam's steps do not depend on the scale of a loss: no loss weights.
        norm = self.optimiser.step(actor_loss + critic_loss, vars(batch))
        max_entropy = avail.sum(-1).to(torch.float32).log().mean()
        return {
            "actor/loss": float(actor_loss.detach()),
            "actor/entropy": float(entropy.detach()),
            "actor/entropy_share": float(entropy.detach() / max_entropy.clamp_min(1e-6)),
            "actor/clipped_share": float((ratio != clipped).to(torch.float32).mean()),
            "actor/grad_norm": norm,
            "critic/loss": float(critic_loss.detach()),
        }

    def incidents(self) -> Incidents:
        """Non-finite updates since the last call: the number in a row, and the batch of the last one."""
        incident = self.optimiser.incident()
        return {} if incident is None else {"ppo": incident}

    def state(self, since: Since | None = None) -> State:
        """The checkpoint: arrays by name and values for JSON. There are no append-only tables."""
        arrays = save_weights({"ppo": self.nets})
        arrays |= {f"optimiser/ppo/{key}": value for key, value in self.optimiser.state().items()}
        arrays |= {f"battles/{key}": value for key, value in self.log.state().items()}
        arrays |= {f"memory/{slot}": hidden.cpu().numpy() for slot, hidden in self.hidden.items()}
        generators = {purpose: rng.bit_generator.state for purpose, rng in self.rngs.items()}
        return arrays, {"generators": generators, "skipped": self.optimiser.counters(), "returns": self.norm.averages}

    def load_state(self, arrays: Arrays, values: dict[str, Any]) -> None:
        """Continue from `state`. ValueError if a weight is missing or has another shape."""
        load_weights(self.name, {"ppo": self.nets}, arrays)
        self.optimiser.load_state(under(arrays, "optimiser/ppo/"))
        self.optimiser.load_counters(values["skipped"])
        self.log.load_state(under(arrays, "battles/"))
        self.hidden = {slot: to_tensor(hidden, self.device) for slot, hidden in under(arrays, "memory/").items()}
        self.norm.averages = [float(average) for average in values["returns"]]
        for purpose, rng in self.rngs.items():
            rng.bit_generator.state = values["generators"][purpose]
