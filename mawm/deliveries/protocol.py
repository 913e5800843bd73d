"""What every delivery can do."""

from typing import Any, Protocol

from mawm.broadcast import Outbox

Letter = tuple[int, bytes]
"""A message and the number of the learner that sent it."""


class Delivery(Protocol):
    """Turns what all learners sent into what each receives."""

    def deliver(self, kind: str, outboxes: list[Outbox]) -> list[list[Letter]]:
        """The letters of each learner."""

    def state(self) -> dict[str, Any]:
        """JSON-able state."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
