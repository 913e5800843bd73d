"""How much the actor explores: the weight of the entropy bonus, steered to a target or on a clock."""

import math
from collections.abc import Callable
from typing import Any, Protocol

from mawm.agents.config import BehaviourConfig

LEAST, MOST = 1e-4, 1.0
"""Bounds of a steered weight."""
PROPORTIONAL, INTEGRAL = 8.0, 0.015
"""Gains of the steering, per nat of log(target / share)."""
FALL, RISE = 0.002, 0.02
"""Most that the slow part of the steering falls or rises in one gradient step, in nats of the weight."""
UNIFORM = 0.98
"""From this entropy share on a policy has chosen nothing yet."""


class Exploration(Protocol):
    """The weight of the entropy bonus in the actor's loss, over a run."""

    def weight(self, env_steps: int) -> float:
        """The weight now."""

    def adapt(self, share: float, env_steps: int) -> None:
        """Take in one gradient step, on whose rows the policy had this share of its greatest entropy."""

    def set_share_won(self, won: float) -> None:
        """Take in the share of its latest battles that the team won in training."""

    def state(self) -> dict[str, Any]:
        """What to go on from, JSON-able."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""


class Steered:
    """Moves the weight so that the policy's entropy, as a share of the greatest possible one, comes to a target.

    With the error e = log(target / share) after each gradient step,

        log weight = slow + 8 e,    slow += clip(0.015 e, -0.002, 0.02) unless share >= 0.98

    The first term reacts at once. It is needed because the policy reacts to the weight with a delay: with the slow term
    alone, the entropy would fall far below the target before the weight had risen again. The slow term starts at log
    `entropy` and converges to the weight that keeps the entropy at the target. It falls slowly, and does not change
    while the policy is still uniform: then no advantage has been learned, so the entropy gives no information about
    the right weight. The greatest entropy is the log of the number of
    available actions. The target falls with what the team has learned, and with no clock: with w the share of the last
    100 battles of training that it won, it is `entropy_final` + (1 - w)^2 (`entropy_target` - `entropy_final`), times
    `entropy_decay` (1 by default) per 100 environment steps. The square lets the first wins count: a policy that draws
    half of its actions at random wins few battles, however good the others are.
    """

    def __init__(self, config: BehaviourConfig) -> None:
        self.config = config
        self.slow = _bounded(math.log(max(config.entropy, LEAST)))
        self.error, self.won = 0.0, 0.0

    def target(self, env_steps: int) -> float:
        """The share of its greatest entropy that the policy should keep now."""
        first, last = self.config.entropy_target, self.config.entropy_final
        share = last + (first - last) * (1.0 - self.won) ** 2
        return share * math.pow(self.config.entropy_decay, env_steps / 100.0)

    def set_share_won(self, won: float) -> None:
        """Let the target follow."""
        self.won = won

    def weight(self, env_steps: int) -> float:
        """The weight now, within [1e-4, 1]."""
        return math.exp(_bounded(self.slow + PROPORTIONAL * self.error))

    def adapt(self, share: float, env_steps: int) -> None:
        """Take in the entropy share of one gradient step's rows; one that is not finite is ignored."""
        if not math.isfinite(share):
            return
        self.error = math.log(max(self.target(env_steps), 1e-3) / max(share, 1e-3))
        if share < UNIFORM:
            self.slow = _bounded(self.slow + min(RISE, max(-FALL, INTEGRAL * self.error)))

    def state(self) -> dict[str, Any]:
        """The slow term, the last error and the share of battles won."""
        return {"slow": self.slow, "error": self.error, "won": self.won}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.slow, self.error, self.won = (float(state[name]) for name in ("slow", "error", "won"))


class StepDecay:
    """A weight that depends on the clock alone: `entropy` x `entropy_decay` per 100 environment steps."""

    def __init__(self, config: BehaviourConfig) -> None:
        self.config = config

    def weight(self, env_steps: int) -> float:
        """The weight now."""
        return self.config.entropy * math.pow(self.config.entropy_decay, env_steps / 100.0)

    def adapt(self, share: float, env_steps: int) -> None:
        """The policy changes nothing."""

    def set_share_won(self, won: float) -> None:
        """Battles change nothing."""

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Nothing."""


class UpdateDecay:
    """`entropy` x `entropy_decay` per gradient step of the actor, as in MAMBA, the code that Z builds on."""

    def __init__(self, config: BehaviourConfig) -> None:
        self.config = config
        self.updates = 0

    def weight(self, env_steps: int) -> float:
        """The weight now."""
        return self.config.entropy * math.pow(self.config.entropy_decay, self.updates)

    def adapt(self, share: float, env_steps: int) -> None:
        """Count the step."""
        self.updates += 1

    def set_share_won(self, won: float) -> None:
        """Battles change nothing."""

    def state(self) -> dict[str, Any]:
        """Gradient steps so far."""
        return {"updates": self.updates}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.updates = int(state["updates"])


def exploration(config: BehaviourConfig) -> Exploration:
    """The rule that a setting names."""
    rules: dict[str, Callable[[BehaviourConfig], Exploration]]
    rules = {"target": Steered, "env_steps": StepDecay, "updates": UpdateDecay}
    return rules[config.entropy_rule](config)


def _bounded(log_weight: float) -> float:
    return min(math.log(MOST), max(math.log(LEAST), log_weight))
