"""Files that are whole or not there, whenever a process is killed or the power is cut."""

import errno
import os
from io import RawIOBase
from pathlib import Path


def write_synced(path: Path, data: bytes) -> None:
    """Write and force to disk, in place: for files that nobody looks for yet."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_whole(path: Path, text: str) -> None:
    """Write a file that is read by its name: beside it, forced to disk, then renamed into place."""
    new = path.with_name(f"{path.name}.new")
    write_synced(new, text.encode())
    new.replace(path)
    sync(path.parent)


def append_whole(file: RawIOBase, data: bytes) -> None:
    """Append to an unbuffered file, all of it or nothing. OSError in the second case."""
    end = file.seek(0, os.SEEK_END)
    try:
        written = file.write(data)
        if written != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        file.truncate(end)
        raise


def sync_file(path: Path) -> None:
    """Force what was appended to a file to disk; a file that is not there has nothing."""
    if path.exists():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Force a folder's list of names to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
