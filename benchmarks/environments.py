"""Cooperative environments of other packages (the extra `environments`), and trained teams against random play."""

import importlib
import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mawm.configs.presets import merge
from mawm.configs.train import TrainConfig
from mawm.envs.registry import make_env, names_success
from mawm.evaluation import SIGMAS_95, evaluate
from mawm.results.load import load_runs
from mawm.results.record import RunRecord
from mawm.seeds import named_generator
from mawm.team import Actors
from mawm.types import Bools, Floats, Ints

EXTRA = "pip install -c constraints.txt -e '.[environments]'"
MODES = ("return", "return_sampled")


def spread() -> Any:
    """Three agents of the multi-particle environments, which should stand on three landmarks without touching."""
    return _imported("mpe2.simple_spread_v3").parallel_env(max_cycles=25)


def foraging() -> Any:
    """Two agents on 8 x 8 cells and two items of food. An item goes to agents whose levels add up to its level."""
    _imported("lbforaging")
    return _imported("gymnasium").make("Foraging-8x8-2p-2f-v3", disable_env_checker=True)


def pursuit() -> Any:
    """Four pursuers on 10 x 10 cells, and eight evaders that move at random. Two pursuers catch an evader together."""
    module = _imported("pettingzoo.sisl.pursuit_v5")
    return module.parallel_env(n_pursuers=4, n_evaders=8, x_size=10, y_size=10, max_cycles=100, surround=False)


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{name.partition('.')[0]} is missing ({error}); the extra has it: {EXTRA}") from None


class RandomTeam(Actors):
    """Plays uniformly random allowed actions."""

    def __init__(self, agents: int, rng: np.random.Generator) -> None:
        self.members = (tuple(range(agents)),)
        self._rng = rng

    def act(self, obs: Floats, avail: Bools, is_first: Bools, *, slot: str, mode: str) -> Ints:
        """Actions (B, N)."""
        chosen: Ints = np.where(avail, self._rng.random(avail.shape), -1.0).argmax(-1)
        return chosen


@dataclass(frozen=True)
class Row:
    """The teams of one method on one environment, beside random play. Lists have an item for each seed."""

    map: str
    method: str
    seeds: list[int]
    env_steps: int
    random: float
    """Mean return of random play."""
    random_half: float
    """Half-width of the 95 % interval of this mean."""
    greedy: list[float]
    """Mean return of the last policy with greedy actions."""
    sampled: list[float]
    win_rates: list[float]
    """Win rates with greedy actions; empty if the runs name no success."""
    random_win_rate: float
    minutes: float
    """Median wall time of one run."""

    @property
    def better(self) -> int:
        """The number of seeds whose greedy return is above the interval of random play."""
        return sum(value > self.random + self.random_half for value in self.greedy)

    def json(self) -> dict[str, Any]:
        """The row as values that `json` can write."""
        return asdict(self) | {"better": self.better}


def rows(folder: Path, battles: int) -> list[Row]:
    """A row for each environment and method of the finished runs in a folder, or in a condensed study.

    Random play is measured on `battles` battles, those of mawm.evaluate. ValueError if there is no finished run.
    """
    cells: dict[tuple[str, str], list[RunRecord]] = {}
    for run in sorted(load_runs([folder])[0], key=lambda run: run.seed):
        if run.finished:
            cells.setdefault((run.map, run.method), []).append(run)
    if not cells:
        raise ValueError(f"{folder} holds no finished run; start them with python -m mawm.sweep --preset environments")
    played = {cell[0]: random_play(_settings(runs[0]), battles) for cell, runs in cells.items()}
    return [_row(*cell, runs, played[cell[0]]) for cell, runs in cells.items()]


def _settings(run: RunRecord) -> TrainConfig:
    return merge(TrainConfig(), run.config, str(run.folder))


def random_play(config: TrainConfig, battles: int) -> tuple[float, float, float]:
    """Mean return of random play, half of its 95 % interval, and the win rate, in the battles of mawm.evaluate."""
    with closing(make_env(replace(config, seed=0), "test", battles)) as env:
        team = RandomTeam(env.spaces.n_agents, named_generator(0, "random play"))
        outcome = evaluate(env, team, battles)
    return outcome.mean_return, SIGMAS_95 * outcome.return_deviation / math.sqrt(battles), outcome.win_rate


def _row(name: str, method: str, runs: list[RunRecord], played: tuple[float, float, float]) -> Row:
    greedy, sampled = ([run.final(mode) for run in runs] for mode in MODES)
    named = names_success(_settings(runs[0]))
    mean, half, rate = played
    return Row(
        name,
        method,
        [run.seed for run in runs],
        min(run.env_steps for run in runs),
        mean,
        half,
        greedy,
        sampled,
        [run.final("win_rate") for run in runs] if named else [],
        rate,
        float(np.median([run.last("wall_s") for run in runs])) / 60,
    )


def text(table: list[Row]) -> Iterator[str]:
    """The rows as a Markdown table."""
    yield "| environment | method | steps | random play | greedy, by seed | sampled, by seed | better | won | minutes |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in table:
        won = f"{100 * row.random_win_rate:.0f} % -> {_listed([100 * rate for rate in row.win_rates], '.0f')} %"
        cells = (
            row.map.partition(":")[2] or row.map,
            row.method,
            f"{row.env_steps:,}",
            f"{row.random:.3g} ± {row.random_half:.2g}",
            _listed(row.greedy, ".3g"),
            _listed(row.sampled, ".3g"),
            f"{row.better} of {len(row.greedy)}",
            won if row.win_rates else "no success named",
            f"{row.minutes:.0f}",
        )
        yield f"| {' | '.join(cells)} |"


def _listed(values: list[float], form: str) -> str:
    return ", ".join(format(value, form) for value in values)
