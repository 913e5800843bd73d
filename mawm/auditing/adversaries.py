"""Explorers that mean harm: each changes what plain ones do in a round."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mawm.gating.explorers import Explorers
from mawm.types import Origin, Role, Segment

Explore = Callable[[int], list[Segment]]
WORST_ROUND = 12
"""The round in which explorers crash, hang or forge."""


def plain(explorers: Explorers, primary: list[Segment]) -> Explore:
    """Explorers as they are."""
    return explorers.explore


def huge(explorers: Explorers, primary: list[Segment]) -> Explore:
    """Observations and rewards of 1e9."""
    explore = explorers.explore
    return lambda steps: [_filled(s, 1e9) for s in explore(steps)]


def not_a_number(explorers: Explorers, primary: list[Segment]) -> Explore:
    """All real numbers are NaN: whatever they flow into shows it."""
    explore = explorers.explore
    return lambda steps: [_filled(s, float("nan")) for s in explore(steps)]


def copies(explorers: Explorers, primary: list[Segment]) -> Explore:
    """Copies of the primary's own rows, under the explorers' name."""
    explore = explorers.explore

    def copied(steps: int) -> list[Segment]:
        explore(steps)
        return [replace(s, origin=replace(s.origin, role=Role.EXPLORER)) for s in primary[:16]]

    return copied


def flood(explorers: Explorers, primary: list[Segment]) -> Explore:
    """A hundred times as much."""
    explore = explorers.explore
    return lambda steps: explore(steps) * 100


def crash(explorers: Explorers, primary: list[Segment]) -> Explore:
    """An error in the middle of the run."""
    return _at_worst(explorers, _raise)


def hang(explorers: Explorers, primary: list[Segment]) -> Explore:
    """No answer in the middle of the run."""
    return _at_worst(explorers, _sleep)


def forge(explorers: Explorers, primary: list[Segment]) -> Explore:
    """Their rows under the primary's name."""
    return _at_worst(explorers, lambda segments: [_forged(s) for s in segments])


ADVERSARIES = {
    "explorers": plain,
    "values of 1e9": huge,
    "all NaN": not_a_number,
    "copies of primary rows": copies,
    "100 times the rate": flood,
    "crash": crash,
    "hang": hang,
    "forged origin": forge,
}
"""What the audit runs, by the name in its table."""


def _filled(segment: Segment, value: float) -> Segment:
    return replace(
        segment,
        obs=np.full_like(segment.obs, value, dtype=np.float32),
        reward=np.full_like(segment.reward, value, dtype=np.float32),
    )


def _forged(segment: Segment) -> Segment:
    return replace(segment, origin=Origin(segment.origin.agent, Role.PRIMARY, segment.origin.episode))


def _sleep(segments: list[Segment]) -> list[Segment]:
    time.sleep(3600)
    return segments


def _raise(segments: list[Segment]) -> list[Segment]:
    raise RuntimeError("an explorer's crash, as the audit ordered")


def _at_worst(explorers: Explorers, worst: Callable[[list[Segment]], list[Segment]]) -> Explore:
    explore, rounds = explorers.explore, 0

    def explored(steps: int) -> list[Segment]:
        nonlocal rounds
        rounds += 1
        segments = explore(steps)
        return worst(segments) if rounds >= WORST_ROUND else segments

    return explored
