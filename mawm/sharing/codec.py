"""Encodes items as bytes: a versioned header, plain arrays, a checksum. No pickle.

Layout, little-endian: magic "MAWM", version, kind, role, format of real numbers, agent, episode, sequence number, four
sizes, one more integer (a segment's start, or a rollout's number of classes); then the arrays in a fixed order; then
BLAKE2b-64 of all bytes before it. An action takes one or two bytes, a mask one bit per action, a latent group as many
bits as its number of classes needs. `Wire` is the format of real numbers; every message states it.
"""

import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mawm.types import ROLES, Origin, Rollout, Segment

MAGIC = b"MAWM"
VERSION = 2
_HEADER = struct.Struct("<4sBBBBiqqIIIIi")
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

    def stored(self, form: str) -> np.dtype[Any]:
        """The type of the stored numbers of an array's form (`_fields`)."""
        wide = self.reals == "float32"
        named = {"real": "<f4" if wide else "<f2", "deter": "<f4" if wide else "i1", "latent": "u1", "mask": "u1"}
        return np.dtype(named.get(form, form))

    def stored_shape(self, form: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the stored numbers of an array: bits are packed, those of a mask (rows, n_actions) by rows."""
        if form == "latent":
            return (-(-math.prod(shape) * self.latent_bits // 8),)
        return (shape[0], -(-shape[1] // 8)) if form == "mask" else shape

    def bytes_of(self, form: str, shape: tuple[int, ...]) -> int:
        """The number of bytes of an array."""
        return self.stored(form).itemsize * math.prod(self.stored_shape(form, shape))

    def packed(self, form: str, values: NDArray[Any]) -> bytes:
        """An array as bytes."""
        if form == "mask":
            values = np.packbits(values, axis=-1)
        elif form == "latent":  # the whole array packed together
            bits = np.unpackbits(values.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - self.latent_bits :]
            values = np.packbits(bits)
        elif form == "real" and self.reals == "float16":
            values = np.clip(values, -_LARGEST_HALF, _LARGEST_HALF)
        elif form == "deter" and self.reals == "float16":
            values = np.rint(np.clip(values, -1.0, 1.0) * _DETER_STEPS)
        return values.astype(self.stored(form)).tobytes()

    def unpacked(self, form: str, data: bytes, shape: tuple[int, ...]) -> NDArray[Any]:
        """The array of this form and shape in `data`, as a copy."""
        stored = np.frombuffer(data, self.stored(form)).reshape(self.stored_shape(form, shape))
        if form == "mask":
            return np.unpackbits(stored, axis=-1, count=shape[1]).astype(np.bool_)
        if form == "latent":
            bits = self.latent_bits
            places = np.unpackbits(stored, count=math.prod(shape) * bits).reshape(*shape, bits)
            classes: NDArray[Any] = (places << np.arange(bits - 1, -1, -1, dtype=np.uint8)).sum(-1, dtype=np.uint8)
            return classes
        if form in ("real", "deter"):
            reals = stored.astype(np.float32)
            return reals / np.float32(_DETER_STEPS) if stored.dtype == np.int8 else reals
        return stored.astype(np.bool_ if form == "?" else np.int64)


Fields = tuple[tuple[str, str, tuple[int, ...]], ...]


def _fields(kind: int, sizes: Sequence[int]) -> Fields:
    """The arrays of a message in their order: name, form and shape.

    Forms: "real" numbers, deterministic states ("deter"), class indices ("latent"), a "mask" (rows, n_actions), or the
    name of a numpy type.
    """
    action = "u1" if sizes[2 if kind == _SEGMENT else 3] <= 256 else "<u2"
    if kind == _SEGMENT:
        steps, obs_size, n_actions, _ = sizes
        return (
            ("obs", "real", (steps, obs_size)), ("reward", "real", (steps,)), ("terminal", "?", (steps,)),
            ("is_first", "?", (steps,)), ("prev_action", action, (steps,)), ("avail", "mask", (steps, n_actions)),
        )  # fmt: skip
    horizon, deter, groups, n_actions = sizes
    return (
        ("deter", "deter", (horizon + 1, deter)), ("stoch", "latent", (horizon + 1, groups)),
        ("avail", "mask", (horizon, n_actions)), ("logits", "real", (horizon, n_actions)),
        ("action", action, (horizon,)), ("reward", "real", (horizon,)), ("discount", "real", (horizon,)),
        ("weight", "real", (horizon,)),
    )  # fmt: skip


def _length(kind: int, sizes: Sequence[int], wire: Wire) -> int:
    arrays = sum(wire.bytes_of(form, shape) for _, form, shape in _fields(kind, sizes))
    return _HEADER.size + arrays + _CHECKSUM


def segment_bytes(steps: int, obs_size: int, n_actions: int, wire: Wire) -> int:
    """Length of an encoded segment, without encoding it."""
    return _length(_SEGMENT, (steps, obs_size, n_actions, 0), wire)


def rollout_bytes(horizon: int, deter: int, groups: int, n_actions: int, wire: Wire) -> int:
    """Length of an encoded rollout, without encoding it."""
    return _length(_ROLLOUT, (horizon, deter, groups, n_actions), wire)


def _encoded(kind: int, item: Segment | Rollout, sequence: int, sizes: tuple[int, ...], last: int, wire: Wire) -> bytes:
    origin, reals = item.origin, _REALS.index(wire.reals)
    numbers = (kind, ROLES.index(origin.role), reals, origin.agent, origin.episode, sequence, *sizes, last)
    parts = [wire.packed(form, getattr(item, name)) for name, form, _ in _fields(kind, sizes)]
    body = _HEADER.pack(MAGIC, VERSION, *numbers) + b"".join(parts)
    return body + hashlib.blake2b(body, digest_size=_CHECKSUM).digest()


def encode_segment(segment: Segment, sequence: int, wire: Wire) -> bytes:
    """A segment as bytes; `sequence` counts the sender's messages."""
    sizes = (*segment.obs.shape, segment.avail.shape[1], segment.lane)
    return _encoded(_SEGMENT, segment, sequence, sizes, segment.start, wire)


def encode_rollout(rollout: Rollout, sequence: int, wire: Wire) -> bytes:
    """An imagined rollout as bytes; `sequence` counts the sender's messages."""
    horizon, n_actions = rollout.avail.shape
    sizes = (horizon, rollout.deter.shape[1], rollout.stoch.shape[1], n_actions)
    return _encoded(_ROLLOUT, rollout, sequence, sizes, wire.classes, wire)


def _decoded(message: bytes, kind: int) -> tuple[Origin, list[int], int, dict[str, Any]]:
    """Origin, sizes, last integer and arrays of a message. ValueError if it is damaged, or of another kind."""
    if len(message) < _HEADER.size + _CHECKSUM:
        raise ValueError(f"a message of {len(message)} bytes is shorter than its header")
    body, checksum = message[:-_CHECKSUM], message[-_CHECKSUM:]
    if hashlib.blake2b(body, digest_size=_CHECKSUM).digest() != checksum:
        raise ValueError("a message is damaged: its checksum does not match its bytes")
    magic, version, got, role, reals, agent, episode, _, *sizes, last = _HEADER.unpack_from(body)
    if (magic, version, got) != (MAGIC, VERSION, kind) or role >= len(ROLES) or reals >= len(_REALS):
        raise ValueError(
            f"expected a message {MAGIC!r} version {VERSION} kind {kind}; "
            f"got {magic!r} {version} {got} role {role} numbers {reals}"
        )
    if kind == _ROLLOUT and not 1 <= last <= 256:
        raise ValueError(f"a rollout's latents have {last} classes; the number must be in [1, 256]")
    wire, at = wire_of(message), _HEADER.size
    needed = _length(kind, sizes, wire)
    if needed != len(message):
        raise ValueError(f"a message has {len(message)} bytes; its header needs {needed}")
    arrays: dict[str, Any] = {}
    for name, form, shape in _fields(kind, sizes):
        end = at + wire.bytes_of(form, shape)
        arrays[name], at = wire.unpacked(form, body[at:end], shape), end
    return Origin(agent, ROLES[role], episode), sizes, last, arrays


def decode_segment(message: bytes) -> Segment:
    """The segment in a message. ValueError for a damaged or truncated message, or one of another kind."""
    origin, sizes, start, arrays = _decoded(message, _SEGMENT)
    return Segment(origin, sizes[3], start, **arrays)


def decode_rollout(message: bytes) -> Rollout:
    """The rollout in a message. ValueError for a damaged or truncated message, or one of another kind."""
    origin, _, _, arrays = _decoded(message, _ROLLOUT)
    return Rollout(origin, **arrays)


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
