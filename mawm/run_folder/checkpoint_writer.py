"""Writes a checkpoint's files: each is synced and read again; the manifest comes last."""

import errno
import hashlib
import json
import os
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from mawm import __version__
from mawm.storage.append_only_tables import BOUNDS, Arrays, Base, Piece, Table, split
from mawm.storage.atomic_files import sync, write_synced
from mawm.storage.safe_read import digest

MANIFEST = "MANIFEST.json"
"""Size and SHA-256 of every other file. A folder is a checkpoint if it has one: written last, deleted first."""
SCHEMA = 2
"""Version of this layout. Other versions are refused."""


def seal(manifest: dict[str, Any]) -> str:
    """SHA-256 of a manifest's content without the seal itself: detects damage of the manifest."""
    content = {key: value for key, value in manifest.items() if key != "seal"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Writing:
    """Writes the files of a checkpoint into a temporary folder."""

    def __init__(self, folder: Path, env_steps: int, base: Base | None) -> None:
        self.folder, self.env_steps, self.base = folder, env_steps, base
        self.files: dict[str, dict[str, Any]] = {}
        self.new: list[str] = []
        self.tables: dict[str, dict[str, Table]] = {}

    def finish(self, parts: dict[str, tuple[Arrays, dict[str, Any]]]) -> None:
        """Write all parts and the manifest. OSError if the disk is full, or if a file differs when read again."""
        for part, (arrays, values) in parts.items():
            plain, tables = split(arrays)
            self._write(f"{part}.safetensors", save({k: np.ascontiguousarray(v) for k, v in plain.items()}))
            self._write(f"{part}.json", json.dumps(values).encode())
            self.tables[part] = {name: self._table(part, name, columns) for name, columns in tables.items()}
        for name in self.new:
            if digest(self.folder / name) != self.files[name]["sha256"]:
                raise OSError(errno.EIO, "the file differs from what was written", str(self.folder / name))
        listed = {
            part: {
                name: {"held": table.held, "pieces": [piece._asdict() for piece in table.pieces]}
                for name, table in tables.items()
            }
            for part, tables in self.tables.items()
        }
        versions = {package: metadata.version(package) for package in ("torch", "numpy")}
        manifest = {
            "schema": SCHEMA, "mawm": __version__, **versions, "env_steps": self.env_steps, "files": self.files,
            "tables": listed,
        }  # fmt: skip
        write_synced(self.folder / MANIFEST, json.dumps({**manifest, "seal": seal(manifest)}, indent=1).encode())
        sync(self.folder)

    def _table(self, part: str, table: str, columns: Arrays) -> Table:
        """A table's pieces: those of the base with a held row, and a new one with the rows since the base."""
        start, end = (tuple(int(n) for n in columns[name]) for name in BOUNDS)
        pieces = [] if self.base is None else self.base.shared(part, table, start)
        for piece in pieces:
            self._share(piece.file)
        rows = max(len(column) for name, column in columns.items() if name not in BOUNDS)
        if rows or not pieces:
            new = Piece(f"{part}.{table}.{self.env_steps:09d}.safetensors", rows, end)
            self._write(new.file, save({k: np.ascontiguousarray(v) for k, v in columns.items()}))
            pieces = [*pieces, new]
        return Table(sum(end) - sum(start), pieces)

    def _share(self, name: str) -> None:
        """Add the base's file to this folder: a hard link, or a copy if the file system has no hard links."""
        assert self.base is not None
        old, new = self.base.path / name, self.folder / name
        try:
            os.link(old, new)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK):
                raise
            shutil.copyfile(old, new)
            with new.open("rb") as file:
                os.fsync(file.fileno())
        self.files[name] = self.base.files[name]

    def _write(self, name: str, data: bytes) -> None:
        write_synced(self.folder / name, data)
        self.new.append(name)
        self.files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
