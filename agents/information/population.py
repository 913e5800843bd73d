"""The policies pi_k that `policy_mi` compares with: the agent's own past policies, or those of explorers."""

import numpy as np
import torch
from torch import Tensor

from mawm.agents.actor_critic import Head
from mawm.agents.rssm import Latent
from mawm.agents.snapshot_weights import Arrays


class Snapshots:
    """The last K actors with latents of the present model, so that old ones do not act exactly as before."""

    def __init__(self, actor: Head, keep: int, device: str) -> None:
        self.actor, self.keep, self.device = actor, keep, device
        self.kept: list[dict[str, Tensor]] = []

    def __len__(self) -> int:
        return len(self.kept)

    def take(self) -> None:
        """Copy the actor; the new copy replaces the oldest one if there are K."""
        weights = {name: value.detach().clone() for name, value in self.actor.named_parameters()}
        self.kept = [*self.kept, weights][-self.keep :]

    def logits(self, latent: Latent, obs: Tensor) -> Tensor:
        """Logits (K, B, A): of policy k at latent states (K, B, ...) of row k. It does not use the observations."""
        rows = zip(self.kept, latent.deter, latent.stoch, strict=True)
        return torch.stack([torch.func.functional_call(self.actor, weights, (h, z)) for weights, h, z in rows])

    def state(self) -> Arrays:
        """The copies, oldest first."""
        return {f"{i}/{name}": w.cpu().numpy() for i, kept in enumerate(self.kept) for name, w in kept.items()}

    def load_state(self, arrays: Arrays) -> None:
        """Continue from `state`."""
        names = [name for name, _ in self.actor.named_parameters()]
        count = len({key.split("/")[0] for key in arrays})
        self.kept = [
            {name: torch.from_numpy(arrays[f"{i}/{name}"].copy()).to(self.device) for name in names}
            for i in range(count)
        ]


class FeaturePolicies:
    """Explorers' policies softmax(tanh(o P + s) W_k), applied to decoded observations."""

    FIELDS = ("projection", "shift", "weights")

    def __init__(self, arrays: Arrays, keep: int, device: str) -> None:
        """Projection (O, F), shift (F,), weights (K, F, A); non-finite policies are skipped."""
        weights = arrays["weights"]
        weights = weights[np.isfinite(weights).all((1, 2))][:keep]
        self.arrays = {**{name: arrays[name] for name in self.FIELDS}, "weights": weights}
        self._tensors = {
            name: torch.from_numpy(np.array(value, np.float32)).to(device) for name, value in self.arrays.items()
        }

    def __len__(self) -> int:
        return len(self.arrays["weights"])

    def logits(self, latent: Latent, obs: Tensor) -> Tensor:
        """Logits (K, B, A): of policy k at raw observations (K, B, O) of row k. It does not use the latent states."""
        t = self._tensors
        return torch.bmm(torch.tanh(obs @ t["projection"] + t["shift"]), t["weights"])


Population = Snapshots | FeaturePolicies
