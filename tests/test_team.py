"""Team placements: the same numbers in one process or several; a failure names the agent."""

import time

import pytest
from walkers import MEMBERS, Walker, nothing

from mawm.team import InlineTeam, LearnerFailed, ProcessTeam, WorkerDied


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
