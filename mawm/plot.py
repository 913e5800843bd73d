"""`python -m mawm.plot RUNS -o DIR`: the paper's figures and four more, from runs."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from annotated_types import Interval

from mawm.configs.command_line import make_folder, parse, writing
from mawm.results.study import load_study, require_plot_extra

DESCRIPTION = """Draw the paper's Figures 1-5 and four more from runs, each as PNG and SVG.

A thick line is the interquartile mean over seeds. Its band is the 95 % bootstrap interval. A thin line is one seed.
docs/studies.md describes how each number is computed."""


@dataclass(frozen=True)
class Command:
    """The command line."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders with runs, at any depth."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("figures")
    """Folder of the figures."""
    map: str = ""
    """Map of the loss figures (default: 2s_vs_1sc as in the paper if it has runs, else the map with most methods)."""
    agent: str = "agent_0"
    """The agent whose world model is shown in Figure 2."""
    columns: Annotated[int, Interval(ge=1, le=100)] = 2
    """Number of panels side by side."""
    unfinished: bool = False
    """Show unfinished runs, too."""


def main(args: list[str] | None = None) -> int:
    """Parse, load, draw, save. A line is printed for each figure; for a figure that is skipped it gives the reason."""
    command = parse(Command, prog="python -m mawm.plot", description=DESCRIPTION, args=args)
    require_plot_extra()
    study = load_study(command.runs, command.unfinished, command.map)
    from mawm.results.document import save  # needs the extra `plot`
    from mawm.results.drawing import Look
    from mawm.results.figures import FIGURES, make

    make_folder("--out", command.out)
    look = Look(columns=command.columns, map=command.map, agent=command.agent)
    for name, (_, caption) in FIGURES.items():
        figure = make(name, study.cells, look)
        if isinstance(figure, str):  # the reason why it cannot be drawn
            print(f"{name}: skipped: {figure}")
        else:
            with writing("--out", command.out):
                files = save(figure, command.out / name)
            print(f"{name}: {', '.join(map(str, files))} ({caption})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
