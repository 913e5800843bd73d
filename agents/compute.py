"""Device, precision of matrix products and number of threads of learners."""

from typing import TypeVar

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


def resolve_precision(name: str) -> str:
    """`auto` is bf16 where the processor has units for it, float32 elsewhere."""
    return ("bf16" if has_bf16_units() else "float32") if name == "auto" else name


def prepare_process(precision: str) -> None:
    """Use one thread, and set the precision of products. Two threads are up to 17 times slower on a busy machine."""
    torch.set_num_threads(1)
    set_precision(resolve_precision(precision))


def to_tensor(array: NDArray[np.generic], device: str = "cpu") -> Tensor:
    """A tensor on a device. Floating-point numbers get torch's default precision (float32, float64 in some tests)."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.to(device, torch.get_default_dtype() if tensor.is_floating_point() else tensor.dtype)


def on_device(values: T, device: str) -> T:
    """A tensor, or tensors in nested tuples, on a device."""
    if isinstance(values, Tensor):
        return values.to(device)  # type: ignore[return-value]
    assert isinstance(values, tuple)
    moved = [on_device(value, device) for value in values]
    return type(values)(*moved) if hasattr(values, "_fields") else type(values)(moved)
