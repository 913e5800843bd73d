"""How long a run will take: one learner's updates, timed for a moment on made-up battles."""

import time
from collections.abc import Callable

import numpy as np

from mawm.build import make_learner, prepare_process
from mawm.configs.train import TrainConfig
from mawm.types import Origin, Role, Segment, Spaces


def estimate_minutes(config: TrainConfig, spaces: Spaces, device: str, learners: int, workers: int) -> float:
    """Minutes of learning for the whole budget, `learners` spread over `workers` cores. Playing comes on top: little.

    The timed learner is a throw-away with generators of its own name: the run's numbers do not depend on it.
    """
    prepare_process(config.precision)
    learner = make_learner(0, config=config, spaces=spaces, device=device)
    steps = config.agent.world_model.seq_len
    learner.remember([_made_up(spaces, steps, lane) for lane in range(4)])
    learner.fit_world_model(1)
    model = _seconds(lambda: learner.fit_world_model(2)) / 2
    behaviour = _seconds(lambda: learner.imagine(1)) + _seconds(lambda: learner.fit_behaviour([], env_steps=0))
    plan = config.schedule
    updates = max(0, config.env_steps - plan.prefill) * plan.updates_per_step
    total = (updates + plan.warmup) * model + updates / plan.updates_per_behaviour * behaviour
    return total * learners / workers / 60


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _made_up(spaces: Spaces, steps: int, lane: int) -> Segment:
    rng = np.random.default_rng(lane)
    avail = np.ones((steps, spaces.n_actions), np.bool_)
    first = np.zeros(steps, np.bool_)
    first[0] = True
    return Segment(
        Origin(0, Role.PRIMARY, 0),
        lane,
        0,
        rng.random((steps, spaces.obs_size), dtype=np.float32),
        rng.integers(0, spaces.n_actions, steps),
        np.zeros(steps, np.float32),
        np.zeros(steps, np.bool_),
        first,
        avail,
    )
