"""Calls that may fail for want of space, and are made up for later."""

from collections.abc import Callable
from typing import Any


class Retrying:
    """A call that writes. One that fails with OSError is kept and made again, in order, before the next one.

    So a full disk stops no training and, once there is room, leaves no gap in a log. `call` must write all or nothing.
    """

    def __init__(self, call: Callable[..., None], what: str, say: Callable[[str], None]) -> None:
        self.call, self.what, self.say = call, what, say
        self.kept: list[tuple[Any, ...]] = []
        self.owed = False

    def __call__(self, *arguments: Any) -> None:
        """Make the calls that are owed, and this one."""
        self.kept.append(arguments)
        self.drain()

    def drain(self) -> bool:
        """Make the calls that are owed; whether none is any more."""
        told = self.owed
        try:
            while self.kept:
                self.call(*self.kept[0])
                self.kept.pop(0)
        except OSError as error:
            self.owed = True
            if not told:
                self.say(f"{self.what} cannot be written ({error.strerror or error}); its rows are kept for later")
            return False
        self.owed = False
        if told:
            self.say(f"{self.what} is complete again")
        return True
