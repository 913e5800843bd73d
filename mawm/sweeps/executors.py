"""Where the processes of a sweep run: the interface of all executors, and the executor of this machine."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

LOST = 256
"""In place of an exit code: the executor took the machine away (preemption, time limit, death of a node)."""


class RefusedError(Exception):
    """An executor does not take a task, as its message says in one line."""


@dataclass(frozen=True)
class Task:
    """One process of a sweep: a training or an evaluation."""

    name: str
    """Of the run, and of the step if it is not the training: unique among the tasks of a sweep's folder."""
    command: tuple[str, ...]
    """Arguments of the Python interpreter: -m, a module, its arguments."""
    output: Path
    """File to which the standard output is appended."""
    log: Path
    """File to which the error output is appended; possibly the same."""


class Started(Protocol):
    """A task that an executor has started."""

    def poll(self) -> int | None:
        """The exit code, or LOST; None as long as the task waits or runs."""

    def status(self) -> str:
        """The state of the task, in one line. It begins with `queued`, `running` or `ended`."""

    def stop(self) -> None:
        """Let the run save and end; at the second call it ends at once. A task that waits is taken out of the queue."""


class Executor(Protocol):
    """Starts tasks on one or more machines, which all share the sweep's folder."""

    name: str
    """Its name on the command line."""

    def start(self, task: Task) -> Started:
        """Start a task, or put it into the queue. RefusedError if the executor does not take it."""


class LocalProcess:
    """A process on this machine."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def poll(self) -> int | None:
        """The exit code; None while the process runs."""
        return self._process.poll()

    def status(self) -> str:
        """The number of the process, or its exit code."""
        code = self.poll()
        return f"running (process {self._process.pid})" if code is None else f"ended (exit code {code})"

    def stop(self) -> None:
        """Send SIGINT."""
        self._process.send_signal(signal.SIGINT)


class LocalExecutor:
    """Processes on this machine."""

    name = "local"

    def start(self, task: Task) -> Started:
        """Start the process."""
        return LocalProcess(open_process(task))


def open_process(task: Task, folder: Path | None = None) -> "subprocess.Popen[bytes]":
    """Start a task's process in its own session: Ctrl-C reaches only the sweep, which sends each run one signal.

    `folder` is the working folder (default: that of this process), to which the paths of the task are relative.
    """
    root = folder or Path()
    (root / task.log).parent.mkdir(parents=True, exist_ok=True)
    with (root / task.output).open("ab") as output, (root / task.log).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, *task.command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            cwd=folder,
            start_new_session=True,
        )
