"""The engine as a game: orders of single units give the vector environment's battles; creation, hunting, respawning."""

import numpy as np
import pytest

from mawm.envs.skirmish.field import ALLY, ENEMY, Field, FieldUnit
from mawm.envs.skirmish.maps import load_map
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.units import units
from mawm.envs.skirmish.vector import SkirmishVectorEnv
from tests.engine_arena import random_actions

COMPASS = {2: (0.0, 2.0), 3: (0.0, -2.0), 4: (2.0, 0.0), 5: (-2.0, 0.0)}


def order(field: Field, env: SkirmishVectorEnv, ids: list[int], actions: list[int]) -> None:
    """Give the orders that SMAC would send for these actions of the agents, which are the first of `ids`."""
    agents = env.contract.n_agents
    for i, action in enumerate(actions):
        if action == 1:
            assert field.stop(ids[i])
        elif action in COMPASS:
            unit = field.find(ids[i])
            assert unit is not None
            assert field.move(ids[i], unit.x + COMPASS[action][0], unit.y + COMPASS[action][1])
        elif action >= 6:
            assert field.attack(ids[i], ids[action - 6 + (0 if env.contract.healer[i] else agents)])


def seen(field: Field) -> list[int]:
    return [unit.id for unit in field.units()]


def flat(hunting: bool = True, **options) -> Field:
    return Field(load_map("3s_vs_3z"), 1, mode="hunt" if hunting else "empty", **options)


def played(field: Field, *loops: int) -> dict[int, FieldUnit]:
    for count in loops:
        field.play(count)
    return {unit.id: unit for unit in field.units()}


@pytest.mark.parametrize("name", ["3m", "MMM", "2s3z", "corridor", "so_many_baneling"])
def test_field_with_smacs_orders_plays_the_battles_of_the_vector_environment_bit_for_bit(name):
    env, field = SkirmishVectorEnv(name, 1, 3), Field(load_map(name), 3)
    step, rng, ids, ends = env.reset(), np.random.default_rng(0), seen(field), 0
    for _ in range(200):
        actions = random_actions(step, rng)
        order(field, env, ids, actions[0].tolist())
        step = env.step(actions)
        field.play(8)
        if step.terminated[0] or step.truncated[0]:
            ends += 1
            field.kill(seen(field))
            field.play(2)
            ids = seen(field)
        np.testing.assert_array_equal(field._bodies, env.bodies[0])
    assert ends >= 2


def test_steps_of_two_and_six_loops_equal_a_step_of_eight():
    one, two = Field(load_map("3m"), 5), Field(load_map("3m"), 5)
    for _ in range(12):
        one.play(8)
        two.play(2)
        two.play(6)
        assert one.units() == two.units()
    assert one.loops == two.loops == 96


def test_field_respawns_after_a_double_knock_out_with_new_ids_and_without_playing():
    field = Field(load_map("3m"), 7)
    before = seen(field)
    field.kill(before)
    assert field.units() == []
    field.play(8)
    after = field.units()
    assert [unit.id for unit in after] == [7, 8, 9, 10, 11, 12] and before == [1, 2, 3, 4, 5, 6]
    # Battle 1 in its start positions: the vector environment's second battle.
    env = SkirmishVectorEnv("3m", 1, 7, first_battle=1)
    env.reset()
    assert [(unit.x, unit.y) for unit in after] == [tuple(row[:2]) for row in env.bodies[0].tolist()]


def test_field_does_not_respawn_while_one_unit_lives():
    field = Field(load_map("3m"), 7)
    field.kill([1, 2, 3, 4, 5])
    assert list(played(field, 8, 8)) == [6]


def test_late_units_come_after_the_loops_they_are_late():
    field = Field(load_map("3m"), 7, late=3)
    field.kill(seen(field))
    assert played(field, 2) == {} and played(field, 1) == {}
    assert len(played(field, 1)) == 6


@pytest.mark.parametrize(("hunting", "left"), [(False, 15.0), (True, 26.0)])
def test_hunting_enemy_walks_to_the_nearest_ally_at_any_distance_and_another_stands(hunting, left):
    field = flat(hunting)
    field.create("marine", ALLY, 28.0, 16.0)
    near = field.create("marine", ALLY, 26.0, 30.0)
    hunter = field.create("zealot", ENEMY, 15.0, 20.0)
    units = played(field, 1, *[8] * 8)
    assert (units[hunter].x > 20.0) == hunting and (units[hunter].x == left) == (not hunting)
    if hunting:  # the marine in the north is nearer: 14.9 cells, against 13.6 in the east
        assert units[hunter].y < 20.0 and units[near].health == 45.0


def test_hunting_enemy_keeps_its_target_beside_a_nearer_ally():
    field = flat()
    target = field.create("zealot", ALLY, 26.0, 16.0)
    hunter = field.create("zealot", ENEMY, 14.0, 16.0)
    played(field, 1, 8)
    other = field.create("zealot", ALLY, 18.5, 17.2)
    units = played(field, 1, *[8] * 6)
    assert units[hunter].x > 22.0 and units[other].shield == 50.0
    assert played(field, *[8] * 6)[target].shield < 50.0


def test_hunting_enemy_goes_for_the_next_ally_when_its_target_is_dead():
    field = flat()
    first, second = field.create("marine", ALLY, 20.0, 16.0), field.create("marine", ALLY, 2.0, 16.0)
    hunter = field.create("zealot", ENEMY, 14.0, 16.0)
    assert played(field, 1, *[8] * 3)[hunter].x > 15.0
    field.kill([first])
    assert played(field, *[8] * 8)[hunter].x < 12.0
    assert second in played(field)


def test_hunting_order_on_an_ally_that_the_weapon_cannot_hit_fails():
    field = flat()
    field.create("medivac", ALLY, 20.0, 16.0)
    field.create("marine", ALLY, 31.0, 16.0)
    zealot, marine = field.create("zealot", ENEMY, 10.0, 16.0), field.create("marine", ENEMY, 10.0, 20.0)
    units = played(field, 1, *[8] * 4)
    assert units[zealot].x == 10.0 and units[marine].x > 12.0


def test_enemy_medivac_is_not_sent_to_hunt():
    field = flat()
    field.create("marine", ALLY, 20.0, 16.0)
    medivac = field.create("medivac", ENEMY, 10.0, 16.0)
    assert played(field, 1, *[8] * 4)[medivac].x == 10.0


def test_created_units_come_at_the_next_step_in_their_places_and_units_at_one_point_stand_apart():
    field = flat()
    ids = [field.create(kind, ALLY, 16.0, 16.0) for kind in ("marine", "marauder", "medivac", "marine")]
    foes = [field.create("zergling", ENEMY, 32.0, 0.0), field.create("zergling", ENEMY, 4.0, 9.5)]
    assert field.units() == []
    field.play(1)
    units = {unit.id: unit for unit in field.units()}
    assert list(units) == ids + foes and [units[i].kind for i in ids] == ["marine", "marauder", "medivac", "marine"]
    assert (units[foes[0]].x, units[foes[0]].y, units[foes[1]].x, units[foes[1]].y) == (31.5, 0.5, 4.0, 9.5)
    places = np.array([(units[i].x, units[i].y) for i in ids])
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)[np.triu_indices(4, 1)]
    assert apart.min() >= 0.75 and apart.max() < 5.0


def test_unit_that_joins_a_battle_changes_neither_health_nor_orders_of_the_others():
    field = flat(hunting=False)
    shooter = field.create("marine", ALLY, 10.0, 16.0)
    foe = field.create("zealot", ENEMY, 14.0, 16.0)
    field.play(1)
    assert field.attack(shooter, foe)
    before = played(field, *[8] * 2)[foe]
    assert before.shield < 50.0
    late = field.create("marine", ALLY, 2.0, 2.0)
    after = played(field, *[8] * 4)
    assert after[foe].shield < before.shield and late in after
    assert after[late].health == 45.0 and (after[late].x, after[late].y) == (2.0, 2.0)


def test_units_have_the_maxima_of_the_unit_data_of_the_rules_version():
    for version in ("4.6.2", "4.10"):
        field = Field(load_map("MMM"), 1, Rules(version=version))
        for unit in field.units():
            data = units(version)[unit.kind]
            assert (unit.health_max, unit.shield_max, unit.energy_max) == (data.hp, data.shield, data.energy_max)
            assert unit.health == data.hp and unit.energy == data.energy_start and unit.cooldown == 0.0


def test_orders_to_dead_units_and_at_wrong_targets_have_no_effect():
    field = Field(load_map("MMM"), 1)
    medivac = next(unit.id for unit in field.units() if unit.kind == "medivac" and unit.owner == ALLY)
    marine = next(unit.id for unit in field.units() if unit.kind == "marine" and unit.owner == ALLY)
    foe = next(unit.id for unit in field.units() if unit.owner == ENEMY)
    other = Field(load_map("MMM"), 1)
    assert not field.attack(marine, medivac) and not field.attack(medivac, foe) and not field.attack(medivac, medivac)
    played(field, 8, 8), played(other, 8, 8)
    assert field.units() == other.units()
    field.kill([marine])
    assert not field.stop(marine) and not field.move(marine, 3.0, 3.0) and not field.attack(medivac, marine)
    assert field.find(marine) is None


def test_orders_to_enemies_and_unknown_units_are_refused():
    field = Field(load_map("3m"), 1)
    with pytest.raises(ValueError, match="unit 4 is an enemy"):
        field.stop(4)
    with pytest.raises(ValueError, match="unit 4 is an enemy"):
        field.attack(4, 1)
    with pytest.raises(ValueError, match="unit 99 does not exist"):
        field.move(99, 1.0, 1.0)
    with pytest.raises(ValueError, match="unit 99 does not exist"):
        field.attack(1, 99)
    with pytest.raises(ValueError, match="two finite numbers"):
        field.move(1, float("nan"), 1.0)


@pytest.mark.parametrize(
    ("kind", "owner", "x", "message"),
    [("marin", 1, 3.0, "kind is 'marin'"), ("marine", 3, 3.0, "owner is 3"), ("marine", 1, 33.0, "outside the map")],
)
def test_creation_of_a_wrong_unit_is_refused(kind, owner, x, message):
    with pytest.raises(ValueError, match=message):
        flat().create(kind, owner, x, 3.0)


def test_field_refuses_an_unknown_mode_and_negative_times():
    with pytest.raises(ValueError, match="mode is 'hunting'"):
        Field(load_map("3m"), 1, mode="hunting")
    with pytest.raises(ValueError, match="late is -1"):
        Field(load_map("3m"), 1, late=-1)
    with pytest.raises(ValueError, match="loops is -1"):
        Field(load_map("3m"), 1).play(-1)
