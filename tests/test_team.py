"""Team placements: the same numbers in one process or several; a failure names the agent."""

import copy
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from resume_cases import close, config_of, play_round, start
from walkers import MEMBERS, Walker, nothing

from mawm.build import make_learner, make_run
from mawm.envs.registry import make_env
from mawm.gating.build import make_explorer_hook
from mawm.loop import Run
from mawm.team import InlineTeam, LearnerFailed, ProcessTeam, WorkerDied
from mawm.types import Segment


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


class FrozenTeam(InlineTeam):
    """Gives its learners read-only arrays, as Ray does."""

    def call(self, method: Callable[..., Any], *lists: Sequence[Any], **shared: Any) -> list[Any]:
        """Freeze the arguments, then call the method."""
        return super().call(method, *(frozen(copy.deepcopy(list(each))) for each in lists), **shared)


def frozen(node: Any) -> Any:
    """The same object, whose arrays are read-only."""
    if isinstance(node, np.ndarray):
        node.setflags(write=False)
    elif isinstance(node, dict):
        frozen(list(node.values()))
    elif isinstance(node, (list, tuple)):
        for each in node:
            frozen(each)
    elif isinstance(node, Segment):
        frozen(list(vars(node).values()))
    return node


@pytest.mark.parametrize("case", ["both", "ippo"])
def test_learners_do_not_write_into_the_arrays_they_are_given(case: str, tmp_path: Path) -> None:
    config = config_of(case)
    run = start(config, tmp_path / "run")
    spaces = run.collector.env.spaces
    make = partial(make_learner, config=config, spaces=spaces, device="cpu")
    env = make_env(config, "train", config.schedule.battles)
    team = FrozenTeam(make, run.team.members)
    other = make_run(config, env, team, make_explorer_hook(config, spaces), tmp_path, lambda *_: None, None)
    for _ in range(3):
        play_round(run)
        play_round(other)
        team.load_states(team.states())
    assert learned(run) == learned(other)
    close(run)
    close(other)


def learned(run: Run) -> list[bytes]:
    """All arrays of all learners' states."""
    return [array.tobytes() for arrays, _ in run.team.states() for _, array in sorted(arrays.items())]
