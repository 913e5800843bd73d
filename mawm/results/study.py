"""All runs of a question, sorted into cells."""

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

from mawm.configs.command_line import fail
from mawm.results.cells import Cell, group, lengths, maps_of
from mawm.results.load import load_runs
from mawm.results.record import RunRecord

PLOT_EXTRA = ("matplotlib", "scipy", "jinja2")


@dataclass(frozen=True)
class Study:
    """The runs that count, and a line for whatever does not."""

    cells: list[Cell]
    warnings: list[str]

    @property
    def maps(self) -> list[str]:
        """The maps in order."""
        return maps_of(self.cells)

    @property
    def runs(self) -> list[RunRecord]:
        """The runs in the order of their cells."""
        return [run for cell in self.cells for run in cell.runs]

    @classmethod
    def load(cls, paths: list[Path], unfinished: bool = False) -> "Study":
        """The runs below some folders. ValueError where none counts."""
        runs, said = load_runs(paths)
        kept = [run for run in runs if unfinished or run.finished]
        for run in runs:
            if not run.finished:
                what = "shown as it stands" if unfinished else "left out without --unfinished"
                said.append(f"{run.folder}: {run.env_steps} of {run.config['env_steps']} steps; {what}")
        if not kept:
            where = ", ".join(map(str, paths)) or "no folder"
            why = f"{len(runs)} unfinished, see --unfinished" if runs else "; ".join(said[:3]) or "no config.json"
            raise ValueError(f"no run to show at {where}: {why}")
        cells, doubts = group(kept)
        return cls(cells, said + doubts + lengths(cells))


def load_study(paths: tuple[Path, ...], unfinished: bool) -> Study:
    """What the commands do first: load, and say what does not count; exit code 2 where nothing is left."""
    try:
        study = Study.load(list(paths), unfinished)
    except ValueError as error:
        fail(str(error))
    for line in study.warnings:
        sys.stderr.write(f"mawm: {line}\n")
    return study


def require_plot_extra() -> None:
    """End with exit code 2 and the pip command if a package of the extra `plot` is not installed."""
    missing = [name for name in PLOT_EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        fail(f"figures, intervals and pages need {', '.join(missing)}: pip install -c constraints.txt -e '.[plot]'")
