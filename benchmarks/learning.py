"""Compares the learning speed of methods with published results on StarCraft II, one row for each map and method."""

import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from mawm.results.load import load_runs
from mawm.results.record import WIN_RATE, RunRecord

LEVELS = (50, 80, 90, 95)
"""Win rates in percent."""


@dataclass(frozen=True)
class Curves:
    """Environment steps at which each seed's win rate first reaches a level (None: never), and final win rates."""

    steps: dict[int, list[int | None]]
    final: list[float]

    def median(self, level: int) -> int | None:
        """Median over seeds of the steps to a level, with infinity for seeds that never reach it; None if infinite."""
        steps = float(np.median([np.inf if reached is None else reached for reached in self.steps[level]]))
        return int(steps) if np.isfinite(steps) else None


@dataclass(frozen=True)
class Row:
    """One method on one map, over all its seeds."""

    map: str
    method: str
    seeds: list[int]
    env_steps: int
    sampled: Curves
    """Win rate of evaluations with sampled actions; `final` is of separate battles after training."""
    greedy: Curves
    """The same with greedy actions."""
    training: Curves
    """Win rate of the last hundred training battles; half of them have greedy actions (`behaviour.greedy_battles`)."""
    minutes: float
    """Median wall time of one run."""
    published: dict[str, str]
    """Published results on the real game, as text by method."""

    def json(self) -> dict[str, Any]:
        """The row as values that `json` can write."""
        medians = {f"{name}_median": {n: curves.median(n) for n in LEVELS} for name, curves in self._curves().items()}
        return asdict(self) | medians

    def _curves(self) -> dict[str, Curves]:
        return {"sampled": self.sampled, "greedy": self.greedy, "training": self.training}

    def lines(self) -> Iterator[str]:
        """Three lines of a table: evaluations with sampled actions, with greedy actions, and training battles."""
        for name, curves in self._curves().items():
            head = (self.map, self.method, f"{self.minutes:.1f}") if name == "sampled" else ("", "", "")
            cells = "".join(f"{_steps_cell(curves, level):<17}" for level in LEVELS)
            rates = 100 * np.array(curves.final)
            last = f"{np.median(rates):.0f} % [{rates.max():.0f} - {rates.min():.0f}]"
            yield f"{head[0]:<12}{head[1]:<13}{name:<10}{cells}{last:<19}{head[2]}".rstrip()


def rows(folder: Path, maps: tuple[str, ...], methods: tuple[str, ...], seeds: range) -> list[Row]:
    """Rows for the runs in a folder, or in a condensed study, that have these maps, methods and seeds.

    Cells without runs have no row. ValueError if there is no row.
    """
    published = tomllib.loads((resources.files("mawm.benchmarks") / "learning.toml").read_text())
    runs = sorted(load_runs([folder])[0], key=lambda run: run.seed)
    table = []
    for map_name in maps:
        for method in methods:
            cell = [r for r in runs if (r.config["map"], r.method) == (map_name, method) and r.seed in seeds]
            if cell:
                table.append(_row(map_name, method, cell, published.get(map_name, {})))
    if not table:
        raise ValueError(f"{folder} holds no run of {', '.join(methods)} on {', '.join(maps)} with these seeds")
    return table


def _row(map_name: str, method: str, runs: list[RunRecord], published: dict[str, str]) -> Row:
    return Row(
        map_name,
        method,
        [run.seed for run in runs],
        max(run.env_steps for run in runs),
        _curves(runs, "eval/win_rate_sampled", [run.final("win_rate_sampled") for run in runs]),
        _curves(runs, WIN_RATE, [run.final("win_rate") for run in runs]),
        _curves(runs, "train/win_rate", [run.last("train/win_rate") for run in runs]),
        float(np.median([run.last("wall_s") for run in runs])) / 60,
        published,
    )


def _curves(runs: list[RunRecord], tag: str, final: list[float]) -> Curves:
    return Curves({level: [_first(run, tag, level / 100) for run in runs] for level in LEVELS}, final)


def _first(run: RunRecord, tag: str, level: float) -> int | None:
    steps, rates = run.curve(tag)
    reached = steps[rates >= level]
    return int(reached[0]) if len(reached) else None


def text(done: list[Row]) -> Iterator[str]:
    """Lines of a table; published results follow the rows of each map."""
    yield "environment steps to a win rate, and the last win rate: median of the seeds [best - worst]; -: never reached"
    yield "sampled, greedy: evaluations, the last one on separate battles; training: the last hundred battles"
    titles = "".join(f"{f'{level} %':<17}" for level in LEVELS)
    yield f"{'map':<12}{'method':<13}{'battles':<10}{titles}{'last':<19}minutes"
    for i, row in enumerate(done):
        yield from row.lines()
        if i == len(done) - 1 or done[i + 1].map != row.map:
            yield from (f"  published on the real game: {name} {result}" for name, result in row.published.items())


def _steps_cell(curves: Curves, level: int) -> str:
    each = sorted(curves.steps[level], key=lambda steps: np.inf if steps is None else steps)
    return f"{_thousands(curves.median(level))} [{_thousands(each[0])} - {_thousands(each[-1])}]"


def _thousands(steps: int | None) -> str:
    return "-" if steps is None else f"{steps / 1000:.0f}k"
