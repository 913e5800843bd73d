"""The gate of a replay: it admits data of given roles only, and checks again when a batch is sampled."""

import numpy as np
from numpy.typing import NDArray

from mawm.types import ROLES, Origin, Role


class ProvenanceError(ValueError):
    """An item of a refused role was about to enter a replay, or to be used for an update."""


class Gate:
    """Refuses every origin whose role is not among `roles`, at the replay's entry and at sampling."""

    def __init__(self, *roles: Role) -> None:
        self.roles = frozenset(roles)
        self._admitted = np.array([role in self.roles for role in ROLES])

    def admits(self, role: Role) -> bool:
        """Whether data of this role may pass."""
        return role in self.roles

    def check(self, origin: Origin) -> None:
        """Raise ProvenanceError with agent, role and episode if the origin's role is refused."""
        if origin.role not in self.roles:
            self._refuse(origin)

    def check_rows(self, agent: NDArray[np.int16], role: NDArray[np.uint8], episode: NDArray[np.int64]) -> None:
        """The same for columns of origins (any shape); the error names the first refused row."""
        admitted = self._admitted[role]
        if not admitted.all():
            at = np.unravel_index(int(np.argmin(admitted)), admitted.shape)
            self._refuse(Origin(int(agent[at]), ROLES[int(role[at])], int(episode[at])))

    def _refuse(self, origin: Origin) -> None:
        raise ProvenanceError(
            f"a replay of role {' and '.join(sorted(self.roles))} refuses an item of agent {origin.agent}, "
            f"role {origin.role}, episode {origin.episode}"
        )
