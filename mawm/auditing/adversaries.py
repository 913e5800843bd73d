"""Harmful explorers for the audit: each replaces `Explorers.explore` by a version that does harm."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from mawm.gating.explorers import Explorers
from mawm.types import Role, Segment

Explore = Callable[[int], list[Segment]]
WORST_ROUND = 12
"""From this round on explorers crash, hang or forge."""


def plain(explorers: Explorers, primary: list[Segment]) -> Explore:
    """Explorers without a change."""
    return explorers.explore


def _filled(explorers: Explorers, primary: list[Segment], value: float) -> Explore:
    """All observations and rewards have one value."""
    explore = explorers.explore

    def fill(segment: Segment) -> Segment:
        obs = np.full_like(segment.obs, value, dtype=np.float32)
        return replace(segment, obs=obs, reward=np.full_like(segment.reward, value, dtype=np.float32))

    return lambda steps: [fill(segment) for segment in explore(steps)]


def _copies(explorers: Explorers, primary: list[Segment]) -> Explore:
    """Copies of the primary's rows with the explorers' role."""
    explore = explorers.explore

    def copied(steps: int) -> list[Segment]:
        explore(steps)
        return [_with_role(segment, Role.EXPLORER) for segment in primary[:16]]

    return copied


def _flood(explorers: Explorers, primary: list[Segment]) -> Explore:
    """A hundred times as many segments."""
    explore = explorers.explore
    return lambda steps: explore(steps) * 100


def _from_worst_round(
    explorers: Explorers, primary: list[Segment], harm: Callable[[list[Segment]], list[Segment]]
) -> Explore:
    """`harm` changes the segments from round `WORST_ROUND` on."""
    explore, rounds = explorers.explore, 0

    def explored(steps: int) -> list[Segment]:
        nonlocal rounds
        rounds += 1
        segments = explore(steps)
        return harm(segments) if rounds >= WORST_ROUND else segments

    return explored


def _crash(segments: list[Segment]) -> list[Segment]:
    raise RuntimeError("an explorer's crash, injected by the audit")


def _hang(segments: list[Segment]) -> list[Segment]:
    time.sleep(3600)
    return segments


def _forge(segments: list[Segment]) -> list[Segment]:
    return [_with_role(segment, Role.PRIMARY) for segment in segments]


def _with_role(segment: Segment, role: Role) -> Segment:
    return replace(segment, origin=replace(segment.origin, role=role))


ADVERSARIES: dict[str, Callable[[Explorers, list[Segment]], Explore]] = {
    "explorers": plain,
    "values of 1e9": partial(_filled, value=1e9),
    "all NaN": partial(_filled, value=float("nan")),
    "copies of primary rows": _copies,
    "100 times the rate": _flood,
    "crash": partial(_from_worst_round, harm=_crash),
    "hang": partial(_from_worst_round, harm=_hang),
    "forged origin": partial(_from_worst_round, harm=_forge),
}
"""By the name in the audit's table. Each takes the explorers and the primary's segments, and returns a new
`explore`."""
