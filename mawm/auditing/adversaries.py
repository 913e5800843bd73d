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


Harm = Callable[[list[Segment], list[Segment]], list[Segment]]
"""Changes the explorers' segments of a round (the first argument); the second one are the primary's segments."""


def harmful(explorers: Explorers, primary: list[Segment], harm: Harm, first_round: int = 1) -> Explore:
    """Explorers whose segments `harm` changes from a round on."""
    explore, rounds = explorers.explore, 0

    def explored(steps: int) -> list[Segment]:
        nonlocal rounds
        rounds += 1
        segments = explore(steps)
        return harm(segments, primary) if rounds >= first_round else segments

    return explored


def _filled(segments: list[Segment], primary: list[Segment], value: float) -> list[Segment]:
    return [replace(s, obs=np.full_like(s.obs, value), reward=np.full_like(s.reward, value)) for s in segments]


def _with_role(segments: list[Segment], role: Role) -> list[Segment]:
    return [replace(segment, origin=replace(segment.origin, role=role)) for segment in segments]


def _crash(segments: list[Segment], primary: list[Segment]) -> list[Segment]:
    raise RuntimeError("an explorer's crash, injected by the audit")


def _hang(segments: list[Segment], primary: list[Segment]) -> list[Segment]:
    time.sleep(3600)
    return segments


plain = partial(harmful, harm=lambda segments, primary: segments)
"""Explorers without a change."""
ADVERSARIES: dict[str, Callable[[Explorers, list[Segment]], Explore]] = {
    "explorers": plain,
    "values of 1e9": partial(harmful, harm=partial(_filled, value=1e9)),
    "all NaN": partial(harmful, harm=partial(_filled, value=float("nan"))),
    "copies of primary rows": partial(harmful, harm=lambda segments, primary: _with_role(primary[:16], Role.EXPLORER)),
    "100 times the rate": partial(harmful, harm=lambda segments, primary: segments * 100),
    "crash": partial(harmful, harm=_crash, first_round=WORST_ROUND),
    "hang": partial(harmful, harm=_hang, first_round=WORST_ROUND),
    "forged origin": partial(
        harmful, harm=lambda segments, primary: _with_role(segments, Role.PRIMARY), first_round=WORST_ROUND
    ),
}
"""By the name in the audit's table. Each takes the explorers and the primary's segments, and returns a new
`explore`."""
