"""Runs `python -m mawm.X` in a fork of a process that has imported torch and the engine: 2.5 s less for each command.

A process of its own all the same: with its number, its signals, its outputs and its exit code. Tests about starting,
importing, variables of the environment or closing outputs use `subprocess`.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from multiprocessing import reduction
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["mawm.build", "mawm.estimates", "mawm.envs.skirmish.battles"])


class WarmProcess:
    """Has the part of `subprocess.Popen` that tests use."""

    def __init__(
        self, module: str, *args: str, env: Mapping[str, str], cwd: Path | None = None,
        before: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self.args = [sys.executable, "-m", module, *args]
        outputs, self._outputs = zip(*(os.pipe() for _ in range(2)), strict=True)
        self.stdout, self.stderr = (os.fdopen(fd, encoding="utf-8") for fd in outputs)
        self._process = CONTEXT.Process(
            target=_run, args=(module, args, dict(env), cwd, before, _Outputs(self._outputs))
        )
        self._process.start()
        for fd in self._outputs:
            os.close(fd)
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code; minus the number of the signal that killed it; None while it runs."""
        return self._process.exitcode

    poll: Callable[["WarmProcess"], int | None] = lambda self: self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. TimeoutExpired as `Popen.wait`."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Read both outputs to their ends and wait."""
        read: dict[str, str] = {}
        readers = [
            threading.Thread(target=lambda name=name, file=file: read.update({name: file.read()}), daemon=True)
            for name, file in (("out", self.stdout), ("err", self.stderr))
            if not file.closed
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(timeout)
        self.wait(timeout)
        self.stdout.close(), self.stderr.close()
        return read.get("out", ""), read.get("err", "")

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, if it still runs."""
        self.send_signal(signal.SIGKILL)


class _Outputs:
    """File descriptors for the other process."""

    def __init__(self, fds: tuple[int, ...]) -> None:
        self.fds = fds

    def __getstate__(self) -> list[Any]:
        return [reduction.DupFd(fd) for fd in self.fds]

    def __setstate__(self, state: list[Any]) -> None:
        self.fds = tuple(copy.detach() for copy in state)


def _run(
    module: str, args: tuple[str, ...], env: dict[str, str], cwd: Path | None, before: Any, outputs: _Outputs
) -> None:
    for fd, number in zip(outputs.fds, (1, 2), strict=True):
        os.dup2(fd, number)
        os.close(fd)
    os.environ.clear()
    os.environ.update(env)
    if cwd is not None:
        os.chdir(cwd)
    if before is not None:
        before()
    sys.path[:0] = [os.getcwd(), *env.get("PYTHONPATH", "").split(os.pathsep)]  # as `python -m` does
    sys.argv = [module, *args]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
