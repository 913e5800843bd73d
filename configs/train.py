"""The configuration of a run: everything that decides its numbers, and nothing that follows from the environment."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import tyro
from annotated_types import Interval

from mawm.agents.config import AgentConfig
from mawm.envs.market.rules import MarketRules
from mawm.envs.registry import OwnEnvConfig
from mawm.envs.skirmish.rules import Rules
from mawm.methods import METHODS
from mawm.sharing.budgets import BUDGETS
from mawm.sharing.deliveries import DELIVERIES
from mawm.types import Common, Seed, Share, Steps, Weight

if TYPE_CHECKING:
    Method: TypeAlias = str
    BudgetName: TypeAlias = str
    ChannelName: TypeAlias = str
else:  # the choices are the rows of the tables
    Method = Literal[tuple(METHODS)]
    BudgetName = Literal[tuple(BUDGETS)]
    ChannelName = Literal[tuple(DELIVERIES)]
GateMode = Literal["off", "strict", "policy", "open"]


@dataclass(frozen=True)
class SharingConfig:
    """What agents tell each other, and how much of it."""

    bandwidth: Annotated[Share, Common] = 0.05
    """Share of the bytes of finished items that an agent may broadcast: 0 nothing, 1 everything."""
    selector: Annotated[str, Common] = "adaptive"
    """What is worth sending: adaptive, gaussian, quantile, random, all, none, or a module:factory of your own. adaptive
    is the paper's rule, with a c that follows the share; gaussian is the rule as printed; random is the control
    (docs/sharing.md)."""
    window: Annotated[int, Interval(ge=2, le=10**6)] = 1500
    """K of experience: arrivals over which the selector's means and deviations run, some 100 segments; a single one
    would have no deviation."""
    rollout_window: Annotated[int, Interval(ge=2, le=10**6)] = 100
    """K of rollouts: how many the critic's mean loss and deviation run over (1500 imagined steps at H = 15)."""
    budget: Annotated[BudgetName, Common] = "enforce"
    """`enforce`: a token bucket in bytes keeps the bandwidth as a promise; `report`: send whatever the rule offers."""
    budget_bytes_per_step: Annotated[float, Interval(ge=0.0, le=1e12)] = 0.0
    """Bytes per environment step that the whole team may broadcast, in place of a share; experience and rollouts pay
    from one purse. 0: the bandwidth is the budget."""
    channel: Annotated[ChannelName, Common] = "real"
    """`real`, or a control: random, stale, self, shuffled. Controls have as many bytes: random items of the sender,
    stale ones, the receiver's own, or the sent ones with their observations out of order."""
    wire: Annotated[Literal["float32", "float16"], Common] = "float32"
    """How numbers travel: float32 is exact, float16 takes half the bytes. With float16 a unit of a latent state takes 8
    bits."""
    stale_rounds: Annotated[int, Interval(ge=1, le=10**6)] = 100
    """How many rounds late `--channel stale` delivers."""


@dataclass(frozen=True)
class SearchConfig:
    """What explorers are evolved for, and how."""

    dimension: Annotated[int, Interval(ge=1, le=4096)] = 16
    """Parameters of an explorer's policy (psi)."""
    population: Annotated[int, Interval(ge=2, le=100_000)] = 100
    """Candidates of a generation."""
    elite: Share = 0.2
    """Share of a generation that the next one follows."""
    floor: Annotated[float, Interval(ge=1e-6, le=1e3)] = 0.2
    """Smallest standard deviation of a parameter: what keeps a generation from becoming one policy."""
    closeness: Weight = 0.1
    """b in fitness = diversity - b * distance to the primary's policy, both in nats."""
    probes: Annotated[int, Interval(ge=1, le=100_000)] = 64
    """Observations that a generation's fitness is measured on."""
    evolve_every: Steps = 2000
    """Environment steps of the primary between two generations."""
    keeps: Annotated[int, Interval(ge=1, le=10**8)] = 20_000
    """Steps that the explorers' own replay holds."""


@dataclass(frozen=True)
class GatingConfig:
    """Explorers beside the primary team: auxiliary teams in battles of their own, and what of theirs may reach it."""

    gate: Annotated[GateMode, Common] = "off"
    """off: no explorers; strict, policy, open: what of theirs is let through. strict: nothing reaches the primary;
    policy: some imagination starts where they have been, its world model never learns from them; open: everything is
    mixed (the ablation)."""
    explorers: Annotated[int, Interval(ge=1, le=4096)] = 16
    """How many explorers play beside the primary, a battle each."""
    explorer: Literal["cem", "random"] = "cem"
    """cem: evolved for diversity near the primary's policy; random: the control."""
    search: SearchConfig = field(default_factory=SearchConfig)


@dataclass(frozen=True)
class ScheduleConfig:
    """How much is collected, learned and measured, in environment steps (one step of one battle each)."""

    battles: Annotated[int, Interval(ge=1, le=4096), Common] = 8
    """Battles side by side."""
    round_steps: Annotated[int, Interval(ge=1, le=10_000)] = 8
    """Steps of every battle between two rounds of learning."""
    prefill: Annotated[int, Interval(ge=0, le=10**12)] = 1000
    """Environment steps with random actions before learning begins."""
    warmup: Annotated[int, Interval(ge=0, le=10**9)] = 100
    """World-model updates before the actor moves for the first time."""
    updates_per_step: Annotated[float, Interval(ge=0.0, le=100.0), Common] = 0.4
    """World-model updates per environment step. Remainders are carried over."""
    updates_per_behaviour: Annotated[float, Interval(ge=0.01, le=1000.0)] = 1.0
    """World-model updates per behaviour update."""
    log_every: Steps = 500
    """Environment steps between two rows of metrics."""
    eval_every: Annotated[Steps, Common] = 2000
    """Environment steps between two evaluations."""
    eval_battles: Annotated[int, Interval(ge=1, le=10_000), Common] = 64
    """Battles of one evaluation. Each is played with greedy and again with sampled actions; agents do not learn from
    them."""
    save_every: Annotated[Steps, Common] = 5000
    """Environment steps between two checkpoints."""
    save_minutes: Annotated[float, Interval(ge=0.001, le=1e6)] = 5.0
    """Save after so many minutes too, so that a slow run loses no more than that."""
    keep_checkpoints: Annotated[int, Interval(ge=2, le=1000)] = 2
    """How many: where the newest is damaged the one before it is used."""


@dataclass(frozen=True)
class TrainConfig:
    """One run."""

    map: Annotated[str, Common] = "3m"
    """A SMAC map by name, a map file (.toml), `market` (a small trading task for the gate), or module:factory, a
    PettingZoo ParallelEnv of your own (docs/own_environment.md)."""
    method: Annotated[Method, Common] = "both"
    """What is shared: independent nothing, experience, rollouts, both, or centralized (one model for the team).

    Without a world model: ippo (PPO, every agent alone) and mappo (one actor; a critic that sees all observations)."""
    seed: Annotated[Seed, Common] = 0
    """All random draws of the run follow from it."""
    env_steps: Annotated[Steps, Common] = 50_000
    """Environment steps to train for."""
    env: Literal["skirmish", "smac"] = "skirmish"
    """`skirmish`: the embedded engine, no StarCraft II needed; `smac`: StarCraft II (its driver is not here yet)."""
    placement: Annotated[Literal["auto", "inline", "process"], Common] = "auto"
    """`process`: a process for each learner; `inline`: one for all. A learner has one thread; the numbers are the same,
    bit for bit."""
    device: Annotated[str, Common] = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    precision: Annotated[Literal["auto", "float32", "bf16"], Common] = "float32"
    """Of matrix products: `float32`, `bf16`, or `auto`, bf16 where it is faster. `bf16` rounds both factors (twice as
    fast at the paper's sizes)."""
    sharing: Annotated[SharingConfig, tyro.conf.arg(name="")] = field(default_factory=SharingConfig)
    gating: Annotated[GatingConfig, tyro.conf.arg(name="")] = field(default_factory=GatingConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    rules: Rules = field(default_factory=Rules)
    """What the embedded engine assumes where StarCraft II cannot be read (docs/engine.md)."""
    market: MarketRules = field(default_factory=MarketRules)
    own: OwnEnvConfig = field(default_factory=OwnEnvConfig)
