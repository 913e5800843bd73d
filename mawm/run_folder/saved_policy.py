"""When a run cannot be saved: it goes on, says what is missing, and gives up after the third time."""

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
"""The mark of a folder whose run has not been saved yet: it may begin anew, whatever its logs say."""
PATIENCE = 3
"""Failed saves in a row after which a run stops: from then on it would only lose work."""


class SavingFailed(RuntimeError):
    """A run could not be saved several times in a row."""


class Saver:
    """Writes checkpoints of one run, its logs first: no checkpoint is newer than they are, whatever is cut off.

    The last complete one stays whatever happens.
    """

    def __init__(self, folder: Path, keep: int, logs: Sequence[Retrying], say: Callable[[str], None]) -> None:
        self.folder, self.keep, self.logs, self.say = folder, keep, logs, say
        self.failed = 0

    def save(self, env_steps: int, parts_since: Callable[[Base | None], dict[str, Part]]) -> bool:
        """Write a checkpoint, and say whether it is there. SavingFailed at the third failure in a row.

        `parts_since` gives the run's state: all but the rows that the base has.
        """
        base = base_for(self.folder, self.say)
        parts = parts_since(base)
        try:
            if not all([log.drain() for log in self.logs]):
                raise OSError(errno.ENOSPC, "rows of the logs are owed")
            for name in LOGS:
                sync_file(self.folder / name)
            write(self.folder, env_steps, parts, self.keep, base)
        except OSError as error:
            self.failed += 1
            told = f"{self._trouble(parts, error)}; attempt {self.failed} of {PATIENCE}"
            if self.failed >= PATIENCE:
                raise SavingFailed(f"{told}. The run stops; its last complete checkpoint is intact") from None
            self.say(told)
            return False
        self.failed = 0
        (self.folder / UNSAVED).unlink(missing_ok=True)
        return True

    def _trouble(self, parts: dict[str, Part], error: OSError) -> str:
        needed = sum(array.nbytes for arrays, _ in parts.values() for array in arrays.values())
        free = shutil.disk_usage(self.folder).free
        return (
            f"no checkpoint could be written to {self.folder} ({error.strerror or error}): it needs about {needed:,} "
            f"bytes, {free:,} are free"
        )
