"""Expands a grid of settings into runs."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from mawm.configs.check import check
from mawm.configs.presets import load_preset, merge
from mawm.configs.sweeps import Grid
from mawm.configs.train import TrainConfig
from mawm.envs.registry import short_name

WAYS = ("selector", "channel", "wire")
"""Settings of sharing that a grid may vary. A run's name contains those that differ from the defaults."""


@dataclass(frozen=True)
class PlannedRun:
    """One run: its name, which is also its folder's name, its settings, and its arguments for mawm.train."""

    name: str
    config: TrainConfig
    args: tuple[str, ...]
    evaluate_args: tuple[str, ...] = ()
    """Further arguments of mawm.evaluate, which plays the last policy's battles."""

    @property
    def kind(self) -> TrainConfig:
        """The settings that its duration depends on: all but the seed and the sharing."""
        return replace(self.config, seed=0, sharing=TrainConfig().sharing)

    @property
    def settings(self) -> tuple[str, ...]:
        """The arguments without the number of steps, which may change after the start of a run."""
        return without_steps(self.args)


def without_steps(args: Sequence[str]) -> tuple[str, ...]:
    """Arguments of mawm.train without `--env-steps`."""
    at = args.index("--env-steps")
    return (*args[:at], *args[at + 2 :])


def expand(grids: list[Grid], base: Callable[[Grid], TrainConfig], selects: Callable[[str], bool]) -> list[PlannedRun]:
    """Every run of some grids once, ordered by grid and seed, so that each method finishes a first seed early.

    `base` gives a grid's initial configuration. `selects` is whether a method depends on bandwidth, selector, channel
    and wire; a method that does not has one run per map and seed. ValueError if two different runs have the same name.
    """
    runs: dict[str, PlannedRun] = {}
    for grid in grids:
        start = base(grid)
        for seed in range(grid.first_seed, grid.first_seed + grid.seeds):
            for map_name in grid.maps:
                for run in _runs(grid, start, map_name, seed, selects):
                    same = runs.setdefault(run.name, run)
                    if same != run:
                        commands = " and ".join(f"`{shlex.join(each.args)}`" for each in (same, run))
                        raise ValueError(f"two different runs have the name {run.name}: {commands}")
    return list(runs.values())


def _runs(grid: Grid, start: TrainConfig, map_name: str, seed: int, selects: Callable[[str], bool]) -> list[PlannedRun]:
    runs = []
    for method in grid.methods:
        own: dict[str, Any] = {"map": map_name, "method": method, "seed": seed, "env_steps": grid.env_steps}
        plain = merge(start, own, "sweep")
        if not selects(method):
            runs.append(_planned(grid, plain, selects=False))
            continue
        for bandwidth, *ways in product(grid.bandwidth, grid.selectors, grid.channels, grid.wires):
            sharing = {"bandwidth": bandwidth, **dict(zip(WAYS, ways, strict=True))}
            runs.append(_planned(grid, merge(plain, {"sharing": sharing}, "sweep"), selects=True))
    return runs


def _planned(grid: Grid, config: TrainConfig, selects: bool) -> PlannedRun:
    check(replace(config, placement=grid.placement))
    sharing, plain, preset = config.sharing, TrainConfig().sharing, load_preset(grid.train_preset).sharing
    words = [short_name(config.map), config.method]
    args = ["--map", config.map, "--method", config.method, "--seed", str(config.seed)]
    if selects:
        words.append(f"b{sharing.bandwidth:g}")
        args += ["--bandwidth", f"{sharing.bandwidth:g}"]
        for way in WAYS:
            value = getattr(sharing, way)
            if value != getattr(plain, way):
                words.append(value.replace(":", "."))
            if value != getattr(preset, way):
                args += [f"--{way}", value]
    args += ["--env-steps", str(config.env_steps), "--preset", grid.train_preset, "--placement", grid.placement]
    name = "_".join([*words, *([grid.label] if grid.label else []), f"s{config.seed}"])
    return PlannedRun(name, config, (*args, *shlex.split(grid.train_args)), tuple(shlex.split(grid.evaluate_args)))
