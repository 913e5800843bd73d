"""Device, precision of matrix products and number of threads of learners."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mawm.agents.matmul import has_bf16_units, set_precision

T = TypeVar("T")


def resolve_device(name: str) -> str:
    """The device of a name. ValueError if this machine does not have it; the message lists the devices it has."""
    devices = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if name == "auto":
        return devices[1] if len(devices) > 1 else "cpu"
    device = "cuda:0" if name == "cuda" else name
    if device not in devices:
        raise ValueError(f"device {name!r} is not on this machine; choose one of: auto, {', '.join(devices)}")
    return device


def resolve_precision(name: str, placement: str = "inline", device: str = "cpu") -> str:
    """The precision of products.

    `auto` is bf16 where the processor has units for it, tf32 with stacked learners on a GPU, float32 elsewhere.
    """
    if placement == "stack":
        return "tf32" if name == "auto" and device.startswith("cuda") else "float32"
    return ("bf16" if has_bf16_units() else "float32") if name == "auto" else name


def prepare_process(precision: str, placement: str = "inline", device: str = "cpu") -> None:
    """Use one thread, and set the precision of products. Two threads are up to 17 times slower on a busy machine."""
    torch.set_num_threads(1)
    set_precision(resolve_precision(precision, placement, device))


def to_tensor(array: NDArray[np.generic], device: str = "cpu") -> Tensor:
    """A tensor on a device. Floating-point numbers get torch's default precision (float32, float64 in some tests).

    It may share the array's memory. Of a read-only array, such as one that comes through Ray, it is a copy, because
    torch has no read-only tensors.
    """
    tensor = torch.from_numpy(np.require(np.ascontiguousarray(array), requirements="W"))
    return tensor.to(device, torch.get_default_dtype() if tensor.is_floating_point() else tensor.dtype)


def map_tensors(function: Callable[..., Tensor], *trees: T) -> T:
    """The function of the tensors at the same place of each tree; a tree is a tensor, or nested tuples of tensors."""
    first: Any = trees[0]
    if isinstance(first, Tensor):
        return cast(T, function(*trees))
    parts = [map_tensors(function, *each) for each in zip(*cast(Any, trees), strict=True)]
    return cast(T, type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts))


def on_device(tree: T, device: str) -> T:
    """The tensors of a tree on a device."""
    return map_tensors(lambda x: x.to(device), tree)


def leaves(tree: object) -> Iterator[Tensor]:
    """The tensors of a tree in order."""
    if isinstance(tree, Tensor):
        yield tree
    else:
        assert isinstance(tree, tuple)
        for part in tree:
            yield from leaves(part)
