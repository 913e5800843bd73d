"""Atomic writes: after a kill or a power cut a file is complete or absent."""

import errno
import os
from io import RawIOBase
from pathlib import Path


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and sync it to disk. Not atomic: for files in a folder that is not in use yet."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_whole(path: Path, content: str | bytes) -> None:
    """Replace a file atomically: write a temporary file beside it, sync it, rename it."""
    new = path.with_name(f"{path.name}.new")
    write_synced(new, content.encode() if isinstance(content, str) else content)
    new.replace(path)
    sync(path.parent)


def append_whole(file: RawIOBase, data: bytes) -> None:
    """Append all of `data` to an unbuffered file, or nothing and raise OSError."""
    end = file.seek(0, os.SEEK_END)
    try:
        written = file.write(data)
        if written != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        file.truncate(end)
        raise


def sync_file(path: Path) -> None:
    """Sync a file to disk, if it exists."""
    if path.exists():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Sync a folder's list of names to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
