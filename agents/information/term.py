"""The intrinsic reward of imagined arrivals: by default none."""

from typing import Any

from torch import Tensor

from mawm.agents.actor_critic import Head, Imagined
from mawm.agents.rssm import Posteriors
from mawm.agents.scales import ObservationScale
from mawm.agents.snapshot_weights import Arrays
from mawm.agents.world_model import Batch, WorldModel


class Intrinsic:
    """lambda * I of G Eq. 5 and A Eq. 6, per imagined arrival; by default lambda = 0. It never changes the model."""

    def learn(self, batch: Batch, post: Posteriors, scale: ObservationScale) -> None:
        """Learn from a batch of the world model and its posterior states; `scale` scales observations."""

    def gains(self, model: WorldModel, imagined: Imagined, noise: Tensor) -> Tensor | None:
        """Information gain in nats (H, B) of the arrivals of rollouts; None if there is none.

        noise (H, B, G + 1) is the noise of the rollouts. A gain may be negative.
        """
        return None

    def remember(self, actor: Head, env_steps: int) -> None:
        """Record the present policy."""

    def compare_with(self, policies: Arrays) -> None:
        """Use explorers' policies (the gate's policy and open mode)."""

    def incident(self) -> tuple[int, Arrays] | None:
        """The last non-finite update since the last call (`Optimiser.incident`); None if there is none."""
        return None

    @property
    def skipped(self) -> int:
        """Number of skipped updates."""
        return 0

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Arrays by name and values for JSON."""
        return {}, {}

    def load_state(self, arrays: Arrays, values: dict[str, Any]) -> None:
        """Continue from `state`."""
