"""Updates that were left out because a loss or a gradient was not finite: told, kept for a look, and counted."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from mawm.storage.atomic_files import write_synced
from mawm.team import Team
from mawm.types import Metrics

TOO_MANY = 10
"""Updates of one kind left out in a row after which a run stops."""
KEPT = 20
"""Batches that are written down at most."""


class Diverged(RuntimeError):
    """One learner's updates were left out too often in a row."""


class NonFiniteWatch:
    """Reads `skipped_updates` in what learners say. A learner that has left one out is asked what it was made of.

    The parameters are as they were before such an update, and other learners do not notice. The batch lies in the run's
    folder as `incident-STEPS-LEARNER-WHAT.safetensors`.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self.say = folder, say
        self.seen: dict[str, float] = {}
        self.kept = len(list(folder.glob("incident-*")))  # of before a resume

    def look(self, team: Team, names: Sequence[str], metrics: Sequence[Metrics], env_steps: int) -> None:
        """Take in a round's metrics of all learners. Diverged after ten updates in a row that had to be left out."""
        news = False
        for name, row in zip(names, metrics, strict=True):
            for tag, count in row.items():
                if tag.endswith("skipped_updates") and count > self.seen.get(f"{name}/{tag}", 0.0):
                    self.seen[f"{name}/{tag}"], news = count, True
        if not news:
            return
        for name, incidents in zip(names, team.incidents(), strict=True):
            for what, (in_a_row, arrays) in incidents.items():
                self._tell(name, what, in_a_row, arrays, env_steps)

    def _tell(self, name: str, what: str, in_a_row: int, arrays: dict[str, np.ndarray], env_steps: int) -> None:
        happened = f"{name}: {in_a_row} update(s) of its {what} in a row were not finite at {env_steps} steps"
        where = ""
        if self.kept < KEPT and arrays:
            self.kept += 1
            path = self.folder / f"incident-{env_steps:09d}-{name}-{what}.safetensors"
            try:
                write_synced(path, save({key: np.ascontiguousarray(value) for key, value in arrays.items()}))
                where = f"; the last batch lies in {path}"
            except OSError as error:
                where = f"; its batch cannot be written ({error.strerror})"
        if in_a_row >= TOO_MANY:
            raise Diverged(
                f"{happened}{where}. The run stops; its last checkpoint is intact. Try a lower learning rate, or "
                "look at the batch"
            )
        self.say(f"{happened}: left out, parameters are as before{where}")
