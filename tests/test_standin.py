"""The stand-in: its answers to requests, its faults on purpose, and what its command writes."""

import json
import os

import numpy as np
import pytest

pytest.importorskip("s2clientprotocol", reason="the protocol files are missing: pip install 'mawm[starcraft]'")
pytest.importorskip("websockets", reason="websockets is missing: pip install 'mawm[starcraft]'")

from s2clientprotocol import common_pb2, debug_pb2, error_pb2, raw_pb2
from s2clientprotocol import sc2api_pb2 as sc_pb

from mawm.envs.skirmish.maps import load_map, map_names
from mawm.envs.skirmish.rules import Rules
from mawm.envs.standin.game import ATTACK, HEAL, MOVE, STOP, TAG, Game
from mawm.envs.standin.install import install
from mawm.envs.standin.played_map import FLAT, pathing_bytes
from mawm.envs.standin.settings import Faults, Settings, read_marker
from mawm.standin import main as standin

LAUNCHER = "Versions/Base75689/SC2_x64"


def ask(game, **request):
    """The answer to one request, as a message."""
    answer = game.answer(sc_pb.Request(id=7, **request).SerializeToString())
    response = sc_pb.Response.FromString(answer)
    assert response.id == 7 and response.HasField("status")
    return response


def playing(name="3m", data=b"", seed=1, settings=None):
    """A game that a client has created and joined."""
    game = Game(settings)
    create = sc_pb.RequestCreateGame(local_map=sc_pb.LocalMap(map_path=f"SMAC_Maps/{name}.SC2Map", map_data=data))
    create.random_seed = seed
    assert ask(game, create_game=create).status == sc_pb.init_game
    joined = ask(game, join_game=sc_pb.RequestJoinGame())
    assert joined.status == sc_pb.in_game and joined.join_game.player_id == 1
    return game


def units(game):
    answer = ask(game, observation=sc_pb.RequestObservation())
    return {unit.tag: unit for unit in answer.observation.observation.raw_data.units}


def act(game, ability, tags, target=None, point=None):
    command = raw_pb2.ActionRawUnitCommand(ability_id=ability, unit_tags=tags)
    if target is not None:
        command.target_unit_tag = target
    if point is not None:
        command.target_world_space_pos.CopyFrom(common_pb2.Point2D(x=point[0], y=point[1]))
    action = sc_pb.Action(action_raw=raw_pb2.ActionRaw(unit_command=command))
    return list(ask(game, action=sc_pb.RequestAction(actions=[action])).action.result)


def kill(game, tags):
    command = debug_pb2.DebugCommand(kill_unit=debug_pb2.DebugKillUnit(tag=tags))
    return ask(game, debug=sc_pb.RequestDebug(debug=[command]))


def create(game, number, owner, x=16.0, quantity=1):
    unit = debug_pb2.DebugCreateUnit(
        unit_type=number, owner=owner, pos=common_pb2.Point2D(x=x, y=16.0), quantity=quantity
    )
    return ask(game, debug=sc_pb.RequestDebug(debug=[debug_pb2.DebugCommand(create_unit=unit)]))


def step(game, count):
    return ask(game, step=sc_pb.RequestStep(count=count))


# Answers.


@pytest.mark.parametrize("message", [b"", b"\xff\xff\xff", sc_pb.Request(id=3).SerializeToString()])
def test_damaged_or_empty_message_gets_an_error_and_a_status(message):
    response = sc_pb.Response.FromString(Game().answer(message))
    assert len(response.error) == 1 and response.status == sc_pb.launched


@pytest.mark.parametrize(
    "name", ["query", "quick_save", "start_replay", "map_command", "obs_action", "replay_info", "save_map"]
)
def test_request_that_the_stand_in_does_not_know_gets_an_error(name):
    game, request = playing(), sc_pb.Request(id=7)
    getattr(request, name).SetInParent()
    response = sc_pb.Response.FromString(game.answer(request.SerializeToString()))
    assert f"'{name}'" in response.error[0] and response.status == sc_pb.in_game


@pytest.mark.parametrize("name", ["step", "observation", "action", "debug", "game_info", "data", "join_game"])
def test_request_that_needs_a_game_gets_an_error_before_there_is_one(name):
    request = sc_pb.Request(id=7)
    getattr(request, name).SetInParent()
    response = sc_pb.Response.FromString(Game().answer(request.SerializeToString()))
    assert "create_game" in response.error[0] and response.status == sc_pb.launched


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [("4m", b"MPQ\x1b", "'4m' is unknown"), ("own", b"limit = ", "not valid TOML"), ("own", b"limit = 3", "allies")],
)
def test_creation_of_a_game_on_a_wrong_map_is_refused_with_details(name, data, said):
    game, local = Game(), sc_pb.LocalMap(map_path=f"SMAC_Maps/{name}.SC2Map", map_data=data)
    answer = ask(game, create_game=sc_pb.RequestCreateGame(local_map=local))
    assert answer.create_game.HasField("error") and said in answer.create_game.error_details
    assert answer.status == sc_pb.launched


@pytest.mark.parametrize("x", [float("nan"), float("inf"), -float("inf")])
def test_move_to_a_point_that_is_not_finite_gets_an_error(x):
    game = playing()
    command = raw_pb2.ActionRawUnitCommand(ability_id=MOVE, unit_tags=[TAG + 1])
    command.target_world_space_pos.x, command.target_world_space_pos.y = x, 16.0
    action = sc_pb.Action(action_raw=raw_pb2.ActionRaw(unit_command=command))
    answer = ask(game, action=sc_pb.RequestAction(actions=[action]))
    assert len(answer.error) == 1 and f"unit 1 is to move to ({x}, 16.0)" in answer.error[0]


def test_failed_creation_of_a_second_game_leaves_no_game_running():
    game, local = playing(), sc_pb.LocalMap(map_path="SMAC_Maps/4m.SC2Map")
    answer = ask(game, create_game=sc_pb.RequestCreateGame(local_map=local))
    assert answer.create_game.HasField("error") and answer.status == sc_pb.launched


def test_quit_has_no_answer():
    assert Game().answer(sc_pb.Request(quit=sc_pb.RequestQuit()).SerializeToString()) is None


def test_real_map_file_is_played_by_its_name_and_text_by_its_content():
    assert len(units(playing("8m", b"MPQ\x1b..."))) == 16
    own = (
        b'limit = 9\n[[allies]]\nkind = "zealot"\nat = [9, 16]\n[[enemies]]\nkind = "marine"\ncount = 2\nat = [20, 16]'
    )
    found = units(playing("own", own))
    assert [(unit.unit_type, unit.owner, unit.health_max) for unit in found.values()] == [
        (128, 1, 100.0), (48, 2, 45.0), (48, 2, 45.0),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["corridor", "2s_vs_1sc", "3m"])
@pytest.mark.parametrize("bits", [1, 8])
def test_pathing_grid_is_read_by_smac_as_the_maps_grid(name, bits):
    game = playing(name, settings=Settings(faults=Faults(pathing_bits=bits)))
    image = ask(game, game_info=sc_pb.RequestGameInfo()).game_info.start_raw.pathing_grid
    rows = np.frombuffer(image.data, np.uint8)
    # As SMAC reads it: bits of a row of bytes; or bytes, transposed, flipped and inverted.
    one = np.unpackbits(rows.reshape(32, -1) if bits == 1 else np.zeros((32, 4), np.uint8), axis=1).T.astype(bool)
    eight = ~np.flip(rows.reshape(32, -1).astype(bool).T, axis=1)
    np.testing.assert_array_equal(one if bits == 1 else eight, load_map(name).pathable)
    assert image.bits_per_pixel == bits and len(pathing_bytes(load_map(name).pathable, bits)) == 128 * bits


def test_own_unit_types_are_numbered_as_smac_expects():
    for name in map_names():
        game = playing(name)
        numbers = [unit.unit_type for unit in units(game).values() if unit.owner == 1]
        kinds = sorted(set(load_map(name).allies))
        count = len(ask(game, data=sc_pb.RequestData(unit_type_id=True)).data.units)
        assert sorted(set(numbers)) == [count - len(kinds) + i for i in range(len(kinds))]
        assert numbers == [count - len(kinds) + kinds.index(kind) for kind in load_map(name).allies]


def test_action_results_tell_success_failure_and_unknown_abilities():
    game = playing("MMM")
    found = units(game)
    medivac = next(tag for tag, unit in found.items() if unit.unit_type == 130)
    marine = next(tag for tag, unit in found.items() if unit.unit_type == 129)
    foe = next(tag for tag, unit in found.items() if unit.owner == 2)
    assert act(game, STOP, [marine]) == act(game, MOVE, [marine], point=(12.0, 16.0)) == [error_pb2.Success]
    assert act(game, ATTACK, [marine], foe) == act(game, HEAL, [medivac], marine) == [error_pb2.Success]
    refused = [error_pb2.Error]
    assert act(game, STOP, [foe]) == act(game, STOP, [TAG + 999]) == act(game, HEAL, [marine], marine) == refused
    assert act(game, ATTACK, [medivac], foe) == act(game, ATTACK, [marine], TAG + 999) == act(game, MOVE, [marine])
    assert act(game, ATTACK, [medivac], marine) == refused
    assert act(game, 5, [marine]) == [error_pb2.NotSupported]
    kill(game, [marine])
    assert act(game, STOP, [marine]) == refused and marine not in units(game)


def test_kill_of_all_units_and_two_loops_begin_the_next_battle():
    game = playing()
    before = units(game)
    kill(game, [*before, TAG + 999])
    assert units(game) == {}
    assert step(game, 2).step.simulation_loop == 2
    after = units(game)
    assert len(after) == 6 and not before.keys() & after.keys()
    assert {unit.health for unit in after.values()} == {45.0}


def test_client_creates_the_units_of_flat_maps_in_two_requests():
    game = playing("32x32_flat")
    assert units(game) == {} and len(ask(game, data=sc_pb.RequestData(unit_type_id=True)).data.units) == 137
    create(game, 132, 1, x=32.0, quantity=2)
    create(game, 73, 2, x=3.0)
    step(game, 1)
    found = list(units(game).values())
    assert [(unit.owner, unit.unit_type, unit.health) for unit in found] == [(1, 132, 45.0)] * 2 + [(2, 73, 100.0)]
    for _ in range(20):
        step(game, 8)
    assert list(units(game).values())[-1].pos.x > 15.0  # the zealot hunts


@pytest.mark.parametrize(("number", "owner", "x", "said"), [(999, 1, 3.0, "type 999"), (48, 3, 3.0, "owner is 3")])
def test_creation_of_a_wrong_unit_gets_an_error(number, owner, x, said):
    assert said in create(playing("32x32_flat"), number, owner, x).error[0]


def test_goal_near_a_whole_number_of_cells_from_the_unit_is_that_number():
    game = playing()
    tag, unit = next(iter(units(game).items()))
    act(game, MOVE, [tag], point=(float(np.float32(unit.pos.x + 2.0)), unit.pos.y))
    body = game._field._bodies[0]
    assert body[9] == body[0] + 2.0 and body[10] == body[1]


def test_shuffled_and_late_units_are_the_same_units():
    plain, odd = playing("8m"), playing("8m", settings=Settings(faults=Faults(shuffled=True, late=3)))
    one, two = units(plain), units(odd)
    assert one == two and list(one) != list(two)
    for game in (plain, odd):
        kill(game, list(one))
    counts = []
    for _ in range(4):
        step(odd, 1)
        counts.append(len(units(odd)))
    step(plain, 2)
    assert counts == [0, 0, 0, 16] and units(plain) == units(odd)


def test_other_version_has_its_own_unit_data_and_number():
    game = playing("2c_vs_64zg", settings=Settings(Rules(version="4.6.2")))
    assert ask(game, ping=sc_pb.RequestPing()).ping.game_version == "4.6.2"
    assert "StarCraft" not in str(ask(game, ping=sc_pb.RequestPing()))


# Installation.


def test_command_writes_a_tree_and_names_the_variable(tmp_path, capsys):
    folder = tmp_path / "with space" / "game"
    own = tmp_path / "duel.toml"
    own.write_text(
        'limit = 9\nallies = [{kind = "zealot", at = [9, 16]}]\nenemies = [{kind = "marine", at = [20, 16]}]\n'
    )
    assert standin([str(folder), "--maps", str(own)]) == 0
    out = capsys.readouterr().out
    assert "not StarCraft II" in out and out.splitlines()[-1] == f"export SC2PATH='{folder}'"
    maps = {path.stem for path in (folder / "Maps/SMAC_Maps").iterdir()}
    assert maps == {*map_names(), *FLAT, "duel"} and os.access(folder / LAUNCHER, os.X_OK)
    marker = json.loads((folder / "mawm-standin.json").read_text())
    assert marker["game"] == "stand-in" and read_marker(folder) == Settings()


@pytest.mark.parametrize("content", ["Versions/Base75689/SC2_x64", "SC2Data/x", "holiday.jpg"])
def test_folder_with_a_real_game_or_other_files_is_refused_and_left_as_it_is(content, tmp_path, capsys):
    (tmp_path / content).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / content).write_text("precious")
    with pytest.raises(SystemExit) as ended:
        standin([str(tmp_path)])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and len(error.splitlines()) == 1 and "name a new folder" in error
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / content]


def test_second_installation_changes_the_version_and_keeps_real_map_files(tmp_path):
    install(tmp_path)
    real = tmp_path / "Maps/SMAC_Maps/3m.SC2Map"
    real.write_bytes(b"MPQ\x1b real")
    install(tmp_path, Settings(Rules(version="5.0"), Faults(dies_after=3)))
    assert [path.name for path in (tmp_path / "Versions").iterdir()] == ["Base81433"]
    assert real.read_bytes() == b"MPQ\x1b real"
    assert read_marker(tmp_path) == Settings(Rules(version="5.0"), Faults(dies_after=3))


def test_damaged_marker_is_one_line_that_says_how_to_write_it_again(tmp_path):
    install(tmp_path)
    (tmp_path / "mawm-standin.json").write_text("{")
    with pytest.raises(ValueError, match=r"is damaged .* python -m mawm\.standin"):
        read_marker(tmp_path)
    install(tmp_path)
    assert read_marker(tmp_path) == Settings()
