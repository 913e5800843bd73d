"""The collector: what arrives together is stored together; ends of streams at deaths and time limits."""

from typing import Any

import numpy as np
import pytest

from mawm.collect import Collector, Outcome
from mawm.team import InlineTeam
from mawm.types import Spaces, Step

LENGTH = 4


class CountingEnv:
    """One battle of two agents whose observation is the step's number; agent 1 dies at step 2; reward is the step."""

    spaces = Spaces(2, 3, 1, 1, LENGTH)
    batch = 1

    def __init__(self, truncates: bool) -> None:
        self.truncates, self.t, self.length = truncates, 0, LENGTH

    def _step(self, t: int, reward: float, ended: bool, now: int) -> Step:
        def shaped(value: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            alive = np.array([[True, value < 2]])
            return np.full((1, 2, 1), value, np.float32), np.ones((1, 2, 3), np.bool_), alive

        obs, avail, alive = shaped(now)
        flag = np.array([ended])
        never = np.array([False])
        over, cut = (never, flag) if self.truncates else (flag, never)
        state = np.zeros((1, 1), np.float32)
        return Step(obs, avail, alive, state, np.array([reward], np.float32), over, cut, over, *shaped(t))

    def reset(self) -> Step:
        """Begin."""
        self.t = 0
        return self._step(0, 0.0, False, 0)

    def step(self, actions: np.ndarray) -> Step:
        """Play one step."""
        assert (actions == self.t % 3).all(), "the action answers the observation now visible"
        self.t += 1
        t, ended = self.t, self.t == self.length
        self.t = 0 if ended else t
        return self._step(t, float(t), ended, self.t)

    def snapshot(self) -> dict[str, np.ndarray]:
        """Where the battle stands."""
        return {"t": np.array(self.t)}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        """Go on from there."""
        self.t = int(snapshot["t"])


class Counter:
    """Acts with the number it sees, modulo the number of actions."""

    def begin(self, slot: str, lanes: int) -> None:
        """Record the number of lanes."""
        self.lanes = lanes

    def act(self, obs: np.ndarray, avail: np.ndarray, is_first: np.ndarray, **_: Any) -> np.ndarray:
        """Act with the number that was observed."""
        assert obs.shape[0] == self.lanes and (is_first == (obs[:, 0] == 0)).all()
        return obs[:, 0].astype(np.int64) % 3


def collector(truncates: bool = False, seq_len: int = 10) -> Collector:
    team = InlineTeam(lambda i: Counter(), ((0,), (1,)))
    return Collector(CountingEnv(truncates), team, seq_len=seq_len, discount=0.5)


def test_collector_stores_action_reward_and_observation_of_one_arrival() -> None:
    (segment,) = collector().collect(LENGTH, "sample")[0]
    assert segment.obs[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert segment.prev_action.tolist() == [0, 0, 1, 2, 0]
    assert segment.reward.tolist() == [0, 1, 2, 3, 4]
    assert segment.is_first.tolist() == [True] + 4 * [False]
    assert segment.terminal.tolist() == 4 * [False] + [True]


def test_agent_death_ends_its_stream_with_the_remaining_return() -> None:
    (segment,) = collector().collect(LENGTH, "sample")[1]
    assert segment.obs[:, 0].tolist() == [0, 1, 2]
    assert segment.reward.tolist() == pytest.approx([0, 1, 2 + 0.5 * 3 + 0.25 * 4])
    assert segment.terminal.tolist() == [False, False, True]


def test_end_of_battle_is_not_an_agent_death() -> None:
    (segment,) = collector().collect(LENGTH, "sample")[0]
    assert segment.terminal[-1] and segment.reward[-1] == 4


def test_agent_death_is_stored_at_the_end_of_the_battle() -> None:
    battles = collector(seq_len=3)
    assert battles.collect(LENGTH - 1, "sample")[1] == []
    assert len(battles.collect(1, "sample")[1]) == 1


def test_segments_cut_at_the_end_of_a_battle_know_whether_it_was_won() -> None:
    battles = collector(seq_len=2)
    alive, dead = battles.collect(LENGTH, "sample")
    assert [s.won for s in alive] == [None, True, True]
    assert [s.won for s in dead] == [None, True], "the last segment of a dead agent waits for the battle's end"
    (segment,) = collector(truncates=True).collect(LENGTH, "sample")[0]
    assert segment.won is False


def test_time_limit_is_not_terminal() -> None:
    (segment,) = collector(truncates=True).collect(LENGTH, "sample")[0]
    assert not segment.terminal.any() and len(segment) == LENGTH + 1


def test_segments_are_contiguous_and_the_rest_is_carried_over() -> None:
    battles = collector(seq_len=2)
    first, later = battles.collect(2, "sample")[0], battles.collect(2 + LENGTH, "sample")[0]
    segments = [*first, *later]
    assert [len(s) for s in segments] == [2, 2, 1, 2, 2, 1]
    assert [(s.start, s.origin.episode) for s in segments] == [(0, 0), (2, 0), (4, 0), (0, 1), (2, 1), (4, 1)]
    assert battles.env_steps == 2 * LENGTH


@pytest.mark.parametrize("seq_len", [2, 3, 7, 8, 20])
@pytest.mark.parametrize("length", [1, 5, 9, 20, 29, 30, 31, 77])
def test_segment_is_at_least_half_its_length_unless_the_battle_is_shorter(seq_len: int, length: int) -> None:
    battles = collector(seq_len=seq_len)
    battles.env.length = length
    battle = battles.collect(length, "sample")[0]
    lengths = [len(s) for s in battle]
    assert sum(lengths) == length + 1 and max(lengths) <= seq_len
    assert min(lengths) >= min(seq_len / 2, length + 1)
    assert np.concatenate([s.obs[:, 0] for s in battle]).tolist() == list(range(length + 1))
    assert battle[-1].terminal[-1] and battle[-1].reward[-1] == length


def test_collector_state_round_trip_continues_bit_for_bit() -> None:
    whole, first, second = collector(), collector(), collector()
    whole.collect(2, "sample")
    first.collect(2, "sample")
    second.load_state(*first.state())
    for mine, theirs in zip(whole.collect(5, "sample"), second.collect(5, "sample"), strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert all(np.array_equal(value, vars(b)[name]) for name, value in vars(a).items())


def test_share_won_needs_more_than_one_early_win() -> None:
    one = collector()
    assert one.share_won() == 0.0
    one.outcomes = [Outcome(True, 20.0, 9)]
    assert one.share_won() == 1 / 20
    one.outcomes = [Outcome(n % 2 == 0, 20.0, 9) for n in range(40)]
    assert one.share_won() == 0.5
