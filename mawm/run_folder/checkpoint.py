"""Checkpoints: folders with safetensors, JSON and a manifest. They are written atomically and verified when read."""

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
"""Arrays by name, and JSON-able values."""


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on disk."""

    path: Path
    env_steps: int

    def load(self) -> dict[str, Part]:
        """All parts by name. All files are verified first; DamagedError if one byte differs from what was written."""
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
        if len(set(pieces)) != len(pieces):  # repeated entries could turn a small file into a huge table
            raise DamagedError(f"{self.path / MANIFEST}: `tables` lists a file twice")
        stems = sorted({Path(name).stem for name in files if name not in pieces})
        return {stem: self._part(stem, files, tables.get(stem, {})) for stem in stems}

    def listed(self) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Table]]]:
        """The manifest's content: files with size and SHA-256, and tables by part. DamagedError if it is damaged."""
        manifest = read_json(self.path / MANIFEST)
        if manifest.get("schema") != SCHEMA:
            raise DamagedError(
                f"{self.path} has layout {manifest.get('schema')!r} (mawm {manifest.get('mawm')}); this is layout "
                f"{SCHEMA} (mawm {__version__})"
            )
        if manifest.get("seal") != seal(manifest):
            raise DamagedError(f"{self.path / MANIFEST} is damaged: its seal does not match its content")
        files = manifest.get("files")
        if not isinstance(files, dict) or not files or not all(_FILE.fullmatch(name) for name in files):
            raise DamagedError(f"{self.path / MANIFEST}: `files` lists a file that is no part of a checkpoint")
        return files, tables_of(self.path, manifest)

    def check(self, name: str, facts: Any) -> None:
        """DamagedError if a file's size or SHA-256 differs from the manifest's entry `facts`."""
        path = self.path / name
        size = plain_file(path)
        if not isinstance(facts, dict) or facts.get("bytes") != size:
            raise DamagedError(f"{path} has {size:,} bytes; the manifest has another size")
        if facts.get("sha256") != digest(path):
            raise DamagedError(f"{path} is damaged: its SHA-256 differs from the manifest's")

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
    """An intact checkpoint, in memory."""

    path: Path
    env_steps: int
    parts: dict[str, Part]


def checkpoints(folder: Path) -> list[Checkpoint]:
    """Complete checkpoints of a run, oldest first. A scan of the folder finds them; there is no pointer file."""
    found = []
    for entry in folder.glob("ck-*"):
        match = _NAME.fullmatch(entry.name)
        if match and not entry.is_symlink() and (entry / MANIFEST).exists():
            found.append(Checkpoint(entry, int(match.group(1))))
    return sorted(found, key=lambda c: c.env_steps)


def newest(folder: Path, warn: Callable[[str], None] = print_stderr) -> Loaded:
    """The last intact checkpoint of a run. Each damaged one is reported and skipped.

    ValueError if the folder has no checkpoint; DamagedError if none is intact.
    """
    found = checkpoints(folder)
    if not found:
        raise ValueError(
            f"{folder} holds no checkpoint (a folder ck-<env steps>); a run that was stopped before its first one "
            "starts again"
        )
    for checkpoint in reversed(found):
        try:
            return Loaded(checkpoint.path, checkpoint.env_steps, checkpoint.load())
        except DamagedError as error:
            warn(f"{error}; skipped")
    raise DamagedError(f"none of the {len(found)} checkpoints in {folder} is intact")


def set_aside(folder: Path, env_steps: int) -> None:
    """Rename the damaged checkpoints after `env_steps`, so that they do not count among the kept ones.

    Only the last renamed checkpoint is kept, for inspection.
    """
    for checkpoint in checkpoints(folder):
        if checkpoint.env_steps > env_steps:
            for older in folder.glob("damaged-ck-*"):
                shutil.rmtree(older, ignore_errors=True)
            checkpoint.path.rename(checkpoint.path.with_name(f"damaged-{checkpoint.path.name}"))


def base_for(folder: Path, warn: Callable[[str], None] = print_stderr) -> Base | None:
    """The checkpoint whose rows the next one shares: the last but one. None if there is none, or if it is damaged.

    So two consecutive checkpoints have no file in common, and one damaged file cannot destroy both. The shared files
    are verified first, so that damage does not spread. Without a base the next checkpoint contains all rows.
    """
    found = checkpoints(folder)
    if len(found) < 2:
        return None
    old = found[-2]
    try:
        files, tables = old.listed()
        shared = {part: {n: t for n, t in of_part.items() if t.shareable} for part, of_part in tables.items()}
        for of_part in shared.values():
            for piece in (piece for table in of_part.values() for piece in table.pieces):
                old.check(piece.file, files.get(piece.file))
    except (DamagedError, OSError) as error:
        warn(f"{error}; the next checkpoint shares no rows with it")
        return None
    return Base(old.path, files, shared)


def write(folder: Path, env_steps: int, parts: dict[str, Part], keep: int, base: Base | None = None) -> Path:
    """Write a checkpoint atomically (temporary folder, sync, rename), then delete all but the last `keep`.

    The tables in `parts` contain the rows since `base`; older rows are shared with it. An intact checkpoint of the same
    step is kept, because it contains the same state. OSError if the checkpoint cannot be written: then the folder is as
    before.
    """
    final = folder / f"ck-{env_steps:09d}"
    if _intact(Checkpoint(final, env_steps)):
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
    incomplete = [entry for entry in folder.glob("ck-*") if not (entry / MANIFEST).exists()]
    for entry in [*folder.glob("writing-ck-*"), *incomplete]:  # from interrupted writes and deletions
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
    for old in checkpoints(folder)[:-keep]:
        _remove(old.path)
    return final


def _intact(checkpoint: Checkpoint) -> bool:
    if not (checkpoint.path / MANIFEST).exists():
        return False
    try:
        checkpoint.load()
    except DamagedError:
        return False
    return True


def _remove(checkpoint: Path) -> None:
    """Delete a checkpoint, the manifest first: after an interruption the folder is no checkpoint any more."""
    (checkpoint / MANIFEST).unlink(missing_ok=True)
    sync(checkpoint)
    shutil.rmtree(checkpoint)
