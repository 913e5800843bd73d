"""Runs as a user starts them, in processes of their own, and what they leave behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from mawm.run_folder.checkpoint import newest
from mawm.train import main

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
Figure = Callable[[str, str], None]
"""The fixture `figure`: what was tried, and what came of it."""
SHORT = (
    "--preset", "debug", "--placement", "inline", "--env-steps", "700", "--bandwidth", "1",
    "--schedule.save-every", "60",
)  # fmt: skip


def train(folder: Path, *more: str, before: Callable[[], None] | None = None, **env: str) -> subprocess.Popen[str]:
    """The same short run in a folder, with what is changed in it and its environment; `before` is called there."""
    command = [sys.executable, "-m", "mawm.train", *SHORT, "--run-dir", str(folder), *more]
    return subprocess.Popen(
        command,
        env={**ENVIRONMENT, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )


def train_here(folder: Path, *more: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """The same run in this process, which saves the imports of a new one; returns what `ended` returns."""
    capsys.readouterr()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    try:
        code = main([*SHORT, "--run-dir", str(folder), *more])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return code, *capsys.readouterr()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, and what it said on both channels."""
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def until(
    condition: Callable[[], bool], process: "subprocess.Popen[str] | None" = None, seconds: float = 240.0
) -> None:
    """Wait for a condition, which may take long on a busy machine, while the process that brings it about lives."""
    end = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def told(stream: IO[str] | None, text: str) -> str:
    """Read lines until one holds the text; gives them all."""
    assert stream is not None
    lines = ""
    while text not in lines:
        line = stream.readline()
        assert line, f"{text!r} was not told: {lines}"
        lines += line
    return lines


def stat(pid: int) -> list[str]:
    """What Linux knows of a process, from its state on; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    return bool(found := stat(pid)) and found[0] not in "ZX"


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [other for other in pids if stat(other)[1:2] == [str(pid)]]


def worked_s(pid: int) -> float:
    """Seconds of CPU that a process and its children took: how far it is, whatever else the machine does."""
    ticks = [found for each in (pid, *children(pid)) if (found := stat(each))]
    return sum(int(found[11]) + int(found[12]) for found in ticks) / os.sysconf("SC_CLK_TCK")


def works(process: "subprocess.Popen[str]", seconds: float) -> None:
    """Wait until it took so many more seconds of CPU."""
    before = worked_s(process.pid)
    until(lambda: worked_s(process.pid) > before + seconds, process)


def listens(pid: int) -> bool:
    """Whether a run listens to signals: SIGALRM is the last that it asks for."""
    caught = Path(f"/proc/{pid}/status").read_text().partition("SigCgt:")[2].split()[0]
    return bool(int(caught, 16) >> (signal.SIGALRM - 1) & 1)


def rows(folder: Path) -> list[dict[str, Any]]:
    """The log without what depends on the clock."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if not k.startswith(("wall_s", "time/"))} for line in lines]


def differences(one: Path, other: Path) -> list[str]:
    """What of two runs' last checkpoints differs in a bit, arrays and rest, and whether their logs do."""
    a, b = newest(one), newest(other)
    found = [] if a.env_steps == b.env_steps and a.parts.keys() == b.parts.keys() else ["checkpoints"]
    for part in a.parts.keys() & b.parts.keys():
        arrays, others = a.parts[part][0], b.parts[part][0]
        names = sorted(arrays.keys() | others.keys())
        found += [f"{part}/{n}" for n in names if n not in arrays or arrays[n].tobytes() != others[n].tobytes()]
        rest, other_rest = ({**state.parts[part][1], "wall_s": 0} for state in (a, b))
        found += [f"{part}: {key}" for key in rest if json.dumps(rest[key]) != json.dumps(other_rest.get(key))]
    return found if rows(one) == rows(other) else [*found, "metrics.jsonl"]
