"""`python -m mawm.doctor RUN`: likely faults of a run. `--map module:factory`: an environment of your own, examined."""

import contextlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from annotated_types import Interval

from mawm.configs.command_line import fail, parse
from mawm.envs.registry import is_own
from mawm.envs.success import AUTO
from mawm.runtime.console import print_stderr, print_stdout

if TYPE_CHECKING:
    from mawm.results.record import RunRecord

DESCRIPTION = """Name likely faults of a run, or of an environment, with the numbers and what to try.

  python -m mawm.doctor RUN                        reads the log and the settings of a run; also of a folder with runs
  PYTHONPATH=. python -m mawm.doctor --map my_env:make   PettingZoo's tests, scales, masks, speed of an environment

The exit code is 0 whether faults were found or not. docs/doctor.md describes the rules."""


@dataclass(frozen=True)
class Command:
    """The command line."""

    run: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Folders of runs, or folders that hold them."""
    map: str = ""
    """An environment of your own to examine, module:factory."""
    battles: Annotated[int, Interval(ge=1, le=100_000)] = 20
    """Battles with random actions to play with --map."""
    episode_limit: Annotated[int, Interval(ge=1, le=10**6)] = 200
    """Steps after which such a battle is cut, as --own.episode-limit of mawm.train."""
    success: str = AUTO
    """When such a battle counts as won, as --success of mawm.train."""
    json: bool = False
    """Print one JSON line instead of text."""


def main(args: list[str] | None = None) -> int:
    """Parse, read or play, print. Exit codes: 0 done, 2 nothing can be read or the environment cannot be made."""
    command = parse(Command, prog="python -m mawm.doctor", description=DESCRIPTION, args=args)
    if bool(command.run) == bool(command.map):
        fail("give either the folder of a run, or --map module:factory of an environment of your own")
    return _environment(command) if command.map else _runs(command)


def _environment(command: Command) -> int:
    if not is_own(command.map):
        fail(f"--map {command.map}: it must be module:factory of an environment of your own")
    from mawm.auditing.examine import examine, lines_of

    try:
        with contextlib.redirect_stdout(sys.stderr):  # what the environment prints
            found = examine(command.map, command.battles, command.episode_limit, success=command.success)
    except (ValueError, OSError, RuntimeError) as error:
        fail(str(error))
    if command.json:
        remarks = [asdict(remark) for remark in found.remarks]
        print_stdout(json.dumps({**found.facts, "findings": remarks, "learner": found.sentences}))
    else:
        print_stdout("\n".join([f"environment {command.map}", *lines_of(found)]))
    return 0


def _runs(command: Command) -> int:
    from mawm.results.faults import findings_of
    from mawm.results.load import load_runs

    runs, warnings = load_runs(list(command.run))
    if not runs:
        fail(f"no run can be read: {'; '.join(warnings[:3])}")
    for line in warnings:
        print_stderr(line)
    if command.json:
        facts = [
            {"run": str(run.folder), "env_steps": run.env_steps, "finished": run.finished,
             "findings": [asdict(finding) for finding in findings_of(run)]}
            for run in runs
        ]  # fmt: skip
        print_stdout(json.dumps({"runs": facts}))
    else:
        print_stdout("\n\n".join(_text(run) for run in runs))
    return 0


def _text(run: "RunRecord") -> str:
    from mawm.results.faults import RULES, findings_of

    findings = findings_of(run)
    whole = "" if run.finished else f" of {run.config.get('env_steps')}"
    head = f"{run.folder}: {run.method} on {run.map}, {run.env_steps}{whole} environment steps"
    if not findings:
        return f"{head}\nNothing looks wrong ({len(RULES)} rules: {', '.join(RULES)})."
    return "\n".join([head, *(f"! {finding}" for finding in findings)])


if __name__ == "__main__":
    sys.exit(main())
