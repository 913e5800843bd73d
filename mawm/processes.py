"""Processes that this one starts: how they begin, which signals are not meant for them, and how they are ended."""

import contextlib
import multiprocessing
import os
import signal
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
LAST_WAIT_S = 2.0
"""How long `kill_all` waits for each process to be gone; SIGKILL takes longer only where the system itself hangs."""
_BEGINNING: list[BaseProcess] = []


def start(process: BaseProcess) -> None:
    """Start a spawned process that no SIGINT or SIGTERM reaches: it ignores them once it calls `ignore_signals`.

    Until then it has them blocked. A terminal sends Ctrl-C to all processes, also to those that still load modules.
    """
    resource_tracker.ensure_running()  # `process.start` would start it, and that unblocks the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    _BEGINNING.append(process)
    try:
        process.start()
    finally:
        _BEGINNING.remove(process)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def starting() -> bool:
    """Whether a process is being started just now: it would not be found by `kill_all`."""
    return bool(_BEGINNING)


def ignore_signals() -> None:
    """Ignore SIGINT and SIGTERM until this process ends.

    Spawned processes call it because stopping is the main process's affair. A command calls it when its exit code is
    settled: a handler in Python is taken away while the interpreter shuts down, and then a signal would kill it.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def kill(process: BaseProcess) -> None:
    """Kill a process, and what it started if it leads a session of its own."""
    assert process.pid is not None
    with contextlib.suppress(OSError):  # it has no session, none yet, or is gone
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def kill_all() -> None:
    """Kill every process that `multiprocessing` started here, and wait until it is gone."""
    processes = multiprocessing.active_children()
    for process in processes:
        kill(process)
    for process in processes:
        process.join(LAST_WAIT_S)
