"""When a battle counts as won: the setting `success`."""

import re
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.envs.checked import rendered
from mawm.types import Bools, Ints, Rendered, Step, VectorEnv

AUTO, REPORTED = "auto", "battle_won"
RELATIVE = 1e-5
"""Rounding that a return may have, as a share of the threshold (at least of 1): rewards are 32-bit numbers."""
_RETURN = re.compile(r"\s*return\s*>=\s*(\S+)\s*")
_NAME = re.compile(r"[A-Za-z_]\w*")


def threshold_of(success: str) -> float | None:
    """The least return of a won battle, from `return>=NUMBER`; None if a flag decides. ValueError for another text."""
    if _NAME.fullmatch(success) and success != "return":
        return None
    found = _RETURN.fullmatch(success)
    with suppress(ValueError):
        if found is not None and np.isfinite(value := float(found[1])):
            return value
    raise ValueError(
        f"success is {success!r}; it must be auto, battle_won, another flag in the infos of your environment, or "
        "return>=NUMBER, in quotes because of the shell: --success 'return>=5'"
    )


def flag_of(success: str) -> str:
    """The flag in an environment's infos that marks a won battle."""
    return REPORTED if success == AUTO or threshold_of(success) is not None else success


def described(success: str) -> str:
    """What a won battle is, for the first lines of a run and for reports; empty if nothing was named."""
    threshold = None if success == AUTO else threshold_of(success)
    if threshold is not None:
        return f"a battle counts as won if its return is at least {threshold:g}"
    return "" if success in (AUTO, REPORTED) else f"a battle counts as won if its last infos say {success}"


class ReturnThreshold:
    """A vector environment in which a battle is won if its return, the sum of its rewards, reaches a threshold.

    Everything that depends on won battles follows: win rates, and the target of the policy's entropy.
    """

    def __init__(self, env: VectorEnv, threshold: float) -> None:
        self.env, self.spaces, self.batch = env, env.spaces, env.batch
        self.least = threshold - RELATIVE * max(1.0, abs(threshold))
        self._returns = np.zeros(env.batch, np.float64)

    def reset(self) -> Step:
        """Begin B new battles."""
        self._returns[:] = 0.0
        return self.env.reset()

    def step(self, actions: Ints) -> Step:
        """Play one step in every battle."""
        step = self.env.step(actions)
        over: Bools = step.terminated | step.truncated
        self._returns += step.reward
        fields = {**vars(step), "battle_won": over & (self._returns >= self.least)}
        self._returns[over] = 0.0
        return Step(**fields)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The environment's snapshot, with the returns of the running battles (B,)."""
        return {**self.env.snapshot(), "success/returns": self._returns.copy()}

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> Step | None:
        """Continue from a snapshot, or return the start of new battles."""
        rest = dict(snapshot)
        self._returns = rest.pop("success/returns").copy()
        begun = self.env.restore(rest)
        if begun is not None:
            self._returns[:] = 0.0
        return begun

    def render(self) -> Rendered:
        """The environment's pictures."""
        return rendered(self.env)

    def close(self) -> None:
        """Close the environment."""
        self.env.close()


def with_success(env: VectorEnv, success: str) -> VectorEnv:
    """The environment with won battles as the setting `success` defines them."""
    threshold = None if success == AUTO else threshold_of(success)
    return env if threshold is None else ReturnThreshold(env, threshold)
