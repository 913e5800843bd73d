"""Cells: groups of runs that differ in their seed only; and the names of methods in tables and figures."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mawm.methods import METHODS
from mawm.results.record import RunRecord, flat

PLACES = ("seed", "placement", "ray_address", "on_node_loss", "device", "method")
"""Settings that may differ within a cell; those of placement and device change numbers by rounding at most."""


Key = tuple[str, str, float | None, str]


def cell_label(method: str, bandwidth: float | None = None, variant: str = "") -> str:
    """As the paper writes it, `RSSM+Predictors-0.05`, with our name and what else varies in brackets.

    A method that the paper has no name for keeps ours.
    """
    paper = METHODS[method].paper or method if method in METHODS else method
    sent = "" if bandwidth is None else "-ShareAll" if bandwidth >= 1 else f"-{bandwidth:g}"
    ours = "" if paper.lower() == method else method
    inside = ", ".join(part for part in (ours, variant) if part)
    return f"{paper}{sent} ({inside})" if inside else f"{paper}{sent}"


@dataclass(frozen=True)
class Cell:
    """The seeds of one map, method, bandwidth and way of sharing."""

    map: str
    method: str
    bandwidth: float | None
    """Nominal bandwidth; None for a method that always shares nothing or everything."""
    variant: str
    """Other settings that differ from the defaults."""
    runs: tuple[RunRecord, ...]

    @property
    def label(self) -> str:
        """The name in legends and tables."""
        return cell_label(self.method, self.bandwidth, self.variant)

    @property
    def sweep_label(self) -> str:
        """The label among cells that differ in their bandwidth only: `bandwidth 0.05`; the paper's ShareAll is 1."""
        if self.bandwidth is None:
            return self.label
        return "ShareAll (bandwidth 1)" if self.bandwidth >= 1 else f"bandwidth {self.bandwidth:g}"

    @property
    def family(self) -> str:
        """The label without the bandwidth."""
        return ", ".join(part for part in (cell_label(self.method), self.variant) if part)

    @property
    def wins(self) -> bool:
        """Whether a run of the cell has win rates (`RunRecord.wins`)."""
        return any(run.wins for run in self.runs)

    @cached_property
    def finals(self) -> dict[int, float]:
        """Final win rate with greedy actions by seed, for seeds that have one."""
        return self.finals_of("win_rate")

    def finals_of(self, name: str) -> dict[int, float]:
        """A result of the last policy (`RunRecord.final`) by seed, for seeds that have one."""
        return {run.seed: value for run in self.runs if np.isfinite(value := run.final(name))}

    def curves(self, tag: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """The seeds' curves of a tag; seeds without the tag are omitted."""
        return [curve for run in self.runs if len((curve := run.curve(tag))[0])]


def group(runs: Iterable[RunRecord]) -> tuple[list[Cell], list[str]]:
    """The cells in order of map, the paper's methods and bandwidth; and warnings about inconsistent runs."""
    cells: dict[Key, list[RunRecord]] = {}
    warnings = []
    for run in runs:
        key = run.map, run.method, run.bandwidth if run.shares else None, run.variant
        group_runs = cells.setdefault(key, [])
        same_seed = next((other for other in group_runs if other.seed == run.seed), None)
        if same_seed is None:
            group_runs.append(run)
            continue
        longer = run if run.env_steps > same_seed.env_steps else same_seed
        group_runs[group_runs.index(same_seed)] = longer
        differing = _differing([same_seed, run])
        how = f"other {', '.join(differing)}" if differing else "the same settings"
        warnings.append(f"{run.folder}: a second run with seed {run.seed} and {how}; {longer.folder} alone counts")
    order = [*METHODS]
    keys = sorted(
        cells, key=lambda k: (k[0], order.index(k[1]) if k[1] in order else len(order), k[1], k[2] or 0.0, k[3])
    )
    found = [Cell(*key, tuple(sorted(cells[key], key=lambda run: run.seed))) for key in keys]
    for cell in found:
        if mixed := _differing(cell.runs):
            how = f"its runs differ in {', '.join(mixed)}, not in their seeds alone"
            warnings.append(f"{cell.map}, {cell.label}: {how}")
    return found, warnings


def maps_of(cells: Iterable[Cell]) -> list[str]:
    """The maps in order."""
    return list(dict.fromkeys(cell.map for cell in cells))


def best_bandwidths(cells: Iterable[Cell], score: Callable[[Cell], float]) -> list[Cell]:
    """One cell per method: the one with the highest score; among equal scores the one with the lowest bandwidth."""
    best: dict[str, Cell] = {}
    for cell in cells:
        old = best.get(cell.method)
        if old is None or score(cell) > score(old):
            best[cell.method] = cell
    return list(best.values())


def _differing(runs: Sequence[RunRecord]) -> list[str]:
    """Names of the first four settings in which runs differ; a setting that an older version lacks is not compared."""
    settings = [flat({k: v for k, v in run.config.items() if k not in PLACES}) for run in runs]
    names = sorted({name for setting in settings for name in setting})
    if not runs[0].shares:
        names = [name for name in names if not name.startswith(("sharing.", "link."))]
    names = [name for name in names if name != "own.agents"]  # an order, which no result depends on
    mixed = [name for name in names if len({repr(s[name]) for s in settings if name in s}) > 1]
    return mixed[:4] + ([f"{len(mixed) - 4} more"] if len(mixed) > 4 else [])


def lengths(cells: Iterable[Cell]) -> list[str]:
    """A warning for each map whose runs have different numbers of steps."""
    found: dict[str, set[int]] = {}
    for cell in cells:
        for run in cell.runs:
            found.setdefault(cell.map, set()).add(int(run.config.get("env_steps", run.env_steps)))
    return [
        f"{name}: runs of {' and '.join(f'{n:,}' for n in sorted(steps))} steps; final win rates, gains and "
        "probabilities compare different budgets"
        for name, steps in found.items()
        if len(steps) > 1
    ]
