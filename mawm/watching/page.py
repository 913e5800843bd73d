"""Writes recorded battles as one HTML page that needs no network."""

import html
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from mawm import __version__
from mawm.agents.agent import Agent
from mawm.envs.skirmish.smacv2.vector import DrawnVectorEnv
from mawm.envs.skirmish.vector import SkirmishVectorEnv
from mawm.storage.atomic_files import write_whole
from mawm.watching.beliefs import belief_of
from mawm.watching.features import features_of
from mawm.watching.offers import offers_in, sharing_in_words, watch_selectors
from mawm.watching.packed import packed_agent, packed_battle
from mawm.watching.recording import Battle, EngineEnv, TrainedTeam, play, watched_env

MOST_BYTES = 900_000
"""Bytes of one battle's data in the page. Beliefs of further agents are left out when they do not fit."""
MOST_AHEAD = 15
"""Largest horizon of the imagined futures on the page. So the belief of one agent of the largest map always fits."""
SCRIPTS = ("data.js", "field.js", "panels.js", "player.js")


def watched(trained: TrainedTeam, battles: int, mode: str, seed: int, agent: int) -> dict[str, Any]:
    """The content of the page: facts of the run, and `battles` battles in which `agent` is shown first."""
    env = watched_env(trained.config, seed)
    watch_selectors(trained)
    recorded = play(trained, env, mode, seed)
    steps, shown = trained.env_steps, []
    for _ in range(battles):
        battle = next(recorded)
        steps += battle.steps
        shown.append(_battle(trained, env, battle, steps, agent))
    config = trained.config
    return {
        "map": Path(config.map).stem,
        "method": config.method,
        "trained": trained.env_steps,
        "mode": mode,
        "seed": seed,
        "agent": agent,
        "agents": env.spaces.n_agents,
        "limit": env.spaces.episode_limit,
        "horizon": horizon_of(trained),
        "sharing": sharing_in_words(trained),
        "model": bool(trained.world_models),
        "terrain": terrain(env),
        "battles": shown,
    }


def _battle(trained: TrainedTeam, env: EngineEnv, battle: Battle, env_steps: int, first: int) -> dict[str, Any]:
    agents = env.spaces.n_agents
    data = packed_battle(battle, env, offers_in(trained, battle, env_steps))
    views: list[dict[str, Any]] = [{} for _ in range(agents)]
    room = MOST_BYTES - len(json.dumps(data))
    for number in [first, *(other for other in range(agents) if other != first)]:
        features = features_of(env, number, battle.kinds[number])
        learner = _learner_of(trained, number)
        belief = None
        if learner is not None and room > 0:
            belief = belief_of(learner, battle, number, features, horizon_of(trained))
        view = packed_agent(battle, features, belief, shields_observed(env))
        size = len(json.dumps(view))
        if belief is not None and size > room:
            view, room = packed_agent(battle, features, None, shields_observed(env)), 0
        views[number] = view
        room -= size if "view" in view else 0
    return data | {"agents": views}


def horizon_of(trained: TrainedTeam) -> int:
    """Steps of an imagined future: those of the run's imagination, at most `MOST_AHEAD`."""
    return min(trained.config.agent.behaviour.horizon, MOST_AHEAD)


def _learner_of(trained: TrainedTeam, agent: int) -> Agent | None:
    """The learner that acts for an environment agent, if it has a world model."""
    for members, learner in zip(trained.team.members, trained.team.learners, strict=True):
        if agent in members and isinstance(learner, Agent):
            return learner
    return None


def shields_observed(env: EngineEnv) -> tuple[bool, bool]:
    """Whether observations hold shields of enemies, and of allies."""
    if isinstance(env, DrawnVectorEnv):
        return bool(env.contract.shields), bool(env.contract.shields)
    return bool(env.contract.enemy_shields), bool(env.contract.ally_shields)


def terrain(env: EngineEnv) -> list[str]:
    """The ground, a text for each row of cells from south to north: `.` open, `^` a cliff, `#` no ground."""
    pathable = env.contract.grid
    walkable = env.spec.walkable if isinstance(env, SkirmishVectorEnv) else pathable
    signs = np.where(walkable, ".", np.where(pathable, "^", "#"))
    return ["".join(row) for row in signs.T]


def write_page(out: Path, data: dict[str, Any]) -> None:
    """Write the page, whole or not at all. OSError if the file cannot be written."""
    write_whole(out, page(data))


def page(data: dict[str, Any]) -> str:
    """The page's text; the same data give the same text. ValueError for a number that is not finite."""
    # `<` cannot occur, so that no text of the data ends the script element.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    title = f"{data['map']}: {data['method']} after {data['trained']:,} steps"
    filled = {
        "title": html.escape(title),
        "version": html.escape(__version__),
        "style": _file("page.css"),
        "data": text,
        "scripts": "".join(_file(name) for name in SCRIPTS),
    }
    return re.sub(r"\{\{ (\w+) \}\}", lambda found: filled[found[1]], _file("page.html"))


def _file(name: str) -> str:
    return (resources.files("mawm.watching") / name).read_text("utf-8")
