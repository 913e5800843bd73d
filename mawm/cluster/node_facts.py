"""Facts of a machine on which the numbers of a learner depend."""

import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from mawm import __version__

Facts = dict[str, str]
"""Values by name: the processor, its vector instructions, and the versions of packages."""


def facts_here() -> Facts:
    """The facts of this machine. Two machines with equal facts compute equal numbers."""
    return {
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "mawm": __version__,
        "Python": platform.python_version(),
    }


def _processor() -> str:
    """The model of the processor, say `Intel(R) Xeon(R) Processor`; the architecture where Linux does not give it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def differences(name: str, there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """One line for each fact of `name`'s machine that differs from this machine's."""
    return [
        f"{name} has {fact} {there.get(fact, 'unknown')}, this machine {value}"
        for fact, value in here.items()
        if there.get(fact) != value
    ]
