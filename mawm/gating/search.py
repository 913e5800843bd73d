"""What the explorers' parameters follow: the cross-entropy method, or chance as its control."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]


class Search(Protocol):
    """Proposes generations of parameters (P, d) and is told their fitness (P,)."""

    generation: int

    def propose(self) -> Vectors:
        """A generation (P, d)."""

    def follow(self, candidates: Vectors, fitness: Vectors) -> Vectors:
        """Take in their fitness; gives the candidates to explore with, best first."""

    def state(self) -> dict[str, Any]:
        """JSON-able."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""


class RandomSearch:
    """Standard normal parameters, whatever their fitness: the ablation's control."""

    def __init__(self, dimension: int, population: int, rng: np.random.Generator) -> None:
        self.dimension, self.population, self.rng = dimension, population, rng
        self.generation = 0

    def propose(self) -> Vectors:
        """A generation (P, d)."""
        return self.rng.normal(size=(self.population, self.dimension))

    def follow(self, candidates: Vectors, fitness: Vectors) -> Vectors:
        """All of them, as they came."""
        self.generation += 1
        return candidates

    def state(self) -> dict[str, Any]:
        """JSON-able, with the generator's."""
        return {"generation": self.generation, "rng": self.rng.bit_generator.state}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.generation = int(state["generation"])
        self.rng.bit_generator.state = state["rng"]
