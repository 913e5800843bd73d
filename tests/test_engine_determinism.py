"""A battle depends on seed, number and actions only: not on batch, row, thread, compiler or snapshots."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from mawm.envs.skirmish.layout import BATTLE
from mawm.envs.skirmish.maps import load_map
from mawm.envs.skirmish.vector import SkirmishVectorEnv
from tests.engine_arena import played, random_actions

BOTH = ("3m", "2s3z")


@pytest.mark.parametrize("name", BOTH)
def test_battle_in_a_batch_equals_the_battle_alone_bit_for_bit(name):
    many = played(SkirmishVectorEnv(name, 64, 7), 200, range(64))
    for row in (0, 13, 63):
        alone = played(SkirmishVectorEnv(name, 1, 7, first_battle=row, stride=64), 200, [row])
        # Terminated or truncated: several battles have ended on the way.
        assert (alone[5] | alone[6]).sum() >= 2
        for one, all_ in zip(alone, many, strict=True):
            np.testing.assert_array_equal(one[:, 0], all_[:, row])


def test_batch_rows_keep_their_battle_numbers_after_ends():
    env = SkirmishVectorEnv("3m", 4, 7)
    step, rng, ends = env.reset(), np.random.default_rng(0), np.zeros(4, np.int64)
    for _ in range(150):
        step = env.step(random_actions(step, rng))
        ends += step.terminated | step.truncated
    assert ends.min() > 0 and env.battles.tolist() == (np.arange(4) + 4 * ends).tolist()


PROGRAM = """
import hashlib, numpy as np
from mawm.envs.skirmish.vector import SkirmishVectorEnv
env = SkirmishVectorEnv("3m", 2, 11)
step, rng, digest = env.reset(), np.random.default_rng(5), hashlib.sha256()
for _ in range(3):
    step = env.step(np.where(step.avail, rng.random(step.avail.shape), -1.0).argmax(2))
    for array in (step.obs, step.state, step.avail, step.reward, env.bodies):
        digest.update(np.ascontiguousarray(array).tobytes())
print(digest.hexdigest())
"""


def _digest(**variables):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM], env={**os.environ, **variables}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_plain_python_kernel_equals_the_compiled_kernel():
    assert _digest(NUMBA_DISABLE_JIT="1") == _digest(NUMBA_DISABLE_JIT="0")


def _go_on(env, step, steps, seed):
    rng, seen = np.random.default_rng(seed), []
    for _ in range(steps):
        step = env.step(random_actions(step, rng))
        seen.append((step.obs.copy(), step.reward.copy(), env.bodies.copy()))
    return [np.stack(arrays) for arrays in zip(*seen, strict=True)]


def test_engine_snapshot_continues_bit_for_bit_in_another_engine():
    env, twin = SkirmishVectorEnv("2s3z", 8, 3), SkirmishVectorEnv("2s3z", 8, 3)
    _go_on(env, env.reset(), 15, 1)
    kept = env.snapshot()
    first = _go_on(env, env.show(), 150, 2)
    env.restore(kept)
    again = _go_on(env, env.show(), 150, 2)
    twin.restore(kept)
    cloned = _go_on(twin, twin.show(), 150, 2)
    for a, b, c in zip(first, again, cloned, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


def test_engine_snapshot_is_a_copy():
    env = SkirmishVectorEnv("3m", 2, 3)
    kept = (env.reset(), env.snapshot())[1]
    before = kept["bodies"].copy()
    _go_on(env, env.show(), 5, 1)
    np.testing.assert_array_equal(kept["bodies"], before)


def test_engine_snapshot_of_another_batch_is_refused():
    one, two = SkirmishVectorEnv("3m", 1, 3), SkirmishVectorEnv("3m", 2, 3)
    one.reset()
    with pytest.raises(ValueError, match=r"snapshot has bodies of shape \(1, 6, .*needs \(2, 6"):
        two.restore(one.snapshot())


def test_battle_end_keeps_final_views_and_starts_the_next_battle():
    env = SkirmishVectorEnv("3m", 1, 9)
    step = env.reset()
    kept = env.snapshot()
    for _ in range(60):
        kept = env.snapshot()
        before = step
        step = env.step(np.where(step.alive, 1, 0))
        if (step.terminated | step.truncated)[0]:
            break
    assert (step.terminated | step.truncated)[0] and before.alive.any()
    assert not step.final_alive.any() and not step.final_obs.any() and step.final_avail[0, :, 0].all()
    fresh = SkirmishVectorEnv("3m", 1, 9, first_battle=1).reset()
    np.testing.assert_array_equal(step.obs, fresh.obs)
    np.testing.assert_array_equal(step.state, fresh.state)
    assert step.alive.all() and not step.avail[:, :, 0].any()
    assert kept["books"][0, BATTLE] == 0 and env.battles[0] == 1


def test_final_views_at_the_limit_equal_those_of_an_unlimited_battle():
    spec = replace(load_map("3m"), attack=None)
    short = SkirmishVectorEnv(replace(spec, limit=20), 4, 2)
    long = SkirmishVectorEnv(replace(spec, limit=90), 4, 2)
    a, b, rng = short.reset(), long.reset(), np.random.default_rng(1)
    for _ in range(20):
        actions = random_actions(a, rng)
        a, b = short.step(actions), long.step(actions)
    rows = a.truncated
    assert rows.any() and not b.truncated.any()
    np.testing.assert_array_equal(a.final_obs[rows], b.obs[rows])
    np.testing.assert_array_equal(a.final_avail[rows], b.avail[rows])
    np.testing.assert_array_equal(a.final_alive[rows], b.alive[rows])


def test_battles_of_other_seeds_or_numbers_differ():
    def hits(seed, first):
        env = SkirmishVectorEnv("3m", 1, seed, first_battle=first)
        step, seen = env.reset(), []
        for _ in range(14):
            step = env.step(np.where(step.alive, 1, 0))
            seen.append(env.bodies.copy())
        return np.stack(seen)

    base = hits(1, 0)
    np.testing.assert_array_equal(base, hits(1, 0))
    assert not np.array_equal(base, hits(2, 0)) and not np.array_equal(base, hits(1, 1))


def test_battle_does_not_depend_on_the_number_of_threads():
    def one(row):
        return played(SkirmishVectorEnv("2s3z", 1, 7, first_battle=row, stride=4), 60, [row])

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(one, range(4)))
    for row in range(4):
        for a, b in zip(together[row], one(row), strict=True):
            np.testing.assert_array_equal(a, b)
