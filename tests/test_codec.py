"""Messages: what goes in comes out, sizes are known beforehand, damage is noticed."""

import numpy as np
import pytest

from mawm.codec import (
    decode_rollout,
    decode_segment,
    encode_rollout,
    encode_segment,
    rollout_bytes,
    segment_bytes,
    sequence_of,
)
from mawm.types import Origin, Role, Rollout, Segment

RNG = np.random.default_rng(0)


def reals(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def segment(steps: int = 5, obs: int = 7, actions: int = 9) -> Segment:
    flags = RNG.random((2, steps)) < 0.5
    return Segment(
        Origin(2, Role.EXPLORER, 70_000),
        3,
        40,
        reals(steps, obs),
        RNG.integers(0, actions, steps),
        reals(steps),
        flags[0],
        flags[1],
        RNG.random((steps, actions)) < 0.5,
    )


def rollout(horizon: int = 4, deter: int = 6, groups: int = 3, actions: int = 300) -> Rollout:
    return Rollout(
        Origin(1, Role.PRIMARY, 5),
        reals(horizon + 1, deter),
        RNG.integers(0, 256, (horizon + 1, groups)).astype(np.uint8),
        RNG.random((horizon, actions)) < 0.5,
        reals(horizon, actions),
        RNG.integers(0, actions, horizon),
        reals(horizon),
        reals(horizon),
        reals(horizon),
    )


def same(a: object, b: object) -> bool:
    return all(np.array_equal(value, vars(b)[name]) for name, value in vars(a).items())


def test_segment_round_trip_and_size() -> None:
    item = segment()
    message = encode_segment(item, 12)
    assert same(item, decode_segment(message)) and sequence_of(message) == 12
    assert len(message) == segment_bytes(5, 7, 9)


def test_rollout_round_trip_and_size() -> None:
    item = rollout()
    message = encode_rollout(item, 0)
    assert same(item, decode_rollout(message))
    assert len(message) == rollout_bytes(4, 6, 3, 300)


@pytest.mark.parametrize("at", [0, 4, 30, 60, -1])
def test_a_flipped_bit_is_noticed(at: int) -> None:
    message = bytearray(encode_segment(segment(), 0))
    message[at] ^= 1
    with pytest.raises(ValueError, match="checksum"):
        decode_segment(bytes(message))


@pytest.mark.parametrize("keep", [0, 10, 100])
def test_a_truncated_message_is_noticed(keep: int) -> None:
    with pytest.raises(ValueError, match="message"):
        decode_segment(encode_segment(segment(), 0)[:keep])


def test_a_message_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind"):
        decode_rollout(encode_segment(segment(), 0))
