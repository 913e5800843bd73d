"""Everything that passes between agents: delivers messages and counts their bytes."""

from dataclasses import dataclass
from typing import Any

from mawm.broadcast import Outbox
from mawm.types import Metrics

KINDS = ("experience", "rollouts")


@dataclass
class Tally:
    """Cumulative counts of one kind of item."""

    produced_items: int = 0
    produced_bytes: int = 0
    offered_items: int = 0
    offered_bytes: int = 0
    sent_items: int = 0
    sent_bytes: int = 0

    def add(self, outbox: Outbox) -> None:
        """Count one outbox."""
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(outbox, name))


class Channel:
    """Delivers every message to every other learner, in order of sender; the bytes are those of the encoded messages.

    A kind that a method does not share is not counted as produced: the bandwidth is a share of what could be sent.
    """

    def __init__(self, nominal: float, shared: tuple[str, ...]) -> None:
        self.nominal = nominal
        self.shared = shared
        self.tallies = {kind: Tally() for kind in KINDS}

    def exchange(self, kind: str, outboxes: list[Outbox]) -> list[list[bytes]]:
        """The inbox of each learner: what all others sent, in order of sender."""
        if kind in self.shared:
            for outbox in outboxes:
                self.tallies[kind].add(outbox)
        return [[m for j, box in enumerate(outboxes) if j != i for m in box.messages] for i in range(len(outboxes))]

    def metrics(self, env_steps: int) -> Metrics:
        """Cumulative shares and rates; bytes are counted once a broadcast, not once a receiver."""
        out: Metrics = {"channel/nominal_bandwidth": self.nominal}
        total = Tally()
        for kind, tally in self.tallies.items():
            out |= {f"channel/{kind}/{name}": value for name, value in _shares(tally, env_steps).items()}
            for name, value in vars(tally).items():
                setattr(total, name, getattr(total, name) + value)
        return out | {f"channel/{name}": value for name, value in _shares(total, env_steps).items()}

    def state(self) -> dict[str, Any]:
        """JSON-able counts."""
        return {kind: vars(tally).copy() for kind, tally in self.tallies.items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.tallies = {kind: Tally(**state[kind]) for kind in KINDS}


def _shares(tally: Tally, env_steps: int) -> Metrics:
    produced = max(1, tally.produced_bytes)
    return {
        "realised_bandwidth": tally.sent_bytes / produced,
        "offered_bandwidth": tally.offered_bytes / produced,
        "bytes_per_env_step": tally.sent_bytes / max(1, env_steps),
        "sent_items": float(tally.sent_items),
        "sent_bytes": float(tally.sent_bytes),
    }
