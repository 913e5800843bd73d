"""The weight of the policy's entropy in the actor's loss: steered to a target entropy, or decaying with time."""

import math

from mawm.agents.config import BehaviourConfig
from mawm.types import Saved

LEAST, MOST = 1e-4, 1.0
"""Bounds of a steered weight."""
PROPORTIONAL, INTEGRAL = 8.0, 0.015
"""Gains of the controller, per nat of log(target / share)."""
FALL, RISE = 0.002, 0.02
"""Largest decrease and increase of the slow term in one gradient step, in nats of the weight."""
UNIFORM = 0.98
"""Entropy share from which on a policy counts as uniform."""


class Exploration(Saved):
    """A rule for the weight of the entropy bonus. By default it has no state and ignores policy and battles."""

    def __init__(self, config: BehaviourConfig) -> None:
        self.config = config

    def weight(self, env_steps: int) -> float:
        """The present weight."""
        raise NotImplementedError

    def adapt(self, share: float, env_steps: int) -> None:
        """Process one gradient step, on whose rows the policy had this share of its maximum entropy."""

    def set_share_won(self, won: float) -> None:
        """Set the share of its latest training battles that the team won."""


class Steered(Exploration):
    """Steers the weight so that the policy's entropy, as a share of its maximum, reaches a target.

    With the error e = log(target / share) after each gradient step,

        log weight = slow + 8 e,    slow += clip(0.015 e, -0.002, 0.02) unless share >= 0.98

    The first term reacts at once. It is needed because the policy reacts to the weight with a delay: with the slow term
    alone, the entropy would fall far below the target before the weight had risen again. The slow term starts at log
    `entropy` and converges to the weight that keeps the entropy at the target. It falls slowly, and does not change
    while the policy is still uniform: then no advantage has been learned, so the entropy gives no information about
    the right weight. The maximum entropy is the log of the number of available actions.

    The target depends on the share w of the last 100 training battles that the team won, and by default not on time:
    it is `entropy_final` + (1 - w)^2 (`entropy_target` - `entropy_final`), times `entropy_decay` (1 by default) per 100
    environment steps. It is quadratic so that the first wins lower it strongly: a policy that draws half of its actions
    at random wins few battles, even if its other actions are good. For the same reason w also counts the battles with
    greedy actions (`greedy_battles`).
    """

    SAVED = ("slow", "error", "won")

    def __init__(self, config: BehaviourConfig) -> None:
        super().__init__(config)
        self.slow = _bounded(math.log(max(config.entropy, LEAST)))
        self.error, self.won = 0.0, 0.0

    def target(self, env_steps: int) -> float:
        """The present target: a share of the maximum entropy."""
        first, last = self.config.entropy_target, self.config.entropy_final
        share = last + (first - last) * (1.0 - self.won) ** 2
        return share * math.pow(self.config.entropy_decay, env_steps / 100.0)

    def set_share_won(self, won: float) -> None:
        """Set the share of battles won, which the target depends on."""
        self.won = won

    def weight(self, env_steps: int) -> float:
        """The present weight, within [1e-4, 1]."""
        return math.exp(_bounded(self.slow + PROPORTIONAL * self.error))

    def adapt(self, share: float, env_steps: int) -> None:
        """Update the controller with the entropy share of one gradient step; a non-finite share is ignored."""
        if not math.isfinite(share):
            return
        self.error = math.log(max(self.target(env_steps), 1e-3) / max(share, 1e-3))
        if share < UNIFORM:
            self.slow = _bounded(self.slow + min(RISE, max(-FALL, INTEGRAL * self.error)))


class StepDecay(Exploration):
    """The weight is `entropy` x `entropy_decay` per 100 environment steps."""

    def weight(self, env_steps: int) -> float:
        """The present weight."""
        return self.config.entropy * math.pow(self.config.entropy_decay, env_steps / 100.0)


class UpdateDecay(Exploration):
    """The weight is `entropy` x `entropy_decay` per gradient step of the actor, as in MAMBA, which Z builds on."""

    SAVED = ("updates",)

    def __init__(self, config: BehaviourConfig) -> None:
        super().__init__(config)
        self.updates = 0

    def weight(self, env_steps: int) -> float:
        """The present weight."""
        return self.config.entropy * math.pow(self.config.entropy_decay, self.updates)

    def adapt(self, share: float, env_steps: int) -> None:
        """Count the gradient step."""
        self.updates += 1


def exploration(config: BehaviourConfig) -> Exploration:
    """The rule of the setting `entropy_rule`."""
    rules = {"target": Steered, "env_steps": StepDecay, "updates": UpdateDecay}
    return rules[config.entropy_rule](config)


def _bounded(log_weight: float) -> float:
    return min(math.log(MOST), max(math.log(LEAST), log_weight))
