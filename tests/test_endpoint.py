"""Messages from agent to agent over sockets on this machine: arrival, refused frames, and the agents that are named."""

import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mawm.sharing.endpoint import Endpoint, Envelope, LinkError
from mawm.sharing.frames import END, MESSAGE, OVERHEAD, Frame, FrameError, decode, key_of

zmq = pytest.importorskip("zmq", reason="the extra `link` (pyzmq) is not installed")
ROOT = Path(__file__).parents[1]
SESSION, LARGEST = bytes(range(32)), 4000
KEY = key_of(b"", SESSION)
NAMES = ("agent_0", "agent_1", "agent_2")
Team = Callable[..., list[Endpoint]]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def team(said: list[str]) -> Iterator[Team]:
    """Makes three endpoints that all receive from each other, or over some edges; they are closed at the end."""
    endpoints: list[Endpoint] = []

    def make(secrets: tuple[bytes, ...] = (b"", b"", b""), edges: Any = None) -> list[Endpoint]:
        edges = edges or {(i, j) for i in range(3) for j in range(3) if i != j}
        for i in range(3):
            receivers, senders = {j for k, j in edges if k == i}, {k for k, j in edges if j == i}
            endpoints.append(Endpoint(i, NAMES, receivers, senders, LARGEST, warn=said.append))
        for endpoint, secret in zip(endpoints, secrets, strict=True):
            endpoint.connect([other.address for other in endpoints], SESSION, secret)
            endpoint.timeout_s = 5.0
        return endpoints

    yield make
    for endpoint in endpoints:
        endpoint.close()


def messages_of(agent: int, count: int, number: int = 0) -> list[bytes]:
    return [bytes([agent, number, k]) * (20 + 400 * k) for k in range(count)]


def all_envelopes(endpoints: list[Endpoint], counts: list[int], number: int = 0) -> list[list[Envelope]]:
    return [endpoint.send("experience", messages_of(i, counts[i], number))[0] for i, endpoint in enumerate(endpoints)]


def peer_of(endpoint: Endpoint) -> Any:
    """A socket of a stranger."""
    stranger = zmq.Context.instance().socket(zmq.PUSH)
    stranger.setsockopt(zmq.LINGER, 0)
    stranger.connect(endpoint.address)
    return stranger


def test_messages_arrive_in_order_of_sender_and_number_and_lost_ones_are_dropped(team: Team, said: list[str]) -> None:
    endpoints = team()
    for number in range(3):
        envelopes = all_envelopes(endpoints, [3, 0, 2], number)
        assert [envelope.size for envelope in envelopes[0]] == [60, 1260, 2460]
        wanted = [envelopes[1] + envelopes[2], envelopes[0][1:] + envelopes[2], envelopes[0] + envelopes[1]]
        got = [endpoint.collect("experience", of) for endpoint, of in zip(endpoints, wanted, strict=True)]
        first, third = messages_of(0, 3, number), messages_of(2, 2, number)
        assert got == [third, first[1:] + third, first]
    assert said == []


def test_bytes_on_the_wire_are_the_messages_with_frames_and_zeromqs_own(team: Team) -> None:
    _, wire = team(edges={(0, 1), (0, 2)})[0].send("rollouts", [bytes(100), bytes(1000)])
    assert wire == 2 * ((100 + OVERHEAD + 2) + (1000 + OVERHEAD + 9) + (OVERHEAD + 2))


def test_agents_send_nothing_over_edges_that_the_topology_lacks(team: Team) -> None:
    endpoints = team(edges={(0, 1), (1, 2)})
    envelopes = all_envelopes(endpoints, [1, 1, 1])
    assert endpoints[0].collect("experience", []) == []
    assert endpoints[1].collect("experience", envelopes[0]) == messages_of(0, 1)
    assert endpoints[2].collect("experience", envelopes[1]) == messages_of(1, 1)


def frame(sender: int = 1, number: int = 0, message: bytes = b"x", round_: int = 1, key: bytes = KEY) -> bytes:
    return Frame(MESSAGE, 0, round_, sender, number, message).encode(key)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "garbage": (b"GET / HTTP/1.1 and more", "23 bytes that are no frame"),
    "nothing": (b"", "0 bytes that are no frame"),
    "a header of 4 GB": (frame()[:24] + struct.pack("<I", 2**32 - 1) + frame()[28:], "announces 4,294,967,295 bytes"),
    "a cut frame": (frame(message=bytes(50))[:-1], "does not fit its header"),
    "another key": (frame(key=key_of(b"another", SESSION)), "a frame with another key"),
    "an earlier start": (frame(key=key_of(b"", bytes(32))), "a frame with another key"),
    "a changed byte": (frame()[:-17] + b"y" + frame()[-16:], "a frame with another key"),
    "an earlier round": (frame(round_=7), "a frame of another round"),
    "an unknown sender": (frame(sender=9), "agent number 9, from which this agent does not receive"),
    "itself as sender": (frame(sender=0), "agent number 0, from which this agent does not receive"),
    "a wrong sender": (frame(message=bytes(60)), "a message that its sender has not announced"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_frame_is_ignored_and_named_once(name: str, team: Team, said: list[str]) -> None:
    endpoints = team()
    data, reason = HOSTILE[name]
    stranger = peer_of(endpoints[0])
    for _ in range(3):
        stranger.send(data)
    endpoints[0]._inbox.poll(5000)  # the stranger's frames are the first ones
    envelopes = all_envelopes(endpoints, [0, 2, 0])
    assert endpoints[0].collect("experience", envelopes[1]) == messages_of(1, 2)
    stranger.close()
    assert len(said) == 1 and reason in said[0] and said[0].startswith("agent_0: a peer at 127.0.0.1 sent "), said


def test_replayed_frames_and_a_second_end_are_ignored_and_named(team: Team, said: list[str]) -> None:
    endpoints = team()
    end = Frame(END, 0, 1, 1, 1).encode(KEY)
    stranger = peer_of(endpoints[0])
    envelopes = endpoints[1].send("experience", messages_of(1, 1))[0]
    endpoints[0]._inbox.poll(5000)
    for data in (frame(message=messages_of(1, 1)[0]), frame(message=messages_of(1, 1)[0]), end, end):
        stranger.send(data)
    time.sleep(0.3)  # the copies arrive while the round is open, because agent 2 has not sent its own yet
    endpoints[0].send("experience", [])
    endpoints[2].send("experience", [])
    assert endpoints[0].collect("experience", envelopes) == messages_of(1, 1)
    stranger.close()
    assert any("has arrived before" in text for text in said) and len(said) <= 2


def test_bytes_that_are_not_of_zeromq_and_oversized_frames_disconnect_their_peer(team: Team, said: list[str]) -> None:
    endpoints = team()
    with socket.create_connection(("127.0.0.1", int(endpoints[0].address.rpartition(":")[2])), timeout=5) as raw:
        # A greeting of ZMTP 3 without a mechanism that exists, and a frame of ZMTP 1 that announces 4 GB.
        raw.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"EVIL".ljust(20, b"\0") + bytes(32))
        raw.settimeout(5)
        while raw.recv(4096):
            pass  # the greeting of the other side, then the end of the connection
    stranger = peer_of(endpoints[0])
    stranger.send(bytes(LARGEST + OVERHEAD + 1))
    assert endpoints[0]._events.poll(5000)
    envelopes = all_envelopes(endpoints, [1, 1, 1])
    assert endpoints[0].collect("experience", envelopes[2]) == messages_of(2, 1)
    stranger.close()
    assert 1 <= len(said) <= 2 and all(text.startswith("agent_0: a peer sent") for text in said)


def test_agent_that_sends_nothing_is_named_in_time(team: Team) -> None:
    endpoints = team()
    endpoints[0].timeout_s = 0.3
    endpoints[0].send("experience", [])
    endpoints[1].send("experience", [])
    with pytest.raises(LinkError, match=r"agent_0 waited 0.3 s for the experience of agent_2 and"):
        endpoints[0].collect("experience", [])


def test_agent_with_another_secret_is_named(team: Team, said: list[str]) -> None:
    endpoints = team(secrets=(b"a secret of ours", b"a secret of ours", b"another secret.."))
    endpoints[0].timeout_s = 0.5
    envelopes = all_envelopes(endpoints, [0, 1, 1])
    with pytest.raises(LinkError, match="agent_2"):
        endpoints[0].collect("experience", envelopes[1])
    assert len(said) == 1 and "another key" in said[0]


def test_number_of_warnings_is_bounded(team: Team, said: list[str]) -> None:
    endpoints = team()
    for size in range(100):
        endpoints[0]._warn_once("a peer", f"{size} bytes")
    assert len(said) == 16


def test_frame_is_the_same_after_coding_and_its_message_is_bounded() -> None:
    whole = Frame(MESSAGE, 1, 2**40, 3, 4, b"message")
    assert decode(whole.encode(KEY), KEY, 7) == whole
    with pytest.raises(FrameError, match="7 bytes; a message has at most 6"):
        decode(whole.encode(KEY), KEY, 6)


@pytest.mark.slow
def test_process_with_open_sockets_ends() -> None:
    code = (
        "from mawm.sharing.endpoint import Endpoint\n"
        "endpoint = Endpoint(0, ('a', 'b'), [1], [1], 1000)\n"
        "endpoint.connect(['', 'tcp://127.0.0.1:9'], bytes(32))\n"
        "endpoint.send('rollouts', [bytes(900)] * 5000)\n"
        "endpoint.close()\n"
        "print('closed')\n"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "closed\n"
