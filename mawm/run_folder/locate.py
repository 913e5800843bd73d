"""Where a run goes: a new folder, or the one in which the same run was begun before."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from mawm.configs.train import TrainConfig
from mawm.envs.registry import short_name
from mawm.run_folder.checkpoint import checkpoints
from mawm.run_folder.manifest import map_digest, read_config, read_facts
from mawm.run_folder.saved_policy import UNSAVED

BEFORE_SETTINGS = (".lock", ".pid", UNSAVED, "config.json.new")
"""What is there before a run's settings are: a folder with nothing else is free."""
LEFTOVERS = ("metrics.jsonl", "channel.csv", "events.out.tfevents.*", "config.json", "incident-*")
"""What a run that was stopped before its first checkpoint leaves behind."""


@dataclass(frozen=True)
class RunFolder:
    """A folder, and whether the run goes on there."""

    folder: Path
    begun: bool

    def clear(self) -> None:
        """Delete what a run without a checkpoint left. Only ever called by who holds the folder's lock."""
        if not self.begun:
            for pattern in LEFTOVERS:
                for path in self.folder.glob(pattern):
                    path.unlink()
            (self.folder / UNSAVED).touch()


def find_run_folder(config: TrainConfig, wanted: Path | None, fresh: bool) -> RunFolder:
    """The folder of a run: `wanted`, else runs/NAME, runs/NAME-2, ...: the first that is free or holds this very run.

    The same run: the same settings, whatever the number of steps and the placement. `fresh`: never one that was begun.
    ValueError if `wanted` holds something else.
    """
    if wanted is not None:
        place = _at(config, wanted, fresh)
        if place is None:
            why = "and --fresh wants a new one" if fresh else "and holds no run with these settings that could go on"
            raise ValueError(f"--run-dir {wanted} is not empty, {why}; name another folder, or leave --run-dir out")
        return place
    name = f"{short_name(config.map)}_{config.method}_b{config.sharing.bandwidth:g}_s{config.seed}"
    for n in range(1, 10_000):
        place = _at(config, Path("runs") / (name if n == 1 else f"{name}-{n}"), fresh)
        if place is not None:
            return place
    raise ValueError(f"runs/ already holds ten thousand runs named {name}; name a folder with --run-dir")


def _at(config: TrainConfig, folder: Path, fresh: bool) -> RunFolder | None:
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
    same = replace(saved, env_steps=config.env_steps, placement=config.placement) == config
    if not same or map_file != map_digest(config):
        return None
    if checkpoints(folder):
        return RunFolder(folder, begun=True)
    return RunFolder(folder, begun=False) if nothing_saved(folder, config.schedule.save_every) else None


def nothing_saved(folder: Path, save_every: int) -> bool:
    """Whether a run ended before it had saved anything, so that nothing is lost if it begins anew.

    Not so where a checkpoint may have been: something is called like one, or the log goes on past the first save,
    and the mark that nothing was saved is gone.
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
