"""Retries of writes that fail because the disk is full."""

from collections.abc import Callable
from typing import Any


class Retrying:
    """Calls a function that writes all or nothing. A call that fails with OSError is retried before the next one.

    So a full disk does not stop the training, and a log has no gap once the disk has space again.
    """

    def __init__(self, call: Callable[..., None], name: str, warn: Callable[[str], None]) -> None:
        self.call, self.name, self.warn = call, name, warn
        self.pending: list[tuple[Any, ...]] = []
        self.failing = False

    def __call__(self, *arguments: Any) -> None:
        """Retry the pending calls, then make this one."""
        self.pending.append(arguments)
        self.drain()

    def drain(self) -> bool:
        """Retry the pending calls; returns whether none is left."""
        already_failing = self.failing
        try:
            while self.pending:
                self.call(*self.pending[0])
                self.pending.pop(0)
        except OSError as error:
            self.failing = True
            if not already_failing:
                self.warn(f"{self.name} cannot be written ({error.strerror or error}); its rows are kept for a retry")
            return False
        self.failing = False
        if already_failing:
            self.warn(f"{self.name} is complete again")
        return True
