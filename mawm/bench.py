"""`python -m mawm.bench NAME`: measures speed, fidelity and learning. `--help` lists the names."""

import contextlib
import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from annotated_types import Interval

from mawm.configs.command_line import make_parent, parse, user_errors, writing
from mawm.envs.skirmish.rules import Rules

DESCRIPTION = """Measure speed on one thread of this machine, and compare the engine with StarCraft II.

  python -m mawm.bench engine --map 3m --batch 1 32 --json       environment steps per second, random valid actions
  python -m mawm.bench fidelity                                  battles of the engine and of StarCraft II
  python -m mawm.bench learning --maps 3m --methods ippo mappo   speed of learning, and published results
  python -m mawm.bench environments runs/environments            trained teams against random play
  python -m mawm.bench learner --agents 3 --preset paper --json  time of one iteration of learning, and of plain code
  python -m mawm.bench losses --map 3m --out 3m.npz              inputs of a selector in a real run
  python -m mawm.bench values RUN                                values, imagined returns and real returns of a run
  python -m mawm.bench wire --map 3m --preset paper              bytes of a message, and errors of half precision
  python -m mawm.bench saving --map 3m                           time of checkpoints in a run with full replays"""


@dataclass(frozen=True, kw_only=True)
class Measurement(ABC):
    """A measurement that prints rows of named values."""

    json: bool = False
    """Print one JSON line for each row instead of text."""

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """Measure. Heavy packages load here, once the command line is right."""

    def show(self) -> int:
        """Measure and print; returns the exit code."""
        rows = self.rows()
        return _print(self.json, rows, ("  ".join(f"{k} {_short(v)}" for k, v in row.items()) for row in rows))


def _print(as_json: bool, rows: Iterable[dict[str, Any]], text: Iterable[str]) -> int:
    """Print rows, each as a JSON line, or as text; returns the exit code."""
    for line in map(json.dumps, rows) if as_json else text:
        print(line)
    return 0


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, kw_only=True)
class Engine(Measurement):
    """Environment steps per second of the embedded engine, with observations, masks and state."""

    map: str = "3m"
    batch: tuple[int, ...] = (1, 32)
    """Numbers of battles side by side, with one measurement for each number."""
    seconds: float = 2.0
    """Length of one measurement in seconds."""

    def rows(self) -> list[dict[str, Any]]:
        """A row for each number of battles."""
        from mawm.envs.skirmish.benchmark import measure

        return [measure(self.map, batch, self.seconds) for batch in self.batch]


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

    def show(self) -> int:
        """Compare and print; returns the exit code."""
        from mawm.benchmarks.fidelity import report, text  # numba loads only once the command line is right

        result = report(self.rules, self.battles, self.real)
        return _print(self.json, [asdict(result)], text(result))


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

    def show(self) -> int:
        """Train the missing runs and print the table; returns the exit code."""
        from mawm import sweep
        from mawm.benchmarks.learning import rows, text

        code = 0
        if self.runs is None:
            grid = ["--maps", *self.maps, "--methods", *self.methods, "--seeds", str(self.seeds)]
            grid += ["--first-seed", str(self.first_seed), "--env-steps", str(self.env_steps), "--out", str(self.out)]
            with contextlib.redirect_stdout(sys.stderr):  # only the table goes to stdout
                code = sweep.main(grid)
        if code == 0:
            seeds = range(self.first_seed, self.first_seed + self.seeds)
            table = rows(self.runs or self.out, self.maps, self.methods, seeds)
            return _print(self.json, (row.json() for row in table), text(table))
        return code


@dataclass(frozen=True)
class Environments:
    """Compare trained teams with random play: one row for each environment and method of some finished runs.

    `python -m mawm.sweep --preset environments` makes runs on environments of other packages. A row has the mean
    return of random allowed actions with its 95 % interval, and the return of each seed's last policy.
    """

    runs: Annotated[Path, tyro.conf.Positional]
    """Folder of the runs, or a condensed study (.jsonl.gz)."""
    battles: Annotated[int, Interval(ge=2, le=10**6)] = 320
    """Battles of random play; they are those of mawm.evaluate."""
    json: bool = False
    """Print one JSON line for each row instead of a Markdown table."""

    def show(self) -> int:
        """Play at random and print the table; returns the exit code."""
        from mawm.benchmarks.environments import rows, text

        table = rows(self.runs, self.battles)
        return _print(self.json, (row.json() for row in table), text(table))


@dataclass(frozen=True, kw_only=True)
class Learner(Measurement):
    """Seconds of one iteration of learning, and of the same step in plain code (interleaved, one thread).

    Agents that learn one after the other are timed in processor seconds, stacked agents in wall seconds.
    """

    agents: tuple[Annotated[int, Interval(ge=1, le=1000)], ...] = (3,)
    """Numbers of agents; a row for each."""
    preset: str = "paper"
    device: str = "cpu"
    """`cpu`, `cuda` or `cuda:N`."""
    placement: Literal["auto", "inline", "stack"] = "auto"
    """`inline`: one after the other, on a CPU only; `stack`: all at once; `auto`: `stack` on a GPU."""
    compile: bool = False
    """Measure what torch.compile would bring for a world-model update on a CPU, and how long it compiles."""
    repeats: Annotated[int, Interval(ge=1, le=10**6)] = 5
    """Number of interleaved timings, whose medians are printed."""

    def rows(self) -> list[dict[str, Any]]:
        """A row for each number of agents."""
        from mawm.agents.compute import prepare_process, resolve_device, resolve_precision
        from mawm.benchmarks import learner, stack
        from mawm.configs.presets import load_preset

        config, device = load_preset(self.preset), resolve_device(self.device)
        if self.compile:
            prepare_process("float32")
            return [{"preset": self.preset, "precision": "float32", **stack.compiled(config.agent, self.repeats)}]
        stacked = self.placement == "stack" or (self.placement == "auto" and device != "cpu")
        if not stacked and device != "cpu":
            raise ValueError(f"--placement inline is timed on a CPU only; got --device {self.device}; use stack")
        placement, asked = ("stack", "auto") if stacked else ("inline", config.precision)
        precision = resolve_precision(asked, placement, device)
        prepare_process(asked, placement, device)
        about = {"preset": self.preset, "device": device, "placement": placement, "precision": precision}
        measure = partial(stack.measure, device=device) if stacked else partial(learner.measure, precision=precision)
        return [{"agents": n, **about, **measure(config.agent, n, repeats=self.repeats)} for n in self.agents]


@dataclass(frozen=True, kw_only=True)
class Losses(Measurement):
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

    def rows(self) -> list[dict[str, Any]]:
        """The numbers of items in the file."""
        import numpy as np

        from mawm.agents.compute import prepare_process
        from mawm.benchmarks.losses import record
        from mawm.configs.presets import load_preset

        make_parent("--out", self.out)
        config = load_preset("default")
        config = replace(config, method="centralized", map=self.map, env_steps=self.env_steps, seed=self.seed)
        prepare_process(config.precision)
        arrays = record(config, self.rollouts, lambda line: print(line, file=sys.stderr))
        with writing("--out", self.out):
            np.savez_compressed(self.out, losses=arrays["losses"], arrivals=arrays["arrivals"], critic=arrays["critic"])
        return [{"map": self.map, "segments": len(arrays["losses"]), "rollouts": len(arrays["critic"])}]


@dataclass(frozen=True, kw_only=True)
class Values(Measurement):
    """Compare each agent's values and imagined returns with real returns, at random states of real battles.

    The real return is the mean over continuations of the battle from the same state, with sampled actions. A critic or
    a world model that overrates states has a positive bias.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of a run whose agents have world models of their own."""
    states: Annotated[int, Interval(ge=2, le=10**5)] = 60
    """Number of compared states of each agent."""
    copies: Annotated[int, Interval(ge=1, le=10**4)] = 64
    """Number of continuations, and of imagined rollouts, from each state."""
    each: bool = False
    """Print a row for each state: the step of the battle, the number of living agents, value and returns."""

    def rows(self) -> list[dict[str, Any]]:
        """A row for each agent, or for each state."""
        from mawm.benchmarks.values import compare, summary

        found = compare(self.run, self.states, self.copies)
        return found if self.each else summary(found)


@dataclass(frozen=True, kw_only=True)
class Wire(Measurement):
    """Bytes of a segment and of a rollout with each `--wire` of mawm.train: ratio, error, microseconds."""

    map: str = "3m"
    preset: str = "paper"

    def rows(self) -> list[dict[str, Any]]:
        """A row for each message and wire."""
        from mawm.benchmarks.wire import measure
        from mawm.configs.presets import load_preset

        return measure(load_preset(self.preset), self.map)


@dataclass(frozen=True, kw_only=True)
class Saving(Measurement):
    """Seconds of a checkpoint with full replays and its share of wall time, and the same if all rows are written."""

    map: str = "3m"

    def rows(self) -> list[dict[str, Any]]:
        """One row."""
        from mawm.agents.compute import prepare_process
        from mawm.benchmarks.saving import measure
        from mawm.configs.presets import load_preset

        config = replace(load_preset("default"), map=self.map)
        prepare_process(config.precision)
        return [measure(config, os.cpu_count() or 1)]


Command = tyro.conf.OmitSubcommandPrefixes[
    Engine | Fidelity | Learning | Environments | Learner | Losses | Values | Wire | Saving
]


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    measurement: Annotated[Command, tyro.conf.arg(name="")] = field(default_factory=Engine)


def main(args: list[str] | None = None) -> int:
    """Parse, measure, print."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    command = parse(Arguments, prog="python -m mawm.bench", description=DESCRIPTION, args=args).measurement
    with user_errors():
        return command.show()


if __name__ == "__main__":
    sys.exit(main())
