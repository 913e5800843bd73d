"""The unmodified packages smac and smacv2 on the stand-in: `make smac`. docs/starcraft.md says how to install them."""

import importlib.util

import numpy as np
import pytest

from mawm.envs.skirmish.maps import map_names
from tests.conversations import TOLERANCE, errors_against_engine, record, replayed_units

pytestmark = pytest.mark.slow
SIZES = {
    "protoss_5_vs_5": (92, 11, 130), "protoss_10_vs_11": (191, 17, 327), "protoss_20_vs_23": (389, 29, 901),
    "terran_5_vs_5": (82, 11, 120), "terran_10_vs_11": (170, 17, 306), "terran_20_vs_23": (346, 29, 858),
    "zerg_5_vs_5": (82, 11, 120), "zerg_10_vs_11": (170, 17, 306), "zerg_20_vs_23": (346, 29, 858),
}  # fmt: skip
"""Observation, actions, state of SMACv2's maps."""


def need(package):
    for name in (package, "pysc2", "s2clientprotocol", "websockets"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the package {name} is not installed (docs/starcraft.md)")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    pytest.importorskip("s2clientprotocol", reason="the extra starcraft is not installed")
    from mawm.envs.standin.install import compile_engine, install

    folder = tmp_path_factory.mktemp("game")
    install(folder)
    compile_engine()
    return folder


@pytest.mark.parametrize("name", map_names())
def test_smac_on_the_stand_in_returns_what_the_embedded_engine_returns(name, root, tmp_path, figure):
    need("smac")
    data = record("smac", name, tmp_path / "battles.npz", seed=3, battles=3, root=root)
    worst = errors_against_engine(data, name, seed=3)
    figure(f"smac {name}: {len(data['at'])} arrivals, {data['won'].sum()} won", f"largest errors {worst}")
    assert data["first"].sum() == 3 and max(worst.values()) < TOLERANCE


@pytest.mark.parametrize("name", SIZES)
def test_smacv2_plays_whole_battles_on_the_stand_in(name, root, tmp_path, figure):
    need("smacv2")
    from mawm.envs.standin.game import Game

    data = record("smacv2", name, tmp_path / "battles.npz", seed=3, battles=3, root=root)
    figure(f"smacv2 {name}", f"{len(data['at'])} arrivals, {data['won'].sum()} won")
    assert (data["obs"].shape[2], data["avail"].shape[2], data["state"].shape[1]) == SIZES[name]
    assert data["first"].sum() == data["ended"].sum() == 3
    first = data["units"][data["first"]]
    assert (first[:, :, 2] > 0.0).all(), "all units are there when a battle begins"
    np.testing.assert_array_equal(replayed_units(data, Game()), data["units"])
