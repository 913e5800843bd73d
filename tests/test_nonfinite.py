"""Updates with non-finite losses are skipped, reported and saved; ten in a row stop the run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from real_runs import Figure

from mawm.agents.agent import Agent
from mawm.auditing.stream import Playback, Recorder
from mawm.build import make_run, make_team
from mawm.configs.presets import load_preset
from mawm.configs.train import TrainConfig
from mawm.envs.registry import make_env
from mawm.gating.build import make_explorer_hook
from mawm.loop import Run, round_
from mawm.nonfinite import Diverged
from mawm.storage.safe_read import read_tensors
from mawm.team import InlineTeam

ROUNDS, LONG = 20, 40
"""Rounds with more than three updates of each network, and with more than ten."""


def independent() -> TrainConfig:
    return replace(load_preset("debug"), method="independent", env_steps=10_000)


def started(folder: Path) -> tuple[Run, list[Agent]]:
    folder.mkdir(exist_ok=True)
    config = independent()
    env = make_env(config, "train", config.schedule.battles)
    team = make_team(config, env.spaces, "cpu", "inline")
    assert isinstance(team, InlineTeam)
    run = make_run(config, env, team, make_explorer_hook(config, env.spaces), folder, lambda *_: None, None)
    for writer in run.writers:
        writer.close()  # nothing is logged here
    return run, team.learners


def spoil(step: Callable[..., float], times: int) -> Callable[..., float]:
    """Wrap an optimiser's step so that the loss of the first `times` calls is NaN or Inf."""
    left = [times]

    def spoilt(loss: torch.Tensor, *more: Any) -> float:
        left[0] -= 1
        bad = float("nan") if left[0] % 2 else float("inf")
        return step(loss * bad if left[0] >= 0 else loss, *more)

    return spoilt


def numbers(agent: Agent) -> dict[str, bytes]:
    arrays, _ = agent.state()
    return {name: array.tobytes() for name, array in arrays.items() if name.startswith(("weights/", "optimiser/"))}


@pytest.mark.parametrize("what", ["world_model", "actor", "critic"])
def test_non_finite_update_is_skipped_reported_and_saved(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], figure: Figure
) -> None:
    run, agents = started(tmp_path)
    optimiser = {
        "world_model": agents[1].model_trainer.optimiser,
        "actor": agents[1].actor_critic.actor_opt,
        "critic": agents[1].actor_critic.critic_opt,
    }[what]
    optimiser.step = spoil(optimiser.step, 3)  # type: ignore[method-assign]
    for _ in range(ROUNDS):
        round_(run)
    arrays, rest = agents[1].state()
    assert rest["skipped"][what][0] == 3
    assert all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f")
    assert np.isfinite(list(rest["exploration"].values())).all()
    said = capsys.readouterr().err
    assert (
        "agent_1: " in said and f"of its {what} in a row were not finite" in said and "parameters are as before" in said
    )
    kept = sorted(tmp_path.glob(f"incident-*-agent_1-{what}.safetensors"))
    assert kept and str(kept[0]) in said
    assert ("obs" if what == "world_model" else "advantage") in read_tensors(kept[0])
    figure("losses of NaN and Inf in world model, actor and critic", "left out, told, kept; no number was spoilt")


def test_ten_non_finite_updates_in_a_row_stop_the_run(tmp_path: Path) -> None:
    run, agents = started(tmp_path)
    optimiser = agents[2].model_trainer.optimiser
    optimiser.step = spoil(optimiser.step, 10**6)  # type: ignore[method-assign]
    before = agents[2].state()[0]["weights/world_model/rssm.recurrent.weight"].copy()
    with pytest.raises(
        Diverged, match=r"agent_2: \d+ update\(s\) of its world_model in a row .* Try a lower learning rate"
    ):
        for _ in range(LONG):
            round_(run)
    assert np.array_equal(agents[2].state()[0]["weights/world_model/rssm.recurrent.weight"], before)


def test_non_finite_update_does_not_change_other_agents(tmp_path: Path) -> None:
    """Both runs play back the battles of a third one, so that they differ by the fault only."""
    recorded, _ = started(tmp_path / "a")
    recorder = Recorder(recorded.collector)
    recorded.collector = recorder  # type: ignore[assignment]
    for _ in range(ROUNDS):
        round_(recorded)
    states = []
    for folder, times in (("b", 0), ("c", 3)):
        run, agents = started(tmp_path / folder)
        run.collector = Playback(recorder.rounds)  # type: ignore[assignment]
        agents[1].model_trainer.optimiser.step = spoil(agents[1].model_trainer.optimiser.step, times)  # type: ignore[method-assign]
        for _ in range(ROUNDS):
            round_(run)
        states.append([numbers(agent) for agent in agents])
    assert states[0][0] == states[1][0] and states[0][2] == states[1][2] and states[0][1] != states[1][1]
