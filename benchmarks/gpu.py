"""`python -m mawm.benchmarks.gpu`: all checks that need a GPU, in one command of at most eight minutes."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mawm.configs.command_line import fail, parse
from mawm.results.load import load_runs
from mawm.results.record import WIN_RATE
from mawm.runtime.console import print_stdout

DESCRIPTION = """Check and measure stacked learners on a GPU.

  python -m mawm.benchmarks.gpu                        tests, benchmark, and a run of 30 000 steps
  python -m mawm.benchmarks.gpu --env-steps 3000       with a shorter run

Prints one JSON line for each part, and the bar beside each figure. Exit code 1 if a test fails
or a bar is missed. Start it in the root of the repository; the tests need the extra `dev`."""
TEST_S, BENCH_S, RUN_S = 150, 120, 200
"""Seconds that each part may take."""
SPEEDUP, ITERATION_S, GROWTH, RUN_MINUTES = 10.0, 0.12, 1.5, 3.0
"""Bars, for an H100: the ratio to the plain learner and the seconds of an iteration with three agents, the ratio of the
iterations of eight agents and of one, and the minutes of a run of 30 000 steps on 3m."""


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    env_steps: int = 30_000
    """Environment steps of the run."""
    out: Path | None = None
    """Folder of the run (default: a temporary folder)."""


def main(args: list[str] | None = None) -> int:
    """Run all parts, and print their results as soon as they are known."""
    command = parse(Arguments, prog="python -m mawm.benchmarks.gpu", description=DESCRIPTION, args=args)
    import torch

    if not torch.cuda.is_available():
        fail("this machine has no GPU that torch can use")
    about = {"card": torch.cuda.get_device_name(0), "torch": torch.__version__, "date": time.strftime("%Y-%m-%d")}
    print_stdout(json.dumps(about))
    missed = []
    for part in (tests(), benchmark(), run(command)):
        for row in part:
            print_stdout(json.dumps(row))
            missed += [name for name, fine in row.get("bars", {}).items() if not fine]
    print_stdout(json.dumps({"missed": missed}))
    return 1 if missed else 0


def _called(words: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        return subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, timeout=seconds, env=environment
        )
    except subprocess.TimeoutExpired as late:
        return subprocess.CompletedProcess(words, 124, "", f"stopped after {late.timeout:.0f} s")


def tests() -> Iterator[dict[str, Any]]:
    """The tests that need a GPU."""
    start = time.monotonic()
    done = _called(["-m", "pytest", "-q", "-n0", "-k", "gpu", "tests/test_stacked.py"], TEST_S)
    lines = (done.stdout + done.stderr).splitlines()
    fine = {"tests pass": done.returncode == 0}
    yield {"part": "tests", "seconds": round(time.monotonic() - start), "said": lines[-8:], "bars": fine}


def benchmark() -> Iterator[dict[str, Any]]:
    """Iterations of one, three and eight agents."""
    words = ["-m", "mawm.bench", "learner", "--device", "cuda", "--agents", "1", "3", "8", "--json", "--repeats", "5"]
    done = _called(words, BENCH_S)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if len(rows) != 3:
        yield {"part": "benchmark", "said": done.stderr.splitlines()[-8:], "bars": {"benchmark runs": False}}
        return
    one, three, eight = rows
    bars = {
        f"speedup of 3 agents >= {SPEEDUP:g}": three["speedup_over_plain"] >= SPEEDUP,
        f"iteration of 3 agents <= {ITERATION_S:g} s": three["seconds_per_iteration"] <= ITERATION_S,
        f"8 agents <= {GROWTH:g} x 1 agent": eight["seconds_per_iteration"] <= GROWTH * one["seconds_per_iteration"],
    }
    yield {"part": "benchmark", "rows": rows, "bars": bars}


def run(command: Arguments) -> Iterator[dict[str, Any]]:
    """A run on 3m with the default preset, and its curve."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = command.out or Path(temporary) / "run"
        words = ["-m", "mawm.train", "--map", "3m", "--bandwidth", "0.05", "--device", "cuda", "--run-dir", str(folder)]
        words += ["--env-steps", str(command.env_steps), "--schedule.eval-every", "5000", "--precision", "auto"]
        start = time.monotonic()
        longer = max(1.0, command.env_steps / 30_000)
        done = _called(words, RUN_S * longer)
        minutes = (time.monotonic() - start) / 60
        curve = {}
        if done.returncode == 0:
            record = load_runs([folder])[0][0]
            for tag in (WIN_RATE, "eval/win_rate_sampled"):
                steps, rates = record.curve(tag)
                curve[tag] = [[int(step), round(float(rate), 3)] for step, rate in zip(steps, rates, strict=True)]
        fine = done.returncode == 0 and minutes <= RUN_MINUTES * longer
        bars = {f"run of {command.env_steps} steps <= {RUN_MINUTES:g} minutes": fine}
        said = done.stderr.splitlines()[-5:]
        yield {"part": "run", "minutes": round(minutes, 2), **curve, "said": said, "bars": bars}


if __name__ == "__main__":
    sys.exit(main())
