"""Adapts a user's environment to the vector interface of `mawm.types`."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.envs import parallel_answers as answers
from mawm.envs.checked import MISTAKES, check_actions, source_of
from mawm.envs.opposing_rewards import OpposingRewards
from mawm.envs.other_kinds import as_parallel
from mawm.envs.parallel_answers import InvalidAnswer, listed
from mawm.envs.pictures import picture_of
from mawm.envs.success import AUTO, REPORTED, flag_of
from mawm.runtime.console import print_stderr
from mawm.runtime.import_user_code import load_factory
from mawm.types import Bools, Floats, Ints, Rendered, Spaces, Step

View = tuple[Floats, Bools, Bools]
"""obs (N, O), avail (N, A), alive (N,) of one row."""
EVERYONE = "__all__"
"""Some environments flag the end of a battle under this name, instead of under the names of all agents."""


class ParallelVectorEnv:
    """B parallel copies of a ParallelEnv. The team's reward is the mean of the agents' rewards.

    Observations are flattened and padded with zeros to the longest one, masks to the largest number of actions. Masks
    are read from obs["action_mask"] or infos[agent]["action_mask"]; otherwise all actions are available. An agent that
    has left, or has terminated in an earlier step, or whose infos contain `alive` False, has an observation of zeros
    and only action 0. A battle ends when no agent is left that has not terminated. `state()` of the environment is not
    called, because no learner uses it: `Step.state` has no numbers. Row b plays battles b, b + B, ...; the seed of
    battle k is a function of (seed, k). `limit` truncates battles. `snapshot` stores the actions of the running battles
    and `restore` replays them: this is exact for environments that are deterministic under a seed.

    `agents`: the names of the agents in the wanted order (default: as the environment lists them). `warn` gets a
    sentence if the rewards of agents oppose each other, and if the named flag of `success` (see `envs/success.py`) is
    missing in the first battle that ends.

    The construction plays one step in row 0, so that mistakes are found before a run begins. Sizes and agents must not
    change after the first reset. RuntimeError for other agents, another length of an observation or mask, or a
    malformed answer names the field, the expected and the actual value. A ValueError of the environment becomes an
    InvalidAnswer: only mistakes of the caller are ValueErrors.
    """

    def __init__(
        self, make: Callable[[], Any], batch: int, seed: int, limit: int, agents: Sequence[str] = (),
        warn: Callable[[str], None] | None = None, success: str = AUTO,
    ) -> None:  # fmt: skip
        if batch < 1 or limit < 1:
            raise ValueError(f"batch is {batch} and limit is {limit}; both must be at least 1")
        self.batch = batch
        first = make()
        env, conversion = as_parallel(first)
        copies = [make() for _ in range(batch - 1)]
        if len({id(getattr(copy, "unwrapped", copy)) for copy in (first, *copies)}) < batch:
            raise TypeError("the factory returned the same object twice; make a new environment at every call")
        self._envs = [env, *(as_parallel(copy)[0] for copy in copies)]
        self._agents = _ordered(list(self._envs[0].possible_agents), agents)
        self._seed, self._warn = seed, warn
        self._flag = flag_of(success)
        self._flag_expected = warn is not None and success == self._flag
        """Whether to warn if the flag is missing."""
        self._drawn = False
        self._last_picture: NDArray[np.uint8] | str | None = None
        """Of the battle of row 0 that the last step ended; only if pictures were ever asked for (`_drawn`)."""
        self._opposing = OpposingRewards(self._agents if warn else [])
        self.action_counts = [answers.action_count(self._envs[0].action_space(agent), agent) for agent in self._agents]
        """The number of actions of each agent, without those that only pad its mask."""
        seen = self._reset(0, 0)[0]
        self._lengths = {agent: len(answers.flat(agent, seen[agent])) for agent in self._agents}
        obs_size = max(self._lengths.values())
        names = tuple(map(str, self._agents))
        self.spaces = Spaces(len(self._agents), max(self.action_counts), obs_size, 0, limit, names, conversion)
        self._battles = np.arange(batch, dtype=np.int64) - batch
        self._played: list[list[Ints]] = [[] for _ in range(batch)]
        self._gone: list[dict[Any, bool]] = [{} for _ in range(batch)]
        """Whether each agent of the running battles has terminated, as reported last."""
        self._views: list[View] = [self._begin(row) for row in range(batch)]
        self._try_a_step()
        self._fresh = True

    def watch(self, warn: Callable[[str], None]) -> None:
        """From now on, judge whether the rewards of agents oppose each other, and tell it to `warn` once."""
        self._warn, self._opposing = warn, OpposingRewards(self._agents)

    def judge_rewards(self) -> None:
        """Judge the rewards now, without waiting for more steps (see `watch`)."""
        if self._warn and (sentence := self._opposing.judge()):
            self._warn(sentence)

    def reset(self) -> Step:
        """Begin B new battles: the next battle number of each row."""
        if not self._fresh:
            self._views = [self._begin(row) for row in range(self.batch)]
        self._fresh = False
        return self._step(np.zeros(self.batch, np.float32), np.zeros((3, self.batch), np.bool_), self._views)

    def step(self, actions: Ints) -> Step:
        """Play one step in every battle. ValueError for an unavailable action."""
        actions = np.asarray(actions, np.int64)
        check_actions(actions, np.stack([avail for _, avail, _ in self._views]), self._battles)
        self._fresh = False
        reward, ends = np.zeros(self.batch, np.float32), np.zeros((3, self.batch), np.bool_)
        last, self._last_picture = [], None
        for row in range(self.batch):
            reward[row], ends[:, row] = self._play(row, actions[row])
            last.append(self._views[row])
            if ends[0, row] or ends[1, row]:
                if row == 0 and self._drawn:
                    self._last_picture = picture_of(self._envs[0])
                self._views[row] = self._begin(row)
        return self._step(reward, ends, last)

    def render(self) -> Rendered:
        """The pictures of row 0 (`Rendered`), if the environment has render_mode "rgb_array"."""
        self._drawn = True
        ended = () if self._last_picture is None else (self._last_picture,)
        found = (*ended, picture_of(self._envs[0]))
        why = next((picture for picture in found if isinstance(picture, str)), "")
        return Rendered(() if why else tuple(p for p in found if not isinstance(p, str)), why)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Numbers and actions of the running battles: battle (B,), length (B,), actions (B, T, N)."""
        length = np.array([len(played) for played in self._played], np.int64)
        actions = np.zeros((self.batch, int(length.max()), len(self._agents)), np.int64)
        for row, played in enumerate(self._played):
            actions[row, : len(played)] = np.array(played).reshape(-1, len(self._agents))
        return {"battle": self._battles.copy(), "length": length, "actions": actions}

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> None:
        """Begin the same battles and replay the same actions."""
        for _ in self.restoring(snapshot):
            pass

    def restoring(self, snapshot: dict[str, NDArray[Any]]) -> Iterator[None]:
        """The same in pieces: yields after each reset and each step of a battle, whose time a caller can limit."""
        if snapshot.keys() != {"battle", "length", "actions"}:
            raise ValueError(f"snapshot holds {sorted(snapshot)}; expected actions, battle, length")
        if snapshot["battle"].shape != self._battles.shape:
            raise ValueError(f"snapshot has {len(snapshot['battle'])} battles; this environment has {self.batch}")
        self._battles[:] = snapshot["battle"] - self.batch
        for row in range(self.batch):
            self._views[row] = self._begin(row)
            yield
            for action in snapshot["actions"][row, : int(snapshot["length"][row])]:
                self._play(row, action)
                yield
        self._fresh = False

    def close(self) -> None:
        """Close every copy."""
        for env in self._envs:
            env.close()

    def _begin(self, row: int) -> View:
        self._battles[row] += self.batch
        self._played[row], self._gone[row] = [], {}
        seed = int(np.random.SeedSequence((self._seed, int(self._battles[row]))).generate_state(1)[0] >> 1)
        return self._view(*self._reset(row, seed))

    def _reset(self, row: int, seed: int) -> tuple[Any, Any]:
        """Observations of all agents, and infos, from a reset of one row."""
        obs, infos = answers.parts("reset", 2, answers.call("reset", self._envs[row].reset, seed=seed))
        if set(answers.by_agent("observations", obs)) != set(self._agents):
            expected = f"{len(self._agents)} ({listed(self._agents)})"
            raise InvalidAnswer(f"reset shows {len(obs)} agents ({listed(obs)}); expected {expected}")
        return obs, infos

    def _try_a_step(self) -> None:
        """Play one step in row 0, then begin its battle again."""
        self._play(0, self._views[0][1].argmax(-1))
        self._battles[0] -= self.batch
        self._views[0] = self._begin(0)
        self._opposing = OpposingRewards(self._agents if self._warn else [])

    def _play(self, row: int, actions: Ints) -> tuple[float, tuple[bool, bool, bool]]:
        """Play one step of one row and store its view: reward and (terminated, truncated, battle_won)."""
        env = self._envs[row]
        playing = list(env.agents)
        self._played[row].append(actions.copy())
        chosen = {agent: int(a) for agent, a in zip(self._agents, actions, strict=True) if agent in playing}
        obs, paid, terminations, truncations, infos = answers.parts("step", 5, answers.call("step", env.step, chosen))
        terminated, truncated = answers.flags("terminations", terminations), answers.flags("truncations", truncations)
        before, gone = self._gone[row], self._gone[row] | {a: ended for a, ended in terminated.items() if a in playing}
        self._gone[row] = gone
        out = frozenset(agent for agent in gone if gone[agent] and before.get(agent, False))
        self._views[row] = self._view(obs, infos, out, frozenset(agent for agent in gone if gone[agent]))
        reward = self._reward(playing, paid)
        told = answers.by_agent("infos", {} if infos is None else infos)
        won = any(answers.told_flag(self._flag, key, answers.info_of(told, key), default=False) for key in told)
        ended = all(gone.get(agent, False) for agent in env.agents) or terminated.get(EVERYONE, False)
        cut = len(self._played[row]) >= self.spaces.episode_limit or any(truncated.values())
        # An environment may flag agents both ways: their battle is terminated if all of them are.
        over = ended and (all(terminated.get(agent, True) for agent in playing) or not any(truncated.values()))
        if self._flag != REPORTED:
            won &= over or cut  # other flags may be told at every step; the last one counts
        if self._flag_expected:
            self._expect_flag(told, ends=over or any(truncated.values()))
        return reward, (over, cut and not over, won)

    def _expect_flag(self, told: Any, *, ends: bool) -> None:
        """Warn once if the first battle that `ends` by its own rules has not told the flag."""
        infos = [answers.info_of(told, key) for key in told]
        if any(info.get(self._flag) is not None for info in infos):
            self._flag_expected = False
        elif ends and self._warn is not None:
            self._flag_expected = False
            names = listed(dict.fromkeys(name for info in infos for name in info)) or "nothing"
            self._warn(
                f"the infos of a whole battle did not hold {self._flag}, the flag of --success, so no battle counts as "
                f"won. The last infos held: {names}"
            )

    def _reward(self, playing: list[Any], paid: Any) -> float:
        """The mean reward of the agents that played; 0 if there were none."""
        missing = [agent for agent in playing if agent not in answers.by_agent("rewards", paid)]
        if missing:
            raise InvalidAnswer(f"rewards lack {missing[0]}; expected one for each of {listed(playing)}")
        rewards = {agent: answers.number(f"the reward of {agent}", paid[agent]) for agent in playing}
        if self._warn and (sentence := self._opposing.add(rewards)):
            self._warn(sentence)
        return float(np.mean(list(rewards.values()))) if rewards else 0.0

    def _view(
        self, obs: Any, infos: Any, out: frozenset[Any] = frozenset(), ended: frozenset[Any] = frozenset()
    ) -> View:
        """Padded observations, masks and alive flags of one row.

        Agents that are `out` are not alive. An agent that has `ended` may forbid every action; it gets action 0.
        """
        unknown = [agent for agent in answers.by_agent("observations", obs) if agent not in self._agents]
        if unknown:
            raise InvalidAnswer(f"observations contain {unknown[0]}; expected only {listed(self._agents)}")
        n, sizes = len(self._agents), self.spaces
        padded = np.zeros((n, sizes.obs_size), np.float32)
        avail, alive = np.zeros((n, sizes.n_actions), np.bool_), np.zeros(n, np.bool_)
        for i, agent in enumerate(self._agents):
            info = answers.info_of(infos, agent)
            alive[i] = agent in obs and agent not in out and answers.told_flag("alive", agent, info, default=True)
            if not alive[i]:
                avail[i, 0] = True
                continue
            length, row = self._lengths[agent], answers.flat(agent, obs[agent])
            padded[i, :length] = answers.of_length(f"the observation of {agent}", row, length)
            mask = obs[agent].get("action_mask") if isinstance(obs[agent], dict) else None
            mask = info.get("action_mask") if mask is None else mask
            count = self.action_counts[i]
            avail[i, :count] = True if mask is None else answers.mask_of(agent, mask, count)
            avail[i, 0] |= agent in ended and not avail[i].any()
        return padded, avail, alive

    def _step(self, reward: Floats, ends: Bools, last: list[View]) -> Step:
        state = np.zeros((self.batch, 0), np.float32)
        terminated, truncated, won = ends
        now, final = _stacked(self._views), _stacked(last)
        return Step(*now, state, reward, terminated, truncated, won, *final)


def own_parallel_env(
    name: str, batch: int, seed: int, limit: int, agents: Sequence[str] = (), warn: bool = False, success: str = AUTO
) -> ParallelVectorEnv:
    """B copies of the environment of `module:factory`; with `warn`, its warnings are printed.

    ValueError if it cannot be loaded, or has a mistake that a restart does not cure.
    """
    make = load_factory("map", name)

    def report(sentence: str) -> None:
        print_stderr(f"environment {name}: {sentence}")

    try:
        return ParallelVectorEnv(make, batch, seed, limit, agents, report if warn else None, success)
    except SystemExit as error:
        raise ValueError(f"environment {name} ended its process at the start (sys.exit({error.code!r}))") from None
    except (InvalidAnswer, *MISTAKES) as error:
        raise ValueError(f"environment {name}: {_described(error)}") from None


def _described(error: Exception) -> str:
    """An exception of the start: its message, and its type and place if the user's code raised it."""
    place = source_of(error)
    return f"{error}{place}" if not place else f"{type(error).__name__}: {error}{place}"


def _ordered(listed_now: list[Any], wanted: Sequence[str]) -> list[Any]:
    """The agents in the wanted order of their names. ValueError if the names differ."""
    by_name = {str(agent): agent for agent in listed_now}
    if not wanted:
        return listed_now
    if set(by_name) != set(wanted) or len(wanted) != len(by_name):
        raise ValueError(
            f"its possible_agents are {listed(by_name)}; the settings own.agents say {listed(wanted)}: "
            "the names of the agents must be those of the run"
        )
    return [by_name[name] for name in wanted]


def _stacked(views: list[View]) -> View:
    """The views of all rows as arrays (B, N, ...)."""
    obs, avail, alive = zip(*views, strict=True)
    return np.stack(obs), np.stack(avail), np.stack(alive)
