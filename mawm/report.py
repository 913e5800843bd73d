"""`python -m mawm.report RUNS -o report.html`: all results of a study, in one file that needs no network."""

import shlex
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mawm import __version__
from mawm.configs.command_line import fail, make_parent, parse, writing
from mawm.results.study import Study, load_study, require_plot_extra

if TYPE_CHECKING:
    from mawm.results.document import Item

DESCRIPTION = """Write one self-contained HTML page about runs: tables with intervals, figures, versions and commands.

With --out NAME.md it is a Markdown file for the docs of a repository; its figures are written beside it.
docs/studies.md describes how each number is computed."""


@dataclass(frozen=True)
class Command:
    """The command line."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders with runs, at any depth."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("report.html")
    """The page (.html), or the Markdown file (.md)."""
    title: str = ""
    """The page's title."""
    map: str = ""
    """Map of the loss figures (default: 2s_vs_1sc as in the paper if it has runs, else the map with most methods)."""
    unfinished: bool = False
    """Use unfinished runs, too."""


def main(args: list[str] | None = None) -> int:
    """Parse, load, compute, write."""
    command = parse(Command, prog="python -m mawm.report", description=DESCRIPTION, args=args)
    if command.out.suffix not in (".html", ".md"):
        fail(f"--out {command.out}: give a name that ends in .html (one page) or .md (a file for a repository's docs)")
    require_plot_extra()
    study = load_study(command.runs, command.unfinished, command.map)
    from mawm.results.document import write_markdown, write_page  # needs the extra `plot`

    make_parent("--out", command.out)
    command_line = shlex.join(["python", "-m", "mawm.report", *(sys.argv[1:] if args is None else args)])
    write = write_page if command.out.suffix == ".html" else write_markdown
    title = command.title or f"Runs on {', '.join(study.maps)}"
    with writing("--out", command.out):
        write(command.out, title, _items(study, command.map), f"Made by mawm {__version__} with: {command_line}")
    print(f"{command.out}: {len(study.runs)} runs, {command.out.stat().st_size / 1e6:.1f} MB")
    return 0


def _items(study: Study, map_name: str) -> list["Item"]:
    from mawm.results import tables
    from mawm.results.claims import claims_table
    from mawm.results.document import Bullets, Text

    items: list[Item] = [Text(line) for line in _about(study)]
    if study.warnings:
        items += [Text("Warnings", 2), Bullets(tuple(study.warnings))]
    items.append(Text("Results", 2))
    if (claims := claims_table(study.cells)) is not None:
        items.append(claims)
    for name in study.maps:
        makers = (
            tables.results_table, tables.speed_table, tables.conditions_table, tables.deployment_table,
            tables.improvement_table, tables.difference_table,
        )  # fmt: skip
        items += [table for make in makers if (table := make(name, study.cells)) is not None]
    items += [Text("Figures", 2), *_figures(study, map_name), Text("How it was made", 2)]
    last = tables.runs_table(study.cells), tables.facts_table(study.runs), tables.commands_table(study.runs)
    return [*items, *last]


def _about(study: Study) -> list[str]:
    runs = study.runs
    methods = list(dict.fromkeys(cell.family for cell in study.cells))
    steps = sorted({int(run.config.get("env_steps", run.env_steps)) for run in runs})
    budget = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
    battles = Counter(run.final_battles for run in runs)
    basis = ", ".join(f"{n or 'an unknown number of'} battles in {count} run(s)" for n, count in battles.most_common())
    paragraphs = [
        f"{len(runs)} runs on {len(study.maps)} map(s) with {len({run.seed for run in runs})} different seed(s) and "
        f"{budget} environment steps each. Methods, with the paper's names first: {'; '.join(methods)}.",
        f"A win rate is the share of evaluation battles won. A final result is that of the last policy over {basis}. "
        "The same battles are played with greedy and with sampled actions. Actions are greedy unless stated otherwise.",
    ]
    if engines := sorted({run.engine for run in runs} - {""}):
        paragraphs.append(
            f"Battles ran in the {' and the '.join(engines)}, which replaces StarCraft II. Compare the methods with "
            "each other. Before a comparison with published win rates, read docs/engine.md about the engine's fidelity."
        )
    if plain := sorted({cell.map for cell in study.cells} - {cell.map for cell in study.cells if cell.wins}):
        paragraphs.append(
            f"On {', '.join(plain)} nothing is known to be a win, so teams are compared by their returns."
        )
    if own := sorted({run.map for run in runs if run.own}):
        paragraphs.append(f"Battles on {', '.join(own)} ran in the user's own environment, not in an engine of mawm.")
    return paragraphs


def _figures(study: Study, map_name: str) -> list["Item"]:
    from mawm.results.document import Bullets, Picture
    from mawm.results.drawing import Look
    from mawm.results.figures import FIGURES, make

    shown: list[Item] = []
    skipped = []
    for name, (_, caption) in FIGURES.items():
        wide, narrow = (make(name, study.cells, Look(columns=columns, map=map_name)) for columns in (2, 1))
        if isinstance(wide, str) or isinstance(narrow, str):
            skipped.append(f"{caption}: not shown: {wide}")
        else:
            shown.append(Picture(name, caption, wide, narrow))
    return [*shown, Bullets(tuple(skipped))] if skipped else shown


if __name__ == "__main__":
    sys.exit(main())
