"""Calls that may fail for want of space, and are made up for later."""

from collections.abc import Callable
from typing import Any


class Patient:
    """A call that writes. One that fails with OSError is kept and made again, in order, before the next one.

    So a full disk stops no training and, once there is room, leaves no gap in a log. `call` must write all or nothing.
    """

    def __init__(self, call: Callable[..., None], what: str, say: Callable[[str], None]) -> None:
        self.call, self.what, self.say = call, what, say
        self.kept: list[tuple[Any, ...]] = []

    def __call__(self, *arguments: Any) -> None:
        """Make the calls that are owed, and this one."""
        self.kept.append(arguments)
        behind = len(self.kept) > 1
        try:
            while self.kept:
                self.call(*self.kept[0])
                self.kept.pop(0)
        except OSError as error:
            if not behind:
                self.say(f"{self.what} cannot be written ({error.strerror or error}); its rows are kept for later")
            return
        if behind:
            self.say(f"{self.what} is complete again")
