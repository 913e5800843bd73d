"""Is it only more data? Everyone gets its own items again."""

import base64
from collections import deque
from typing import Any

from mawm.broadcast import Outbox
from mawm.deliveries.protocol import Letter

KEPT = 64
"""Messages of its own that a learner may get again."""


class Own:
    """Gives each learner as many messages as it would have received, but the last ones that it sent itself."""

    def __init__(self) -> None:
        self._sent: dict[str, list[deque[bytes]]] = {}

    def deliver(self, kind: str, outboxes: list[Outbox]) -> list[list[Letter]]:
        """The letters of each learner; none while it has sent nothing."""
        sent = self._sent.setdefault(kind, [deque(maxlen=KEPT) for _ in outboxes])
        total = sum(len(box.messages) for box in outboxes)
        letters: list[list[Letter]] = []
        for i, (box, own) in enumerate(zip(outboxes, sent, strict=True)):
            own.extend(box.messages)
            count = total - len(box.messages) if own else 0
            # Newest first, and round again where there are too few.
            letters.append([(i, own[-1 - k % len(own)]) for k in range(count)])
        return letters

    def state(self) -> dict[str, Any]:
        """What was sent, as text."""
        return {
            kind: [[base64.b85encode(m).decode() for m in own] for own in sent] for kind, sent in self._sent.items()
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._sent = {
            kind: [deque((base64.b85decode(m) for m in own), maxlen=KEPT) for own in sent]
            for kind, sent in state.items()
        }
