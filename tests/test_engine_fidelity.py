"""Duels, moves, heals and rewards equal hand computations from the unit data of StarCraft II 4.10.

A band of remaining health holds if 19 of 20 battles lie in it; times are means in game seconds (16 loops).
"""

from dataclasses import replace

import numpy as np
import pytest

from mawm.envs.skirmish.combat import gap
from mawm.envs.skirmish.compiled import scalar
from mawm.envs.skirmish.kernel import game_loop
from mawm.envs.skirmish.layout import (
    ATTACK as ATTACKING,
)
from mawm.envs.skirmish.layout import (
    COOLDOWN,
    ENERGY,
    HP,
    ORDER,
    S_DMG,
    S_REGEN,
    S_SCAN,
    S_SPEED,
    SHIELD,
    TARGET,
    X,
    Y,
)
from mawm.envs.skirmish.maps import load_map
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.units import kinds_of
from mawm.envs.skirmish.vector import SkirmishVectorEnv
from tests.engine_arena import (
    ATTACK,
    EAST,
    NORTH,
    SOUTH,
    STOP,
    WEST,
    all_stop,
    allowed,
    arena,
    attack_nearest,
    duel,
    random_actions,
    total,
)

BATTLES = 300


def within(values, low, high):
    """Whether 19 of 20 values lie in the band."""
    return np.mean((values >= low) & (values <= high)) >= 0.95


def fight(winner, loser, apart, steps, batch=BATTLES):
    """Battles of agent `winner` against enemy `loser` that stand `apart` (centres): what is left, and the seconds."""
    env = arena([(winner, 5.0, 16.0)], [(loser, 5.0 + apart, 16.0)], batch, events=64)
    last = duel(env, steps)
    return total(env, 0), total(env, 2), last / 16.0


@pytest.mark.parametrize(("kind", "length"), [("marine", 1.125), ("zealot", 1.125), ("stalker", 1.4766)])
def test_move_covers_half_a_second_of_speed_not_two_cells(kind, length):
    for action, axis, sign in ((NORTH, Y, 1), (SOUTH, Y, -1), (EAST, X, 1), (WEST, X, -1)):
        env = arena([(kind, 16.0, 16.0)], [("marine", 2.0, 2.0)])
        env.step(np.array([[action, STOP]]))
        assert sign * (env.bodies[0, 0, axis] - 16.0) == pytest.approx(length, abs=1e-3)


def test_medivac_accelerates_to_its_speed():
    env = arena([("medivac", 5.0, 16.0)], [("marine", 30.0, 16.0)])
    ways = [0.0]
    for _ in range(5):
        env.step(np.array([[EAST, STOP]]))
        ways.append(env.bodies[0, 0, X] - 5.0)
    steps = np.diff(ways)
    # The allied one: 2.75 cells a second. The enemies' has 2.5.
    assert steps[0] < 0.5 < steps[1] < steps[-1] == pytest.approx(1.375, abs=1e-6)
    assert env._stats[0, S_SPEED] == 2.75 and kinds_of(["medivac"], ["medivac"], "4.10")[1].speed == 2.5


def test_zealot_in_contact_kills_a_marine_in_under_three_seconds():
    left, loser, seconds = fight("zealot", "marine", 0.875, 10)
    assert not loser.any() and within(left, 126, 132) and left.mean() == pytest.approx(130, abs=1.5)
    assert seconds.mean() == pytest.approx(2.84, abs=0.15)


def test_zealot_from_six_cells_beats_a_marine_with_a_third_of_its_shield():
    left, loser, seconds = fight("zealot", "marine", 6.0, 16)
    assert not loser.any() and within(left, 108, 120) and left.mean() == pytest.approx(114, abs=1.5)
    assert 9 <= seconds.mean() * 2 <= 11


def test_marine_duel_in_range_is_won_half_of_the_time():
    ally, enemy, seconds = fight("marine", "marine", 5.0, 20, 4000)
    assert np.mean(ally > 0) == pytest.approx(0.5, abs=0.03)
    assert ((ally > 0) != (enemy > 0)).all() and (ally + enemy).mean() == pytest.approx(3, abs=0.3)
    assert seconds.mean() == pytest.approx(6.5, abs=0.25)


def test_zealot_in_contact_beats_a_stalker():
    left, loser, seconds = fight("zealot", "stalker", 1.125, 34)
    assert not loser.any() and within(left, 63, 63) and seconds.mean() == pytest.approx(13.0, abs=0.2)
    # Seven shots in that time: 50 of shield and 4 x 13 + 3 x 12 - 50 - 1 of health.


def test_zealot_from_seven_cells_beats_a_stalker():
    left, loser, seconds = fight("zealot", "stalker", 7.0, 40)
    assert not loser.any() and within(left, 39, 51) and seconds.mean() == pytest.approx(15.6, abs=0.2)


def test_marauder_beats_a_stalker_by_its_bonus():
    left, loser, seconds = fight("marauder", "stalker", 6.0, 32)
    assert not loser.any() and within(left, 6, 6) and seconds.mean() == pytest.approx(12.8, abs=0.2)
    # Nine hits of 20 (19 on health) against seven of 18 - 1.


def test_marauder_beats_a_marine():
    left, loser, seconds = fight("marauder", "marine", 6.0, 16)
    assert not loser.any() and within(left, 85, 90) and seconds.mean() == pytest.approx(6.55, abs=0.2)


def test_zealot_beats_two_standing_marines():
    env = arena([("marine", 10.0, 15.5), ("marine", 10.0, 16.5)], [("zealot", 16.0, 16.0)], BATTLES, events=64)
    seconds = duel(env, 24) / 16.0
    assert not total(env, 0).any() and not total(env, 1).any() and within(total(env, 3), 67, 77)
    assert seconds.mean() == pytest.approx(8.45, abs=0.25)


def test_zealot_waits_for_its_backswing_before_it_chases():
    for backswing, gained in ((1.0, 8), (0.0, 6)):
        env = arena([("marine", 10.0, 16.0)], [("zealot", 9.05, 16.0)], rules=Rules(backswing=backswing))
        for _ in range(8):
            env.step(np.array([[EAST, STOP]]))
        # Two hits of its one attack; then the marine is ahead by the loops in which the zealot stood.
        assert total(env, 0) == 45 - 16
        assert env.bodies[0, 0, X] - env.bodies[0, 2, X] == pytest.approx(0.95 + gained * 2.25 / 16, abs=0.01)


def test_spine_crawler_beats_two_standing_stalkers():
    env = arena([("stalker", 10.0, 15.0), ("stalker", 10.0, 17.0)], [("spine_crawler", 5.0, 16.0)], BATTLES, events=64)
    # Its regeneration, six points by then, is left out of the band.
    env._stats[3, S_REGEN] = 0.0
    seconds = duel(env, 60) / 16.0
    assert not total(env, 0).any() and not total(env, 1).any()
    assert within(total(env, 3), 12, 44) and seconds.mean() == pytest.approx(21.7, abs=0.2)


@scalar
def _nearest(body, stats, a, n):
    target, best = -1, 1e9
    for foe in range(n, 2 * n):
        distance = gap(body, stats, a, foe)
        if body[foe, HP] > 0.0 and distance < best:
            target, best = foe, distance
    return target


@scalar
def _mirrored(c, stats, rules, grounds, toward, bodies, books, scratch, log, outcome):
    """Battles in which the agents, too, shoot at the nearest unit until it is dead; the winners (-1, 0, 1)."""
    n = c.n_agents
    for b in range(len(bodies)):
        body = bodies[b]
        for _ in range(16 * 60):
            for a in range(n):
                if body[a, TARGET] < 0.0 or body[int(body[a, TARGET]), HP] <= 0.0:
                    body[a, TARGET], body[a, ORDER] = _nearest(body, stats, a, n), ATTACKING
            scratch[0, :, :2] = 0.0
            scratch[0, :, 2] = -1.0
            game_loop(stats, rules, grounds, toward, body, books[b], scratch[0], scratch[1], log, c.n_agents)
            own, foes = 0.0, 0.0
            for u in range(n):
                own += body[u, HP]
                foes += body[n + u, HP]
            if own <= 0.0 or foes <= 0.0:
                outcome[b] = (own > 0.0) - (foes > 0.0)
                break


def test_mirrored_teams_win_half_of_their_battles():
    allies = [("marine", 13.5, y) for y in (15.0, 16.0, 17.0)]
    enemies = [("marine", 18.5, y) for y in (15.0, 16.0, 17.0)]
    env = arena(allies, enemies, 6000, keepers=False)
    outcome = np.zeros(env.batch, np.int64)
    _mirrored(
        env.contract, env._stats, env._numbers, env._grounds, env._toward, env.bodies, env._books, env._scratch,
        env._logs[0], outcome,
    )  # fmt: skip
    assert np.mean(outcome == 1) == pytest.approx(0.5, abs=0.02) and np.mean(outcome == 0) < 0.02


def test_random_play_wins_under_one_percent_on_3m():
    env, rng = SkirmishVectorEnv("3m", 1000, 3), np.random.default_rng(0)
    step, over, wins = env.reset(), 0, 0
    while over < 5000:
        step = env.step(random_actions(step, rng))
        over += int((step.terminated | step.truncated).sum())
        wins += int(step.battle_won.sum())
    assert wins < 0.01 * over


@pytest.mark.parametrize("name", ["3m", "8m", "5m_vs_6m", "corridor"])
def test_win_without_recovery_pays_twenty(name):
    spec = load_map(name)
    env = SkirmishVectorEnv(spec, 16, 2)
    # Harmless enemies that do not heal: attack-nearest wins every battle.
    n = env.contract.n_agents
    env._stats[n:, S_DMG], env._stats[:, S_REGEN] = 0.0, 0.0
    step, returns, open_, wins = env.reset(), np.zeros(16), np.ones(16, bool), np.zeros(16, bool)
    for _ in range(spec.limit):
        step = env.step(attack_nearest(env, step))
        returns += np.where(open_, step.reward, 0.0)
        wins |= open_ & step.battle_won
        open_ &= ~(step.terminated | step.truncated)
    assert wins.all() and returns == pytest.approx(20.0, abs=1e-4)


def test_shield_regains_one_a_step_after_ten_seconds():
    env = arena([("marine", 10.0, 16.0)], [("stalker", 15.0, 16.0)])
    env._stats[2, S_DMG] = 0.0
    while env.bodies[0, 2, SHIELD] == 80.0:
        env.step(np.array([[ATTACK, STOP]]))
    env.bodies[0, 2, SHIELD] = 60.0
    shields, rewards = [env.bodies[0, 2, SHIELD]], []
    for _ in range(30):
        rewards.append(float(env.step(all_stop(env)).reward[0]))
        shields.append(env.bodies[0, 2, SHIELD])
    gains = np.diff(shields)
    assert not gains[:19].any() and gains[21:] == pytest.approx(1.0)
    # SMAC's own reward takes the absolute change: it pays for shields that come back.
    assert rewards[25] == pytest.approx(1.0 / env.contract.max_reward * 20, rel=1e-4)


def test_medivac_heals_4_5_a_step_for_1_5_energy():
    env = arena([("marine", 16.0, 17.0), ("medivac", 16.0, 16.0)], [("marine", 2.0, 2.0)], events=64)
    env.bodies[0, 0, HP] = 10.0
    before = env.bodies[0, 1, ENERGY]
    env.step(np.array([[STOP, ATTACK, STOP]]))
    assert env.bodies[0, 0, HP] == pytest.approx(14.5)
    assert env.bodies[0, 1, ENERGY] == pytest.approx(before - 1.485 + 0.5625 / 2)


def test_medivac_without_energy_does_not_heal():
    env = arena([("marine", 16.0, 17.0), ("medivac", 16.0, 16.0)], [("marine", 2.0, 2.0)])
    env.bodies[0, 0, HP], env.bodies[0, 1, ENERGY] = 10.0, 0.0
    env.step(np.array([[STOP, ATTACK, STOP]]))
    # What it regains in half a second is all that it can spend.
    assert env.bodies[0, 0, HP] - 10.0 <= 0.5625 / 2 / 0.33 + 1e-9


def test_medivac_mask_excludes_medivacs_and_targets_beyond_six_cells():
    at = [("marine", 10.0, 16.0), ("medivac", 16.0, 16.0), ("medivac", 16.0, 18.0)]
    env = arena(at, [("marine", 2.0, 2.0)])
    assert env.show().avail[0, 1, ATTACK:].tolist() == [True, False, False, False]
    env.bodies[0, 0, X] = 9.9
    assert not env.show().avail[0, 1, ATTACK:].any()


def test_medivac_heals_within_four_cells_between_edges():
    env = arena([("marine", 10.0, 16.0), ("medivac", 16.0, 16.0)], [("marine", 2.0, 2.0)])
    env.bodies[0, 0, HP] = 1.0
    while env.bodies[0, 0, HP] == 1.0:
        before = env.bodies[0, 1, X]
        env.step(np.array([[STOP, ATTACK, STOP]]))
    assert before > 10.0 + 4.0 + 0.375 + 0.75 >= env.bodies[0, 1, X] - 1e-9


def test_stopped_agent_does_not_fire_back():
    env = arena([("marine", 10.0, 16.0)], [("marine", 14.0, 16.0)], 100)
    for _ in range(10):
        env.step(all_stop(env))
    assert (env.bodies[:, 2, HP] == 45.0).all() and (env.bodies[:, 0, HP] < 45.0).all()


def test_enemy_acquires_targets_within_its_scan_range_only():
    # 5.5 cells in the data of a marine and half a cell for all that walk, between edges.
    for centre, expected in ((6.74, True), (6.77, False)):
        env = arena([("marine", 10.0, 16.0)], [("marine", 10.0 + centre, 16.0)])
        env.step(all_stop(env))
        assert (env.bodies[0, 2, TARGET] == 0) == expected


def test_enemy_hit_from_beyond_its_scan_range_retaliates():
    env = arena([("marine", 10.0, 16.0)], [("zealot", 15.0, 16.0)])
    env._stats[2, S_SCAN] = 2.0
    env.step(all_stop(env))
    assert env.bodies[0, 2, TARGET] == -1
    for _ in range(2):
        env.step(np.array([[ATTACK, STOP]]))
    assert env.bodies[0, 2, TARGET] == 0 and env.bodies[0, 2, X] < 15.0


def test_enemy_without_targets_waits_at_the_attack_point_until_the_limit():
    attack = ((9.0, 16.0), (9.0, 16.0))
    env = arena([("marine", 30.0, 2.0)], [("marine", 16.0, 16.0)], attack=attack, keepers=False, limit=60)
    for _ in range(59):
        step = env.step(all_stop(env))
        assert not step.terminated.any() and not step.truncated.any()
    assert np.hypot(env.bodies[0, 1, X] - 9, env.bodies[0, 1, Y] - 16) <= 1.0
    step = env.step(all_stop(env))
    assert step.truncated.all() and not step.battle_won.any() and not step.terminated.any()


def _moved_off(kind, loops_before_the_order):
    """The health that a hydralisk lost to an agent that began its attack so many loops before an order to walk away."""
    apart = 0.875 if kind == "zealot" else 5.0
    env = arena([(kind, 10.0, 16.0)], [("hydralisk", 10.0 + apart, 16.0)])
    env._stats[2, S_DMG], env._stats[2, S_REGEN] = 0.0, 0.0
    env.bodies[0, 0, COOLDOWN] = 9 - loops_before_the_order
    env.step(np.array([[ATTACK, STOP]]))
    env.step(np.array([[WEST, STOP]]))
    return 90.0 - env.bodies[0, 2, HP]


def test_stalker_ordered_to_walk_during_windup_deals_no_damage():
    assert _moved_off("stalker", 2) == 0.0 and _moved_off("stalker", 5) > 0.0


def test_marine_fires_before_an_order_to_walk_arrives():
    assert _moved_off("marine", 2) == pytest.approx(6.0)


def test_zealot_ordered_to_walk_between_its_hits_lands_one():
    assert _moved_off("zealot", 3) == 8.0 and _moved_off("zealot", 7) == 16.0


def test_attack_nearest_script_beats_harmless_enemies():
    spec = replace(load_map("3m"), attack=None)
    env = SkirmishVectorEnv(spec, 500, 4)
    env._stats[3:, S_DMG] = 0.0
    step, wins, open_ = env.reset(), np.zeros(500, bool), np.ones(500, bool)
    for _ in range(60):
        step = env.step(attack_nearest(env, step))
        wins |= open_ & step.battle_won
        open_ &= ~(step.terminated | step.truncated)
    assert wins.all() and not allowed(step, np.zeros((500, 3), int)).all()
