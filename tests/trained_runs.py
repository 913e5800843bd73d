"""Trained runs without a folder: a team of any method with the weights that it begins with."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from mawm.build import make_team
from mawm.configs.presets import load_preset
from mawm.envs.registry import make_env
from mawm.methods import learner_names
from mawm.run_folder.checkpoint import Loaded
from mawm.team import InlineTeam
from mawm.trained.run import TrainedRun

GOLDEN = Path(__file__).parent / "golden/run-0.2.0"
"""A short run on 3m with the method `both`."""


def fresh_run(method: str) -> TrainedRun:
    """A team of three marines that has learned nothing, with small networks in float32."""
    config = replace(load_preset("debug"), method=method, precision="float32")
    with closing(make_env(config, "test", 1)) as env:
        spaces = env.spaces
    team = cast(InlineTeam, make_team(config, spaces, "cpu", "inline"))
    parts: dict[str, Any] = {
        f"learner_{name}": state for name, state in zip(learner_names(team.members), team.states(), strict=True)
    }
    return TrainedRun(config, Loaded(Path("none"), 0, parts), spaces, team)
