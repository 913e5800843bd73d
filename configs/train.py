"""The configuration of a run: everything that decides its numbers, and nothing that follows from the environment."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from mawm.agents.config import AgentConfig
from mawm.envs.market.rules import MarketRules
from mawm.envs.registry import OwnEnvConfig
from mawm.envs.skirmish.rules import Rules

Method = Literal["independent", "experience", "rollouts", "both", "centralized", "ippo", "mappo"]
GateMode = Literal["off", "strict", "policy", "open"]


@dataclass(frozen=True)
class SharingConfig:
    """What agents tell each other, and how much of it."""

    bandwidth: float = 0.05
    """Share of the bytes of finished items that an agent may broadcast: 0 nothing, 1 everything."""
    selector: str = "adaptive"
    """What is worth sending: adaptive (the paper's rule; its c follows the share), gaussian (the rule as printed),
    quantile, random (the control), all, none, or a module:factory of your own (docs/sharing.md)."""
    window: int = 1500
    """K of experience: arrivals over which the selector's means and deviations run, some 100 segments."""
    rollout_window: int = 100
    """K of rollouts: how many the critic's mean loss and deviation run over (1500 imagined steps at H = 15)."""
    budget: Literal["enforce", "report"] = "enforce"
    """`enforce`: a token bucket in bytes keeps the bandwidth as a promise; `report`: send whatever the rule offers."""
    budget_bytes_per_step: float = 0.0
    """Bytes per environment step that the whole team may broadcast, in place of a share; experience and rollouts pay
    from one purse. 0: the bandwidth is the budget."""
    channel: Literal["real", "random", "stale", "self", "shuffled"] = "real"
    """`real`, or a control with as many bytes: random items of the sender, stale ones, the receiver's own, or the
    sent ones with their observations out of order."""
    wire: Literal["float32", "float16"] = "float32"
    """How numbers travel: float32 is exact; float16 takes half the bytes, and 8 bits for a unit of a latent state."""
    stale_rounds: int = 100
    """How many rounds late `--channel stale` delivers."""


@dataclass(frozen=True)
class SearchConfig:
    """What explorers are evolved for, and how."""

    dimension: int = 16
    """Parameters of an explorer's policy (psi)."""
    population: int = 100
    """Candidates of a generation."""
    elite: float = 0.2
    """Share of a generation that the next one follows."""
    floor: float = 0.2
    """Smallest standard deviation of a parameter: what keeps a generation from becoming one policy."""
    closeness: float = 0.1
    """b in fitness = diversity - b * distance to the primary's policy, both in nats."""
    probes: int = 64
    """Observations that a generation's fitness is measured on."""
    evolve_every: int = 2000
    """Environment steps of the primary between two generations."""
    keeps: int = 20_000
    """Steps that the explorers' own replay holds."""


@dataclass(frozen=True)
class GatingConfig:
    """Explorers beside the primary team: auxiliary teams in battles of their own, and what of theirs may reach it."""

    gate: GateMode = "off"
    """off: no explorers. strict: nothing of theirs reaches the primary. policy: some imagination starts where they have
    been, its world model never learns from them. open: everything is mixed (the ablation)."""
    explorers: int = 16
    """How many explorers play beside the primary, a battle each."""
    explorer: Literal["cem", "random"] = "cem"
    """cem: evolved for diversity near the primary's policy; random: the control."""
    search: SearchConfig = field(default_factory=SearchConfig)


@dataclass(frozen=True)
class ScheduleConfig:
    """How much is collected, learned and measured, in environment steps (one step of one battle each)."""

    battles: int = 8
    """Battles side by side."""
    round_steps: int = 8
    """Steps of every battle between two rounds of learning."""
    prefill: int = 1000
    """Environment steps with random actions before learning begins."""
    warmup: int = 100
    """World-model updates before the actor moves for the first time."""
    updates_per_step: float = 0.4
    """World-model updates per environment step; remainders are carried over."""
    updates_per_behaviour: float = 1.0
    """World-model updates per behaviour update."""
    log_every: int = 500
    eval_every: int = 2000
    eval_battles: int = 64
    """Battles of one evaluation, each played with greedy and again with sampled actions. Agents do not learn from
    them."""
    save_every: int = 5000
    save_minutes: float = 5.0
    """Save after so many minutes too, so that a slow run loses no more than that."""
    keep_checkpoints: int = 2


@dataclass(frozen=True)
class TrainConfig:
    """One run."""

    map: str = "3m"
    """A SMAC map by name, a path to a map file (.toml), `market`: a small trading task for the gate, or module:factory:
    a PettingZoo ParallelEnv of your own (docs/own_environment.md)."""
    method: Method = "both"
    """What is shared: independent nothing, experience, rollouts, both, or centralized (one model for the team).

    Without a world model: ippo (PPO, every agent alone) and mappo (one actor; a critic that sees all observations)."""
    seed: int = 0
    env_steps: int = 50_000
    """Environment steps to train for."""
    env: Literal["skirmish", "smac"] = "skirmish"
    """`skirmish`: the embedded engine, no StarCraft II needed; `smac`: StarCraft II (its driver is not here yet)."""
    placement: Literal["auto", "inline", "process"] = "auto"
    """`process`: one process and one thread a learner; `inline`: all in one; same numbers, bit for bit."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    precision: Literal["auto", "float32", "bf16"] = "float32"
    """Matrix products: `bf16` rounds both factors (twice as fast at the paper's sizes); `auto`: where it is faster."""
    sharing: Annotated[SharingConfig, tyro.conf.arg(name="")] = field(default_factory=SharingConfig)
    gating: Annotated[GatingConfig, tyro.conf.arg(name="")] = field(default_factory=GatingConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    rules: Rules = field(default_factory=Rules)
    """What the embedded engine assumes where StarCraft II cannot be read (docs/engine.md)."""
    market: MarketRules = field(default_factory=MarketRules)
    own: OwnEnvConfig = field(default_factory=OwnEnvConfig)
