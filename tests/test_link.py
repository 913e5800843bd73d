"""The imperfect network between agents: lost and late messages, topologies, and how a run goes on."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mawm.build import delivery_of
from mawm.configs.check import check
from mawm.configs.presets import load_preset, merge
from mawm.configs.train import TrainConfig
from mawm.sharing.broadcast import Counts, Outbox
from mawm.sharing.channel import Channel
from mawm.sharing.topology import edges_of
from mawm.storage.safe_read import DamagedError
from mawm.types import Origin, Role

KIND = "experience"
DEBUG = load_preset("debug")


def names_of(agents: int) -> tuple[str, ...]:
    return tuple(f"agent_{i}" for i in range(agents))


def config_of(link: dict[str, Any], **sharing: Any) -> TrainConfig:
    return merge(DEBUG, {"link": link, "sharing": sharing}, "test")


def channel_of(agents: int, link: dict[str, Any], **sharing: Any) -> Channel:
    names = names_of(agents)
    delivery = delivery_of(config_of(link, **sharing), names)
    return Channel(0.1, (KIND,), names, lambda message: Origin(0, Role.PRIMARY, 0), delivery)


def boxes_of(round_number: int, sizes: list[int]) -> list[Outbox]:
    """An outbox for each agent with so many messages; a message has the sender, the round and its number."""
    boxes = []
    for sender, size in enumerate(sizes):
        messages = [bytes([sender, round_number, k]) for k in range(size)]
        counts = Counts(size, 3 * size, size, 3 * size, size, 3 * size)
        boxes.append(Outbox(messages, counts))
    return boxes


def received(channel: Channel, rounds: int, sizes: list[int]) -> list[list[list[bytes]]]:
    return [channel.exchange(KIND, boxes_of(number, sizes)) for number in range(rounds)]


def from_sender(inbox: list[bytes], sender: int) -> list[bytes]:
    return [message for message in inbox if message[0] == sender]


def test_share_of_lost_messages_is_within_its_binomial_interval_on_every_edge() -> None:
    channel = channel_of(3, {"loss": 0.3})
    received(channel, 10, [200, 200, 200])
    rows = channel.close_ledger(1)
    assert len(rows) == 6
    for row in rows:  # six edges: 4 standard deviations of a binomial number
        assert row["sent"] == 2000 and abs(row["lost"] - 600) < 4 * (2000 * 0.3 * 0.7) ** 0.5


@given(delay=st.integers(0, 4), sizes=st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), max_size=9))
@settings(max_examples=10, deadline=None, derandomize=True, database=None)
def test_delayed_message_arrives_the_delay_later_in_its_order(delay: int, sizes: list[list[int]]) -> None:
    plain, late = channel_of(3, {}), channel_of(3, {"delay": delay})
    on_time = [plain.exchange(KIND, boxes_of(number, each)) for number, each in enumerate(sizes)]
    delayed = [late.exchange(KIND, boxes_of(number, each)) for number, each in enumerate(sizes)]
    nothing: list[list[list[bytes]]] = [[[], [], []]] * min(delay, len(sizes))
    assert delayed == nothing + on_time[: len(sizes) - len(nothing)]


def test_topologies_connect_the_agents_that_they_name() -> None:
    for agents in (2, 3, 5, 9):
        names = names_of(agents)
        ring, star, full = (edges_of(name, names) for name in ("ring", "star", "full"))
        assert Counter(i for i, _ in ring) == Counter(j for _, j in ring) == Counter(range(agents))
        assert {(0, 1), (agents - 1, 0)} <= ring
        assert star == {edge for edge in full if 0 in edge} and len(full) == agents * (agents - 1)
    assert all(edges_of(name, ("team",)) == frozenset() for name in ("ring", "star", "full"))


@pytest.mark.parametrize("topology", ["ring", "star"])
def test_agents_receive_only_over_the_edges_of_the_topology(topology: str) -> None:
    channel = channel_of(4, {"topology": topology})
    (inboxes,) = received(channel, 1, [2, 2, 2, 2])
    edges = edges_of(topology, names_of(4))
    assert {(message[0], i) for i, inbox in enumerate(inboxes) for message in inbox} == edges
    rows = channel.close_ledger(1)
    assert {(row["sender"], row["receiver"], row["sent"], row["delivered"]) for row in rows} == {
        (f"agent_{j}", f"agent_{i}", 2, 2) for j, i in edges
    }
    assert channel.tallies[KIND].sent_bytes == 24, "a broadcast counts once, over every topology"


def test_losses_of_an_edge_do_not_depend_on_messages_of_other_edges() -> None:
    quiet, busy = (received(channel_of(3, {"loss": 0.5}), 30, sizes) for sizes in ([4, 0, 0], [4, 7, 1]))
    for receiver in (1, 2):
        assert [each[receiver] for each in quiet] == [from_sender(each[receiver], 0) for each in busy]
    assert [each[1] for each in quiet] != [each[2] for each in quiet], "each receiver has its own draws"
    ring = received(channel_of(3, {"loss": 0.5, "topology": "ring"}), 30, [4, 7, 1])
    assert [each[1] for each in ring] == [each[1] for each in quiet]


@pytest.mark.parametrize("channel", ["real", "stale", "self", "shuffled"])
def test_interrupted_link_goes_on_with_the_same_losses_and_messages_under_way(
    channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mawm.sharing.deliveries.scramble", lambda message, rng: rng.permutation([*message]).tobytes())
    link, sharing = {"loss": 0.4, "delay": 3, "topology": "star"}, {"channel": channel, "stale_rounds": 2}
    straight, first, resumed = (channel_of(3, link, **sharing) for _ in range(3))
    expected = received(straight, 12, [3, 1, 2])
    before = [first.exchange(KIND, boxes_of(number, [3, 1, 2])) for number in range(5)]
    resumed.load_state(first.state(), first.arrays())
    after = [resumed.exchange(KIND, boxes_of(number, [3, 1, 2])) for number in range(5, 12)]
    assert before + after == expected and sum(map(len, after[-1])) > 0
    assert resumed.close_ledger(9) == straight.close_ledger(9)
    assert resumed.metrics(9) == straight.metrics(9)


@given(
    loss=st.sampled_from([0.0, 0.3, 1.0]),
    delay=st.integers(0, 3),
    topology=st.sampled_from(["full", "ring", "star"]),
    control=st.sampled_from(["real", "stale", "self"]),
    sizes=st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=8),
)
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
def test_ledger_balances_sent_with_delivered_lost_and_under_way(
    loss: float, delay: int, topology: str, control: str, sizes: list[list[int]]
) -> None:
    link = {"loss": loss, "delay": delay, "topology": topology}
    channel = channel_of(4, link, channel=control, stale_rounds=1)
    rows: list[dict[str, Any]] = []
    for number, each in enumerate(sizes):
        channel.exchange(KIND, boxes_of(number, each))
        rows += channel.close_ledger(number)
    last = {(row["sender"], row["receiver"]): row["under_way"] for row in rows if row["env_steps"] == len(sizes) - 1}
    balance: Counter[Any] = Counter()
    for row in rows:
        # `self` delivers on the edge of a receiver to itself: there the columns of a receiver balance together.
        edge = row["receiver"] if control == "self" else (row["sender"], row["receiver"])
        balance[edge] += row["sent"] - row["lost"] - row["delivered"] - row["refused_by_gate"]
    for (sender, receiver), count in last.items():
        balance[receiver if control == "self" else (sender, receiver)] -= count
    assert set(balance.values()) <= {0}
    assert sum(row["sent"] for row in rows) == sum(
        len(edges) * sum(each[sender] for each in sizes)
        for sender in range(4)
        if (edges := [edge for edge in edges_of(topology, names_of(4)) if edge[0] == sender])
    )


def test_items_that_are_lost_or_late_are_logged_and_lost_bytes_count_as_sent() -> None:
    channel = channel_of(2, {"loss": 0.5, "delay": 2})
    received(channel, 20, [3, 3])
    metrics = channel.metrics(env_steps=1)
    lost, late, waiting = (metrics[f"channel/{KIND}/{name}_items"] for name in ("lost", "late", "under_way"))
    assert lost > 0 and late > 0 and lost + late + waiting == metrics["channel/sent_items"] == 120
    assert metrics["channel/sent_bytes"] == 360


@pytest.mark.parametrize("delay", [0, 2])
def test_control_self_delivers_as_many_messages_as_the_real_channel_over_the_same_link(delay: int) -> None:
    link = {"loss": 0.3, "delay": delay, "topology": "ring"}
    real, own = (
        received(channel_of(3, link), 20, [2, 3, 1]),
        received(channel_of(3, link, channel="self"), 20, [2, 3, 1]),
    )
    assert [list(map(len, each)) for each in own] == [list(map(len, each)) for each in real]
    assert all(message[0] == i for each in own for i, inbox in enumerate(each) for message in inbox)


def test_perfect_link_changes_no_delivery_and_no_saved_state() -> None:
    config = config_of({"loss": 0.0, "delay": 0, "topology": "full"})
    delivery = delivery_of(config, names_of(3))
    assert config == DEBUG and type(delivery).__name__ == "Direct"
    channel = channel_of(3, {})
    received(channel, 2, [1, 1, 1])
    assert channel.state().keys() == {"tallies", "delivered", "ledger", "delivery"} and channel.arrays() == {}
    assert not any("lost" in tag or "late" in tag for tag in channel.metrics(1))
    old = channel.state()  # as versions without a link wrote it
    old["ledger"] = [
        [*edge, {k: v for k, v in counts.items() if k not in ("lost", "late")}] for *edge, counts in old["ledger"]
    ]
    again = channel_of(3, {})
    again.load_state(old, {})
    assert again.close_ledger(5) == channel.close_ledger(5)


def test_waiting_messages_of_an_earlier_version_are_delivered() -> None:
    channel = channel_of(2, {}, channel="stale", stale_rounds=2)
    state = channel.state()
    state["delivery"] = {KIND: [[["VE"], []], [[], ["Vg"]]]}  # base85 of b"a" and b"b"
    channel.load_state(state, {})
    assert [channel.exchange(KIND, [Outbox(), Outbox()]) for _ in range(2)] == [[[], [b"a"]], [[b"b"], []]]


FILES = {
    "agent_0;agent_1": "line 2: it must be SENDER,RECEIVER; got 'agent_0;agent_1'",
    "agent_0,agent_1,agent_2": "line 2: it must be SENDER,RECEIVER",
    "agent_0,": "line 2: it must be SENDER,RECEIVER",
    "agent_0,agent_0": "line 2: agent_0 cannot send to itself",
    "agent_0,agent_7": "line 2: there is no agent 'agent_7'; did you mean 'agent_2'? (the agents are agent_0, agent_1",
    "agent_0,agent_1\n\nagent_0, agent_1": "line 4: line 2 has the same edge; remove one of them",
    "": "the file must have at least one line SENDER,RECEIVER",
    "x" * (1 << 20): "the file must be at most 1,048,576 bytes long",
}


@pytest.mark.parametrize("text", FILES, ids=lambda text: text[:24])
def test_wrong_topology_file_is_refused_with_its_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "edges.csv"
    path.write_text(f"# a comment\n{text}")
    with pytest.raises(ValueError, match=re.escape(FILES[text])) as refused:
        edges_of(str(path), names_of(3))
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_topology_file_names_edges_and_an_unknown_topology_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "edges.csv"
    path.write_text("# a comment\nagent_0, agent_1\n\nagent_2,agent_0 # another\n")
    assert edges_of(str(path), names_of(3)) == {(0, 1), (2, 0)}
    check(config_of({"topology": str(path)}))
    for wrong, said in (("rings", "did you mean 'ring'"), (str(tmp_path), "must be one of"), ("\0", "must be one of")):
        with pytest.raises(ValueError, match=re.escape(said)):
            check(config_of({"topology": wrong}))
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="it is not UTF-8 text"):
        check(config_of({"topology": str(path)}))


def test_damaged_waiting_messages_are_refused() -> None:
    channel = channel_of(2, {"delay": 1})
    received(channel, 1, [1, 1])
    arrays = {name: np.zeros_like(array) for name, array in channel.arrays().items()}
    with pytest.raises((IndexError, DamagedError)):
        channel_of(2, {"delay": 1}).load_state(channel.state(), arrays)
