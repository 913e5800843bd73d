"""The methods that are compared: what each shares, and the learner that it is made of. The only table of methods."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from mawm.agents.agent import Agent
from mawm.agents.learner import Learner
from mawm.agents.ppo.learner import Ppo
from mawm.agents.world_model import SCORES
from mawm.configs.train import TrainConfig
from mawm.seeds import named_generator
from mawm.sharing.broadcast import Broadcaster
from mawm.sharing.budgets import BUDGETS, Budget, StepBudget, Unlimited
from mawm.sharing.codec import Wire, rollout_bytes, segment_bytes
from mawm.sharing.provenance import Gate
from mawm.sharing.selectors import Trivial, make_selector
from mawm.types import ROLES, Role, Spaces


def _world_model(index: int, config: TrainConfig, spaces: Spaces, device: str) -> Agent:
    """Learner `index` with a world model, and its broadcasters."""
    plan, members = METHODS[config.method], members_of(config, spaces)
    model, horizon = config.agent.world_model, config.agent.behaviour.horizon
    wire = Wire(config.sharing.wire, model.classes)
    segment = segment_bytes(model.seq_len, spaces.obs_size, spaces.n_actions, wire)
    rollout = rollout_bytes(horizon, model.deter, model.groups, spaces.n_actions, wire)
    # One model for the team sees everything: all experience crosses the channel, imagination happens at its centre.
    central = not plan.own_weights
    name, sharing = learner_names(members)[index], config.sharing
    step_budget = _step_budget(config, len(members), max(segment, rollout))
    experience = _Kind(f"{name}/experience", SCORES, sharing.window, model.seq_len, segment)
    rollouts = _Kind(f"{name}/rollouts", ("critic",), sharing.rollout_window, 1, rollout)
    return Agent(
        name,
        members[index],
        spaces,
        replace(config.agent, information=replace(config.agent.information, kind=information_of(config))),
        seed=config.seed,
        lanes=len(members[index]) * config.schedule.battles,
        experience=Broadcaster(Trivial(plan.experience), Unlimited())
        if central
        else _broadcaster(config, plan.experience, experience, step_budget),
        rollouts=Broadcaster(Trivial(False), Unlimited())
        if central
        else _broadcaster(config, plan.rollouts, rollouts, step_budget),
        wire=wire,
        gate=gate_of(config),
        device=device,
    )


def _model_free(index: int, config: TrainConfig, spaces: Spaces, device: str) -> Ppo:
    """Learner `index` without a world model: it has nothing to tell."""
    members = members_of(config, spaces)
    lanes = len(members[index]) * config.schedule.battles
    name = learner_names(members)[index]
    return Ppo(name, members[index], spaces, config.agent, seed=config.seed, lanes=lanes, device=device)


@dataclass(frozen=True)
class MethodPlan:
    """What a method shares, whether each agent has weights of its own, and what learns."""

    experience: bool
    rollouts: bool
    own_weights: bool = True
    learner: Callable[[int, TrainConfig, Spaces, str], Learner] = _world_model

    @property
    def imagines(self) -> bool:
        """Whether its learners have world models."""
        return self.learner is _world_model

    @property
    def selects(self) -> bool:
        """Whether bandwidth, selector and channel make a difference: not where nothing or everything is shared."""
        return (self.experience or self.rollouts) and self.own_weights


METHODS = {
    "independent": MethodPlan(experience=False, rollouts=False),
    "experience": MethodPlan(experience=True, rollouts=False),
    "rollouts": MethodPlan(experience=False, rollouts=True),
    "both": MethodPlan(experience=True, rollouts=True),
    "centralized": MethodPlan(experience=True, rollouts=False, own_weights=False),
    "ippo": MethodPlan(experience=False, rollouts=False, learner=_model_free),
    "mappo": MethodPlan(experience=False, rollouts=False, own_weights=False, learner=_model_free),
}


def members_of(config: TrainConfig, spaces: Spaces) -> tuple[tuple[int, ...], ...]:
    """Which environment agents each learner acts for."""
    agents = tuple(range(spaces.n_agents))
    return tuple((a,) for a in agents) if METHODS[config.method].own_weights else (agents,)


def learner_names(members: tuple[tuple[int, ...], ...]) -> tuple[str, ...]:
    """The name of each learner, which keys its generators and prefixes its tags."""
    return tuple(f"agent_{m[0]}" if len(m) == 1 else "team" for m in members)


def make_learner(index: int, *, config: TrainConfig, spaces: Spaces, device: str) -> Learner:
    """Learner `index` of a method; picklable by reference, because workers call it where it will live."""
    return METHODS[config.method].learner(index, config, spaces, device)


@dataclass(frozen=True)
class _Kind:
    """What the selector and the budget of one kind of item need to know."""

    owner: str
    """Keys their generators."""
    components: tuple[str, ...]
    window: int
    arrivals: int
    """Arrivals of the largest item, as its window counts them."""
    item_bytes: int
    """Bytes of the largest item."""


def _broadcaster(config: TrainConfig, shared: bool, kind: _Kind, step_budget: Budget | None) -> Broadcaster:
    sharing = config.sharing
    if not shared:
        return Broadcaster(Trivial(False), Unlimited())
    rng = named_generator(config.seed, f"{kind.owner}/selector")
    selector = make_selector(sharing.selector, sharing.bandwidth, kind.components, kind.window, rng)
    lots = named_generator(config.seed, f"{kind.owner}/lots") if sharing.channel == "random" else None
    return Broadcaster(selector, step_budget or _share(config, kind), lots)


def _share(config: TrainConfig, kind: _Kind) -> Budget:
    """The budget of one kind of item: a share of the bytes produced, with a burst of that share of a window."""
    sharing = config.sharing
    burst = max(sharing.bandwidth * kind.window / kind.arrivals, 1.0) * kind.item_bytes
    return BUDGETS[sharing.budget](sharing.bandwidth, burst)


def _step_budget(config: TrainConfig, senders: int, largest_item: int) -> Budget | None:
    """One sender's part of an absolute budget, for all kinds of item together; it can save for a thousand steps."""
    rate = config.sharing.budget_bytes_per_step / senders
    return StepBudget(rate, max(1000.0 * rate, float(largest_item))) if rate > 0.0 else None


def gate_of(config: TrainConfig) -> Gate:
    """What a primary's world model may learn from: explorers' data in the gate's open mode alone."""
    return Gate(*ROLES) if config.gating.gate == "open" else Gate(Role.PRIMARY)


def information_of(config: TrainConfig) -> Literal["none", "param_ig", "policy_mi"]:
    """The information term of a run: of its own choosing, or the one that comes with a gate (A's table 1)."""
    kind = config.agent.information.kind
    if kind == "auto":
        return "none" if config.gating.gate == "off" else "param_ig"
    return kind
