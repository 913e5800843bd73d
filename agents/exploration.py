"""How much the actor explores: the weight of the entropy bonus."""

import math

from mawm.agents.config import BehaviourConfig

RATE = 0.05
LEAST, MOST = 1e-4, 1.0


class EntropyWeight:
    """Weight of the entropy bonus in the actor's loss.

    With `entropy_target` 0 it is Z's: `entropy` x `entropy_decay` per 100 environment steps. Otherwise the target
    decays instead, and each gradient step moves the weight so that the policy's entropy, as a share of the log of the
    number of available actions, comes to the target: log w += 0.05 (target - share). Advantages are divided by a
    running range of returns that grows tenfold while a team learns: no fixed weight fits both its start and its end.
    """

    def __init__(self, config: BehaviourConfig) -> None:
        self.config = config
        self.log_weight = math.log(max(config.entropy, LEAST))

    def target(self, env_steps: int) -> float:
        """The share of its greatest entropy that the policy should keep now."""
        return self.config.entropy_target * math.pow(self.config.entropy_decay, env_steps / 100.0)

    def weight(self, env_steps: int) -> float:
        """The weight now."""
        if self.config.entropy_target == 0.0:
            return self.config.entropy * math.pow(self.config.entropy_decay, env_steps / 100.0)
        return math.exp(self.log_weight)

    def adapt(self, share: float, env_steps: int) -> None:
        """Take in the entropy share of one gradient step's rows; one that is not finite is ignored."""
        if not math.isfinite(share):
            return
        moved = self.log_weight + RATE * (self.target(env_steps) - share)
        self.log_weight = min(math.log(MOST), max(math.log(LEAST), moved))
