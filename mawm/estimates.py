"""Estimates before a run starts: minutes of learning, and disk space."""

import gc
import math
import timeit
from collections.abc import Callable
from functools import partial

import numpy as np

from mawm.agents.agent import Agent
from mawm.agents.compute import prepare_process
from mawm.agents.ppo.learner import Ppo
from mawm.agents.stacked.program import WARM_UP
from mawm.build import make_learner
from mawm.configs.train import TrainConfig
from mawm.methods import learner_names, members_of
from mawm.storage.append_only_tables import MOST_ROWS, split
from mawm.team import InlineTeam, StackedTeam
from mawm.types import Origin, Role, Segment, Spaces

TAGS = 60
"""Upper bound of logged tags per learner, with its part of the run's tags."""
BYTES_OF_A_TAG = 250
"""In metrics.jsonl and in the event file together."""
BYTES_OF_A_PAIR = 160
"""Bytes of the ledger's rows of both kinds for one sender and receiver."""
OTHER_BYTES = 1 << 20
"""Bytes per learner of generators, windows, running battles and file names."""


def most_bytes(config: TrainConfig, spaces: Spaces) -> int:
    """Upper bound of the folder's bytes: the kept checkpoints, one being written, and the logs.

    Not counted: batches of updates that were not finite (`mawm.nonfinite`, 20 at most), a damaged checkpoint that was
    set aside, an event file for each resume.
    """
    members = members_of(config, spaces)
    learners = len(learner_names(members))
    arrays, _ = make_learner(0, config=config, spaces=spaces, device="cpu").state()
    plain, tables = split(arrays)
    weights = sum(array.nbytes for array in plain.values())
    rows = {name: _rows(name, config, len(members[0]), learners) for name in tables}
    table_bytes = sum(
        rows[name] * sum(column.itemsize * math.prod(column.shape[1:]) for column in columns.values())
        for name, columns in tables.items()
    )
    kept = (MOST_ROWS + 1) * config.gating.search.keeps
    explorers = 0 if config.gating.gate == "off" else 8 * kept * (spaces.obs_size + 16)
    checkpoint = learners * (3 * weights + table_bytes + OTHER_BYTES) + explorers  # three: Adam has two moments of each
    plan = config.schedule
    lines = 2 + config.env_steps / plan.log_every + config.env_steps / plan.eval_every
    line = learners * TAGS * BYTES_OF_A_TAG + 2 * learners**2 * BYTES_OF_A_PAIR
    return (plan.keep_checkpoints + 1) * checkpoint + int(lines * line)


def _rows(table: str, config: TrainConfig, members: int, learners: int) -> int:
    """Upper bound of a replay's rows in a checkpoint, including outdated ones."""
    capacity, sharing = config.agent.replay.capacity, config.sharing
    if table == "own":
        lived = members * (config.env_steps + config.schedule.battles * config.schedule.round_steps)
    elif table == "considered":
        lived = 0 if config.gating.gate != "policy" else (MOST_ROWS + 1) * capacity
    elif sharing.budget == "enforce" and not sharing.budget_bytes_per_step and config.gating.gate != "open":
        burst = max(sharing.bandwidth * sharing.window, config.agent.world_model.seq_len)
        lived = int((learners - 1) * (sharing.bandwidth * config.env_steps + burst))
    else:
        lived = (MOST_ROWS + 1) * capacity
    return min(lived, (MOST_ROWS + 1) * capacity)


def estimate_minutes(config: TrainConfig, spaces: Spaces, device: str, placement: str, workers: int) -> float:
    """Minutes of learning for the whole run, with the learners on `workers` cores. Playing adds little.

    The timed learners are discarded and have their own generators: the run's numbers do not depend on them. Without a
    stack one learner is timed, and stands for all.
    """
    prepare_process(config.precision, placement, device)
    members = members_of(config, spaces)
    make = partial(make_learner, config=config, spaces=spaces, device=device)
    if placement == "stack":
        stack = StackedTeam(make, members)
        seconds = _learning_of_models(stack, config, spaces, WARM_UP + 1)
        stack.stacked.forget_graphs()  # its CUDA graphs are freed now, because that is not permitted later
        gc.collect()
        return seconds / 60
    team = InlineTeam(make, members[:1])
    return _learning(team, config, spaces) * len(members) / workers / 60


def _learning(team: InlineTeam, config: TrainConfig, spaces: Spaces) -> float:
    """Seconds of learning of a team of one learner in the whole run; nan for a kind of learner that is not timed."""
    learner = team.learners[0]
    if isinstance(learner, Agent):
        return _learning_of_models(team, config, spaces, warm_up=1)
    return _learning_of_ppo(learner, config, spaces) if isinstance(learner, Ppo) else math.nan


def _learning_of_models(team: InlineTeam, config: TrainConfig, spaces: Spaces, warm_up: int) -> float:
    """Seconds of learning of a team of world models in the whole run; the first `warm_up` updates are not timed."""
    steps, information = config.agent.world_model.seq_len, config.agent.information
    rng, lanes = np.random.default_rng(0), min(4, team.learners[0].replay.own.lanes)
    team.remember([[random_segment(rng, spaces, steps, lane=lane) for lane in range(lanes)] for _ in team.learners])
    team.fit_world_model(warm_up)
    model = _seconds(lambda: team.fit_world_model(2)) / 2
    for learner in team.learners:
        for past in range(1, information.others + 1):  # with the population that it will soon have
            learner.intrinsic.remember(learner.actor_critic.actor, past * information.snapshot_every)

    def behave() -> None:
        team.imagine(1)
        team.fit_behaviour([[]] * len(team.learners), env_steps=0)

    for _ in range(warm_up - 1):
        behave()
    behaviour = _seconds(behave)
    plan = config.schedule
    updates = max(0, config.env_steps - plan.prefill) * plan.updates_per_step
    return (updates + plan.warmup) * model + updates / plan.updates_per_behaviour * behaviour


def _learning_of_ppo(learner: Ppo, config: TrainConfig, spaces: Spaces) -> float:
    """Seconds of learning of a learner without a world model in the whole run."""
    rows, steps = config.schedule.battles, min(spaces.episode_limit, config.agent.ppo.rollout)
    lanes = rows * len(learner.members)
    rng = np.random.default_rng(0)
    obs = rng.random((lanes, spaces.obs_size), dtype=np.float32)
    avail = np.ones((lanes, spaces.n_actions), np.bool_)

    def rollout() -> None:
        learner.begin("train", lanes)
        # A battle is whole once the next one has begun: hence one step more.
        for t in range(config.agent.ppo.rollout + steps + 1):
            learner.act(obs, avail, np.full(lanes, t % steps == 0), slot="train", mode="sample")
            if t % steps == steps - 1:
                battle = partial(random_segment, rng, spaces, steps + 1, episode=t)
                learner.remember([battle(lane=k, agent=learner.members[k // rows]) for k in range(lanes)])
        learner.remember([])
        learner.fit_behaviour([], env_steps=0)

    return _seconds(rollout) * config.env_steps / (config.agent.ppo.rollout * rows)


def _seconds(call: Callable[[], object]) -> float:
    """The shortest of three timings: the least disturbed by other processes."""
    return min(timeit.repeat(call, repeat=3, number=1))


def random_segment(
    rng: np.random.Generator, spaces: Spaces, steps: int, *, lane: int = 0, agent: int = 0, episode: int = 0
) -> Segment:
    """A whole battle of random numbers, for measurements of speed and size."""
    obs = rng.uniform(-1.0, 1.0, (steps, spaces.obs_size)).astype(np.float32)
    actions = rng.integers(0, spaces.n_actions, steps)
    reward = rng.uniform(0.0, 20.0, steps).astype(np.float32)
    avail = rng.random((steps, spaces.n_actions)) < 0.5
    avail[:, 0] = True
    first, last = np.arange(steps) == 0, np.arange(steps) == steps - 1
    return Segment(Origin(agent, Role.PRIMARY, episode), lane, 0, obs, actions, reward, last, first, avail)
