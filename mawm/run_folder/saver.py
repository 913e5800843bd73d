"""Saves a run. A failed save is reported; after the third failure in a row the run stops."""

import errno
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from mawm.run_folder.checkpoint import Part, base_for, write
from mawm.storage.append_only_tables import Base
from mawm.storage.atomic_files import sync_file
from mawm.storage.retry_writes import Retrying

LOGS = ("metrics.jsonl", "channel.csv")
UNSAVED = ".unsaved"
"""A file that marks a run without a checkpoint: the run may start again, even if its logs have rows."""
PATIENCE = 3
"""Number of failed saves in a row after which a run stops."""


class SavingFailed(RuntimeError):
    """A run could not be saved several times in a row."""


class Saver:
    """Writes a run's checkpoints, after its logs: no log is older than a checkpoint, also after a power cut.

    A failed save leaves the last complete checkpoint intact.
    """

    def __init__(self, folder: Path, keep: int, logs: Sequence[Retrying], warn: Callable[[str], None]) -> None:
        self.folder, self.keep, self.logs, self.warn = folder, keep, logs, warn
        self.failed = 0

    def save(self, env_steps: int, parts_since: Callable[[Base | None], dict[str, Part]]) -> bool:
        """Write a checkpoint; returns False if that failed. SavingFailed at the third failure in a row.

        `parts_since` gives the run's state, without the rows that the base has.
        """
        base = base_for(self.folder, self.warn)
        parts = parts_since(base)
        try:
            if not all([log.drain() for log in self.logs]):
                raise OSError(errno.ENOSPC, "rows of the logs are not written yet")
            for name in LOGS:
                sync_file(self.folder / name)
            write(self.folder, env_steps, parts, self.keep, base)
        except OSError as error:
            self.failed += 1
            needed = sum(array.nbytes for arrays, _ in parts.values() for array in arrays.values())
            free = shutil.disk_usage(self.folder).free
            message = (
                f"no checkpoint could be written to {self.folder} ({error.strerror or error}): it needs about "
                f"{needed:,} bytes, {free:,} are free; attempt {self.failed} of {PATIENCE}"
            )
            if self.failed >= PATIENCE:
                raise SavingFailed(f"{message}. The run stops; its last complete checkpoint is intact") from None
            self.warn(message)
            return False
        self.failed = 0
        (self.folder / UNSAVED).unlink(missing_ok=True)
        return True
