"""Time of a checkpoint in a run with full replays, compared with the time between two checkpoints."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from mawm.build import resolve_placement, temporary_run
from mawm.configs.train import TrainConfig
from mawm.estimates import random_segment
from mawm.loop import Run, round_
from mawm.run_folder.checkpoint import base_for, write
from mawm.run_folder.run_state import parts_of
from mawm.types import Spaces

TIMED_STEPS = 2000
"""Timed environment steps of learning, after prefill and warm-up."""
SAVES = 5
SEGMENT = 50
"""Steps of a random segment."""


def measure(config: TrainConfig, cores: int) -> dict[str, Any]:
    """One row: steps per second without saving, then saves with full replays of only new rows, and of all rows.

    The latter is the baseline. `share_of_wall` is the share of a save in the time between two saves at the default
    interval.
    """
    with temporary_run(config, cores) as run, tempfile.TemporaryDirectory() as folder:
        placement = resolve_placement(config, len(run.team.members), "cpu", cores)
        figures = _figures(run, config, run.collector.env.spaces, Path(folder))
        return {"map": config.map, "placement": placement, **figures}


def _figures(run: Run, config: TrainConfig, spaces: Spaces, folder: Path) -> dict[str, Any]:
    while run.collector.env_steps < config.schedule.prefill + 500:
        round_(run)
    began, first = time.perf_counter(), run.collector.env_steps
    while run.collector.env_steps < first + TIMED_STEPS:
        round_(run)
    step_s = (time.perf_counter() - began) / (run.collector.env_steps - first)
    interval = min(config.schedule.save_every, int(60 * config.schedule.save_minutes / step_s))
    rng = np.random.default_rng(0)
    _fill(run, rng, spaces, config.agent.replay.capacity)
    shared = [_saved(run, rng, spaces, folder / "shared", n, interval, whole=False) for n in range(SAVES)]
    whole = [_saved(run, rng, spaces, folder / "whole", n, interval, whole=True) for n in range(SAVES)]
    # The first two saves cannot share rows with an earlier one.
    save_s, whole_s = (statistics.median(seconds for seconds, _ in saves[2:]) for saves in (shared, whole))
    return {
        "replay_rows": config.agent.replay.capacity,
        "env_steps_per_s": 1.0 / step_s,
        "save_every": interval,
        "save_s": save_s,
        "save_mb": shared[-1][1] / 1e6,
        "share_of_wall": save_s / (save_s + interval * step_s),
        "whole_s": whole_s,
        "whole_mb": whole[-1][1] / 1e6,
        "whole_over_this": whole_s / save_s,
    }


def _fill(run: Run, rng: np.random.Generator, spaces: Spaces, steps: int) -> None:
    """Add this number of random own steps to the replay of every agent."""
    for at in range(0, steps, 100 * SEGMENT):
        count = max(1, min(100 * SEGMENT, steps - at) // SEGMENT)
        lanes = run.collector.env.batch
        new = [
            [random_segment(rng, spaces, SEGMENT, lane=i % lanes, agent=m[0], episode=i) for i in range(count)]
            for m in run.team.members
        ]
        run.team.remember(new)


def _saved(
    run: Run, rng: np.random.Generator, spaces: Spaces, folder: Path, number: int, interval: int, *, whole: bool
) -> tuple[float, int]:
    """Seconds of a save after `interval` new steps (collect, write, hash, fsync), and the bytes it wrote."""
    folder.mkdir(exist_ok=True)
    _fill(run, rng, spaces, interval)
    since, began = time.time_ns(), time.perf_counter()
    base = None if whole else base_for(folder)
    path = write(folder, number + 1, parts_of(run, base), 2, base)
    seconds = time.perf_counter() - began
    return seconds, sum(f.stat().st_size for f in path.iterdir() if f.stat().st_mtime_ns > since)
