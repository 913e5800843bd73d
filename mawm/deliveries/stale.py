"""Is it news? Messages arrive late."""

import base64
from collections import deque
from typing import Any

from mawm.broadcast import Outbox
from mawm.deliveries.direct import Direct
from mawm.deliveries.protocol import Letter


class Stale:
    """Delivers to every other learner what was sent `lag` rounds ago.

    As many bytes as the real channel, but of a world and a policy that are gone.
    """

    def __init__(self, lag: int) -> None:
        self.lag = lag
        self._waiting: dict[str, deque[list[list[bytes]]]] = {}

    def deliver(self, kind: str, outboxes: list[Outbox]) -> list[list[Letter]]:
        """The letters of each learner: none in the first `lag` rounds."""
        waiting = self._waiting.setdefault(kind, deque())
        waiting.append([box.messages for box in outboxes])
        due = waiting.popleft() if len(waiting) > self.lag else [[] for _ in outboxes]
        return Direct().deliver(kind, [Outbox(messages) for messages in due])

    def state(self) -> dict[str, Any]:
        """What is under way, as text."""
        return {
            kind: [[[base64.b85encode(m).decode() for m in box] for box in boxes] for boxes in waiting]
            for kind, waiting in self._waiting.items()
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._waiting = {
            kind: deque([[base64.b85decode(m) for m in box] for box in boxes] for boxes in waiting)
            for kind, waiting in state.items()
        }
