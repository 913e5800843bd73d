"""The frames in which messages travel from agent to agent: a header, one message, and a code that proves the key.

Layout, little-endian: magic "MAWL", version, type (message or end), kind of item, round, sender, number, size of the
message; then the message; then the first 16 bytes of the HMAC-SHA256 of everything before it. No pickle.
"""

import hashlib
import hmac
import struct
from dataclasses import dataclass

MAGIC = b"MAWL"
VERSION = 1
MESSAGE, END = 0, 1
"""Types of frames. An END has no message; its number is the count of the messages that its sender sent in the round."""
_HEADER = struct.Struct("<4sBBBBQIII")
CODE_BYTES = 16
"""Bytes of the code at the end of a frame."""
OVERHEAD = _HEADER.size + CODE_BYTES
"""Bytes of a frame beside its message."""


class FrameError(ValueError):
    """The bytes are no frame of this run; the message says why."""


@dataclass(frozen=True)
class Frame:
    """One frame."""

    type: int
    kind: int
    """The number of the kind of item."""
    round: int
    sender: int
    number: int
    """Of a message: its place among those of its sender in the round. Of an END: their count."""
    message: bytes = b""

    def encode(self, key: bytes) -> bytes:
        """The frame as bytes."""
        sizes = self.round, self.sender, self.number, len(self.message)
        body = _HEADER.pack(MAGIC, VERSION, self.type, self.kind, 0, *sizes) + self.message
        return body + _code(body, key)


def decode(data: bytes, key: bytes, largest: int) -> Frame:
    """The frame in `data`, whose message has at most `largest` bytes. FrameError for anything else."""
    if len(data) < OVERHEAD or data[:4] != MAGIC:
        raise FrameError(f"{len(data)} bytes that are no frame")
    _, version, kind_of_frame, kind, _, number_of_round, sender, number, size = _HEADER.unpack_from(data)
    if size > largest:
        raise FrameError(f"a frame that announces {size:,} bytes; a message has at most {largest:,}")
    if version != VERSION or kind_of_frame not in (MESSAGE, END) or len(data) != OVERHEAD + size:
        raise FrameError(f"a frame of {len(data):,} bytes, version {version}, that does not fit its header")
    if not hmac.compare_digest(_code(data[:-CODE_BYTES], key), data[-CODE_BYTES:]):
        raise FrameError("a frame with another key")
    return Frame(kind_of_frame, kind, number_of_round, sender, number, data[_HEADER.size : -CODE_BYTES])


def _code(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")[:CODE_BYTES]


def key_of(secret: bytes, session: bytes) -> bytes:
    """The key of a run's frames from the shared secret (may be empty) and the random number of this start.

    The random number reaches the agents over their pipes. So frames of an earlier start have another key.
    """
    return hmac.digest(session, secret, "sha256")


def digest_of(message: bytes) -> bytes:
    """16 bytes that identify a message's content."""
    return hashlib.blake2b(message, digest_size=16).digest()
