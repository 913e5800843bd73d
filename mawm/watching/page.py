"""Writes recorded battles as one HTML page that needs no network."""

import html
import json
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from mawm import __version__
from mawm.agents.agent import Agent
from mawm.envs.registry import is_own
from mawm.filming.recording import Battle, EngineEnv, terrain
from mawm.trained.run import TrainedRun
from mawm.types import VectorEnv
from mawm.watching.beliefs import belief_of
from mawm.watching.features import features_of
from mawm.watching.offers import ObservedSelector, offers_in, sharing_in_words
from mawm.watching.packed import packed_agent, packed_battle
from mawm.watching.picture_packing import packed_pictures

MOST_BYTES = 900_000
"""Bytes of one battle's data in the page. Beliefs of further agents are left out when they do not fit."""
MOST_AHEAD = 15
"""Largest horizon of the imagined futures on the page. So the belief of one agent of the largest map always fits."""
SCRIPTS = ("data.js", "field.js", "pictures.js", "panels.js", "numbers.js", "summary.js", "player.js")


def watched(
    trained: TrainedRun, env: VectorEnv, recorded: Iterable[Battle], mode: str, seed: int, agent: int
) -> dict[str, Any]:
    """The content of the page: facts of the run, and recorded battles of `env` in which `agent` is shown first."""
    for learner in trained.world_models:  # they will not be trained or saved any more
        learner.experience.selector = ObservedSelector(learner.experience.selector)
    steps, shown = trained.checkpoint.env_steps, []
    for battle in recorded:
        steps += battle.steps
        shown.append(_battle(trained, env, battle, steps, agent))
    config, engine = trained.config, isinstance(env, EngineEnv)
    return {
        "map": config.map if is_own(config.map) else Path(config.map).stem,
        "method": config.method,
        "trained": trained.checkpoint.env_steps,
        "mode": mode,
        "seed": seed,
        "agent": agent,
        "agents": env.spaces.n_agents,
        "limit": env.spaces.episode_limit,
        "horizon": horizon_of(trained),
        "sharing": sharing_in_words(trained),
        "model": bool(trained.world_models),
        "engine": engine,
        "terrain": terrain(env) if isinstance(env, EngineEnv) else [],
        "battles": shown,
    }


def _battle(trained: TrainedRun, env: VectorEnv, battle: Battle, env_steps: int, first: int) -> dict[str, Any]:
    agents = env.spaces.n_agents
    data = packed_battle(battle, env.spaces.agents, offers_in(trained, battle, env_steps))
    if not battle.kinds:
        data["pictures"] = packed_pictures(battle)
    views: list[dict[str, Any]] = [{} for _ in range(agents)]
    room = MOST_BYTES - len(json.dumps(data))
    for number in [first, *(other for other in range(agents) if other != first)]:
        features = features_of(env, battle, number)
        learner, belief = trained.learner_of(number)[0], None
        if isinstance(learner, Agent) and room > 0:
            belief = belief_of(learner, battle, number, features, horizon_of(trained))
        view = packed_agent(battle, features, belief, shields_observed(env))
        size = len(json.dumps(view))
        if belief is not None and size > room:
            view, room = packed_agent(battle, features, None, shields_observed(env)), 0
        views[number] = view
        room -= size if "view" in view else 0
    return data | {"agents": views}


def horizon_of(trained: TrainedRun) -> int:
    """Steps of an imagined future: those of the run's imagination, at most `MOST_AHEAD`."""
    return min(trained.config.agent.behaviour.horizon, MOST_AHEAD)


def shields_observed(env: VectorEnv) -> tuple[bool, bool]:
    """Whether observations of the engine hold shields of enemies, and of allies."""
    if not isinstance(env, EngineEnv):
        return False, False
    return bool(env.contract.enemy_shields), bool(env.contract.ally_shields)


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
