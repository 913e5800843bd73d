"""Team placements: the same numbers in one process or several; a failure names the agent."""

import os
import time

import numpy as np
import pytest

from mawm.team import InlineTeam, LearnerFailed, ProcessTeam, WorkerDied


class Walker:
    """Adds random numbers of its own generator; dies or raises when called to."""

    def __init__(self, index: int) -> None:
        self.index, self.generator, self.total = index, np.random.default_rng(index), 0.0

    def walk(self, by: float, *, scale: float) -> float:
        """One random step."""
        self.total += scale * by * float(self.generator.normal())
        return self.total

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


def nothing() -> None:
    """No preparation."""


MEMBERS = ((0,), (1,), (2,))


def test_process_team_equals_inline_team_and_failures_name_the_agent() -> None:
    inline, processes = InlineTeam(Walker, MEMBERS), ProcessTeam(Walker, MEMBERS, nothing)
    try:
        for by in (1.0, 2.0):
            assert inline.call(Walker.walk, [by] * 3, scale=0.1) == processes.call(Walker.walk, [by] * 3, scale=0.1)
        with pytest.raises(LearnerFailed, match=r"agent 1(.|\n)*out of luck"):
            processes.call(Walker.fail, [1] * 3)
    finally:
        processes.close()


def test_process_team_names_a_dead_worker_with_its_exit_code() -> None:
    team = ProcessTeam(Walker, MEMBERS[:2], nothing)
    try:
        with pytest.raises(WorkerDied, match=r"agent 1 died \(exit code 7\)"):
            team.call(Walker.die, [1] * 2)
    finally:
        team.close()


def test_process_team_close_at_once_does_not_wait_for_busy_workers() -> None:
    team = ProcessTeam(Walker, MEMBERS, nothing)
    for pipe in team._pipes:
        pipe.send(("sleep", [()], {}))
    began = time.monotonic()
    team.close(at_once=True)
    assert time.monotonic() - began < 20.0 and not any(process.is_alive() for process in team._processes)
