"""Encodes items as bytes: a versioned header, plain arrays, a checksum. No pickle.

Layout, little-endian: magic "MAWM", version, kind, role, format of real numbers, agent, episode, sequence number, four
sizes, one more integer (a segment's start, or a rollout's number of classes); then the arrays in a fixed order; then
BLAKE2b-64 of all bytes before it. An action takes one or two bytes, a mask one bit per action, a latent group as many
bits as its number of classes needs. `Wire` is the format of real numbers; every message states it.
"""

import hashlib
import struct
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mawm.types import ROLES, Origin, Rollout, Segment

MAGIC = b"MAWM"
VERSION = 2
_HEADER = struct.Struct("<4sBBBBiqqIIIIi")
HEADER_BYTES = _HEADER.size
_CHECKSUM = 8
_SEGMENT, _ROLLOUT = 0, 1
_REALS = ("float32", "float16")
_DETER_STEPS = 127
_LARGEST_HALF = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Wire:
    """The number format of messages.

    `float32` is exact. `float16` stores real numbers as half floats, clipped at +-65 504. It stores a deterministic
    state, which a GRU keeps in [-1, 1], in steps of 1/127: 8 bits instead of 32, with an error of at most 0.004.
    """

    reals: Literal["float32", "float16"] = "float32"
    classes: int = 256
    """Classes of a latent group; they determine its number of bits."""

    @property
    def latent_bits(self) -> int:
        """Bits of one latent group."""
        return max(1, (self.classes - 1).bit_length())

    @property
    def real_bytes(self) -> int:
        """Bytes of one real number."""
        return 4 if self.reals == "float32" else 2

    @property
    def deter_bytes(self) -> int:
        """Bytes of one unit of a deterministic state."""
        return 4 if self.reals == "float32" else 1

    def real(self, values: NDArray[Any]) -> bytes:
        """Real numbers as bytes."""
        if self.reals == "float32":
            return values.astype("<f4").tobytes()
        half: NDArray[np.float16] = np.clip(values, -_LARGEST_HALF, _LARGEST_HALF).astype("<f2")
        return half.tobytes()

    def deter(self, values: NDArray[Any]) -> bytes:
        """Deterministic states as bytes."""
        if self.reals == "float32":
            return values.astype("<f4").tobytes()
        steps: NDArray[np.int8] = np.rint(np.clip(values, -1.0, 1.0) * _DETER_STEPS).astype(np.int8)
        return steps.tobytes()

    def latent(self, classes: NDArray[Any]) -> bytes:
        """Class indices as `latent_bits` bits each, the whole array packed together."""
        bits = np.unpackbits(classes.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - self.latent_bits :]
        return np.packbits(bits).tobytes()


def _action_type(n_actions: int) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if n_actions <= 256 else np.uint16


def _mask_bytes(n_actions: int) -> int:
    return (n_actions + 7) // 8


def segment_bytes(steps: int, obs_size: int, n_actions: int, wire: Wire) -> int:
    """Length of an encoded segment, without encoding it."""
    action = np.dtype(_action_type(n_actions)).itemsize
    per_step = wire.real_bytes * (obs_size + 1) + 2 + action + _mask_bytes(n_actions)
    return _HEADER.size + _CHECKSUM + steps * per_step


def rollout_bytes(horizon: int, deter: int, groups: int, n_actions: int, wire: Wire) -> int:
    """Length of an encoded rollout, without encoding it."""
    action = np.dtype(_action_type(n_actions)).itemsize
    states = (horizon + 1) * wire.deter_bytes * deter + _latent_bytes((horizon + 1) * groups, wire.latent_bits)
    steps = horizon * (_mask_bytes(n_actions) + wire.real_bytes * (n_actions + 3) + action)
    return _HEADER.size + _CHECKSUM + states + steps


def _latent_bytes(count: int, bits: int) -> int:
    return (count * bits + 7) // 8


def _pack(
    kind: int,
    origin: Origin,
    sequence: int,
    sizes: tuple[int, int, int, int],
    last: int,
    wire: Wire,
    parts: list[bytes],
) -> bytes:
    role, reals = ROLES.index(origin.role), _REALS.index(wire.reals)
    header = _HEADER.pack(MAGIC, VERSION, kind, role, reals, origin.agent, origin.episode, sequence, *sizes, last)
    body = header + b"".join(parts)
    return body + hashlib.blake2b(body, digest_size=_CHECKSUM).digest()


def encode_segment(segment: Segment, sequence: int, wire: Wire) -> bytes:
    """A segment as bytes; `sequence` counts the sender's messages."""
    steps, n_actions = segment.avail.shape
    parts = [
        wire.real(segment.obs),
        wire.real(segment.reward),
        np.stack([segment.terminal, segment.is_first]).astype(np.uint8).tobytes(),
        segment.prev_action.astype(_action_type(n_actions)).tobytes(),
        np.packbits(segment.avail, axis=-1).tobytes(),
    ]
    sizes = (steps, segment.obs.shape[1], n_actions, segment.lane)
    return _pack(_SEGMENT, segment.origin, sequence, sizes, segment.start, wire, parts)


def encode_rollout(rollout: Rollout, sequence: int, wire: Wire) -> bytes:
    """An imagined rollout as bytes; `sequence` counts the sender's messages."""
    horizon, n_actions = rollout.avail.shape
    parts = [
        wire.deter(rollout.deter),
        wire.latent(rollout.stoch),
        np.packbits(rollout.avail, axis=-1).tobytes(),
        wire.real(rollout.logits),
        rollout.action.astype(_action_type(n_actions)).tobytes(),
        wire.real(rollout.reward),
        wire.real(rollout.discount),
        wire.real(rollout.weight),
    ]
    sizes = (horizon, rollout.deter.shape[1], rollout.stoch.shape[1], n_actions)
    return _pack(_ROLLOUT, rollout.origin, sequence, sizes, wire.classes, wire, parts)


class _Reader:
    """Checks a message and reads its arrays in order."""

    def __init__(self, message: bytes, kind: int) -> None:
        if len(message) < _HEADER.size + _CHECKSUM:
            raise ValueError(f"a message of {len(message)} bytes is shorter than its header")
        body, checksum = message[:-_CHECKSUM], message[-_CHECKSUM:]
        if hashlib.blake2b(body, digest_size=_CHECKSUM).digest() != checksum:
            raise ValueError("a message is damaged: its checksum does not match its bytes")
        magic, version, got, role, reals, agent, episode, self.sequence, *self.sizes, self.last = _HEADER.unpack_from(
            body
        )
        if (magic, version, got) != (MAGIC, VERSION, kind) or role >= len(ROLES) or reals >= len(_REALS):
            raise ValueError(
                f"expected a message {MAGIC!r} version {VERSION} kind {kind}; "
                f"got {magic!r} {version} {got} role {role} numbers {reals}"
            )
        if kind == _ROLLOUT and not 1 <= self.last <= 256:
            raise ValueError(f"a rollout's latents have {self.last} classes; the number must be in [1, 256]")
        self.wire = wire_of(message)
        self.origin = Origin(agent, ROLES[role], episode)
        self._body, self._at = body, _HEADER.size

    def take(self, dtype: str | type[np.generic], *shape: int) -> NDArray[np.generic]:
        """Read the next array of this type and shape, as a copy."""
        kind = np.dtype(dtype)
        end = self._at + kind.itemsize * int(np.prod(shape))
        if end > len(self._body):
            raise ValueError(f"a message ends at byte {len(self._body)}; its header needs at least {end}")
        out = np.frombuffer(self._body[self._at : end], kind).reshape(shape).copy()
        self._at = end
        return out

    def mask(self, rows: int, n_actions: int) -> NDArray[np.bool_]:
        """Read the next mask (rows, n_actions)."""
        packed = self.take(np.uint8, rows, _mask_bytes(n_actions))
        return np.unpackbits(np.asarray(packed, np.uint8), axis=-1, count=n_actions).astype(np.bool_)

    def reals(self, *shape: int) -> NDArray[np.float32]:
        """Read the next real numbers."""
        return self.take("<f4" if self.wire.reals == "float32" else "<f2", *shape).astype(np.float32)

    def deter(self, *shape: int) -> NDArray[np.float32]:
        """Read the next deterministic states."""
        if self.wire.reals == "float32":
            return self.take("<f4", *shape).astype(np.float32)
        return self.take(np.int8, *shape).astype(np.float32) / np.float32(_DETER_STEPS)

    def latents(self, rows: int, groups: int) -> NDArray[np.uint8]:
        """Read the next class indices (rows, groups)."""
        bits = self.wire.latent_bits
        packed = np.asarray(self.take(np.uint8, _latent_bytes(rows * groups, bits)), np.uint8)
        places = np.unpackbits(packed, count=rows * groups * bits).reshape(rows, groups, bits)
        classes: NDArray[np.uint8] = (places << np.arange(bits - 1, -1, -1, dtype=np.uint8)).sum(-1, dtype=np.uint8)
        return classes

    def finish(self) -> None:
        """Raise ValueError if bytes are left."""
        if self._at != len(self._body):
            raise ValueError(f"a message has {len(self._body)} bytes; its header needs {self._at}")


def decode_segment(message: bytes) -> Segment:
    """The segment in a message. ValueError for a damaged or truncated message, or one of another kind."""
    reader = _Reader(message, _SEGMENT)
    steps, obs_size, n_actions, lane = reader.sizes
    obs, reward = reader.reals(steps, obs_size), reader.reals(steps)
    terminal, is_first = reader.take(np.uint8, 2, steps).astype(np.bool_)
    prev_action = reader.take(_action_type(n_actions), steps).astype(np.int64)
    avail = reader.mask(steps, n_actions)
    reader.finish()
    return Segment(reader.origin, lane, reader.last, obs, prev_action, reward, terminal, is_first, avail)


def decode_rollout(message: bytes) -> Rollout:
    """The rollout in a message. ValueError for a damaged or truncated message, or one of another kind."""
    reader = _Reader(message, _ROLLOUT)
    horizon, deter, groups, n_actions = reader.sizes
    states = reader.deter(horizon + 1, deter), reader.latents(horizon + 1, groups)
    avail = reader.mask(horizon, n_actions)
    logits = reader.reals(horizon, n_actions)
    action = reader.take(_action_type(n_actions), horizon).astype(np.int64)
    reward, discount, weight = (reader.reals(horizon) for _ in range(3))
    reader.finish()
    return Rollout(reader.origin, *states, avail, logits, action, reward, discount, weight)


def origin_of(message: bytes) -> Origin:
    """The origin in a message's header. ValueError if the header is too short or has an unknown role."""
    if len(message) < _HEADER.size:
        raise ValueError(f"a message of {len(message)} bytes is shorter than its header")
    _, _, _, role, _, agent, episode, *_ = _HEADER.unpack_from(message)
    if role >= len(ROLES):
        raise ValueError(f"a message has role {role}; roles are numbered below {len(ROLES)}")
    return Origin(agent, ROLES[role], episode)


def scramble(message: bytes, rng: np.random.Generator) -> bytes:
    """The same message with its observations (of a segment) or latent states (of a rollout) in a random order."""
    if _HEADER.unpack_from(message)[2] == _SEGMENT:
        segment = decode_segment(message)
        order = rng.permutation(len(segment))
        return encode_segment(replace(segment, obs=segment.obs[order]), sequence_of(message), wire_of(message))
    rollout = decode_rollout(message)
    order = rng.permutation(len(rollout) + 1)
    mixed = replace(rollout, deter=rollout.deter[order], stoch=rollout.stoch[order])
    return encode_rollout(mixed, sequence_of(message), wire_of(message))


def sequence_of(message: bytes) -> int:
    """The sender's sequence number of a message."""
    return int(_HEADER.unpack_from(message)[7])


def wire_of(message: bytes) -> Wire:
    """The number format of a message."""
    fields = _HEADER.unpack_from(message)
    reals: Literal["float32", "float16"] = "float16" if fields[4] else "float32"
    return Wire(reals, fields[-1] if fields[2] == _ROLLOUT else Wire.classes)
