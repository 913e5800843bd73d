"""Grids of runs, and the sweeps that come with the package: TOML files with one `[[grid]]` after another."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Interval

from mawm.configs.presets import merge, text_of
from mawm.configs.train import TrainConfig
from mawm.types import Seed, Share, Steps


@dataclass(frozen=True)
class Grid:
    """All combinations of some settings; a method that shares nothing has one run a map and seed."""

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
    """How many seeds: FIRST_SEED, FIRST_SEED + 1, ..."""
    first_seed: Seed = 0
    """The first of them."""
    env_steps: Steps = TrainConfig.env_steps
    """Environment steps of every run."""
    train_preset: str = "default"
    """Preset of mawm.train that every run starts from."""
    label: str = ""
    """A word in the names of these runs, where TRAIN_ARGS is all that tells them from another grid's."""
    train_args: str = ""
    """Further arguments of mawm.train for every run, in one string: --train-args="--precision bf16"."""


def load_sweep(name: str) -> list[Grid]:
    """The grids of a sweep by name, or of a file. ValueError for an unknown name, an unknown key or a wrong type."""
    if name.endswith(".toml"):
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{name}: cannot be read ({error})") from None
    else:
        text = text_of("sweeps", name, ", or a path that ends in .toml")
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # no TOML, an integer of thousands of digits, or too deep
        raise ValueError(f"{name}: {error}") from None
    grids = document.get("grid")
    if set(document) != {"grid"} or not isinstance(grids, list) or not all(isinstance(g, dict) for g in grids):
        raise ValueError(f"{name}: a sweep is one or more tables [[grid]]; got {', '.join(document) or 'nothing'}")
    return [merge(Grid(), table, f"{name}, grid {i}") for i, table in enumerate(grids, 1)]


def check_grid(grid: Grid) -> None:
    """ValueError for what no run would notice: a list without or with doubled items."""
    for key in ("maps", "methods", "bandwidth", "selectors", "channels", "wires"):
        items = getattr(grid, key)
        if not items or len(set(items)) < len(items):
            raise ValueError(f"{key} must name at least one, and each once; got {' '.join(map(str, items)) or 'none'}")
