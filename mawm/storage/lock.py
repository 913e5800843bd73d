"""A lock for a folder: only one process may use it."""

import os
from pathlib import Path

from filelock import FileLock, Timeout


class FolderLock:
    """Locks a folder until `release`, or until the process ends in any way."""

    def __init__(self, folder: Path) -> None:
        """ValueError, with the process number, if another process has locked the folder."""
        self.folder = folder
        self._lock = FileLock(folder / ".lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(
                f"{folder} is in use by process {holder(folder) or 'unknown'}; wait until it is done, or stop it"
            ) from None
        (folder / ".pid").write_text(f"{os.getpid()}\n")

    def release(self) -> None:
        """Unlock the folder."""
        self._lock.release()


def holder(folder: Path) -> int | None:
    """The number of the process that has locked a folder (0 if unknown); None if no process has."""
    if not (folder / ".lock").exists():
        return None
    probe = FileLock(folder / ".lock")
    try:
        probe.acquire(timeout=0)
    except Timeout:
        try:
            return int((folder / ".pid").read_text())
        except (OSError, ValueError):
            return 0
    probe.release()
    return None
