"""Device, precision of matrix products and number of threads of learners."""

import torch

from mawm.agents.matmul import has_bf16_units, set_precision


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
