"""Ray: joins a cluster, or starts a private one on this machine for as long as it is used.

`python -m mawm.runtime.ray_cluster CPUS` is the process that holds a private cluster. It has a session of its own, so
that a signal to the terminal's processes does not end Ray before the runs are saved. It ends when its standard input
is closed: also if the process that started it was killed.
"""

import contextlib
import functools
import importlib.util
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mawm.runtime.processes import STOP_SIGNALS

LOOPBACK = "127.0.0.1"
MARK = b"address "
"""Begin of the line with which the holder of a private cluster prints its address."""
PORT = 6379
"""The port of a cluster's head, unless `ray start` got another one."""
_HAS_PORT = re.compile(r":\d+$")
REACH_S = 5.0
"""Seconds within which the head of a cluster must accept a connection."""
LONGEST_TEMP = 24
"""Longest path for temporary files that leaves room for Ray's socket names, which have at most 107 bytes."""


def check_installed() -> None:
    """ValueError if Ray is missing."""
    if importlib.util.find_spec("ray") is None:
        raise ValueError("Ray needs a package: pip install -c constraints.txt -e '.[ray]'")


def is_connected() -> bool:
    """Whether this process is connected to a cluster."""
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())


@contextlib.contextmanager
def connect(address: str, cpus: int | None = None) -> Iterator[None]:
    """Ray is connected to a cluster inside this context.

    `address` is `local`, `auto`, HOST or HOST:PORT. `local` starts a private cluster, which only this process's user
    can enter, and ends it with the context; `cpus` is its number of CPUs (default: the cores of this machine). `auto`
    is the cluster that `ray start` has started on this machine. HOST:PORT is the head of any cluster (HOST alone: port
    6379). ValueError if Ray is missing or no cluster answers. Handlers of SIGINT, SIGTERM and SIGHUP stay as they were.

    Do not import Ray before: it reads its environment variables when it is imported.
    """
    check_installed()
    with contextlib.ExitStack() as cleanup:
        if address == "local":
            cleanup.enter_context(_environment(_private_settings()))
            address = cleanup.enter_context(_private_cluster(cpus or os.cpu_count() or 1))
        elif address != "auto":
            address = address if _HAS_PORT.search(address) else f"{address}:{PORT}"
            _check_reachable(address)
        _join(address)
        import ray

        cleanup.callback(ray.shutdown)
        yield


def _join(address: str) -> None:
    import ray

    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    own = {"_node_ip_address": LOOPBACK} if address.startswith(f"{LOOPBACK}:") else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"no Ray cluster answers at {address!r} ({reason}); start one with `ray start --head`"
        ) from None
    finally:  # Ray takes over SIGTERM
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _check_reachable(address: str) -> None:
    """ValueError unless a process listens at HOST:PORT. Ray itself would try for a long time."""
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdecimal()):
        raise ValueError(f"the address of a Ray cluster must be local, auto, HOST or HOST:PORT; got {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"no Ray cluster answers at {address!r} ({error}); start one with `ray start --head`"
        ) from None


@functools.cache
def _private_settings() -> dict[str, str]:
    """Environment variables of a private cluster and all its processes.

    The token keeps other users of this machine out. Without RAY_AUTH_TOKEN Ray would write one into the home folder.
    """
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # nodes have the address 127.0.0.1: one machine is enough
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }


@contextlib.contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Environment variables of this process, set inside the context."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _private_cluster(cpus: int) -> Iterator[str]:
    """The address of a cluster that a process of its own holds while the context lasts."""
    command = [sys.executable, "-m", "mawm.runtime.ray_cluster", str(cpus)]
    with tempfile.TemporaryFile() as errors:
        host = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
        assert host.stdin is not None and host.stdout is not None
        try:
            with host.stdout:
                address = next((line for line in host.stdout if line.startswith(MARK)), b"")
            if not address:
                errors.seek(0)
                reason = errors.read().decode(errors="replace").strip().splitlines()[-1:]
                raise ValueError(f"a Ray cluster cannot be started here ({''.join(reason) or 'it ended at once'})")
            yield address.removeprefix(MARK).decode().strip()
        finally:
            host.stdin.close()
            host.wait()


def _hold(cpus: int) -> None:
    """Start a cluster, print its address, and end it when the standard input is closed."""
    import ray

    parent = tempfile.gettempdir() if len(tempfile.gettempdir()) <= LONGEST_TEMP else "/tmp"
    with tempfile.TemporaryDirectory(prefix="mawm-ray-", dir=parent, ignore_cleanup_errors=True) as folder:
        started = ray.init(
            address="local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
            _node_ip_address=LOOPBACK, _temp_dir=folder,
        )  # fmt: skip
        sys.stdout.buffer.write(MARK + started.address_info["gcs_address"].encode() + b"\n")
        sys.stdout.buffer.flush()
        with Path(os.devnull).open("wb") as nowhere:  # nobody reads the pipe any more
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        sys.stdin.buffer.read()
        ray.shutdown()


if __name__ == "__main__":
    _hold(int(sys.argv[1]))
