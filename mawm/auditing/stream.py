"""The primary's stream D_L: recorded while a team plays, and played back in the collector's place."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.collect import Collector
from mawm.types import Metrics, Segment

Round = tuple[list[list[Segment]], int]
"""What each learner's agents lived through in a round, and the environment steps played by its end."""

FIELDS = ("obs", "prev_action", "reward", "terminal", "is_first", "avail")


class Recorder:
    """A collector that notes what it hands over. Arrays are read-only from then on: nobody may write into D_L."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self.rounds: list[Round] = []

    @property
    def env_steps(self) -> int:
        """Environment steps played."""
        return self.collector.env_steps

    def collect(self, vector_steps: int, mode: str) -> list[list[Segment]]:
        """Play, note, hand over."""
        lived = self.collector.collect(vector_steps, mode)
        for segment in (s for own in lived for s in own):
            for name in FIELDS:
                getattr(segment, name).setflags(write=False)
        self.rounds.append((lived, self.collector.env_steps))
        return lived

    def share_won(self) -> float:
        """The collector's."""
        return self.collector.share_won()

    def metrics(self) -> Metrics:
        """The collector's."""
        return self.collector.metrics()

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """The collector's."""
        return self.collector.state()


class Playback:
    """Stands in a collector's place and hands over what was recorded, round by round, whatever the policy is by now."""

    def __init__(self, rounds: list[Round]) -> None:
        self.rounds = rounds
        self.played = 0

    @property
    def env_steps(self) -> int:
        """Environment steps handed over."""
        return self.rounds[self.played - 1][1] if self.played else 0

    def collect(self, vector_steps: int, mode: str) -> list[list[Segment]]:
        """The next round of the recording."""
        self.played += 1
        return self.rounds[self.played - 1][0]

    def share_won(self) -> float:
        """Nothing is known of how it was played."""
        return 0.0

    def metrics(self) -> Metrics:
        """Nothing is known of how it was played."""
        return {}

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """How far it is."""
        return {"played": np.array([self.played])}, {}


def first_difference(one: list[Round], other: list[Round]) -> int | None:
    """The first round in which two streams differ; None if they are equal, bit for bit."""
    if len(one) != len(other):
        return min(len(one), len(other))
    for i, ((a, _), (b, _)) in enumerate(zip(one, other, strict=True)):
        if _bytes(a) != _bytes(b):
            return i
    return None


def _bytes(lived: list[list[Segment]]) -> list[list[tuple[Any, ...]]]:
    return [
        [(s.origin, s.lane, s.start, *(getattr(s, name).tobytes() for name in FIELDS)) for s in own] for own in lived
    ]
