"""Watches for non-finite updates: they are skipped, reported and counted, and their batches are saved."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from mawm.storage.atomic_files import write_synced
from mawm.team import Team
from mawm.types import Metrics

TOO_MANY = 10
"""Number of skipped updates of one kind in a row after which a run stops."""
KEPT = 20
"""Maximum number of saved batches."""


class Diverged(RuntimeError):
    """Too many updates of one learner were skipped in a row."""


class NonFiniteWatch:
    """Reads the metrics `skipped_updates` of learners and requests the batch of a skipped update.

    A skipped update changes no parameter and no other learner. Its batch is saved in the run's folder as
    `incident-STEPS-LEARNER-NETWORK.safetensors`.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self.folder, self.warn = folder, warn
        self.seen: dict[str, float] = {}
        self.kept = len(list(folder.glob("incident-*")))  # also from before a resume

    def look(self, team: Team, names: Sequence[str], metrics: Sequence[Metrics], env_steps: int) -> None:
        """Check a round's metrics of all learners. Diverged after ten skipped updates in a row."""
        skipped = False
        for name, row in zip(names, metrics, strict=True):
            for tag, count in row.items():
                if tag.endswith("skipped_updates") and count > self.seen.get(f"{name}/{tag}", 0.0):
                    self.seen[f"{name}/{tag}"], skipped = count, True
        if not skipped:
            return
        for name, incidents in zip(names, team.incidents(), strict=True):
            for network, (in_a_row, arrays) in incidents.items():
                self._report(name, network, in_a_row, arrays, env_steps)

    def _report(self, name: str, network: str, in_a_row: int, arrays: dict[str, np.ndarray], env_steps: int) -> None:
        happened = f"{name}: {in_a_row} update(s) of its {network} in a row were not finite at {env_steps} steps"
        where = ""
        if self.kept < KEPT and arrays:
            self.kept += 1
            path = self.folder / f"incident-{env_steps:09d}-{name}-{network}.safetensors"
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
        self.warn(f"{happened}: left out, parameters are as before{where}")
