"""The state of an agent that acts: one latent state and one previous action for each lane."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mawm.agents.averaged import AveragedPolicy
from mawm.agents.categorical import sample
from mawm.agents.compute import to_tensor
from mawm.agents.rssm import Latent
from mawm.types import Bools, Floats, Ints


class ActingMemory:
    """Acts in L independent lanes at once, from the agent's own observations.

    Each call of `act` draws one uniform number for each latent and one for each action. All modes draw equally many, so
    the mode does not change later random numbers. Lanes with a true value in `greedy` (L,) take the mode of the policy
    where the others sample.
    """

    def __init__(self, policy: AveragedPolicy, lanes: int, device: str, greedy: Bools | None = None) -> None:
        self.policy = policy
        self.device = device
        self.greedy = self._tensor(np.zeros(lanes, np.bool_) if greedy is None else greedy)
        self.state = policy.model.rssm.initial(lanes)
        self.prev_action = np.zeros(lanes, np.int64)

    @torch.no_grad()
    def act(self, obs: Floats, avail: Bools, is_first: Bools, mode: str, rng: np.random.Generator) -> Ints:
        """Actions (L,) for observations (L, O): `sample` the policy, take its mode (`greedy`), or act at `random`.

        Latents are sampled in every mode, because the actor learned on sampled latents.
        """
        lanes, groups = self.state.stoch.shape
        noise = rng.random((lanes, groups + 1), dtype=np.float32)
        allowed = torch.from_numpy(avail).to(self.device)
        self.state = self.policy.model.rssm.observe_step(
            self.state,
            self._tensor(obs),
            self._tensor(self.prev_action),
            self._tensor(is_first),
            self._tensor(noise[:, :-1]),
        )
        if mode == "random":
            probs = allowed / allowed.sum(-1, keepdim=True)
        else:
            probs = torch.softmax(self.policy.logits(self.state, allowed), -1)
        likeliest, sampled = probs.argmax(-1), sample(probs, self._tensor(noise[:, -1]))
        action = {
            "greedy": likeliest,
            "sample": torch.where(self.greedy, likeliest, sampled),
            "random": sampled,
        }[mode]
        self.prev_action = action.cpu().numpy().astype(np.int64)
        return self.prev_action.copy()

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return to_tensor(array, self.device)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The state as arrays by name."""
        return {
            "deter": self.state.deter.cpu().numpy(),
            "stoch": self.state.stoch.cpu().numpy(),
            "prev_action": self.prev_action,
        }

    def load(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Continue from `arrays`."""
        self.state = Latent(self._tensor(arrays["deter"]), self._tensor(arrays["stoch"]))
        self.prev_action = np.asarray(arrays["prev_action"], np.int64)
