"""`python -m mawm.export RUNS -o marl_eval.json`: runs for the evaluation tool marl-eval."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mawm.cli import parse
from mawm.results.marl_eval import layout
from mawm.results.study import load_study

DESCRIPTION = """Write evaluations of runs in the JSON layout of marl-eval: environment, task, algorithm, run, step."""


@dataclass(frozen=True)
class Command:
    """The command line."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders that hold runs, at any depth."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("marl_eval.json")
    """The file."""
    unfinished: bool = False
    """Export runs that lack steps, too."""


def main(args: list[str] | None = None) -> int:
    """Parse, load, write."""
    command = parse(Command, prog="python -m mawm.export", description=DESCRIPTION, args=args)
    study = load_study(command.runs, command.unfinished)
    document, said = layout(study.cells)
    for line in said:
        print(f"mawm: {line}", file=sys.stderr)
    command.out.parent.mkdir(parents=True, exist_ok=True)
    command.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"{command.out}: {len(study.runs)} runs on {len(study.maps)} map(s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
