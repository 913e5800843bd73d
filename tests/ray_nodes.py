"""A cluster of several nodes on this machine: each is a raylet of its own, which can be killed."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {
    "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",  # actors import this checkout and `walkers`
    "RAY_AUTH_MODE": "disabled",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray leaves 127.0.0.1 as it is
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Environment variables of the cluster and of runs on it."""


class Nodes:
    """A head without a CPU, on which drivers run, and nodes with one CPU each, for one learner each."""

    def __init__(self, count: int) -> None:
        from ray.cluster_utils import Cluster

        # Short, because a name of a socket has at most 107 bytes.
        self.folder = tempfile.mkdtemp(prefix="ray-")
        os.environ["RAY_TMPDIR"] = self.folder
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False, "node_ip_address": "127.0.0.1"},
        )
        self.address: str = self._cluster.address
        self._odd: set[Any] = set()
        self.keep(count)

    def add(self, **variables: str) -> None:
        """Add a node; with environment variables of its own it is an odd one, which `keep` removes."""
        node = self._cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1", env_vars=variables or None)
        self._odd |= {node} if variables else set()

    def keep(self, count: int) -> None:
        """Have so many nodes, none of them odd."""
        for node in [*self._odd]:
            self._kill(node)
        while len(self._cluster.worker_nodes) > count:
            self._kill(next(iter(self._cluster.worker_nodes)))
        while len(self._cluster.worker_nodes) < count:
            self.add()
        # A killed node counts as alive until it has missed several heartbeats: a run would wait for its CPU.
        self._cluster.wait_for_nodes(timeout=60)

    def kill(self, place: str) -> None:
        """Kill all processes of a node, named as in `Team.places`."""
        short = place.partition("(")[2].rstrip(")")
        self._kill(next(node for node in self._cluster.worker_nodes if node.node_id.startswith(short)))

    def _kill(self, node: Any) -> None:
        self._cluster.remove_node(node, allow_graceful=False)
        self._odd.discard(node)

    def close(self) -> None:
        """End the cluster and delete its files."""
        self._cluster.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)
