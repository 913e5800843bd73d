"""`python -m mawm.tune SPACE`: finds settings of mawm.train by trials, with Optuna. A stopped tuning can continue."""

import contextlib
import importlib.util
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from annotated_types import Interval

from mawm.configs.command_line import fail, parse
from mawm.configs.sweeps import ExecutorConfig, split_train_args
from mawm.configs.tuning import REPORTED_SEEDS, TuningConfig, check_tuning, load_space

if TYPE_CHECKING:
    from mawm.sweeps.runner import Runner
    from mawm.sweeps.trials import Trials

DESCRIPTION = """Try settings, several seeds each, and learn from the results which ones to try next. Examples:

  python -m mawm.tune learner --map 3m --method both --env-steps 10000 --trials 30 --jobs 2
  python -m mawm.tune my_space.toml --metric win-rate --seeds 3 --out runs/my_tuning
  python -m mawm.tune learner --executor slurm --jobs 40 --trials 200

SPACE is a search space of the package (learner) or a .toml file with a table for each setting: low and high, or
categories (docs/scaling.md). A trial's value is the mean over its seeds of the final evaluation with sampled actions.
Trials that fall behind end early. After any stop the same command continues; more --trials add to the study."""


@dataclass(frozen=True)
class Command:
    """The search space, the runs of a trial, the number of trials, and where they run."""

    space: tyro.conf.Positional[str]
    """A search space of the package (learner) or a .toml file."""
    config: Annotated[TuningConfig, tyro.conf.arg(name="")] = field(default_factory=TuningConfig)
    trials: Annotated[int, Interval(ge=1, le=1_000_000)] = 30
    """Number of trials, with those of earlier calls."""
    best: Annotated[int, Interval(ge=1, le=1000)] = 5
    """Number of trials in the table at the end."""
    place: Annotated[ExecutorConfig, tyro.conf.arg(name="")] = field(default_factory=ExecutorConfig)
    out: Path | None = None
    """Folder of the runs and the study (default: runs/tune-NAME)."""


def main(args: list[str] | None = None) -> int:
    """Parse, check, try, print. Exit codes: 0 done, 1 no trial has a value, 2 a user error, 130 and 143 stopped."""
    args = sys.argv[1:] if args is None else args
    command = parse(Command, prog="python -m mawm.tune", description=DESCRIPTION, args=args)
    with contextlib.ExitStack() as cleanup:
        try:
            trials, runner = _prepared(command, shlex.join(["python", "-m", "mawm.tune", *args]), cleanup)
        except (ValueError, OSError) as error:
            fail(str(error))
        except KeyboardInterrupt:
            return 130
        return _run(trials, runner, command.best)


def _prepared(command: Command, command_line: str, cleanup: contextlib.ExitStack) -> tuple["Trials", "Runner"]:
    """The study and its runner. ValueError for a wrong setting, search space or folder, or a missing package."""
    from mawm.sweeps.open_executor import check_executor, open_executor

    if importlib.util.find_spec("optuna") is None:
        raise ValueError("mawm.tune needs the package optuna: pip install -c constraints.txt -e '.[tune]'")
    check_executor(command.place)
    config = command.config
    check_tuning(config)
    from mawm.build import check_room
    from mawm.envs.registry import make_env
    from mawm.train import configure

    fixed = ("--map", config.map, "--method", config.method, "--env-steps", str(config.env_steps))
    words = split_train_args(config.train_args, ("--map", "--method", "--seed", "--env-steps", "--preset"))
    base = configure(["--preset", config.train_preset, *fixed, *words])
    dimensions = load_space(command.space, base)
    split_train_args(config.train_args, tuple(each.setting.flag for each in dimensions))
    with contextlib.closing(make_env(base, "train", 1)) as env:
        check_room(base, env.spaces)
    from mawm.sweeps.runner import Runner
    from mawm.sweeps.session import open_folder
    from mawm.sweeps.trials import Trials, open_study

    out = command.out or Path("runs") / f"tune-{Path(command.space).stem}"
    lock, manifest = open_folder(out, [])
    study = open_study(out, config, dimensions)
    executor = cleanup.enter_context(open_executor(command.place, out))
    runner = Runner(out, [], manifest, command.place.jobs, lock, executor)
    trials = Trials(study, config, dimensions, base, command.trials)
    trials.continue_trials(runner)
    manifest.add_command(command_line)
    return trials, runner


def _run(trials: "Trials", runner: "Runner", best: int) -> int:
    from mawm.sweeps.executors import RefusedError
    from mawm.sweeps.session import print_line, work

    begun = len(trials.study.trials) - len(trials.open)
    first = f"{trials.count} trials into {runner.folder}, {runner.jobs} runs at a time; {begun} have ended"
    try:
        stopped = work(runner, first, trials)
    except RefusedError as error:
        fail(str(error))
    for line in trials.table(best):
        print_line(line)
    if stopped:
        print_line("stopped; the same command goes on where this one stopped")
        return stopped
    command = trials.best_command()
    if command is None:
        print(f"mawm: no trial has a value; the logs are in {runner.folder / 'logs'}", file=sys.stderr)
        return 1
    print_line(f"Train with the best settings, and report them on seeds below {REPORTED_SEEDS}:")
    print_line(command)
    return 0


if __name__ == "__main__":
    sys.exit(main())
