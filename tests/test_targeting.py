"""Rules of StarCraft II: targets of enemies, missiles, leash, medivacs, collisions, unit data by version."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mawm.benchmarks.battle_scripts import AlternatingFire, play
from mawm.benchmarks.fidelity import micro_rows
from mawm.envs.skirmish.compiled import _delete_unused
from mawm.envs.skirmish.layout import (
    ENERGY,
    FLIGHT,
    FLIGHT_TO,
    FLYING,
    HOME_X,
    HOME_Y,
    HP,
    ORDER,
    S_SCAN,
    S_SPEED,
    SHIELD,
    TARGET,
    WINDUP,
    X,
    Y,
)
from mawm.envs.skirmish.layout import RETURN as RETURNING
from mawm.envs.skirmish.movement import separate
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.units import kinds_of, units
from mawm.envs.skirmish.vector import SkirmishVectorEnv
from tests.engine_arena import ATTACK, EAST, STOP, all_stop, arena

ROOT = Path(__file__).parents[1]
ATTACK_SECOND = ATTACK + 1


def orders(*actions):
    """Actions (1, N) of one battle; the last agent, the arena's keeper, stops."""
    return np.array([[*actions, STOP]])


def aim(env, enemy, agent):
    """Set an enemy's target, and its home to its present position."""
    env.bodies[:, enemy, TARGET] = agent
    env.bodies[:, enemy, HOME_X], env.bodies[:, enemy, HOME_Y] = env.bodies[:, enemy, X], env.bodies[:, enemy, Y]


def test_scripts_on_2m_vs_1z_and_2s_vs_1sc_end_as_in_the_real_game():
    rows = list(micro_rows(Rules(), 100))
    assert [f"{row.map}: {row.test} {row.ours:.3f}" for row in rows if not row.held] == []
    assert len(rows) == 12


def test_alternating_fire_does_not_win_without_the_threat_rule():
    fire = play("2m_vs_1z", Rules(threat=0.0), 100, 5, AlternatingFire(100))
    assert not fire.won.any() and fire.hurt.all()


def test_enemy_switches_from_a_stopped_target_to_an_attacker():
    env = arena([("marine", 10.0, 15.0), ("marine", 10.0, 17.0)], [("marine", 14.5, 16.0)])
    env.step(orders(ATTACK, STOP))
    assert env.bodies[0, 3, TARGET] == 0
    for _ in range(2):
        env.step(orders(STOP, ATTACK))
    assert env.bodies[0, 3, TARGET] == 1
    for _ in range(2):  # it keeps a target that attacks it, although another agent now attacks it, too
        env.step(orders(ATTACK, ATTACK))
    assert env.bodies[0, 3, TARGET] == 1


def test_agent_attacking_another_enemy_is_no_threat():
    allies = [("marine", 10.0, 15.0), ("marine", 10.0, 17.0)]
    env = arena(allies, [("marine", 14.5, 16.0), ("marine", 14.6, 17.0)])
    env.step(orders(STOP, ATTACK_SECOND))
    before = env.bodies[0, 3, TARGET]
    for _ in range(3):
        env.step(orders(STOP, ATTACK_SECOND))
    assert before >= 0 and env.bodies[0, 3, TARGET] == before


def test_enemy_switching_to_a_threat_during_windup_cancels_its_shot():
    env = arena([("stalker", 10.0, 15.0), ("stalker", 10.0, 17.0)], [("spine_crawler", 15.0, 16.0)], events=9)
    aim(env, 3, 0)
    env.bodies[0, 3, WINDUP] = 4.0  # it would hit in the fifth loop
    env.step(orders(STOP, ATTACK))
    assert env.bodies[0, 3, TARGET] == 1 and env.bodies[0, 0, SHIELD] == 80.0
    env.step(orders(STOP, ATTACK))
    assert env.bodies[0, 1, SHIELD] == 50.0 and env.bodies[0, 0, SHIELD] == 80.0


def test_agent_attacking_from_out_of_range_is_no_threat():
    env = arena([("marine", 9.0, 16.0), ("zealot", 11.6, 16.0)], [("marine", 14.0, 16.0)])
    aim(env, 3, 0)
    env.step(orders(STOP, STOP))
    assert env.bodies[0, 3, TARGET] == 0
    env.bodies[0, 1, X] = 10.5  # a zealot that approaches, not yet in its weapon range
    env.step(orders(STOP, ATTACK))
    assert env.bodies[0, 3, TARGET] == 0


def chased_east(env, steps):
    """Largest x that enemy 2 reaches while it chases agent 0, which walks east a few cells ahead of it."""
    farthest = 0.0
    for _ in range(steps):
        ahead = env.bodies[0, 0, X] - env.bodies[0, 2, X]
        env.step(orders(EAST if ahead < 4.0 and env.bodies[0, 0, X] < 30.5 else STOP))
        env.bodies[0, 0, SHIELD] = 80.0
        farthest = max(farthest, env.bodies[0, 2, X])
    return farthest


def test_enemy_without_orders_stops_a_chase_after_21_cells_and_returns():
    env = arena([("stalker", 5.0, 16.0)], [("zealot", 3.0, 16.0)])
    assert 23.0 <= chased_east(env, 26) <= 24.2 and env.bodies[0, 2, ORDER] == RETURNING
    env.bodies[0, 0, X] = env.bodies[0, 2, X] + 3.0  # it acquires no target on its way home ...
    env.step(orders(STOP))
    assert env.bodies[0, 2, TARGET] == -1
    while env.bodies[0, 2, X] > 7.5:
        env.step(orders(STOP))
    env.bodies[0, 0, X] = env.bodies[0, 2, X] + 3.0  # ... until it is nearly home
    env.step(orders(STOP))
    assert env.bodies[0, 2, X] < 8.5 and env.bodies[0, 2, TARGET] == 0
    farthest = 0.0
    while env.bodies[0, 2, ORDER] != RETURNING:  # a second chase ends at the same distance from the same home
        farthest = chased_east(env, 1)
        assert farthest < 24.5
    assert farthest > 23.0 and env.bodies[0, 2, HOME_X] == 3.0


def test_attack_move_has_no_leash():
    env = arena([("stalker", 5.0, 16.0)], [("zealot", 3.0, 16.0)], attack=((9.0, 16.0), (9.0, 16.0)))
    assert chased_east(env, 30) > 25.0 and env.bodies[0, 2, TARGET] == 0


def test_call_for_help_reaches_idle_friends_within_four_cells():
    for apart, comes in ((4.7, True), (4.8, False)):
        enemies = [("marine", 16.0, 16.0), ("marine", 16.0, 16.0 + apart)]
        env = arena([("stalker", 10.5, 16.0)], enemies)
        env._stats[2:, S_SCAN] = 0.0  # no enemy acquires a target by itself
        while env.bodies[0, 2, HP] == 45.0:
            env.step(orders(ATTACK))
        assert (env.bodies[0, 3, TARGET] == 0) == comes


@pytest.mark.parametrize(("missiles", "loops"), [(1.0, 5), (0.0, 0)])
def test_missile_has_the_speed_of_the_unit_data(missiles, loops):
    env = arena([("stalker", 10.0, 16.0)], [("zealot", 16.0, 16.0)], rules=Rules(missiles=missiles), events=9)
    env._stats[2, S_SPEED] = 0.0
    while not len(env.events(0)):
        env.step(orders(ATTACK))
    # Windup 2.67 loops, from the first loop on; then flight over 6 - 0.625 - 0.5 cells at 18.75 cells a second: 4.16.
    assert env.events(0)[0, 0] == 4 + loops


def test_missile_hits_although_its_shooter_is_dead():
    env = arena([("stalker", 10.0, 16.0)], [("zealot", 16.0, 16.0)], events=9)
    env._stats[2, S_SPEED] = 0.0
    env.bodies[0, 0, HP] = 0.0
    env.bodies[0, 0, FLIGHT], env.bodies[0, 0, FLIGHT_TO], env._books[0, FLYING] = 4.0, 2.0, 1
    env.step(np.array([[0, STOP]]))
    assert env.bodies[0, 2, SHIELD] == 37.0 and env._books[0, FLYING] == 0


def test_unit_does_not_shoot_at_a_target_killed_in_the_same_loop():
    allies = [("marine", 10.0, 15.0), ("marine", 10.0, 16.0), ("marine", 10.0, 17.0)]
    env = arena(allies, [("marine", 14.0, 16.0), ("marine", 14.5, 16.0)], events=20)
    env.bodies[0, 4, HP] = 5.0
    env.step(orders(ATTACK, ATTACK, ATTACK))
    events = env.events(0)
    assert np.sum(events[:, 3] == 4.0) == 1


def pushed(env, walkers):
    """Distance along x by which each unit is pushed in one loop in which the given units walked."""
    before, want = env.bodies[0, :, X].copy(), np.zeros((env.bodies.shape[1], 4))
    want[list(walkers), 0] = 1.0
    separate(env._grounds, env.bodies[0], env._stats, env._numbers, want, env.contract.n_agents)
    return env.bodies[0, :, X] - before


def test_overlap_of_opponents_moves_only_the_walking_unit():
    for walker, expected in ((0, [-0.25, 0.0]), (2, [0.0, 0.25])):
        env = arena([("marine", 10.0, 16.0)], [("marine", 10.5, 16.0)])
        assert pushed(env, [walker])[[0, 2]] == pytest.approx(expected)


@pytest.mark.parametrize(("yielding", "moved"), [(0.0, 0.0), (0.35, 0.0875), (0.5, 0.125)])
def test_overlap_moves_a_shooting_friend_by_the_yielding_share(yielding, moved):
    allies = [("marine", 10.0, 16.0), ("marine", 9.5, 16.0)]
    env = arena(allies, [("marine", 14.0, 16.0)], rules=Rules(yielding=yielding))
    env.bodies[0, 0, TARGET] = 3.0
    assert pushed(env, [1])[:2] == pytest.approx([moved, moved - 0.25])


def test_overlap_moves_an_idle_or_melee_friend_by_half():
    for kind in ("marine", "zealot"):
        env = arena([(kind, 10.0, 16.0), (kind, 9.5, 16.0)], [("marine", 14.0, 16.0)])
        env.bodies[0, 0, TARGET] = 3.0 if kind == "zealot" else -1.0
        assert pushed(env, [1])[:2] == pytest.approx([0.125, -0.125])


def test_enemy_medivac_stands_still_and_allied_medivac_is_always_a_threat():
    env = SkirmishVectorEnv("MMM", 1, 0)
    env.reset()
    n = env.contract.n_agents
    places = env.bodies[0, n:, [X, Y]].T.copy()
    env.bodies[0, :n, X] = 0.5  # no agent is near
    for _ in range(3):
        env.step(all_stop(env))
    moved = np.hypot(*(env.bodies[0, n:, [X, Y]] - places.T))
    assert moved[-1] == 0.0 and (moved[:-1] > 2.0).all()
    allies = [("medivac", 14.0, 17.0), ("marine", 14.0, 15.0)]
    env = arena(allies, [("marine", 17.0, 16.0)])
    aim(env, 3, 1)  # the medivac attacks no enemy, but the enemy still leaves the stopped marine for it
    env.step(orders(STOP, STOP))
    assert env.bodies[0, 3, TARGET] == 0


def test_enemy_medivac_heals_the_lowest_health_share_first_with_five_energy():
    enemies = [("marine", 20.0, 16.0), ("marauder", 20.0, 18.0), ("medivac", 21.0, 17.0)]
    env = arena([("marine", 5.0, 16.0)], enemies)
    env.bodies[0, 2, HP], env.bodies[0, 3, HP] = 30.0, 60.0  # 67 % and 48 %
    env.bodies[0, 4, ENERGY] = 4.0
    env.step(orders(STOP))
    assert env.bodies[0, 3, HP] == 60.0
    env.bodies[0, 4, ENERGY] = 50.0
    env.step(orders(STOP))
    assert env.bodies[0, 3, HP] > 64.0 and env.bodies[0, 2, HP] == 30.0


def test_unit_data_depend_on_the_version_and_allied_units_have_their_own_values():
    assert units("4.10")["hydralisk"].period == 0.825 and units("4.6.2")["hydralisk"].period == 0.75
    assert (units("5.0")["colossus"].hp, units("5.0")["colossus"].shield, units("5.0")["baneling"].dmg) == (
        250,
        100,
        16,
    )
    ally, enemy = kinds_of(["hydralisk"], ["hydralisk"], "4.10")
    assert (ally.hp, enemy.hp) == (80, 90)
    assert kinds_of(["colossus"], ["colossus"], "5.0")[0].hp == 200
    env = SkirmishVectorEnv("6h_vs_8z", 1, 0, Rules(version="4.6.2"))
    env.reset()
    assert (env.bodies[0, :6, HP] == 80.0).all() and (env.contract.hp_max[:6] == 80.0).all()


def test_spawn_jitter_moves_starts_and_keeps_agent_numbers():
    env = SkirmishVectorEnv("3m", 50, 0)
    env.reset()
    plain = SkirmishVectorEnv("3m", 1, 0, Rules(spawn_jitter=0.0))
    plain.reset()
    off = env.bodies[:, :, [X, Y]] - plain.bodies[:, :, [X, Y]]
    assert 0.0 < np.abs(off).max() <= 0.1 and np.ptp(off, axis=0).min() > 0.05
    assert (np.diff(env.bodies[:, :3, Y], axis=1) > 0.5).all()


PROBE = """
import numpy as np
from mawm.envs.skirmish.compiled import scalar
from mawm.envs.skirmish.rng import mix
import mawm.envs.skirmish, sys
sys.path.insert(0, sys.argv[1])
from probe import reach
print(reach(np.zeros((2, 60)), np.zeros((2, 60))))
"""
CALLER = """
from mawm.envs.skirmish.combat import gap
from mawm.envs.skirmish.compiled import scalar

@scalar
def reach(bodies, stats):
    return gap(bodies, stats, 0, 1)
"""


def test_compile_cache_follows_edits_of_inlined_functions_in_other_files(tmp_path):
    for folder in ("mawm", "agents", "envs", "configs", "benchmarks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "probe.py").write_text(CALLER)
    told = []
    for change in (0.0, 7.0):
        source = tmp_path / "envs" / "skirmish" / "combat.py"
        text = source.read_text()
        old = "    return apart(bodies, a, b) - stats[a, col.S_RADIUS] - stats[b, col.S_RADIUS]"
        assert old in text or change
        source.write_text(text.replace(old, old + f" + {change}") if change else text)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PROBE, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True,
            env={k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | {"PYTHONPATH": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told.append(float(done.stdout))
    assert told == [0.0, 7.0]


def test_compile_cache_cleanup_deletes_only_own_unused_folders(tmp_path):
    names = (f"mawm-kernels-{'0' * 16}", f"mawm-kernels-{'1' * 16}", "kernels-of-the-user")
    old, fresh, foreign = (tmp_path / name for name in names)
    for folder in (old, fresh, foreign):
        folder.mkdir()
        (folder / "data").write_text("1")
    for folder in (old, foreign):
        os.utime(folder, (0.0, 0.0))
    _delete_unused(tmp_path)
    assert not old.exists() and fresh.exists() and foreign.exists()


def test_compile_cache_works_without_a_home_folder(tmp_path):
    (tmp_path / "file").write_text("")  # no folder can be made below a file
    program = f"from mawm.envs.skirmish.compiled import _cache_folder; print(_cache_folder({str(tmp_path / 'file')!r}))"
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME")}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and "mawm-kernels-" in done.stdout, done.stderr


def test_fidelity_command_reads_measurements_and_names_a_mistake(tmp_path, capsys):
    from mawm.bench import main

    file = tmp_path / "real.json"
    file.write_text('{"maps": {"2m_vs_1z": {"AC": {"score": [0.23, 0.22]}, "early": {"length": 20.0}}}}')
    assert main(["fidelity", "--real", str(file), "--battles", "20"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[2].split()[:3] == ["2m_vs_1z", "AC", "0.225"] and out[-1].endswith("of 2 rows hold")
    wrong = (
        ('{"maps": {"4z": {}}}', "map '4z' is unknown"),
        ('{"maps": {"3m": {"AX": {"score": [1]}}}}', "3m.AX must be a table under one of AC, AW, AF, early, all_won"),
        ('{"maps": {"3m": {"AC": {"score": []}}}}', "3m.AC.score must be a list of numbers"),
        ('{"maps": {"3m": {"AF": {"score": [1.0]}}}}', "two agents' alternating fire at one enemy; map 3m has others"),
        ('{"maps": {"3m": {}}}', "3m must be a table with at least one figure"),
        ('{"maps": {"3m": {"early": {"length": 0}}}}', "3m.early.length must be a number of steps above 0"),
        ('{"figures": 1}', "it needs a key 'maps'"),
    )
    for text, said in wrong:
        file.write_text(text)
        with pytest.raises(SystemExit, match="2"):
            main(["fidelity", "--real", str(file), "--battles", "2"])
        assert said in capsys.readouterr().err
