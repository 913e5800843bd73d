"""Environment steps per second of the engine, including observations, masks, state and auto-reset."""

import time
from typing import Any

import numpy as np

from mawm.envs.skirmish.battles import make_battles
from mawm.envs.skirmish.compiled import scalar
from mawm.envs.skirmish.rng import mix


@scalar
def random_actions(avail, counter, out):  # type: ignore[no-untyped-def]
    """Write a random available action for every agent into `out` (B, N)."""
    for b in range(avail.shape[0]):
        for i in range(avail.shape[1]):
            count = 0
            for a in range(avail.shape[2]):
                count += avail[b, i, a]
            counter[0] += np.uint64(0x9E3779B97F4A7C15)
            pick = np.int64(mix(counter[0]) % np.uint64(count))
            for a in range(avail.shape[2]):
                if avail[b, i, a]:
                    if pick == 0:
                        out[b, i] = a
                        break
                    pick -= 1


def measure(map_name: str, batch: int, seconds: float = 2.0) -> dict[str, Any]:
    """Steps per second of `batch` parallel battles with random valid actions, in one thread, over about `seconds`."""
    env = make_battles(map_name, batch, seed=0)
    actions = np.zeros((batch, env.spaces.n_agents), np.int64)
    counter = np.zeros(1, np.uint64)
    start = time.perf_counter()
    step = env.reset()
    random_actions(step.avail, counter, actions)
    step = env.step(actions)
    first_call = time.perf_counter() - start
    played, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        for _ in range(20):
            random_actions(step.avail, counter, actions)
            step = env.step(actions)
        played += 20 * batch
    return {"map": map_name, "batch": batch, "env_steps_per_s": played / elapsed, "first_call_s": first_call}
