"""The loop's calls follow the lines of Algorithms 1 and 2."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mawm.configs.train import ScheduleConfig
from mawm.loop import Run, round_
from mawm.nonfinite import NonFiniteWatch
from mawm.schedule import Schedule
from mawm.sharing.broadcast import Outbox
from mawm.sharing.channel import Channel
from mawm.team import Team
from mawm.types import Origin, Role


class Recorder(Team):
    """A team of two that records the calls and their arguments."""

    def __init__(self, trace: list[str]) -> None:
        super().__init__(((0,), (1,)))
        self.trace, self.heard = trace, {}

    def call(self, method: Callable[..., Any], *lists: Any, **shared: Any) -> list[Any]:
        """Record the call."""
        name = method.__name__
        self.trace.append(name)
        self.heard[name] = (lists, shared)
        if name.startswith("offer"):
            return [Outbox([name.encode() + bytes([i])]) for i in range(2)]
        return [{} if name.startswith(("fit", "admit")) else None] * 2


def test_round_calls_follow_algorithms_1_and_2() -> None:
    trace: list[str] = []
    team = Recorder(trace)

    def collect(steps: int, mode: str) -> list[list[str]]:
        trace.append(f"collect {steps} {mode}")
        return [["s0"], ["s1"]]

    plan = ScheduleConfig(prefill=0, warmup=3, round_steps=8)
    collector: Any = SimpleNamespace(env_steps=64, collect=collect, share_won=lambda: 0.25)
    names = ("agent_0", "agent_1")
    channel = Channel(1.0, (), names, lambda message: Origin(0, Role.PRIMARY, 0))
    explorer_hook: Any = SimpleNamespace(
        round=lambda team, steps, at: trace.append(f"explorers {steps} {at}") or {"out": 0.0}
    )
    watch = NonFiniteWatch(Path(), print)
    parts = (team, names, collector, channel, explorer_hook, Schedule(plan), [], print, print, print, watch, print)
    run = Run(1, plan, *parts)
    round_(run)
    assert trace == [
        "collect 8 sample",
        "remember",
        "offer_segments",
        "admit",
        "explorers 8 64",
        "fit_world_model",
        "imagine",
        "offer_rollouts",
        "fit_behaviour",
    ]
    assert team.heard["remember"][0] == ([["s0"], ["s1"]],)
    assert team.heard["admit"][0] == ([[b"offer_segments\x01"], [b"offer_segments\x00"]],)
    assert team.heard["fit_behaviour"] == (
        ([[b"offer_rollouts\x01"], [b"offer_rollouts\x00"]],),
        {"env_steps": 64, "share_won": 0.25},
    )
    assert team.heard["offer_segments"][1] == team.heard["offer_rollouts"][1] == {"env_steps": 64}
    assert team.heard["fit_world_model"][0] == ([3, 3],)
    assert team.heard["imagine"][0] == ([0, 0],)
    assert run.averages.flush()["explorers/out"] == 0.0


def test_schedule_owes_updates_per_environment_step_with_a_remainder() -> None:
    schedule = Schedule(ScheduleConfig(prefill=10, warmup=5, updates_per_step=0.3, updates_per_behaviour=2.0))
    assert schedule.mode(9) == "random" and schedule.mode(10) == "sample"
    assert schedule.due(9).model == 0 and schedule.due(10).model == 5
    updates = [schedule.due(steps) for steps in range(11, 111)]
    assert sum(u.model for u in updates) == pytest.approx(30, abs=1)
    assert sum(u.behaviour for u in updates) == pytest.approx(15, abs=1)
