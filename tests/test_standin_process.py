"""The process of the stand-in: its websocket, its end with its client, its faults on purpose, and PySC2 as a client."""

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("s2clientprotocol", reason="the protocol files are missing: pip install 'mawm[starcraft]'")
pytest.importorskip("websockets", reason="websockets is missing: pip install 'mawm[starcraft]'")

from s2clientprotocol import sc2api_pb2 as sc_pb
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from mawm.envs.standin.install import install
from mawm.envs.standin.serve import main as serve
from mawm.envs.standin.settings import Faults, Settings

LAUNCHER = "Versions/Base75689/SC2_x64"
PING = sc_pb.Request(id=5, ping=sc_pb.RequestPing()).SerializeToString()
QUIT = sc_pb.Request(quit=sc_pb.RequestQuit()).SerializeToString()
SPOILT = {"PYTHONHOME": "nowhere", "PYTHONPATH": "nowhere", "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "cpp"}
"""Settings of a client's interpreter that must not reach the stand-in's."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def arguments(root, port):
    return [str(root / LAUNCHER), "-listen", "127.0.0.1", "-port", str(port), "-dataDir", f"{root}/", "-tempDir", "x/"]


@contextlib.contextmanager
def launched(root):
    """A stand-in's process and its port; it is killed at the end."""
    port = free_port()
    process = subprocess.Popen(arguments(root, port), env=os.environ | SPOILT, stdout=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: listens(port))
        yield process, port
    finally:
        process.kill()
        assert process.stdout is not None
        process.stdout.close()
        process.wait()


def listens(port):
    """Whether a socket listens on a port. It does not connect: the stand-in has only one client."""
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "0A" for row in table)


def wait_for(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def open_client(port, path="/sc2api"):
    return connect(f"ws://127.0.0.1:{port}{path}", open_timeout=60, max_size=None, compression=None, proxy=None)


def answer_to(client, message):
    client.send(message)
    return sc_pb.Response.FromString(client.recv(timeout=60))


def gone(pid):
    """Whether a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_one_client_is_served_until_it_quits_and_others_are_refused(tmp_path):
    install(tmp_path)
    with launched(tmp_path) as (process, port):
        with pytest.raises(InvalidStatus, match="404"):
            open_client(port, "/other")
        with open_client(port) as client:
            assert answer_to(client, PING).ping.data_version == "stand-in"
            with pytest.raises(OSError):
                open_client(port)
            for length in (1, 125, 126, 65535, 65536, 200_000):  # every form of a frame's length
                damaged = b"\x08" * length
                assert answer_to(client, damaged).error
            assert answer_to(client, [PING[:1], PING[1:2], PING[2:]]).id == 5  # a message in three frames
            client.ping().wait(10)
            client.send(QUIT)
            assert process.wait(20) == 0
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=10)
        assert process.stdout.read() == ""


@pytest.mark.slow
def test_process_ends_with_its_client(tmp_path):
    install(tmp_path)
    with launched(tmp_path) as (process, port), open_client(port) as client:
        assert answer_to(client, PING).id == 5
        client.socket.shutdown(socket.SHUT_RDWR)  # as the system does for a killed client
        assert process.wait(20) == 0


@pytest.mark.parametrize("connected", [pytest.param(False, marks=pytest.mark.slow), True])
def test_process_ends_when_its_launching_process_is_killed(tmp_path, connected):
    install(tmp_path)
    port = free_port()
    code = (
        f"import subprocess, time; print(subprocess.Popen({arguments(tmp_path, port)}).pid, flush=True); time.sleep(99)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    wait_for(lambda: listens(port))
    # The connection is another process's and stays open, as one that a forked child of the client has inherited.
    with open_client(port) if connected else contextlib.nullcontext():
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
        wait_for(lambda: gone(pid), 20.0)
        assert gone(pid)


@pytest.mark.slow
def test_dying_stand_in_answers_the_given_number_of_requests(tmp_path):
    install(tmp_path, Settings(faults=Faults(dies_after=2)))
    with launched(tmp_path) as (process, port), open_client(port) as client:
        assert answer_to(client, PING).id == answer_to(client, PING).id == 5
        with pytest.raises(ConnectionClosed):
            answer_to(client, PING)
        assert process.wait(20) == 1


@pytest.mark.slow
def test_hanging_stand_in_is_silent_and_still_ends_with_its_client(tmp_path):
    install(tmp_path, Settings(faults=Faults(hangs_after=1, delay_s=0.3)))
    with launched(tmp_path) as (process, port), open_client(port) as client:
        begin = time.monotonic()
        assert answer_to(client, PING).id == 5 and time.monotonic() - begin >= 0.3
        client.send(PING)
        with pytest.raises(TimeoutError):
            client.recv(timeout=1.0)
        assert process.poll() is None
        client.socket.shutdown(socket.SHUT_RDWR)
        assert process.wait(20) == 0


@pytest.mark.parametrize("options", [[], ["-port", "x", "-dataDir", "."], ["-port", "5"], ["-port", "99999999"]])
def test_wrong_arguments_of_the_process_cost_one_line_and_exit_code_2(options, capsys):
    assert serve(options) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_port_in_use_costs_one_line_and_exit_code_2(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert serve(["-port", str(other.getsockname()[1]), "-dataDir", "."]) == 2
    assert "choose another one" in capsys.readouterr().err


PYSC2 = """
import json
from absl import flags
from pysc2 import run_configs
from pysc2.lib import protocol
from pysc2.lib.remote_controller import RequestError
from s2clientprotocol import debug_pb2, query_pb2, sc2api_pb2 as sc_pb
flags.FLAGS(["test"])
config = run_configs.get()
process = config.start(want_rgb=False)
game, seen = process.controller, {"pid": process.pid, "launched": str(process.controller.status)}
def create(name):
    data = config.map_data(f"SMAC_Maps/{name}.SC2Map")
    request = sc_pb.RequestCreateGame(local_map=sc_pb.LocalMap(map_path=f"SMAC_Maps/{name}.SC2Map", map_data=data))
    game.create_game(request)
    game.join_game(sc_pb.RequestJoinGame(race=1, options=sc_pb.InterfaceOptions(raw=True)))
create("3m")
seen["map"] = game.game_info().map_name
seen["units"] = len(game.observe().observation.raw_data.units)
game.step(24)
seen["loop"] = game.observe().observation.game_loop
tags = [unit.tag for unit in game.observe().observation.raw_data.units]
game.debug(debug_pb2.DebugCommand(kill_unit=debug_pb2.DebugKillUnit(tag=tags)))
seen["killed"] = len(game.observe().observation.raw_data.units)
game.step(2)
seen["again"] = len(game.observe().observation.raw_data.units)
seen["replay"] = game.save_replay().decode()
try:
    game.query(query_pb2.RequestQuery())
except protocol.ProtocolError as error:
    seen["error"] = str(error).splitlines()[-1]
game.restart()
seen["restarted"] = game.observe().observation.game_loop
game.leave()
try:
    game.create_game(sc_pb.RequestCreateGame(local_map=sc_pb.LocalMap(map_path="none.SC2Map")))
except RequestError as error:
    seen["refused"] = str(error)
create("32x32_flat")
seen["types"] = len(game.data().units)
process.close()
print(json.dumps(seen))
"""


@pytest.mark.slow
def test_pysc2_plays_through_its_own_controller_and_leaves_no_process(tmp_path):
    if importlib.util.find_spec("pysc2") is None:
        pytest.skip("the package pysc2 is not installed (docs/starcraft.md)")
    install(tmp_path)
    env = os.environ | {"SC2PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PYSC2], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout)
    assert gone(seen.pop("pid"))
    assert "'query'" in seen.pop("error") and "'none' is unknown" in seen.pop("refused")
    assert seen == {
        "launched": "Status.launched", "map": "3m", "units": 6, "loop": 24, "killed": 0, "again": 6,
        "replay": "stand-in: there is no replay\n", "restarted": 0, "types": 137,
    }  # fmt: skip
