"""`python -m mawm.export`: runs as a study in one file, or one agent of a run as a program that runs without mawm."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mawm.configs.command_line import environment_faults, fail, make_parent, parse, user_errors, writing
from mawm.results.condensed import ENDING, write_condensed
from mawm.results.marl_eval import layout
from mawm.results.study import load_study
from mawm.runtime.console import print_stderr

DESCRIPTION = """Write runs into one file: their results, or the policy of one trained agent.

  python -m mawm.export RUNS -o marl_eval.json      evaluations in the JSON layout of marl-eval
  python -m mawm.export RUNS -o study.jsonl.gz      a condensed study: the curves that tables and figures need
  python -m mawm.export RUN --policy agent_0.pt2    one agent's acting step as a program of torch.export

mawm.report, mawm.plot and mawm.export read a condensed study like the folders of its runs. A policy needs only torch:
docs/evaluating.md shows a few lines that use the file."""
MARL_EVAL = Path("marl_eval.json")


@dataclass(frozen=True)
class Command:
    """The command line."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders with runs, at any depth, or condensed studies; with --policy the folder of one run."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The file of the results (default: marl_eval.json). Its ending determines the layout."""
    unfinished: bool = False
    """Export the results of unfinished runs, too."""
    policy: Path | None = None
    """Write the acting step of one agent of the run's newest checkpoint into this file, which ends in .pt2."""
    agent: str = ""
    """The agent of --policy (default: the first one)."""
    mode: Literal["sample", "greedy"] = "greedy"
    """Actions of --policy: the mode of the policy, or sampled with the noise that the caller gives."""


def main(args: list[str] | None = None) -> int:
    """Parse, load, write. Exit codes: 0 done, 1 the environment failed, 2 a user error."""
    command = parse(Command, prog="python -m mawm.export", description=DESCRIPTION, args=args)
    if command.policy is None:
        if command.agent or command.mode != "greedy":
            fail("--agent and --mode choose what --policy writes; name its file, as in --policy agent_0.pt2")
        return _results(command, command.out or MARL_EVAL)
    if command.out is not None or command.unfinished:
        fail("--out and --unfinished are of results, --policy writes the policy of an agent; give one of them")
    if len(command.runs) != 1:
        fail(f"--policy is of one run; got {len(command.runs)} folders")
    return _policy(command, command.runs[0], command.policy)


def _results(command: Command, out: Path) -> int:
    if not out.name.endswith((".json", ENDING)):
        fail(f"--out {out}: give a name that ends in .json (for marl-eval) or {ENDING} (a condensed study)")
    study = load_study(command.runs, command.unfinished)
    make_parent("--out", out)
    if out.name.endswith(ENDING):
        with writing("--out", out):
            write_condensed(study.runs, out)
    else:
        document, warnings = layout(study.cells)
        for line in warnings:
            print_stderr(line)
        with writing("--out", out):
            out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"{out}: {len(study.runs)} runs on {len(study.maps)} map(s)")
    return 0


def _policy(command: Command, folder: Path, file: Path) -> int:
    if file.suffix != ".pt2":
        fail(f"--policy {file}: the file is a program of torch.export; give a name that ends in .pt2")
    make_parent("--policy", file)
    from mawm.run_folder.manifest import check_folder
    from mawm.trained.program import policy_of, write_program  # torch loads only once the command line is right
    from mawm.trained.run import load_run

    with user_errors():
        check_folder(folder)
    with environment_faults(), user_errors(f"{folder}: "):
        run = load_run(folder)
        policy = policy_of(run, command.agent or run.agents[0], command.mode)
    with writing("--policy", file):
        write_program(policy, file)
    about = policy.about
    print(
        f"{file}: {about['agent']} of {', '.join(run.agents)} on {about['map']} after {about['env_steps']} environment "
        f"steps, {'greedy' if command.mode == 'greedy' else 'sampled'} actions; {file.stat().st_size / 1e6:.2f} MB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
