"""Compares how fast methods learn with published results on the real StarCraft II: one row a map and method."""

import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from mawm.results.load import WIN_RATE, RunRecord, load_runs

LEVELS = (50, 80, 90)
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
    """Win rate of the last hundred training battles, with sampled actions."""
    greedy: Curves
    """Win rate of greedy evaluations during training; `final` is of other battles, never used in training."""
    minutes: float
    """Median wall time of one run."""
    published: dict[str, str]
    """Published results on the real game: method to text."""

    def json(self) -> dict[str, Any]:
        """The row as values that `json` can write."""
        medians = {f"{name}_median": {n: curves.median(n) for n in LEVELS} for name, curves in self._curves().items()}
        return asdict(self) | medians

    def _curves(self) -> dict[str, Curves]:
        return {"sampled": self.sampled, "greedy": self.greedy}

    def lines(self) -> Iterator[str]:
        """Two lines of a table: for training battles (sampled) and for evaluations (greedy)."""
        for what, curves in self._curves().items():
            head = (self.map, self.method, f"{self.minutes:.1f}") if what == "sampled" else ("", "", "")
            cells = [f"{_thousands(curves.median(n))} ({' '.join(map(_thousands, curves.steps[n]))})" for n in LEVELS]
            final = f"{100 * np.mean(curves.final):.0f} %"
            yield f"{head[0]:<12}{head[1]:<9}{what:<9}" + "".join(f"{c:<22}" for c in cells) + f"{final:<8}{head[2]}"


def rows(folder: Path, maps: tuple[str, ...], methods: tuple[str, ...], seeds: range) -> list[Row]:
    """Rows for the runs in a sweep's folder that have these maps, methods and seeds. Other runs in it are ignored."""
    published = tomllib.loads((resources.files("mawm.benchmarks") / "learning.toml").read_text())
    runs, _ = load_runs([folder])
    found = []
    for map_name in maps:
        for method in methods:
            cell = [r for r in runs if (r.config["map"], r.method) == (map_name, method) and r.seed in seeds]
            cell.sort(key=lambda run: run.seed)
            found.append(_row(map_name, method, cell, published.get(map_name, {})))
    return found


def _row(map_name: str, method: str, runs: list[RunRecord], published: dict[str, str]) -> Row:
    return Row(
        map_name,
        method,
        [run.seed for run in runs],
        max(run.env_steps for run in runs),
        _curves(runs, "train/win_rate", [run.last("train/win_rate") for run in runs]),
        _curves(runs, WIN_RATE, [run.final_win_rate for run in runs]),
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
    yield "environment steps to a win rate: median (each seed), on the embedded engine; below a map, on StarCraft II"
    yield "sampled: of the last hundred battles of training; greedy: of evaluations, the last one on battles of its own"
    titles = "".join(f"{f'{level} %':<22}" for level in LEVELS)
    yield f"{'map':<12}{'method':<9}{'battles':<9}{titles}{'final':<8}minutes"
    for i, row in enumerate(done):
        yield from row.lines()
        if i == len(done) - 1 or done[i + 1].map != row.map:
            yield from (f"  published on the real game: {name} {said}" for name, said in row.published.items())


def _thousands(steps: int | None) -> str:
    return "-" if steps is None else f"{steps / 1000:.0f}k"
