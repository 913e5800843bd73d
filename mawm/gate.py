"""What a replay lets in: data of its own role, and nothing else."""

from mawm.types import Origin, Role


class ProvenanceError(ValueError):
    """An item of a foreign role was about to enter a replay."""


class Gate:
    """Stands at the only entrance of a replay and refuses every origin that is not of `role`."""

    def __init__(self, role: Role) -> None:
        self.role = role

    def check(self, origin: Origin) -> None:
        """Raise ProvenanceError, naming agent, role and episode, unless the origin has the gate's role."""
        if origin.role != self.role:
            raise ProvenanceError(
                f"a replay of role {self.role} refuses an item of agent {origin.agent}, role {origin.role}, "
                f"episode {origin.episode}"
            )
