"""The data that travels between agents, environments and the loop (numpy only: imports no torch).

Arrival convention: index t of a stream holds everything that arrived together with `obs_t`: the previous action that
led to it, the reward and the terminal flag that came with it, and the actions now available. Heads of the world model
predict index t from `(deter_t, stoch_t)`. The shift from "acted" to "arrived" happens once, in `mawm.collect`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Protocol

import numpy as np
from annotated_types import Interval
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Metrics = dict[str, float]
"""Tag to value; an agent's tags carry no agent name (`world_model/reward_loss`), the loop adds the prefix."""
TABLES = "rows/"
"""An array of a learner's state named `rows/TABLE/COLUMN` is a column of a table that only grows
(`storage/append_only_tables.py`)."""
Since = Mapping[str, Sequence[int]]
"""For each table, how many rows of each of its lanes were ever appended at an earlier save: its `end` then."""


Share = Annotated[float, Interval(ge=0.0, le=1.0)]
"""The type of a setting says what it may be. Both ends of an `Interval` are allowed; an upper end is generous: a larger
value could only be a mistake, or more than memory holds."""
Weight = Annotated[float, Interval(ge=0.0, le=1e6)]
Steps = Annotated[int, Interval(ge=1, le=10**12)]
"""Environment steps: the upper end is more than any run will play."""
Seed = Annotated[int, Interval(ge=0, le=10**18)]


class Common:
    """Beside the type of a setting, `Annotated[int, Common]`: `--help` shows it; `--help-all` shows the others too."""


class Role(StrEnum):
    """The team that made the data: the evaluated one, or an auxiliary one that only explores."""

    PRIMARY = "primary"
    EXPLORER = "explorer"


ROLES = tuple(Role)
"""A role's index here is its number in messages and replay columns."""


@dataclass(frozen=True)
class Origin:
    """Where an item was made. It travels with the item from the collector on."""

    agent: int
    role: Role
    episode: int


@dataclass(frozen=True)
class Spaces:
    """Sizes that follow from the environment, never from the configuration."""

    n_agents: int
    n_actions: int
    obs_size: int
    state_size: int
    episode_limit: int


@dataclass(frozen=True, eq=False)
class Segment:
    """A stretch of at most `seq_len` arrivals of one agent in one battle: the unit that is scored, sent and counted.

    Shapes: obs (T, O) float32; prev_action (T,) int64, 0 where `is_first`; reward (T,) float32; terminal, is_first (T,)
    bool; avail (T, A) bool. `is_first` is true only at the first arrival of a battle. The last arrival of a battle (or
    the arrival of the agent's own death) is a step like any other; arrivals after the agent's death are never part of a
    segment. `lane` names the stream it continues: consecutive segments of one lane are contiguous in time.

    `death`: the last arrival is the agent's death while its team fought on. Its reward then holds the discounted sum of
    all that the team earned afterwards, which depends on how good the team was at that time.
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
    death: bool = False

    def __len__(self) -> int:
        return len(self.reward)


@dataclass(frozen=True, eq=False)
class Rollout:
    """One imagined trajectory of H actions (Z, Algorithm 2 lines 7-8): H + 1 latent states and what lies between.

    Shapes: deter (H+1, D) float32; stoch (H+1, G) uint8, the class index of each of the G categorical latents (index 0
    the posterior z_1, later ones prior samples); avail (H, A) bool, logits (H, A) float32 (masked entries -inf are
    stored as a large negative number) and action (H,) int64 at states 0..H-1; reward (H,) and discount (H,) float32 of
    the arrival at states 1..H (`discount` = gamma * (1 - predicted terminal)); weight (H,) float32: probability of
    still being alive at the state acted in.
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
    """What `VectorEnv.reset` and `VectorEnv.step` return for B battles side by side with N agents each.

    obs (B, N, O) float32, avail (B, N, A) bool, alive (B, N) bool, state (B, S) float32: where the battle stands now;
    after the end of a battle, already the first arrival of the next one (same-step auto-reset). reward (B,) float32,
    terminated, truncated (B,) bool, battle_won (B,) bool: of the step just taken (all zero after `reset`). final_obs
    (B, N, O), final_avail (B, N, A), final_alive (B, N): the last arrival of the battle, meaningful only in rows that
    ended.
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


class VectorEnv(Protocol):
    """B battles side by side. `step` takes actions (B, N) int64 and raises ValueError for an unavailable one.

    A TimeoutError of any call says how long there was no answer: "no answer within 60 s".
    """

    spaces: Spaces
    batch: int

    def reset(self) -> Step:
        """Begin B fresh battles: the next battle numbers of each row."""

    def step(self, actions: Ints) -> Step:
        """Play one step in every battle."""

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Everything that `restore` needs to continue bit for bit: plain arrays by name."""

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> None:
        """Continue from a snapshot."""

    def close(self) -> None:
        """Release processes, windows and files. Called once, after all other calls."""
