"""Complete battles for on-policy learning, built from a learner's segments and its actions' log-probabilities."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mawm.agents.snapshot_weights import Arrays
from mawm.types import Bools, Floats, Segment, Spaces

_FIELDS = ("obs", "avail", "prev_action", "reward", "terminal")


@dataclass
class Battle:
    """One battle of M agents of one learner, by arrivals t = 0..T (`mawm.types`).

    `of` holds obs (T+1, M, O), avail (T+1, M, A), prev_action, reward, terminal (T+1, M), and log_prob (T+1, M) of the
    action taken **at** arrival t. `arrivals` (M,) is the number of each agent's arrivals; its other rows are zero.
    """

    episode: int
    """The collector's number of the battle; -1 until the first segment of the battle."""
    steps: int
    """Actions taken so far, including those of dead agents."""
    arrivals: NDArray[np.int64]
    of: Arrays = field(default_factory=dict)

    def put(self, member: int, segment: Segment) -> None:
        """Store a segment of one agent."""
        assert self.arrivals[member] == segment.start, "segments of a lane are contiguous in time"
        self.episode = segment.origin.episode
        stop = segment.start + len(segment)
        for name in _FIELDS:
            self.of[name][segment.start : stop, member] = getattr(segment, name)
        self.arrivals[member] = stop

    def first(self, count: int) -> "Battle":
        """The same battle with arrays of `count` arrivals: cut off, or padded with zeros."""
        missing = max(0, count - len(self.of["reward"]))
        cut = {k: np.concatenate([v[:count], np.zeros((missing, *v.shape[1:]), v.dtype)]) for k, v in self.of.items()}
        return Battle(self.episode, self.steps, self.arrivals.copy(), cut)


class BattleLog:
    """The battles of one learner's agents in B rows, which are returned when they are complete.

    A battle is complete only at its end, because the last reward of a dead agent contains the team's later rewards. An
    update may happen during a battle, so the log stores the log-probabilities under the policy that acted.
    """

    def __init__(self, spaces: Spaces, members: tuple[int, ...], rows: int) -> None:
        self.spaces = spaces
        self.members = members
        self.rows: list[list[Battle]] = [[] for _ in range(rows)]
        """Incomplete battles of each row; the running one is the last."""
        self.whole: list[Battle] = []

    @property
    def steps(self) -> int:
        """Environment steps of the complete battles."""
        return sum(battle.steps for battle in self.whole)

    def acted(self, is_first: Bools, log_prob: Floats) -> None:
        """Record one step of all rows: is_first (B,), log-probabilities (M, B) of the actions taken."""
        for row, battles in enumerate(self.rows):
            if is_first[row]:
                battles.append(Battle(-1, 0, np.zeros(len(self.members), np.int64), self._blank()))
            battle = battles[-1]
            assert battle.steps < self.spaces.episode_limit, "a battle ends at its limit"
            battle.of["log_prob"][battle.steps] = log_prob[:, row]
            battle.steps += 1

    def keep(self, segments: list[Segment]) -> None:
        """Store finished segments; a battle is complete when the next one of its row has begun."""
        for segment in segments:
            member = self.members.index(segment.origin.agent)
            battles = self.rows[segment.lane % len(self.rows)]
            # The battles of a row are ordered, so a new number belongs to the first battle without a number.
            battle = next(b for b in battles if b.episode in (segment.origin.episode, -1))
            battle.put(member, segment)
        for battles in self.rows:
            self.whole += [battle.first(int(battle.arrivals.max())) for battle in battles[:-1]]
            del battles[:-1]

    def take(self) -> list[Battle]:
        """Remove the complete battles from the log and return them."""
        taken, self.whole = self.whole, []
        return taken

    def _blank(self) -> Arrays:
        shape, spaces = (self.spaces.episode_limit + 1, len(self.members)), self.spaces
        return {
            "obs": np.zeros((*shape, spaces.obs_size), np.float32),
            "avail": np.zeros((*shape, spaces.n_actions), np.bool_),
            "prev_action": np.zeros(shape, np.int64),
            "reward": np.zeros(shape, np.float32),
            "terminal": np.zeros(shape, np.bool_),
            "log_prob": np.zeros(shape, np.float32),
        }

    def state(self) -> Arrays:
        """All battles as concatenated arrays; `row` is -1 for a complete battle."""
        held = [(-1, battle) for battle in self.whole]
        held += [(row, b.first(b.steps + 1)) for row, battles in enumerate(self.rows) for b in battles]
        arrays = {
            "rows": np.array([len(self.rows)]),
            "row": np.array([row for row, _ in held], np.int64),
            "episode": np.array([b.episode for _, b in held], np.int64),
            "steps": np.array([b.steps for _, b in held], np.int64),
            "length": np.array([len(b.of["reward"]) for _, b in held], np.int64),
            "arrivals": np.array([b.arrivals for _, b in held], np.int64).reshape(-1, len(self.members)),
        }
        empty = {name: array[:0] for name, array in self._blank().items()}  # gives an empty log its types and shapes
        parts = [empty, *(b.of for _, b in held)]
        return arrays | {f"of/{name}": np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def load_state(self, arrays: Arrays) -> None:
        """Continue from `state`."""
        self.rows, self.whole = [[] for _ in range(int(arrays["rows"][0]))], []
        ends = np.cumsum(arrays["length"])
        for i, (row, end) in enumerate(zip(arrays["row"].tolist(), ends.tolist(), strict=True)):
            start = end - int(arrays["length"][i])
            of = {k.removeprefix("of/"): v[start:end].copy() for k, v in arrays.items() if k.startswith("of/")}
            battle = Battle(int(arrays["episode"][i]), int(arrays["steps"][i]), arrays["arrivals"][i].copy(), of)
            if row < 0:
                self.whole.append(battle)
            else:
                self.rows[row].append(battle.first(self.spaces.episode_limit + 1))
