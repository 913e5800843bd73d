"""The runs of a sweep on a Ray cluster: an actor with one CPU for each, which starts the process of the run."""

import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

from mawm.runtime.processes import STOP_SIGNALS
from mawm.sweeps.executors import LOST, Started, Task, open_process

CALLS_AT_ONCE = 3
"""Number of simultaneous calls of one actor: `wait`, which lasts as long as the task, `where` and `stop`."""


class RayExecutor:
    """The Ray cluster that this process is connected to. A task waits until a node has a free CPU."""

    name = "ray"

    def __init__(self) -> None:
        import ray

        # Without restarts: the sweep itself starts a lost run again, and a second process would find the folder locked.
        self._actors = ray.remote(num_cpus=1, max_restarts=0, max_concurrency=CALLS_AT_ONCE)(TaskActor)

    def start(self, task: Task) -> Started:
        """Ask the cluster for an actor that runs the task in the working folder of this process."""
        return RayTask(self._actors.remote(task, Path.cwd(), os.environ.get("PYTHONPATH")))


class TaskActor:
    """Runs one task in a process of its node."""

    def __init__(self, task: Task, folder: Path, python_path: str | None) -> None:
        if python_path:
            os.environ["PYTHONPATH"] = python_path
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # Ray blocks SIGINT, and processes inherit that
        self._process: subprocess.Popen[bytes] = open_process(task, folder)

    def where(self) -> str:
        """The process and its machine."""
        return f"process {self._process.pid} on {socket.gethostname()}"

    def wait(self) -> int:
        """The exit code, when the process has ended."""
        return self._process.wait()

    def stop(self) -> None:
        """Send SIGTERM."""
        self._process.send_signal(signal.SIGTERM)


class RayTask:
    """A task on the cluster."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._where = actor.where.remote()
        self._result = actor.wait.remote()
        self._code: int | None = None
        self._error = ""

    def poll(self) -> int | None:
        """The exit code; LOST if the node or its actor died."""
        import ray

        if self._code is None and ray.wait([self._result], timeout=0)[0]:
            try:
                self._code = int(ray.get(self._result))
            except ray.exceptions.RayActorError as error:
                self._code, self._error = LOST, _first_line(error)
            ray.kill(self._actor)
        return self._code

    def status(self) -> str:
        """Where the task runs, or how it ended."""
        import ray

        code = self.poll()
        if code is not None:
            return f"ended ({self._error or f'exit code {code}'})"
        if not ray.wait([self._where], timeout=0)[0]:
            return "queued (its process starts, or waits for a free CPU)"
        try:
            return f"running ({ray.get(self._where)})"
        except ray.exceptions.RayActorError as error:
            return f"ended ({_first_line(error)})"

    def stop(self) -> None:
        """Let the run save and end; a task that waits for a CPU is given up."""
        import ray

        if ray.wait([self._where], timeout=0)[0]:
            self._actor.stop.remote()
        else:
            ray.kill(self._actor)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
