"""Sweeps: grids of runs, in TOML files with one or more tables `[[grid]]`. Some sweeps are part of the package."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval

from mawm.configs.presets import merge, read_packaged
from mawm.configs.train import TrainConfig
from mawm.types import Seed, Share, Steps


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


def load_sweep(name: str) -> list[Grid]:
    """The grids of a packaged sweep or of a file. ValueError for an unknown name, an unknown key or a wrong type."""
    if name.endswith(".toml"):
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{name}: cannot be read ({error})") from None
    else:
        text = read_packaged("sweeps", name, ", or a path that ends in .toml")
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # invalid TOML, an integer of thousands of digits, or deep nesting
        raise ValueError(f"{name}: {error}") from None
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
