"""An environment in a separate process, so that it may hang or crash without damage to the run."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from multiprocessing import connection, util
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, cast

from numpy.typing import NDArray

from mawm.envs.checked import source_of
from mawm.runtime.processes import ignore_signals, kill, start
from mawm.types import Ints, Rendered, Step, VectorEnv

CLOSE_TIMEOUT_S = 5.0
"""Seconds in which an environment must close; then its process is killed."""
START_TIMEOUT_S = 60.0
"""Minimum timeout of the start, because imports are slow on a busy machine."""
GOES_ON = "goes on"
"""The message of a long call that has made one more step: the time limit of its answer begins again."""
_ALL: "weakref.WeakSet[ProcessEnv]" = weakref.WeakSet()
"""All environments of this process, for `limit_waiting`."""


def limit_waiting(seconds: float) -> bool:
    """Kill each environment that has not answered a call for this long; the call raises ProcessDied.

    Returns whether there was one.
    """
    overdue = [env for env in _ALL if time.monotonic() - env.waiting_since >= seconds]
    for env in overdue:
        env.process.kill()
    return bool(overdue)


class ProcessDied(RuntimeError):
    """The process of an environment ended unexpectedly; the message contains its signal or exit code."""


class ProcessEnv:
    """A vector environment in a spawned process; calls and answers go through a pipe.

    `make` builds the environment in the process, so it must be picklable by reference. TimeoutError if an answer takes
    more than `timeout_s` seconds (the start: at least a minute; `restore`: each replayed step, if the environment has
    `restoring`); then the process is killed. Exceptions of the
    environment are raised here with their name, message and place; ValueError stays ValueError. ProcessDied if the
    process ended.

    The process has a session of its own, so that signals to the main process (Ctrl-C, `timeout`) do not reach it. It is
    killed with all its child processes by `close`, when this object is deleted, and when the main process ends.
    """

    def __init__(self, make: Callable[[], VectorEnv], timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.waiting_since = float("inf")
        """Start time of the running call; infinity if there is none."""
        context = multiprocessing.get_context("spawn")
        self._pipe, child_pipe = context.Pipe()
        self.process = context.Process(target=_serve, args=(child_pipe, make), name="mawm-environment")
        start(self.process)
        child_pipe.close()
        # It is no daemon, because a daemon may not start processes of its own. So at exit this must run before
        # multiprocessing waits for its end.
        self._kill = util.Finalize(self, _kill, args=(self.process,), exitpriority=10)
        _ALL.add(self)
        try:
            self.spaces, self.batch = self._answer(max(timeout_s, START_TIMEOUT_S))
        except BaseException:
            self._kill()
            raise

    def reset(self) -> Step:
        """Begin B new battles."""
        return cast(Step, self._call("reset"))

    def step(self, actions: Ints) -> Step:
        """Play one step in every battle."""
        return cast(Step, self._call("step", actions))

    def render(self) -> Rendered:
        """The environment's pictures."""
        return cast(Rendered, self._call("render"))

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The environment's snapshot."""
        return cast(dict[str, NDArray[Any]], self._call("snapshot"))

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> Step | None:
        """Continue from a snapshot, or return the start of new battles."""
        return cast(Step | None, self._call("restore", snapshot))

    def close(self) -> None:
        """Close the environment and end its process."""
        with contextlib.suppress(OSError):
            self._pipe.send(None)
            connection.wait([self.process.sentinel], CLOSE_TIMEOUT_S)
        self._kill()
        self._pipe.close()

    def _call(self, method: str, *arguments: Any) -> Any:
        if self._pipe.closed:
            raise ProcessDied(f"its process {_how_it_ended(self.process.exitcode)}")
        # If the pipe is broken, `_answer` raises.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._pipe.send((method, arguments))
        return self._answer(self.timeout_s)

    def _answer(self, timeout_s: float) -> Any:
        try:
            error = GOES_ON
            while error == GOES_ON:
                self.waiting_since = time.monotonic()
                if not self._pipe.poll(timeout_s):
                    raise TimeoutError(f"no answer within {timeout_s:g} s")
                error, answer = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            connection.wait([self.process.sentinel], CLOSE_TIMEOUT_S)
            self._kill()
            raise ProcessDied(f"its process {_how_it_ended(self.process.exitcode)}") from None
        except BaseException:  # a timeout, or an interrupt of the caller
            self._kill()
            self._pipe.close()  # otherwise the next call could read a late answer of this one
            raise
        finally:
            self.waiting_since = float("inf")
        if error == "ValueError":
            raise ValueError(answer)
        if error:
            raise type(error, (RuntimeError,), {})(answer)  # the exception's class may not be importable here
        return answer


def _how_it_ended(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"was killed by {signal.Signals(-exitcode).name}"
    return f"ended with exit code {exitcode}"


def _kill(process: BaseProcess) -> None:
    """Kill a process and its child processes."""
    kill(process)
    process.join()


def _serve(pipe: Connection, make: Callable[[], VectorEnv]) -> None:
    """Build the environment, then answer calls until the call is None."""
    ignore_signals(children_too=False)
    os.setsid()
    os.dup2(2, 1)  # the environment prints to stderr: stdout is for the run's own output
    threading.Thread(target=_end_with_the_main_process, daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the main process has ended
        try:
            env = make()
        except Exception as error:
            pipe.send(_description(error))
            return
        pipe.send(("", (env.spaces, env.batch)))
        while (call := pipe.recv()) is not None:
            method, arguments = call
            try:
                if method == "restore" and hasattr(env, "restoring"):
                    for _ in env.restoring(*arguments):
                        pipe.send((GOES_ON, None))
                    pipe.send(("", None))
                else:
                    pipe.send(("", getattr(env, method)(*arguments)))
            except Exception as error:
                pipe.send(_description(error))
        with contextlib.suppress(Exception):  # the main process does not wait for an answer
            env.close()


def _description(error: Exception) -> tuple[str, str]:
    """An exception's name and message, with its file and line if they are outside this package."""
    if isinstance(error, ValueError):
        return "ValueError", str(error)
    return type(error).__name__, f"{str(error) or 'without a message'}{source_of(error)}"


def _end_with_the_main_process() -> None:
    """Kill this process group when the main process ends, even if the environment hangs."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.killpg(0, signal.SIGKILL)
