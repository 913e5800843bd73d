"""Rules of delivery: the real channel, and controls that deliver the same number of bytes with other content."""

import base64
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from mawm.sharing.broadcast import Outbox
from mawm.sharing.codec import scramble
from mawm.types import Saved

Message = tuple[int, bytes]
"""The number of the sender among the learners, and the encoded message."""


class Delivery(Saved):
    """Turns the outboxes of all learners into the messages that each learner receives."""

    def deliver(self, kind: str, outboxes: list[Outbox]) -> list[list[Message]]:
        """The messages for each learner."""
        raise NotImplementedError


class Direct(Delivery):
    """Every message goes to every other learner at once, in order of sender."""

    def deliver(self, kind: str, outboxes: list[Outbox]) -> list[list[Message]]:
        """The messages for each learner."""
        return [
            [(j, message) for j, box in enumerate(outboxes) if j != i for message in box.messages]
            for i in range(len(outboxes))
        ]


class Stale(Delivery):
    """Every message goes to every other learner, `lag` rounds late.

    The bytes are those of the real channel, but the content comes from an old policy.
    """

    def __init__(self, lag: int) -> None:
        self.lag = lag
        self._waiting: dict[str, deque[list[list[bytes]]]] = {}

    def deliver(self, kind: str, outboxes: list[Outbox]) -> list[list[Message]]:
        """The messages for each learner; none in the first `lag` rounds."""
        waiting = self._waiting.setdefault(kind, deque())
        waiting.append([box.messages for box in outboxes])
        due = waiting.popleft() if len(waiting) > self.lag else [[] for _ in outboxes]
        return Direct().deliver(kind, [Outbox(messages) for messages in due])

    def state(self) -> dict[str, Any]:
        """The waiting messages, as base85 text."""
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


KEPT = 64
"""Number of each learner's own messages that `Own` keeps."""


class Own(Delivery):
    """Each learner receives copies of its own last messages, in the number that the real channel would deliver.

    A learner that has sent no message yet receives none. The number due to it is carried over to later rounds.
    """

    def __init__(self) -> None:
        self._sent: dict[str, list[deque[bytes]]] = {}
        self._owed: dict[str, list[int]] = {}

    def deliver(self, kind: str, outboxes: list[Outbox]) -> list[list[Message]]:
        """The messages for each learner."""
        sent = self._sent.setdefault(kind, [deque(maxlen=KEPT) for _ in outboxes])
        owed = self._owed.setdefault(kind, [0] * len(outboxes))
        total = sum(len(box.messages) for box in outboxes)
        received: list[list[Message]] = []
        for i, (box, own) in enumerate(zip(outboxes, sent, strict=True)):
            own.extend(box.messages)
            owed[i] += total - len(box.messages)
            count = owed[i] if own else 0
            owed[i] -= count
            # Newest first. Messages repeat if there are too few.
            received.append([(i, own[-1 - k % len(own)]) for k in range(count)])
        return received

    def state(self) -> dict[str, Any]:
        """The kept messages, as base85 text, and for each learner the number carried over."""
        sent = {
            kind: [[base64.b85encode(m).decode() for m in own] for own in queues] for kind, queues in self._sent.items()
        }
        return {"sent": sent, "owed": {kind: owed.copy() for kind, owed in self._owed.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._sent = {
            kind: [deque((base64.b85decode(m) for m in own), maxlen=KEPT) for own in sent]
            for kind, sent in state["sent"].items()
        }
        self._owed = {kind: list(map(int, owed)) for kind, owed in state["owed"].items()}


Scramble = Callable[[bytes, np.random.Generator], bytes]
"""A function of a message. It returns a message of the same length with permuted content."""


class Shuffled(Delivery):
    """Every message goes to every other learner, with its observations (or latents) permuted in time.

    The marginal distribution of every field stays the same. The order in time is lost.
    """

    def __init__(self, scramble: Scramble, rng: np.random.Generator) -> None:
        self.scramble = scramble
        self._rng = rng

    def deliver(self, kind: str, outboxes: list[Outbox]) -> list[list[Message]]:
        """The messages for each learner; all receivers of a message get the same permutation."""
        return Direct().deliver(kind, [Outbox([self.scramble(m, self._rng) for m in box.messages]) for box in outboxes])

    def state(self) -> dict[str, Any]:
        """The generator's state."""
        return {"generator": self._rng.bit_generator.state}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._rng.bit_generator.state = state["generator"]


DELIVERIES: dict[str, Callable[[int, np.random.Generator], Delivery]] = {
    "real": lambda lag, rng: Direct(),
    "random": lambda lag, rng: Direct(),  # the sender replaces the selected items by random ones
    "stale": lambda lag, rng: Stale(lag),
    "self": lambda lag, rng: Own(),
    "shuffled": lambda lag, rng: Shuffled(scramble, rng),
}
"""For each value of `--channel` a function that makes the delivery from a delay in rounds and a generator."""
