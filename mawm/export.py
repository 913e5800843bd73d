"""`python -m mawm.export RUNS -o FILE`: a study in one file, for marl-eval or for a repository."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mawm.configs.command_line import fail, make_parent, parse, writing
from mawm.results.condensed import ENDING, write_condensed
from mawm.results.marl_eval import layout
from mawm.results.study import load_study

DESCRIPTION = """Write runs into one file.

A name that ends in .json: evaluations in the JSON layout of marl-eval (environment, task, algorithm, run, step).
A name that ends in .jsonl.gz: a condensed study with the curves that tables and figures need. mawm.report, mawm.plot
and mawm.export read it like the folders of the runs."""


@dataclass(frozen=True)
class Command:
    """The command line."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders with runs, at any depth, or condensed studies."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("marl_eval.json")
    """The file. Its ending determines the layout."""
    unfinished: bool = False
    """Export unfinished runs, too."""


def main(args: list[str] | None = None) -> int:
    """Parse, load, write."""
    command = parse(Command, prog="python -m mawm.export", description=DESCRIPTION, args=args)
    if not command.out.name.endswith((".json", ENDING)):
        fail(f"--out {command.out}: give a name that ends in .json (for marl-eval) or {ENDING} (a condensed study)")
    study = load_study(command.runs, command.unfinished)
    make_parent("--out", command.out)
    if command.out.name.endswith(ENDING):
        with writing("--out", command.out):
            write_condensed(study.runs, command.out)
    else:
        document, warnings = layout(study.cells)
        for line in warnings:
            print(f"mawm: {line}", file=sys.stderr)
        with writing("--out", command.out):
            command.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"{command.out}: {len(study.runs)} runs on {len(study.maps)} map(s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
