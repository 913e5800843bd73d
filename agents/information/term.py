"""What is added to imagined rewards: nothing, or an estimate of how much the imagined observations would tell."""

from typing import Any, Protocol

from numpy.typing import NDArray
from torch import Tensor

from mawm.agents.actor_critic import Head, Imagined
from mawm.agents.rssm import Posteriors
from mawm.agents.world_model import Batch, WorldModel

Arrays = dict[str, NDArray[Any]]


class Intrinsic(Protocol):
    """lambda * I of G Eq. 5 and A Eq. 6, per imagined arrival. It reads the world model and never writes to it."""

    def learn(self, batch: Batch, post: Posteriors) -> None:
        """Take in what the world model has just been fitted on, observations scaled, and the latent states it found."""

    def gains(self, model: WorldModel, imagined: Imagined, noise: Tensor) -> Tensor | None:
        """Nats (H, B) that the arrivals of these rollouts would tell; None while there is nothing to compare with.

        noise (H, B, G + 1) is what the rollouts were imagined with. A gain may be negative.
        """

    def remember(self, actor: Head, env_steps: int) -> None:
        """Take note of the policy as it is now."""

    def compare_with(self, policies: Arrays) -> None:
        """Take in explorers' policies (the gate's policy and open mode)."""

    def incident(self) -> tuple[int, Arrays] | None:
        """An update that was not finite since the last call (`Optimiser.incident`); None without."""

    @property
    def skipped(self) -> int:
        """Updates that were left out so far."""

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Arrays by name and a JSON-able rest."""

    def load_state(self, arrays: Arrays, rest: dict[str, Any]) -> None:
        """Continue from `state`."""


class NoInformation:
    """lambda = 0."""

    def learn(self, batch: Batch, post: Posteriors) -> None:
        """Nothing."""

    def gains(self, model: WorldModel, imagined: Imagined, noise: Tensor) -> Tensor | None:
        """None."""

    def remember(self, actor: Head, env_steps: int) -> None:
        """Nothing."""

    def compare_with(self, policies: Arrays) -> None:
        """Nothing."""

    def incident(self) -> tuple[int, Arrays] | None:
        """None."""
        return None

    @property
    def skipped(self) -> int:
        """None."""
        return 0

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Nothing."""
        return {}, {}

    def load_state(self, arrays: Arrays, rest: dict[str, Any]) -> None:
        """Nothing."""
