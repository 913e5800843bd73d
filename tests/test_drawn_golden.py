"""SMACv2's contract equals arrays that the unmodified smacv2 package computed from the same units (golden/smacv2)."""

from types import SimpleNamespace

import numpy as np
import pytest

from mawm.envs.skirmish.contract import WON
from mawm.envs.skirmish.layout import BODY, COOLDOWN, ENERGY, HP, SHIELD, X, Y
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.setup import kind_stats
from mawm.envs.skirmish.smacv2.contract import drawn_contract, forget_sighters, remember_places, settle, write_views
from mawm.envs.skirmish.smacv2.maps import DRAWN_MAPS, KINDS
from mawm.envs.skirmish.units import kinds_of

MAPS = ("10gen_terran_5_vs_5", "10gen_protoss_5_vs_5", "10gen_zerg_10_vs_11")
COLUMNS = [X, Y, HP, SHIELD, ENERGY, COOLDOWN]


def battles(request, name):
    """The recorded battles of a map, each with its contract, units and arrays."""
    with np.load(request.path.parent / "golden" / "smacv2" / f"{name}.npz", allow_pickle=False) as file:
        data = dict(file)
    spec = DRAWN_MAPS[name]
    for b, arrivals in enumerate(data["length"].tolist()):
        kinds = data["kinds"][b].astype(np.int64)
        names = [spec.kinds[kind] for kind in kinds]
        units = kinds_of(names[: spec.n_agents], names[spec.n_agents :], "4.10")
        bodies = np.zeros((arrivals, len(kinds), BODY))
        bodies[..., COLUMNS] = data["bodies"][b, :arrivals]
        rows = {key: array[b] for key, array in data.items() if array.ndim > 1}
        stats = np.array([kind_stats(unit, Rules()) for unit in units])
        yield SimpleNamespace(**rows | {"c": drawn_contract(spec), "kinds": kinds, "stats": stats, "bodies": bodies})


def views(s, *, hide=True):
    """Observations, masks and states of all arrivals of a battle by our contract."""
    arrivals, n = len(s.bodies), s.c.n_agents
    obs = np.ones((arrivals, n, s.c.obs_size), np.float32)
    avail, state = np.ones((arrivals, n, s.c.n_actions), np.bool_), np.ones((arrivals, s.c.state_size), np.float32)
    sighters, places = np.full(s.c.n_enemies, -1 if hide else 0), np.zeros((s.c.n_enemies, 2))
    for t, body in enumerate(s.bodies):
        remember_places(s.c, body, places)
        if t and hide:
            forget_sighters(s.c, body, sighters)
        last = s.actions[t - 1] if t else np.full(n, -1)
        write_views(s.c, s.kinds, s.stats, body, last, sighters, places, s.order[t], obs[t], avail[t], state[t])
    return obs, avail, state


@pytest.mark.parametrize("name", MAPS)
def test_views_equal_those_of_the_smacv2_package(name, request):
    for s in battles(request, name):
        arrivals = len(s.bodies)
        obs, avail, state = views(s)
        np.testing.assert_array_equal(avail, s.avail[:arrivals])
        np.testing.assert_allclose(obs, s.obs[:arrivals], atol=1e-6)
        np.testing.assert_allclose(state, s.state[:arrivals], atol=1e-6)


@pytest.mark.parametrize("name", MAPS)
def test_rewards_ends_and_deaths_equal_those_of_the_smacv2_package(name, request):
    for s in battles(request, name):
        for t in range(len(s.bodies) - 1):
            before, after = np.ascontiguousarray(s.bodies[t][:, [HP, SHIELD]]), s.bodies[t + 1]
            results = {
                options: settle(s.c, s.kinds, s.stats, before, after, t + 1, *options)
                for options in ((False, False), (True, False), (False, True))
            }
            reward, code, over, _ = results[False, False]
            assert reward == pytest.approx(s.reward[t], abs=1e-6)
            assert results[True, False][0] == pytest.approx(s.reward_sparse[t], abs=1e-6)
            assert results[False, True][0] == pytest.approx(s.reward_signed[t], abs=1e-6)
            assert (over, code == WON) == (s.terminated[t], s.won[t])
            dead = after[:, HP] <= 0.0
            assert s.dead[t].tolist() == [dead[: s.c.n_agents].sum(), dead[s.c.n_agents :].sum()]


def test_recorded_battles_contain_wins_losses_healing_and_hidden_enemies(request):
    found = {"won": 0, "lost": 0, "heals": 0, "hidden": 0}
    for name in MAPS:
        for s in battles(request, name):
            ends = len(s.bodies) - 2
            found["won"] += s.won[ends]
            found["lost"] += s.terminated[ends] and not s.won[ends]
            healers = s.c.healer[s.kinds[: s.c.n_agents]]
            found["heals"] += (s.actions[:, healers] >= 6).sum()
            found["hidden"] += (views(s)[0] != views(s, hide=False)[0]).any((1, 2)).sum()
    assert found["won"] >= 3 and found["lost"] >= 3 and found["heals"] >= 10 and found["hidden"] >= 50, found


@pytest.mark.parametrize("race", KINDS)
def test_contract_equals_the_smacv2_package_on_the_stand_in(race, request):
    """Recorded battles of the package, which played on the stand-in: states, masks, rewards, and observations.

    In which order the agents observed was not recorded. It decides only which enemies are hidden at a first sighting.
    So the features of an enemy must be ours or all zero.
    """
    with np.load(request.path.parent / "golden" / "conversations" / f"{race}_5_vs_5.npz", allow_pickle=False) as file:
        data = dict(file)
    spec = DRAWN_MAPS[f"10gen_{race}_5_vs_5"]
    c, n, order = drawn_contract(spec), spec.n_agents, np.arange(spec.n_agents)
    every = -(-len(data["units"]) // len(data["obs"]))  # observations were recorded at every fourth arrival
    compared, places = 0, np.zeros((c.n_enemies, 2))
    for t, units in enumerate(data["units"]):
        body = np.zeros((len(units), BODY))
        body[:, COLUMNS] = units
        if data["first"][t]:
            known = kinds_of(spec.kinds, spec.kinds, "4.10")  # allied copies may have another health
            teams = [{unit.hp: k for k, unit in enumerate(team)} for team in (known[:3], known[3:])]
            kinds = np.array([teams[u >= n][float(health)] for u, health in enumerate(units[:, 2])])
            names = [spec.kinds[kind] for kind in kinds]
            stats = np.array([kind_stats(unit, Rules()) for unit in kinds_of(names[:n], names[n:], "4.10")])
        else:
            before = np.ascontiguousarray(data["units"][t - 1][:, 2:4], np.float64)
            reward, code, over, _ = settle(c, kinds, stats, before, body, 1, False, False)
            assert over or not data["ended"][t] or data["limit"][t]
            assert (code == WON) == data["won"][t]
            compared += reward > 0.0
        obs = np.zeros((n, c.obs_size), np.float32)
        avail, state = np.zeros((n, c.n_actions), np.bool_), np.zeros(c.state_size, np.float32)
        remember_places(c, body, places)
        sighters = np.zeros(c.n_enemies, np.int64)  # every enemy counts as sighted
        last = data["actions"][t].astype(np.int64)
        write_views(c, kinds, stats, body, last, sighters, places, order, obs, avail, state)
        np.testing.assert_array_equal(avail, data["avail"][t])
        np.testing.assert_allclose(state, data["state"][t], atol=1e-6)
        if t % every == 0 and t // every < len(data["obs"]):
            theirs = data["obs"][t // every]
            width = 4 + 1 + int(c.ally_shields) + len(spec.kinds)
            enemies = slice(4, 4 + c.n_enemies * width)
            np.testing.assert_allclose(np.delete(obs, enemies, 1), np.delete(theirs, enemies, 1), atol=1e-6)
            for mine, seen in zip(
                obs[:, enemies].reshape(-1, width), theirs[:, enemies].reshape(-1, width), strict=True
            ):
                assert np.allclose(mine, seen, atol=1e-6) or not seen.any()
    assert compared > 20
