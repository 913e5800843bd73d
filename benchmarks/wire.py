"""Sizes of both kinds of message for each wire, compared with float32 in the same run."""

import timeit
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np

from mawm.configs.train import TrainConfig
from mawm.envs.registry import make_env
from mawm.estimates import random_segment
from mawm.sharing.codec import Wire, decode_rollout, decode_segment, encode_rollout, encode_segment
from mawm.types import Origin, Role, Rollout, Segment

REPEATS = 200
SHOWN = {Segment: ("obs", "reward"), Rollout: ("deter", "logits")}
"""Fields whose largest errors are measured."""
WIRES: tuple[Literal["float32", "float16"], ...] = ("float32", "float16")


def measure(config: TrainConfig, map_name: str) -> list[dict[str, Any]]:
    """One row for each kind of message and wire: bytes, their ratio to float32, largest errors, microseconds."""
    with closing(make_env(replace(config, map=map_name), "test", 1)) as env:
        spaces = env.spaces
    model, horizon = config.agent.world_model, config.agent.behaviour.horizon
    rng = np.random.default_rng(0)
    segment = random_segment(rng, spaces, model.seq_len)
    rollout = _rollout(rng, horizon, (model.deter, model.groups, model.classes), spaces.n_actions)
    rows: list[dict[str, Any]] = []
    for reals in WIRES:
        wire = Wire(reals, model.classes)
        rows.append(_row(reals, segment, partial(encode_segment, segment, 0, wire), decode_segment))
        rows.append(_row(reals, rollout, partial(encode_rollout, rollout, 0, wire), decode_rollout))
    plain = {row["message"]: row["bytes"] for row in rows if row["wire"] == "float32"}
    return [{"map": map_name, **row, "float32_over_this": plain[row["message"]] / row["bytes"]} for row in rows]


def _row(reals: str, item: Any, encode: Callable[[], bytes], decode: Callable[[bytes], Any]) -> dict[str, Any]:
    message = encode()
    decoded = decode(message)
    errors = {
        f"{name}_error": float(np.abs(getattr(item, name) - getattr(decoded, name)).max()) for name in SHOWN[type(item)]
    }
    return {
        "message": type(item).__name__.lower(),
        "wire": reals,
        "bytes": len(message),
        **errors,
        "encode_us": _microseconds(encode),
        "decode_us": _microseconds(partial(decode, message)),
    }


def _rollout(rng: np.random.Generator, horizon: int, latent: tuple[int, int, int], n_actions: int) -> Rollout:
    deter, groups, classes = latent
    return Rollout(
        Origin(0, Role.PRIMARY, 0),
        rng.uniform(-1, 1, (horizon + 1, deter)).astype(np.float32),
        rng.integers(0, classes, (horizon + 1, groups)).astype(np.uint8),
        rng.random((horizon, n_actions)) < 0.5,
        rng.normal(size=(horizon, n_actions)).astype(np.float32),
        rng.integers(0, n_actions, horizon),
        *(rng.random(horizon).astype(np.float32) for _ in range(3)),
    )


def _microseconds(call: Callable[[], object]) -> float:
    return 1e6 * float(np.median(timeit.repeat(call, repeat=REPEATS, number=1)))
