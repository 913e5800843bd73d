"""Map files: the 23 maps equal SMAC's table, and a wrong file gets a helpful error."""

import re
from dataclasses import asdict

import numpy as np
import pytest

from mawm.envs.skirmish.contract import build_contract
from mawm.envs.skirmish.maps import load_map, map_names, parse_map
from mawm.envs.skirmish.rules import Rules

# Map: agents, enemies, observation, state, actions, limit, enemy health and shield; as SMAC's package states them.
TABLE = {
    "3m": (3, 3, 30, 48, 9, 60, 135),
    "8m": (8, 8, 80, 168, 14, 120, 360),
    "25m": (25, 25, 250, 950, 31, 150, 1125),
    "5m_vs_6m": (5, 6, 55, 98, 12, 70, 270),
    "8m_vs_9m": (8, 9, 85, 179, 15, 120, 405),
    "10m_vs_11m": (10, 11, 105, 243, 17, 150, 495),
    "27m_vs_30m": (27, 30, 285, 1170, 36, 180, 1350),
    "2s3z": (5, 5, 80, 120, 11, 120, 770),
    "3s5z": (8, 8, 128, 216, 14, 150, 1230),
    "3s5z_vs_3s6z": (8, 9, 136, 230, 15, 170, 1380),
    "1c3s5z": (9, 9, 162, 270, 15, 180, 1580),
    "MMM": (10, 10, 160, 290, 16, 150, 715),
    "MMM2": (10, 12, 176, 322, 18, 180, 885),
    "3s_vs_3z": (3, 3, 36, 54, 9, 150, 450),
    "3s_vs_4z": (3, 4, 42, 61, 10, 200, 600),
    "3s_vs_5z": (3, 5, 48, 68, 11, 250, 750),
    "2m_vs_1z": (2, 1, 16, 26, 7, 150, 150),
    "2s_vs_1sc": (2, 1, 17, 27, 7, 300, 300),
    "corridor": (6, 24, 156, 282, 30, 400, 840),
    "6h_vs_8z": (6, 8, 78, 140, 14, 150, 1200),
    "so_many_baneling": (7, 32, 202, 397, 38, 100, 960),
    "bane_vs_bane": (24, 24, 336, 984, 30, 200, 820),
    "2c_vs_64zg": (2, 64, 332, 342, 70, 400, 2240),
}
OWN = """limit = 90
attack_point = [9, 16]
[[allies]]
kind = "marine"
count = 2
at = [9, 16]
[[enemies]]
kind = "zealot"
at = [20, 16]
"""


def test_all_23_smac_maps_exist():
    assert map_names() == sorted(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_map_sizes_limit_and_reward_scale_equal_smac(name):
    spec = load_map(name)
    c = build_contract(spec)
    enemy_health = c.max_reward - 200 - 10 * c.n_enemies
    sizes = (c.n_agents, c.n_enemies, c.obs_size, c.state_size, c.n_actions, spec.limit, enemy_health)
    assert sizes == TABLE[name]


@pytest.mark.parametrize("name", TABLE)
def test_map_units_start_and_attack_inside_the_map(name):
    spec = load_map(name)
    assert len(spec.ally_spawns) == len(spec.allies)
    assert len(spec.enemy_spawns) == len(spec.enemies)
    points = [*spec.ally_spawns, *spec.enemy_spawns, *(spec.attack or ())]
    assert all(spec.pathable[int(x), int(y)] for x, y in points)


@pytest.mark.parametrize("name", ["3m", "8m", "2s3z", "3s5z", "MMM", "2m_vs_1z", "2s_vs_1sc", "corridor"])
def test_map_terrain_and_unit_order_equal_the_golden_files(name, request):
    with np.load(request.path.parent / "golden" / f"{name}.npz") as data:
        spec = load_map(name)
        np.testing.assert_array_equal(spec.pathable, data["pathing_grid"])
        assert spec.allies == tuple(data["ally_kind"])
        assert spec.enemies == tuple(data["enemy_kind"])


@pytest.mark.parametrize(
    ("name", "allies", "enemies"),
    [
        ("3m", (), ()),
        ("2m_vs_1z", (), ()),
        ("2s3z", ("stalker", "zealot"), ("zealot", "stalker")),
        ("3s5z_vs_3s6z", ("stalker", "zealot"), ("zealot", "stalker")),
        ("1c3s5z", ("colossus", "stalker", "zealot"), ("colossus", "stalker", "zealot")),
        ("MMM2", ("marauder", "marine", "medivac"), ("marauder", "marine", "medivac")),
        ("bane_vs_bane", ("baneling", "zergling"), ("baneling", "zergling")),
    ],
)
def test_unit_type_bits_follow_the_order_of_smac(name, allies, enemies):
    spec = load_map(name)
    assert (spec.ally_types, spec.enemy_types) == (allies, enemies)


def test_only_colossi_cross_cliffs():
    with_cliffs = [name for name in map_names() if (load_map(name).pathable != load_map(name).walkable).any()]
    assert with_cliffs == ["2c_vs_64zg"]


def test_cliff_margin_blocks_rows_beside_the_cliff_not_the_map_edge():
    grid = load_map("3m", cliff_margin=1).pathable
    assert grid[:, 8:24].all()
    assert not grid[:, [7, 24]].any()


def test_attack_points_of_spine_crawler_and_zealot_maps():
    assert load_map("2s_vs_1sc").attack is None
    assert load_map("2m_vs_1z").attack == ((13.0, 12.0), (19.0, 12.0))


def test_own_map_is_one_file(tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(OWN, encoding="utf-8")
    spec = load_map(path)
    assert (spec.name, spec.allies, spec.enemies) == ("my", ("marine", "marine"), ("zealot",))
    assert spec.pathable.all()


def test_own_map_terrain_rows_run_from_south_to_north(tmp_path):
    grid = parse_map(OWN + '[terrain]\n"10..20" = "3-31"\n"2" = "5,7-8"\n', "my", "my.toml").pathable
    assert grid[3:, 10:21].all()
    assert np.flatnonzero(grid[:, 2]).tolist() == [5, 7, 8]
    assert grid.sum() == 29 * 11 + 3


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("limit = 90", "limit = 0", ("limit", "0", "at least 1")),
        ("limit = 90", "limmit = 90", ("limmit", "did you mean 'limit'")),
        ("limit = 90", "", ("limit", "missing")),
        ("limit = 90", 'limit = 90\nterrain = "plateu"', ("terrain", "plateu", "did you mean 'plateau'")),
        ('"zealot"', '"zealott"', ("enemies[0].kind", "zealott", "did you mean 'zealot'")),
        ("count = 2", "count = -1", ("allies[0].count", "-1", "between 1 and 200")),
        ("count = 2", "cuont = 2", ("allies[0]", "cuont", "did you mean 'count'")),
        ("at = [20, 16]", "at = [20, 40]", ("enemies[0].at", "40", "< 32")),
        ("at = [20, 16]", "", ("enemies[0]", "add at")),
        ("attack_point = [9, 16]", "attack_point = [9]", ("attack_point", "[9]", "[x, y]")),
        ("attack_point = [9, 16]", 'enemy_types = ["marine"]', ("enemy_types", "permutation")),
        ("attack_point = [9, 16]", 'assumed = "all"', ("assumed", "list of strings")),
        ("limit = 90", "limit = ", ("not valid TOML",)),
        ("limit = 90", "limit = " + "9" * 5000, ("not valid TOML",)),
        ("limit = 90", "limit = " + "[" * 100_000, ("not valid TOML",)),
    ],
)
def test_wrong_map_file_error_names_file_key_value_and_rule(old, new, words):
    with pytest.raises(ValueError, match=r"my\.toml") as caught:
        parse_map(OWN.replace(old, new), "my", "my.toml")
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_map_units_of_one_kind_are_adjacent():
    scattered = OWN + "".join(f'[[allies]]\nkind = "{kind}"\nat = [9, 16]\n' for kind in ("stalker", "marine"))
    with pytest.raises(ValueError, match="kind by kind"):
        parse_map(scattered, "my", "my.toml")


def test_ground_unit_on_a_cliff_is_refused():
    with pytest.raises(ValueError, match=r"enemies\[0\]\.at"):
        parse_map('terrain = "plateau"\n' + OWN.replace("[20, 16]", "[20, 3]"), "my", "my.toml")


def test_unknown_map_is_refused_naming_the_nearest():
    with pytest.raises(ValueError, match="'3n' is unknown; did you mean '3m'"):
        load_map("3n")


def test_documented_map_example_loads_with_an_open_gap(request):
    text = (request.path.parent.parent / "docs" / "engine.md").read_text("utf-8")
    spec = parse_map(text.partition("```toml\n")[2].partition("```")[0], "my", "my.toml")
    assert (len(spec.allies), len(spec.enemies)) == (2, 6)
    assert spec.pathable[14:18].sum() == 4


def test_engine_rules_are_documented_with_their_defaults(request):
    text = (request.path.parent.parent / "docs" / "engine.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", text, re.MULTILINE))
    assert rows == {name: str(value) for name, value in asdict(Rules()).items()}


def test_map_file_assumptions_are_documented(request):
    text = (request.path.parent.parent / "docs" / "engine.md").read_text("utf-8").partition("| map | assumed |")[2]
    documented = set(re.findall(r"\w+", text.partition("\n\n")[0]))
    assert {name for name in map_names() if load_map(name).assumed} <= documented
