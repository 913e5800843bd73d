"""Whole battles for on-policy learning: a learner's segments put together again, with how likely each action was."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.types import Bools, Floats, Segment, Spaces

Arrays = dict[str, NDArray[Any]]
_FIELDS = ("obs", "avail", "prev_action", "reward", "terminal")


@dataclass
class Battle:
    """One battle as M agents of one learner lived through it, by arrivals t = 0..T (`mawm.types`).

    `of` holds obs (T+1, M, O), avail (T+1, M, A), prev_action, reward, terminal (T+1, M), and log_prob (T+1, M) of the
    action taken **at** arrival t. `arrivals` (M,) is how many of them each agent has; the rest of its rows is zero.
    """

    episode: int
    """The collector's number of the battle; -1 until the first segment tells it."""
    steps: int
    """Actions taken so far, counting those of the dead."""
    arrivals: NDArray[np.int64]
    of: Arrays = field(default_factory=dict)

    def put(self, member: int, segment: Segment) -> None:
        """Take in a stretch of one agent's arrivals."""
        assert self.arrivals[member] == segment.start, "segments of a lane are contiguous in time"
        self.episode = segment.origin.episode
        stop = segment.start + len(segment)
        for name in _FIELDS:
            self.of[name][segment.start : stop, member] = getattr(segment, name)
        self.arrivals[member] = stop

    def first(self, count: int) -> "Battle":
        """The same battle with arrays of `count` arrivals, padded with zeros where it has fewer."""
        missing = max(0, count - len(self.of["reward"]))
        cut = {k: np.concatenate([v[:count], np.zeros((missing, *v.shape[1:]), v.dtype)]) for k, v in self.of.items()}
        return Battle(self.episode, self.steps, self.arrivals.copy(), cut)


class BattleLog:
    """What one learner's agents live through in B rows of battles, handed over a whole battle at a time.

    Only whole battles are handed over because the collector keeps a dead agent's arrival until its battle ends, with
    the rest of the team's reward in it. Their first steps may be an update older than the last ones, so the
    probabilities kept are those of the policy that acted.
    """

    def __init__(self, spaces: Spaces, members: tuple[int, ...], rows: int) -> None:
        self.spaces = spaces
        self.members = members
        self.rows: list[list[Battle]] = [[] for _ in range(rows)]
        """Of each row, the battles that were acted in and are not whole yet: the running one is the last."""
        self.whole: list[Battle] = []

    @property
    def steps(self) -> int:
        """Environment steps of the battles that are whole."""
        return sum(battle.steps for battle in self.whole)

    def acted(self, is_first: Bools, log_prob: Floats) -> None:
        """Note one step of all rows: is_first (B,), log-probabilities (M, B) of the actions taken."""
        for row, battles in enumerate(self.rows):
            if is_first[row]:
                battles.append(Battle(-1, 0, np.zeros(len(self.members), np.int64), self._blank()))
            battle = battles[-1]
            assert battle.steps < self.spaces.episode_limit, "a battle ends at its limit"
            battle.of["log_prob"][battle.steps] = log_prob[:, row]
            battle.steps += 1

    def keep(self, segments: list[Segment]) -> None:
        """Take in finished segments; a battle is whole once the next one of its row has begun."""
        for segment in segments:
            member = self.members.index(segment.origin.agent)
            battles = self.rows[segment.lane % len(self.rows)]
            # Battles of a row come one after another: the first unnumbered one is the one that a new number means.
            battle = next(b for b in battles if b.episode in (segment.origin.episode, -1))
            battle.put(member, segment)
        for battles in self.rows:
            self.whole += [battle.first(int(battle.arrivals.max())) for battle in battles[:-1]]
            del battles[:-1]

    def take(self) -> list[Battle]:
        """The whole battles; they leave the log."""
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
        """All battles as arrays one after another: `row` is -1 for a whole one."""
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
        nothing = {name: array[:0] for name, array in self._blank().items()}  # an empty log has types and shapes too
        parts = [nothing, *(b.of for _, b in held)]
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
