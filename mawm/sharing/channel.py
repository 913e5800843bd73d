"""The channel between agents: delivers messages, drops messages whose role the gate refuses, counts bytes."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from mawm.sharing.broadcast import Counts, Outbox
from mawm.sharing.deliveries import Delivery, Direct
from mawm.sharing.ledger import Ledger
from mawm.sharing.provenance import Gate
from mawm.sharing.waiting import Arrays
from mawm.types import Metrics, Origin, Role

KINDS = ("experience", "rollouts")
MOST_EDGES = 64
"""The log has a tag for each edge up to this number of edges; larger teams use the ledger (`channel.csv`)."""


class Channel:
    """Delivers the encoded messages to the learners and counts their bytes.

    Items of a kind that the method does not share are not counted: the bandwidth is a share of the bytes that could be
    sent. `origin_of` reads the origin of an item from the header of its message. The channel drops and counts a message
    if the gate does not admit its role. The receiver's replay refuses such an item, too.
    """

    def __init__(
        self,
        nominal: float,
        shared: tuple[str, ...],
        names: tuple[str, ...],
        origin_of: Callable[[bytes], Origin],
        delivery: Delivery | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.nominal = nominal
        self.shared = shared
        self.names = names
        self.origin_of = origin_of
        self.delivery = delivery or Direct()
        self.gate = gate or Gate(Role.PRIMARY)
        self.ledger = Ledger()
        self.tallies = {kind: Counts() for kind in KINDS}
        """The cumulative counts of each kind of item."""
        self._delivered: dict[tuple[str, str, str], int] = {}
        self._wire_bytes = dict.fromkeys(KINDS, 0)
        """The cumulative bytes on the sockets of all agents; 0 if messages pass through the driver."""
        self._network_counts = {kind: {"lost_items": 0, "late_items": 0} for kind in KINDS}
        """The cumulative counts of messages that an imperfect network lost, and that arrived late."""

    def exchange(self, kind: str, outboxes: list[Outbox]) -> list[list[bytes]]:
        """The messages that each learner receives."""
        if kind in self.shared:
            for sender, outbox in enumerate(outboxes):
                self.tallies[kind] += outbox.counts
                self._count_sender(kind, sender, outbox.counts)
                self._wire_bytes[kind] += outbox.wire_bytes
        arrived = self.delivery.deliver(kind, outboxes)
        self._count_lost_and_late(kind)
        inboxes: list[list[bytes]] = []
        for receiver, messages in zip(self.names, arrived, strict=True):
            inboxes.append([message for sender, message in messages if self._admits(kind, sender, receiver, message)])
        return inboxes

    def _count_lost_and_late(self, kind: str) -> None:
        round_counts, totals = self.delivery.network_counts, self._network_counts[kind]
        for name, counts in (("lost", round_counts.lost), ("late", round_counts.late)):
            totals[f"{name}_items"] += counts.total()
            for (sender, receiver), count in counts.items():
                self.ledger.add(kind, self.names[sender], self.names[receiver], **{name: count})

    def _count_sender(self, kind: str, sender: int, counts: Counts) -> None:
        for receiver, name in enumerate(self.names):
            if self.delivery.reaches(sender, receiver):
                self.ledger.add(
                    kind,
                    self.names[sender],
                    name,
                    produced=counts.produced_items,
                    offered=counts.offered_items,
                    refused_by_budget=counts.offered_items - counts.sent_items,
                    sent=counts.sent_items,
                )

    def _admits(self, kind: str, sender: int, receiver: str, message: bytes) -> bool:
        name = self.names[sender]
        if not self.gate.admits(self.origin_of(message).role):
            self.ledger.add(kind, name, receiver, refused_by_gate=1)
            return False
        self.ledger.add(kind, name, receiver, delivered=1, bytes=len(message))
        edge = (kind, name, receiver)
        self._delivered[edge] = self._delivered.get(edge, 0) + len(message)
        return True

    def metrics(self, env_steps: int) -> Metrics:
        """Cumulative shares and rates. A broadcast counts once in the totals, and once on each receiver's edge."""
        out: Metrics = {"channel/nominal_bandwidth": self.nominal}
        total = Counts()
        if self.delivery.imperfect:
            out |= self._link_metrics()
        out |= {f"channel/{kind}/wire_bytes": float(size) for kind, size in self._wire_bytes.items() if size}
        for kind, tally in self.tallies.items():
            out |= {f"channel/{kind}/{name}": value for name, value in _shares(tally, env_steps).items()}
            total += tally
        if len(self._delivered) <= MOST_EDGES:
            for (kind, sender, receiver), size in self._delivered.items():
                out[f"channel/{kind}/{sender}_to_{receiver}/bytes"] = float(size)
        return out | {f"channel/{name}": value for name, value in _shares(total, env_steps).items()}

    def _link_metrics(self) -> Metrics:
        under_way = self.delivery.under_way()
        out: Metrics = {}
        for kind, counts in self._network_counts.items():
            out |= {f"channel/{kind}/{name}": float(count) for name, count in counts.items()}
            waiting = sum(count for (of, _), count in under_way.items() if of == kind)
            out[f"channel/{kind}/under_way_items"] = float(waiting)
        return out

    def close_ledger(self, env_steps: int) -> list[dict[str, Any]]:
        """The rows of the ledger since the last call."""
        names = self.names
        under_way = {(kind, names[j], names[i]): count for (kind, (j, i)), count in self.delivery.under_way().items()}
        return self.ledger.close(env_steps, under_way)

    def arrays(self) -> Arrays:
        """Messages that are not delivered yet, for a checkpoint."""
        return self.delivery.arrays()

    def state(self) -> dict[str, Any]:
        """Counts, and the state of the delivery, for JSON."""
        return {
            "tallies": {kind: asdict(tally) for kind, tally in self.tallies.items()},
            "delivered": [[*edge, size] for edge, size in self._delivered.items()],
            "ledger": self.ledger.state(),
            "delivery": self.delivery.state(),
            **({"network_counts": self._network_counts} if self.delivery.imperfect else {}),
            **({"wire_bytes": self._wire_bytes} if any(self._wire_bytes.values()) else {}),
        }

    def load_state(self, state: dict[str, Any], arrays: Arrays) -> None:
        """Continue from `state` and `arrays`."""
        self.tallies = {kind: Counts(**state["tallies"][kind]) for kind in KINDS}
        self._delivered = {(kind, sender, receiver): size for kind, sender, receiver, size in state["delivered"]}
        self.ledger.load_state(state["ledger"])
        self.delivery.load_state(state["delivery"])
        self.delivery.load_arrays(arrays)
        self._wire_bytes |= state.get("wire_bytes", {})
        if self.delivery.imperfect:
            self._network_counts = {kind: dict(counts) for kind, counts in state["network_counts"].items()}


def _shares(tally: Counts, env_steps: int) -> Metrics:
    produced = max(1, tally.produced_bytes)
    return {
        "realised_bandwidth": tally.sent_bytes / produced,
        "offered_bandwidth": tally.offered_bytes / produced,
        "bytes_per_env_step": tally.sent_bytes / max(1, env_steps),
        "sent_items": float(tally.sent_items),
        "sent_bytes": float(tally.sent_bytes),
    }
