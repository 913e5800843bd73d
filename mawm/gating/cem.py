"""The cross-entropy method over low-dimensional parameters (A Algorithm 1)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]


class Cem:
    """A normal distribution N(mean, diag(std^2)) over d parameters that follows the best of what it proposed.

    The covariance is diagonal: the maximum-likelihood covariance of 20 elites has rank 19 at most, and with d beyond
    that it cannot even be sampled from. Each standard deviation stays at or above a floor: without one it collapses
    before the mean has arrived.
    """

    def __init__(self, dimension: int, population: int, elite: float, floor: float, rng: np.random.Generator) -> None:
        """`elite` is the share of a generation that is kept, `floor` in units of the parameters; else ValueError."""
        kept = round(elite * population)
        if dimension < 1 or kept < 2 or kept > population or floor <= 0.0:
            raise ValueError(
                f"the cross-entropy method needs parameters, at least 2 elites and a floor above 0; got "
                f"{dimension} parameters, {kept} elites of {population}, floor {floor:g}"
            )
        self.population, self.kept, self.floor = population, kept, floor
        self.rng = rng
        self.mean: Vectors = np.zeros(dimension)
        self.std: Vectors = np.ones(dimension)
        self.generation = 0

    def propose(self) -> Vectors:
        """A generation (population, d), line 3."""
        return self.mean + self.std * self.rng.normal(size=(self.population, len(self.mean)))

    def follow(self, candidates: Vectors, fitness: Vectors) -> Vectors:
        """Move to the elite (kept, d), best first (lines 5-6). A fitness that is not finite counts as the worst."""
        worth = np.where(np.isfinite(fitness), fitness, -np.inf)
        elite: Vectors = candidates[np.argsort(-worth, kind="stable")[: self.kept]]
        self.mean = elite.mean(0)
        self.std = np.maximum(elite.std(0), self.floor)
        self.generation += 1
        return elite

    def state(self) -> dict[str, Any]:
        """JSON-able, with the generator's."""
        numbers = {"mean": self.mean.tolist(), "std": self.std.tolist(), "generation": self.generation}
        return {**numbers, "rng": self.rng.bit_generator.state}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.mean, self.std = np.array(state["mean"]), np.array(state["std"])
        self.generation = int(state["generation"])
        self.rng.bit_generator.state = state["rng"]
