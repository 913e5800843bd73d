"""One process a folder: the second is refused, and told who holds it."""

import os
from pathlib import Path

from filelock import FileLock, Timeout


class FolderLock:
    """Holds a folder until `release`, or until the process is gone, however it ends."""

    def __init__(self, folder: Path) -> None:
        """ValueError if another process holds the folder, with its number."""
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
        """Let others have it."""
        self._lock.release()


def holder(folder: Path) -> int | None:
    """The process that holds a folder, if one does."""
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
