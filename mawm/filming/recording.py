"""Records what an environment holds at every step of a battle, for pages and films."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.configs.train import TrainConfig
from mawm.envs.checked import rendered
from mawm.envs.pictures import LONGEST_SIDE, scaled
from mawm.envs.registry import environment_of, make_env
from mawm.envs.skirmish.battles import make_battles
from mawm.envs.skirmish.smacv2.vector import DrawnVectorEnv
from mawm.envs.skirmish.vector import SkirmishVectorEnv
from mawm.seeds import named_seed
from mawm.types import Bools, Floats, Ints, Segment, Step, VectorEnv

EVENTS = 8192
"""Most hits and heals of one step that are recorded."""
PICTURE_BYTES = 400_000_000
"""Bytes of memory for the pictures of one battle of the largest length: in a long one they are smaller."""
EngineEnv = SkirmishVectorEnv | DrawnVectorEnv


@dataclass(eq=False)
class Battle:
    """One battle of T steps with N agents. Frame t is the arrival after t steps.

    obs (T+1, N, O), alive (T+1, N), avail (T, N, A), actions (T, N), reward (T,). deter (T, N, D) and stoch (T, N, G):
    the latent states with which the agents acted; empty without a world model. segments: for each learner the segments
    into which the collector cut its experience.

    On the embedded engine, with U units of which the first N are agents: their `kinds`, bodies (T+1, U, BODY) and stats
    (U, STAT), the engine's rows (`layout`). hits: for each step the hits and heals (events, 5), `EVENT_FIELDS`.
    On other environments `kinds` is empty, and pictures are the T+1 pictures that the environment drew, each (height,
    width, 3) uint8; if there are none, `why` says in words why.
    """

    number: int
    kinds: tuple[str, ...] = ()
    stats: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    bodies: list[NDArray[np.float64]] = field(default_factory=list)
    obs: list[Floats] = field(default_factory=list)
    alive: list[Bools] = field(default_factory=list)
    avail: list[Bools] = field(default_factory=list)
    actions: list[Ints] = field(default_factory=list)
    reward: list[float] = field(default_factory=list)
    hits: list[NDArray[np.float64]] = field(default_factory=list)
    pictures: list[NDArray[np.uint8]] = field(default_factory=list)
    why: str = ""
    deter: list[Floats] = field(default_factory=list)
    stoch: list[Ints] = field(default_factory=list)
    segments: list[list[Segment]] = field(default_factory=list)
    won: bool = False
    timeout: bool = False

    @property
    def steps(self) -> int:
        """T."""
        return len(self.actions)

    @property
    def end(self) -> str:
        """How the battle ended, in words. An environment without wins never says `won`."""
        return "won" if self.won else "time limit" if self.timeout else "lost" if self.kinds else "over"


class EngineCamera:
    """Writes the units of the embedded engine's first row into the battle."""

    def __init__(self, env: EngineEnv) -> None:
        self.env = env
        self._next: NDArray[np.float64] = env.bodies[0]

    def begin(self, battle: Battle) -> None:
        """Write the kinds and the first places of the units."""
        battle.number, battle.kinds = int(self.env.battles[0]), kinds_in(self.env)
        battle.stats = self.env.stats_of(0).copy()
        battle.bodies.append(self.env.bodies[0].copy())

    def before(self, actions: Ints) -> None:
        """Compute the units after these actions (N,), because the engine forgets the last ones of a battle."""
        self._next = self.env.bodies_after(0, actions)

    def after(self, battle: Battle, ended: bool) -> None:
        """Write the units and the hits of this step. If it ended the battle, the row already holds the next one."""
        battle.bodies.append(self._next)
        battle.hits.append(self.env.events(0))


class PictureCamera:
    """Writes the pictures that another environment draws of its first row into the battle."""

    def __init__(self, env: VectorEnv) -> None:
        self.env = env
        self._longest = max(16, min(LONGEST_SIDE, math.isqrt(PICTURE_BYTES // (3 * env.spaces.episode_limit))))
        self._first: NDArray[np.uint8] | None = None
        """The first picture of the next battle, if the environment has drawn it already."""

    def begin(self, battle: Battle) -> None:
        """Write the first picture of a battle."""
        if self._first is not None:
            battle.pictures.append(self._first)
            self._first = None
            return
        found, battle.why = self._look()
        battle.pictures += found[-1:]

    def before(self, actions: Ints) -> None:
        """Nothing: the environment keeps the last picture of a battle."""

    def after(self, battle: Battle, ended: bool) -> None:
        """Write the picture after this step. If it ended the battle, the row already holds the next one."""
        if battle.why:
            return
        found, battle.why = self._look()
        if battle.why:
            battle.pictures.clear()
            return
        # After a restart of the environment the last picture of a battle is missing; the one before stands for it.
        battle.pictures.append(battle.pictures[-1] if ended and len(found) < 2 else found[0])
        self._first = found[-1] if ended else None

    def _look(self) -> tuple[list[NDArray[np.uint8]], str]:
        answer = rendered(self.env)
        return [scaled(picture, self._longest) for picture in answer.pictures], answer.why


def recordable(config: TrainConfig, purpose: str) -> VectorEnv:
    """One row of the battles of a purpose ("eval", "test"), the same as in `make_env`; the engine also notes its hits.

    The caller must close it. ValueError or EnvFault if it cannot be made.
    """
    if environment_of(config).has_rules:
        return make_battles(config.map, 1, named_seed(config.seed, f"battles/{purpose}"), config.rules, events=EVENTS)
    return make_env(config, purpose, 1)


class RecordedBattles:
    """Battles of an environment with one row, as a `VectorEnv` that writes every step into `battle`."""

    batch = 1

    def __init__(self, env: VectorEnv) -> None:
        self.env, self.spaces = env, env.spaces
        self.camera = EngineCamera(env) if isinstance(env, EngineEnv) else PictureCamera(env)
        self.battle = Battle(-1)
        self.finished: Battle | None = None
        """The battle that the last step ended."""

    def reset(self) -> Step:
        """Begin the next battle."""
        step = self.env.reset()
        self._begin(step)
        return step

    def step(self, actions: Ints) -> Step:
        """Play and record one step. ValueError for an unavailable action."""
        battle = self.battle
        self.camera.before(actions[0])
        step = self.env.step(actions)
        ended = bool(step.terminated[0] | step.truncated[0])
        battle.obs.append(step.final_obs[0] if ended else step.obs[0])
        battle.alive.append(step.final_alive[0] if ended else step.alive[0])
        battle.actions.append(actions[0].copy())
        battle.reward.append(float(step.reward[0]))
        self.camera.after(battle, ended)
        self.finished = None
        if ended:
            battle.won, battle.timeout = bool(step.battle_won[0]), bool(step.truncated[0])
            self.finished = battle
            self._begin(step)
        else:
            battle.avail.append(step.avail[0])
        return step

    def _begin(self, step: Step) -> None:
        self.battle = Battle(self.battle.number + 1, why=self.battle.why)
        self.camera.begin(self.battle)
        self.battle.obs.append(step.obs[0])
        self.battle.alive.append(step.alive[0])
        self.battle.avail.append(step.avail[0])

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The environment's state."""
        return self.env.snapshot()

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> Step | None:
        """Continue from a snapshot."""
        return self.env.restore(snapshot)

    def close(self) -> None:
        """Close the environment."""
        self.env.close()


def kinds_in(env: EngineEnv) -> tuple[str, ...]:
    """The kind of each unit (U,) in the first row's battle, allies first."""
    if isinstance(env, DrawnVectorEnv):
        return tuple(env.spec.kinds[kind] for kind in env.kinds[0])
    return env.spec.allies + env.spec.enemies


def terrain(env: EngineEnv) -> list[str]:
    """The ground, a text for each row of cells from south to north: `.` open, `^` a cliff, `#` no ground."""
    pathable = env.contract.grid
    walkable = env.spec.walkable if isinstance(env, SkirmishVectorEnv) else pathable
    signs = np.where(walkable, ".", np.where(pathable, "^", "#"))
    return ["".join(row) for row in signs.T]
