"""`python -m mawm.watch RUN`: battles of a trained team on one HTML page, with what the agents believe and imagine."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from annotated_types import Interval

from mawm.configs.command_line import fail, make_parent, parse, writing
from mawm.types import Seed

DESCRIPTION = """Play battles with the newest checkpoint of a run and write them as one HTML page that needs no network.

The page shows the field, and for a clicked agent what its world model believes, the future that it imagines with the
errors of this future, and the segments that it would broadcast. docs/watch.md says how to read it.

  python -m mawm.watch RUN                    RUN/watch.html with one battle
  python -m mawm.watch RUN --battles 5        five battles in one page"""


@dataclass(frozen=True)
class Command:
    """The command line."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's folder."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The page (default: watch.html in the run's folder)."""
    battles: Annotated[int, Interval(ge=1, le=100)] = 1
    """Battles to play; each adds at most 1 MB to the page."""
    mode: Literal["sample", "greedy"] = "greedy"
    """Sample each action from the policy, or take its mode."""
    seed: Seed = 0
    """Seed of battles and actions; with 0 the battles are those of python -m mawm.evaluate."""
    agent: Annotated[int, Interval(ge=0, le=10**6)] = 0
    """The agent that is shown first."""


def main(args: list[str] | None = None) -> int:
    """Parse, load, play, write. Exit codes: 0 done, 2 a user error."""
    command = parse(Command, prog="python -m mawm.watch", description=DESCRIPTION, args=args)
    out = command.run / "watch.html" if command.out is None else command.out
    if not (command.run / "config.json").is_file():
        fail(f"{command.run} is not a run's folder: it holds no config.json; give the folder that mawm.train printed")
    if out.suffix != ".html":
        fail(f"--out {out}: the page is an HTML file; give a name that ends in .html")
    make_parent("--out", out)
    from mawm.watching.page import watched, write_page  # torch and numba load only once the command line is right
    from mawm.watching.recording import load_trained_team

    try:
        trained = load_trained_team(command.run)
        agents = sum(len(members) for members in trained.team.members)
        if command.agent >= agents:
            raise ValueError(f"--agent {command.agent}: the team has the agents 0 to {agents - 1}; name one of them")
        page = watched(trained, command.battles, command.mode, command.seed, command.agent)
    except (OSError, ValueError) as error:
        fail(f"{command.run}: {error}")
    with writing("--out", out):
        write_page(out, page)
    ends = ", ".join(f"{battle['end']} after {battle['steps']} steps" for battle in page["battles"])
    print(f"{out}: {ends}; {out.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
