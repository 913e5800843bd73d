"""What signals ask of a run: to save and end, and then to end at once."""

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from mawm.telling import tell

SAME_REQUEST_S = 0.5
"""A second signal so soon is the first one again: a service manager's and a sweep's arrive together."""
HURRY_S = (4.0, 9.0)
"""Seconds after which an environment in a process of its own that hangs is killed, and after which its run ends."""
ENVIRONMENT = "mawm-environment"
"""The name of such a process."""


class Stopping:
    """Listens for SIGINT and SIGTERM while it is entered.

    The first one is handed to `stop`, which lets the run save after its round; before there is a run, and for a second
    one, KeyboardInterrupt. A service manager waits ten seconds: a round that waits for somebody else's environment is
    hurried, by a fresh one in its place, and given up after nine, while the last checkpoint is whole.
    """

    def __init__(self) -> None:
        self.stop: Callable[[], None] | None = None
        self.number = 0
        """The signal that came, if one did."""
        self._asked_s = float("-inf")
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stopping":
        for number, act in (
            (signal.SIGINT, self._asked), (signal.SIGTERM, self._asked), (signal.SIGALRM, self._hurried),
        ):  # fmt: skip
            self._before[number] = signal.signal(number, act)
        return self

    def __exit__(self, *error: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, act in self._before.items():
            signal.signal(number, act)

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that was told to end."""
        return 128 + self.number

    def _asked(self, number: int, frame: FrameType | None) -> None:
        now, again = time.monotonic(), bool(self.number)
        if again and now - self._asked_s < SAME_REQUEST_S:
            return
        self.number, self._asked_s = self.number or number, now
        if again or self.stop is None:
            raise KeyboardInterrupt
        self.stop()
        tell("stopping after this round; once more to quit at once")
        signal.setitimer(signal.ITIMER_REAL, HURRY_S[0], HURRY_S[1] - HURRY_S[0])

    def _hurried(self, number: int, frame: FrameType | None) -> None:
        theirs = [child for child in multiprocessing.active_children() if child.name == ENVIRONMENT]
        if not theirs:
            return
        if time.monotonic() - self._asked_s >= HURRY_S[1] - SAME_REQUEST_S:
            raise KeyboardInterrupt
        for child in theirs:
            with contextlib.suppress(OSError):
                child.kill()
