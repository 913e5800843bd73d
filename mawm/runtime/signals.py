"""Handles SIGINT, SIGTERM and SIGHUP: after the first signal the run saves and ends; the second one ends it at once."""

import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from mawm.runtime.display import Display, PlainLines
from mawm.runtime.processes import ignore_signals, kill_all, starting, stop_signals

SAME_REQUEST_S = 0.5
"""Seconds within which a second signal counts as the first one: a service manager and a sweep may both send one."""
LOOK_S = 0.5
"""Seconds between two checks whether the run waits for an environment without an answer."""
PATIENCE_S = 3.0
"""Seconds that an environment may take to answer after the signal."""
GIVE_UP_S = 9.0
"""Seconds after the signal at which a run that still waits for an environment ends without saving.

A service manager kills a process after ten seconds.
"""
RETRY_S = 0.01
"""Seconds until the next attempt to end at once, if a process was being started at the first attempt."""


class Stopping:
    """Context manager that handles SIGINT, SIGTERM and SIGHUP (unless the process was told to ignore it).

    The first signal calls `stop`, with which the run saves and ends after its present round. On a second signal, or if
    there is no run yet (`stop` is None), the process and all processes that it started end at once, with `exit_code`.

    A round that waits for a hanging environment would never end. So after the first signal `limit_waiting(seconds)` is
    called repeatedly: it kills environments that have not answered for so many seconds, and returns whether there were
    any. The run may restart a killed environment. If the run still waits for an environment `GIVE_UP_S` after the
    signal, the process ends without saving; the last checkpoint is intact. A round that is slow for other reasons
    continues.

    `until_exit` is for a command that owns its process: signals are ignored after the context is left. Otherwise (for a
    caller's process) KeyboardInterrupt is raised instead of ending the process, and the earlier handlers are restored.
    """

    def __init__(self, *, until_exit: bool) -> None:
        self.until_exit = until_exit
        self.stop: Callable[[], None] | None = None
        self.limit_waiting: Callable[[float], bool] = lambda seconds: False
        self.display: Display = PlainLines()
        """Where the messages appear."""
        self.number = 0
        """The number of the first signal; 0: none has come."""
        self._signalled_s = float("-inf")
        self._waiting_limited = False
        self._quitting = False
        self._settled = False
        """Whether the exit code is final: later signals have no effect."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stopping":
        for number, act in (
            *((number, self._on_signal) for number in stop_signals()),
            (signal.SIGALRM, self._on_alarm),
        ):
            self._before[number] = signal.signal(number, act)
        return self

    def __exit__(self, *error: object) -> None:
        self._settled = True
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        if self.until_exit:
            ignore_signals()
            return
        for number, act in self._before.items():
            signal.signal(number, act)

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, by the convention of shells."""
        return 128 + self.number

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now, again = time.monotonic(), bool(self.number)
        if self._settled or (again and now - self._signalled_s < SAME_REQUEST_S):
            return
        self.number, self._signalled_s = self.number or number, now
        if again or self.stop is None:
            self._quit()
        else:
            self.stop()
            self.display.print_from_handler("stopping after this round; once more to quit at once")
            signal.setitimer(signal.ITIMER_REAL, LOOK_S, LOOK_S)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if self._settled:
            return
        if self._quitting:
            self._quit()
        elif not self._waiting_limited:
            self._waiting_limited = self.limit_waiting(PATIENCE_S)
        elif time.monotonic() - self._signalled_s > GIVE_UP_S and self.limit_waiting(LOOK_S):
            self._quit()

    def _quit(self) -> None:
        # An exception from a handler may be raised anywhere: in a callback that swallows it and prints a traceback, in
        # an import that treats it as an error, or during clean-up. So the process ends here, without an exception.
        if not self.until_exit:
            raise KeyboardInterrupt
        self._quitting = True
        if starting():  # `kill_all` would miss the new process; SIGALRM calls this method again
            signal.setitimer(signal.ITIMER_REAL, RETRY_S)
            return
        self._settled = True
        self.display.print_from_handler("quit at once; saved checkpoints are intact", last=True)
        try:
            kill_all()
        finally:
            os._exit(self.exit_code)
