"""How long a run will take: one learner's updates, timed for a moment on made-up battles."""

import time
from collections.abc import Callable
from functools import singledispatch
from typing import Any

import numpy as np

from mawm.agents.agent import Agent
from mawm.agents.ppo import Ppo
from mawm.build import make_learner, prepare_process
from mawm.configs.train import TrainConfig
from mawm.types import Origin, Role, Segment, Spaces


def estimate_minutes(config: TrainConfig, spaces: Spaces, device: str, learners: int, workers: int) -> float:
    """Minutes of learning for the whole budget, `learners` spread over `workers` cores. Playing comes on top: little.

    The timed learner is a throw-away with generators of its own name: the run's numbers do not depend on it.
    """
    prepare_process(config.precision)
    learner = make_learner(0, config=config, spaces=spaces, device=device)
    return _learning(learner, config, spaces) * learners / workers / 60


@singledispatch
def _learning(learner: Any, config: TrainConfig, spaces: Spaces) -> float:
    """Seconds that one learner of this kind learns for in the whole run."""
    raise TypeError(f"no estimate for learners of type {type(learner).__name__}")


@_learning.register
def _(learner: Agent, config: TrainConfig, spaces: Spaces) -> float:
    steps = config.agent.world_model.seq_len
    learner.remember([_made_up(spaces, steps, lane) for lane in range(min(4, learner.replay.own.lanes))])
    learner.fit_world_model(1)
    model = _seconds(lambda: learner.fit_world_model(2)) / 2

    information = config.agent.information
    for past in range(1, information.others + 1):  # with the population that it will soon have
        learner.intrinsic.remember(learner.behaviour.actor, past * information.snapshot_every)

    def behave() -> None:
        learner.imagine(1)
        learner.fit_behaviour([], env_steps=0)

    behaviour = _seconds(behave)
    plan = config.schedule
    updates = max(0, config.env_steps - plan.prefill) * plan.updates_per_step
    return (updates + plan.warmup) * model + updates / plan.updates_per_behaviour * behaviour


@_learning.register
def _(learner: Ppo, config: TrainConfig, spaces: Spaces) -> float:
    rows, steps = config.schedule.battles, min(spaces.episode_limit, config.agent.ppo.rollout)
    lanes = rows * len(learner.members)
    obs = np.random.default_rng(0).random((lanes, spaces.obs_size), dtype=np.float32)
    avail = np.ones((lanes, spaces.n_actions), np.bool_)

    def rollout() -> None:
        learner.begin("train", lanes)
        # A battle is whole once the next one has begun: hence one step more.
        for t in range(config.agent.ppo.rollout + steps + 1):
            learner.act(obs, avail, np.full(lanes, t % steps == 0), slot="train", mode="sample")
            if t % steps == steps - 1:
                made = [_made_up(spaces, steps + 1, lane, learner.members[lane // rows], t) for lane in range(lanes)]
                learner.remember(made)
        learner.remember([])
        learner.fit_behaviour([], env_steps=0)

    return _seconds(rollout) * config.env_steps / (config.agent.ppo.rollout * rows)


def _seconds(call: Callable[[], object]) -> float:
    """The shortest of three: what a machine that does nothing else would take."""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)


def _made_up(spaces: Spaces, steps: int, lane: int, agent: int = 0, episode: int = 0) -> Segment:
    rng = np.random.default_rng(lane)
    avail = np.ones((steps, spaces.n_actions), np.bool_)
    first = np.zeros(steps, np.bool_)
    first[0] = True
    return Segment(
        Origin(agent, Role.PRIMARY, episode),
        lane,
        0,
        rng.random((steps, spaces.obs_size), dtype=np.float32),
        rng.integers(0, spaces.n_actions, steps),
        np.zeros(steps, np.float32),
        np.zeros(steps, np.bool_),
        first,
        avail,
    )
