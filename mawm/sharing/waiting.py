"""Messages that wait for some rounds, and their arrays in a checkpoint."""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Message = tuple[int, bytes]
"""The number of the sender among the learners, and the encoded message."""
Inboxes = list[list[Message]]
"""The messages of one round for each receiver."""
Edge = tuple[int, int]
"""The numbers of a sender and of a receiver among the learners."""
Arrays = Mapping[str, NDArray[Any]]


class Waiting:
    """Holds the inboxes of the last `rounds` rounds back, for each kind of item."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self._held: dict[str, deque[Inboxes]] = {}

    def exchange(self, kind: str, inboxes: Inboxes) -> Inboxes:
        """Hold this round's inboxes back, and return those of `rounds` rounds ago; empty ones in the first rounds."""
        held = self._held.setdefault(kind, deque())
        held.append(inboxes)
        return held.popleft() if len(held) > self.rounds else [[] for _ in inboxes]

    def counts(self) -> Counter[tuple[str, Edge]]:
        """The number of messages that wait, for each kind and edge."""
        return Counter(
            (kind, (sender, receiver))
            for kind, held in self._held.items()
            for inboxes in held
            for receiver, inbox in enumerate(inboxes)
            for sender, _ in inbox
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All messages for a checkpoint. A message that waits for several receivers is stored once.

        For each kind: `sizes` (2,), the numbers of rounds and of receivers; `places` (n, 4), for each waiting message
        its round, receiver, sender and number among the stored ones; `lengths` (m,) and `bytes` of the stored ones.
        """
        out: dict[str, NDArray[Any]] = {}
        for kind, held in self._held.items():
            stored: dict[int, tuple[int, bytes]] = {}
            places = []
            for number, inboxes in enumerate(held):
                for receiver, inbox in enumerate(inboxes):
                    for sender, message in inbox:
                        place, _ = stored.setdefault(id(message), (len(stored), message))
                        places.append((number, receiver, sender, place))
            messages = [message for _, message in stored.values()]
            out[f"{kind}/sizes"] = np.array([len(held), len(held[0]) if held else 0], np.int64)
            out[f"{kind}/places"] = np.array(places, np.int64).reshape(-1, 4)
            out[f"{kind}/lengths"] = np.array([len(message) for message in messages], np.int64)
            out[f"{kind}/bytes"] = np.frombuffer(b"".join(messages), np.uint8)
        return out

    def load_arrays(self, arrays: Arrays) -> None:
        """Continue from `arrays`."""
        self._held = {}
        for kind in sorted({name.partition("/")[0] for name in arrays}):
            rounds, receivers = (int(size) for size in arrays[f"{kind}/sizes"])
            held: list[Inboxes] = [[[] for _ in range(receivers)] for _ in range(rounds)]
            ends = np.cumsum(arrays[f"{kind}/lengths"]).tolist()
            whole = arrays[f"{kind}/bytes"].tobytes()
            messages = [whole[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)] if ends else []
            for number, receiver, sender, place in arrays[f"{kind}/places"].tolist():
                held[number][receiver].append((sender, messages[place]))
            self._held[kind] = deque(held)
