"""`python -m mawm.benchmarks.soak`: measures memory, threads, file handles and disk space of a long run."""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mawm.configs.command_line import fail, parse

DESCRIPTION = """Train small agents for a million environment steps and measure the resources of the run.

  python -m mawm.benchmarks.soak                         a million steps, about ten minutes
  python -m mawm.benchmarks.soak --env-steps 20000       a short test

Exit code 1 if memory grows by 1 MB an hour or more after replays are full (after 0.3 of the
steps), if the number of threads or file handles grows, or if the run's folder is larger than
the run's estimate."""
SETTINGS = (
    "--preset", "debug", "--placement", "inline", "--fresh", "--schedule.battles", "32", "--schedule.log-every", "2000",
    "--schedule.eval-every", "20000", "--schedule.save-every", "10000", "--agent.replay.capacity", "20000",
    "--bandwidth", "0.2", "--schedule.updates-per-step", "0.01",
)  # fmt: skip
MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "16384"}
"""Settings with which glibc returns freed memory at once, so that resident memory is used memory."""
SETTLED = 0.3
"""Share of the steps after which replays and buffers are full."""
MOST_MB_PER_HOUR = 1.0
EVERY_S = 1.0


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    env_steps: int = 1_000_000
    run_dir: Path | None = None
    """Folder of the run (default: a temporary folder)."""


class Sample(NamedTuple):
    """Resources of a run at one time."""

    seconds: float
    env_steps: int
    memory_mb: float
    threads: int
    handles: int
    disk_mb: float


def main(args: list[str] | None = None) -> int:
    """Run, measure, and print a table. Exit code 0 if all limits hold."""
    command = parse(Arguments, prog="python -m mawm.benchmarks.soak", description=DESCRIPTION, args=args)
    if not Path("/proc/self/status").exists():
        fail("this command reads /proc, which this system does not have; run it on Linux")
    if command.env_steps < 2000:
        fail(f"--env-steps is {command.env_steps}; it must be at least 2000")
    with tempfile.TemporaryDirectory() as temporary:
        folder = command.run_dir or Path(temporary) / "run"
        samples, code = _measured_run(folder, command.env_steps)
        return _report(samples, code, command.env_steps, _declared_mb(command.env_steps))


def _options(env_steps: int) -> list[str]:
    return [*SETTINGS, "--env-steps", str(env_steps)]


def _declared_mb(env_steps: int) -> float:
    from mawm.envs.registry import make_env
    from mawm.estimates import most_bytes
    from mawm.train import configure

    config = configure([o for o in _options(env_steps) if o != "--fresh"])
    with closing(make_env(config, "train", 1)) as env:
        return most_bytes(config, env.spaces) / 1e6


def _measured_run(folder: Path, env_steps: int) -> tuple[list[Sample], int]:
    command = [sys.executable, "-m", "mawm.train", *_options(env_steps), "--run-dir", str(folder)]
    began, samples, printed = time.monotonic(), list[Sample](), 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **MALLOC}) as process:
        try:
            while process.poll() is None:
                time.sleep(EVERY_S)
                sample = _sample(process.pid, folder, time.monotonic() - began)
                if sample is not None:
                    samples.append(sample)
                if sample is not None and time.monotonic() - printed > 30:
                    printed = time.monotonic()
                    left = (env_steps / max(1, sample.env_steps) - 1) * sample.seconds
                    print(f"{sample.env_steps}/{env_steps} steps, ETA {left / 60:.0f} min, {sample.memory_mb:.1f} MB,"
                          f" {sample.handles} handles, {sample.disk_mb:.1f} MB on disk", flush=True)  # fmt: skip
        except KeyboardInterrupt:
            process.wait()
    # After the last step the run frees its memory, so these samples are not used.
    return [s for s in samples if s.env_steps < env_steps], process.returncode


def _sample(pid: int, folder: Path, seconds: float) -> Sample | None:
    """The present resources of the process; None before its first row of the log and after its end."""
    try:
        last = (folder / "metrics.jsonl").read_bytes()[-65536:].splitlines()[-1]
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        handles = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        memory, threads = int(status["VmRSS"].split()[0]), int(status["Threads"])
        return Sample(seconds, json.loads(last)["env_steps"], memory / 1024, threads, handles, disk / 1e6)
    except (OSError, ValueError, KeyError, IndexError):
        return None


def _report(samples: list[Sample], code: int, env_steps: int, declared_mb: float) -> int:
    """Print the table; the exit code."""
    if code != 0 or not samples:
        print(f"the run ended with exit code {code}")
        return 1
    settled = [s for s in samples if s.env_steps >= SETTLED * samples[-1].env_steps]
    slope = _slope(np.array([s.seconds for s in settled]) / 3600, np.array([s.memory_mb for s in settled]))
    memory, threads, handles = (sorted(getattr(s, name) for s in settled) for name in Sample._fields[2:5])
    disk = max(s.disk_mb for s in samples)
    lines = [
        ("environment steps", f"{env_steps:,} in {samples[-1].seconds / 60:.1f} min", True),
        ("memory with full replays", f"{slope:+.2f} MB an hour; between {memory[0]:.1f} and {memory[-1]:.1f} MB, the "
         "maximum during a save", slope < MOST_MB_PER_HOUR),
        ("threads", _span(threads), _steady([s.threads for s in settled])),
        ("file handles", _span(handles), _steady([s.handles for s in settled])),
        ("disk", f"{disk:.1f} MB at most, {declared_mb:.1f} MB estimated", disk <= declared_mb),
    ]  # fmt: skip
    for name, figure, holds in lines:
        print(f"| {name} | {figure} | {'holds' if holds else 'DOES NOT HOLD'} |")
    return 0 if all(holds for _, _, holds in lines) else 1


def _span(values: list[int]) -> str:
    return f"{values[0]} to {values[-1]}" if values[-1] > values[0] else str(values[0])


def _steady(values: list[int]) -> bool:
    """Whether the median of the last quarter is at most that of the first quarter."""
    quarter = max(1, len(values) // 4)
    return bool(np.median(values[-quarter:]) <= np.median(values[:quarter]))


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The median slope of all pairs of points (Theil-Sen), which is robust against short peaks."""
    i, j = np.triu_indices(len(x), 1)
    return float(np.median((y[j] - y[i]) / (x[j] - x[i])))


if __name__ == "__main__":
    sys.exit(main())
