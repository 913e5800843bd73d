"""Learners of the tests of teams, which worker processes must be able to import."""

import os
import time
from pathlib import Path

import numpy as np

MEMBERS = ((0,), (1,), (2,))


class Walker:
    """Adds random numbers of its own generator; dies or raises when called to."""

    def __init__(self, index: int) -> None:
        self.index, self.generator, self.total = index, np.random.default_rng(index), 0.0

    def walk(self, by: float, *, scale: float) -> float:
        """One random step."""
        self.total += scale * by * float(self.generator.normal())
        return self.total

    def walk_far(self, by: np.ndarray) -> np.ndarray:
        """Random steps of many walkers at once; the array is too large for a message of Ray."""
        return by + self.generator.normal(size=by.shape)

    def fail(self, who: int) -> None:
        """Raise in one learner."""
        if who == self.index:
            raise ValueError("out of luck")

    def sleep(self) -> None:
        """Be busy."""
        time.sleep(60.0)

    def die(self, who: int) -> None:
        """End one worker."""
        if who == self.index:
            os._exit(7)

    def die_in_update(self, who: int, diary: Path) -> None:
        """Note that an update has begun; end one worker in the middle of it."""
        with diary.open("a") as file:
            file.write(f"{self.index}\n")
        self.die(who)


def nothing() -> None:
    """No preparation."""
