"""The channel and the broadcaster: who receives which messages, and what the ledger counts."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mawm.sharing.broadcast import Broadcaster, Counts, Outbox
from mawm.sharing.budgets import ShareBudget, Unlimited
from mawm.sharing.channel import Channel
from mawm.sharing.deliveries import Delivery, Own, Shuffled, Stale
from mawm.sharing.ledger import FIELDS, ledger_file
from mawm.sharing.provenance import Gate, ProvenanceError
from mawm.sharing.selector import Items
from mawm.sharing.selectors import AllOrNone
from mawm.types import Origin, Role


def channel_of(learners: int, role: Role = Role.PRIMARY, delivery: Delivery | None = None) -> Channel:
    names = tuple(f"agent_{i}" for i in range(learners))
    return Channel(0.1, ("experience",), names, lambda message: Origin(0, role, 0), delivery)


def test_channel_delivers_to_all_others_in_order_of_sender() -> None:
    boxes = [Outbox([b"a"]), Outbox([b"b", b"c"]), Outbox()]
    inboxes = channel_of(3).exchange("experience", boxes)
    assert inboxes == [[b"b", b"c"], [b"a"], [b"a", b"b", b"c"]]


def test_realised_bandwidth_is_the_share_of_bytes_sent() -> None:
    channel = channel_of(2)
    box = Outbox([b"1234"], Counts(produced_items=2, produced_bytes=40, sent_items=1, sent_bytes=4))
    channel.exchange("experience", [box, box])
    channel.exchange("rollouts", [Outbox(counts=Counts(produced_items=1, produced_bytes=1000))] * 2)
    metrics = channel.metrics(env_steps=4)
    assert metrics["channel/realised_bandwidth"] == pytest.approx(0.1)
    assert metrics["channel/bytes_per_env_step"] == pytest.approx(2.0)


def test_broadcaster_encodes_only_items_within_budget() -> None:
    encoded: list[int] = []
    items: list[Any] = list(range(8))

    def encode(item: int, sequence: int) -> bytes:
        encoded.append(item)
        return bytes(10)

    sender = Broadcaster(AllOrNone(True), ShareBudget(0.25, 1000))
    counts = sender.publish(items, [10] * 8, np.zeros((8, 1)), encode).counts
    assert encoded == [3, 7]
    assert (counts.produced_bytes, counts.offered_items, counts.sent_items, counts.sent_bytes) == (80, 8, 2, 20)


def test_message_of_another_size_than_paid_for_is_refused() -> None:
    items: list[Any] = [None]
    with pytest.raises(ValueError, match="announced"):
        Broadcaster(AllOrNone(True), Unlimited()).publish(items, [10], np.zeros((1, 1)), lambda i, s: bytes(11))


def test_gate_refuses_a_foreign_role() -> None:
    Gate(Role.PRIMARY).check(Origin(0, Role.PRIMARY, 1))
    with pytest.raises(ProvenanceError, match="agent 4, role explorer, episode 9"):
        Gate(Role.PRIMARY).check(Origin(4, Role.EXPLORER, 9))


def test_message_from_a_foreign_role_is_dropped_and_counted() -> None:
    channel = channel_of(2, Role.EXPLORER)
    box = Outbox([b"x"], Counts(produced_items=1, produced_bytes=1, offered_items=1, sent_items=1, sent_bytes=1))
    assert channel.exchange("experience", [box, Outbox()]) == [[], []]
    (row,) = channel.ledger.close(10)
    assert (row["sender"], row["receiver"], row["refused_by_gate"], row["delivered"]) == ("agent_0", "agent_1", 1, 0)


def test_ledger_counts_every_edge_and_continues_after_resume(tmp_path: Path) -> None:
    channel = channel_of(3)
    box = Outbox([b"1234"], Counts(produced_items=9, produced_bytes=36, offered_items=3, sent_items=1, sent_bytes=4))
    channel.exchange("experience", [box, Outbox(), Outbox()])
    rows = channel.ledger.close(500)
    assert [(r["sender"], r["receiver"]) for r in rows] == [("agent_0", "agent_1"), ("agent_0", "agent_2")]
    counts = {"produced": 9, "offered": 3, "refused_by_budget": 2, "sent": 1, "delivered": 1, "bytes": 4}
    assert all(counts.items() <= row.items() for row in rows) and channel.ledger.close(600) == []
    ledger_file(tmp_path / "channel.csv")(rows)
    ledger_file(tmp_path / "channel.csv", 500)([{**rows[0], "env_steps": 1000}])
    ledger_file(tmp_path / "channel.csv", 700)([{**rows[0], "env_steps": 900}])
    with (tmp_path / "channel.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["env_steps"] for row in table] == ["500", "500", "900"] and tuple(table[0]) == FIELDS


def test_stale_delivery_is_late_and_survives_resume() -> None:
    stale = Stale(2)
    for k in range(3):
        got = stale.deliver("experience", [Outbox([bytes([k])]), Outbox()])
        assert got == [[], [(0, b"\0")] if k == 2 else []]
    again = Stale(2)
    again.load_arrays(stale.arrays())
    assert again.deliver("experience", [Outbox(), Outbox()]) == [[], [(0, b"\1")]]


def test_self_delivery_returns_own_messages_at_the_same_rate() -> None:
    own = Own()
    boxes = [Outbox([b"a", b"b"]), Outbox([b"c"]), Outbox()]
    assert own.deliver("rollouts", boxes) == [[(0, b"b")], [(1, b"c"), (1, b"c")], []]
    again = Own()
    again.load_state(own.state())
    assert again.deliver("rollouts", [Outbox(), Outbox([b"d"]), Outbox()]) == [[(0, b"b")], [], []]
    # The third learner is owed three messages of the first call and one of the second.
    assert again.deliver("rollouts", [Outbox(), Outbox(), Outbox([b"e"])]) == [
        [(0, b"b")],
        [(1, b"d")],
        [(2, b"e")] * 4,
    ]


def test_shuffled_delivery_keeps_bytes_and_is_equal_for_all_receivers() -> None:
    shuffled = Shuffled(lambda m, rng: bytes(rng.permutation(list(m)).tolist()), np.random.default_rng(0))
    message = bytes(range(32))
    first, second, third = shuffled.deliver("experience", [Outbox([message]), Outbox(), Outbox()])
    assert first == [] and second == third and second[0][1] != message and sorted(second[0][1]) == list(message)


def test_broadcaster_with_a_generator_sends_as_many_items_at_random() -> None:
    def encode(item: int, sequence: int) -> bytes:
        return bytes([item])

    class First(AllOrNone):
        """Offers the first item of each call."""

        def propose(self, losses: np.ndarray, lengths: np.ndarray, items: Items) -> np.ndarray:
            return np.arange(len(losses)) == 0

    items: list[Any] = list(range(10))

    plain = Broadcaster(First(True), Unlimited())
    drawn = Broadcaster(First(True), Unlimited(), np.random.default_rng(0))
    sent = [drawn.publish(items, [1] * 10, np.zeros((10, 1)), encode).messages[0][0] for _ in range(200)]
    assert plain.publish(items, [1] * 10, np.zeros((10, 1)), encode).messages == [b"\0"]
    assert len(sent) == 200 and set(sent) == set(range(10))
