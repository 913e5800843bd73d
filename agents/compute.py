"""Where and how learners compute: device, precision of products, threads."""

import torch

from mawm.agents.matmul import has_bf16_units, set_precision


def resolve_device(name: str) -> str:
    """A device that is here. ValueError if it is not, naming what is."""
    here = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if name == "auto":
        return here[1] if len(here) > 1 else "cpu"
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in here:
        raise ValueError(f"device {name!r} is not on this machine; choose one of: auto, {', '.join(here)}")
    return wanted


def resolve_precision(name: str) -> str:
    """`auto` is bf16 where the processor has units for it, float32 elsewhere."""
    return ("bf16" if has_bf16_units() else "float32") if name == "auto" else name


def prepare_process(precision: str) -> None:
    """One thread a process (two lose up to 17-fold beside a busy neighbour), and the precision of products."""
    torch.set_num_threads(1)
    set_precision(resolve_precision(precision))
