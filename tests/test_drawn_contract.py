"""SMACv2's contract on small constructed battles: every number is worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from mawm.envs.skirmish.contract import DRAW, GOES_ON, LOST, WON
from mawm.envs.skirmish.layout import BODY, COOLDOWN, ENERGY, HP, S_HP, S_SHIELD, SHIELD, X, Y
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.setup import kind_stats
from mawm.envs.skirmish.smacv2.contract import (
    drawn_contract,
    end_code,
    forget_sighters,
    max_reward,
    remember_places,
    settle,
    write_views,
)
from mawm.envs.skirmish.smacv2.maps import KINDS, DrawnMap
from mawm.envs.skirmish.units import kinds_of

FAR = (31.0, 31.0)


def scene(allies, enemies):
    """A battle of `allies` against `enemies`, lists of (kind, (x, y)), at full health and shields."""
    names, n = [kind for kind, _ in (*allies, *enemies)], len(allies)
    race = next(race for race, kinds in KINDS.items() if names[0] in kinds)
    c = drawn_contract(DrawnMap("constructed", race, n, len(enemies)))
    stats = np.array([kind_stats(kind, Rules()) for kind in kinds_of(names[:n], names[n:], "4.10")])
    bodies = np.zeros((len(names), BODY))
    bodies[:, [X, Y]] = [place for _, place in (*allies, *enemies)]
    bodies[:, HP], bodies[:, SHIELD] = stats[:, S_HP], stats[:, S_SHIELD]
    kinds = np.array([KINDS[race].index(name) for name in names])
    sighters, places = np.full(len(enemies), -1), np.zeros((len(enemies), 2))
    remember_places(c, bodies, places)
    return SimpleNamespace(c=c, kinds=kinds, stats=stats, bodies=bodies, sighters=sighters, places=places)


def views(s, last=None, order=None):
    """Observations (N, O), masks (N, A), state (S,) of a scene; agents observe in index order, or in `order`."""
    n = s.c.n_agents
    obs, avail = np.ones((n, s.c.obs_size), np.float32), np.ones((n, s.c.n_actions), np.bool_)
    state = np.ones(s.c.state_size, np.float32)
    last, order = np.full(n, -1) if last is None else last, np.arange(n) if order is None else np.array(order)
    write_views(s.c, s.kinds, s.stats, s.bodies, last, s.sighters, s.places, order, obs, avail, state)
    return obs, avail, state


def enemy_rows(s, obs):
    """The enemies' features (N, E, 8 or 9)."""
    width = 8 + int(s.c.ally_shields)
    return obs[:, 4 : 4 + width * s.c.n_enemies].reshape(s.c.n_agents, s.c.n_enemies, width)


def after(s, changes, steps=1, **options):
    """Reward, code, over, timeout once units' (health, shield) changed."""
    before, now = s.bodies[:, [HP, SHIELD]].copy(), s.bodies.copy()
    for unit, values in changes.items():
        now[unit, [HP, SHIELD]] = values
    flags = {"sparse": False, "signed": False} | options
    return settle(s.c, s.kinds, s.stats, before, now, steps, flags["sparse"], flags["signed"])


def test_drawn_observation_of_a_terran_agent_by_hand():
    s = scene([("marine", (10.0, 0.5)), ("medivac", (13.0, 4.5))], [("marauder", (13.0, 4.5)), ("marine", FAR)])
    s.bodies[0, HP], s.bodies[1, HP], s.bodies[2, HP] = 9.0, 75.0, 25.0
    s.sighters[1] = 0  # the second enemy was seen before: its row is zero because it is out of sight now
    obs, _, _ = views(s)
    moves = [1, 1, 1, 1]
    enemy = [1, 5 / 9, 3 / 9, 4 / 9, 25 / 125, 0, 1, 0]  # 5 cells away, and a marine's range is 5
    ally = [1, 5 / 9, 3 / 9, 4 / 9, 75 / 150, 0, 0, 1]
    own = [9 / 45, 10 / 32, 0.5 / 32, 1, 0, 0]
    np.testing.assert_allclose(obs[0], [*moves, *enemy, *[0] * 8, *ally, *own], atol=1e-6)


def test_drawn_moves_are_forbidden_beyond_the_north_and_east_edge():
    s = scene([("marine", (31.5, 0.5)), ("marine", (0.5, 31.5))], [("marine", FAR)])
    avail = views(s)[1]
    assert avail[:, 2:6].tolist() == [[True, True, False, True], [False, True, True, True]]
    # (quirk) int() rounds toward zero, so moves to half a cell beyond the south and west edge are allowed.
    s.bodies[:2, X], s.bodies[:2, Y] = 1.5, -0.5
    assert views(s)[0][0, :4].tolist() == [1, 0, 1, 1]


def test_drawn_observation_of_a_medivac_divides_by_its_own_sight_and_shows_its_heal_mask():
    s = scene([("marine", (10.0, 0.5)), ("medivac", (13.0, 4.5))], [("marauder", (13.0, 4.5)), ("marine", FAR)])
    s.sighters[1] = 0
    obs, avail, _ = views(s)
    enemy = [avail[1, 6], 0, 0, 0, 1, 0, 1, 0]
    ally = [1, 5 / 11, -3 / 11, -4 / 11, 1, 1, 0, 0]
    np.testing.assert_allclose(obs[1], [1, 1, 1, 1, *enemy, *[0] * 8, *ally, 1, 13 / 32, 4.5 / 32, 0, 0, 1], atol=1e-6)
    assert not avail[1, 6], "the marine is 5 cells away, and healing reaches 4"
    s.bodies[0, Y] = 1.0
    s.bodies[0, X] = 11.0
    assert views(s)[0][1, 4] == views(s)[1][1, 6] == 0
    s.bodies[0, [X, Y]] = 13.0, 0.5
    assert views(s)[0][1, 4] == views(s)[1][1, 6] == 1


def test_drawn_observation_of_a_protoss_agent_by_hand():
    s = scene([("zealot", (16.0, 16.0)), ("stalker", (16.0, 22.0))], [("colossus", (16.0, 8.0))])
    s.bodies[0, [HP, SHIELD]], s.bodies[1, SHIELD], s.bodies[2, [HP, SHIELD]] = (40.0, 10.0), 20.0, (50.0, 75.0)
    obs, _, _ = views(s)
    enemy = [0, 8 / 9, 0, -8 / 9, 50 / 200, 75 / 150, 0, 0, 1]
    ally = [1, 6 / 9, 0, 6 / 9, 1, 20 / 80, 1, 0, 0]
    np.testing.assert_allclose(obs[0], [1, 1, 1, 1, *enemy, *ally, 0.4, 0.2, 0.5, 0.5, 0, 1, 0], atol=1e-6)


def test_drawn_state_by_hand():
    s = scene([("stalker", (8.0, 24.0)), ("zealot", (16.0, 4.0))], [("colossus", (24.0, 12.0)), ("zealot", FAR)])
    s.bodies[0, [HP, SHIELD, COOLDOWN]], s.bodies[1, COOLDOWN] = (20.0, 60.0, 7.0), -0.4
    s.bodies[2, SHIELD], s.bodies[3, HP] = 15.0, 0.0
    _, _, state = views(s, last=np.array([7, -1]))
    stalker = [0.25, 7 / 35, -0.25, 0.25, 0.75, 1, 0, 0]
    zealot = [1, 0, 0, -12 / 32, 1, 0, 1, 0]
    colossus = [1, 0.25, -0.125, 0.1, 0, 0, 1]
    np.testing.assert_allclose(state, [*stalker, *zealot, *colossus, *[0] * 7, *np.eye(8)[7], *[0] * 8], atol=1e-6)


def test_drawn_state_has_the_energy_of_a_medivac():
    s = scene([("medivac", (16.0, 16.0)), ("marine", FAR)], [("marine", FAR)])
    s.bodies[:2, ENERGY], s.bodies[:2, COOLDOWN] = 50.0, 3.0
    np.testing.assert_allclose(views(s)[2][:7], [1, 50 / 200, 0, 0, 0, 0, 1])
    np.testing.assert_allclose(views(s)[2][7:9], [1, 3 / 15])


@pytest.mark.parametrize(
    ("kind", "reach", "sight"),
    [
        ("stalker", 6, 10), ("zealot", 2, 9), ("colossus", 7, 10), ("zergling", 2, 8), ("baneling", 2, 8),
        ("hydralisk", 5, 9), ("marine", 5, 9), ("marauder", 6, 10), ("medivac", 4, 11),
    ],
)  # fmt: skip
def test_drawn_kinds_attack_up_to_their_range_and_see_below_their_sight(kind, reach, sight):
    race = next(race for race, kinds in KINDS.items() if kind in kinds)
    other = KINDS[race][0]
    s = scene([(kind, (4.0, 16.0)), (other, FAR)], [(other, FAR)])
    target = 1 if kind == "medivac" else 2  # a medivac heals allies
    for distance, expected in ((reach, True), (reach + 0.01, False)):
        s.bodies[target, [X, Y]] = 4.0 + distance, 16.0
        assert views(s)[1][0, 6 + (target - 2 if target == 2 else 1)] == expected
    for distance, expected in ((sight - 0.01, True), (sight, False)):
        s.bodies[2, [X, Y]] = 4.0 + distance, 16.0
        remember_places(s.c, s.bodies, s.places)
        s.sighters[:] = 1
        assert enemy_rows(s, views(s)[0])[0, 0].any() == expected


def test_drawn_medivac_heals_neither_itself_nor_other_medivacs_nor_the_dead():
    s = scene([("marine", FAR), ("marine", FAR), ("medivac", FAR), ("medivac", FAR)], [("marine", FAR)] * 4)
    s.bodies[1, HP] = 0.0
    avail = views(s)[1]
    assert avail[2, 6:].tolist() == [True, False, False, False]
    assert avail[0, 6:].all() and not avail[0, 0]
    assert avail[1].tolist() == [True] + [False] * 9


def test_enemies_before_one_that_nobody_has_seen_are_hidden_from_all_agents():
    near = (10.0, 16.0)
    s = scene([("marine", near), ("marine", (12.0, 16.0))], [("marine", near), ("marine", FAR), ("marine", near)])
    obs, avail, _ = views(s)
    shown = enemy_rows(s, obs).any(2)
    assert shown.tolist() == [[False, False, True], [False, False, True]]
    assert avail[:, 6:].tolist() == [[True, False, True], [True, False, True]], "the mask shows what is hidden"
    assert s.sighters.tolist() == [0, -1, 0]


def test_enemy_is_shown_from_the_agent_on_that_sights_it_first():
    s = scene(
        [("marine", (10.0, 16.0)), ("marauder", (14.0, 16.0))], [("marine", (19.5, 16.0)), ("marine", (11.0, 16.0))]
    )
    shown = enemy_rows(s, views(s)[0]).any(2)  # the first enemy is 9.5 cells from the marine, 5.5 from the marauder
    assert shown.tolist() == [[False, True], [True, True]]
    s.bodies[0, X] = 11.0
    again = enemy_rows(s, views(s)[0]).any(2)
    assert again.tolist() == [[True, True], [True, True]], "now it has a sighter"


def test_order_of_observation_decides_who_still_sees_zeros():
    s = scene(
        [("marine", (10.0, 16.0)), ("marauder", (14.0, 16.0))], [("marine", (11.0, 16.0)), ("marine", (19.5, 16.0))]
    )
    shown = enemy_rows(s, views(s, order=[1, 0])[0]).any(2)
    assert shown.tolist() == [[True, False], [True, True]]
    s.sighters[:] = -1
    shown = enemy_rows(s, views(s, order=[0, 1])[0]).any(2)
    assert shown.tolist() == [[False, False], [True, True]]


def test_enemy_is_hidden_again_when_its_sighter_dies_and_no_other_agent_sees_it():
    s = scene([("marine", (10.0, 16.0)), ("marine", FAR)], [("marine", FAR), ("marine", (12.0, 16.0))])
    views(s)
    assert s.sighters.tolist() == [1, 0]
    s.bodies[0, HP] = 0.0
    forget_sighters(s.c, s.bodies, s.sighters)
    assert s.sighters.tolist() == [1, -1]
    assert not enemy_rows(s, views(s)[0]).any()


def test_dead_enemy_out_of_sight_hides_itself_and_those_before_it():
    s = scene([("marine", (10.0, 16.0))], [("marine", (11.0, 16.0)), ("marine", (18.0, 16.0))])
    views(s)
    s.bodies[1 + 1, HP] = 0.0
    forget_sighters(s.c, s.bodies, s.sighters)
    assert enemy_rows(s, views(s)[0]).any(2).tolist() == [[True, False]], "its place is in sight"
    s.bodies[0, X] = 8.0
    forget_sighters(s.c, s.bodies, s.sighters)
    assert not enemy_rows(s, views(s)[0]).any()


def test_place_of_a_dead_enemy_is_that_of_its_last_arrival():
    s = scene([("marine", (10.0, 16.0))], [("marine", (11.0, 16.0))])
    s.bodies[1, [X, HP]] = 30.0, 0.0
    remember_places(s.c, s.bodies, s.places)
    assert s.places.tolist() == [[11.0, 16.0]]


def test_drawn_reward_of_a_perfect_win_is_20_in_every_battle():
    for enemies in (["marine"], ["marauder", "medivac"], ["medivac", "marine"]):
        s = scene([("marine", FAR)], [(kind, FAR) for kind in enemies])
        reward, code, over, timeout = after(s, {1 + k: (0, 0) for k in range(len(enemies))})
        assert reward == pytest.approx(20.0) and (code, over, timeout) == (WON, True, False)


def test_drawn_reward_of_damage_by_hand():
    s = scene([("stalker", FAR)], [("zealot", FAR), ("colossus", FAR)])
    assert max_reward(s.c, s.stats) == 200 + 2 * 10 + 150 + 350
    reward, code, over, timeout = after(s, {1: (100, 30), 2: (0, 0)})
    assert reward == pytest.approx((20 + 350 + 10) * 20 / 720)
    assert (code, over, timeout) == (GOES_ON, False, False)


def test_drawn_reward_for_recovered_enemies_is_zero_and_not_positive():
    s = scene([("stalker", FAR)], [("zealot", FAR)])
    s.bodies[1, SHIELD] = 20.0
    assert after(s, {1: (100, 30)})[0] == 0.0
    assert after(s, {1: (100, 30)}, signed=True)[0] == pytest.approx(-10 * 20 / 360)


def test_drawn_reward_with_own_losses_by_hand():
    s = scene([("stalker", FAR), ("zealot", FAR)], [("zealot", FAR)])
    changes = {0: (70, 80), 1: (0, 0), 2: (80, 50)}
    assert after(s, changes)[0] == pytest.approx(20 * 20 / 360)
    assert after(s, changes, signed=True)[0] == pytest.approx((20 - (10 + 160) / 2) * 20 / 360)
    assert after(s, {0: (0, 0), 1: (0, 0)}, sparse=True)[0] == pytest.approx(-20 / 360)
    assert after(s, {2: (0, 0)}, sparse=True)[0] == pytest.approx(20 / 360)


def test_drawn_battle_is_truncated_at_200_steps():
    s = scene([("stalker", FAR)], [("zealot", FAR)])
    assert after(s, {}, steps=199)[1:] == (GOES_ON, False, False)
    assert after(s, {}, steps=200)[1:] == (GOES_ON, True, True)
    assert after(s, {1: (0, 0)}, steps=200)[1:] == (WON, True, False)


@pytest.mark.parametrize(
    ("allies", "enemies", "dead", "code"),
    [
        (["stalker"], ["stalker"], [0, 1], DRAW),
        (["stalker"], ["stalker"], [0], LOST),
        (["zergling"], ["baneling"], [1], WON),
        (["marine"], ["marine"], [0, 1], LOST),
        (["marine", "medivac"], ["marine"], [0], LOST),
        (["marine", "medivac"], ["marine"], [0, 2], LOST),
        (["marine"], ["marine", "medivac", "medivac"], [1], WON),
        (["marine"], ["marine", "medivac"], [2], GOES_ON),
        (["marine", "medivac"], ["marine", "medivac"], [1, 3], GOES_ON),
    ],
)
def test_drawn_battle_result_code_with_and_without_medivacs(allies, enemies, dead, code):
    s = scene([(kind, FAR) for kind in allies], [(kind, FAR) for kind in enemies])
    s.bodies[dead, HP] = 0.0
    assert end_code(s.c, s.kinds, s.bodies) == code
