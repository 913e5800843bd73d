"""What config.json says of a run beside its settings: versions, machine, commands, and where it stopped being exact."""

import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from mawm import __version__
from mawm.configs.presets import merge
from mawm.configs.train import TrainConfig
from mawm.storage.safe_read import digest, read_json

EXACT = ("version", "device", "precision", "python", "packages", "machine", "threads")
"""Facts on which a run's numbers may depend: one that changes on a resume is told and written down."""


def facts_now(**chosen: Any) -> dict[str, Any]:
    """This machine and these versions, and what was `chosen` for the run."""
    return {
        "version": __version__,
        **chosen,
        "threads": 1,  # a learner, wherever it runs
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in ("torch", "numpy", "numba")},
        "machine": platform.platform(),
    }


def map_digest(config: TrainConfig) -> str:
    """SHA-256 of the map's file; empty where the map comes by name."""
    path = Path(config.map)
    return digest(path) if path.is_file() else ""


def read_config(folder: Path) -> TrainConfig:
    """The settings of a run's folder. ValueError, which names the file, where they cannot be read."""
    path = folder / "config.json"
    settings = read_json(path).get("config")
    if not isinstance(settings, dict):
        raise ValueError(f"{path} holds no settings")
    rules = settings.get("rules", {})
    if isinstance(rules, dict) and rules and "version" not in rules:
        raise ValueError(
            f"{path} is of mawm 0.1: its settings, its battles and its model-free learners differ from those of mawm "
            f"{__version__}, so the run cannot go on here; begin it anew, or use mawm 0.1"
        )
    return merge(TrainConfig(), settings, str(path))


def read_facts(folder: Path) -> dict[str, Any]:
    """What a run's config.json says beside its settings; nothing where it cannot be read."""
    try:
        facts = read_json(folder / "config.json")
    except ValueError:
        return {}
    return {key: value for key, value in facts.items() if key != "config"}


def carried_on(before: dict[str, Any], now: dict[str, Any], env_steps: int, typed: str) -> tuple[dict[str, Any], int]:
    """The facts of a run that goes on at `env_steps` by the command `typed`, and how many lines of `not_exact` are new.

    `not_exact` has a line for each fact that is no longer what it was: from there on numbers may differ in their last
    bits from those of a run that was never stopped.
    """
    new = [
        f"from {env_steps} steps on: {key} {now[key]}, before {before[key]}"
        for key in EXACT
        if key in before and before[key] != now[key]
    ]
    lines = {"commands": [*before.get("commands", []), typed], "not_exact": [*before.get("not_exact", []), *new]}
    return {**now, **lines}, len(new)
