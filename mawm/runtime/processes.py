"""Child processes: start them with the signals that stop a run blocked, and kill them."""

import contextlib
import multiprocessing
import os
import signal
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""A terminal that is closed sends SIGHUP."""
LAST_WAIT_S = 2.0
"""Seconds that `kill_all` waits for each process to end; longer only if the operating system hangs."""
_STARTING: list[BaseProcess] = []


def start(process: BaseProcess) -> None:
    """Start a spawned process in which STOP_SIGNALS are blocked, until it calls `ignore_signals`.

    A terminal sends its signals to all processes, also to those that are still importing modules.
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


def stop_signals() -> tuple[signal.Signals, ...]:
    """STOP_SIGNALS without SIGHUP if this process was told to ignore it (`nohup`)."""
    return tuple(
        number for number in STOP_SIGNALS
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    )  # fmt: skip


def ignore_signals(*, children_too: bool = True) -> None:
    """Ignore STOP_SIGNALS until this process ends.

    Spawned processes call it because only the main process decides when to stop. A command calls it when its exit code
    is final: the interpreter removes Python's signal handlers while it shuts down, and then a signal would kill it.

    Without `children_too`, processes that this one starts later do not ignore them, so that it can terminate them.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN if children_too else _do_nothing)
    if not children_too:
        os.register_at_fork(after_in_child=_restore_defaults)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Handle a signal; unlike SIG_IGN, a handler does not pass to programs that this process starts."""


def _restore_defaults() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)


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
