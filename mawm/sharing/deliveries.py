"""Which learner receives which message: the real channel, and controls that deliver as many bytes of something else."""

import base64
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from mawm.sharing.broadcast import Outbox
from mawm.sharing.codec import scramble

Letter = tuple[int, bytes]
"""A message and the number of the learner that sent it."""


class Delivery:
    """Turns what all learners sent into what each receives."""

    def deliver(self, kind: str, outboxes: list[Outbox]) -> list[list[Letter]]:
        """The letters of each learner."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """JSON-able state; by default none."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""


class Direct(Delivery):
    """Every message goes to every other learner at once, in order of sender."""

    def deliver(self, kind: str, outboxes: list[Outbox]) -> list[list[Letter]]:
        """The letters of each learner."""
        return [
            [(j, message) for j, box in enumerate(outboxes) if j != i for message in box.messages]
            for i in range(len(outboxes))
        ]


class Stale(Delivery):
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


KEPT = 64
"""Messages of its own that a learner may get again."""


class Own(Delivery):
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


Scramble = Callable[[bytes, np.random.Generator], bytes]
"""A message of the same length whose content is out of order."""


class Shuffled(Delivery):
    """Delivers every message to every other learner with its observations (or latents) out of order.

    The marginals of all fields are the real ones; what follows on what is not.
    """

    def __init__(self, scramble: Scramble, rng: np.random.Generator) -> None:
        self.scramble = scramble
        self._rng = rng

    def deliver(self, kind: str, outboxes: list[Outbox]) -> list[list[Letter]]:
        """The letters of each learner: all receivers of a message get the same wrong order."""
        return Direct().deliver(kind, [Outbox([self.scramble(m, self._rng) for m in box.messages]) for box in outboxes])

    def state(self) -> dict[str, Any]:
        """The generator."""
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
"""The deliveries by the name in `--channel`; each is made from the rounds of delay and a generator of its own."""
