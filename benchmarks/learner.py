"""Processor time of one learning iteration, compared with a plain implementation and with its matrix products."""

import time
from collections.abc import Callable
from dataclasses import replace

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
from mawm.types import Role, Spaces

SPACES = Spaces(n_agents=3, n_actions=9, obs_size=30, state_size=48, episode_limit=60)
"""The sizes of 3m."""
MODEL_UPDATES, BEHAVIOUR_UPDATES = 5, 4
"""One iteration of the paper: five world-model and four actor-critic updates."""

Units = dict[str, Callable[[], object]]


def filled_replay(rng: np.random.Generator, steps: int = 4000) -> PooledReplay:
    """A replay of random battles of 25 steps."""
    replay = PooledReplay(SPACES, ReplayConfig(capacity=steps), lanes=8, gate=Gate(Role.PRIMARY))
    replay.remember([random_segment(rng, SPACES, 25, lane=battle % 8, episode=battle) for battle in range(steps // 25)])
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
    best = min(_timed(lambda: matmul(a, b)) for _ in range(10))
    return 2.0 * 2000 * 1280 * 256 / best


def _timed(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _operations(units: Units) -> float:
    counts = {}
    for name, call in units.items():
        with FlopCounterMode(display=False) as counter:
            call()
        counts[name] = counter.get_total_flops()
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
    config = replace(config, behaviour=replace(config.behaviour, epochs=1, replay_critic=0.0))
    teams = {
        "ours": [our_units(config, seed) for seed in range(agents)],
        "plain": [plain_units(config, seed) for seed in range(agents)],
    }
    times: dict[str, dict[str, list[float]]] = {team: {} for team in teams}
    for repeat in range(repeats + 1):
        for team, members in teams.items():
            set_precision(precision if team == "ours" else "float32")
            for name in members[0]:
                for member in members:
                    seconds = _timed(member[name])
                    if repeat > 0:  # the first round warms up
                        times[team].setdefault(name, []).append(seconds)
    ours, plain = ({n: float(np.median(t)) for n, t in times[team].items()} for team in ("ours", "plain"))
    set_precision(precision)
    rate = product_rate()
    return {
        "world_model_update_s": ours["world_model_update"],
        "rollout_s": ours["rollout"],
        "policy_epoch_s": ours["policy_epoch"],
        "seconds_per_iteration": agents * iteration(ours),
        "plain_seconds_per_iteration": agents * iteration(plain),
        "floor_seconds": agents * _operations(teams["ours"][0]) / rate,
        "product_gflops": rate / 1e9,
        "speedup_over_plain": iteration(plain) / iteration(ours),
    }
