"""Rules of delivery: the real channel, and controls that deliver the same number of bytes with other content."""

import base64
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mawm.sharing.broadcast import Outbox
from mawm.sharing.codec import scramble
from mawm.sharing.waiting import Arrays, Edge, Inboxes, Waiting
from mawm.types import Saved


@dataclass(frozen=True)
class NetworkCounts:
    """For each edge the number of messages that were lost in a round, and of those that arrived late in it."""

    lost: Counter[Edge] = field(default_factory=Counter)
    late: Counter[Edge] = field(default_factory=Counter)
    """Messages that were sent in an earlier round."""


class Delivery(Saved):
    """Turns the outboxes of all learners into the messages that each learner receives."""

    imperfect: bool = False
    """Whether the messages cross a network that loses or delays some of them (`--link`)."""
    network_counts: NetworkCounts = NetworkCounts()
    """The lost and the late messages of the last `deliver`."""

    def deliver(self, kind: str, outboxes: list[Outbox]) -> Inboxes:
        """The messages for each learner."""
        raise NotImplementedError

    def over(self, link: Callable[["Delivery"], "Delivery"]) -> "Delivery":
        """This delivery over a network: its messages cross the network after it chose them."""
        return link(self)

    def reaches(self, sender: int, receiver: int) -> bool:
        """Whether the messages of a sender are sent to a receiver."""
        return sender != receiver

    def under_way(self) -> Counter[tuple[str, Edge]]:
        """For each kind and edge the number of messages that were sent and have not arrived yet."""
        return Counter()

    def arrays(self) -> Arrays:
        """Messages under way, for a checkpoint."""
        return {}

    def load_arrays(self, arrays: Arrays) -> None:
        """Continue from `arrays`."""


class Direct(Delivery):
    """Every message goes to every other learner at once, in order of sender."""

    def deliver(self, kind: str, outboxes: list[Outbox]) -> Inboxes:
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
        self._waiting = Waiting(lag)

    def deliver(self, kind: str, outboxes: list[Outbox]) -> Inboxes:
        """The messages for each learner; none in the first `lag` rounds."""
        return self._waiting.exchange(kind, Direct().deliver(kind, outboxes))

    def under_way(self) -> Counter[tuple[str, Edge]]:
        """The messages that wait."""
        return self._waiting.counts()

    def arrays(self) -> Arrays:
        """The waiting messages."""
        return self._waiting.arrays()

    def load_arrays(self, arrays: Arrays) -> None:
        """Continue from `arrays`."""
        if arrays:
            self._waiting.load_arrays(arrays)

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from the state of an earlier version, which holds the waiting messages as base85 text."""
        for kind, rounds in state.items():
            for boxes in rounds:
                outboxes = [Outbox([base64.b85decode(message) for message in box]) for box in boxes]
                self._waiting.exchange(kind, Direct().deliver(kind, outboxes))


KEPT = 64
"""Number of each learner's own messages that `Own` keeps."""


class Own(Delivery):
    """Each learner receives copies of its own last messages, in the number that the real channel would deliver.

    `network` delivers as the real channel would, with its losses and delays. So a learner gets a copy for each message
    that would have arrived in this round: lost messages are not replaced, and delayed ones are replaced when they would
    arrive.

    A learner that has sent no message yet receives none. The number due to it is carried over to later rounds.
    """

    def __init__(self) -> None:
        self.network: Delivery = Direct()
        self._sent: dict[str, list[deque[bytes]]] = {}
        self._owed: dict[str, list[int]] = {}

    @property
    def imperfect(self) -> bool:  # type: ignore[override]
        """Whether the real channel is imperfect."""
        return self.network.imperfect

    @property
    def network_counts(self) -> NetworkCounts:  # type: ignore[override]
        """The real messages that the network would have lost or delivered late."""
        return self.network.network_counts

    def over(self, link: Callable[[Delivery], Delivery]) -> Delivery:
        """The same, in the number that the real channel would deliver over this network."""
        self.network = link(self.network)
        return self

    def reaches(self, sender: int, receiver: int) -> bool:
        """Whether the real channel has this edge."""
        return self.network.reaches(sender, receiver)

    def under_way(self) -> Counter[tuple[str, Edge]]:
        """Messages under way on the real channel, and on the edge of a learner to itself the copies carried over."""
        carried = {(kind, (i, i)): n for kind, owed in self._owed.items() for i, n in enumerate(owed)}
        return self.network.under_way() + Counter(carried)

    def deliver(self, kind: str, outboxes: list[Outbox]) -> Inboxes:
        """The messages for each learner."""
        sent = self._sent.setdefault(kind, [deque(maxlen=KEPT) for _ in outboxes])
        owed = self._owed.setdefault(kind, [0] * len(outboxes))
        due = self.network.deliver(kind, outboxes)
        received: Inboxes = []
        for i, (box, own) in enumerate(zip(outboxes, sent, strict=True)):
            own.extend(box.messages)
            owed[i] += len(due[i])
            count = owed[i] if own else 0
            owed[i] -= count
            # Newest first. Messages repeat if there are too few.
            received.append([(i, own[-1 - k % len(own)]) for k in range(count)])
        return received

    def state(self) -> dict[str, Any]:
        """The kept messages, as base85 text, for each learner the number carried over, and the network's state."""
        sent = {
            kind: [[base64.b85encode(m).decode() for m in own] for own in queues] for kind, queues in self._sent.items()
        }
        network = {"network": self.network.state()} if self.imperfect else {}
        return {"sent": sent, "owed": {kind: owed.copy() for kind, owed in self._owed.items()}, **network}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._sent = {
            kind: [deque((base64.b85decode(m) for m in own), maxlen=KEPT) for own in sent]
            for kind, sent in state["sent"].items()
        }
        self._owed = {kind: list(map(int, owed)) for kind, owed in state["owed"].items()}
        if self.imperfect:
            self.network.load_state(state["network"])

    def arrays(self) -> Arrays:
        """The messages under way on the real channel."""
        return self.network.arrays()

    def load_arrays(self, arrays: Arrays) -> None:
        """Continue from `arrays`."""
        self.network.load_arrays(arrays)


Scramble = Callable[[bytes, np.random.Generator], bytes]
"""A function of a message. It returns a message of the same length with permuted content."""


class Shuffled(Delivery):
    """Every message goes to every other learner, with its observations (or latents) permuted in time.

    The marginal distribution of every field stays the same. The order in time is lost.
    """

    def __init__(self, scramble: Scramble, rng: np.random.Generator) -> None:
        self.scramble = scramble
        self._rng = rng

    def deliver(self, kind: str, outboxes: list[Outbox]) -> Inboxes:
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
