"""The contract on all 23 maps equals a plain transcription of SMAC's rules."""

import math

import numpy as np
import pytest

from mawm.envs.skirmish.contract import (
    DRAW,
    GOES_ON,
    LOST,
    WON,
    agent_order,
    build_contract,
    end_code,
    make_contract,
    settle,
    write_views,
)
from mawm.envs.skirmish.layout import BODY, COOLDOWN, ENERGY, HP, SHIELD, X, Y
from mawm.envs.skirmish.maps import load_map, map_names

# SMAC's registry: map type, type bits, races of the two sides. Maps left out are marines against marines.
REGISTRY = {
    **dict.fromkeys(("2s3z", "3s5z", "3s5z_vs_3s6z"), ("stalkers_and_zealots", 2, "P", "P")),
    **dict.fromkeys(("3s_vs_3z", "3s_vs_4z", "3s_vs_5z"), ("stalkers", 0, "P", "P")),
    **dict.fromkeys(("MMM", "MMM2"), ("MMM", 3, "T", "T")),
    **dict.fromkeys(("corridor", "so_many_baneling"), ("zealots", 0, "P", "Z")),
    "1c3s5z": ("colossi_stalkers_zealots", 3, "P", "P"),
    "2m_vs_1z": ("marines", 0, "T", "P"),
    "2s_vs_1sc": ("stalkers", 0, "P", "Z"),
    "6h_vs_8z": ("hydralisks", 0, "Z", "P"),
    "bane_vs_bane": ("bane", 2, "Z", "Z"),
    "2c_vs_64zg": ("colossus", 0, "P", "Z"),
}
ALLY_BIT = {
    "stalkers_and_zealots": ["stalker", "zealot"],
    "colossi_stalkers_zealots": ["colossus", "stalker", "zealot"],
    "MMM": ["marauder", "marine", "medivac"],
    "bane": ["baneling", "zergling"],
}
ENEMY_BIT = {**ALLY_BIT, "stalkers_and_zealots": ["zealot", "stalker"]}
COOLDOWNS = {"marine": 15, "marauder": 25, "stalker": 35, "zealot": 22, "colossus": 24}
COOLDOWNS |= {"hydralisk": 10, "zergling": 11, "baneling": 1, "medivac": 200}
HEALTH = {"marine": (45, 0), "marauder": (125, 0), "medivac": (150, 0), "stalker": (80, 80), "zealot": (100, 50)}
HEALTH |= {"colossus": (200, 150), "hydralisk": (80, 0), "zergling": (35, 0), "baneling": (30, 0)}
HEALTH |= {"spine_crawler": (300, 0)}


class _Transcript:
    """SMAC's observation, state and mask for one situation, unit by unit and number by number."""

    def __init__(self, name, bodies, last):
        self.spec = load_map(name)
        self.type, self.bits, self.a_race, self.b_race = REGISTRY.get(name, ("marines", 0, "T", "T"))
        self.n, self.m = len(self.spec.allies), len(self.spec.enemies)
        self.kinds, self.b, self.last = [*self.spec.allies, *self.spec.enemies], bodies, last

    def heals(self, i):
        return self.type == "MMM" and self.kinds[i] == "medivac"

    def distance(self, i, j):
        return math.hypot(self.b[i, X] - self.b[j, X], self.b[i, Y] - self.b[j, Y])

    def mask(self, i):
        mask = [0] * (6 + self.m)
        if self.b[i, HP] <= 0:
            return [1, *mask[1:]]
        mask[1] = 1
        for a, (dx, dy) in enumerate(((0, 1), (0, -1), (1, 0), (-1, 0))):
            x, y = int(self.b[i, X] + dx), int(self.b[i, Y] + dy)
            mask[2 + a] = int(0 <= x < 32 and 0 <= y < 32 and self.spec.pathable[x, y])
        targets = range(self.n) if self.heals(i) else range(self.n, self.n + self.m)
        for slot, j in enumerate(targets):
            if self.b[j, HP] > 0 and self.distance(i, j) <= 6 and not (self.heals(i) and self.heals(j)):
                mask[6 + slot] = 1
        return mask

    def condition(self, j):
        race, order = (self.a_race, ALLY_BIT) if j < self.n else (self.b_race, ENEMY_BIT)
        health, shield = HEALTH[self.kinds[j]]
        shields = [self.b[j, SHIELD] / shield] if race == "P" else []
        return shields + [float(kind == self.kinds[j]) for kind in order.get(self.type, ())], self.b[j, HP] / health

    def obs(self, i):
        mask = self.mask(i)
        out = list(mask[2:6])
        for j in (*range(self.n, self.n + self.m), *(j for j in range(self.n) if j != i)):
            rest, health = self.condition(j)
            if self.b[j, HP] > 0 and self.distance(i, j) < 9:
                dx, dy = self.b[j, X] - self.b[i, X], self.b[j, Y] - self.b[i, Y]
                shown = 1 if j < self.n else mask[6 + j - self.n]
                out += [shown, self.distance(i, j) / 9, dx / 9, dy / 9, health, *rest]
            else:
                out += [0] * (5 + len(rest))
        rest, health = self.condition(i)
        out += [health, *rest]
        return out if self.b[i, HP] > 0 else [0] * len(out)

    def state(self):
        out = []
        for j in range(self.n + self.m):
            rest, health = self.condition(j)
            place = [(self.b[j, X] - 16) / 32, (self.b[j, Y] - 16) / 32]
            charge = self.b[j, ENERGY if self.heals(j) else COOLDOWN] / COOLDOWNS.get(self.kinds[j], 15)
            row = [health, *([charge] if j < self.n else []), *place, *rest]
            out += row if self.b[j, HP] > 0 else [0] * len(row)
        return out + [float(self.last[i] == a) for i in range(self.n) for a in range(6 + self.m)]


def situation(c, generator):
    """Units somewhere near each other, a few of them dead with stale values."""
    units = c.n_agents + c.n_enemies
    bodies = np.zeros((units, BODY))
    bodies[:, X], bodies[:, Y] = generator.uniform(8, 24, units), generator.uniform(6, 26, units)
    bodies[:, HP] = c.hp_max * generator.uniform(0.1, 1, units) * (generator.random(units) < 0.8)
    bodies[:, SHIELD] = c.shield_max * generator.random(units)
    bodies[:, ENERGY], bodies[:, COOLDOWN] = generator.uniform(0, 200, units), generator.uniform(0, 35, units)
    return bodies, generator.integers(-1, c.n_actions, c.n_agents)


@pytest.mark.parametrize("name", map_names())
def test_views_equal_the_smac_transcription_on_every_map(name):
    c = build_contract(load_map(name))
    generator = np.random.default_rng(7)
    obs, avail = np.ones((c.n_agents, c.obs_size), np.float32), np.ones((c.n_agents, c.n_actions), np.bool_)
    state = np.ones(c.state_size, np.float32)
    for _ in range(5):
        bodies, last = situation(c, generator)
        write_views(c, bodies, last, obs, avail, state)
        smac = _Transcript(name, bodies, last)
        np.testing.assert_array_equal(avail, [smac.mask(i) for i in range(c.n_agents)])
        np.testing.assert_allclose(obs, [smac.obs(i) for i in range(c.n_agents)], atol=1e-6)
        np.testing.assert_allclose(state, smac.state(), atol=1e-6)


def battle(allies, enemies):
    """A contract of some kinds on open ground and its units at full health."""
    c = make_contract(allies, enemies, 60, np.ones((32, 32), np.bool_))
    bodies = np.zeros((len(allies) + len(enemies), BODY))
    bodies[:, HP], bodies[:, SHIELD] = c.hp_max, c.shield_max
    return c, bodies


def after(c, bodies, changes, **options):
    """Reward, code, over, timeout after units' (health, shield) change."""
    before, now = bodies[:, [HP, SHIELD]].copy(), bodies.copy()
    for unit, (health, shield) in changes.items():
        now[unit, HP], now[unit, SHIELD] = health, shield
    flags = {"steps": 1, "sparse": False, "signed": False} | options
    return settle(c, before, now, flags["steps"], flags["sparse"], flags["signed"])


def test_reward_of_a_perfect_win_sums_to_20():
    c, bodies = battle(["marine"], ["zealot", "zergling"])
    reward, code, over, timeout = after(c, bodies, {1: (0, 0), 2: (0, 0)})
    assert reward == pytest.approx(20.0)
    assert (code, over, timeout) == (WON, True, False)


def test_reward_for_enemy_recovery_is_positive_unless_signed():
    c, bodies = battle(["marine"], ["zealot"])
    bodies[1, SHIELD] = 20.0
    assert after(c, bodies, {1: (100, 30)})[0] == pytest.approx(10 * 20 / 360)
    assert after(c, bodies, {1: (100, 30)}, signed=True)[0] == pytest.approx(-10 * 20 / 360)


def test_reward_for_allied_losses_is_half_and_only_when_signed():
    c, bodies = battle(["marine", "marine"], ["zealot"])
    assert after(c, bodies, {0: (0, 0)})[0] == 0.0
    assert after(c, bodies, {0: (0, 0)}, signed=True)[0] == pytest.approx(-(45 + 10) / 2 * 20 / 360)


def test_reward_for_a_kill_is_paid_once():
    c, bodies = battle(["marine"], ["zealot", "zealot"])
    bodies[1, HP] = 0.0
    assert after(c, bodies, {})[0] == 0.0


def test_battle_at_the_limit_ends_without_a_result_code():
    c, bodies = battle(["marine"], ["zealot"])
    assert after(c, bodies, {}, steps=59)[1:] == (GOES_ON, False, False)
    assert after(c, bodies, {}, steps=60)[1:] == (GOES_ON, True, True)


def test_battle_won_at_the_limit_is_a_win():
    c, bodies = battle(["marine"], ["zealot"])
    assert after(c, bodies, {1: (0, 0)}, steps=60)[1:] == (WON, True, False)


def test_sparse_reward_is_scaled():
    c, bodies = battle(["marine"], ["zealot"])
    assert after(c, bodies, {1: (0, 0)}, sparse=True)[0] == pytest.approx(20 / 360)
    assert after(c, bodies, {0: (0, 0)}, sparse=True)[0] == pytest.approx(-20 / 360)


@pytest.mark.parametrize(
    ("allies", "enemies", "dead", "code"),
    [
        (["marine"], ["marine"], [0, 1], DRAW),
        (["marine"], ["marine"], [0], LOST),
        (["marine", "medivac"], ["marine"], [0, 1, 2], LOST),
        (["marine", "medivac"], ["marine"], [0], LOST),
        (["marine", "medivac"], ["marine"], [0, 2], LOST),
        (["marine", "medivac"], ["marine", "medivac"], [2], WON),
        (["marine", "medivac"], ["medivac", "medivac"], [], GOES_ON),
        (["marine"], ["marine", "medivac"], [1], GOES_ON),
    ],
)
def test_battle_result_code_with_and_without_medivacs(allies, enemies, dead, code):
    c, bodies = battle(allies, enemies)
    bodies[dead, HP] = 0.0
    assert end_code(c, bodies) == code


def test_medivac_has_an_action_for_every_ally():
    c, bodies = battle(["marine", "marine", "medivac"], ["zealot"])
    bodies[:, X], bodies[:, Y] = 10.0, 10.0
    avail, obs = np.zeros((3, c.n_actions), np.bool_), np.zeros((3, c.obs_size), np.float32)
    write_views(c, bodies, np.full(3, -1), obs, avail, np.zeros(c.state_size, np.float32))
    assert avail[2, 6:].tolist() == [True, True, False]
    assert avail[0, 6:].tolist() == [True, False, False]


def test_agent_numbers_follow_kind_then_x_then_y():
    kinds = ["zealot", "stalker", "zealot", "stalker", "stalker"]
    order = agent_order(kinds, np.array([1.0, 5, 1, 2, 2]), np.array([3.0, 0, 2, 9, 9]), ["stalker", "zealot"])
    assert order.tolist() == [3, 4, 1, 2, 0]
