"""Save weights of modules as arrays by name, and load them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Arrays = dict[str, NDArray[Any]]


def save_weights(modules: dict[str, nn.Module]) -> Arrays:
    """Copies of the weights of modules by name."""
    return {
        f"weights/{name}/{key}": value.detach().cpu().numpy().copy()
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }


def load_weights(owner: str, modules: dict[str, nn.Module], arrays: Arrays) -> None:
    """Load the arrays of `save_weights`. ValueError if a weight is missing or has another shape."""
    for name, module in modules.items():
        saved = under(arrays, f"weights/{name}/")
        own = module.state_dict()
        wrong = [k for k in own if k not in saved or tuple(saved[k].shape) != tuple(own[k].shape)]
        if wrong:
            raise ValueError(f"{owner}: {name} weight {wrong[0]} is missing from the checkpoint or has another shape")
        with torch.no_grad():
            for key, value in own.items():
                value.copy_(torch.from_numpy(saved[key].copy()))


def under(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays whose names begin with `prefix`, under names without the prefix."""
    return {key.removeprefix(prefix): np.asarray(value) for key, value in arrays.items() if key.startswith(prefix)}
