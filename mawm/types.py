"""Data that agents, environments and the loop exchange. This module imports numpy, but not torch.

Arrival convention: index t of a stream holds everything that arrived together with `obs_t`: the action before it, the
reward, the terminal flag, and the mask of actions that are available now. Heads of the world model predict index t from
`(deter_t, stoch_t)`. Only `mawm.collect` shifts the data from the time of the action to the time of the arrival.
Z is the paper of Zeng & Zhang (docs/paper.md).
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Protocol

import numpy as np
from annotated_types import Interval
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Metrics = dict[str, float]
"""Values by tag. An agent's tags have no agent name (`world_model/reward_loss`); the loop adds it as a prefix."""
TABLES = "rows/"
"""An array of a learner's state named `rows/TABLE/COLUMN` is a column of a table that only grows
(`storage/append_only_tables.py`)."""
Since = Mapping[str, Sequence[int]]
"""For each table, the number of rows that each of its lanes had ever received at an earlier save (its `end` then)."""


Share = Annotated[float, Interval(ge=0.0, le=1.0)]
"""The type of a setting defines its allowed values. Both ends of an `Interval` are allowed. An upper end is generous: a
larger value is a mistake, or needs more memory than there is."""
Weight = Annotated[float, Interval(ge=0.0, le=1e6)]
Steps = Annotated[int, Interval(ge=1, le=10**12)]
"""Environment steps. No run can play as many as the upper end."""
Seed = Annotated[int, Interval(ge=0, le=10**18)]


class Common:
    """Marks a setting, as in `Annotated[int, Common]`, that `--help` shows. `--help-all` shows all settings."""


class Saved:
    """A part of a checkpoint that consists of some attributes. By default it has none.

    An attribute is a plain value, an array, a generator of random numbers, or a part with a state of its own.
    """

    SAVED: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes."""

    def state(self) -> dict[str, Any]:
        """The attributes' values, for JSON."""
        return {name: _plain(getattr(self, name)) for name in self.SAVED}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        for name in self.SAVED:
            held, value = getattr(self, name), state[name]
            if hasattr(held, "load_state"):
                held.load_state(value)
            elif isinstance(held, np.random.Generator):
                held.bit_generator.state = value
            else:
                setattr(self, name, np.array(value, held.dtype) if isinstance(held, np.ndarray) else value)


def _plain(value: Any) -> Any:
    """An attribute of `Saved` as a value for JSON."""
    if hasattr(value, "load_state"):
        return value.state()
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    return value.tolist() if isinstance(value, np.ndarray) else copy(value)


class Role(StrEnum):
    """The team that made the data: the evaluated team, or an auxiliary team that only explores."""

    PRIMARY = "primary"
    EXPLORER = "explorer"


ROLES = tuple(Role)
"""The index of a role is its number in messages and in columns of replays."""


@dataclass(frozen=True)
class Origin:
    """The agent, role and battle of an item. Every segment, rollout and message carries it."""

    agent: int
    role: Role
    episode: int
    """The number of the battle; for a rollout, the number of the round in which it was imagined."""


@dataclass(frozen=True)
class Spaces:
    """Sizes that depend on the environment and not on the configuration."""

    n_agents: int
    n_actions: int
    obs_size: int
    state_size: int
    episode_limit: int
    agents: tuple[str, ...] = ()
    """The names of the agents in their order; empty if they have none."""
    conversion: str = ""
    """How a user's environment was converted, for the first lines of a run; empty if it was not."""


@dataclass(frozen=True, eq=False)
class Segment:
    """At most `seq_len` successive arrivals of one agent in one battle: the unit that is scored, sent and counted.

    Shapes: obs (T, O) float32; prev_action (T,) int64, 0 where `is_first`; reward (T,) float32; terminal, is_first (T,)
    bool; avail (T, A) bool. `is_first` is true only at the first arrival of a battle. The last arrival of a battle (or
    the arrival of the agent's own death) is a step like any other; arrivals after the agent's death are never part of a
    segment. `lane` is the number of the stream to which the segment belongs: one agent in one of the battles that run
    side by side. Consecutive segments of a lane are contiguous in time.

    If the last arrival is the agent's death and its team continues to fight, the reward of this arrival is the
    discounted sum of the team's rewards after the death.

    `won`: whether the team won the battle (False: it lost, or the time limit ended the battle). Only the sender knows
    it, and only in segments that are cut at the battle's end: the last one or two of each agent, also of a dead one.
    It is None in earlier segments, which are cut while the battle goes on, and in received ones.
    """

    origin: Origin
    lane: int
    start: int
    obs: Floats
    prev_action: Ints
    reward: Floats
    terminal: Bools
    is_first: Bools
    avail: Bools
    won: bool | None = None

    def __len__(self) -> int:
        return len(self.reward)


@dataclass(frozen=True, eq=False)
class Rollout:
    """One imagined trajectory of H actions (Z Algorithm 2 lines 7-8): H + 1 latent states, actions and arrivals.

    Shapes: deter (H+1, D) float32; stoch (H+1, G) uint8, the class index of each of the G categorical latents (index 0
    the posterior z_1, later ones prior samples); avail (H, A) bool, logits (H, A) float32 (masked entries -inf are
    stored as a large negative number) and action (H,) int64 at states 0..H-1; reward (H,) and discount (H,) float32 of
    the arrival at states 1..H (`discount` = gamma * (1 - predicted terminal)); weight (H,) float32: probability of
    being alive at states 0..H-1.
    """

    origin: Origin
    deter: Floats
    stoch: NDArray[np.uint8]
    avail: Bools
    logits: Floats
    action: Ints
    reward: Floats
    discount: Floats
    weight: Floats

    def __len__(self) -> int:
        return len(self.action)


@dataclass(frozen=True, eq=False)
class Step:
    """The result of `VectorEnv.reset` and `VectorEnv.step` for B battles side by side with N agents each.

    obs (B, N, O) float32, avail (B, N, A) bool, alive (B, N) bool, state (B, S) float32: the present arrival. After the
    end of a battle this is the first arrival of the next battle (same-step auto-reset). reward (B,) float32,
    terminated, truncated (B,) bool, battle_won (B,) bool: of the step just taken (all zero after `reset`). final_obs
    (B, N, O), final_avail (B, N, A), final_alive (B, N): the last arrival of the battle, defined only in rows of
    battles that ended.
    """

    obs: Floats
    avail: Bools
    alive: Bools
    state: Floats
    reward: Floats
    terminated: Bools
    truncated: Bools
    battle_won: Bools
    final_obs: Floats
    final_avail: Bools
    final_alive: Bools

    @classmethod
    def begun(cls, obs: Floats, avail: Bools, alive: Bools, state: Floats) -> "Step":
        """The first arrivals of battles that have just begun: without reward and end."""
        reward, (terminated, truncated, won) = np.zeros(len(obs), np.float32), np.zeros((3, len(obs)), np.bool_)
        last = np.zeros_like(obs), np.zeros_like(avail), np.zeros_like(alive)
        return cls(obs, avail, alive, state, reward, terminated, truncated, won, *last)


@dataclass(frozen=True, eq=False)
class Rendered:
    """Pictures (height, width, 3) uint8 of the first row that belong to the last answer of an environment.

    One, of the present arrival. If the answer ended a battle there are two: that of its last arrival, then that of the
    first arrival of the next battle. None if the environment draws no pictures; then `why` says so in words.
    """

    pictures: tuple[NDArray[np.uint8], ...]
    why: str = ""


class VectorEnv(Protocol):
    """B battles side by side. `step` takes actions (B, N) int64 and raises ValueError for an unavailable one.

    The message of a TimeoutError contains the time without an answer: "no answer within 60 s".

    An environment that can draw itself also has `render() -> Rendered`. From the first call on it keeps the picture of
    the last arrival of each battle of its first row; so an environment that nobody watches draws nothing.
    """

    spaces: Spaces
    batch: int

    def reset(self) -> Step:
        """Begin B new battles: the next battle number of each row."""

    def step(self, actions: Ints) -> Step:
        """Play one step in every battle."""

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Everything that `restore` needs to continue bit for bit: plain arrays by name."""

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> "Step | None":
        """Continue from a snapshot. An environment that cannot do so begins new battles and returns their start."""

    def close(self) -> None:
        """Release processes, windows and files. Called once, after all other calls."""
