"""Recorded conversations of smac and smacv2, replayed without socket or package (tests/golden/README.md)."""

import json

import numpy as np
import pytest

pytest.importorskip("s2clientprotocol", reason="the protocol files are missing: pip install 'mawm[starcraft]'")

from mawm.envs.skirmish.rules import Rules
from mawm.envs.standin.game import Game
from mawm.envs.standin.settings import Settings
from tests.conversations import GOLDEN, RECORDED, SEED, TOLERANCE, errors_against_engine, load, replayed_units

EVERY = [(package, name) for package, names in RECORDED.items() for name in names]


def recorded_rules():
    """The rules under which the conversations were recorded: a change of the engine's rules needs a new recording."""
    return Rules(**json.loads((GOLDEN / "rules.json").read_text("utf-8")))


@pytest.mark.parametrize(("package", "name"), EVERY)
def test_stand_in_answers_a_recorded_conversation_with_the_same_units(package, name):
    data, game = load(GOLDEN / f"{name}.npz"), Game(Settings(recorded_rules()))
    np.testing.assert_allclose(replayed_units(data, game), data["units"], rtol=0.0, atol=1e-5)
    assert game.requests["quit"] == 1 and game.requests["step"] >= len(data["at"]) - 2


@pytest.mark.parametrize("name", RECORDED["smac"])
def test_smac_made_of_the_answers_what_the_embedded_engine_returns(name):
    worst = errors_against_engine(load(GOLDEN / f"{name}.npz"), name, SEED, recorded_rules())
    assert max(worst.values()) < TOLERANCE


def test_conversations_hold_won_lost_and_timed_out_battles():
    counts = np.zeros(3, int)
    for _, name in EVERY:
        data = load(GOLDEN / f"{name}.npz")
        assert data["first"].sum() == data["ended"].sum() == 2
        counts += [data["won"].sum(), (data["ended"] & ~data["won"] & ~data["limit"]).sum(), data["limit"].sum()]
    assert (counts >= 1).all(), counts


def test_a_changed_health_in_an_answer_is_noticed():
    data = load(GOLDEN / "3m.npz")
    data["units"][10, 0, 2] += 1.0
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        np.testing.assert_allclose(replayed_units(data, Game()), data["units"], rtol=0.0, atol=1e-5)
