"""Reads the answers of a PettingZoo `ParallelEnv`. Each error names the agent, the field, the value and the rule."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
from gymnasium import spaces

from mawm.types import Bools, Floats

Row = TypeVar("Row", Floats, Bools)


class InvalidAnswer(RuntimeError):
    """An answer of an environment has the wrong form, or is a ValueError."""


def action_count(space: Any, agent: Any) -> int:
    """Number of actions of a discrete space. ValueError for another space."""
    package = type(space).__module__.partition(".")[0]
    if package == "gym":
        raise ValueError(
            f"{agent} has action space {space} of the old package gym; use gymnasium.spaces.{type(space).__name__}"
        )
    if not isinstance(space, spaces.Discrete) or space.start != 0:
        raise ValueError(f"{agent} has action space {space}; only Discrete spaces that start at 0 are supported")
    return int(space.n)


def by_agent(field: str, answer: Any) -> Mapping[Any, Any]:
    """An answer that is a dictionary with the agents as keys."""
    if not isinstance(answer, Mapping):
        raise InvalidAnswer(f"{field} are of type {type(answer).__name__}; expected a dictionary by agent")
    return answer


def info_of(infos: Any, agent: Any) -> Mapping[str, Any]:
    """The infos of one agent; empty if there are none."""
    info = {} if infos is None else by_agent("infos", infos).get(agent)
    return {} if info is None else by_agent(f"infos of {agent}", info)


def flag(name: str, value: Any) -> bool:
    """A truth value: True, False, 0 or 1, also as an array of one element."""
    kept = np.asarray(value)
    if kept.size == 1 and kept.dtype.kind in "biuf" and kept.reshape(-1)[0] in (0, 1):
        return bool(kept.reshape(-1)[0])
    raise InvalidAnswer(f"{name} is {shown(value)}; expected True or False")


def told_flag(name: str, agent: Any, info: Mapping[str, Any], *, default: bool) -> bool:
    """A truth value in an agent's infos; the default if it is missing or None."""
    value = info.get(name)
    return default if value is None else flag(f"{name} of {agent}", value)


def flags(field: str, answer: Any) -> dict[Any, bool]:
    """The truth values of all agents."""
    return {agent: flag(f"{field} of {agent}", value) for agent, value in by_agent(field, answer).items()}


def number(name: str, value: Any) -> float:
    """A finite number, also as an array of one element."""
    try:
        kept = np.asarray(value, np.float64).reshape(-1)
    except (TypeError, ValueError):
        kept = np.zeros(0)
    if value is None or len(kept) != 1 or not np.isfinite(kept[0]):
        raise InvalidAnswer(f"{name} is {shown(value)}; expected one finite number")
    return float(kept[0])


def mask_of(agent: Any, value: Any, count: int) -> Bools:
    """The allowed actions (count,) from a mask of zeros and ones."""
    try:
        kept = np.asarray(value, np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise InvalidAnswer(f"the action mask of {agent} is {shown(value)}; expected zeros and ones") from None
    wrong = kept[~np.isin(kept, (0.0, 1.0))]
    if len(wrong):
        raise InvalidAnswer(
            f"the action mask of {agent} holds {wrong[0]:g}; expected 0 (not allowed) and 1 (allowed) only"
        )
    return of_length(f"the action mask of {agent}", kept.astype(np.bool_), count)


def flat(agent: Any, observation: Any) -> Floats:
    """An observation as one row of numbers, without its mask."""
    name = f"the observation of {agent}"
    value = observation
    if isinstance(observation, Mapping):
        if "observation" not in observation:
            raise InvalidAnswer(
                f"{name} has the keys {listed(observation)}; expected observation, and optionally action_mask"
            )
        value, name = observation["observation"], f"{name}, field observation,"
    if value is None:
        raise InvalidAnswer(
            f"{name} is None; leave out an agent that is out of the battle, or mark it with infos['{agent}']['alive'] "
            "= False"
        )
    if isinstance(value, Mapping):
        raise InvalidAnswer(f"{name} is a dictionary with the keys {listed(value)}; expected one array of numbers")
    try:
        with np.errstate(over="ignore"):  # a number that is too large becomes infinite, which is refused later
            return np.asarray(value, np.float32).reshape(-1)
    except (TypeError, ValueError) as error:
        raise InvalidAnswer(f"{name} is not one array of numbers ({error}); it is {shown(value)}") from None


def listed(names: Iterable[Any]) -> str:
    """The names, separated by commas."""
    return ", ".join(map(str, names))


def shown(value: Any) -> str:
    """A value in one line of at most 60 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def call(method: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call the environment. Its ValueErrors become RuntimeErrors, because they are not mistakes of the caller."""
    try:
        return function(*arguments, **named)
    except ValueError as error:
        raise InvalidAnswer(f"its {method} raised ValueError: {error}") from error


def parts(method: str, count: int, answer: Any) -> Any:
    """The answer, which must be a tuple of `count` values."""
    if not isinstance(answer, tuple) or len(answer) != count:
        got = f"{len(answer)} values" if isinstance(answer, tuple) else type(answer).__name__
        raise InvalidAnswer(f"its {method} returned {got}; expected a tuple of {count}")
    return answer


def of_length(name: str, row: Row, length: int) -> Row:
    """The row, which must have `length` numbers."""
    if len(row) != length:
        raise InvalidAnswer(f"{name} has {len(row)} numbers; expected {length}")
    return row
