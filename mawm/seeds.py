"""Random generators keyed by name: adding, removing or reordering components changes no other random stream."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def named_generator(seed: int, name: str) -> np.random.Generator:
    """The generator of `name` (say "primary/agent_0/model") and a run's seed. It depends on a hash of the name."""
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    sequence = np.random.SeedSequence(seed, spawn_key=tuple(np.frombuffer(digest, np.uint32).tolist()))
    return np.random.Generator(np.random.PCG64(sequence))


def named_seed(seed: int, name: str) -> int:
    """A seed of 63 bits for `name`, for generators that are seeded with an integer."""
    return int(named_generator(seed, name).integers(2**63))


def allowed_actions(avail: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Uniformly random allowed actions (...) for masks (..., A): in each row the k-th allowed one, with a uniform k."""
    wanted = rng.integers(avail.sum(-1))  # number of allowed actions below the chosen one
    chosen: NDArray[np.int64] = ((avail.cumsum(-1) > wanted[..., None]) & avail).argmax(-1)
    return chosen
