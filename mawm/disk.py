"""How much room a run may take on disk: what it declares before it begins, and is held to by the soak."""

import math

from mawm.build import learner_names, make_learner, members_of
from mawm.configs.train import TrainConfig
from mawm.pieces import MOST_ROWS, split
from mawm.types import Spaces

TAGS = 60
"""Logged numbers of a learner, with room to spare; its share of those of the run included."""
BYTES_OF_A_TAG = 250
"""In metrics.jsonl and in the event file together."""
BYTES_OF_A_PAIR = 160
"""A row of the ledger for each kind, sender and receiver, twice."""
REST = 1 << 20
"""Bytes a learner: generators, windows, running battles, names of files."""


def most_bytes(config: TrainConfig, spaces: Spaces) -> int:
    """Bytes that the run's folder takes at most: the checkpoints that are kept and one being written, and the logs.

    What misfortunes leave comes on top: batches of incidents (`mawm.watch`, 20 at most), a damaged checkpoint that was
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
    checkpoint = learners * (3 * weights + table_bytes + REST) + explorers  # three: Adam has two moments of each
    plan = config.schedule
    lines = (
        2
        + config.env_steps / min(plan.log_every, plan.eval_every)
        + config.env_steps / max(plan.log_every, plan.eval_every)
    )
    line = learners * TAGS * BYTES_OF_A_TAG + 2 * learners**2 * BYTES_OF_A_PAIR
    return (plan.keep_checkpoints + 1) * checkpoint + int(lines * line)


def _rows(table: str, config: TrainConfig, members: int, learners: int) -> int:
    """Rows of a replay's ring that lie in a checkpoint at most: beside those that are held, those out of date."""
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
