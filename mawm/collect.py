"""Plays battles with a team and cuts each learner's experience into segments. The package's only time shift is here."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.team import Actors
from mawm.types import Bools, Floats, Ints, Metrics, Origin, Role, Segment, Step, VectorEnv

LEAST_BATTLES = 20
"""Minimum number of battles in the share of battles won; missing ones count as lost."""


@dataclass
class _Stream:
    """An agent's arrivals in its current battle that are in no segment yet: parallel lists, one entry per step."""

    episode: int
    start: int = 0
    obs: list[Floats] = field(default_factory=list)
    prev_action: list[int] = field(default_factory=list)
    reward: list[float] = field(default_factory=list)
    terminal: list[bool] = field(default_factory=list)
    is_first: list[bool] = field(default_factory=list)
    avail: list[Bools] = field(default_factory=list)
    dead: bool = False
    death_discount: float = 1.0

    def arrive(self, obs: Floats, prev_action: int, reward: float, terminal: bool, first: bool, avail: Bools) -> None:
        """Append one arrival."""
        self.obs.append(obs.copy())
        self.prev_action.append(prev_action)
        self.reward.append(reward)
        self.terminal.append(terminal)
        self.is_first.append(first)
        self.avail.append(avail.copy())

    def cut(self, origin: Origin, lane: int, steps: int, won: bool | None) -> Segment:
        """The first `steps` arrivals as a segment; they leave the stream. `won` is None before the battle's end."""
        fields: dict[str, Any] = {
            "obs": np.array(self.obs[:steps], np.float32),
            "prev_action": np.array(self.prev_action[:steps], np.int64),
            "reward": np.array(self.reward[:steps], np.float32),
            "terminal": np.array(self.terminal[:steps], np.bool_),
            "is_first": np.array(self.is_first[:steps], np.bool_),
            "avail": np.array(self.avail[:steps], np.bool_),
        }
        for name in fields:
            del getattr(self, name)[:steps]
        segment = Segment(origin, lane, self.start, **fields, won=won)
        self.start += steps
        return segment


@dataclass(frozen=True)
class Outcome:
    """One finished battle."""

    won: bool
    total_reward: float
    length: int


class Collector:
    """Steps B battles with a team. An arrival is stored once known; the last one of a battle is a step of its own.

    An agent's stream ends with the arrival of its own death, a terminal one. Nothing that it could do matters any more,
    so that arrival's reward is the discounted sum of what the team still earns: the rest of the agent's return. Later
    arrivals of the dead do not exist. A battle cut by its time limit ends on an arrival that is not terminal; what the
    team could have earned beyond it counts for the living, who value that arrival, and not for the dead.
    """

    def __init__(
        self, env: VectorEnv, team: Actors, *, seq_len: int, discount: float, role: Role = Role.PRIMARY
    ) -> None:
        self.env = env
        self.team = team
        self.seq_len = seq_len
        self.discount = discount
        self.role = role
        self.env_steps = 0
        self.episodes = 0
        self.outcomes: list[Outcome] = []
        agents, batch = env.spaces.n_agents, env.batch
        self._returns = np.zeros(batch, np.float64)
        self._lengths = np.zeros(batch, np.int64)
        self._first = np.ones(batch, np.bool_)
        self._streams = [[_Stream(0) for _ in range(batch)] for _ in range(agents)]
        # For each agent its learner and its place there: a learner's lanes are its members' rows one after another.
        self._places = {a: (i, p) for i, members in enumerate(team.members) for p, a in enumerate(members)}
        self._step: Step = env.reset()
        team.begin("train", batch)
        for row in range(batch):
            self._begin(row)

    def collect(self, vector_steps: int, mode: str) -> list[list[Segment]]:
        """Play `vector_steps` steps in every battle; returns each learner's finished segments (Alg. 1, lines 3-6)."""
        finished: list[list[Segment]] = [[] for _ in self.team.members]
        for _ in range(vector_steps):
            actions = self.team.act(self._step.obs, self._step.avail, self._first, slot="train", mode=mode)
            self._step = self.env.step(actions)
            self.env_steps += self.env.batch
            self._first = self._step.terminated | self._step.truncated
            for row in range(self.env.batch):
                self._arrive(row, actions[row])
                for agent in range(self.env.spaces.n_agents):
                    finished[self._places[agent][0]] += self._cut(agent, row)
                if self._first[row]:
                    self._end(row)
        return finished

    def _arrive(self, row: int, actions: Ints) -> None:
        step, ended = self._step, bool(self._first[row])
        obs = step.final_obs[row] if ended else step.obs[row]
        avail = step.final_avail[row] if ended else step.avail[row]
        alive = step.final_alive[row] if ended else step.alive[row]
        reward, terminated = float(step.reward[row]), bool(step.terminated[row])
        self._returns[row] += reward
        self._lengths[row] += 1
        for agent, streams in enumerate(self._streams):
            stream = streams[row]
            if stream.dead:
                stream.death_discount *= self.discount
                stream.reward[-1] += stream.death_discount * reward
                continue
            stream.dead = not alive[agent]
            terminal = terminated or stream.dead
            stream.arrive(obs[agent], int(actions[agent]), reward, terminal, False, avail[agent])

    def _cut(self, agent: int, row: int) -> list[Segment]:
        """Segments of one stream. A cut leaves at least half of `seq_len`; a battle's remainder is cut in the middle.

        So no segment is very short: a segment of one or two arrivals has a very noisy mean loss, and a first arrival
        gives no loss of the reward. An agent's death is in the remainder, which waits for the battle's end.
        """
        stream, out = self._streams[agent][row], []
        lane = self._places[agent][1] * self.env.batch + row
        origin = Origin(agent, self.role, stream.episode)
        won = bool(self._step.battle_won[row]) if self._first[row] else None
        while len(stream.reward) >= self.seq_len + (self.seq_len + 1) // 2:
            out.append(stream.cut(origin, lane, self.seq_len, won))
        if self._first[row]:
            if len(stream.reward) > self.seq_len:
                out.append(stream.cut(origin, lane, (len(stream.reward) + 1) // 2, won))
            out.append(stream.cut(origin, lane, len(stream.reward), won))
        return out

    def _end(self, row: int) -> None:
        won = bool(self._step.battle_won[row])
        self.outcomes.append(Outcome(won, float(self._returns[row]), int(self._lengths[row])))
        self.outcomes = self.outcomes[-100:]
        self._begin(row)

    def _begin(self, row: int) -> None:
        self._returns[row] = 0.0
        self._lengths[row] = 0
        for agent, streams in enumerate(self._streams):
            stream = streams[row] = _Stream(self.episodes)
            stream.arrive(self._step.obs[row, agent], 0, 0.0, False, True, self._step.avail[row, agent])
        self.episodes += 1

    def share_won(self) -> float:
        """Share of the last hundred finished battles that the team won.

        Up to the 20th battle the missing ones count as lost, because few battles say little about the team.
        """
        return sum(o.won for o in self.outcomes) / max(LEAST_BATTLES, len(self.outcomes))

    def metrics(self) -> Metrics:
        """Share of battles won, return and length over the last hundred finished battles."""
        if not self.outcomes:
            return {}
        return {
            "train/win_rate": float(np.mean([o.won for o in self.outcomes])),
            "train/return": float(np.mean([o.total_reward for o in self.outcomes])),
            "train/length": float(np.mean([o.length for o in self.outcomes])),
        }

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Arrays by name and JSON-able values: environment, running battles, arrivals that are in no segment yet."""
        arrays = {f"env/{name}": array for name, array in self.env.snapshot().items()}
        arrays |= {f"step/{name}": array for name, array in vars(self._step).items()}
        arrays |= {"returns": self._returns, "lengths": self._lengths, "first": self._first}
        streams = []
        for agent, row_streams in enumerate(self._streams):
            for row, stream in enumerate(row_streams):
                arrays[f"stream/{agent}/{row}/obs"] = np.array(stream.obs, np.float32)
                arrays[f"stream/{agent}/{row}/avail"] = np.array(stream.avail, np.bool_)
                plain = {name: value for name, value in vars(stream).items() if name not in ("obs", "avail")}
                streams.append(plain)
        counts = {"env_steps": self.env_steps, "episodes": self.episodes}
        return arrays, {**counts, "streams": streams, "outcomes": [vars(o) for o in self.outcomes]}

    def load_state(self, arrays: dict[str, NDArray[Any]], values: dict[str, Any]) -> None:
        """Continue from `state`."""
        begun = self.env.restore({k.removeprefix("env/"): v for k, v in arrays.items() if k.startswith("env/")})
        self._step = Step(**{k.removeprefix("step/"): v.copy() for k, v in arrays.items() if k.startswith("step/")})
        self._returns, self._lengths, self._first = (arrays[k].copy() for k in ("returns", "lengths", "first"))
        self.env_steps, self.episodes = int(values["env_steps"]), int(values["episodes"])
        self.outcomes = [Outcome(**o) for o in values["outcomes"]]
        saved = iter(values["streams"])
        for agent, row_streams in enumerate(self._streams):
            for row in range(len(row_streams)):
                obs, avail = arrays[f"stream/{agent}/{row}/obs"], arrays[f"stream/{agent}/{row}/avail"]
                row_streams[row] = _Stream(obs=list(obs), avail=list(avail), **next(saved))
        if begun is not None:  # the saved battles cannot be continued: their last arrivals are lost
            self._step, self._first[:] = begun, True
            for row in range(self.env.batch):
                self._begin(row)
