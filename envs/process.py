"""An environment in a process of its own: it may hang, crash or end, and only its process is lost."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from multiprocessing import connection, util
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mawm.runtime.processes import ignore_signals, kill, start
from mawm.types import Ints, Step, VectorEnv

FAREWELL_S = 5.0
"""How long an environment that is let go may take to close; then it is killed."""
BEGINNING_S = 60.0
"""How long it may take to begin at least: imports alone take a while on a busy machine."""
_ALL: "weakref.WeakSet[ProcessEnv]" = weakref.WeakSet()
"""Those of this process, for a signal that wants to know which of them keeps its run waiting."""


def limit_waiting(seconds: float) -> bool:
    """Kill every environment whose answer has been awaited for so long: whoever waits goes on with ProcessDied.

    Whether there was one.
    """
    overdue = [env for env in _ALL if time.monotonic() - env.waiting_since >= seconds]
    for env in overdue:
        env.process.kill()
    return bool(overdue)


class ProcessDied(RuntimeError):
    """The process of an environment ended without being asked to; the message tells how."""


class ProcessEnv:
    """A vector environment that lives in a spawned process; calls and answers go through a pipe.

    `make` builds it there, so it must be picklable by reference. Every answer may take `timeout_s` seconds (the
    construction a minute at least): then the process is killed and TimeoutError says so. An exception inside is raised
    here under its own name, with what it said and where; ValueError stays ValueError. ProcessDied if it ended.

    The process leads a session of its own: what stops the main process (Ctrl-C, `timeout`) is not meant for it. It is
    killed, with all that it started, by `close`, when this object is gone, and when the main process is, in any way.
    """

    def __init__(self, make: Callable[[], VectorEnv], timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.waiting_since = float("inf")
        """When the answer that is awaited was asked for."""
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self.process = context.Process(target=_serve, args=(there, make), name="mawm-environment", daemon=True)
        start(self.process)
        there.close()
        # At exit it must run before multiprocessing waits for its daemons, of which this one heeds no SIGTERM.
        self._kill = util.Finalize(self, _kill, args=(self.process,), exitpriority=10)
        _ALL.add(self)
        try:
            self.spaces, self.batch = self._answer(max(timeout_s, BEGINNING_S))
        except BaseException:
            self._kill()
            raise

    def reset(self) -> Step:
        """Begin B fresh battles, as the environment does."""
        answer: Step = self._ask("reset")
        return answer

    def step(self, actions: Ints) -> Step:
        """Play one step in every battle, as the environment does."""
        answer: Step = self._ask("step", actions)
        return answer

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The environment's."""
        answer: dict[str, NDArray[Any]] = self._ask("snapshot")
        return answer

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> None:
        """Continue from a snapshot."""
        self._ask("restore", snapshot)

    def close(self) -> None:
        """Let the environment close, and end its process."""
        with contextlib.suppress(OSError):
            self._pipe.send(None)
            connection.wait([self.process.sentinel], FAREWELL_S)
        self._kill()
        self._pipe.close()

    def _ask(self, what: str, *arguments: Any) -> Any:
        if self._pipe.closed:
            raise ProcessDied(f"its process {_how_it_ended(self.process.exitcode)}")
        # A pipe that is broken already says so once more where the answer is awaited.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._pipe.send((what, arguments))
        return self._answer(self.timeout_s)

    def _answer(self, timeout_s: float) -> Any:
        self.waiting_since = time.monotonic()
        try:
            if not self._pipe.poll(timeout_s):
                raise TimeoutError(f"no answer within {timeout_s:g} s")
            error, answer = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            connection.wait([self.process.sentinel], FAREWELL_S)
            self._kill()
            raise ProcessDied(f"its process {_how_it_ended(self.process.exitcode)}") from None
        except BaseException:  # too late, or whoever waits was interrupted: an answer still to come is nobody's
            self._kill()
            self._pipe.close()  # it may have come meanwhile, and would be taken for the next call's
            raise
        finally:
            self.waiting_since = float("inf")
        if error == "ValueError":
            raise ValueError(answer)
        if error:
            raise type(error, (RuntimeError,), {})(answer)  # its own class need not be known here
        return answer


def _how_it_ended(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"was killed by {signal.Signals(-exitcode).name}"
    return f"ended with exit code {exitcode}"


def _kill(process: BaseProcess) -> None:
    """End a process and what it started."""
    kill(process)
    process.join()


def _serve(pipe: Connection, make: Callable[[], VectorEnv]) -> None:
    """The process's whole life: build the environment, answer calls until told to stop."""
    ignore_signals()
    os.setsid()
    os.dup2(2, 1)  # what an environment prints is no result of ours, which a program may read
    threading.Thread(target=_end_with_the_main_process, daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the main process is gone
        try:
            env = make()
        except Exception as error:
            pipe.send(_told(error))
            return
        pipe.send(("", (env.spaces, env.batch)))
        while (call := pipe.recv()) is not None:
            what, arguments = call
            try:
                pipe.send(("", getattr(env, what)(*arguments)))
            except Exception as error:
                pipe.send(_told(error))
        with contextlib.suppress(Exception):  # nobody listens any more
            env.close()


def _told(error: Exception) -> tuple[str, str]:
    """An exception's name and what it said, with the place it comes from unless that is ours."""
    if isinstance(error, ValueError):
        return "ValueError", str(error)
    last = traceback.extract_tb((error.__cause__ or error).__traceback__)[-1]
    source = Path(last.filename)
    where = "" if source.parent == Path(__file__).parent else f" ({source.name}, line {last.lineno})"
    return type(error).__name__, f"{str(error) or 'without a message'}{where}"


def _end_with_the_main_process() -> None:
    """End, with all that was started here, when the main process does, even if the environment hangs."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.killpg(0, signal.SIGKILL)
