"""Turns the environment of a user's factory into a PettingZoo `ParallelEnv`, whatever kind of environment it is."""

import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium import Env, spaces
from gymnasium.vector import VectorEnv
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import aec_to_parallel

from mawm.envs.parallel_answers import InvalidAnswer, listed, parts, shown

MASK, OBSERVATION = "action_mask", "observation"
PARTS = ("possible_agents", "reset", "step", "action_space")
"""What the adapter needs of a ParallelEnv."""


def as_parallel(env: Any) -> tuple[Any, str]:
    """The environment with the interface of a ParallelEnv, and how it was converted (empty if it was not).

    TypeError, which says what to return instead, for anything else.
    """
    if isinstance(env, type):
        raise TypeError(f"the factory returned the class {env.__name__}; return an object: {env.__name__}()")
    if isinstance(env, VectorEnv):
        raise TypeError(f"{type(env).__name__} is a vector of Gymnasium environments; return one of them, not a vector")
    if isinstance(env, AECEnv) or hasattr(env, "agent_iter"):
        env, how = _from_turns(env), f"PettingZoo AECEnv {_name(env)}, converted by aec_to_parallel"
    elif _is_gymnasium(env):
        env = GymnasiumTeam(env)
        agents = len(env.possible_agents)
        how = f"Gymnasium environment {_name(env.env)}, "
        how += f"{agents} agents from its tuples of spaces" if env.several else "a team of one agent"
    else:
        how = ""
    _check_parts(env)
    return env, how


def _check_parts(env: Any) -> None:
    """TypeError unless `env` has the parts of a ParallelEnv."""
    for name in PARTS:
        if not hasattr(env, name):
            raise TypeError(f"{_name(env)} has no {name}; return a PettingZoo ParallelEnv (docs/own_environment.md)")
    if not callable(env.action_space):
        raise TypeError(
            f"{_name(env)} has an action_space of type {type(env.action_space).__name__}; a PettingZoo ParallelEnv has "
            "a function action_space(agent), and observation_space(agent)"
        )
    names = [str(agent) for agent in env.possible_agents]
    if not names or len(set(names)) < len(names):
        raise TypeError(f"possible_agents are {listed(names) or 'none'}; expected at least one, and each name once")


def _name(env: Any) -> str:
    """The name of an environment and not of its wrappers: its id in Gymnasium, its own name, or its class."""
    metadata = getattr(env, "metadata", None)
    found = getattr(getattr(env, "spec", None), "id", None) or (isinstance(metadata, Mapping) and metadata.get("name"))
    return str(found) if found else type(getattr(env, "unwrapped", env)).__name__


def _from_turns(env: Any) -> Any:
    """An AECEnv as a ParallelEnv. TypeError if its agents cannot act at the same time."""
    metadata = getattr(env, "metadata", None) or {}
    if not metadata.get("is_parallelizable", False):
        raise TypeError(
            f"{_name(env)} is a PettingZoo AECEnv whose agents act in turn (its metadata do not say "
            "is_parallelizable), and only agents that act at the same time are supported. If its state changes only "
            "after the last agent of a cycle, set metadata['is_parallelizable'] = True"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it has no render_mode
        return aec_to_parallel(env)


def _is_gymnasium(env: Any) -> bool:
    """Whether `env` has the interface of Gymnasium, whose spaces are objects and not functions of an agent."""
    if hasattr(env, "possible_agents"):
        return False
    space = getattr(env, "observation_space", None)
    return isinstance(env, Env) or (space is not None and not callable(space) and hasattr(env, "action_space"))


def _items(space: Any) -> list[Any] | None:
    """The spaces in a tuple of spaces; None for another space."""
    if isinstance(space, tuple | list):
        return list(space)
    return list(space.spaces) if type(space).__name__ == "Tuple" else None


class GymnasiumTeam(ParallelEnv[str, Any, int]):
    """A Gymnasium environment as a ParallelEnv.

    If its action space is a tuple of spaces, it has an agent for each of them (`agent_0`, `agent_1`, ...), and its
    observation is a tuple with an item for each agent. Otherwise it has one agent, `agent`.

    Observations are flattened as `gymnasium.spaces.flatten` does it, so a Discrete space becomes one number for each of
    its values. A field `action_mask` of a dictionary is the agent's mask. The reward is one number, which every agent
    gets, or one for each agent; terminated and truncated too. Infos are one dictionary, in which a value (a mask, say)
    may be a list with an item for each agent, or a dictionary for each agent.
    """

    def __init__(self, env: Any) -> None:
        self.env = env
        self.metadata = {"name": _name(env), **(getattr(env, "metadata", None) or {})}
        self.render_mode = getattr(env, "render_mode", None)
        actions, views = _items(env.action_space), _items(env.observation_space)
        self.several = actions is not None
        """Whether the environment has tuples of spaces."""
        if actions is None:
            actions, views = [env.action_space], [env.observation_space]
        if views is None or len(views) != len(actions):
            raise TypeError(
                f"{_name(env)} has a tuple of {len(actions)} action spaces and the observation space "
                f"{shown(env.observation_space)}; expected a tuple with one observation space for each agent"
            )
        self.possible_agents = [f"agent_{i}" for i in range(len(actions))] if self.several else ["agent"]
        self.agents: list[str] = []
        # Copies of an environment may share their spaces, whose generators PettingZoo's tests seed.
        self._actions = dict(zip(self.possible_agents, deepcopy(actions), strict=True))
        self._views = dict(zip(self.possible_agents, views, strict=True))
        self._shown: dict[str, Any] = {}

    def action_space(self, agent: str) -> Any:
        """The agent's item of the action space."""
        return self._actions[agent]

    def observation_space(self, agent: str) -> Any:
        """The flattened space of the agent's observation; with a mask a dictionary of both."""
        if agent not in self._shown:
            view, mask = _without_mask(self._views[agent])
            flat = spaces.utils.flatten_space(view)
            self._shown[agent] = flat if mask is None else spaces.Dict({OBSERVATION: flat, MASK: mask})
        return self._shown[agent]

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin a battle. InvalidAnswer for an answer of another form."""
        obs, info = parts("reset", 2, self.env.reset(seed=seed, **({} if options is None else {"options": options})))
        told = self._told(info)
        self.agents = list(self.possible_agents)
        return self._observed(obs, self.agents), told

    def step(self, actions: Mapping[str, int]) -> tuple[dict[str, Any], ...]:
        """Play a step; an agent that has left plays action 0. InvalidAnswer for an answer of another form."""
        chosen = [int(actions.get(agent, 0)) for agent in self.possible_agents]
        answer = self.env.step(tuple(chosen) if self.several else chosen[0])
        obs, reward, terminated, truncated, info = parts("step", 5, answer)
        playing = self.agents
        rewards, over, cut = (
            {agent: value for agent, value in self._each(name, given).items() if agent in playing}
            for name, given in (("rewards", reward), ("terminated", terminated), ("truncated", truncated))
        )
        self.agents = [agent for agent in playing if not over[agent] and not cut[agent]]
        return self._observed(obs, playing), rewards, over, cut, self._told(info)

    def render(self) -> Any:
        """A frame of the environment."""
        return self.env.render()

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def _each(self, name: str, given: Any) -> dict[str, Any]:
        """A value for each agent, from one value or from one for each."""
        values = np.asarray(given).reshape(-1).tolist()
        agents = self.possible_agents
        if len(values) not in (1, len(agents)):
            wanted = "one number" if len(agents) == 1 else f"one number, or {len(agents)}"
            raise InvalidAnswer(f"its {name} are {shown(given)}; expected {wanted}")
        return dict(zip(agents, values * (len(agents) if len(values) == 1 else 1), strict=True))

    def _observed(self, obs: Any, playing: list[str]) -> dict[str, Any]:
        """The flattened observations of the playing agents."""
        found: Sequence[Any] = obs if self.several else [obs]
        if not isinstance(found, Sequence | np.ndarray) or len(found) != len(self.possible_agents):
            raise InvalidAnswer(
                f"its observation is {shown(obs)}; expected {len(self.possible_agents)} items, one each"
            )
        each = zip(self.possible_agents, found, strict=True)
        return {agent: _flattened(agent, self._views[agent], value) for agent, value in each if agent in playing}

    def _told(self, info: Any) -> dict[str, Any]:
        """The infos of each agent."""
        agents = self.possible_agents
        if isinstance(info, tuple | list) and len(info) == len(agents) and all(isinstance(x, Mapping) for x in info):
            return dict(zip(agents, info, strict=True))
        if not isinstance(info, Mapping):
            raise InvalidAnswer(
                f"its infos are {shown(info)}; expected a dictionary: reset returns (observation, info), and step "
                "(observation, reward, terminated, truncated, info)"
            )
        told = {agent: dict(info) for agent in agents}
        for name, value in info.items() if self.several else ():
            listed_each = isinstance(value, tuple | list) or (isinstance(value, np.ndarray) and value.ndim > 0)
            if not listed_each or len(value) != len(agents) or (name == MASK and np.ndim(value[0]) == 0):
                continue  # one value for all
            for agent, item in zip(agents, value, strict=True):
                told[agent][name] = item
        return told


def _without_mask(space: Any) -> tuple[Any, Any]:
    """The space of an observation without its mask, and the space of the mask (None: it has none)."""
    if not isinstance(space, spaces.Dict):
        return space, None
    rest = {name: inner for name, inner in space.spaces.items() if name != MASK}
    return (rest[OBSERVATION] if set(rest) == {OBSERVATION} else spaces.Dict(rest)), space.spaces.get(MASK)


def _flattened(agent: str, space: Any, value: Any) -> Any:
    """An observation as one row of numbers; with a mask, a dictionary of both. InvalidAnswer if it does not fit."""
    view, mask = _without_mask(space)
    rest = value
    try:
        if isinstance(space, spaces.Dict):
            rest = value[OBSERVATION] if view is space.spaces.get(OBSERVATION) else value
        row = spaces.utils.flatten(view, rest)
        given = None if mask is None else value[MASK]
    except Exception as error:  # the parts of a space raise anything for a value of another form
        raise InvalidAnswer(
            f"the observation of {agent} does not fit its space {shown(space)} ({type(error).__name__}: {error}); it "
            f"is {shown(value)}"
        ) from None
    if not isinstance(row, np.ndarray):
        raise InvalidAnswer(f"{agent} has observation space {shown(space)}, which has no fixed number of numbers")
    return row if given is None else {OBSERVATION: row, MASK: given}
