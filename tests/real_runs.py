"""Starts training runs in processes of their own, waits for them, and compares the results of two runs."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
from warm_process import WarmProcess

from mawm.run_folder.checkpoint import newest
from mawm.train import main

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
Started = subprocess.Popen[str] | WarmProcess
Figure = Callable[[str, str], None]
"""The fixture `figure`: takes what was tried, and the result."""
SHORT = (
    "--preset", "debug", "--placement", "inline", "--env-steps", "700", "--bandwidth", "1",
    "--schedule.save-every", "60",
)  # fmt: skip


def train(folder: Path, *more: str, before: Callable[[], None] | None = None, warm: bool = True, **env: str) -> Started:
    """Start the short run in a process, with further options and variables; the child calls `before` first.

    Not `warm`, with variables, or with a `before` of the test, the process imports everything itself.
    """
    if warm and not env and before in (None, os.setsid):
        return WarmProcess("mawm.train", *SHORT, "--run-dir", str(folder), *more, env=ENVIRONMENT, before=before)
    command = [sys.executable, "-m", "mawm.train", *SHORT, "--run-dir", str(folder), *more]
    return subprocess.Popen(
        command,
        env={**ENVIRONMENT, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )


def on_terminal(*command: str, columns: int = 80, **env: str) -> "tuple[subprocess.Popen[bytes], int]":
    """Start a Python command on a pseudo-terminal; returns its process and our end of the terminal."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    settings = {**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "", "LINES": "", "PYTHONUTF8": "1", **env}
    process = subprocess.Popen([sys.executable, *command], env=settings, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    return process, ours


def read_terminal(ours: int, text: str | None = None) -> str:
    """What a terminal gets until a text appears (default: until its process ends), with the escape sequences."""
    shown = b""
    while text is None or text not in shown.decode(errors="ignore"):
        try:
            shown += os.read(ours, 65536)
        except OSError:  # its process has ended
            assert text is None, shown.decode(errors="ignore")
            break
    return shown.decode(errors="ignore")


def train_here(folder: Path, *more: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run the short run in this process, which saves the imports of a new one; returns what `finish` returns."""
    capsys.readouterr()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    try:
        code = main([*SHORT, "--run-dir", str(folder), *more])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return code, *capsys.readouterr()


def finish(process: Started) -> tuple[int, str, str]:
    """Wait for a process; returns its exit code, output and errors."""
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def wait_until(condition: Callable[[], bool], process: Started | None = None, seconds: float = 240.0) -> None:
    """Wait for a condition; fails after `seconds`, or when the process that should bring it about has ended."""
    end = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def read_until(stream: IO[str] | None, text: str) -> str:
    """Read lines until one contains the text; returns all of them."""
    assert stream is not None
    lines = ""
    while text not in lines:
        line = stream.readline()
        assert line, f"{text!r} was not told: {lines}"
        lines += line
    return lines


def process_stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty if the process does not exist."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    return bool(found := process_stat(pid)) and found[0] not in "ZX"


def children(pid: int) -> list[int]:
    """The child processes of a process."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [other for other in pids if process_stat(other)[1:2] == [str(pid)]]


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process and its children: its progress, independent of the load of the machine."""
    ticks = [found for each in (pid, *children(pid)) if (found := process_stat(each))]
    return sum(int(found[11]) + int(found[12]) for found in ticks) / os.sysconf("SC_CLK_TCK")


def wait_for_cpu(process: Started, seconds: float) -> None:
    """Wait until a process has used so many more CPU seconds."""
    before = cpu_seconds(process.pid)
    wait_until(lambda: cpu_seconds(process.pid) > before + seconds, process)


def handles_signals(pid: int) -> bool:
    """Whether a run has installed its signal handlers: SIGALRM is the last one."""
    caught = Path(f"/proc/{pid}/status").read_text().partition("SigCgt:")[2].split()[0]
    return bool(int(caught, 16) >> (signal.SIGALRM - 1) & 1)


def rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl without entries that depend on the clock."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if not k.startswith(("wall_s", "time/"))} for line in lines]


def differences(one: Path, other: Path) -> list[str]:
    """The names of arrays and settings that differ between two runs' last checkpoints, and of logs that differ."""
    a, b = newest(one), newest(other)
    found = [] if a.env_steps == b.env_steps and a.parts.keys() == b.parts.keys() else ["checkpoints"]
    for part in a.parts.keys() & b.parts.keys():
        arrays, others = a.parts[part][0], b.parts[part][0]
        names = sorted(arrays.keys() | others.keys())
        found += [f"{part}/{n}" for n in names if n not in arrays or arrays[n].tobytes() != others[n].tobytes()]
        rest, other_rest = ({**state.parts[part][1], "wall_s": 0} for state in (a, b))
        found += [f"{part}: {key}" for key in rest if json.dumps(rest[key]) != json.dumps(other_rest.get(key))]
    return found if rows(one) == rows(other) else [*found, "metrics.jsonl"]
