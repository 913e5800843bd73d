"""`python -m mawm.sweep`: many runs of `mawm.train`. A manifest records them, so that a stopped sweep can continue."""

import contextlib
import os
import shlex
import signal
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, cast

import tyro
from annotated_types import Interval

from mawm.configs.command_line import fail, parse
from mawm.configs.sweeps import Grid, check_grid, load_sweep
from mawm.configs.train import TrainConfig
from mawm.runtime.display import Display, choose_display
from mawm.runtime.processes import ignore_signals, stop_signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from mawm.sweeps.grid import PlannedRun
    from mawm.sweeps.runner import Runner

DESCRIPTION = """Run a grid of settings, several runs at a time. Each run has one process and one thread. Examples:

  python -m mawm.sweep --maps 3m 2s_vs_1sc --methods independent both --bandwidth 0.01 0.05 1 --seeds 5 --jobs 2
  python -m mawm.sweep --preset quick --dry-run             print the runs and an estimate of the time
  python -m mawm.sweep --preset quick                       all figures, in half an hour on two cores (estimated)
  python -m mawm.sweep --preset my_grid.toml --out runs/my_grid

After any stop (Ctrl-C, kill -9, a power cut) the same command continues the sweep and runs the missing runs. A run that
fails is tried once more. If it fails again it is reported, and the exit code is 1.
Then: python -m mawm.report OUT, python -m mawm.plot OUT -o figures."""

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Command:
    """The command line: a grid or a named sweep, the folder, and the number of simultaneous runs."""

    grid: Annotated[Grid, tyro.conf.arg(name="")] = field(default_factory=Grid)
    preset: str = ""
    """A sweep of the package (quick, learning, evidence, gating-ablation, paper-figures) or a .toml file."""
    jobs: Annotated[int, Interval(ge=1, le=4096)] = CORES
    """Number of simultaneous runs (default: the cores of this machine)."""
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
    try:
        runs = _planned(load_sweep(command.preset) if command.preset else [command.grid])
        if command.dry_run:
            return _dry_run(runs, out, command.jobs)
        runner = _prepared(runs, out, command.jobs, shlex.join(["python", "-m", "mawm.sweep", *args]))
    except (ValueError, OSError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        return 130
    return _run(runner)


def _planned(grids: list[Grid]) -> list["PlannedRun"]:
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
    for config, words in {(run.kind, run.evaluate_args): (run.config, run.evaluate_args) for run in runs}.values():
        check_arguments(list(words), config)
        resolve_device(config.device)
        with contextlib.closing(make_env(config, "train", 1)) as env:
            check_room(config, env.spaces)
            make_explorer_hook(config, env.spaces).close()
    return runs


def _prepared(runs: list["PlannedRun"], out: Path, jobs: int, command_line: str) -> "Runner":
    """Make the folder, its lock and the manifest. ValueError if the folder has other runs or another process's lock."""
    from mawm.storage.lock import FolderLock
    from mawm.sweeps.manifest import Manifest
    from mawm.sweeps.runner import Runner, check_folders

    out.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(out)
    manifest = Manifest(out)
    check_folders(out, runs, manifest)
    manifest.plan(runs, command_line)
    return Runner(out, runs, manifest, jobs, lock)


def _run(runner: "Runner") -> int:
    stopped: list[int] = []
    display = choose_display()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.append(number)
        runner.stop()
        display.print_from_handler("every run saves and ends; once more to quit at once")

    for number in stop_signals():
        signal.signal(number, stop)
    try:
        return _work(runner, stopped, display)
    finally:
        ignore_signals()


def _work(runner: "Runner", stopped: list[int], display: Display) -> int:
    from mawm.sweeps.board import Board

    total, done = len(runner.runs), runner.count("done")
    _print_line(f"{total} runs into {runner.folder}, {runner.jobs} at a time; {done} are done")
    board = Board(runner, display)
    with display.showing(board.table):
        runner.work(board)
    return _end(runner, stopped)


def _print_line(line: str) -> None:
    """Print a line. An error of the output is ignored: the runs continue without a terminal."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


def _end(runner: "Runner", stopped: list[int]) -> int:
    done = runner.count("done")
    if stopped:
        _print_line(f"stopped: {done} of {len(runner.runs)} done; the same command goes on where this one stopped")
        return 128 + stopped[0]
    failed = [name for name in runner.runs if runner.manifest.runs[name].state == "failed"]
    for name in failed:
        entry, log = runner.manifest.runs[name], runner.log_of(runner.runs[name])
        lines = log.read_text(errors="replace").splitlines()[-1:] if log.exists() else []
        print(
            f"mawm: {name} failed with exit code {entry.exit_codes[-1]}: {''.join(lines)} (log: {log})", file=sys.stderr
        )
    _print_line(f"{done} of {len(runner.runs)} done, {len(failed)} failed. Next: python -m mawm.report {runner.folder}")
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
    words = shlex.split(grid.train_args)
    for word in words:
        name = word.split("=")[0].replace("_", "-")
        if name in (*set_by_grid, "--placement", "--run-dir", "--resume", "--help", "--help-all", "-h"):
            raise ValueError(f"--train-args holds {name}, which is not for a sweep's runs")
    return configure(["--preset", grid.train_preset, *words])


if __name__ == "__main__":
    sys.exit(main())
