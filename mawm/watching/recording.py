"""Plays battles with a trained team and records what the engine, the agents and their memories held at every step."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mawm.agents.agent import Agent
from mawm.agents.ppo.learner import Ppo
from mawm.build import make_team
from mawm.collect import Collector
from mawm.configs.train import TrainConfig
from mawm.envs.registry import environment_of
from mawm.envs.skirmish.battles import make_battles
from mawm.envs.skirmish.smacv2.vector import DrawnVectorEnv
from mawm.envs.skirmish.vector import SkirmishVectorEnv
from mawm.methods import learner_names
from mawm.run_folder.checkpoint import newest
from mawm.run_folder.manifest import read_config
from mawm.run_folder.run_state import load_team
from mawm.seeds import named_generator, named_seed
from mawm.team import Actors, InlineTeam
from mawm.types import Bools, Floats, Ints, Segment, Step

EVENTS = 8192
"""Most hits and heals of one step that are recorded."""
SLOT = "eval"
"""The memory with which a watched team acts: no lane of it is greedy where the mode is `sample`."""
EngineEnv = SkirmishVectorEnv | DrawnVectorEnv


@dataclass(eq=False)
class Battle:
    """One battle of T steps with U units, of which the first N are agents. Frame t is the arrival after t steps.

    bodies (T+1, U, BODY) and stats (U, STAT): the engine's rows (`layout`); obs (T+1, N, O), alive (T+1, N), avail (T,
    N, A), actions (T, N), reward (T,). hits: for each step the hits and heals (events, 5), `EVENT_FIELDS`. deter (T, N,
    D) and stoch (T, N, G): the latent states with which the agents acted; empty without a world model. segments: for
    each learner the segments into which the collector cut its experience.
    """

    number: int
    kinds: tuple[str, ...]
    stats: NDArray[np.float64]
    bodies: list[NDArray[np.float64]] = field(default_factory=list)
    obs: list[Floats] = field(default_factory=list)
    alive: list[Bools] = field(default_factory=list)
    avail: list[Bools] = field(default_factory=list)
    actions: list[Ints] = field(default_factory=list)
    reward: list[float] = field(default_factory=list)
    hits: list[NDArray[np.float64]] = field(default_factory=list)
    deter: list[Floats] = field(default_factory=list)
    stoch: list[Ints] = field(default_factory=list)
    segments: list[list[Segment]] = field(default_factory=list)
    won: bool = False
    timeout: bool = False

    @property
    def steps(self) -> int:
        """T."""
        return len(self.actions)


@dataclass(frozen=True)
class TrainedTeam:
    """A run's settings and its team with the weights of the newest checkpoint, after `env_steps` steps of training."""

    config: TrainConfig
    team: InlineTeam
    env_steps: int

    @property
    def world_models(self) -> list[Agent]:
        """The learners that have a world model."""
        return [learner for learner in self.team.learners if isinstance(learner, Agent)]


def load_trained_team(run: Path) -> TrainedTeam:
    """The team of a run's newest checkpoint, on the CPU. ValueError if the run cannot be watched."""
    config = replace(read_config(run), device="cpu")
    if not environment_of(config).has_rules:
        raise ValueError(
            f"its battles are on --map {config.map} (--env {config.env}), which cannot be drawn; watch a run on a map "
            "of the embedded engine (--env skirmish)"
        )
    checkpoint = newest(run)
    env = make_battles(config.map, 1, 0, config.rules)
    team = cast(InlineTeam, make_team(config, env.spaces, "cpu", "inline"))
    try:
        load_team(team, learner_names(team.members), checkpoint.parts)
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"its checkpoint lacks {error}: it was saved by another version") from None
    return TrainedTeam(config, team, checkpoint.env_steps)


class RecordedBattles:
    """The engine's battles as a `VectorEnv` with one row that writes every step into `battle`."""

    batch = 1

    def __init__(self, env: EngineEnv) -> None:
        self.env, self.spaces = env, env.spaces
        self.battle = Battle(0, (), np.zeros((0, 0)))
        self.finished: Battle | None = None
        """The battle that the last step ended."""

    def reset(self) -> Step:
        """Begin the next battle."""
        step = self.env.reset()
        self._begin(step)
        return step

    def step(self, actions: Ints) -> Step:
        """Play and record one step. ValueError for an unavailable action."""
        battle, after = self.battle, self.env.bodies_after(0, actions[0])
        step = self.env.step(actions)
        ended = bool(step.terminated[0] | step.truncated[0])
        battle.bodies.append(after)
        battle.obs.append(step.final_obs[0] if ended else step.obs[0])
        battle.alive.append(step.final_alive[0] if ended else step.alive[0])
        battle.actions.append(actions[0].copy())
        battle.reward.append(float(step.reward[0]))
        battle.hits.append(self.env.events(0))
        self.finished = None
        if ended:
            battle.won, battle.timeout = bool(step.battle_won[0]), bool(step.truncated[0])
            self.finished = battle
            self._begin(step)
        else:
            battle.avail.append(step.avail[0])
        return step

    def _begin(self, step: Step) -> None:
        env = self.env
        self.battle = Battle(int(env.battles[0]), kinds_in(env), env.stats_of(0).copy())
        self.battle.bodies.append(env.bodies[0].copy())
        self.battle.obs.append(step.obs[0])
        self.battle.alive.append(step.alive[0])
        self.battle.avail.append(step.avail[0])

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The engine's state."""
        return self.env.snapshot()

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> None:
        """Continue from a snapshot."""
        self.env.restore(snapshot)

    def close(self) -> None:
        """Nothing to close."""


class RecordedTeam(Actors):
    """A trained team that writes the latent states with which it acts into the battle."""

    def __init__(self, team: InlineTeam, battles: RecordedBattles) -> None:
        self.team, self.battles, self.members = team, battles, team.members

    def begin(self, slot: str, batch: int) -> None:
        """Forget everything before the first battle."""
        self.team.begin(SLOT, batch)

    def act(self, obs: Floats, avail: Bools, is_first: Bools, *, slot: str, mode: str) -> Ints:
        """Actions (1, N) of the team."""
        actions = self.team.act(obs, avail, is_first, slot=SLOT, mode=mode)
        states = [a.memories[SLOT].state for a in self.team.learners if isinstance(a, Agent)]
        if states:
            order = np.argsort([agent for members in self.members for agent in members])
            battle = self.battles.battle
            battle.deter.append(np.concatenate([state.deter.numpy() for state in states])[order])
            battle.stoch.append(np.concatenate([state.stoch.numpy() for state in states])[order])
        return actions


def kinds_in(env: EngineEnv) -> tuple[str, ...]:
    """The kind of each unit (U,) in the first row's battle, allies first."""
    if isinstance(env, DrawnVectorEnv):
        return tuple(env.spec.kinds[kind] for kind in env.kinds[0])
    return env.spec.allies + env.spec.enemies


def watched_env(config: TrainConfig, seed: int) -> EngineEnv:
    """One row of battles with recorded hits. With seed 0 these are the battles of `python -m mawm.evaluate`."""
    return make_battles(config.map, 1, named_seed(seed, "battles/test"), config.rules, events=EVENTS)


def play(trained: TrainedTeam, env: EngineEnv, mode: str, seed: int) -> Iterator[Battle]:
    """Play one battle after the other without end; the same seed and mode give the same battles."""
    config = trained.config.agent
    for learner in trained.team.learners:
        if isinstance(learner, Agent | Ppo):
            learner.rngs["evaluate"] = named_generator(seed, f"watch/{learner.name}")
    battles = RecordedBattles(env)
    team = RecordedTeam(trained.team, battles)
    length = config.world_model.seq_len
    collector = Collector(battles, team, seq_len=length, discount=config.behaviour.discount)
    segments: list[list[Segment]] = [[] for _ in team.members]
    while True:
        for kept, new in zip(segments, collector.collect(1, mode), strict=True):
            kept += new
        if battles.finished is not None:
            battles.finished.segments, segments = segments, [[] for _ in team.members]
            yield battles.finished
