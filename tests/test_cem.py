"""The cross-entropy method: optimum, floor of the deviation, order of the elite, state."""

import json

import numpy as np
import pytest

from mawm.gating.search import Cem

TARGET = np.linspace(-2.0, 2.0, 12)


def make(floor: float = 0.05, seed: int = 0) -> Cem:
    return Cem(12, 100, 0.2, floor, np.random.default_rng(seed))


def generation(cem: Cem) -> None:
    candidates = cem.propose()
    cem.follow(candidates, -((candidates - TARGET) ** 2).sum(1))


def test_cem_finds_a_known_optimum_with_deviation_above_the_floor() -> None:
    cem = make()
    for _ in range(60):
        generation(cem)
        assert (cem.std >= 0.05).all()
    assert np.abs(cem.mean - TARGET).max() < 0.1


def test_cem_with_a_tiny_floor_converges_too_early() -> None:
    with_floor, without = make(), make(floor=1e-9)
    for _ in range(60):
        generation(with_floor)
        generation(without)
    assert np.abs(without.mean - TARGET).max() > 2 * np.abs(with_floor.mean - TARGET).max()


def test_cem_elite_is_best_first_and_non_finite_is_worst() -> None:
    cem = Cem(1, 5, 0.4, 0.1, np.random.default_rng(0))
    candidates = np.arange(5.0)[:, None]
    elite = cem.follow(candidates, np.array([1.0, np.nan, 3.0, np.inf, 2.0]))
    assert elite[:, 0].tolist() == [2.0, 4.0]
    assert cem.mean.tolist() == [3.0] and cem.std.tolist() == [1.0] and cem.generation == 1


def test_cem_state_round_trip_continues_the_search() -> None:
    one, other = make(seed=3), make(seed=4)
    generation(one)
    other.load_state(json.loads(json.dumps(one.state())))
    generation(one)
    generation(other)
    assert np.array_equal(one.propose(), other.propose()) and one.generation == other.generation == 2


@pytest.mark.parametrize(
    ("dimension", "population", "elite", "floor"),
    [(0, 100, 0.2, 0.1), (3, 5, 0.2, 0.1), (3, 5, 2.0, 0.1), (3, 5, 0.5, 0)],
)
def test_cem_refuses_invalid_settings(dimension: int, population: int, elite: float, floor: float) -> None:
    with pytest.raises(ValueError, match="at least 2 elites and a floor"):
        Cem(dimension, population, elite, floor, np.random.default_rng(0))
