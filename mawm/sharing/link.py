"""A model of an imperfect network: lost messages, late messages, and connections between only some agents."""

from collections import Counter
from typing import Any

import numpy as np

from mawm.seeds import named_generator
from mawm.sharing.broadcast import Outbox
from mawm.sharing.deliveries import Delivery, NetworkCounts
from mawm.sharing.topology import Edges
from mawm.sharing.waiting import Arrays, Inboxes, Waiting


class Link(Delivery):
    """Carries the messages of a control (`inner`) over a network that loses, delays, and does not connect all agents.

    A message crosses an edge (sender, receiver). It is dropped if `edges` lacks this edge. Otherwise it is lost with
    probability `loss`: one draw a message, from the generator of the edge and of the kind of item. So the draws of one
    edge do not depend on the messages of another one. A message that is not lost arrives `delay` rounds later.

    A message from a receiver to itself crosses every topology.
    """

    imperfect = True

    def __init__(
        self, inner: Delivery, names: tuple[str, ...], seed: int, edges: Edges, loss: float, delay: int
    ) -> None:
        self.inner, self.names, self.seed = inner, names, seed
        self.edges = edges
        self.loss = loss
        self._waiting = Waiting(delay)
        self._rngs: dict[str, np.random.Generator] = {}

    def reaches(self, sender: int, receiver: int) -> bool:
        """Whether the topology has this edge."""
        return (sender, receiver) in self.edges and self.inner.reaches(sender, receiver)

    def deliver(self, kind: str, outboxes: list[Outbox]) -> Inboxes:
        """The messages that arrive at each learner in this round, by the round in which they were sent."""
        kept: Inboxes = []
        lost = Counter[tuple[int, int]]()
        for receiver, inbox in enumerate(self.inner.deliver(kind, outboxes)):
            kept.append([])
            for sender, message in inbox:
                if sender != receiver and (sender, receiver) not in self.edges:
                    continue
                if self.loss and self._rng(kind, sender, receiver).random() < self.loss:
                    lost[sender, receiver] += 1
                else:
                    kept[receiver].append((sender, message))
        arrived = self._waiting.exchange(kind, kept)
        late = Counter((sender, receiver) for receiver, inbox in enumerate(arrived) for sender, _ in inbox)
        self.network_counts = NetworkCounts(lost, late if self._waiting.rounds else Counter())
        return arrived

    def _rng(self, kind: str, sender: int, receiver: int) -> np.random.Generator:
        name = f"link/{kind}/{self.names[sender]}_to_{self.names[receiver]}"
        if name not in self._rngs:
            self._rngs[name] = named_generator(self.seed, name)
        return self._rngs[name]

    def under_way(self) -> Counter[tuple[str, tuple[int, int]]]:
        """The messages that are delayed, and those that the control holds back for receivers that can be reached."""
        held = {key: count for key, count in self.inner.under_way().items() if self.reaches(*key[1])}
        return self._waiting.counts() + Counter(held)

    def state(self) -> dict[str, Any]:
        """The state of the control, and of each edge's generator."""
        rngs = {name: rng.bit_generator.state for name, rng in self._rngs.items()}
        return {"inner": self.inner.state(), "generators": rngs}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.inner.load_state(state["inner"])
        self._rngs = {}
        for name, of_edge in state["generators"].items():
            self._rngs[name] = named_generator(self.seed, name)
            self._rngs[name].bit_generator.state = of_edge

    def arrays(self) -> Arrays:
        """The messages under way."""
        inner = {f"inner/{name}": array for name, array in self.inner.arrays().items()}
        return inner | {f"link/{name}": array for name, array in self._waiting.arrays().items()}

    def load_arrays(self, arrays: Arrays) -> None:
        """Continue from `arrays`."""
        self.inner.load_arrays({n.removeprefix("inner/"): a for n, a in arrays.items() if n.startswith("inner/")})
        self._waiting.load_arrays({n.removeprefix("link/"): a for n, a in arrays.items() if n.startswith("link/")})
