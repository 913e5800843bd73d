"""`python -m mawm.sweep`: many runs of `mawm.train`. A manifest records them, so that a stopped sweep can continue."""

import contextlib
import shlex
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import tyro

from mawm.configs.command_line import fail, parse
from mawm.configs.sweeps import ExecutorConfig, Grid, check_grid, load_sweep, split_train_args
from mawm.configs.train import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from mawm.sweeps.grid import PlannedRun
    from mawm.sweeps.runner import Runner

DESCRIPTION = """Run a grid of settings, several runs at a time. Each run has one process and one thread. Examples:

  python -m mawm.sweep --maps 3m 2s_vs_1sc --methods independent both --bandwidth 0.01 0.05 1 --seeds 5 --jobs 2
  python -m mawm.sweep --preset quick --dry-run             print the runs and an estimate of the time
  python -m mawm.sweep --preset quick                       all figures, in half an hour on two cores (estimated)
  python -m mawm.sweep --preset my_grid.toml --out runs/my_grid
  python -m mawm.sweep --preset evidence --executor slurm --slurm.partition cpu --jobs 40

After any stop (Ctrl-C, kill -9, a power cut) the same command continues the sweep and runs the missing runs. A run that
fails is tried once more. If it fails again it is reported, and the exit code is 1.
Then: python -m mawm.report OUT, python -m mawm.plot OUT -o figures."""


@dataclass(frozen=True)
class Command:
    """The command line: a grid or a named sweep, the folder, and the number of simultaneous runs."""

    grid: Annotated[Grid, tyro.conf.arg(name="")] = field(default_factory=Grid)
    preset: str = ""
    """A sweep of the package (quick, learning, evidence, gating-ablation, link, paper-figures) or a .toml file."""
    place: Annotated[ExecutorConfig, tyro.conf.arg(name="")] = field(default_factory=ExecutorConfig)
    out: Path | None = None
    """Folder of the runs (default: runs/sweep, or runs/NAME of a named sweep)."""
    dry_run: bool = False
    """Print the runs and an estimate of their time, and start none of them."""


def main(args: list[str] | None = None) -> int:
    """Parse, plan, run. Exit codes: 0 done, 1 a run failed, 2 a user error, 130 and 143 stopped."""
    args = sys.argv[1:] if args is None else args
    command = parse(Command, prog="python -m mawm.sweep", description=DESCRIPTION, args=args)
    flags = {arg.split("=")[0].replace("_", "-") for arg in args}
    grid_flags = sorted(flags & {f"--{entry.name.replace('_', '-')}" for entry in fields(Grid)})
    if command.preset and grid_flags:
        fail(
            f"--preset has a grid of its own; got {grid_flags[0]}, too: leave one of them out, or edit a copy of the "
            "preset's file and give its path"
        )
    out = command.out or Path("runs") / (Path(command.preset).stem if command.preset else "sweep")
    from mawm.sweeps.open_executor import check_executor, open_executor

    with contextlib.ExitStack() as cleanup:
        try:
            grids = load_sweep(command.preset) if command.preset else [command.grid]
            if not command.dry_run:
                check_executor(command.place)
            runs = _planned(grids, on_this_machine=command.place.executor == "local")
            if command.dry_run:
                return _dry_run(runs, out, command.place.jobs)
            from mawm.sweeps.runner import Runner
            from mawm.sweeps.session import open_folder

            lock, manifest = open_folder(out, runs)
            executor = cleanup.enter_context(open_executor(command.place, out))
            runner = Runner(out, runs, manifest, command.place.jobs, lock, executor)
            manifest.add_command(shlex.join(["python", "-m", "mawm.sweep", *args]))
        except (ValueError, OSError) as error:
            fail(str(error))
        except KeyboardInterrupt:
            return 130
        return _run(runner)


def _planned(grids: list[Grid], on_this_machine: bool) -> list["PlannedRun"]:
    """The runs of the grids, checked like the settings of mawm.train. ValueError for the first error."""
    from mawm.agents.compute import resolve_device
    from mawm.build import check_room
    from mawm.envs.registry import make_env
    from mawm.evaluate import check_arguments
    from mawm.gating.build import make_explorer_hook
    from mawm.methods import METHODS
    from mawm.sweeps.grid import expand
    from mawm.train import configure

    for grid in grids:
        check_grid(grid)
    methods = {method for grid in grids for method in grid.methods}
    unknown = sorted(methods - METHODS.keys())
    if unknown:
        raise ValueError(f"there is no method {unknown[0]!r} (choose from: {', '.join(METHODS)})")
    runs = expand(grids, lambda grid: _base(grid, configure), lambda method: METHODS[method].selects)
    each = {(run.kind, run.config.link, run.evaluate_args): run for run in runs}.values()
    for config, words in [(run.config, run.evaluate_args) for run in each]:
        check_arguments(list(words), config)
        if on_this_machine:
            resolve_device(config.device)
        with contextlib.closing(make_env(config, "train", 1)) as env:
            check_room(config, env.spaces)
            make_explorer_hook(config, env.spaces).close()
    return runs


def _run(runner: "Runner") -> int:
    from mawm.sweeps.executors import RefusedError
    from mawm.sweeps.session import work

    total, done = len(runner.runs), runner.count("done")
    try:
        code = work(runner, f"{total} runs into {runner.folder}, {runner.jobs} at a time; {done} are done")
    except RefusedError as error:
        fail(str(error))
    return _end(runner, code)


def _end(runner: "Runner", stopped: int) -> int:
    """Print the end of the sweep. `stopped` is the exit code after a signal, else 0."""
    from mawm.sweeps.session import print_line

    done = runner.count("done")
    if stopped:
        print_line(f"stopped: {done} of {len(runner.runs)} done; the same command goes on where this one stopped")
        return stopped
    failed = [name for name in runner.runs if runner.manifest.runs[name].state == "failed"]
    for name in failed:
        entry, log = runner.manifest.runs[name], runner.log_of(runner.runs[name])
        lines = log.read_text(errors="replace").splitlines()[-1:] if log.exists() else []
        said = "" if runner.executor.name == "local" else f", {entry.said}"
        print(
            f"mawm: {name} failed with exit code {entry.exit_codes[-1]}{said}: {''.join(lines)} (log: {log})",
            file=sys.stderr,
        )
    print_line(f"{done} of {len(runner.runs)} done, {len(failed)} failed. Next: python -m mawm.report {runner.folder}")
    return 1 if failed else 0


def _dry_run(runs: list["PlannedRun"], out: Path, jobs: int) -> int:
    """Print one line for each kind of run that is not done, with an estimate from a short measurement of its speed."""
    from mawm.agents.compute import resolve_device
    from mawm.build import resolve_placement
    from mawm.configs.train import TrainConfig
    from mawm.envs.registry import make_env
    from mawm.estimates import estimate_minutes
    from mawm.sweeps.board import duration
    from mawm.sweeps.runner import evaluation_of

    left = [run for run in runs if evaluation_of(out, run) is None]
    minutes: dict[TrainConfig, float] = {}
    seeds: dict[str, int] = {}
    for run in left:
        config, family = run.config, run.name.rpartition("_s")[0]
        if run.kind not in minutes:
            with contextlib.closing(make_env(config, "train", config.schedule.battles)) as env:
                spaces = env.spaces
            device, asked = resolve_device(config.device), cast(Any, run.args[run.args.index("--placement") + 1])
            placement = resolve_placement(replace(config, placement=asked), 1, device, 1)
            minutes[run.kind] = estimate_minutes(config, spaces, device, placement, 1)
        if family not in seeds:
            each = duration(60 * minutes[run.kind])
            print(f"{family:<36} {config.env_steps:>9,} steps  about {each} a seed", flush=True)
        seeds[family] = seeds.get(family, 0) + 1
    total = sum(minutes[run.kind] for run in left)
    cost = duration(60 * total / min(jobs, max(1, len(left))))
    done = f" ({len(runs) - len(left)} more are done)" if len(left) < len(runs) else ""
    print(f"{len(left)} runs of {len(seeds)} kinds{done}; {jobs} at a time: about {cost}")
    return 0


def _base(grid: Grid, configure: "Callable[[list[str]], TrainConfig]") -> TrainConfig:
    """The settings common to a grid's runs. ValueError if `train_args` has arguments that the sweep sets itself."""
    set_by_grid = (
        "--map", "--method", "--bandwidth", "--selector", "--channel", "--wire", "--seed", "--env-steps", "--preset",
    )  # fmt: skip
    return configure(["--preset", grid.train_preset, *split_train_args(grid.train_args, set_by_grid)])


if __name__ == "__main__":
    sys.exit(main())
