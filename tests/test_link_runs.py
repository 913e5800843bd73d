"""Runs whose agents send each other messages over sockets: equal to runs in one process; failures are named in time."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from real_runs import (
    ENVIRONMENT,
    ROOT,
    Started,
    children,
    differences,
    finish,
    is_running,
    process_stat,
    read_until,
    rows,
    wait_until,
)

from mawm.configs.check import check
from mawm.configs.presets import load_preset, merge
from mawm.run_folder.locate import find_run_folder
from mawm.run_folder.manifest import read_config

DEBUG = load_preset("debug")
TCP = ("--link.transport", "tcp")
RUN = (
    "--preset", "debug", "--device", "cpu", "--env-steps", "500", "--bandwidth", "0.5", "--rollout-window", "20",
    "--schedule.updates-per-step", "0.1", "--schedule.eval-every", "400",
)  # fmt: skip


def start(folder: Path, *more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "mawm.train", *RUN, "--run-dir", str(folder), *more]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"placement": "inline"}, "link.transport tcp does not work with placement inline"),
        ({"placement": "stack"}, "use --placement process, or --link.transport driver"),
        ({"sharing": {"channel": "shuffled"}}, "link.transport tcp does not work with --channel shuffled"),
        ({"sharing": {"channel": "self"}}, "does not work with --channel self"),
        ({"sharing": {"channel": "stale"}}, "use --link.transport driver, which gives the same numbers"),
        ({"link": {"transport": "tcp", "delay": 3}}, "link.transport tcp does not work with --link.delay 3"),
        ({"link": {"key_file": "gone"}}, "link.key_file 'gone' must be a file of 16 to 4096 bytes; it cannot be read"),
    ],
)
def test_setting_that_does_not_work_over_sockets_is_refused(changes: dict[str, Any], said: str) -> None:
    config = merge(merge(DEBUG, {"link": {"transport": "tcp"}}, "test"), changes, "test")
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        check(config)
    assert "\n" not in str(refused.value)


def test_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mawm.configs.check.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=re.escape("pip install -c constraints.txt -e '.[link]'")):
        check(merge(DEBUG, {"link": {"transport": "tcp"}}, "test"))


@pytest.mark.parametrize("size", [15, 4097])
def test_key_file_of_a_wrong_size_is_refused(size: int, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(bytes(size))
    with pytest.raises(ValueError, match=f"it has {'more than 4096' if size > 4096 else size} bytes"):
        check(merge(DEBUG, {"link": {"key_file": str(tmp_path / "key")}}, "test"))


def test_run_may_go_on_over_another_transport(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(ROOT / "tests/golden/run-0.2.0", folder)
    config = read_config(folder)
    assert find_run_folder(merge(config, {"link": {"transport": "tcp"}}, "test"), folder, fresh=False).begun


def wire_bytes(folder: Path) -> float:
    last = rows(folder)[-1]
    return sum(last[f"channel/{kind}/wire_bytes"] for kind in ("experience", "rollouts"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "receivers"),
    [((), 2), (("--link.loss", "0.3", "--link.topology", "ring"), 1)],
    ids=["perfect", "lossy ring"],
)
def test_run_over_sockets_equals_the_run_in_one_process(
    network: tuple[str, ...], receivers: int, tmp_path: Path
) -> None:
    pytest.importorskip("zmq", reason="the extra `link` (pyzmq) is not installed")
    (tmp_path / "key").write_bytes(b"a secret of sixteen bytes or more")
    inline, sockets = tmp_path / "inline", tmp_path / "sockets"
    key = ("--link.key-file", str(tmp_path / "key"))
    for folder, more in ((inline, ("--placement", "inline")), (sockets, (*TCP, *key))):
        code, out, err = finish(start(folder, *network, *more))
        assert code == 0 and err == "", err
    assert "with sockets between them" in out
    assert (inline / "channel.csv").read_text() == (sockets / "channel.csv").read_text()
    sent = rows(inline)[-1]["channel/sent_bytes"]
    assert sent * receivers < wire_bytes(sockets) < 1.2 * sent * receivers, "the rest are frames"
    drop = [{tag: value for tag, value in row.items() if "wire_bytes" not in tag} for row in rows(sockets)]
    assert drop == rows(inline)
    # The count of bytes on the wire is the only difference: of the log (compared above), and of the channel's state.
    assert set(differences(inline, sockets)) == {"metrics.jsonl", "run: channel"}


def workers_of(pid: int) -> list[int]:
    """The processes of the learners: children that are no resource tracker."""
    return [child for child in children(pid) if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def begun(folder: Path) -> Started:
    """A long run over sockets that has logged rows."""
    pytest.importorskip("zmq", reason="the extra `link` (pyzmq) is not installed")
    process = start(folder, *TCP, "--env-steps", "1000000", "--schedule.log-every", "50")
    read_until(process.stdout, "steps/s")
    wait_until(lambda: (folder / "metrics.jsonl").exists() and len(rows(folder)) >= 3, process)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("agent", [0, 2])
def test_killed_worker_is_named_in_time(agent: int, tmp_path: Path) -> None:
    process = begun(tmp_path / "run")
    workers = sorted(workers_of(process.pid), key=lambda pid: int(process_stat(pid)[19]))  # by the time of their start
    killed = time.monotonic()
    os.kill(workers[agent % len(workers)], signal.SIGKILL)
    code, _, err = finish(process)
    assert code == 1 and time.monotonic() - killed < 60.0
    assert re.search(rf"the process of agent {agent}\D.*died \(exit code -9\)", err) and "Traceback" not in err, err
    wait_until(lambda: not any(is_running(pid) for pid in workers), seconds=20.0)


@pytest.mark.slow
def test_interrupted_run_over_sockets_saves_and_leaves_no_process(tmp_path: Path) -> None:
    process = begun(tmp_path / "run")
    workers = workers_of(process.pid)
    process.send_signal(signal.SIGINT)
    code, out, _ = finish(process)
    assert code == 130 and "saved at" in out and list((tmp_path / "run").glob("ck-*"))
    wait_until(lambda: not any(is_running(pid) for pid in workers), seconds=20.0)


PEER = """
import sys
from mawm.sharing.endpoint import Envelope, Endpoint
me, hosts, ports, rounds = int(sys.argv[1]), sys.argv[2].split(","), sys.argv[3].split(","), int(sys.argv[4])
endpoint = Endpoint(me, ("agent_0", "agent_1"), [1 - me], [1 - me], 5000, hosts[me], port=int(ports[me]))
endpoint.connect([f"tcp://{host}:{port}" for host, port in zip(hosts, ports)], bytes(32))
def messages_of(agent, number):
    return [bytes([agent, number, k]) * 1000 for k in range(5)]
for number in range(rounds):
    endpoint.send("rollouts", messages_of(me, number))
    expected = messages_of(1 - me, number)
    from mawm.sharing.frames import digest_of
    envelopes = [Envelope(1 - me, k, m[:48], len(m), digest_of(m)) for k, m in enumerate(expected)]
    assert endpoint.collect("rollouts", envelopes) == expected
print("equal", flush=True)
sys.stdin.read()  # the other side may still read
endpoint.close()
"""


def command(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


@pytest.fixture
def two_hosts() -> Any:
    """Two network namespaces with a cable between them that delays, and loses packets: their names and addresses."""
    one, other = (f"mawm-{os.getpid()}-{i}" for i in (0, 1))
    cable, hosts = (f"m{os.getpid()}a", f"m{os.getpid()}b"), ("10.254.77.1", "10.254.77.2")
    try:
        for space in (one, other):
            command("ip", "netns", "add", space)
        command("ip", "link", "add", cable[0], "netns", one, "type", "veth", "peer", "name", cable[1], "netns", other)
        for space, end, host in zip((one, other), cable, hosts, strict=True):
            inside = ("ip", "netns", "exec", space)
            command(*inside, "ip", "addr", "add", f"{host}/24", "dev", end)
            command(*inside, "ip", "link", "set", end, "up")
            command(*inside, "tc", "qdisc", "add", "dev", end, "root", "netem", "delay", "20ms", "loss", "5%")
        yield (one, other), hosts, cable
    except OSError as error:
        pytest.skip(f"no network namespaces with a delay and losses here: {error}")
    finally:
        for space in (one, other):
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)


@pytest.mark.slow
def test_messages_are_the_same_over_a_cable_that_delays_and_loses_packets(two_hosts: Any) -> None:
    pytest.importorskip("zmq", reason="the extra `link` (pyzmq) is not installed")
    spaces, hosts, cable = two_hosts
    peers = [
        subprocess.Popen(
            ["ip", "netns", "exec", space, sys.executable, "-c", PEER, str(i), ",".join(hosts), "7001,7002", "20"],
            env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for i, space in enumerate(spaces)
    ]  # fmt: skip
    assert [peer.stdout and peer.stdout.readline() for peer in peers] == ["equal\n"] * 2
    counter = f"/sys/class/net/{cable[0]}/statistics/tx_bytes"
    carried = int(command("ip", "netns", "exec", spaces[0], "cat", counter))
    assert carried >= 20 * 5 * 3000, "the bytes on the cable are at least those of the ledger"
    assert [peer.communicate("", timeout=60)[1] for peer in peers] == ["", ""]
