"""`python -m mawm.bench engine|fidelity|learner|learning|losses|wire|saving`: figures of this machine and engine."""

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

DESCRIPTION = """Measure speed on this machine, on one thread, and how near we come to the real StarCraft II.

  python -m mawm.bench engine --map 3m --batch 1 32 --json       environment steps a second, random valid actions
  python -m mawm.bench fidelity                                  our battles beside figures of StarCraft II
  python -m mawm.bench learning --maps 3m --methods ippo mappo   how fast methods learn, beside published figures
  python -m mawm.bench learner --agents 3 --preset paper --json  one iteration of learning, beside plain code
  python -m mawm.bench losses --map 3m --out 3m.npz              losses that a selector sees in a real run
  python -m mawm.bench wire --map 3m --preset paper              bytes of a message and what half floats lose
  python -m mawm.bench saving --map 3m                           what checkpoints cost a run with full replays"""


@dataclass(frozen=True)
class Engine:
    """Environment steps per second of the embedded engine: observations, masks and state included."""

    map: str = "3m"
    batch: tuple[int, ...] = (1, 32)
    """Battles side by side, one measurement each."""
    seconds: float = 2.0
    """Length of one measurement."""
    json: bool = False
    """One JSON line a measurement instead of text."""


@dataclass(frozen=True)
class Fidelity:
    """Battles of the embedded engine beside figures of the real StarCraft II, a row a figure (docs/engine.md)."""

    real: tuple[Path, ...] = ()
    """JSON files of further figures, in place of those that come with the package: scores of scripted battles
    ({"maps": {MAP: {"AC" | "AW" | "AF": {"score": [...]}}}}) or lengths of evaluations ({"maps": {MAP: {"early" |
    "all_won": {"length": STEPS}}}})."""
    battles: Annotated[int, Interval(ge=1, le=10**6)] = 200
    """Our battles a row."""
    json: bool = False
    """One JSON object with rows, rms_score, held and of instead of a table."""
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True)
class Learning:
    """How fast methods learn, beside published figures of the real StarCraft II: a row a map and method.

    Steps to a win rate of 50, 80, 90 and 95 %, and the last win rate, of evaluations with sampled and with greedy
    actions and of training battles. The runs are a sweep's (python -m mawm.sweep): the same command after any stop goes
    on where it stopped.
    """

    maps: tuple[str, ...] = ("2m_vs_1z", "2s_vs_1sc", "2s3z", "3m", "8m")
    methods: tuple[str, ...] = ("ippo", "mappo")
    seeds: int = 3
    first_seed: int = 10
    """Lower ones were used to choose the settings."""
    env_steps: int = 100_000
    out: Path = Path("runs/learning")
    """Folder of the runs."""
    runs: Path | None = None
    """Start no run: the table of the runs in this folder, or in this condensed study (.jsonl.gz)."""
    json: bool = False
    """One JSON line a row instead of a table."""


@dataclass(frozen=True)
class Learner:
    """Seconds of one iteration of learning, beside the same step written plainly (interleaved, one thread)."""

    agents: Annotated[int, Interval(ge=1, le=1000)] = 3
    preset: str = "paper"
    repeats: Annotated[int, Interval(ge=1, le=10**6)] = 5
    """Interleaved timings; medians are reported."""
    json: bool = False
    """One JSON line instead of text."""


@dataclass(frozen=True)
class Losses:
    """Record the losses that a selector sees in a run with the default settings and one learner for the team.

    Writes arrays `losses` (n, 4) of every segment of every agent, in nats per arrival (availability, termination,
    reward, KL), `arrivals` (n,) of its length, and `critic` (r,) of the first imagined rollouts.
    """

    out: Path
    """The .npz file to write."""
    map: str = "3m"
    env_steps: int = 40_000
    rollouts: int = 20_000
    """Rollouts whose loss is kept; later ones are left out."""
    seed: int = 0
    json: bool = False
    """One JSON line instead of text."""


@dataclass(frozen=True)
class Wire:
    """Bytes of a segment and a rollout with each `--wire` of mawm.train, the ratio, the error, microseconds."""

    map: str = "3m"
    preset: str = "paper"
    json: bool = False
    """One JSON line a message instead of text."""


@dataclass(frozen=True)
class Saving:
    """Seconds of a checkpoint once replays are full, its share of wall time, and those of one that writes all rows."""

    map: str = "3m"
    json: bool = False
    """One JSON line instead of text."""


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

    what: Annotated[Command, tyro.conf.arg(name="")] = field(default_factory=Engine)


def main(args: list[str] | None = None) -> int:
    """Parse, measure, print."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    command = parse(Arguments, prog="python -m mawm.bench", description=DESCRIPTION, args=args).what
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

    done = report(command.rules, command.battles, command.real)
    for line in [json.dumps(done.json())] if command.json else text(done):
        print(line)
    return 0


def _learning(command: Learning) -> int:
    from mawm import sweep
    from mawm.benchmarks.learning import rows, text

    code = 0
    if command.runs is None:
        grid = ["--maps", *command.maps, "--methods", *command.methods, "--seeds", str(command.seeds)]
        grid += ["--first-seed", str(command.first_seed)]
        with contextlib.redirect_stdout(sys.stderr):  # stdout holds the table alone
            code = sweep.main([*grid, "--env-steps", str(command.env_steps), "--out", str(command.out)])
    if code == 0:
        seeds = range(command.first_seed, command.first_seed + command.seeds)
        done = rows(command.runs or command.out, command.maps, command.methods, seeds)
        for line in (json.dumps(row.json()) for row in done) if command.json else text(done):
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
    found = record(config, command.rollouts, lambda line: print(line, file=sys.stderr))
    command.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(command.out, losses=found["losses"], arrivals=found["arrivals"], critic=found["critic"])
    return [{"map": command.map, "segments": len(found["losses"]), "rollouts": len(found["critic"])}]


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
