"""What a replay lets in and what it lets out to be learned from: data of the roles that it admits."""

import numpy as np
from numpy.typing import NDArray

from mawm.types import ROLES, Origin, Role


class ProvenanceError(ValueError):
    """An item of a foreign role was about to enter a replay, or to be learned from."""


class Gate:
    """Refuses every origin whose role is not among `roles`, at the entrance of a replay and again at its exit."""

    def __init__(self, *roles: Role) -> None:
        self.roles = frozenset(roles)
        self._admitted = np.array([role in self.roles for role in ROLES])

    def admits(self, role: Role) -> bool:
        """Whether data of this role may pass."""
        return role in self.roles

    def check(self, origin: Origin) -> None:
        """Raise ProvenanceError, naming agent, role and episode, unless the origin's role is admitted."""
        if origin.role not in self.roles:
            self._refuse(origin)

    def check_rows(self, agent: NDArray[np.int16], role: NDArray[np.uint8], episode: NDArray[np.int64]) -> None:
        """The same for rows (any shape) that say where they come from; the first foreign one is named."""
        admitted = self._admitted[role]
        if not admitted.all():
            at = np.unravel_index(int(np.argmin(admitted)), admitted.shape)
            self._refuse(Origin(int(agent[at]), ROLES[int(role[at])], int(episode[at])))

    def _refuse(self, origin: Origin) -> None:
        raise ProvenanceError(
            f"a replay of role {' and '.join(sorted(self.roles))} refuses an item of agent {origin.agent}, "
            f"role {origin.role}, episode {origin.episode}"
        )
