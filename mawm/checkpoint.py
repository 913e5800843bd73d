"""Checkpoints: a folder of safetensors and JSON, complete or absent, never torn."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from mawm.files import sync, write_synced

COMPLETE = "COMPLETE"
"""The file that makes a folder a checkpoint: written last, removed first."""
_NAME = re.compile(r"ck-(\d{9,})")
Arrays = dict[str, NDArray[Any]]
Part = tuple[Arrays, dict[str, Any]]
"""Arrays by name, and a JSON-able rest."""


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on disk."""

    path: Path
    env_steps: int

    def load(self) -> dict[str, Part]:
        """All parts by name."""
        return {
            file.stem: (load_file(file), json.loads(file.with_suffix(".json").read_text())) for file in self._tensors()
        }

    def _tensors(self) -> list[Path]:
        return sorted(self.path.glob("*.safetensors"))


def checkpoints(folder: Path) -> list[Checkpoint]:
    """Complete checkpoints of a run, oldest first: found by scanning, there is no pointer that could be stale."""
    found = []
    for entry in folder.glob("ck-*"):
        match = _NAME.fullmatch(entry.name)
        if match and (entry / COMPLETE).exists():
            found.append(Checkpoint(entry, int(match.group(1))))
    return sorted(found, key=lambda c: c.env_steps)


def newest(folder: Path) -> Checkpoint:
    """The last checkpoint of a run. FileNotFoundError if there is none."""
    found = checkpoints(folder)
    if not found:
        raise FileNotFoundError(f"{folder} holds no checkpoint (a folder ck-<env steps>): is it a run folder?")
    return found[-1]


def write(folder: Path, env_steps: int, parts: dict[str, Part], keep: int) -> Path:
    """Write a checkpoint beside its place, sync it to disk, rename it into place; then drop all but the last `keep`.

    A complete one of the same step stays: it holds the same state.
    """
    final = folder / f"ck-{env_steps:09d}"
    if (final / COMPLETE).exists():
        return final
    temporary = folder / f"writing-{final.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name, (arrays, rest) in parts.items():
        tensors = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
        write_synced(temporary / f"{name}.safetensors", save(tensors))
        write_synced(temporary / f"{name}.json", json.dumps(rest).encode())
    write_synced(temporary / COMPLETE, f"{env_steps}\n".encode())
    sync(temporary)
    if final.exists():
        shutil.rmtree(final)
    temporary.rename(final)
    sync(folder)
    for old in checkpoints(folder)[:-keep]:
        _remove(old.path)
    return final


def _remove(checkpoint: Path) -> None:
    """Delete a checkpoint so that what is left of it, should that be interrupted, does not pass for one."""
    (checkpoint / COMPLETE).unlink(missing_ok=True)
    sync(checkpoint)
    shutil.rmtree(checkpoint)
