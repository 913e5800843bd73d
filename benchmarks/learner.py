"""Processor time of one learning iteration, compared with a plain implementation and with its matrix products."""

import time
import timeit
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from mawm.agents.actor_critic import ActorCritic
from mawm.agents.behaviour_trainer import BehaviourTrainer
from mawm.agents.compute import on_device
from mawm.agents.config import AgentConfig, ReplayConfig
from mawm.agents.information.term import Intrinsic
from mawm.agents.matmul import matmul, set_precision
from mawm.agents.model_trainer import ModelTrainer
from mawm.agents.pooled_replay import PooledReplay
from mawm.agents.world_model import WorldModel
from mawm.benchmarks.plain import PlainLearner
from mawm.estimates import random_segment
from mawm.sharing.provenance import Gate
from mawm.types import Role, Segment, Spaces

SPACES = Spaces(n_agents=3, n_actions=9, obs_size=30, state_size=48, episode_limit=60)
"""The sizes of 3m."""
MODEL_UPDATES, BEHAVIOUR_UPDATES = 5, 4
"""One iteration of the paper: five world-model and four actor-critic updates."""

STEPS = 4000
"""Steps in each agent's replay."""

Call = Callable[[], object]
T = TypeVar("T")
Units = dict[str, Call]


def comparable(config: AgentConfig) -> AgentConfig:
    """The settings of the comparison: one policy epoch and no replayed rows, as in the plain learner."""
    return replace(config, behaviour=replace(config.behaviour, epochs=1, replay_critic=0.0))


def random_battles(rng: np.random.Generator, spaces: Spaces, lanes: int) -> list[Segment]:
    """Random battles of 25 steps, `STEPS` steps in all, of one agent in `lanes` lanes."""
    return [random_segment(rng, spaces, 25, lane=n % lanes, episode=n) for n in range(STEPS // 25)]


def filled_replay(rng: np.random.Generator) -> PooledReplay:
    """A full replay of random battles."""
    replay = PooledReplay(SPACES, ReplayConfig(capacity=STEPS), lanes=8, gate=Gate(Role.PRIMARY))
    replay.remember(random_battles(rng, SPACES, 8))
    return replay


def our_units(config: AgentConfig, seed: int) -> Units:
    """The three units of an iteration of the package's learner."""
    rng = np.random.default_rng(seed)
    weights = torch.Generator().manual_seed(seed)
    model = WorldModel(SPACES.obs_size, SPACES.n_actions, config.world_model, config.behaviour.bins, weights)
    behaviour = ActorCritic(SPACES.n_actions, config.world_model, config.behaviour, weights)
    model_trainer = ModelTrainer(model, filled_replay(rng), rng, rng, Intrinsic(), "cpu")
    behaviour_trainer = BehaviourTrainer(behaviour, model_trainer, rng, rng, Intrinsic(), 0.0, "cpu")
    return {
        "world_model_update": lambda: model_trainer.fit(1),
        "rollout": lambda: behaviour_trainer.imagine(1),
        "policy_epoch": lambda: behaviour_trainer.fit([], 0),
    }


def plain_units(config: AgentConfig, seed: int, device: str = "cpu") -> Units:
    """The same three units of the plain learner."""
    rng, c = np.random.default_rng(seed), config.world_model
    replay, learner = filled_replay(rng), PlainLearner(SPACES.obs_size, SPACES.n_actions, config, device)
    kept: list[tuple[torch.Tensor, ...]] = []

    def rollout() -> None:
        rows = -(-3 * config.behaviour.starts // (2 * c.seq_len))  # as many as `ModelTrainer.starts`
        batch = on_device(replay.sample_own(rows, c.seq_len, rng), device)
        kept[:] = [learner.rollout(batch, config.behaviour.starts)]

    def update() -> None:
        learner.world_model_update(on_device(replay.sample_pooled(c.batch, c.seq_len, rng), device))

    return {
        "world_model_update": update,
        "rollout": rollout,
        "policy_epoch": lambda: learner.policy_epoch(learner.prepare(kept[0])),
    }


def product_rate() -> float:
    """Floating-point operations per processor second of a matrix product with the learner's shapes, on one thread."""
    a, b = torch.randn(2000, 1280), torch.randn(1280, 256)
    matmul(a, b)
    return 2.0 * 2000 * 1280 * 256 / min(_timed(lambda: matmul(a, b)) for _ in range(10))


def _timed(call: Call) -> float:
    return timeit.timeit(call, number=1, timer=time.process_time)


def medians(calls: dict[T, list[Call]], repeats: int, timed: Callable[[T, Call], float]) -> dict[T, float]:
    """Median seconds of each list of calls over `repeats` interleaved rounds, after a round that warms up."""
    rounds = [{name: [timed(name, call) for call in each] for name, each in calls.items()} for _ in range(repeats + 1)]
    return {name: float(np.median([seconds[name] for seconds in rounds[1:]])) for name in calls}


def operations(units: Units) -> float:
    """Floating-point operations of the matrix products of an iteration."""
    counts = {}
    for name, call in units.items():
        with FlopCounterMode(display=False) as counter:
            call()
        counts[name] = float(counter.get_total_flops())
    return iteration(counts)


def iteration(units: dict[str, float]) -> float:
    """The total of an iteration from its units."""
    behaviour = units["rollout"] + units["policy_epoch"]
    return MODEL_UPDATES * units["world_model_update"] + BEHAVIOUR_UPDATES * behaviour


def measure(config: AgentConfig, agents: int, precision: str, repeats: int = 5) -> dict[str, float]:
    """Medians over `repeats` interleaved timings of both learners, for `agents` agents on one thread.

    Returns processor seconds of each unit per agent, of an iteration of all agents for both learners, the lower bound
    `floor_seconds` (the products of the package's learner at the rate of this machine's matrix product), and the ratio.
    Both learners do one policy epoch per rollout, without replayed states for the critic. `precision` applies to the
    package's learner; the plain learner uses float32.
    """
    config = comparable(config)
    ours = [our_units(config, seed) for seed in range(agents)]
    plain = [plain_units(config, seed) for seed in range(agents)]

    def timed(unit: tuple[str, str], call: Call) -> float:
        set_precision(precision if unit[0] == "ours" else "float32")
        return _timed(call)

    teams = {"ours": ours, "plain": plain}
    calls = {(who, name): [units[name] for units in team] for who, team in teams.items() for name in team[0]}
    found = medians(calls, repeats, timed)
    our_s, plain_s = ({name: found[who, name] for name in ours[0]} for who in teams)
    set_precision(precision)
    rate = product_rate()
    return {
        **{f"{name}_s": value for name, value in our_s.items()},
        "seconds_per_iteration": agents * iteration(our_s),
        "plain_seconds_per_iteration": agents * iteration(plain_s),
        "floor_seconds": agents * operations(ours[0]) / rate,
        "product_gflops": rate / 1e9,
        "speedup_over_plain": iteration(plain_s) / iteration(our_s),
    }
