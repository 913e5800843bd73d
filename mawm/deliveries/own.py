"""Is it only more data? Everyone gets its own items again."""

import base64
from collections import deque
from typing import Any

from mawm.broadcast import Outbox
from mawm.deliveries.protocol import Letter

KEPT = 64
"""Messages of its own that a learner may get again."""


class Own:
    """Gives each learner as many messages as it would have received, but the last ones that it sent itself.

    A learner that has sent nothing yet is owed its messages: it gets them as soon as there is one.
    """

    def __init__(self) -> None:
        self._sent: dict[str, list[deque[bytes]]] = {}
        self._owed: dict[str, list[int]] = {}

    def deliver(self, kind: str, outboxes: list[Outbox]) -> list[list[Letter]]:
        """The letters of each learner."""
        sent = self._sent.setdefault(kind, [deque(maxlen=KEPT) for _ in outboxes])
        owed = self._owed.setdefault(kind, [0] * len(outboxes))
        total = sum(len(box.messages) for box in outboxes)
        letters: list[list[Letter]] = []
        for i, (box, own) in enumerate(zip(outboxes, sent, strict=True)):
            own.extend(box.messages)
            owed[i] += total - len(box.messages)
            count = owed[i] if own else 0
            owed[i] -= count
            # Newest first, and round again where there are too few.
            letters.append([(i, own[-1 - k % len(own)]) for k in range(count)])
        return letters

    def state(self) -> dict[str, Any]:
        """What was sent, as text, and what is owed."""
        sent = {
            kind: [[base64.b85encode(m).decode() for m in own] for own in own_of] for kind, own_of in self._sent.items()
        }
        return {"sent": sent, "owed": {kind: owed.copy() for kind, owed in self._owed.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._sent = {
            kind: [deque((base64.b85decode(m) for m in own), maxlen=KEPT) for own in sent]
            for kind, sent in state["sent"].items()
        }
        self._owed = {kind: list(map(int, owed)) for kind, owed in state["owed"].items()}
