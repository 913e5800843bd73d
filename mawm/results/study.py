"""A study: all runs of some folders, grouped into cells."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from mawm import not_loaded
from mawm.configs.command_line import fail, user_errors
from mawm.results.cells import Cell, group, lengths, maps_of
from mawm.results.load import load_runs
from mawm.results.record import RunRecord
from mawm.runtime.console import print_stderr

PLOT_EXTRA = ("matplotlib", "scipy", "jinja2")


@dataclass(frozen=True)
class Study:
    """The runs that count, and warnings about the others."""

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
        """The runs below some folders. ValueError if none counts."""
        runs, warnings = load_runs(paths)
        if missing := sorted({name for run in runs for name in not_loaded(run.facts.get("plugins"))}):
            warnings.append(
                f"runs were started with MAWM_PLUGINS={','.join(missing)}, which is not loaded now: without it the "
                "bandwidth, selector and channel of their methods are not shown; set it again"
            )
        kept = [run for run in runs if unfinished or run.finished]
        for run in runs:
            if not run.finished:
                how = "shown as it is" if unfinished else "left out without --unfinished"
                warnings.append(f"{run.folder}: {run.env_steps} of {run.config['env_steps']} steps; {how}")
        if not kept:
            where = ", ".join(map(str, paths)) or "no folder"
            reason = (
                f"{len(runs)} unfinished, see --unfinished" if runs else "; ".join(warnings[:3]) or "no config.json"
            )
            raise ValueError(f"no run to show at {where}: {reason}")
        cells, inconsistent = group(kept)
        return cls(cells, warnings + inconsistent + lengths(cells))


def load_study(paths: tuple[Path, ...], unfinished: bool, map_name: str = "") -> Study:
    """Load a study and print its warnings; exit code 2 if no run counts, or none of a map."""
    with user_errors():
        study = Study.load(list(paths), unfinished)
    for line in study.warnings:
        print_stderr(line)
    if map_name and map_name not in study.maps:
        fail(f"--map {map_name}: no run; maps with runs: {', '.join(study.maps)}")
    return study


def require_plot_extra() -> None:
    """End with exit code 2 and the pip command if a package of the extra `plot` is not installed."""
    missing = [name for name in PLOT_EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        fail(f"figures, intervals and pages need {', '.join(missing)}: pip install -c constraints.txt -e '.[plot]'")
