"""Checkpoints: a folder of safetensors and JSON with a manifest, complete or absent, and whole or passed over."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from mawm import __version__
from mawm.careful import DamagedError, digest, only, plain_file, read_json, read_tensors
from mawm.files import sync, write_synced
from mawm.telling import tell

MANIFEST = "MANIFEST.json"
"""Size and SHA-256 of every other file. It makes a folder a checkpoint: written last, removed first."""
SCHEMA = 1
"""Version of this layout. Another one is refused, naming both."""
_NAME = re.compile(r"ck-(\d{9,18})")
_PART = re.compile(r"([A-Za-z0-9_]{1,80})\.(safetensors|json)")
Arrays = dict[str, NDArray[Any]]
Part = tuple[Arrays, dict[str, Any]]
"""Arrays by name, and a JSON-able rest."""


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on disk."""

    path: Path
    env_steps: int

    def load(self) -> dict[str, Part]:
        """All parts by name. DamagedError, before anything is used, if one byte is not as it was written."""
        try:
            return self._checked()
        except OSError as error:
            raise DamagedError(f"{self.path} cannot be read ({error.strerror or error})") from None

    def _checked(self) -> dict[str, Part]:
        manifest = read_json(self.path / MANIFEST)
        if manifest.get("schema") != SCHEMA:
            raise DamagedError(
                f"{self.path} has layout {manifest.get('schema')!r} (mawm {manifest.get('mawm')}); this is layout "
                f"{SCHEMA} (mawm {__version__})"
            )
        files = manifest.get("files")
        if not isinstance(files, dict) or not files or not all(_PART.fullmatch(name) for name in files):
            raise DamagedError(f"{self.path / MANIFEST}: `files` names something that is no part of a checkpoint")
        only(self.path, [*files, MANIFEST])
        for name, facts in files.items():
            path = self.path / name
            size = plain_file(path)
            if not isinstance(facts, dict) or facts.get("bytes") != size:
                raise DamagedError(f"{path} has {size:,} bytes; the manifest says otherwise")
            if facts.get("sha256") != digest(path):
                raise DamagedError(f"{path} is damaged: its SHA-256 is not the manifest's")
        return {stem: self._part(stem, files) for stem in sorted({Path(name).stem for name in files})}

    def _part(self, stem: str, files: dict[str, Any]) -> Part:
        tensors, rest = f"{stem}.safetensors", f"{stem}.json"
        if tensors not in files or rest not in files:
            raise DamagedError(f"{self.path / MANIFEST}: {stem} lacks its tensors or its JSON")
        return read_tensors(self.path / tensors), read_json(self.path / rest)


@dataclass(frozen=True)
class Loaded:
    """A checkpoint that was found whole, in memory."""

    path: Path
    env_steps: int
    parts: dict[str, Part]


def checkpoints(folder: Path) -> list[Checkpoint]:
    """Complete checkpoints of a run, oldest first: found by scanning, there is no pointer that could be stale."""
    found = []
    for entry in folder.glob("ck-*"):
        match = _NAME.fullmatch(entry.name)
        if match and not entry.is_symlink() and (entry / MANIFEST).exists():
            found.append(Checkpoint(entry, int(match.group(1))))
    return sorted(found, key=lambda c: c.env_steps)


def newest(folder: Path, say: Callable[[str], None] = tell) -> Loaded:
    """The last checkpoint of a run that is whole; each damaged one is named and passed over.

    ValueError if there is none; DamagedError if none is whole.
    """
    found = checkpoints(folder)
    if not found:
        raise ValueError(f"{folder} holds no checkpoint (a folder ck-<env steps>): is it a run folder?")
    for checkpoint in reversed(found):
        try:
            return Loaded(checkpoint.path, checkpoint.env_steps, checkpoint.load())
        except DamagedError as error:
            say(f"{error}; passed over")
    raise DamagedError(f"none of the {len(found)} checkpoints in {folder} is whole")


def set_aside(folder: Path, env_steps: int) -> None:
    """Rename checkpoints past `env_steps`, found damaged, so that they no longer count among those that are kept."""
    for checkpoint in checkpoints(folder):
        if checkpoint.env_steps > env_steps:
            target = checkpoint.path.with_name(f"damaged-{checkpoint.path.name}")
            shutil.rmtree(target, ignore_errors=True)
            checkpoint.path.rename(target)


def write(folder: Path, env_steps: int, parts: dict[str, Part], keep: int) -> Path:
    """Write a checkpoint beside its place, sync it to disk, rename it into place; then drop all but the last `keep`.

    A whole one of the same step stays: it holds the same state. OSError if it cannot be written: nothing is left of
    it then, and what was there before is as it was.
    """
    final = folder / f"ck-{env_steps:09d}"
    if _whole(Checkpoint(final, env_steps)):
        return final
    temporary = folder / f"writing-{final.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        _fill(temporary, env_steps, parts)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if final.exists():
        _remove(final)
    temporary.rename(final)
    sync(folder)
    for left in [*folder.glob("writing-ck-*"), *folder.glob("ck-*")]:  # of saves and removals that were interrupted
        if left.is_dir() and not left.is_symlink() and not (left / MANIFEST).exists():
            shutil.rmtree(left)
    for old in checkpoints(folder)[:-keep]:
        _remove(old.path)
    return final


def _whole(checkpoint: Checkpoint) -> bool:
    if not (checkpoint.path / MANIFEST).exists():
        return False
    try:
        checkpoint.load()
    except DamagedError:
        return False
    return True


def _fill(folder: Path, env_steps: int, parts: dict[str, Part]) -> None:
    files = {}
    for name, (arrays, rest) in parts.items():
        tensors = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
        for file, data in ((f"{name}.safetensors", save(tensors)), (f"{name}.json", json.dumps(rest).encode())):
            write_synced(folder / file, data)
            files[file] = {"bytes": len(data), "sha256": digest(folder / file)}
    versions = {package: metadata.version(package) for package in ("torch", "numpy")}
    manifest = {"schema": SCHEMA, "mawm": __version__, **versions, "env_steps": env_steps, "files": files}
    write_synced(folder / MANIFEST, json.dumps(manifest, indent=1).encode())
    sync(folder)


def _remove(checkpoint: Path) -> None:
    """Delete a checkpoint so that what is left of it, should that be interrupted, does not pass for one."""
    (checkpoint / MANIFEST).unlink(missing_ok=True)
    sync(checkpoint)
    shutil.rmtree(checkpoint)
