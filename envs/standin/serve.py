"""The process of a stand-in, a websocket server for one client; arguments `-port P -dataDir DIR`, as of the real game.

The frames are read and written by the package websockets; this module owns the socket. So one thread waits for the next
request and also notices that the client, or the process that launched this one, has ended.
"""

import os
import select
import socket
import sys
import time
from itertools import pairwise
from pathlib import Path

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

PATH = "/sc2api"
POLL_S = 0.5
"""Seconds between two checks that the launching process still lives."""
CONNECT_S = 360.0
"""Seconds within which a client must connect."""
_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class ClientEndedError(Exception):
    """The connection is closed, or the launching process has ended."""


class Client:
    """The websocket of one client. `ClientEndedError` when it has ended."""

    def __init__(self, sock: socket.socket, launcher: int) -> None:
        self._socket, self._launcher = sock, launcher
        self._protocol = ServerProtocol(max_size=None)
        self._messages: list[bytes] = []
        self._parts: list[bytes] = []
        self.accepted = False
        """Whether its handshake asked for `PATH`."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def wait(self) -> None:
        """Read what the client sends next; answer handshake, pings and the closing handshake."""
        while not select.select([self._socket], [], [], POLL_S)[0]:
            if os.getppid() != self._launcher:
                raise ClientEndedError
        try:
            data = self._socket.recv(1 << 16)
            self._protocol.receive_data(data) if data else self._protocol.receive_eof()
            for event in self._protocol.events_received():
                self._receive(event)
            self._flush()
        except OSError:
            raise ClientEndedError from None
        if self._protocol.close_expected() or not data:
            raise ClientEndedError

    def receive(self) -> bytes:
        """The next message."""
        while not self._messages:
            self.wait()
        return self._messages.pop(0)

    def send(self, message: bytes) -> None:
        """Send a binary message."""
        self._protocol.send_binary(message)
        try:
            self._flush()
        except OSError:
            raise ClientEndedError from None

    def _receive(self, event: object) -> None:
        if isinstance(event, Request):
            self.accepted = event.path == PATH
            reply = self._protocol.accept(event) if self.accepted else self._protocol.reject(404, f"use {PATH}\n")
            self._protocol.send_response(reply)
        elif isinstance(event, Frame) and event.opcode in _DATA:
            self._parts.append(bytes(event.data))
            if event.fin:
                self._messages.append(b"".join(self._parts))
                self._parts = []

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._socket.sendall(data)
            else:
                self._socket.shutdown(socket.SHUT_WR)


def connect(listener: socket.socket, launcher: int) -> Client | None:
    """The first client that asks for `PATH`; others get an HTTP error.

    None if the launching process ends, or no client comes.
    """
    end = time.monotonic() + CONNECT_S
    while os.getppid() == launcher and time.monotonic() < end:
        if not select.select([listener], [], [], POLL_S)[0]:
            continue
        sock, _ = listener.accept()
        client = Client(sock, launcher)
        try:
            while not client.accepted:
                client.wait()
            return client
        except ClientEndedError:
            sock.close()
    return None


def converse(client: Client, root: Path) -> None:
    """Answer requests until the client quits or ends."""
    from mawm.envs.standin.game import Game
    from mawm.envs.standin.settings import Settings, read_marker

    game = Game(read_marker(root) or Settings())
    faults, answered = game.settings.faults, 0
    while True:
        message = client.receive()
        if answered == faults.dies_after:
            os._exit(1)
        if answered == faults.hangs_after:
            while True:
                client.wait()
        time.sleep(faults.delay_s)
        answer = game.answer(message)
        if answer is None:
            return
        client.send(answer)
        answered += 1


def main(arguments: list[str]) -> int:
    """Serve one client. Exit code 2 for a mistake in the arguments; those that only the real game needs are ignored."""
    launcher = os.getppid()
    options = {name: value for name, value in pairwise(arguments) if name.startswith("-")}
    if not options.get("-port", "").isdecimal() or "-dataDir" not in options:
        print("mawm stand-in: expected -port NUMBER and -dataDir FOLDER, as PySC2 gives them", file=sys.stderr)
        return 2
    # Listen before the slow imports: a client whose first try fails waits a second before the next one.
    host = options.get("-listen", "127.0.0.1")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, int(options["-port"])), family=family)
    except (OSError, OverflowError) as error:
        print(f"mawm stand-in: cannot listen on port {options['-port']} ({error}): choose another one", file=sys.stderr)
        return 2
    import mawm.envs.standin.game  # noqa: F401 (while the client waits for the handshake)

    client = connect(listener, launcher)
    listener.close()  # a second client is refused
    if client is None:
        return 1
    try:
        converse(client, Path(options["-dataDir"]))
    except ClientEndedError:
        return 0
    except ValueError as error:
        print(f"mawm stand-in: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
