"""The replay equals a plain list; the contents of sampled sequences."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mawm.agents.config import ReplayConfig
from mawm.agents.pooled_replay import PooledReplay
from mawm.agents.replay import Replay
from mawm.build import make_learner
from mawm.configs.presets import load_preset
from mawm.sharing.provenance import Gate, ProvenanceError
from mawm.storage.append_only_tables import joined
from mawm.types import Origin, Role, Segment, Spaces

SPACES = Spaces(n_agents=2, n_actions=11, obs_size=3, state_size=1, episode_limit=50)


def segment(first_value, steps, lane, *, starts=False):
    value = np.arange(first_value, first_value + steps)
    first = np.zeros(steps, bool)
    first[0] = starts
    rng = np.random.default_rng(first_value)
    return Segment(
        origin=Origin(0, Role.PRIMARY, 0),
        lane=lane,
        start=0,
        obs=np.repeat(value[:, None], 3, 1).astype(np.float32),
        prev_action=value % 11,
        reward=value.astype(np.float32),
        terminal=value % 7 == 0,
        is_first=first,
        avail=rng.random((steps, 11)) < 0.5,
    )


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), min_size=1, max_size=60),
    st.integers(9, 60),
    st.integers(1, 6),
)
@settings(max_examples=80, deadline=None)
def test_replay_samples_are_contiguous_stretches_of_a_lane(adds, capacity, length):
    replay = Replay(SPACES, capacity, lanes=3, gate=Gate(Role.PRIMARY))
    model = [[], [], []]
    counter = 0
    for lane, steps in adds:
        replay.add([segment(counter, steps, lane)])
        model[lane].extend(range(counter, counter + steps))
        counter += steps
    held = [lane[-replay.depth :] for lane in model]
    assert len(replay) == sum(map(len, held))
    allowed = {tuple(lane[i : i + length]) for lane in held for i in range(len(lane) - length + 1)}
    assert replay.places(length) == len(allowed)
    if not allowed:
        with pytest.raises(ValueError, match="holds"):
            replay.sample(4, length, np.random.default_rng(0))
        return
    batch = replay.sample(200, length, np.random.default_rng(0))
    for column in batch.reward.T:
        assert tuple(int(v) for v in column) in allowed
    assert np.array_equal(batch.obs[..., 0], batch.reward)
    assert np.array_equal(batch.prev_action, batch.reward.astype(int) % 11)
    assert np.array_equal(batch.terminal, batch.reward.astype(int) % 7 == 0)


def test_replay_masks_survive_packing():
    replay = Replay(SPACES, 100, lanes=1, gate=Gate(Role.PRIMARY))
    original = segment(0, 9, 0)
    replay.add([original])
    batch = replay.sample(1, 9, np.random.default_rng(0))
    assert np.array_equal(batch.avail[:, 0], original.avail)


def test_replay_samples_starts_uniformly():
    replay = Replay(SPACES, 1000, lanes=2, gate=Gate(Role.PRIMARY))
    replay.add([segment(0, 30, 0), segment(30, 10, 1)])
    starts = replay.sample(72_000, 5, np.random.default_rng(1)).reward[0].astype(int)
    counts = np.bincount(starts, minlength=40)
    places = replay.places(5)
    assert places == 26 + 6
    expected = 72_000 / places
    chi2 = ((counts[counts > 0] - expected) ** 2 / expected).sum()
    assert (counts > 0).sum() == places
    assert chi2 < 61.1  # the 99.9 % point with 31 degrees of freedom


def test_replay_received_segment_does_not_continue_a_lane():
    replay = Replay(SPACES, 100, lanes=1, gate=Gate(Role.PRIMARY))
    replay.add([segment(5, 4, 3)], joined=False)
    stretch = replay.sample(1, 4, np.random.default_rng(0))
    assert stretch.reset[:, 0].tolist() == [True, False, False, False] and not stretch.is_first.any()
    replay.add([segment(9, 4, 3, starts=True)], joined=False)
    battles = replay.sample(50, 8, np.random.default_rng(0))
    assert battles.is_first.sum() == 50 and battles.reset.sum() == 100


def test_pooled_batch_is_at_least_half_own_data():
    pooled = PooledReplay(SPACES, ReplayConfig(capacity=4000), 1, Gate(Role.PRIMARY))
    pooled.remember([segment(0, 40, 0)])
    for batch, own in ((16, 8), (5, 3), (1, 1)):
        pooled.admit([segment(1000, 1000, 0)])
        drawn = pooled.sample_pooled(batch, 10, np.random.default_rng(0))
        assert int(drawn.own.sum()) == own
        assert torch.equal(drawn.own, drawn.reward[0] < 1000)


def test_replay_refuses_a_segment_of_other_sizes_without_loss():
    replay = Replay(SPACES, 100, lanes=1, gate=Gate(Role.PRIMARY))
    replay.add([segment(0, 9, 0)])
    other = Replay(Spaces(2, 5, 3, 1, 50), 100, lanes=1, gate=Gate(Role.PRIMARY))
    with pytest.raises(ValueError, match="avail of shape"):
        other.add([segment(0, 9, 0)])
    assert len(replay) == 9


def test_replay_state_round_trip_continues_the_samples():
    a, b = Replay(SPACES, 40, lanes=2, gate=Gate(Role.PRIMARY)), Replay(SPACES, 40, lanes=2, gate=Gate(Role.PRIMARY))
    a.add([segment(0, 25, 0), segment(25, 15, 1)])
    b.load_state(a.state())
    for replay in (a, b):
        replay.add([segment(40, 8, 0)])
    x, y = (r.sample(50, 6, np.random.default_rng(3)) for r in (a, b))
    assert all(np.array_equal(p, q) for p, q in zip(x, y, strict=True))
    with pytest.raises(ValueError, match=r"saved with 2 lane\(s\) of 20 steps; this run needs 3 of 13"):
        Replay(SPACES, 40, lanes=3, gate=Gate(Role.PRIMARY)).load_state(a.state())
    with pytest.raises(ValueError, match=r"replay field obs was saved as .*\(\d+, \d\) float64"):
        b.load_state({**a.state(), "obs": a.state()["obs"].astype(np.float64)})
    with pytest.raises(ValueError, match="saved with 35 rows; some of them are missing"):
        b.load_state({k: v if k in ("start", "end") else v[1:] for k, v in a.state().items()})


def test_replay_refuses_a_foreign_role_and_keeps_nothing_of_the_call():
    replay = Replay(SPACES, 100, lanes=1, gate=Gate(Role.PRIMARY))
    foreign = replace(segment(5, 5, 0), origin=Origin(3, Role.EXPLORER, 17))
    with pytest.raises(ProvenanceError, match="agent 3, role explorer, episode 17"):
        replay.add([segment(0, 5, 0), foreign])
    assert len(replay) == 0


def test_replay_refuses_a_foreign_row_when_sampling():
    replay, open_one = (Replay(SPACES, 100, lanes=1, gate=Gate(*roles)) for roles in ((Role.PRIMARY,), tuple(Role)))
    open_one.add([segment(0, 5, 0), replace(segment(5, 5, 0), origin=Origin(3, Role.EXPLORER, 17))])
    assert open_one.sample(4, 10, np.random.default_rng(0)).reward.shape == (10, 4)
    replay.load_state(open_one.state())
    with pytest.raises(ProvenanceError, match="agent 3, role explorer, episode 17"):
        replay.sample(4, 10, np.random.default_rng(0))


def test_replay_equals_a_plain_list_over_ten_thousand_operations(figure):
    rng, counter, samples = np.random.default_rng(11), 0, 0
    replay, model = Replay(SPACES, 90, lanes=3, gate=Gate(Role.PRIMARY)), [[], [], []]
    pieces: list[dict[str, np.ndarray]] = []  # as a checkpoint keeps them: what came since the one before
    for _ in range(10_000):
        what = rng.integers(10)
        if what < 5:
            lane, steps = int(rng.integers(3)), int(rng.integers(1, 40))
            replay.add([segment(counter, steps, lane)])
            model[lane] = [*model[lane], *range(counter, counter + steps)][-replay.depth :]
            counter += steps
        elif what < 7:
            length = int(rng.integers(1, 35))
            allowed = [tuple(lane[i : i + length]) for lane in model for i in range(len(lane) - length + 1)]
            assert replay.places(length) == len(allowed)
            if allowed:
                batch = replay.sample(3, length, rng)
                assert {tuple(int(v) for v in column) for column in batch.reward.T} <= set(allowed)
                samples += 1
        elif what == 7:
            with pytest.raises(ValueError, match="expected"):
                replay.add([replace(segment(counter, 3, 0), obs=np.zeros((3, 4), np.float32))])
        elif what == 8:
            with pytest.raises(ProvenanceError):
                replay.add([segment(0, 2, 0), replace(segment(0, 2, 1), origin=Origin(0, Role.EXPLORER, 0))])
        else:
            pieces.append(replay.state(pieces[-1]["end"].tolist() if pieces else None))
            pieces = [p for p in pieces if (p["end"] > pieces[-1]["start"]).any()] or pieces[-1:]
            table = {name.removeprefix("rows/own/"): array for name, array in joined("own", pieces, "here").items()}
            again = Replay(SPACES, 90, lanes=3, gate=Gate(Role.PRIMARY))
            again.load_state(table)
            assert all(again.state()[name].tobytes() == array.tobytes() for name, array in replay.state().items())
            replay = again
        assert len(replay) == sum(map(len, model))
    assert samples > 1000
    figure("10 000 operations on a replay", "as a plain list would do")


def test_replay_recent_samples_start_in_the_newest_rows_of_every_lane():
    replay = Replay(SPACES, 4000, 2, Gate(Role.PRIMARY), recent_steps=100)
    for lane in (0, 1):
        replay.add([segment(0, 1000, lane)])
    rng = np.random.default_rng(0)
    newest = replay.sample(2000, 5, rng, recent=1.0).reward[0]
    assert newest.min() == 1000 - 5 + 1 - 50 and newest.max() == 1000 - 5
    mixed = replay.sample(20_000, 5, rng, recent=0.5).reward[0]
    # Half of the draws, and 50 of 996 places of the other half.
    assert abs((mixed >= 946).mean() - (0.5 + 0.5 * 50 / 996)) < 0.01


def test_pooled_received_rows_are_recent_as_long_as_own_rows_of_the_same_time():
    pooled = PooledReplay(SPACES, ReplayConfig(capacity=4000, recent_steps=100), 1, Gate(Role.PRIMARY))
    pooled.remember([segment(0, 90, 0)])
    pooled.admit([segment(0, 10, 0)])
    pooled.sample_pooled(4, 10, np.random.default_rng(0))
    assert pooled.received.recent == 10  # all of the run is recent
    # A quarter of the 400 own rows is recent, so the newest 5 of the 20 received ones are.
    pooled.remember([segment(100, 310, 0)])
    pooled.admit([segment(100, 10, 0)])
    pooled.sample_pooled(400, 10, np.random.default_rng(0))
    assert pooled.received.recent == 5


def test_agent_of_a_whole_team_calls_the_same_time_recent_as_one_of_a_single_agent():
    spaces = Spaces(3, 9, 30, 48, 60)
    recent = {}
    for method in ("both", "centralized"):
        config = replace(load_preset("debug"), method=method)
        learner = make_learner(0, config=config, spaces=spaces, device="cpu")
        recent[method] = learner.replay.own.recent
        assert learner.replay.own.lanes == len(learner.members) * config.schedule.battles
    assert recent["both"] == recent["centralized"] == 10_000 // load_preset("debug").schedule.battles
