"""When a run cannot be saved: it goes on, says what is missing, and gives up after the third time."""

import shutil
from collections.abc import Callable
from pathlib import Path

from mawm.checkpoint import Part, write

PATIENCE = 3
"""Failed saves in a row after which a run stops: from then on it would only lose work."""


class SavingFailed(RuntimeError):
    """A run could not be saved several times in a row."""


class Saver:
    """Writes checkpoints of one run. The last complete one stays whatever happens."""

    def __init__(self, folder: Path, keep: int, say: Callable[[str], None]) -> None:
        self.folder, self.keep, self.say = folder, keep, say
        self.failed = 0

    def save(self, env_steps: int, parts: dict[str, Part]) -> None:
        """Write a checkpoint. SavingFailed at the third failure in a row; the first two are told and passed over."""
        try:
            write(self.folder, env_steps, parts, self.keep)
        except OSError as error:
            self.failed += 1
            told = f"{self._trouble(parts, error)}; attempt {self.failed} of {PATIENCE}"
            if self.failed >= PATIENCE:
                raise SavingFailed(f"{told}. The run stops; its last complete checkpoint is intact") from None
            self.say(f"{told}; the run goes on")
            return
        self.failed = 0

    def _trouble(self, parts: dict[str, Part], error: OSError) -> str:
        needed = sum(array.nbytes for arrays, _ in parts.values() for array in arrays.values())
        free = shutil.disk_usage(self.folder).free
        return (
            f"no checkpoint could be written to {self.folder} ({error.strerror or error}): it needs about {needed:,} "
            f"bytes, {free:,} are free"
        )
