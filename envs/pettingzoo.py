"""Adapts any PettingZoo `ParallelEnv` to the vector interface of `mawm.types`."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from mawm.runtime.import_user_code import load_factory
from mawm.types import Bools, Floats, Ints, Spaces, Step

Row = TypeVar("Row", Floats, Bools)
View = tuple[Floats, Bools, Bools]
"""obs (N, O), avail (N, A), alive (N,) of one row."""


class ParallelVectorEnv:
    """B parallel copies of a ParallelEnv. The team's reward is the mean of the agents' rewards.

    Observations are flattened and padded with zeros to the longest one, masks to the largest number of actions. Masks
    are read from obs["action_mask"] or infos[agent]["action_mask"]; otherwise all actions are available. An agent that
    has left, or whose infos contain `alive` False, has an observation of zeros and only action 0. Row b plays battles
    b, b + B, ...; the seed of battle k is a function of (seed, k). `limit` truncates battles. `snapshot` stores the
    actions of the running battles and `restore` replays them: this is exact for environments that are deterministic
    under a seed.

    Sizes and agents must not change after the first reset. RuntimeError for other agents, another length of an
    observation, mask or state, or a malformed answer names the field, the expected and the actual value. A ValueError
    of the environment becomes a RuntimeError too: only mistakes of the caller are ValueErrors.
    """

    def __init__(self, make: Callable[[], Any], batch: int, seed: int, limit: int) -> None:
        if batch < 1 or limit < 1:
            raise ValueError(f"batch is {batch} and limit is {limit}; both must be at least 1")
        self.batch = batch
        self._envs = [make() for _ in range(batch)]
        self._agents: list[str] = list(self._envs[0].possible_agents)
        self._seed = seed
        self._counts = [_actions(self._envs[0].action_space(agent), agent) for agent in self._agents]
        first = _parts("reset", 2, _call("reset", self._envs[0].reset, seed=0))[0]
        self._check_team(first)
        self._lengths = {agent: len(_flat(first[agent])) for agent in self._agents}
        obs_size = max(self._lengths.values())
        self._state_size: int | None = None
        self._state_size = len(self._state(0))
        self.spaces = Spaces(len(self._agents), max(self._counts), obs_size, self._state_size, limit)
        self._battles = np.arange(batch, dtype=np.int64) - batch
        self._played: list[list[Ints]] = [[] for _ in range(batch)]
        self._views: list[View] = [self._begin(row) for row in range(batch)]
        self._fresh = True

    def reset(self) -> Step:
        """Begin B new battles: the next battle number of each row."""
        if not self._fresh:
            self._views = [self._begin(row) for row in range(self.batch)]
        self._fresh = False
        return self._step(np.zeros(self.batch, np.float32), np.zeros((3, self.batch), np.bool_), self._views)

    def step(self, actions: Ints) -> Step:
        """Play one step in every battle. ValueError for an unavailable action."""
        actions = np.asarray(actions, np.int64)
        expected = (self.batch, len(self._agents))
        if actions.shape != expected:
            raise ValueError(f"actions have shape {actions.shape}; expected (battles, agents) = {expected}")
        self._check(actions)
        self._fresh = False
        reward, flags = np.zeros(self.batch, np.float32), np.zeros((3, self.batch), np.bool_)
        last = []
        for row in range(self.batch):
            reward[row], flags[:, row] = self._play(row, actions[row])
            last.append(self._views[row])
            if flags[0, row] or flags[1, row]:
                self._views[row] = self._begin(row)
        return self._step(reward, flags, last)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Numbers and actions of the running battles: battle (B,), length (B,), actions (B, T, N)."""
        length = np.array([len(played) for played in self._played], np.int64)
        actions = np.zeros((self.batch, int(length.max()), len(self._agents)), np.int64)
        for row, played in enumerate(self._played):
            actions[row, : len(played)] = np.array(played).reshape(-1, len(self._agents))
        return {"battle": self._battles.copy(), "length": length, "actions": actions}

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> None:
        """Begin the same battles and replay the same actions."""
        if snapshot.keys() != {"battle", "length", "actions"}:
            raise ValueError(f"snapshot holds {sorted(snapshot)}; expected actions, battle, length")
        if snapshot["battle"].shape != self._battles.shape:
            raise ValueError(f"snapshot has {len(snapshot['battle'])} battles; this environment has {self.batch}")
        self._battles[:] = snapshot["battle"] - self.batch
        for row in range(self.batch):
            self._views[row] = self._begin(row)
            for action in snapshot["actions"][row, : int(snapshot["length"][row])]:
                self._play(row, action)
        self._fresh = False

    def close(self) -> None:
        """Close every copy."""
        for env in self._envs:
            env.close()

    def _begin(self, row: int) -> View:
        self._battles[row] += self.batch
        self._played[row] = []
        seed = int(np.random.SeedSequence((self._seed, int(self._battles[row]))).generate_state(1)[0] >> 1)
        obs, infos = _parts("reset", 2, _call("reset", self._envs[row].reset, seed=seed))
        self._check_team(obs)
        return self._view(obs, infos)

    def _play(self, row: int, actions: Ints) -> tuple[float, tuple[bool, bool, bool]]:
        """Play one step of one row and store its view: reward and (terminated, truncated, battle_won)."""
        env = self._envs[row]
        playing = list(env.agents)
        self._played[row].append(actions.copy())
        chosen = {agent: int(a) for agent, a in zip(self._agents, actions, strict=True) if agent in playing}
        obs, rewards, terminated, truncated, infos = _parts("step", 5, _call("step", env.step, chosen))
        self._views[row] = self._view(obs, infos)
        missing = [agent for agent in playing if agent not in rewards]
        if missing:
            raise RuntimeError(f"rewards lack {missing[0]}; expected one for each of {_listed(playing)}")
        reward = float(np.mean([rewards[agent] for agent in playing])) if playing else 0.0
        cut = len(self._played[row]) >= self.spaces.episode_limit or any(truncated.values())
        won = any(bool(info.get("battle_won", False)) for info in infos.values())
        # The battle is terminated if no agent is left and none of them was truncated.
        over = not env.agents and all(terminated.get(agent, True) for agent in playing)
        return reward, (over, cut and not over, won)

    def _view(self, obs: dict[str, Any], infos: dict[str, Any]) -> View:
        """Padded observations, masks and alive flags of one row."""
        unknown = [agent for agent in obs if agent not in self._agents]
        if unknown:
            raise RuntimeError(f"observations contain {unknown[0]}; expected only {_listed(self._agents)}")
        n, sizes = len(self._agents), self.spaces
        padded = np.zeros((n, sizes.obs_size), np.float32)
        avail, alive = np.zeros((n, sizes.n_actions), np.bool_), np.zeros(n, np.bool_)
        for i, agent in enumerate(self._agents):
            info = infos.get(agent, {})
            alive[i] = agent in obs and bool(info.get("alive", True))
            if not alive[i]:
                avail[i, 0] = True
                continue
            length = self._lengths[agent]
            padded[i, :length] = _of_length(f"the observation of {agent}", _flat(obs[agent]), length)
            mask = obs[agent].get("action_mask") if isinstance(obs[agent], dict) else None
            mask = info.get("action_mask") if mask is None else mask
            count = self._counts[i]
            allowed = np.ones(count, np.bool_) if mask is None else np.asarray(mask, np.bool_).reshape(-1)
            avail[i, :count] = _of_length(f"the action mask of {agent}", allowed, count)
        return padded, avail, alive

    def _check_team(self, obs: dict[str, Any]) -> None:
        """Require an observation of every agent at the reset."""
        if set(obs) != set(self._agents):
            expected = f"{len(self._agents)} ({_listed(self._agents)})"
            raise RuntimeError(f"reset shows {len(obs)} agents ({_listed(obs)}); expected {expected}")

    def _state(self, row: int) -> Floats:
        """The environment's state as one row; an empty row if it has none."""
        try:
            state = np.asarray(_call("state", self._envs[row].state), np.float32).reshape(-1)
        except NotImplementedError:
            state = np.zeros(0, np.float32)
        return state if self._state_size is None else _of_length("the state", state, self._state_size)

    def _step(self, reward: Floats, flags: Bools, last: list[View]) -> Step:
        state = np.stack([self._state(row) for row in range(self.batch)])
        terminated, truncated, won = flags
        now, final = _stacked(self._views), _stacked(last)
        return Step(*now, state, reward, terminated, truncated, won, *final)

    def _check(self, actions: Ints) -> None:
        for row, (_, avail, _) in enumerate(self._views):
            for i, action in enumerate(actions[row].tolist()):
                if not 0 <= action < avail.shape[1] or not avail[i, action]:
                    where = f"battle {self._battles[row]}, agent {i}"
                    free = np.flatnonzero(avail[i]).tolist()
                    raise ValueError(f"{where}: action {action} is not available; available now: {free}")


def own_parallel_env(name: str, batch: int, seed: int, limit: int) -> ParallelVectorEnv:
    """B copies of the environment of `module:factory`. ValueError if it cannot be loaded."""
    return ParallelVectorEnv(load_factory("map", name), batch, seed, limit)


def _stacked(views: list[View]) -> View:
    """The views of all rows as arrays (B, N, ...)."""
    obs, avail, alive = zip(*views, strict=True)
    return np.stack(obs), np.stack(avail), np.stack(alive)


def _actions(space: spaces.Space[Any], agent: str) -> int:
    """Number of actions of a discrete space."""
    if not isinstance(space, spaces.Discrete) or space.start != 0:
        raise ValueError(f"{agent} has action space {space}; only Discrete spaces that start at 0 are supported")
    return int(space.n)


def _flat(observation: Any) -> Floats:
    """An observation as one row of numbers, without its mask."""
    if isinstance(observation, dict) and "observation" not in observation:
        raise RuntimeError(
            f"an observation has the keys {_listed(observation)}; expected observation, and optionally action_mask"
        )
    value = observation["observation"] if isinstance(observation, dict) else observation
    numbers: Floats = _call("observation", np.asarray, value, np.float32)
    return numbers.reshape(-1)


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names))


def _call(method: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call the environment. Its ValueErrors become RuntimeErrors, because they are not mistakes of the caller."""
    try:
        return call(*arguments, **named)
    except ValueError as error:
        raise RuntimeError(f"its {method} raised ValueError: {error}") from error


def _parts(method: str, count: int, answer: Any) -> Any:
    """The answer, which must be a tuple of `count` values."""
    if not isinstance(answer, tuple) or len(answer) != count:
        got = f"{len(answer)} values" if isinstance(answer, tuple) else type(answer).__name__
        raise RuntimeError(f"its {method} returned {got}; expected a tuple of {count}")
    return answer


def _of_length(name: str, row: Row, length: int) -> Row:
    """The row, which must have `length` numbers."""
    if len(row) != length:
        raise RuntimeError(f"{name} has {len(row)} numbers; expected {length}")
    return row
