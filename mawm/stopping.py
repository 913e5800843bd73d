"""What signals ask of a run: to save and end, and then to end at once."""

import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from mawm.processes import ignore_signals, kill_all, starting
from mawm.telling import tell_from_handler

SAME_REQUEST_S = 0.5
"""A second signal so soon is the first one again: a service manager's and a sweep's arrive together."""
LOOK_S = 0.5
"""How often it is looked whether the run waits for an environment that gives no answer."""
PATIENCE_S = 3.0
"""How long an environment may take for an answer once its run has been told to end."""
GIVE_UP_S = 9.0
"""When a run ends unsaved that still waits for one: a service manager waits ten seconds before it kills."""
RETRY_S = 0.01
"""When it is tried again to end at once, after a moment in which a process was being started."""


class Stopping:
    """Listens for SIGINT and SIGTERM while it is entered.

    The first one is handed to `stop`, which lets the run save after its round. Before there is a run, and for a second
    one, the process ends at once with `exit_code`, and so do all processes that it started. A round that waits for an
    environment that hangs would not end: `hurry` puts an end to what has waited so many seconds, and says whether
    anything has. That happens once, so that a fresh one may take its place; if the run waits again it ends, while the
    last checkpoint is whole. A round that is only slow is let be.

    With `until_exit`, for a command that owns its process, signals are ignored once it is left. Otherwise the process
    is somebody else's: in place of ending it KeyboardInterrupt is raised, and the handlers from before come back.
    """

    def __init__(self, *, until_exit: bool) -> None:
        self.until_exit = until_exit
        self.stop: Callable[[], None] | None = None
        self.hurry: Callable[[float], bool] = lambda seconds: False
        self.number = 0
        """The signal that came, if one did."""
        self._asked_s = float("-inf")
        self._hurried = False
        self._quitting = False
        self._settled = False
        """Whether the exit code is: no signal changes anything any more."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stopping":
        for number, act in (
            (signal.SIGINT, self._asked), (signal.SIGTERM, self._asked), (signal.SIGALRM, self._look),
        ):  # fmt: skip
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
        """What a shell expects of a process that was told to end."""
        return 128 + self.number

    def _asked(self, number: int, frame: FrameType | None) -> None:
        now, again = time.monotonic(), bool(self.number)
        if self._settled or (again and now - self._asked_s < SAME_REQUEST_S):
            return
        self.number, self._asked_s = self.number or number, now
        if again or self.stop is None:
            self._quit()
        else:
            self.stop()
            tell_from_handler("stopping after this round; once more to quit at once")
            signal.setitimer(signal.ITIMER_REAL, LOOK_S, LOOK_S)

    def _look(self, number: int, frame: FrameType | None) -> None:
        if self._settled:
            return
        if self._quitting:
            self._quit()
        elif not self._hurried:
            self._hurried = self.hurry(PATIENCE_S)
        elif time.monotonic() - self._asked_s > GIVE_UP_S and self.hurry(LOOK_S):
            self._quit()

    def _quit(self) -> None:
        # An exception from a handler can be raised anywhere: in a callback that swallows it and prints a traceback,
        # within an import that takes it for an error, in the middle of cleaning up. So the process ends right here.
        if not self.until_exit:
            raise KeyboardInterrupt
        self._quitting = True
        if starting():  # that process would be left behind; SIGALRM comes back here
            signal.setitimer(signal.ITIMER_REAL, RETRY_S)
            return
        self._settled = True
        tell_from_handler("quit at once; what was saved is intact")
        try:
            kill_all()
        finally:
            os._exit(self.exit_code)
