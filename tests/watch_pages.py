"""Reads the data of a page that `mawm.watch` wrote, and makes one about an environment of plain numbers."""

import base64
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from drawn_env import Counting
from numpy.typing import NDArray

from mawm.build import make_team
from mawm.configs.train import TrainConfig
from mawm.envs.checked import CheckedEnv
from mawm.envs.pettingzoo import ParallelVectorEnv
from mawm.run_folder.checkpoint import Loaded
from mawm.run_folder.manifest import read_config
from mawm.trained.run import TrainedRun
from mawm.watching.packed import ALIGNMENT
from mawm.watching.page import watched
from mawm.watching.recording import play

GOLDEN = Path(__file__).parent / "golden/run-0.2.0"
"""A short run of `both` on 3m: three agents against three enemies."""


def unpacked(stored: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """The arrays of `packed`, by name."""
    data, at, found = zlib.decompress(base64.b64decode(stored["data"])), 0, {}
    for name, kind, shape in stored["arrays"]:
        count = int(np.prod(shape))
        found[name] = np.frombuffer(data, kind, count, at).reshape(shape)
        size = count * np.dtype(kind).itemsize
        at += size + -size % ALIGNMENT
    return found


def battles_of(text: str) -> list[dict[str, Any]]:
    """The battles in the text of a page, as `watched` made them."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    battles: list[dict[str, Any]] = json.loads(found[1])["battles"]
    return battles


def own_page(method: str = "both", render_mode: str | None = "rgb_array") -> dict[str, Any]:
    """The content of a page about an untrained team in an environment of plain numbers (`drawn_env`)."""
    env = CheckedEnv(ParallelVectorEnv(lambda: Counting(render_mode), 1, 0, 100), "counting")
    config: TrainConfig = replace(read_config(GOLDEN), method=method, map="drawn_env:Counting")
    team = make_team(config, env.spaces, "cpu", "inline")
    trained = TrainedRun(config, Loaded(GOLDEN, 0, {}), env.spaces, team)  # type: ignore[arg-type]
    return watched(trained, env, [next(play(trained, env, "sample", 0))], "sample", 0, 1)
