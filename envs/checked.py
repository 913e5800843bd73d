"""Validates every answer of an environment before it is used."""

import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mawm.types import Bools, Ints, Rendered, Step, VectorEnv

T = TypeVar("T")


class EnvFault(RuntimeError):
    """An environment raised, hung, or gave an invalid answer. The message names environment, battle, step and field."""

    mistake = False
    """Whether the exception is one that a mistake in the environment's code raises."""


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
MISTAKES = (
    TypeError, ValueError, AttributeError, NameError, LookupError, AssertionError, ImportError, SyntaxError,
    ArithmeticError, NotImplementedError,
)  # fmt: skip
"""Exceptions that a restart does not cure: the code has a mistake, or is called in a way that it does not expect."""


def _names(kinds: Iterable[type[BaseException]]) -> Iterator[str]:
    """The names of exceptions and of the kinds below them."""
    for kind in kinds:
        yield kind.__name__
        yield from _names(kind.__subclasses__())


NAMES_OF_MISTAKES = frozenset((*_names(MISTAKES), "InvalidAnswer"))
"""An exception of another process is not of the same class here: only its name is."""
FINITE = ("obs", "state", "reward", "final_obs")


def check_actions(
    actions: Ints, avail: Bools, battles: NDArray[Any], battle: str = "battle", agent: str = "agent"
) -> None:
    """ValueError for actions of another shape than (B, N), or the first one that its mask in `avail` (B, N, A) forbids.

    `battles` (B,) are the battles' numbers; `battle` and `agent` are the words for them in the message.
    """
    if actions.shape != avail.shape[:2]:
        expected = f"({battle}s, {agent}s) = {avail.shape[:2]}"
        raise ValueError(f"actions have shape {actions.shape}; expected {expected}")
    inside = (actions >= 0) & (actions < avail.shape[2])
    allowed = np.take_along_axis(avail, np.where(inside, actions, 0)[..., None], -1)[..., 0] & inside
    if not allowed.all():
        row, i = np.argwhere(~allowed)[0]
        raise ValueError(
            f"{battle} {battles[row]}, {agent} {i}: action {actions[row, i]} is not available; available now: "
            f"{np.flatnonzero(avail[row, i]).tolist()}"
        )


def describe_failure(method: str, error: Exception) -> str:
    """Text for a failed call: "step raised RuntimeError: ...", "reset gave no answer within 60 s"."""
    if isinstance(error, TimeoutError):
        return f"{method} gave {error}"
    return f"{method} raised {type(error).__name__}: {str(error) or 'without a message'}"


def constructed(make: Callable[[], VectorEnv], where: str) -> VectorEnv:
    """A new environment. EnvFault if its construction fails; a ValueError is a user's mistake and stays one."""
    try:
        return make()
    except (EnvFault, ValueError):
        raise
    except Exception as error:
        raise EnvFault(f"{where}: {describe_failure('construction', error)}") from None


def source_of(error: BaseException) -> str:
    """Text with the file and line that raised an exception: " (my_env.py, line 7)"; empty for a file of this folder."""
    last = traceback.extract_tb((error.__cause__ or error).__traceback__)[-1]
    source = Path(last.filename)
    return "" if source.parent.resolve() == Path(__file__).parent.resolve() else f" ({source.name}, line {last.lineno})"


def rendered(env: VectorEnv) -> Rendered:
    """The pictures that belong to the last answer of a vector environment; without a `render` there are none."""
    render: Callable[[], Rendered] | None = getattr(env, "render", None)
    return Rendered((), "this kind of environment draws no pictures") if render is None else render()


class CheckedEnv:
    """A vector environment whose answers are validated (about 20 microseconds a step).

    EnvFault for an exception, a timeout (of `mawm.envs.process`), a wrong shape or type, a non-finite number, an agent
    without available action, a battle that is both terminated and truncated, or one that is won before its end. After a
    fault every call raises it again, because the environment's state is unknown. A caller's mistake (an unavailable
    action) is a ValueError.

    Messages name row b's battles `first_battle` + b, then + `stride` (default: B), and so on.
    """

    def __init__(self, env: VectorEnv, name: str, *, first_battle: int = 0, stride: int | None = None) -> None:
        self.env, self.name = env, name
        self.spaces, self.batch = env.spaces, env.batch
        sizes = {**vars(env.spaces), "batch": env.batch}
        self._expected = {
            field: (tuple(sizes[axis] for axis in axes), np.dtype(kind)) for field, (axes, kind) in FIELDS.items()
        }
        self._steps = np.zeros(env.batch, np.int64)
        self._battles = np.arange(first_battle, first_battle + env.batch, dtype=np.int64)
        self._stride = env.batch if stride is None else stride
        self._begun = 0
        self._fault: EnvFault | None = None

    def reset(self) -> Step:
        """Begin B new battles."""
        step = self._call("reset", lambda: self._checked("reset", self.env.reset()))
        self._battles += self._stride * self._begun
        self._begun = 1
        self._steps[:] = 0
        return step

    def step(self, actions: Ints) -> Step:
        """Play one step in every battle."""
        step = self._call("step", lambda: self._checked("step", self.env.step(actions)))
        over = step.terminated | step.truncated
        self._steps = np.where(over, 0, self._steps + 1)
        self._battles = np.where(over, self._battles + self._stride, self._battles)
        return step

    def _call(self, method: str, call: Callable[[], T], mistakes: tuple[type[Exception], ...] = (ValueError,)) -> T:
        if self._fault is not None:
            raise self._fault
        try:
            return call()
        except mistakes:  # of the caller, e.g. an unavailable action: no step was played
            raise
        except EnvFault as fault:
            self._fault = fault
        except Exception as error:
            self._fault = EnvFault(f"{self._where()}: {describe_failure(method, error)}")
            self._fault.mistake = type(error).__name__ in NAMES_OF_MISTAKES
        raise self._fault

    def _where(self, row: int | None = None) -> str:
        rows = list(range(self.batch)) if row is None else [row]
        more = ", ..." if len(rows) > 4 else ""
        battles, steps = (", ".join(str(x) for x in of[rows[:4]]) + more for of in (self._battles, self._steps + 1))
        return f"environment {self.name}, battle {battles}, step {steps}"

    def _checked(self, method: str, step: Step) -> Step:
        if not isinstance(step, Step):
            raise EnvFault(f"{self._where()}: {method} returned {type(step).__name__}; expected a Step")
        for field, (shape, kind) in self._expected.items():
            value = getattr(step, field)
            got_shape, got_kind = getattr(value, "shape", None), getattr(value, "dtype", type(value).__name__)
            if (got_shape, got_kind) != (shape, kind):
                raise EnvFault(f"{self._where()}: {field} is {got_kind} {got_shape}; expected {kind} {shape}")
        self._check_values(step)
        return step

    def _check_values(self, step: Step) -> None:
        for field in FINITE:
            value = getattr(step, field)
            if not np.isfinite(value).all():
                at = np.argwhere(~np.isfinite(value))[0]
                self._refuse(field, at, f"holds {value[tuple(at)]}; expected finite numbers")
        # The final mask matters only in a truncated battle, because rollouts may start in its last state.
        for field, rows in (("avail", np.ones(self.batch, np.bool_)), ("final_avail", step.truncated)):
            none = rows[:, None] & ~getattr(step, field).any(-1)
            if none.any():
                self._refuse(field, np.argwhere(none)[0], "forbids every action; expected at least one")
        both, unended = step.terminated & step.truncated, step.battle_won & ~(step.terminated | step.truncated)
        if both.any():
            self._refuse("terminated", np.argwhere(both)[0], "and truncated are both true; at most one may be true")
        if unended.any():
            self._refuse("battle_won", np.argwhere(unended)[0], "is true in a battle that has not ended")

    def _refuse(self, field: str, at: NDArray[np.int64], reason: str) -> None:
        by_agent = field in ("obs", "avail", "final_obs", "final_avail")
        agent = f", agent {at[1]}" if by_agent else ""
        raise EnvFault(f"{self._where(int(at[0]))}{agent}: {field} {reason}")

    def render(self) -> Rendered:
        """The pictures of the environment."""
        return self._call("render", lambda: rendered(self.env))

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The environment's snapshot, with the battle and step number of each row."""
        own = {"guard/steps": self._steps.copy(), "guard/battles": self._battles.copy()}
        return {**self._call("snapshot", self.env.snapshot), **own}

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> Step | None:
        """Continue from a snapshot, or return the start of new battles."""
        inner = {name: array for name, array in snapshot.items() if not name.startswith("guard/")}
        # The last argument: errors for a snapshot of another environment are the caller's mistake.
        begun = self._call("restore", lambda: self.env.restore(inner), (ValueError, KeyError, IndexError, TypeError))
        self._steps, self._battles = snapshot["guard/steps"].copy(), snapshot["guard/battles"].copy()
        self._begun = 1
        if begun is None:
            return None
        self._steps, self._battles = np.zeros_like(self._steps), self._battles + self._stride
        return self._call("restore", lambda: self._checked("restore", begun))

    def close(self) -> None:
        """Close the environment."""
        self.env.close()
