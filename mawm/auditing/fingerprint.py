"""Comparisons of two runs: a hash of the whole state, and the divergence between two world models."""

import hashlib
import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mawm.agents.agent import Agent
from mawm.agents.snapshot import save
from mawm.types import Segment

MODEL_ARRAYS = (
    "weights/world_model",
    "weights/acting_world_model",
    "optimiser/world_model",
    "rows/own",
    "rows/received",
    "intrinsic/weights",
    "intrinsic/optimiser",
)
MODEL_VALUES = ("experience", "model_updates", "averaged_updates", "reward_unit", "learned_from")
MODEL_GENERATORS = ("model", "score", "information")


def world_model(agent: Agent) -> str:
    """Hash of world model and ensemble with all state that their training depends on."""
    arrays, values = save(agent, {})
    kept = {name: array for name, array in arrays.items() if name.startswith(MODEL_ARRAYS)}
    generators = {name: values["generators"][name] for name in MODEL_GENERATORS}
    return _digest(kept, {**{name: values[name] for name in MODEL_VALUES}, "generators": generators})


def everything(agent: Agent) -> str:
    """Hash of the agent's whole state."""
    return _digest(*save(agent, {}))


def _digest(arrays: dict[str, NDArray[Any]], values: Any) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    digest.update(json.dumps(values, sort_keys=True).encode())
    return digest.hexdigest()


@torch.no_grad()
def divergence(one: Agent, other: Agent, probes: list[Segment]) -> float:
    """Mean KL(prior of `one` || prior of `other`) in nats over latents of `one` on some segments; nan if not finite."""
    total, count = 0.0, 0
    for segment in probes:
        obs = torch.from_numpy(segment.obs.copy()).unsqueeze(1)
        actions = torch.from_numpy(segment.prev_action.copy()).unsqueeze(1)
        reset = torch.from_numpy(segment.is_first.copy()).unsqueeze(1)
        reset[0] = True
        model = one.model_trainer.model
        noise = torch.full((*reset.shape, model.config.groups), 0.5)
        deter = model.rssm.observe(obs, actions, reset, noise).deter
        p, q = model.rssm.prior(deter), other.model_trainer.model.rssm.prior(deter)
        total += float((p * (p.log() - q.log())).sum((-1, -2)).mean())
        count += 1
    return total / max(1, count)
