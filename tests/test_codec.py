"""Encoded messages: round trips, sizes known beforehand, damage detected."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mawm.sharing.codec import (
    Wire,
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
EXACT, HALF = Wire("float32"), Wire("float16")


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
        np.tanh(reals(horizon + 1, deter)),
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
    message = encode_segment(item, 12, EXACT)
    assert same(item, decode_segment(message)) and sequence_of(message) == 12
    assert len(message) == segment_bytes(5, 7, 9, EXACT)


def test_rollout_round_trip_and_size() -> None:
    item = rollout()
    message = encode_rollout(item, 0, EXACT)
    assert same(item, decode_rollout(message))
    assert len(message) == rollout_bytes(4, 6, 3, 300, EXACT)


def test_half_floats_take_half_the_bytes_within_the_documented_error() -> None:
    lived, dreamed = segment(), rollout()
    messages = encode_segment(lived, 0, HALF), encode_rollout(dreamed, 0, HALF)
    assert [len(m) for m in messages] == [segment_bytes(5, 7, 9, HALF), rollout_bytes(4, 6, 3, 300, HALF)]
    back, told = decode_segment(messages[0]), decode_rollout(messages[1])
    for name in ("prev_action", "terminal", "is_first", "avail"):
        assert np.array_equal(getattr(lived, name), getattr(back, name))
    for name in ("stoch", "avail", "action"):
        assert np.array_equal(getattr(dreamed, name), getattr(told, name))
    assert 0 < np.abs(lived.obs - back.obs).max() <= 2**-11 * np.abs(lived.obs).max()
    assert 0 < np.abs(dreamed.deter - told.deter).max() <= 0.5 / 127 + 1e-6
    assert told.logits.dtype == back.obs.dtype == np.float32


def test_half_floats_clip_large_values_to_finite() -> None:
    item = segment()
    item.obs[0, :2] = 1e9, -1e9
    assert decode_segment(encode_segment(item, 0, HALF)).obs[0, :2].tolist() == [65504.0, -65504.0]


def test_rollout_of_paper_sizes_takes_at_most_8_kb_with_half_floats() -> None:
    # By hand, 15 steps, 9 actions: header 48, checksum 8; 16 states of 256 units; 16 x 32 latents of 5 bits; 15 steps
    # of a mask (2), 9 logits and 3 numbers (24), an action (1).
    wire = Wire("float16", classes=32)
    assert rollout_bytes(15, 256, 32, 9, wire) == 48 + 8 + 16 * 256 + 16 * 32 * 5 // 8 + 15 * (2 + 24 + 1) <= 8000
    # A segment of 3m: 20 steps of 30 numbers and a reward, two flags, an action, a mask.
    assert segment_bytes(20, 30, 9, wire) == 56 + 20 * (2 * 31 + 2 + 1 + 2)
    assert segment_bytes(20, 30, 9, EXACT) == 56 + 20 * (4 * 31 + 2 + 1 + 2)


@given(classes=st.integers(2, 256), rows=st.integers(1, 5), groups=st.integers(1, 7), seed=st.integers(0, 99))
def test_latent_round_trip_for_any_number_of_classes(classes: int, rows: int, groups: int, seed: int) -> None:
    item, wire = rollout(rows, 6, groups, 9), Wire("float16", classes)
    item.stoch[:] = np.random.default_rng(seed).integers(0, classes, item.stoch.shape)
    item.stoch[0, 0] = classes - 1
    message = encode_rollout(item, 0, wire)
    assert np.array_equal(decode_rollout(message).stoch, item.stoch)
    assert len(message) == rollout_bytes(rows, 6, groups, 9, wire)


@pytest.mark.parametrize("at", [0, 4, 30, 60, -1])
def test_flipped_bit_in_a_message_is_detected(at: int) -> None:
    message = bytearray(encode_segment(segment(), 0, EXACT))
    message[at] ^= 1
    with pytest.raises(ValueError, match="checksum"):
        decode_segment(bytes(message))


@pytest.mark.parametrize("keep", [0, 10, 100])
def test_truncated_message_is_detected(keep: int) -> None:
    with pytest.raises(ValueError, match="message"):
        decode_segment(encode_segment(segment(), 0, EXACT)[:keep])


def test_message_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind"):
        decode_rollout(encode_segment(segment(), 0, EXACT))
