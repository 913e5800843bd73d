"""Between an environment and everybody else: what is not as it should be goes no further."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mawm.types import Ints, Step, VectorEnv

T = TypeVar("T")


class EnvFault(RuntimeError):
    """An environment raised, hung, or returned what cannot be. The message names it, battle, step, agent and field."""


FIELDS: dict[str, tuple[tuple[str, ...], type[np.generic]]] = {
    "obs": (("batch", "n_agents", "obs_size"), np.float32),
    "avail": (("batch", "n_agents", "n_actions"), np.bool_),
    "alive": (("batch", "n_agents"), np.bool_),
    "state": (("batch", "state_size"), np.float32),
    "reward": (("batch",), np.float32),
    "terminated": (("batch",), np.bool_),
    "truncated": (("batch",), np.bool_),
    "battle_won": (("batch",), np.bool_),
    "final_obs": (("batch", "n_agents", "obs_size"), np.float32),
    "final_avail": (("batch", "n_agents", "n_actions"), np.bool_),
    "final_alive": (("batch", "n_agents"), np.bool_),
}
"""Shape and type of every field of a `Step`."""
FINITE = ("obs", "state", "reward", "final_obs")


def told(what: str, error: Exception) -> str:
    """What a call that failed did, in words: "step raised RuntimeError: ...", "reset gave no answer within 60 s"."""
    if isinstance(error, TimeoutError):
        return f"{what} gave {error}"
    return f"{what} raised {type(error).__name__}: {str(error) or 'without a message'}"


class CheckedEnv:
    """A vector environment whose every answer is looked at before anybody uses it (some 20 microseconds a step).

    EnvFault for an error, no answer in time (where the environment keeps time: `mawm.envs.process`), another shape or
    type, a number that is not finite, an agent without any action, a battle that ends in two ways at once or is won
    without having ended. After a fault it answers no more: what the environment holds then is unknown. A user's mistake
    (an action that is not available) stays the ValueError that it is.
    """

    def __init__(self, env: VectorEnv, name: str) -> None:
        self.env, self.name = env, name
        self.spaces, self.batch = env.spaces, env.batch
        sizes = {**vars(env.spaces), "batch": env.batch}
        self._expected = {
            field: (tuple(sizes[axis] for axis in axes), np.dtype(kind)) for field, (axes, kind) in FIELDS.items()
        }
        self._steps = np.zeros(env.batch, np.int64)
        self._battles = np.arange(env.batch, dtype=np.int64)
        self._begun = 0
        self._fault: EnvFault | None = None

    def reset(self) -> Step:
        """Begin B fresh battles, as the environment does."""
        step = self._asked("reset", lambda: self._checked("reset", self.env.reset()))
        self._battles += self.batch * self._begun
        self._begun = 1
        self._steps[:] = 0
        return step

    def step(self, actions: Ints) -> Step:
        """Play one step in every battle, as the environment does."""
        step = self._asked("step", lambda: self._checked("step", self.env.step(actions)))
        over = step.terminated | step.truncated
        self._steps = np.where(over, 0, self._steps + 1)
        self._battles = np.where(over, self._battles + self.batch, self._battles)
        return step

    def _asked(self, what: str, call: Callable[[], T], mistakes: tuple[type[Exception], ...] = (ValueError,)) -> T:
        if self._fault is not None:
            raise self._fault
        try:
            return call()
        except mistakes:  # the caller's, say an action that is not available: nothing was played
            raise
        except EnvFault as fault:
            self._fault = fault
        except Exception as error:
            self._fault = EnvFault(f"{self._where()}: {told(what, error)}")
        raise self._fault

    def _where(self, row: int | None = None) -> str:
        rows = range(self.batch) if row is None else [row]
        battles = ", ".join(str(self._battles[r]) for r in list(rows)[:4]) + (", ..." if len(rows) > 4 else "")
        steps = ", ".join(str(self._steps[r] + 1) for r in list(rows)[:4]) + (", ..." if len(rows) > 4 else "")
        return f"environment {self.name}, battle {battles}, step {steps}"

    def _checked(self, what: str, step: Step) -> Step:
        if not isinstance(step, Step):
            raise EnvFault(f"{self._where()}: {what} returned {type(step).__name__}; expected a Step")
        for field, (shape, kind) in self._expected.items():
            value = getattr(step, field)
            found = (getattr(value, "shape", None), getattr(value, "dtype", type(value).__name__))
            if found != (shape, kind):
                raise EnvFault(f"{self._where()}: {field} is {found[1]} {found[0]}; expected {kind} {shape}")
        self._check_values(step)
        return step

    def _check_values(self, step: Step) -> None:
        for field in FINITE:
            value = getattr(step, field)
            if not np.isfinite(value).all():
                at = np.argwhere(~np.isfinite(value))[0]
                self._refuse(field, at, f"holds {value[tuple(at)]}; expected finite numbers")
        # What could be done at the end of a battle counts where it was cut off: imagination goes on from there.
        for field, rows in (("avail", np.ones(self.batch, np.bool_)), ("final_avail", step.truncated)):
            none = rows[:, None] & ~getattr(step, field).any(-1)
            if none.any():
                self._refuse(field, np.argwhere(none)[0], "forbids every action; expected one at least")
        both, unended = step.terminated & step.truncated, step.battle_won & ~(step.terminated | step.truncated)
        if both.any():
            self._refuse("terminated", np.argwhere(both)[0], "and truncated are both true; a battle ends in one way")
        if unended.any():
            self._refuse("battle_won", np.argwhere(unended)[0], "is true in a battle that goes on")

    def _refuse(self, field: str, at: NDArray[np.int64], why: str) -> None:
        by_agent = field in ("obs", "avail", "final_obs", "final_avail")
        agent = f", agent {at[1]}" if by_agent else ""
        raise EnvFault(f"{self._where(int(at[0]))}{agent}: {field} {why}")

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The environment's, and where its battles stand."""
        own = {"guard/steps": self._steps.copy(), "guard/battles": self._battles.copy()}
        return {**self._asked("snapshot", self.env.snapshot), **own}

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> None:
        """Continue from a snapshot."""
        inner = {name: array for name, array in snapshot.items() if not name.startswith("guard/")}
        not_its_own = (ValueError, KeyError, IndexError, TypeError)
        self._asked("restore", lambda: self.env.restore(inner), not_its_own)
        self._steps, self._battles = snapshot["guard/steps"].copy(), snapshot["guard/battles"].copy()
        self._begun = 1

    def close(self) -> None:
        """Let the environment go."""
        self.env.close()
