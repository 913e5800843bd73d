"""Searches over the explorers' parameters: the cross-entropy method (A Algorithm 1), and random search as a control."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mawm.types import Saved

Vectors = NDArray[np.float64]


class Search(Saved):
    """Proposes generations of candidates and uses their fitness. By default: independent standard normal draws."""

    SAVED: ClassVar[tuple[str, ...]] = ("generation", "rng")

    def __init__(self, dimension: int, population: int, rng: np.random.Generator) -> None:
        self.dimension, self.population, self.rng = dimension, population, rng
        self.generation = 0

    def propose(self) -> Vectors:
        """A generation of candidates (P, d)."""
        return self.rng.normal(size=(self.population, self.dimension))

    def follow(self, candidates: Vectors, fitness: Vectors) -> Vectors:
        """Use the fitness (P,) of the candidates (P, d); returns the candidates to explore with, best first."""
        self.generation += 1
        return candidates


class RandomSearch(Search):
    """Standard normal parameters, independent of fitness: the ablation's control."""


class Cem(Search):
    """A normal distribution N(mean, diag(std^2)) over d parameters that is fitted to the best candidates.

    The covariance is diagonal: the maximum-likelihood covariance of 20 elites has rank 19 at most, so for larger d it
    is singular. Each standard deviation stays at or above a floor: without it the deviation collapses before the mean
    has converged.
    """

    SAVED = (*Search.SAVED, "mean", "std")

    def __init__(self, dimension: int, population: int, elite: float, floor: float, rng: np.random.Generator) -> None:
        """ValueError if less than 2 of a generation are kept (`elite`: their share), or if `floor` is not above 0."""
        super().__init__(dimension, population, rng)
        kept = round(elite * population)
        if dimension < 1 or kept < 2 or kept > population or floor <= 0.0:
            raise ValueError(
                f"the cross-entropy method needs parameters, at least 2 elites and a floor above 0; got "
                f"{dimension} parameters, {kept} elites of {population}, floor {floor:g}"
            )
        self.kept, self.floor = kept, floor
        self.mean: Vectors = np.zeros(dimension)
        self.std: Vectors = np.ones(dimension)

    def propose(self) -> Vectors:
        """A generation (population, d), line 3."""
        return self.mean + self.std * super().propose()

    def follow(self, candidates: Vectors, fitness: Vectors) -> Vectors:
        """Fit the distribution to the elite (kept, d), best first (lines 5-6). A non-finite fitness is the worst."""
        fitness = np.where(np.isfinite(fitness), fitness, -np.inf)
        elite: Vectors = candidates[np.argsort(-fitness, kind="stable")[: self.kept]]
        self.mean = elite.mean(0)
        self.std = np.maximum(elite.std(0), self.floor)
        return super().follow(elite, fitness)
