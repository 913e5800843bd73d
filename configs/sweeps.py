"""Sweeps: grids of runs, in TOML files with one or more tables `[[grid]]`. Some sweeps are part of the package."""

import os
import shlex
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Interval

from mawm.configs.presets import load_document, merge
from mawm.configs.train import TrainConfig
from mawm.types import Seed, Share, Steps

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Grid:
    """All combinations of some settings. A method without sharing has one run for each map and seed."""

    maps: tuple[str, ...] = ("3m",)
    """SMAC maps by name, or paths of map files."""
    methods: tuple[str, ...] = ("independent", "experience", "rollouts", "both", "centralized")
    """Methods of mawm.train."""
    bandwidth: tuple[Share, ...] = (0.05,)
    """Nominal bandwidths, each between 0 and 1."""
    selectors: tuple[str, ...] = (TrainConfig().sharing.selector,)
    """Selectors of mawm.train."""
    channels: tuple[str, ...] = ("real",)
    """Channels of mawm.train: the real one, or controls."""
    wires: tuple[str, ...] = ("float32",)
    """Wires of mawm.train."""
    seeds: Annotated[int, Interval(ge=1, le=10_000)] = 5
    """Number of seeds: FIRST_SEED, FIRST_SEED + 1, ..."""
    first_seed: Seed = 0
    """The first seed."""
    env_steps: Steps = TrainConfig.env_steps
    """Environment steps of every run."""
    train_preset: str = "default"
    """Preset of mawm.train for every run."""
    placement: Literal["inline", "stack"] = "inline"
    """Placement of every run. Each run has one process; `stack` is the right placement on a GPU."""
    label: str = ""
    """A word in the names of these runs, if they differ from another grid's only in TRAIN_ARGS."""
    train_args: str = ""
    """Further arguments of mawm.train for every run, in one string: --train-args="--precision bf16"."""
    evaluate_args: str = ""
    """Further arguments of mawm.evaluate for the last policy of every run, in one string:
    --evaluate-args="--rules.spawn-jitter 0.5" plays its battles again with start positions that vary more."""


@dataclass(frozen=True)
class SlurmConfig:
    """Jobs of `--executor slurm`. A job holds one training or one evaluation."""

    cluster: Literal["slurm", "local"] = "slurm"
    """`local`: jobs of submitit on this machine, to try the settings without a cluster."""
    partition: str = ""
    """Partition of the cluster (default: the cluster's own)."""
    minutes: Annotated[int, Interval(ge=1, le=10**6)] = 240
    """Time limit of a job. A run that needs more continues in a second job."""
    notice_s: Annotated[int, Interval(ge=1, le=3600)] = 90
    """Seconds before the time limit at which a run gets the signal to save and end."""
    cpus_per_task: Annotated[int, Interval(ge=1, le=1024)] = 1
    """CPUs of a job. A run has one thread."""
    mem: str = "4GB"
    """Memory of a job, in the words of sbatch."""
    extra: tuple[str, ...] = ()
    """Further options of sbatch, each as NAME=VALUE or NAME: --slurm.extra account=me gres=gpu:1 exclusive"""


@dataclass(frozen=True)
class ExecutorConfig:
    """Where the runs of a sweep have their processes."""

    jobs: Annotated[int, Interval(ge=1, le=4096)] = CORES
    """Number of runs that run or wait in a queue at the same time (default: the cores of this machine)."""
    executor: Literal["local", "slurm", "ray"] = "local"
    """`local`: this machine. `slurm`: jobs of SLURM. `ray`: a Ray cluster. All machines share the sweep's folder."""
    ray_address: str = "local"
    """Ray cluster of `--executor ray`: `local` starts one on this machine, `auto` is the one of `ray start`, or
    HOST:PORT."""
    slurm: SlurmConfig = field(default_factory=SlurmConfig)


def extra_parameters(extra: tuple[str, ...]) -> dict[str, str | bool]:
    """The further options of sbatch by name. ValueError for an option that is not NAME=VALUE or NAME."""
    found: dict[str, str | bool] = {}
    for word in extra:
        name, equals, value = word.partition("=")
        if not name.replace("-", "").replace("_", "").isalnum() or name.startswith("-") or (equals and not value):
            raise ValueError(f"--slurm.extra takes options as NAME=VALUE or NAME, without leading dashes; got {word!r}")
        found[name] = value if equals else True
    return found


def split_train_args(text: str, taken: tuple[str, ...]) -> list[str]:
    """The words of `--train-args`. ValueError if one is a flag that is `taken` or not for one of several runs."""
    words = shlex.split(text)
    for word in words:
        name = word.split("=")[0].replace("_", "-")
        if name in (*taken, "--placement", "--run-dir", "--resume", "--help", "--help-all", "-h"):
            raise ValueError(f"--train-args holds {name}, which is not for the arguments that all runs share")
    return words


def load_sweep(name: str) -> list[Grid]:
    """The grids of a packaged sweep or of a file. ValueError for an unknown name, an unknown key or a wrong type."""
    document = load_document("sweeps", name)
    grids = document.get("grid")
    if set(document) != {"grid"} or not isinstance(grids, list) or not all(isinstance(g, dict) for g in grids):
        raise ValueError(f"{name}: a sweep is one or more tables [[grid]]; got {', '.join(document) or 'nothing'}")
    return [merge(Grid(), table, f"{name}, grid {i}") for i, table in enumerate(grids, 1)]


def check_grid(grid: Grid) -> None:
    """ValueError for an empty list or one with repeated items, which the runs themselves would not detect."""
    for key in ("maps", "methods", "bandwidth", "selectors", "channels", "wires"):
        items = getattr(grid, key)
        if not items or len(set(items)) < len(items):
            raise ValueError(f"{key} must name at least one, and each once; got {' '.join(map(str, items)) or 'none'}")
