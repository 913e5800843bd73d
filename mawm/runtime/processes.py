"""Child processes: start them with SIGINT and SIGTERM blocked, and kill them."""

import contextlib
import multiprocessing
import os
import signal
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
LAST_WAIT_S = 2.0
"""Seconds that `kill_all` waits for each process to end; longer only if the operating system hangs."""
_STARTING: list[BaseProcess] = []


def start(process: BaseProcess) -> None:
    """Start a spawned process in which SIGINT and SIGTERM are blocked, until it calls `ignore_signals`.

    A terminal sends Ctrl-C to all processes, also to those that are still importing modules.
    """
    resource_tracker.ensure_running()  # otherwise `process.start` starts it, which unblocks the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    _STARTING.append(process)
    try:
        process.start()
    finally:
        _STARTING.remove(process)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def starting() -> bool:
    """Whether `start` is running: `kill_all` would not find the new process yet."""
    return bool(_STARTING)


def ignore_signals() -> None:
    """Ignore SIGINT and SIGTERM until this process ends.

    Spawned processes call it because only the main process decides when to stop. A command calls it when its exit code
    is final: the interpreter removes Python's signal handlers while it shuts down, and then a signal would kill it.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def kill(process: BaseProcess) -> None:
    """Kill a process, and its process group if it leads one."""
    assert process.pid is not None
    with contextlib.suppress(OSError):  # it leads no process group, or not yet, or has ended
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def kill_all() -> None:
    """Kill every process that `multiprocessing` started here, and wait until each has ended."""
    processes = multiprocessing.active_children()
    for process in processes:
        kill(process)
    for process in processes:
        process.join(LAST_WAIT_S)
