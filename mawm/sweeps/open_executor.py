"""Opens the executor that a command line names."""

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from mawm.configs.sweeps import ExecutorConfig, extra_parameters
from mawm.sweeps.executors import Executor, LocalExecutor

PACKAGES = {"slurm": "submitit", "ray": "ray"}


def check_executor(config: ExecutorConfig) -> None:
    """Before any work: ValueError for a missing package or a wrong setting."""
    package = PACKAGES.get(config.executor)
    if package and importlib.util.find_spec(package) is None:
        extra = config.executor
        raise ValueError(
            f"--executor {extra} needs the package {package}: pip install -c constraints.txt -e '.[{extra}]'"
        )
    extra_parameters(config.slurm.extra)


@contextlib.contextmanager
def open_executor(config: ExecutorConfig, folder: Path) -> Iterator[Executor]:
    """The executor of a sweep's folder. A private Ray cluster has `jobs` CPUs, and ends with the context.

    ValueError if there is no SLURM on this machine, or no Ray cluster at the address.
    """
    if config.executor == "slurm":
        from mawm.sweeps.slurm_executor import SlurmExecutor

        yield SlurmExecutor(folder, config.slurm)
    elif config.executor == "ray":
        from mawm.runtime.ray_cluster import connect
        from mawm.sweeps.ray_executor import RayExecutor

        with connect(config.ray_address, config.jobs):
            yield RayExecutor()
    else:
        yield LocalExecutor()
