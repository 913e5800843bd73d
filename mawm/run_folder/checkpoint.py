"""Checkpoints: a folder of safetensors and JSON with a manifest, complete or absent, and whole or passed over."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mawm import __version__
from mawm.run_folder.checkpoint_writer import MANIFEST, SCHEMA, Writing, seal
from mawm.runtime.console import print_stderr
from mawm.storage.append_only_tables import Arrays, Base, Table, joined, tables_of
from mawm.storage.atomic_files import sync
from mawm.storage.safe_read import DamagedError, check_names, digest, plain_file, read_json, read_tensors

_NAME = re.compile(r"ck-(\d{9,18})")
_FILE = re.compile(r"[A-Za-z0-9_]{1,80}(\.[a-z]{1,40}\.\d{9,18})?\.(safetensors|json)")
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
        files, tables = self.listed()
        check_names(self.path, [*files, MANIFEST])
        for name, facts in files.items():
            self.check(name, facts)
        pieces = [piece.file for found in tables.values() for table in found.values() for piece in table.pieces]
        if len(set(pieces)) != len(pieces):  # listed often, a small file would become a large table
            raise DamagedError(f"{self.path / MANIFEST}: `tables` names a file twice")
        stems = sorted({Path(name).stem for name in files if name not in pieces})
        return {stem: self._part(stem, files, tables.get(stem, {})) for stem in stems}

    def listed(self) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Table]]]:
        """What the manifest says: files with size and SHA-256, and tables by part. DamagedError if it is damaged."""
        manifest = read_json(self.path / MANIFEST)
        if manifest.get("schema") != SCHEMA:
            raise DamagedError(
                f"{self.path} has layout {manifest.get('schema')!r} (mawm {manifest.get('mawm')}); this is layout "
                f"{SCHEMA} (mawm {__version__})"
            )
        if manifest.get("seal") != seal(manifest):
            raise DamagedError(f"{self.path / MANIFEST} is damaged: its seal is not that of what it says")
        files = manifest.get("files")
        if not isinstance(files, dict) or not files or not all(_FILE.fullmatch(name) for name in files):
            raise DamagedError(f"{self.path / MANIFEST}: `files` names something that is no part of a checkpoint")
        return files, tables_of(self.path, manifest)

    def check(self, name: str, facts: Any) -> None:
        """DamagedError if a file is not what the manifest says."""
        path = self.path / name
        size = plain_file(path)
        if not isinstance(facts, dict) or facts.get("bytes") != size:
            raise DamagedError(f"{path} has {size:,} bytes; the manifest says otherwise")
        if facts.get("sha256") != digest(path):
            raise DamagedError(f"{path} is damaged: its SHA-256 is not the manifest's")

    def _part(self, stem: str, files: dict[str, Any], tables: dict[str, Table]) -> Part:
        names = [f"{stem}.safetensors", f"{stem}.json", *(p.file for t in tables.values() for p in t.pieces)]
        if missing := [name for name in names if name not in files]:
            raise DamagedError(f"{self.path / MANIFEST}: {stem} lacks {missing[0]}")
        arrays = read_tensors(self.path / names[0])
        for name, table in tables.items():
            arrays |= joined(name, [read_tensors(self.path / piece.file) for piece in table.pieces], str(self.path))
        return arrays, read_json(self.path / names[1])


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


def newest(folder: Path, say: Callable[[str], None] = print_stderr) -> Loaded:
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
    """Rename checkpoints past `env_steps`, found damaged, so that they no longer count among those that are kept.

    Only the last one to be set aside stays, for whoever wants to look into it.
    """
    for checkpoint in checkpoints(folder):
        if checkpoint.env_steps > env_steps:
            for older in folder.glob("damaged-ck-*"):
                shutil.rmtree(older, ignore_errors=True)
            checkpoint.path.rename(checkpoint.path.with_name(f"damaged-{checkpoint.path.name}"))


def base_for(folder: Path, say: Callable[[str], None] = print_stderr) -> Base | None:
    """The checkpoint that the next one shares rows with: the last but one. None where there is none, or it is damaged.

    So no two checkpoints in a row have a file in common: one that is damaged can never take both of the last two. What
    is shared is checked first, so that damage is not handed on: then the next one writes all rows.
    """
    found = checkpoints(folder)
    if len(found) < 2:
        return None
    old = found[-2]
    try:
        files, tables = old.listed()
        kept = {part: {name: t for name, t in of.items() if t.shareable} for part, of in tables.items()}
        for of in kept.values():
            for piece in (piece for table in of.values() for piece in table.pieces):
                old.check(piece.file, files.get(piece.file))
    except (DamagedError, OSError) as error:
        say(f"{error}; the next checkpoint shares nothing with it")
        return None
    return Base(old.path, files, kept)


def write(folder: Path, env_steps: int, parts: dict[str, Part], keep: int, base: Base | None = None) -> Path:
    """Write a checkpoint beside its place, sync it to disk, rename it into place; then drop all but the last `keep`.

    Tables in `parts` hold the rows since `base`; older ones are shared with it. A whole checkpoint of the same step
    stays: it holds the same state. OSError if it cannot be written: nothing is left of it then, and what was there
    before is as it was.
    """
    final = folder / f"ck-{env_steps:09d}"
    if _whole(Checkpoint(final, env_steps)):
        return final
    temporary = folder / f"writing-{final.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        Writing(temporary, env_steps, base).finish(parts)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if final.exists():
        _remove(final)
    temporary.rename(final)
    sync(folder)
    torn = [left for left in folder.glob("ck-*") if not (left / MANIFEST).exists()]
    for left in [*folder.glob("writing-ck-*"), *torn]:  # of saves and removals that were interrupted
        if left.is_dir() and not left.is_symlink():
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


def _remove(checkpoint: Path) -> None:
    """Delete a checkpoint so that what is left of it, should that be interrupted, does not pass for one."""
    (checkpoint / MANIFEST).unlink(missing_ok=True)
    sync(checkpoint)
    shutil.rmtree(checkpoint)
