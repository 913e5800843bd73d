"""`python -m mawm.bench engine|fidelity|learner|learning|losses|wire|saving`: measures speed and fidelity."""

import contextlib
import json
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from annotated_types import Interval

from mawm.configs.command_line import fail, parse
from mawm.envs.skirmish.rules import Rules

DESCRIPTION = """Measure speed on one thread of this machine, and compare the engine with StarCraft II.

  python -m mawm.bench engine --map 3m --batch 1 32 --json       environment steps per second, random valid actions
  python -m mawm.bench fidelity                                  battles of the engine and of StarCraft II
  python -m mawm.bench learning --maps 3m --methods ippo mappo   speed of learning, and published results
  python -m mawm.bench learner --agents 3 --preset paper --json  time of one iteration of learning, and of plain code
  python -m mawm.bench losses --map 3m --out 3m.npz              inputs of a selector in a real run
  python -m mawm.bench wire --map 3m --preset paper              bytes of a message, and errors of half precision
  python -m mawm.bench saving --map 3m                           time of checkpoints in a run with full replays"""


@dataclass(frozen=True)
class Engine:
    """Environment steps per second of the embedded engine, with observations, masks and state."""

    map: str = "3m"
    batch: tuple[int, ...] = (1, 32)
    """Numbers of battles side by side, with one measurement for each number."""
    seconds: float = 2.0
    """Length of one measurement in seconds."""
    json: bool = False
    """Print one JSON line for each measurement instead of text."""


@dataclass(frozen=True)
class Fidelity:
    """Compare battles of the embedded engine with measurements of StarCraft II, one per row (docs/engine.md)."""

    real: tuple[Path, ...] = ()
    """JSON files with measurements to use instead of those of the package: scores of scripted battles
    ({"maps": {MAP: {"AC" | "AW" | "AF": {"score": [...]}}}}) or lengths of evaluations ({"maps": {MAP: {"early" |
    "all_won": {"length": STEPS}}}})."""
    battles: Annotated[int, Interval(ge=1, le=10**6)] = 200
    """Number of battles of the engine for each row."""
    json: bool = False
    """Print one JSON object (rows, rms_score, held, of) instead of a table."""
    rules: Rules = field(default_factory=Rules)
    """Rules of the engine's battles."""


@dataclass(frozen=True)
class Learning:
    """Compare the speed of learning with published results on StarCraft II: one row for each map and method.

    A row has the steps to a win rate of 50, 80, 90 and 95 %, and the last win rate. It has them for evaluations with
    sampled and with greedy actions, and for training battles. The runs are those of a sweep (python -m mawm.sweep), so
    the same command continues them after any stop.
    """

    maps: tuple[str, ...] = ("2m_vs_1z", "2s_vs_1sc", "2s3z", "3m", "8m")
    methods: tuple[str, ...] = ("ippo", "mappo")
    seeds: int = 3
    first_seed: int = 10
    """The first seed. Smaller seeds were used to choose the settings."""
    env_steps: int = 100_000
    out: Path = Path("runs/learning")
    """Folder of the runs."""
    runs: Path | None = None
    """Start no run, and print the table of the runs in this folder or condensed study (.jsonl.gz)."""
    json: bool = False
    """Print one JSON line for each row instead of a table."""


@dataclass(frozen=True)
class Learner:
    """Seconds of one iteration of learning, and of the same step in plain code (interleaved, one thread)."""

    agents: Annotated[int, Interval(ge=1, le=1000)] = 3
    preset: str = "paper"
    repeats: Annotated[int, Interval(ge=1, le=10**6)] = 5
    """Number of interleaved timings, whose medians are printed."""
    json: bool = False
    """Print one JSON line instead of text."""


@dataclass(frozen=True)
class Losses:
    """Record the inputs of a selector in a run with the default settings and one learner for the team.

    Writes three arrays. `losses` (n, 4): availability, termination, reward and KL loss of every segment of every agent,
    in nats per arrival. `arrivals` (n,): the lengths of the segments. `critic` (r,): the critic's loss of the first
    imagined rollouts.
    """

    out: Path
    """The .npz file to write."""
    map: str = "3m"
    env_steps: int = 40_000
    rollouts: int = 20_000
    """Maximum number of rollouts whose loss is recorded; later ones are left out."""
    seed: int = 0
    json: bool = False
    """Print one JSON line instead of text."""


@dataclass(frozen=True)
class Wire:
    """Bytes of a segment and of a rollout with each `--wire` of mawm.train: ratio, error, microseconds."""

    map: str = "3m"
    preset: str = "paper"
    json: bool = False
    """Print one JSON line for each message instead of text."""


@dataclass(frozen=True)
class Saving:
    """Seconds of a checkpoint with full replays and its share of wall time, and the same if all rows are written."""

    map: str = "3m"
    json: bool = False
    """Print one JSON line instead of text."""


Command = (
    Annotated[Engine, tyro.conf.subcommand("engine", prefix_name=False)]
    | Annotated[Fidelity, tyro.conf.subcommand("fidelity", prefix_name=False)]
    | Annotated[Learning, tyro.conf.subcommand("learning", prefix_name=False)]
    | Annotated[Learner, tyro.conf.subcommand("learner", prefix_name=False)]
    | Annotated[Losses, tyro.conf.subcommand("losses", prefix_name=False)]
    | Annotated[Wire, tyro.conf.subcommand("wire", prefix_name=False)]
    | Annotated[Saving, tyro.conf.subcommand("saving", prefix_name=False)]
)


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    measurement: Annotated[Command, tyro.conf.arg(name="")] = field(default_factory=Engine)


def main(args: list[str] | None = None) -> int:
    """Parse, measure, print."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    command = parse(Arguments, prog="python -m mawm.bench", description=DESCRIPTION, args=args).measurement
    try:
        if isinstance(command, Fidelity):
            return _fidelity(command)
        if isinstance(command, Learning):
            return _learning(command)
        rows = _rows(command)
    except (ValueError, FileNotFoundError) as error:
        fail(str(error))
    for row in rows:
        print(json.dumps(row) if command.json else "  ".join(f"{k} {_short(v)}" for k, v in row.items()))
    return 0


def _fidelity(command: Fidelity) -> int:
    from mawm.benchmarks.fidelity import report, text  # numba loads only once the command line is right

    result = report(command.rules, command.battles, command.real)
    for line in [json.dumps(result.json())] if command.json else text(result):
        print(line)
    return 0


def _learning(command: Learning) -> int:
    from mawm import sweep
    from mawm.benchmarks.learning import rows, text

    code = 0
    if command.runs is None:
        grid = ["--maps", *command.maps, "--methods", *command.methods, "--seeds", str(command.seeds)]
        grid += ["--first-seed", str(command.first_seed)]
        with contextlib.redirect_stdout(sys.stderr):  # only the table goes to stdout
            code = sweep.main([*grid, "--env-steps", str(command.env_steps), "--out", str(command.out)])
    if code == 0:
        seeds = range(command.first_seed, command.first_seed + command.seeds)
        table = rows(command.runs or command.out, command.maps, command.methods, seeds)
        for line in (json.dumps(row.json()) for row in table) if command.json else text(table):
            print(line)
    return code


def _rows(command: Engine | Learner | Losses | Wire | Saving) -> list[dict[str, Any]]:
    if isinstance(command, Engine):
        return _engine(command)
    if isinstance(command, Losses):
        return _losses(command)
    if isinstance(command, Saving):
        return _saving(command)
    return _learner(command) if isinstance(command, Learner) else _wire(command)


def _engine(command: Engine) -> list[dict[str, Any]]:
    from mawm.envs.skirmish.benchmark import measure  # numba loads only once the command line is right

    return [measure(command.map, batch, command.seconds) for batch in command.batch]


def _learner(command: Learner) -> list[dict[str, Any]]:
    from mawm.agents.compute import prepare_process, resolve_precision
    from mawm.benchmarks.learner import measure as measure_learner
    from mawm.configs.presets import load_preset

    config = load_preset(command.preset)
    prepare_process(config.precision)
    precision = resolve_precision(config.precision)
    row = measure_learner(config.agent, command.agents, precision, command.repeats)
    return [{"agents": command.agents, "preset": command.preset, "precision": precision, **row}]


def _losses(command: Losses) -> list[dict[str, Any]]:
    import numpy as np

    from mawm.agents.compute import prepare_process
    from mawm.benchmarks.losses import record
    from mawm.configs.presets import load_preset

    config = replace(
        load_preset("default"), method="centralized", map=command.map, env_steps=command.env_steps, seed=command.seed
    )
    prepare_process(config.precision)
    arrays = record(config, command.rollouts, lambda line: print(line, file=sys.stderr))
    command.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(command.out, losses=arrays["losses"], arrivals=arrays["arrivals"], critic=arrays["critic"])
    return [{"map": command.map, "segments": len(arrays["losses"]), "rollouts": len(arrays["critic"])}]


def _wire(command: Wire) -> list[dict[str, Any]]:
    from mawm.benchmarks.wire import measure as measure_wire
    from mawm.configs.presets import load_preset

    return measure_wire(load_preset(command.preset), command.map)


def _saving(command: Saving) -> list[dict[str, Any]]:
    from mawm.agents.compute import prepare_process
    from mawm.benchmarks.saving import measure as measure_saving
    from mawm.configs.presets import load_preset

    config = replace(load_preset("default"), map=command.map)
    prepare_process(config.precision)
    return [measure_saving(config, os.cpu_count() or 1)]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
