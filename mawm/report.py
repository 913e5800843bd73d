"""`python -m mawm.report RUNS -o report.html`: everything a study says, in one file that needs no network."""

import shlex
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mawm import __version__
from mawm.cli import fail, parse
from mawm.results.extra import require_plot_extra
from mawm.results.study import Study, load_study

DESCRIPTION = """Write one self-contained HTML page about runs: tables with intervals, figures, versions and commands.

docs/figures.md says how each number is computed."""


@dataclass(frozen=True)
class Command:
    """The command line."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders that hold runs, at any depth."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("report.html")
    """The page."""
    title: str = ""
    """The page's title."""
    map: str = ""
    """Map of the loss figures (default: the paper's 2s_vs_1sc where it was run, else the map with most methods)."""
    unfinished: bool = False
    """Count runs that lack steps, too."""


def main(args: list[str] | None = None) -> int:
    """Parse, load, compute, write."""
    command = parse(Command, prog="python -m mawm.report", description=DESCRIPTION, args=args)
    if command.out.suffix not in (".html", ".htm"):
        fail(f"--out {command.out}: the report is a page; give a name that ends in .html")
    require_plot_extra()
    study = load_study(command.runs, command.unfinished)
    if command.map and command.map not in study.maps:
        fail(f"--map {command.map}: no run; maps with runs: {', '.join(study.maps)}")
    command.out.parent.mkdir(parents=True, exist_ok=True)
    typed = shlex.join(["python", "-m", "mawm.report", *(sys.argv[1:] if args is None else args)])
    command.out.write_text(_page(study, command, typed), encoding="utf-8")
    print(f"{command.out}: {len(study.runs)} runs, {command.out.stat().st_size / 1e6:.1f} MB; open it in any browser")
    return 0


def _page(study: Study, command: Command, typed: str) -> str:
    from mawm.results.page import list_html, page, table_html, text_html
    from mawm.results.tables import (  # the extra is here by now
        commands_table,
        difference_table,
        facts_table,
        improvement_table,
        results_table,
    )

    body = [text_html(line) for line in _about(study)]
    if study.warnings:
        body += [text_html("What to know of these runs", "h3"), list_html(study.warnings)]
    body.append(text_html("Results", "h2"))
    for name in study.maps:
        tables = (make(name, study.cells) for make in (results_table, improvement_table, difference_table))
        body += [table_html(table) for table in tables if table is not None]
    body += [text_html("Figures", "h2"), *_figures(study, command.map), text_html("How it was made", "h2")]
    body += [table_html(facts_table(study.runs)), table_html(commands_table(study.runs)), "</main>"]
    body.append(f"<footer>{text_html(f'Made by mawm {__version__} with: {typed}')}</footer>")
    return page(command.title or f"Runs on {', '.join(study.maps)}", body)


def _about(study: Study) -> list[str]:
    runs = study.runs
    methods = list(dict.fromkeys(cell.family for cell in study.cells))
    steps = sorted({int(run.config.get("env_steps", run.env_steps)) for run in runs})
    budget = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
    battles = Counter(run.final_battles for run in runs)
    basis = ", ".join(f"{n or 'an unknown number of'} battles in {count} run(s)" for n, count in battles.most_common())
    told = [
        f"{len(runs)} runs on {len(study.maps)} map(s) with {len({run.seed for run in runs})} different seed(s) and "
        f"{budget} environment steps each. Methods, with the paper's names first: {'; '.join(methods)}.",
        f"A win rate is the share of evaluation battles won; final: the last policy over {basis}.",
    ]
    if any(run.config.get("env", "skirmish") != "smac" for run in runs):
        told.append(
            "Battles ran in the embedded engine, which stands in for StarCraft II: orderings between methods are what "
            "to read here, not win rates to compare with published ones."
        )
    return told


def _figures(study: Study, map_name: str) -> list[str]:
    from mawm.results.drawing import Look
    from mawm.results.figures import FIGURES, make
    from mawm.results.images import data_address
    from mawm.results.page import figure_html, list_html

    shown, skipped = [], []
    for name, (_, caption) in FIGURES.items():
        wide, narrow = (make(name, study.cells, Look(columns=columns, map=map_name)) for columns in (2, 1))
        if isinstance(wide, str) or isinstance(narrow, str):
            skipped.append(f"{caption}: not shown: {wide}")
        else:
            shown.append(figure_html(data_address(wide), data_address(narrow), caption))
    return [*shown, list_html(skipped)] if skipped else shown


if __name__ == "__main__":
    sys.exit(main())
