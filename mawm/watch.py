"""`python -m mawm.watch RUN`: battles of a trained team on one HTML page, with what the agents believe and imagine."""

import contextlib
import itertools
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro
from annotated_types import Interval

from mawm.configs.command_line import environment_faults, fail, make_parent, parse, user_errors, writing
from mawm.run_folder.manifest import check_folder, read_config
from mawm.storage.atomic_files import write_whole
from mawm.types import Seed

DESCRIPTION = """Play battles with the newest checkpoint of a run and write them as one HTML page that needs no network.

The page shows the field, or the pictures that an environment of your own draws, and for a clicked agent what its world
model believes, the future that it imagines with the errors of this future, and the segments that it would broadcast.
docs/watch.md says how to read it.

  python -m mawm.watch RUN                    RUN/watch.html with one battle
  python -m mawm.watch RUN --battles 5        five battles in one page
  python -m mawm.watch RUN --gif battle.gif   also the first battle as an animated GIF"""


@dataclass(frozen=True)
class Command:
    """The command line."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's folder."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The page (default: watch.html in the run's folder)."""
    gif: Path | None = None
    """Also write the first battle as an animated GIF of at most 1 MB."""
    battles: Annotated[int, Interval(ge=1, le=100)] = 1
    """Battles to play; each adds at most 1 MB to the page."""
    mode: Literal["sample", "greedy"] = "greedy"
    """Sample each action from the policy, or take its mode."""
    seed: Seed = 0
    """Seed of battles and actions; with 0 the battles are those of python -m mawm.evaluate."""
    agent: Annotated[int, Interval(ge=0, le=10**6)] = 0
    """The agent that is shown first."""


def main(args: list[str] | None = None) -> int:
    """Parse, load, play, write. Exit codes: 0 done, 1 the environment failed, 2 a user error."""
    command = parse(Command, prog="python -m mawm.watch", description=DESCRIPTION, args=args)
    out = command.run / "watch.html" if command.out is None else command.out
    with user_errors():
        check_folder(command.run)
    for flag, path, suffix, kind in (
        ("--out", out, ".html", "page is an HTML"),
        ("--gif", command.gif, ".gif", "film is a GIF"),
    ):
        if path is None:
            continue
        if path.suffix != suffix:
            fail(f"{flag} {path}: the {kind} file; give a name that ends in {suffix}")
        make_parent(flag, path)
    with environment_faults(), contextlib.ExitStack() as cleanup:
        return _watch(command, out, cleanup)


def _watch(command: Command, out: Path, cleanup: contextlib.ExitStack) -> int:
    # torch and numba load only once the command line is right
    from mawm.filming.drawing import film_of
    from mawm.filming.gif import gif_of
    from mawm.filming.recording import recordable
    from mawm.trained.run import load_run
    from mawm.watching.page import page, watched
    from mawm.watching.recording import play

    gif, no_gif = None, ""
    with user_errors(f"{command.run}: "):
        settings = replace(read_config(command.run), seed=command.seed)
        env = cleanup.enter_context(contextlib.closing(recordable(settings, "test")))
        trained = load_run(command.run, env.spaces)
        if command.agent >= env.spaces.n_agents:
            last = env.spaces.n_agents - 1
            raise ValueError(f"--agent {command.agent}: the team has the agents 0 to {last}; name one of them")
        recorded = itertools.islice(play(trained, env, command.mode, command.seed), command.battles)
        first = next(recorded)
        if command.gif is not None:
            try:
                gif = gif_of(film_of(first, env))
            except ValueError as error:  # no pictures: the page is written all the same
                no_gif = str(error)
        content = watched(trained, env, itertools.chain([first], recorded), command.mode, command.seed, command.agent)
    with writing("--out", out):
        write_whole(out, page(content))
    ends = ", ".join(f"{battle['end']} after {battle['steps']} steps" for battle in content["battles"])
    print(f"{out}: {ends}; {out.stat().st_size / 1e6:.2f} MB")
    if no_gif:
        fail(f"--gif {command.gif}: {no_gif}")
    if command.gif is not None and gif is not None:
        with writing("--gif", command.gif):
            write_whole(command.gif, gif.data)
        print(f"{command.gif}: the first battle; {len(gif.data) / 1e6:.2f} MB{gif.note and '; ' + gif.note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
