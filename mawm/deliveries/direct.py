"""The channel as it is meant."""

from typing import Any

from mawm.broadcast import Outbox
from mawm.deliveries.protocol import Letter


class Direct:
    """Every message goes to every other learner at once, in order of sender."""

    def deliver(self, kind: str, outboxes: list[Outbox]) -> list[list[Letter]]:
        """The letters of each learner."""
        return [
            [(j, message) for j, box in enumerate(outboxes) if j != i for message in box.messages]
            for i in range(len(outboxes))
        ]

    def state(self) -> dict[str, Any]:
        """No state."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """No state."""
