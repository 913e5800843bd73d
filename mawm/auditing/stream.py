"""The primary's stream D_L: a recorder for a collector, and a playback in place of a collector."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.collect import Collector
from mawm.types import Metrics, Segment

Round = tuple[list[list[Segment]], int]
"""The segments of each learner in a round, and the environment steps at its end."""

FIELDS = ("obs", "prev_action", "reward", "terminal", "is_first", "avail")


class Recorder:
    """A collector that records its segments. It makes their arrays read-only, so that nothing writes into D_L."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self.rounds: list[Round] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.collector, name)

    def collect(self, vector_steps: int, mode: str) -> list[list[Segment]]:
        """Play, record, return the segments."""
        segments = self.collector.collect(vector_steps, mode)
        for segment in (s for own in segments for s in own):
            for name in FIELDS:
                getattr(segment, name).setflags(write=False)
        self.rounds.append((segments, self.collector.env_steps))
        return segments


class Playback:
    """Replaces a collector and returns the recorded rounds, independently of the policy."""

    def __init__(self, rounds: list[Round]) -> None:
        self.rounds = rounds
        self.played = 0

    @property
    def env_steps(self) -> int:
        """Environment steps of the rounds returned so far."""
        return self.rounds[self.played - 1][1] if self.played else 0

    def collect(self, vector_steps: int, mode: str) -> list[list[Segment]]:
        """The next round of the recording."""
        self.played += 1
        return self.rounds[self.played - 1][0]

    def share_won(self) -> float:
        """Not recorded."""
        return 0.0

    def metrics(self) -> Metrics:
        """Not recorded."""
        return {}

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """The number of rounds returned so far."""
        return {"played": np.array([self.played])}, {}


def first_difference(one: list[Round], other: list[Round]) -> int | None:
    """The first round in which two streams differ; None if they are bitwise equal."""
    if len(one) != len(other):
        return min(len(one), len(other))
    for i, ((a, _), (b, _)) in enumerate(zip(one, other, strict=True)):
        if _bytes(a) != _bytes(b):
            return i
    return None


def _bytes(segments: list[list[Segment]]) -> list[list[tuple[Any, ...]]]:
    return [
        [(s.origin, s.lane, s.start, *(getattr(s, name).tobytes() for name in FIELDS)) for s in own] for own in segments
    ]
