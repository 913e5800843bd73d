"""`python -m mawm.train --map 3m --bandwidth 0.05`: trains a team, and logs its learning curves."""

import contextlib
import errno
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from mawm import __version__
from mawm.configs.check import check
from mawm.configs.command_line import fail, parse, user_errors
from mawm.configs.presets import load_preset
from mawm.configs.train import TrainConfig
from mawm.envs.registry import environment_of, is_own, make_env, names_success, with_agents
from mawm.envs.success import described
from mawm.run_folder.manifest import read_config
from mawm.runtime.console import flush_output, print_stderr, print_stdout
from mawm.runtime.display import Display, PlainLines, choose_display
from mawm.runtime.ray_cluster import check_installed
from mawm.runtime.signals import Stopping
from mawm.runtime.training_progress import Progress, Row
from mawm.types import Common

if TYPE_CHECKING:
    from mawm.loop import Run
    from mawm.run_folder.checkpoint import Loaded
    from mawm.team import Team
    from mawm.types import Spaces

DESCRIPTION = """Train a team of agents. Each learns a world model and sends a share of its data to the others.

StarCraft II is not needed: battles run in the embedded engine. Examples:

  python -m mawm.train --map 3m --bandwidth 0.05        the main use, 20 minutes on two cores
  python -m mawm.train --map 2s3z --method independent  nothing is shared
  python -m mawm.train --map my_map.toml --bandwidth 1  a map of your own; everything is shared
  PYTHONPATH=. python -m mawm.train --map my_env:make   an environment of your own
  python -m mawm.train --preset debug                   a test run of a few seconds

If the run was stopped, the same command continues it. --fresh starts over in a new folder.

Curves: tensorboard --logdir runs. Win rate of the result: python -m mawm.evaluate RUN."""


NOT_SAVED = 3
"""Exit code of a run that could not be saved three times in a row."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of the errors of a full disk, an exhausted quota, and a file over the size limit."""
ROLLBACKS = 3
"""Number of rollbacks to the same checkpoint: what ends a learner each time will end it again."""
EVALUATE = ("python", "-m", "mawm.evaluate")


class LearnerLost(RuntimeError):
    """The process or the node of a learner was lost during a run."""

    def __init__(self, lost: str, folder: Path) -> None:
        super().__init__(
            f"{lost}; checkpoints already written are intact: the same command goes on from the newest one"
        )
        self.lost, self.folder = lost, folder


@dataclass(frozen=True)
class Command:
    """The preset and the run's folder."""

    config: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)
    preset: Annotated[str, Common] = "default"
    """Preset of all settings: default (chosen by tuning), paper (Zeng & Zhang's numbers), debug (seconds)."""
    run_dir: Annotated[Path | None, Common] = None
    """The run's folder (default: runs/MAP_METHOD_bBANDWIDTH_sSEED). A run that was begun there is continued."""
    fresh: Annotated[bool, Common] = False
    """Start over in a new folder, even if the run could be continued."""
    resume: Annotated[Path | None, Common] = None
    """Continue the run in this folder, with its settings. These may change: --env-steps, --placement, --ray-address,
    --on-node-loss, --device, --log, --own.timeout-s, --link.transport and --link.key-file."""


def main(args: list[str] | None = None) -> int:
    """Parse, check, build, train. Exit codes: 0 done, 1 failed, 2 a user error, 3 saving failed.

    129, 130 and 143: stopped by a signal. Without `args` the arguments of the process are used. Then signals are
    ignored after the run, because the process ends.
    """
    stopping = Stopping(until_exit=args is None)
    args = sys.argv[1:] if args is None else args
    command = _command(args)
    config, folder = _resumed(command, args) if command.resume else (command.config, None)
    return _run(_checked(config), command, folder, shlex.join(["python", "-m", "mawm.train", *args]), stopping)


def configure(args: list[str]) -> TrainConfig:
    """The configuration of a command line. A user error ends the process with one line and exit code 2."""
    return _checked(_command(args).config)


def _checked(config: TrainConfig) -> TrainConfig:
    with user_errors():
        check(config)
    return config


def _command(args: list[str]) -> Command:
    preset = "default"
    for i, arg in enumerate(args):
        if arg == "--preset" and i + 1 < len(args):
            preset = args[i + 1]
        elif arg.startswith("--preset="):
            preset = arg.removeprefix("--preset=")
    with user_errors():
        default = Command(config=load_preset(preset), preset=preset)
    return parse(Command, prog="python -m mawm.train", description=DESCRIPTION, default=default, args=args, brief=True)


def _resumed(command: Command, args: list[str]) -> tuple[TrainConfig, Path]:
    folder = command.resume
    assert folder is not None
    try:
        config = read_config(folder)
    except ValueError as error:
        fail(f"--resume {folder}: not a run folder that can be read ({error})")
    from mawm.run_folder.locate import MOVABLE, moved

    given = {arg.split("=")[0].removeprefix("--").replace("-", "_") for arg in args if arg.startswith("--")}
    others = sorted(given - {"resume", *MOVABLE})
    if others:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in others)
        *movable, last = (f"--{name.replace('_', '-')}" for name in MOVABLE)
        fail(
            f"--resume {folder} continues a run with its own settings; got {flags}: only {', '.join(movable)} and "
            f"{last} may change"
        )
    return moved(config, command.config, given & set(MOVABLE)), folder


def _run(config: TrainConfig, command: Command, resumed: Path | None, command_line: str, stopping: Stopping) -> int:
    from mawm.envs.checked import EnvFault
    from mawm.run_folder.saver import SavingFailed
    from mawm.storage.loggers import check_loggers

    try:
        check_loggers(config.log)
        if config.placement == "ray":
            check_installed()
        with stopping:
            return _train_through_losses(config, command, resumed, command_line, stopping)
    except KeyboardInterrupt:  # `Stopping` raises it if `main` was called with `args`
        print_stderr("quit at once; saved checkpoints are intact")
        return stopping.exit_code
    except SavingFailed as error:
        print_stderr(str(error))
        return NOT_SAVED
    except ValueError as error:  # settings contradict each other or the saved run
        fail(str(error))
    except OSError as error:
        print_stderr(f"{error.filename or 'a file'} cannot be written or read ({error.strerror or error})")
        return NOT_SAVED if error.errno in NO_ROOM else 1
    except (EnvFault, RuntimeError) as error:
        print_stderr(str(error))
        return 1
    except MemoryError as error:
        print_stderr(f"there is not enough memory ({error}); smaller sizes or fewer battles need less")
        return 1
    finally:
        flush_output()


def _train_through_losses(
    config: TrainConfig, command: Command, resumed: Path | None, command_line: str, stopping: Stopping
) -> int:
    """Train. With `on_node_loss = "rollback"` a run that loses a learner begins again at its newest checkpoint.

    That is what the same command would do in a new process, but it stays connected to its cluster: a process that
    leaves Ray and joins it again, soon after the loss of a node, can crash in Ray's own code. LearnerLost is raised
    otherwise, after a request to stop, and after `ROLLBACKS` rollbacks to the same checkpoint.
    """
    from mawm.run_folder.checkpoint import checkpoints

    begun, tries, at = command_line, 0, -1
    with contextlib.ExitStack() as cluster:
        while True:
            try:
                with contextlib.ExitStack() as cleanup:
                    return _prepare_and_train(config, command, resumed, begun, cleanup, cluster, stopping)
            except LearnerLost as error:
                stopping.stop = None  # from here to the next round a signal ends the process at once
                saved = max((checkpoint.env_steps for checkpoint in checkpoints(error.folder)), default=0)
                tries, at = tries + 1 if saved == at else 1, saved
                if config.on_node_loss == "stop" or stopping.number or tries > ROLLBACKS:
                    raise
                print_stderr(f"{error.lost}; rollback to {saved} steps with new learners on the nodes that are left")
                command, resumed = replace(command, run_dir=error.folder, fresh=False), error.folder if saved else None
                begun = f"{command_line}  # rollback to {saved} steps: {error.lost}"


def _prepare_and_train(
    config: TrainConfig, command: Command, resumed: Path | None, command_line: str, cleanup: contextlib.ExitStack,
    cluster: contextlib.ExitStack, stopping: Stopping,
) -> int:  # fmt: skip
    from mawm import build  # torch and numba load only once the command line is right
    from mawm.estimates import estimate_minutes, most_bytes
    from mawm.gating.build import make_explorer_hook
    from mawm.methods import members_of
    from mawm.run_folder.checkpoint import newest, set_aside
    from mawm.run_folder.locate import RunFolder, find_run_folder
    from mawm.storage.lock import FolderLock
    from mawm.team import WorkerDied

    device = build.resolve_device_of(config)
    env = cleanup.enter_context(contextlib.closing(make_env(config, "train", config.schedule.battles)))
    config = with_agents(config, env.spaces.agents)
    build.check_room(config, env.spaces)
    explorer_hook = cleanup.enter_context(contextlib.closing(make_explorer_hook(config, env.spaces)))
    place = RunFolder(resumed, begun=True) if resumed else find_run_folder(config, command.run_dir, command.fresh)
    folder = place.folder
    if place.begun and (order := read_config(folder).own.agents) not in ((), config.own.agents):
        # The environment lists its agents in another order than when the run began: each keeps its learner.
        explorer_hook.close()
        env.close()
        config = with_agents(config, order)
        env = cleanup.enter_context(contextlib.closing(make_env(config, "train", config.schedule.battles)))
        explorer_hook = cleanup.enter_context(contextlib.closing(make_explorer_hook(config, env.spaces)))
    cleanup.callback(FolderLock(folder).release)
    place.clear()
    resume = newest(folder) if place.begun else None
    if resume is not None and resume.env_steps >= config.env_steps:
        print_stdout(
            f"{folder} has its {config.env_steps} environment steps: nothing to do. Raise --env-steps to go on, or "
            f"start over with --fresh. Next: {shlex.join([*EVALUATE, str(folder)])}"
        )
        return 0
    if resume is not None:
        set_aside(folder, resume.env_steps)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    members = members_of(config, env.spaces)
    placement = build.resolve_placement(config, len(members), device, cores)
    cluster.enter_context(build.cluster_of(config, len(members)))
    facts = _facts(config, folder, resume, command_line, device=device, placement=placement, cores=cores)
    build.write_config(folder, config, facts)
    workers = build.workers_of(config, placement, len(members), cores)
    minutes = estimate_minutes(config, env.spaces, device, placement, workers)
    _banner(config, env.spaces, folder, facts, (len(members), minutes, most_bytes(config, env.spaces)))
    # What the process of a user's environment prints would be drawn over by a live display.
    display = PlainLines() if is_own(config.map) else choose_display()
    try:
        with _closing(build.make_team(config, env.spaces, device, placement)) as team:
            _report_nodes(team, config, folder, facts, 0 if resume is None else resume.env_steps)
            progress = Progress(display, wins=names_success(config))
            run = build.make_run(config, env, team, explorer_hook, folder, progress, resume)
            return _train(run, config, folder, stopping, display)
    except WorkerDied as error:
        raise LearnerLost(str(error), folder) from None


@contextlib.contextmanager
def _closing(team: "Team") -> Iterator["Team"]:
    """Closes a team at the end; after an exception without waiting for its learners."""
    try:
        yield team
    except BaseException:
        team.close(at_once=True)
        raise
    team.close()


def _report_nodes(team: "Team", config: TrainConfig, folder: Path, facts: dict[str, Any], env_steps: int) -> None:
    """Print the nodes of the learners, and how they differ from this machine; config.json gets both.

    A difference that an earlier command has printed is not printed again.
    """
    from mawm.build import write_config

    if not team.places:
        return
    print_stdout(f"nodes: {', '.join(team.places)}")
    recorded = facts["not_exact"]
    for line in team.differences:
        if not any(earlier.endswith(f": {line}") for earlier in recorded):
            recorded.append(f"from {env_steps} steps on: {line}")
            print_stderr(f"not exact {recorded[-1]}")
    write_config(folder, config, {**facts, "nodes": team.places})


def _facts(
    config: TrainConfig, folder: Path, resume: "Loaded | None", command_line: str, **chosen: str | int
) -> dict[str, Any]:
    """The facts in config.json beside the settings. Facts that changed since the last save are printed."""
    from mawm.agents.compute import resolve_precision
    from mawm.envs.starcraft.packages import game_name
    from mawm.run_folder.manifest import facts_now, map_digest, read_facts, resumed_facts, user_sources

    precision = resolve_precision(config.precision, str(chosen["placement"]), str(chosen["device"]))
    game = {} if config.env == "skirmish" else {"game": game_name()}
    now = facts_now(**chosen, **game, precision=precision, map_sha256=map_digest(config), sources=user_sources(config))
    before, steps = ({}, 0) if resume is None else (read_facts(folder), resume.env_steps)
    facts, changes = resumed_facts(before, now, steps, command_line)
    for line in facts["not_exact"][-changes:] if changes else []:
        print_stderr(f"not exact {line}")
    return facts


def _train(run: "Run", config: TrainConfig, folder: Path, stopping: Stopping, display: Display) -> int:
    from mawm.envs.process import limit_waiting
    from mawm.loop import train
    from mawm.team import WorkerDied

    _compile_engine(config)
    stopping.stop, stopping.limit_waiting, stopping.display = run.end_soon, limit_waiting, display
    try:
        with display.showing(Row(run, {}, {}, wins=names_success(config))):
            train(run)
    except WorkerDied:
        _close_logs(run)  # a rollback opens them anew in this process
        raise
    _close_logs(run)
    if stopping.number:
        again = shlex.join(["python", "-m", "mawm.train", "--resume", str(folder)])
        print_stdout(f"saved at {run.collector.env_steps} steps; go on with: {again}")
        return stopping.exit_code
    steps, minutes = run.collector.env_steps, run.wall_s / 60
    print_stdout(f"done: {steps} steps in {minutes:.1f} min. Next: {shlex.join([*EVALUATE, str(folder)])}")
    return 0


def _close_logs(run: "Run") -> None:
    for writer in run.writers:
        writer.close()


def _compile_engine(config: TrainConfig) -> None:
    """Play one step of a battle that does not count, so that the compilation does not count as training time."""
    if environment_of(config).compiles:
        with contextlib.closing(make_env(config, "train", 1)) as env:
            env.step(env.reset().avail.argmax(-1))


def _banner(
    config: TrainConfig, spaces: "Spaces", folder: Path, facts: dict[str, Any], sizes: tuple[int, float, int]
) -> None:
    """Print the first lines of a run. `sizes`: the number of learners, the minutes and the bytes that it may take."""
    learners, minutes, disk = sizes
    places = {
        "process": "separate processes, one thread each",
        "stack": "one stack in this process, one thread",
        "ray": f"actors of Ray (cluster {config.ray_address}), one CPU and one thread each",
    }
    where = places.get(facts["placement"], "this process, one thread")
    if facts["placement"] == "process" and config.link.transport == "tcp":
        where += ", with sockets between them"
    # nan: learners of this kind are not timed
    eta = "ETA unknown" if minutes != minutes else f"ETA about {minutes:.1f} min on an idle machine"
    shared = f"nominal bandwidth {config.sharing.bandwidth:g} of all bytes"
    sent = shared if spaces.n_agents > 1 else "a team of one agent, so nothing is sent"
    board = shlex.join(["tensorboard", "--logdir", str(folder.parent)])
    curves = board if "tensorboard" in config.log else f"python -m mawm.plot {shlex.quote(str(folder))} --unfinished"
    about_env = [line for line in (spaces.conversion, described(config.success)) if line]
    for line in (
        f"mawm {__version__}: {environment_of(config).about(config)}",
        *about_env,
        f"method {config.method}, {sent}, seed {config.seed}",
        f"device {facts['device']}, {learners} learner(s) in {where}, {facts['cores']} core(s), "
        f"matrix products in {facts['precision']}",
        f"budget {config.env_steps} environment steps, {eta}",
        f"run folder {folder}, at most {disk / 1e6:,.0f} MB",
        f"curves: {curves}",
    ):
        print_stdout(line)


if __name__ == "__main__":
    sys.exit(main())
