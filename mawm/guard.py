"""Between an environment and everybody else: what is not as it should be goes no further."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.types import Ints, Step, VectorEnv


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


class Guard:
    """A vector environment whose every answer is looked at before anybody uses it (some 20 microseconds a step).

    EnvFault for an answer that takes longer than `timeout_s` (None: the environment is code of ours that cannot hang,
    and is called without a thread between), an error, another shape or type, a number that is not
    finite, an agent without any action, a battle that ends in two ways at once or is won without having ended. After a
    fault it answers no more: what the environment holds then is unknown. A user's mistake (an action that is not
    available) stays the ValueError that it is.
    """

    def __init__(self, env: VectorEnv, name: str, timeout_s: float | None = None) -> None:
        self.env, self.name, self.timeout_s = env, name, timeout_s
        self.spaces, self.batch = env.spaces, env.batch
        sizes = {**vars(env.spaces), "batch": env.batch}
        self._expected = {
            field: (tuple(sizes[axis] for axis in axes), np.dtype(kind)) for field, (axes, kind) in FIELDS.items()
        }
        self._steps = np.zeros(env.batch, np.int64)
        self._battles = np.arange(env.batch, dtype=np.int64)
        self._begun = 0
        self._fault: EnvFault | None = None
        self._lane = None if timeout_s is None else _Lane(name, timeout_s)

    def reset(self) -> Step:
        """Begin B fresh battles, as the environment does."""
        step = self._asked("reset", self.env.reset)
        self._battles += self.batch * self._begun
        self._begun = 1
        self._steps[:] = 0
        return step

    def step(self, actions: Ints) -> Step:
        """Play one step in every battle, as the environment does."""
        step = self._asked("step", lambda: self.env.step(actions))
        over = step.terminated | step.truncated
        self._steps = np.where(over, 0, self._steps + 1)
        self._battles = np.where(over, self._battles + self.batch, self._battles)
        return step

    def _asked(self, what: str, call: Callable[[], Step]) -> Step:
        if self._fault is not None:
            raise self._fault
        try:
            answer = call() if self._lane is None else self._lane.ask(call)
            self._check(what, answer)
        except ValueError:  # an action that is not available: nothing was played
            raise
        except EnvFault as fault:
            self._fault = fault
        except TimeoutError:
            self._fault = EnvFault(f"{self._where()}: {what} gave no answer within {self.timeout_s:g} s")
        except Exception as error:
            said = str(error) or "without a message"
            self._fault = EnvFault(f"{self._where()}: {what} raised {type(error).__name__}: {said}")
        if self._fault is not None:
            raise self._fault
        return answer

    def _where(self, row: int | None = None) -> str:
        rows = range(self.batch) if row is None else [row]
        battles = ", ".join(str(self._battles[r]) for r in list(rows)[:4]) + (", ..." if len(rows) > 4 else "")
        steps = ", ".join(str(self._steps[r] + 1) for r in list(rows)[:4]) + (", ..." if len(rows) > 4 else "")
        return f"environment {self.name}, battle {battles}, step {steps}"

    def _check(self, what: str, step: Step) -> None:
        if not isinstance(step, Step):
            raise EnvFault(f"{self._where()}: {what} returned {type(step).__name__}; expected a Step")
        for field, (shape, kind) in self._expected.items():
            value = getattr(step, field)
            found = (getattr(value, "shape", None), getattr(value, "dtype", type(value).__name__))
            if found != (shape, kind):
                raise EnvFault(f"{self._where()}: {field} is {found[1]} {found[0]}; expected {kind} {shape}")
        self._check_values(step)

    def _check_values(self, step: Step) -> None:
        for field in FINITE:
            value = getattr(step, field)
            if not np.isfinite(value).all():
                at = np.argwhere(~np.isfinite(value))[0]
                self._refuse(field, at, f"holds {value[tuple(at)]}; expected finite numbers")
        if not step.avail.any(-1).all():
            self._refuse("avail", np.argwhere(~step.avail.any(-1))[0], "forbids every action; expected one at least")
        both, unended = step.terminated & step.truncated, step.battle_won & ~(step.terminated | step.truncated)
        if both.any():
            self._refuse("terminated", np.argwhere(both)[0], "and truncated are both true; a battle ends in one way")
        if unended.any():
            self._refuse("battle_won", np.argwhere(unended)[0], "is true in a battle that goes on")

    def _refuse(self, field: str, at: NDArray[np.int64], why: str) -> None:
        by_agent = field in ("obs", "avail", "final_obs")
        agent = f", agent {at[1]}" if by_agent else ""
        raise EnvFault(f"{self._where(int(at[0]))}{agent}: {field} {why}")

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The environment's, and where its battles stand."""
        own = {"guard/steps": self._steps.copy(), "guard/battles": self._battles.copy()}
        return {**self.env.snapshot(), **own}

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> None:
        """Continue from a snapshot."""
        self.env.restore({name: array for name, array in snapshot.items() if not name.startswith("guard/")})
        self._steps, self._battles = snapshot["guard/steps"].copy(), snapshot["guard/battles"].copy()
        self._begun = 1


class _Lane:
    """One thread that makes calls, so that whoever waits for one need not wait for ever."""

    def __init__(self, name: str, timeout_s: float) -> None:
        self._name, self._timeout_s = name, timeout_s
        self._thread: threading.Thread | None = None
        self._asked, self._answered = threading.Semaphore(0), threading.Semaphore(0)
        self._call: Callable[[], Any] | None = None
        self._answer: Any = None

    def ask(self, call: Callable[[], Any]) -> Any:
        """The call's result; raises what it raised, or TimeoutError when it takes too long."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=f"environment {self._name}", daemon=True)
            self._thread.start()
        self._call = call
        self._asked.release()
        if not self._answered.acquire(timeout=self._timeout_s):
            raise TimeoutError
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def _serve(self) -> None:
        while True:
            self._asked.acquire()
            assert self._call is not None
            try:
                self._answer = self._call()
            except Exception as error:
                self._answer = error
            self._answered.release()
