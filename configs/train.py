"""The configuration of a run: all settings that determine its numbers.

The annotations in quotes contain the names of a table. They are evaluated when a setting is parsed or checked, so that
they contain the rows which a user's module adds after this module was imported.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

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

GateMode = Literal["off", "strict", "policy", "open"]


@dataclass(frozen=True)
class SharingConfig:
    """Messages between agents: selection, budget and encoding."""

    bandwidth: Annotated[Share, Common] = 0.05
    """Share of the bytes of finished items that an agent may broadcast, from 0 (none) to 1 (all)."""
    selector: Annotated[str, Common] = "adaptive"
    """Rule that selects items to send: adaptive, gaussian, quantile, random, all, none, or your own module:factory.
    adaptive is the paper's rule with a c that is adjusted to the share; gaussian is the rule as printed; random is the
    control (docs/sharing.md)."""
    window: Annotated[int, Interval(ge=2, le=10**6)] = 1500
    """K of experience: number of arrivals in the selector's running means and deviations, about 100 segments."""
    rollout_window: Annotated[int, Interval(ge=2, le=10**6)] = 100
    """K of rollouts: number of rollouts in the running mean and deviation of the critic's loss (1500 imagined steps at
    H = 15)."""
    budget: "Annotated[Literal[tuple(BUDGETS)], Common]" = "enforce"  # type: ignore[valid-type]
    """`enforce`: a token bucket in bytes limits the bandwidth; `report`: all selected items are sent and counted."""
    budget_bytes_per_step: Annotated[float, Interval(ge=0.0, le=1e12)] = 0.0
    """Bytes per environment step that the whole team may broadcast, instead of a share. Experience and rollouts use the
    same budget. 0: the bandwidth is the budget."""
    channel: "Annotated[Literal[tuple(DELIVERIES)], Common]" = "real"  # type: ignore[valid-type]
    """`real`, or a control: random, stale, self, shuffled. Controls deliver equally many bytes: random items of the
    sender, old items, the receiver's own items, or the sent items with shuffled observations."""
    wire: Annotated[Literal["float32", "float16"], Common] = "float32"
    """Encoding of numbers: float32 is exact; float16 needs about half the bytes of a segment and 28 % of a
    rollout's. With float16 a unit of a latent state has 8 bits."""
    stale_rounds: Annotated[int, Interval(ge=1, le=10**6)] = 100
    """Delay of `--channel stale` in rounds."""


@dataclass(frozen=True)
class LinkConfig:
    """The network between agents, which may lose or delay messages, or connect only some agents (docs/sharing.md)."""

    loss: Share = 0.0
    """Probability that the network loses a message on its way to one receiver, from 0 (none) to 1 (all). Every receiver
    of a broadcast has a draw of its own."""
    delay: Annotated[int, Interval(ge=0, le=10**6)] = 0
    """Number of rounds from the sending of a message to its arrival; with 0 it arrives in the round in which it is
    sent."""
    topology: str = "full"
    """Which agent receives from which: `full`, `ring`, `star`, or a file. full: each from all others. ring: each from
    the one before it. star: agent_0 from all others, and they only from agent_0. A file has lines SENDER,RECEIVER with
    the names of channel.csv, say agent_0,agent_2; # begins a comment."""

    transport: Literal["driver", "tcp"] = "driver"
    """Way of the messages from agent to agent. driver: through the process of the training loop. tcp: from process to
    process over ZeroMQ sockets (the extra `link`, docs/scaling.md). Both give equal numbers."""
    key_file: str = ""
    """File with a secret of 16 to 4096 bytes, with which agents recognise each other's messages (`tcp`); empty: a
    random secret for each start."""

    @property
    def perfect(self) -> bool:
        """Whether every message reaches every other agent in the round in which it is sent."""
        return self.loss == 0.0 and self.delay == 0 and self.topology == "full"


@dataclass(frozen=True)
class SearchConfig:
    """The evolutionary search for explorers' policies."""

    dimension: Annotated[int, Interval(ge=1, le=4096)] = 16
    """Number of parameters of an explorer's policy (psi)."""
    population: Annotated[int, Interval(ge=2, le=100_000)] = 100
    """Candidates in a generation."""
    elite: Share = 0.2
    """Share of the best candidates, from which the next generation is computed."""
    floor: Annotated[float, Interval(ge=1e-6, le=1e3)] = 0.2
    """Smallest standard deviation of a parameter, which keeps the policies of a generation different."""
    closeness: Weight = 0.1
    """b in fitness = diversity - b * distance to the primary's policy, both in nats."""
    probes: Annotated[int, Interval(ge=1, le=100_000)] = 64
    """Number of observations for measuring a generation's fitness."""
    evolve_every: Steps = 2000
    """Environment steps of the primary between two generations."""
    keeps: Annotated[int, Interval(ge=1, le=10**8)] = 20_000
    """Capacity of the explorers' replay in steps."""


@dataclass(frozen=True)
class GatingConfig:
    """Explorers: auxiliary teams in separate battles, and a gate that limits the use of their data."""

    gate: Annotated[GateMode, Common] = "off"
    """Use of explorers' data: off, strict, policy or open. off: there are no explorers. strict: the primary does not
    use their data. policy: some rollouts start in their states, but the world model never learns from them. open: the
    world model learns from them (the ablation)."""
    explorers: Annotated[int, Interval(ge=1, le=4096)] = 16
    """Number of explorers, each in a battle of its own."""
    explorer: Literal["cem", "random"] = "cem"
    """cem: evolved for diversity near the primary's policy; random: the control."""
    search: SearchConfig = field(default_factory=SearchConfig)


@dataclass(frozen=True)
class ScheduleConfig:
    """Amounts of collection, learning and evaluation, in environment steps (one step of one battle each)."""

    battles: Annotated[int, Interval(ge=1, le=4096), Common] = 8
    """Number of parallel battles."""
    round_steps: Annotated[int, Interval(ge=1, le=10_000)] = 8
    """Steps of each parallel battle between two rounds of learning."""
    prefill: Annotated[int, Interval(ge=0, le=10**12)] = 1000
    """Environment steps with random actions before learning begins."""
    warmup: Annotated[int, Interval(ge=0, le=10**9)] = 100
    """World-model updates before the first update of the actor."""
    updates_per_step: Annotated[float, Interval(ge=0.0, le=100.0), Common] = 0.4
    """World-model updates per environment step. Fractions add up over rounds."""
    updates_per_behaviour: Annotated[float, Interval(ge=0.01, le=1000.0)] = 1.0
    """World-model updates per behaviour update."""
    log_every: Steps = 500
    """Environment steps between two rows of the metrics log."""
    eval_every: Annotated[Steps, Common] = 2000
    """Environment steps between two evaluations."""
    eval_battles: Annotated[int, Interval(ge=1, le=10_000), Common] = 64
    """Number of battles in one evaluation. It is done with greedy and with sampled actions; agents do not learn from
    it."""
    eval_gif_every: Annotated[int, Interval(ge=0, le=10**6)] = 0
    """Evaluations between two films of a first battle: an animated GIF in TensorBoard, page Images (0: none). A film
    costs about as long as it takes to play and draw one battle (docs/watch.md)."""
    save_every: Annotated[Steps, Common] = 5000
    """Environment steps between two checkpoints."""
    save_minutes: Annotated[float, Interval(ge=0.001, le=1e6)] = 5.0
    """Largest time in minutes between two checkpoints, so that a slow run loses at most this much work."""
    keep_checkpoints: Annotated[int, Interval(ge=2, le=1000)] = 2
    """Number of checkpoints to keep. If the newest one is damaged, the previous one is loaded."""


@dataclass(frozen=True)
class TrainConfig:
    """One run."""

    map: Annotated[str, Common] = "3m"
    """Environment: a map of SMAC or SMACv2, a map file, `market`, or your own as module:factory. SMACv2's maps are
    called, say, 10gen_terran_5_vs_5. A map file ends in .toml. `market` is a trading task for the gate. Your own is of
    PettingZoo or Gymnasium (docs/own_environment.md)."""
    method: "Annotated[Literal[tuple(METHODS)], Common]" = "both"  # type: ignore[valid-type]
    """Learning method: independent, experience, rollouts, both, centralized, ippo or mappo. Agents share no data
    (independent), experience, rollouts, or both; centralized has one model for the team.

    Without a world model: ippo (PPO for each agent) and mappo (one actor, and a critic that uses all observations)."""
    seed: Annotated[Seed, Common] = 0
    """Seed of all random numbers of the run."""
    env_steps: Annotated[Steps, Common] = 50_000
    """Environment steps to train for."""
    success: Annotated[str, Common] = "auto"
    """Won battles: battle_won, another flag in infos, or return>=NUMBER. The infos are those of an environment of your
    own. auto: battle_won where the environment reports it; otherwise returns are shown, and no win rates."""
    env: Literal["skirmish", "smac", "smacv2"] = "skirmish"
    """`skirmish`: the embedded engine, without StarCraft II; `smac` or `smacv2`: the original package with StarCraft II
    or a stand-in for it (docs/starcraft.md)."""
    placement: Annotated[Literal["auto", "inline", "process", "stack", "ray"], Common] = "auto"
    """Processes of learners: `inline` (one), `process` (one each), `stack` (one, best on a GPU), `ray` (a cluster) or
    `auto`. `stack` learns for all agents at once and rounds sums in another order; the others give equal numbers.
    docs/scaling.md describes `ray`."""
    ray_address: str = "auto"
    """Cluster of `--placement ray`: `auto`, the one that `ray start` has started on this machine; `local`, one of this
    run alone, which ends with it; or HOST:PORT of a cluster's head that this machine has joined (port 6379 may be left
    out)."""
    on_node_loss: Literal["stop", "rollback"] = "stop"
    """After the loss of a learner's process or node: `stop` ends the run with exit code 1; `rollback` makes all
    learners anew on the nodes that are left and goes on from the newest checkpoint."""
    device: Annotated[str, Common] = "auto"
    """Device of the networks: `auto`, `cpu`, `cuda` or `cuda:N`."""
    precision: Annotated[Literal["auto", "float32", "bf16"], Common] = "float32"
    """Precision of matrix products: `float32`, `bf16`, or `auto` (bf16 on a CPU where it is faster, TF32 with stacked
    learners on a GPU). Both round the factors; at the paper's sizes that is faster (docs/performance.md)."""
    log: tuple[str, ...] = ("tensorboard",)
    """Loggers beside metrics.jsonl: tensorboard, csv, wandb, mlflow, or your own writer as module:factory. wandb and
    mlflow are extras (docs/loggers.md)."""
    sharing: Annotated[SharingConfig, tyro.conf.arg(name="")] = field(default_factory=SharingConfig)
    link: LinkConfig = field(default_factory=LinkConfig)
    gating: Annotated[GatingConfig, tyro.conf.arg(name="")] = field(default_factory=GatingConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    rules: Rules = field(default_factory=Rules)
    """Assumptions of the embedded engine about StarCraft II (docs/engine.md)."""
    market: MarketRules = field(default_factory=MarketRules)
    own: OwnEnvConfig = field(default_factory=OwnEnvConfig)
