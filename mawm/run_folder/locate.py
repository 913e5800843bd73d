"""Finds a run's folder: a new one, or the one of the same run that was started before."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from mawm.configs.train import TrainConfig
from mawm.envs.registry import short_name
from mawm.run_folder.checkpoint import checkpoints
from mawm.run_folder.manifest import map_digest, read_config, read_facts
from mawm.run_folder.saver import UNSAVED

MOVABLE = (
    "env_steps", "placement", "ray_address", "on_node_loss", "device", "log", "own.timeout_s", "link.transport",
    "link.key_file",
)  # fmt: skip
"""Settings that may change when a run is continued."""
BEFORE_SETTINGS = (".lock", ".pid", UNSAVED, "config.json.new")
"""Files that exist before a run's settings are written: a folder with no other files is free."""
LEFTOVERS = (
    "metrics.jsonl", "metrics.csv", "channel.csv", "events.out.tfevents.*", "config.json", "incident-*", "wandb-id",
    "mlflow-id",
)  # fmt: skip
"""Files of a run that was stopped before its first checkpoint."""


@dataclass(frozen=True)
class RunFolder:
    """A folder, and whether it has a run that continues there."""

    folder: Path
    begun: bool

    def clear(self) -> None:
        """Delete the files of a run without a checkpoint. Call it only while holding the folder's lock."""
        if not self.begun:
            for pattern in LEFTOVERS:
                for path in self.folder.glob(pattern):
                    path.unlink()
            (self.folder / UNSAVED).touch()


def find_run_folder(config: TrainConfig, wanted: Path | None, fresh: bool) -> RunFolder:
    """The folder of a run: `wanted`, or the first of runs/NAME, runs/NAME-2, ... that is free or has this run.

    The same run has the same settings, except for those of `MOVABLE` and the order of `own.agents`. `fresh`: a free
    folder only. ValueError if `wanted` has other content.
    """
    if wanted is not None:
        found = _check(config, wanted, fresh)
        if found is None:
            reason = "--fresh wants a new one" if fresh else "it holds no run with these settings that could go on"
            raise ValueError(f"--run-dir {wanted} is not empty, and {reason}; name another folder, or omit --run-dir")
        return found
    name = f"{short_name(config.map)}_{config.method}_b{config.sharing.bandwidth:g}_s{config.seed}"
    for n in range(1, 10_000):
        found = _check(config, Path("runs") / (name if n == 1 else f"{name}-{n}"), fresh)
        if found is not None:
            return found
    raise ValueError(f"runs/ already has ten thousand runs with the name {name}; name a folder with --run-dir")


def _check(config: TrainConfig, folder: Path, fresh: bool) -> RunFolder | None:
    """The folder as a run's folder; None if it cannot be used. Makes the folder if it does not exist."""
    if not folder.exists():
        folder.mkdir(parents=True)
    if not folder.is_dir():
        return None
    if all(entry.name in BEFORE_SETTINGS for entry in folder.iterdir()):
        return RunFolder(folder, begun=False)
    if fresh:
        return None
    try:
        saved, map_file = read_config(folder), read_facts(folder).get("map_sha256", "")
    except ValueError:
        return None
    # A run of an earlier version has no names of agents. Their order is no difference.
    agents_differ = saved.own.agents and set(saved.own.agents) != set(config.own.agents)
    if agents_differ or moved(saved, config, (*MOVABLE, "own.agents")) != config or map_file != map_digest(config):
        return None
    if checkpoints(folder):
        return RunFolder(folder, begun=True)
    return RunFolder(folder, begun=False) if nothing_saved(folder, config.schedule.save_every) else None


def moved(saved: TrainConfig, config: TrainConfig, names: Iterable[str] = MOVABLE) -> TrainConfig:
    """The saved settings, with those of `names` from `config`."""
    for name in names:
        group, _, last = name.rpartition(".")
        if group:
            inner = replace(getattr(saved, group), **{last: getattr(getattr(config, group), last)})
            saved = replace(saved, **{group: inner})
        else:
            saved = replace(saved, **{last: getattr(config, last)})
    return saved


def nothing_saved(folder: Path, save_every: int) -> bool:
    """Whether a run ended before its first checkpoint: then it may start again and nothing is lost.

    False if there may have been a checkpoint: an entry has such a name, or the log continues after the first save and
    the mark `UNSAVED` is missing.
    """
    if any(folder.glob("ck-*")) or (folder / "evaluation.json").exists():
        return False
    if (folder / UNSAVED).exists():
        return True
    try:
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        return all(json.loads(line)["env_steps"] < save_every for line in lines[-2:-1])
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False
