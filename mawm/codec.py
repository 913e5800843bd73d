"""Items as the bytes that cross the channel: a versioned header, plain arrays, a checksum, no pickle.

Layout, little-endian: magic "MAWM", version, kind, role, agent, episode, sequence number, three sizes, start; then the
arrays one after the other; then BLAKE2b-64 of everything before it. Actions take one or two bytes, masks one bit an
action, latents one byte a group, everything real is float32.
"""

import hashlib
import struct
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mawm.types import Origin, Role, Rollout, Segment

MAGIC = b"MAWM"
VERSION = 1
_HEADER = struct.Struct("<4sBBBxiqqIIIIi")
_CHECKSUM = 8
_ROLES = (Role.PRIMARY, Role.EXPLORER)
_SEGMENT, _ROLLOUT = 0, 1


def _action_type(n_actions: int) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if n_actions <= 256 else np.uint16


def _mask_bytes(n_actions: int) -> int:
    return (n_actions + 7) // 8


def segment_bytes(steps: int, obs_size: int, n_actions: int) -> int:
    """Length of an encoded segment, without encoding it."""
    action = np.dtype(_action_type(n_actions)).itemsize
    per_step = 4 * obs_size + 4 + 2 + action + _mask_bytes(n_actions)
    return _HEADER.size + _CHECKSUM + steps * per_step


def rollout_bytes(horizon: int, deter: int, groups: int, n_actions: int) -> int:
    """Length of an encoded rollout, without encoding it."""
    action = np.dtype(_action_type(n_actions)).itemsize
    states = (horizon + 1) * (4 * deter + groups)
    steps = horizon * (_mask_bytes(n_actions) + 4 * n_actions + action + 3 * 4)
    return _HEADER.size + _CHECKSUM + states + steps


def _pack(
    kind: int, origin: Origin, sequence: int, sizes: tuple[int, int, int, int], start: int, parts: list[bytes]
) -> bytes:
    header = _HEADER.pack(
        MAGIC, VERSION, kind, _ROLES.index(origin.role), origin.agent, origin.episode, sequence, *sizes, start
    )
    body = header + b"".join(parts)
    return body + hashlib.blake2b(body, digest_size=_CHECKSUM).digest()


def encode_segment(segment: Segment, sequence: int) -> bytes:
    """A segment as bytes; `sequence` counts the sender's messages."""
    steps, n_actions = segment.avail.shape
    flags = np.stack([segment.terminal, segment.is_first]).astype(np.uint8)
    parts = [
        segment.obs.astype("<f4").tobytes(),
        segment.reward.astype("<f4").tobytes(),
        flags.tobytes(),
        segment.prev_action.astype(_action_type(n_actions)).tobytes(),
        np.packbits(segment.avail, axis=-1).tobytes(),
    ]
    return _pack(
        _SEGMENT, segment.origin, sequence, (steps, segment.obs.shape[1], n_actions, segment.lane), segment.start, parts
    )


def encode_rollout(rollout: Rollout, sequence: int) -> bytes:
    """An imagined rollout as bytes; `sequence` counts the sender's messages."""
    horizon, n_actions = rollout.avail.shape
    parts = [
        rollout.deter.astype("<f4").tobytes(),
        rollout.stoch.astype(np.uint8).tobytes(),
        np.packbits(rollout.avail, axis=-1).tobytes(),
        rollout.logits.astype("<f4").tobytes(),
        rollout.action.astype(_action_type(n_actions)).tobytes(),
        rollout.reward.astype("<f4").tobytes(),
        rollout.discount.astype("<f4").tobytes(),
        rollout.weight.astype("<f4").tobytes(),
    ]
    sizes = (horizon, rollout.deter.shape[1], rollout.stoch.shape[1], n_actions)
    return _pack(_ROLLOUT, rollout.origin, sequence, sizes, 0, parts)


class _Reader:
    """Takes arrays off a checked message one after the other."""

    def __init__(self, message: bytes, kind: int) -> None:
        if len(message) < _HEADER.size + _CHECKSUM:
            raise ValueError(f"a message of {len(message)} bytes is shorter than its header")
        body, checksum = message[:-_CHECKSUM], message[-_CHECKSUM:]
        if hashlib.blake2b(body, digest_size=_CHECKSUM).digest() != checksum:
            raise ValueError("a message's checksum does not match its bytes: it was damaged on the way")
        magic, version, got, role, agent, episode, self.sequence, *self.sizes, self.start = _HEADER.unpack_from(body)
        if magic != MAGIC or version != VERSION or got != kind or role >= len(_ROLES):
            raise ValueError(
                f"expected a message {MAGIC!r} version {VERSION} kind {kind}; got {magic!r} {version} {got} role {role}"
            )
        self.origin = Origin(agent, _ROLES[role], episode)
        self._body, self._at = body, _HEADER.size

    def take(self, dtype: str | type[np.generic], *shape: int) -> NDArray[np.generic]:
        """The next array of this type and shape, as a copy that nobody else holds."""
        kind = np.dtype(dtype)
        end = self._at + kind.itemsize * int(np.prod(shape))
        if end > len(self._body):
            raise ValueError(f"a message ends at byte {len(self._body)}; its header announces at least {end}")
        out = np.frombuffer(self._body[self._at : end], kind).reshape(shape).copy()
        self._at = end
        return out

    def mask(self, rows: int, n_actions: int) -> NDArray[np.bool_]:
        """The next mask (rows, n_actions)."""
        packed = self.take(np.uint8, rows, _mask_bytes(n_actions))
        return np.unpackbits(np.asarray(packed, np.uint8), axis=-1, count=n_actions).astype(np.bool_)

    def finish(self) -> None:
        """Nothing may be left over."""
        if self._at != len(self._body):
            raise ValueError(f"a message has {len(self._body)} bytes; its header announces {self._at}")


def _floats(reader: _Reader, *shape: int) -> NDArray[np.float32]:
    return reader.take("<f4", *shape).astype(np.float32)


def decode_segment(message: bytes) -> Segment:
    """The segment in a message. ValueError for a damaged, truncated or foreign one."""
    reader = _Reader(message, _SEGMENT)
    steps, obs_size, n_actions, lane = reader.sizes
    obs, reward = _floats(reader, steps, obs_size), _floats(reader, steps)
    terminal, is_first = reader.take(np.uint8, 2, steps).astype(np.bool_)
    prev_action = reader.take(_action_type(n_actions), steps).astype(np.int64)
    avail = reader.mask(steps, n_actions)
    reader.finish()
    return Segment(reader.origin, lane, reader.start, obs, prev_action, reward, terminal, is_first, avail)


def decode_rollout(message: bytes) -> Rollout:
    """The rollout in a message. ValueError for a damaged, truncated or foreign one."""
    reader = _Reader(message, _ROLLOUT)
    horizon, deter, groups, n_actions = reader.sizes
    states = _floats(reader, horizon + 1, deter), reader.take(np.uint8, horizon + 1, groups).astype(np.uint8)
    avail = reader.mask(horizon, n_actions)
    logits = _floats(reader, horizon, n_actions)
    action = reader.take(_action_type(n_actions), horizon).astype(np.int64)
    reward, discount, weight = (_floats(reader, horizon) for _ in range(3))
    reader.finish()
    return Rollout(reader.origin, *states, avail, logits, action, reward, discount, weight)


def origin_of(message: bytes) -> Origin:
    """Who made the item of a message, read off its header. ValueError if there is none."""
    if len(message) < _HEADER.size:
        raise ValueError(f"a message of {len(message)} bytes is shorter than its header")
    _, _, _, role, agent, episode, *_ = _HEADER.unpack_from(message)
    if role >= len(_ROLES):
        raise ValueError(f"a message has role {role}; roles are numbered below {len(_ROLES)}")
    return Origin(agent, _ROLES[role], episode)


def scramble(message: bytes, rng: np.random.Generator) -> bytes:
    """The same message with its observations (of a segment) or latent states (of a rollout) in a random order."""
    if _HEADER.unpack_from(message)[2] == _SEGMENT:
        segment = decode_segment(message)
        order = rng.permutation(len(segment))
        return encode_segment(replace(segment, obs=segment.obs[order]), sequence_of(message))
    rollout = decode_rollout(message)
    order = rng.permutation(len(rollout) + 1)
    mixed = replace(rollout, deter=rollout.deter[order], stoch=rollout.stoch[order])
    return encode_rollout(mixed, sequence_of(message))


def sequence_of(message: bytes) -> int:
    """The sender's sequence number of a message."""
    return int(_HEADER.unpack_from(message)[6])
