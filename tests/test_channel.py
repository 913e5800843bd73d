"""The channel and the sending side: who hears what, and what is counted."""

import numpy as np
import pytest

from mawm.broadcast import Broadcaster, Outbox
from mawm.budget import TokenBucket
from mawm.channel import Channel
from mawm.gate import Gate, ProvenanceError
from mawm.selection import Trivial
from mawm.types import Origin, Role


def test_everyone_hears_all_others_in_order_of_sender() -> None:
    boxes = [Outbox([b"a"]), Outbox([b"b", b"c"]), Outbox()]
    inboxes = Channel(0.1, ("experience",)).exchange("experience", boxes)
    assert inboxes == [[b"b", b"c"], [b"a"], [b"a", b"b", b"c"]]


def test_realised_bandwidth_is_the_share_of_bytes() -> None:
    channel = Channel(0.1, ("experience",))
    box = Outbox([b"1234"], produced_items=2, produced_bytes=40, sent_items=1, sent_bytes=4)
    channel.exchange("experience", [box, box])
    channel.exchange("rollouts", [Outbox(produced_items=1, produced_bytes=1000)] * 2)
    metrics = channel.metrics(env_steps=4)
    assert metrics["channel/realised_bandwidth"] == pytest.approx(0.1)
    assert metrics["channel/bytes_per_env_step"] == pytest.approx(2.0)


def test_only_sent_items_are_encoded_and_the_bucket_disposes() -> None:
    encoded: list[int] = []

    def encode(index: int, sequence: int) -> bytes:
        encoded.append(index)
        return bytes(10)

    box = Broadcaster(Trivial(True), TokenBucket(0.25, 1000)).publish([10] * 8, np.zeros((8, 1)), encode)
    assert encoded == [3, 7]
    assert (box.produced_bytes, box.offered_items, box.sent_items, box.sent_bytes) == (80, 8, 2, 20)


def test_a_message_must_have_the_size_it_was_paid_for() -> None:
    with pytest.raises(ValueError, match="announced"):
        Broadcaster(Trivial(True), None).publish([10], np.zeros((1, 1)), lambda i, s: bytes(11))


def test_the_gate_refuses_a_foreign_role() -> None:
    Gate(Role.PRIMARY).check(Origin(0, Role.PRIMARY, 1))
    with pytest.raises(ProvenanceError, match="agent 4, role explorer, episode 9"):
        Gate(Role.PRIMARY).check(Origin(4, Role.EXPLORER, 9))
