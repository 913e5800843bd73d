"""Messages from agent to agent over ZeroMQ sockets (`--link.transport tcp`, the extra `link`)."""

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mawm.runtime.console import print_stderr
from mawm.sharing.channel import KINDS
from mawm.sharing.codec import HEADER_BYTES
from mawm.sharing.frames import END, MESSAGE, OVERHEAD, Frame, FrameError, decode, digest_of, key_of

TIMEOUT_S = 120.0
"""Seconds that a receiver waits for the messages of a round."""
MOST_WARNINGS = 16
"""Number of different warnings that a receiver prints."""


class LinkError(RuntimeError):
    """A round's messages did not arrive in time; the message names the agents that they should have come from."""


@dataclass(frozen=True)
class Envelope:
    """The data that the driver has of a message that travels from agent to agent: its sender, size and header.

    `digest` identifies the content: a receiver takes only the content that the sender announced to the driver.
    """

    sender: int
    number: int
    """The place of the message among those of its sender in the round."""
    header: bytes
    """The first bytes of the message (`codec.origin_of` reads them)."""
    size: int
    digest: bytes

    def __len__(self) -> int:
        return self.size


class Endpoint:
    """The sockets of one agent: it sends its messages to its receivers, and collects the messages of a round.

    `receivers` and `senders` are the numbers of the agents that receive from this one, and that send to it. Use: make
    one for each agent (in any process), `connect` each with the addresses of all, then in each round `send` at every
    agent and after that `collect` at every agent. A message has at most `largest` bytes.

    A frame that does not belong to the round is ignored, and printed once for each reason and address.
    """

    def __init__(
        self,
        agent: int,
        names: Sequence[str],
        receivers: Iterable[int],
        senders: Iterable[int],
        largest: int,
        host: str = "127.0.0.1",
        port: int = 0,
        warn: Callable[[str], None] = print_stderr,
    ) -> None:
        import zmq  # an extra

        self.agent, self.names, self.largest, self.warn = agent, tuple(names), largest, warn
        self.receivers, self.senders = sorted(receivers), frozenset(senders)
        self.timeout_s = TIMEOUT_S
        self.rounds = dict.fromkeys(KINDS, 0)
        """The number of rounds of each kind in which this agent has sent."""
        self._key = b""
        self._warned: set[str] = set()
        self._context = zmq.Context()
        self._inbox = self._context.socket(zmq.PULL)
        self._inbox.setsockopt(zmq.MAXMSGSIZE, largest + OVERHEAD)  # a peer that sends more is disconnected
        events = zmq.Event.HANDSHAKE_FAILED_NO_DETAIL | zmq.Event.HANDSHAKE_FAILED_PROTOCOL | zmq.Event.DISCONNECTED
        self._events = self._inbox.get_monitor_socket(events)
        self._inbox.bind(f"tcp://{host}:{port or '*'}")
        self.address: str = self._inbox.getsockopt_string(zmq.LAST_ENDPOINT)
        self._outboxes: dict[int, Any] = {}

    def connect(self, addresses: Sequence[str], session: bytes, secret: bytes = b"") -> None:
        """Connect to the receivers of this agent. `session` is a random number that all agents of the run have."""
        import zmq

        self._key = key_of(secret, session)
        for receiver in self.receivers:
            socket = self._context.socket(zmq.PUSH)
            socket.setsockopt(zmq.SNDHWM, 0)  # a round may have any number of messages; receivers read them after it
            socket.connect(addresses[receiver])
            self._outboxes[receiver] = socket

    def send(self, kind: str, messages: Sequence[bytes]) -> tuple[list[Envelope], int]:
        """Send this round's messages. Returns their envelopes, and the bytes on the wire with frames and ZeroMQ's own.

        ZeroMQ precedes a frame by a byte of flags and one or eight bytes of its length.
        """
        self.rounds[kind] += 1
        place = KINDS.index(kind), self.rounds[kind], self.agent
        frames = [Frame(MESSAGE, *place, number, message) for number, message in enumerate(messages)]
        data = [frame.encode(self._key) for frame in [*frames, Frame(END, *place, len(messages))]]
        for socket in self._outboxes.values():
            for each in data:
                socket.send(each)
        envelopes = [
            Envelope(self.agent, number, message[:HEADER_BYTES], len(message), digest_of(message))
            for number, message in enumerate(messages)
        ]
        return envelopes, len(self._outboxes) * sum(len(each) + (2 if len(each) < 256 else 9) for each in data)

    def collect(self, kind: str, envelopes: Sequence[Envelope]) -> list[bytes]:
        """The messages of these envelopes, in their order, once every sender has sent its last frame of this round.

        Messages without an envelope here were lost, or refused, and are dropped. LinkError if frames are missing after
        `timeout_s`.
        """
        import zmq

        round_ = _Round(KINDS.index(kind), self.rounds[kind], self.senders, envelopes)
        poller = zmq.Poller()
        poller.register(self._inbox, zmq.POLLIN)
        poller.register(self._events, zmq.POLLIN)
        deadline = time.monotonic() + self.timeout_s
        while waiting := round_.waiting():
            left = deadline - time.monotonic()
            if left <= 0.0:
                names = ", ".join(self.names[sender] for sender in waiting)
                raise LinkError(
                    f"{self.names[self.agent]} waited {self.timeout_s:g} s for the {kind} of {names} and has not all "
                    "of it: the process or the network there has failed"
                )
            ready = dict(poller.poll(math.ceil(1000 * left)))
            if self._events in ready:
                self._read_event()
            if self._inbox in ready:
                self._take(round_)
        return [round_.messages[envelope.sender, envelope.number] for envelope in envelopes]

    def _take(self, round_: "_Round") -> None:
        frame = self._inbox.recv(copy=False)
        try:
            round_.take(decode(frame.bytes, self._key, self.largest))
        except FrameError as error:
            self._warn_once(_address_of(frame), str(error))

    def _read_event(self) -> None:
        import zmq
        from zmq.utils.monitor import recv_monitor_message

        event = recv_monitor_message(self._events)["event"]
        if event == zmq.Event.DISCONNECTED:
            self._warn_once("a peer", f"nothing more: it has gone, or its frame had more than {self.largest:,} bytes")
        else:
            self._warn_once("a peer", "bytes that are not of ZeroMQ")

    def _warn_once(self, who: str, what: str) -> None:
        text = f"{self.names[self.agent]}: {who} sent {what}; ignored, and printed only once"
        if text not in self._warned and len(self._warned) < MOST_WARNINGS:
            self._warned.add(text)
            self.warn(text)

    def close(self) -> None:
        """Close all sockets at once; what was not sent yet is dropped."""
        self._inbox.disable_monitor()
        self._context.destroy(linger=0)


class _Round:
    """The messages of one kind of item that have arrived in one round."""

    def __init__(self, kind: int, number: int, senders: frozenset[int], envelopes: Sequence[Envelope]) -> None:
        self.kind, self.number = kind, number
        self.envelopes = {(envelope.sender, envelope.number): envelope for envelope in envelopes}
        self.messages: dict[tuple[int, int], bytes] = {}
        self._arrived: dict[int, set[int]] = {sender: set() for sender in sorted(senders)}
        self._counts: dict[int, int] = {}

    def waiting(self) -> list[int]:
        """The senders whose messages have not all arrived."""
        return [sender for sender, of in self._arrived.items() if self._counts.get(sender, -1) != len(of)]

    def take(self, frame: Frame) -> None:
        """Keep a frame. FrameError if it does not belong to this round, or has arrived before."""
        if frame.sender not in self._arrived:
            raise FrameError(f"a frame of agent number {frame.sender}, from which this agent does not receive")
        if (frame.kind, frame.round) != (self.kind, self.number):
            raise FrameError("a frame of another round")
        arrived = self._arrived[frame.sender]
        if frame.type == END:
            if frame.sender in self._counts or frame.number < len(arrived):
                raise FrameError("a second end of a round, or an early one")
            self._counts[frame.sender] = frame.number
            return
        envelope = self.envelopes.get((frame.sender, frame.number))
        if envelope is not None and (len(frame.message), digest_of(frame.message)) != (envelope.size, envelope.digest):
            raise FrameError("a message that its sender has not announced")
        if frame.number in arrived or frame.number >= self._counts.get(frame.sender, frame.number + 1):
            raise FrameError("a frame that has arrived before, or comes after the end of its round")
        arrived.add(frame.number)
        if envelope is not None:
            self.messages[frame.sender, frame.number] = frame.message


def _address_of(frame: Any) -> str:
    with contextlib.suppress(Exception):  # a transport without addresses
        return f"a peer at {frame.get('Peer-Address')}"
    return "a peer"
