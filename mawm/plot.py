"""`python -m mawm.plot RUNS -o DIR`: the paper's figures and four of ours, from runs."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from annotated_types import Interval

from mawm.configs.command_line import fail, parse
from mawm.results.study import load_study, require_plot_extra

DESCRIPTION = """Draw the paper's Figures 1-5 and four of ours, each as PNG and SVG, from runs.

A thick line is the interquartile mean over seeds, its band the 95 % bootstrap interval, a thin line a seed.
docs/studies.md says how each number is computed."""


@dataclass(frozen=True)
class Command:
    """The command line."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders that hold runs, at any depth."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("figures")
    """Folder of the figures."""
    map: str = ""
    """Map of the loss figures (default: the paper's 2s_vs_1sc where it was run, else the map with most methods)."""
    agent: str = "agent_0"
    """Whose world model Figure 2 shows."""
    columns: Annotated[int, Interval(ge=1, le=100)] = 2
    """Panels side by side."""
    unfinished: bool = False
    """Show runs that lack steps, too."""


def main(args: list[str] | None = None) -> int:
    """Parse, load, draw, save; a line for every figure, made or not."""
    command = parse(Command, prog="python -m mawm.plot", description=DESCRIPTION, args=args)
    require_plot_extra()
    study = load_study(command.runs, command.unfinished)
    if command.map and command.map not in study.maps:
        fail(f"--map {command.map}: no run; maps with runs: {', '.join(study.maps)}")
    from mawm.results.document import save  # needs the extra `plot`
    from mawm.results.drawing import Look
    from mawm.results.figures import FIGURES, make

    command.out.mkdir(parents=True, exist_ok=True)
    look = Look(columns=command.columns, map=command.map, agent=command.agent)
    for name, (_, caption) in FIGURES.items():
        made = make(name, study.cells, look)
        if isinstance(made, str):
            print(f"{name}: skipped: {made}")
        else:
            print(f"{name}: {', '.join(str(path) for path in save(made, command.out / name))} ({caption})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
