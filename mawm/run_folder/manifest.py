"""The content of config.json: settings, versions, machine, commands, and where a run stopped being exact."""

import platform
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from mawm import __version__, not_loaded, plugins
from mawm.configs.presets import merge
from mawm.configs.train import TrainConfig
from mawm.envs.registry import is_own
from mawm.runtime.import_user_code import source_digests
from mawm.storage.safe_read import digest, read_json

EXACT = ("version", "device", "precision", "learners", "python", "packages", "machine", "threads")
"""Facts that may change a run's numbers. A change at a resume is reported and recorded."""
SEPARATE = "one after another"
"""The fact `learners` of runs whose learners are not stacked."""


def facts_now(**chosen: Any) -> dict[str, Any]:
    """This machine, these versions, and the `chosen` facts of the run."""
    return {
        "version": __version__,
        **chosen,
        "learners": "stacked" if chosen.get("placement") == "stack" else SEPARATE,
        "threads": 1,  # per learner, with every placement
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in ("torch", "numpy", "numba")},
        "machine": platform.platform(),
        "plugins": plugins(),
    }


def map_digest(config: TrainConfig) -> str:
    """SHA-256 of the map's file; empty for a map without a file."""
    path = Path(config.map)
    return digest(path) if path.is_file() else ""


def user_sources(config: TrainConfig) -> dict[str, str]:
    """Digests by path of the user's code that a run uses: of its environment and its selector."""
    names = [name for name in (config.map, config.sharing.selector) if is_own(name)]
    return {path: found for name in names for path, found in source_digests(name).items()}


def check_folder(folder: Path) -> None:
    """ValueError if a folder is no run's."""
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"{folder} is not a run's folder: it holds no config.json; give the folder that mawm.train printed"
        )


def read_config(folder: Path) -> TrainConfig:
    """The settings of a run's folder. ValueError, with the file's name, if they cannot be read.

    The settings may name rows of a user's tables, so the plugins of the run must be loaded.
    """
    path = folder / "config.json"
    saved = read_json(path)
    settings, used = saved.get("config"), saved.get("plugins", [])
    if not_loaded(used):
        raise ValueError(f"{path}: the run was started with MAWM_PLUGINS={','.join(map(str, used))}; set it again")
    if not isinstance(settings, dict):
        raise ValueError(f"{path} holds no settings")
    rules = settings.get("rules", {})
    if isinstance(rules, dict) and rules and "version" not in rules:
        raise ValueError(
            f"{path} is from mawm 0.1, whose settings, battles and model-free learners differ from those of mawm "
            f"{__version__}: the run cannot go on here; start it again, or use mawm 0.1"
        )
    return merge(_earlier(TrainConfig()), settings, str(path))


def _earlier(config: TrainConfig) -> TrainConfig:
    """Default settings, but a setting that early runs of 0.2 did not have gets the value by which they learned.

    So such a run goes on as it began, and its checkpoints have the right sizes.
    """
    model = replace(config.agent.world_model, end_rewards="shared")
    behaviour = replace(config.agent.behaviour, greedy_battles=0.0, replay_critic=0.0)
    return replace(config, agent=replace(config.agent, world_model=model, behaviour=behaviour))


def read_facts(folder: Path) -> dict[str, Any]:
    """The facts in a run's config.json without the settings; empty if it cannot be read."""
    try:
        facts = read_json(folder / "config.json")
    except ValueError:
        return {}
    return {key: value for key, value in facts.items() if key != "config"}


def resumed_facts(
    before: dict[str, Any], now: dict[str, Any], env_steps: int, command: str
) -> tuple[dict[str, Any], int]:
    """The facts of a run that is resumed at `env_steps` with `command`, and the number of new lines in `not_exact`.

    `not_exact` has one line for each fact that has changed, one about edited code of the user, and with the packages
    smac and smacv2 one about the running battles, which are lost. From there on, numbers may differ from those of an
    uninterrupted run. ValueError if the run was played with another game: its results would be of both.
    """
    if before.get("game", now.get("game")) != now.get("game"):
        raise ValueError(
            f"the run was played with the game {before['game']}, and SC2PATH leads to {now['game']}: "
            "set SC2PATH to the run's game, or begin a new run"
        )
    saved = {"learners": SEPARATE, **before} if before else {}
    new = [
        f"from {env_steps} steps on: {key} {now[key]}, before {saved[key]}"
        for key in EXACT
        if key in saved and key in now and saved[key] != now[key]
    ]
    edited = sorted(
        path for path, found in now.get("sources", {}).items() if before.get("sources", {}).get(path, found) != found
    )
    if edited:
        new.append(f"from {env_steps} steps on: your code was edited ({', '.join(edited)})")
    if before and "game" in now:
        new.append(f"from {env_steps} steps on: new battles, because a running game cannot be saved")
    lines = {"commands": [*before.get("commands", []), command], "not_exact": [*before.get("not_exact", []), *new]}
    return {**now, **lines}, len(new)
