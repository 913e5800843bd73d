"""Learners on the nodes of a Ray cluster: the same numbers, named losses, no retries, saving, and going on."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import real_runs
from ray_nodes import SETTINGS, Nodes
from real_runs import Started, children, differences, finish, is_running, read_until, rows, train, wait_until
from resume_cases import METHODS, ROUND, config_of
from walkers import MEMBERS, Walker, nothing

from mawm.agents.compute import prepare_process
from mawm.build import make_learner, make_run
from mawm.cluster import ray_team
from mawm.cluster.ray_team import NoRoom, RayTeam
from mawm.envs.registry import make_env
from mawm.gating.build import make_explorer_hook
from mawm.loop import train as train_run
from mawm.methods import members_of
from mawm.run_folder.checkpoint import checkpoints
from mawm.run_folder.manifest import read_facts
from mawm.runtime.ray_cluster import connect
from mawm.team import InlineTeam, LearnerFailed, Team, WorkerDied

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install -e '.[ray]'"),
    pytest.mark.filterwarnings("default"),  # Ray warns of its own files and processes
]
ENDLESS = ("--env-steps", "1000000")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A cluster of three nodes beside its head; runs that tests start have the variables for joining it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        patch.setenv("RAY_TMPDIR", "")
        made = Nodes(3)
        patch.setattr(real_runs, "ENVIRONMENT", {**real_runs.ENVIRONMENT, **SETTINGS, "RAY_TMPDIR": made.folder})
        yield made
        made.close()


@pytest.fixture(scope="module")
def joined(nodes: Nodes) -> Iterator[Nodes]:
    """The cluster, to which this process is connected."""
    with connect(nodes.address):
        yield nodes


def on(nodes: Nodes, *more: str) -> tuple[str, ...]:
    return ("--placement", "ray", "--ray-address", nodes.address, *more)


def test_ray_team_equals_inline_team_and_failures_name_agent_and_node(joined: Nodes) -> None:
    joined.keep(3)
    inline, team = InlineTeam(Walker, MEMBERS), RayTeam(Walker, MEMBERS, nothing)
    try:
        for by in (1.0, 2.0):
            assert inline.call(Walker.walk, [by] * 3, scale=0.1) == team.call(Walker.walk, [by] * 3, scale=0.1)
        large = [np.full(50_000, float(i)) for i in range(3)]
        walked = zip(inline.call(Walker.walk_far, large), team.call(Walker.walk_far, large), strict=True)
        assert all(a.tobytes() == b.tobytes() for a, b in walked)
        assert len(set(team.places)) == 3 and all(place.startswith("127.0.0.1 (") for place in team.places)
        assert team.differences == ()
        with pytest.raises(LearnerFailed, match=r"agent 1 on node 127\.0\.0\.1 \(\w{8}\)(.|\n)*out of luck"):
            team.call(Walker.fail, [1] * 3)
    finally:
        team.close()


def test_actor_that_ends_in_an_update_is_named_and_its_update_is_not_repeated(joined: Nodes, tmp_path: Path) -> None:
    joined.keep(3)
    team, diary = RayTeam(Walker, MEMBERS, nothing), tmp_path / "diary"
    try:
        with pytest.raises(WorkerDied, match=r"^agent 1 on node .* was lost \(its process ended\)$"):
            team.call(Walker.die_in_update, [1] * 3, [diary] * 3)
        with pytest.raises(WorkerDied, match="agent 1"):  # neither is the actor made anew
            team.call(Walker.walk, [1.0] * 3, scale=1.0)
        time.sleep(3.0)
        assert sorted(diary.read_text().split()) == ["0", "1", "2"]
    finally:
        team.close(at_once=True)


def test_cluster_with_too_few_free_cpus_is_reported_in_time(joined: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    joined.keep(3)
    monkeypatch.setattr(ray_team, "ROOM_S", 2.0)
    began = time.monotonic()
    with pytest.raises(NoRoom, match=r"no room for 4 learner\(s\) with a CPU each: 3 of 3 CPUs are free after 2 s"):
        RayTeam(Walker, tuple((i,) for i in range(4)), nothing)
    assert time.monotonic() - began < 30.0
    RayTeam(Walker, MEMBERS, nothing).close()  # nothing stays reserved


def test_run_with_too_few_free_cpus_ends_with_one_line_and_exit_code_1(nodes: Nodes, tmp_path: Path) -> None:
    code = "import sys; from mawm.cluster import ray_team; from mawm.train import main; ray_team.ROOM_S = 2.0; "
    code += f"sys.exit(main({['--preset', 'debug', '--map', '8m', '--run-dir', str(tmp_path / 'run'), *on(nodes)]}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=real_runs.ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("mawm: the Ray cluster has no room for 8 learner(s)")


@pytest.fixture(scope="module")
def teams(joined: Nodes) -> Iterator[dict[int, RayTeam]]:
    """Teams by their number of learners. Their actors serve several runs: a new one imports torch for seconds."""
    joined.keep(3)
    made: dict[int, RayTeam] = {}
    yield made
    for team in made.values():
        team.close()


def played(case: str, folder: Path, teams: dict[int, RayTeam] | None) -> Path:
    """The folder of a busy run of a case, on the cluster or in this process."""
    config = replace(config_of(case), env_steps=8 * ROUND)
    folder.mkdir(parents=True)
    env = make_env(config, "train", config.schedule.battles)
    members = members_of(config, env.spaces)
    make: Any = partial(make_learner, config=config, spaces=env.spaces, device="cpu")
    prepare = partial(prepare_process, "float32")
    team: Team
    if teams is None:
        prepare()
        team = InlineTeam(make, members)
    elif len(members) in teams:
        team = teams[len(members)]
        teams[len(members)].build(make, prepare)
    else:
        for other in teams.values():  # their CPUs are needed
            other.close()
        teams.clear()
        team = teams[len(members)] = RayTeam(make, members, prepare)
    run = make_run(config, env, team, make_explorer_hook(config, env.spaces), folder, lambda *_: None, None)
    train_run(run)
    for writer in run.writers:
        writer.close()
    return folder


ORDER = sorted(METHODS, key=lambda case: case in ("centralized", "mappo"))
"""Cases with one learner come last."""


@pytest.mark.parametrize("case", ORDER)
def test_every_method_and_gate_has_the_numbers_of_inline(case: str, teams: dict[int, RayTeam], tmp_path: Path) -> None:
    inline, ray = played(case, tmp_path / "inline", None), played(case, tmp_path / "ray", teams)
    assert differences(inline, ray) == [] and len(rows(ray)) >= 3
    assert (inline / "channel.csv").read_bytes() == (ray / "channel.csv").read_bytes()
    while case == ORDER[-1] and teams:  # the tests below need these CPUs
        teams.popitem()[1].close()


def other_version(folder: Path) -> str:
    """A path of modules on which Python starts with a numpy that says it is of another version."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text('import numpy\n\nnumpy.__version__ = "1.99.0"\n')
    return os.pathsep.join([str(folder), SETTINGS["PYTHONPATH"]])


def test_node_with_another_version_is_printed_once_and_recorded(nodes: Nodes, tmp_path: Path) -> None:
    nodes.keep(2)
    nodes.add(PYTHONPATH=other_version(tmp_path / "other"))
    folder = tmp_path / "run"
    code, _, err = finish(train(folder, *on(nodes, "--env-steps", "100")))
    found = read_facts(folder)["not_exact"]
    assert code == 0 and err == f"mawm: not exact {found[0]}\n" and len(found) == 1
    assert re.fullmatch(
        r"from 0 steps on: agent \d on node 127\.0\.0\.1 \(\w{8}\) has numpy 1\.99\.0, this machine \S+", found[0]
    )
    assert len(read_facts(folder)["nodes"]) == 3


def lose_a_node(nodes: Nodes, folder: Path, *more: str) -> tuple[Started, str]:
    """A run on the cluster whose agent 1 loses its node after the first checkpoint; the node's name."""
    process = train(folder, *on(nodes, *more))
    found = re.search("nodes: (.*)", read_until(process.stdout, "nodes: "))
    assert found is not None
    wait_until(lambda: bool(checkpoints(folder)), process)
    place = found[1].split(", ")[1]
    nodes.kill(place)
    return process, place


def test_run_that_lost_a_node_stops_and_goes_on_with_the_same_command(
    nodes: Nodes, undisturbed: Path, tmp_path: Path
) -> None:
    nodes.keep(3)
    folder = tmp_path / "run"
    process, place = lose_a_node(nodes, folder)
    code, _, err = finish(process)
    assert code == 1 and err.count("\n") == 1, err
    assert err.startswith(f"mawm: agent 1 on node {place} was lost (") and "the same command goes on" in err
    assert checkpoints(folder)
    nodes.keep(3)
    code, _, err = finish(train(folder, *on(nodes)))
    assert (code, err) == (0, "") and differences(undisturbed, folder) == []
    assert (undisturbed / "channel.csv").read_bytes() == (folder / "channel.csv").read_bytes()


def test_run_with_rollback_continues_on_the_remaining_nodes(nodes: Nodes, undisturbed: Path, tmp_path: Path) -> None:
    nodes.keep(4)
    folder = tmp_path / "run"
    process, place = lose_a_node(nodes, folder, "--on-node-loss", "rollback")
    code, out, err = finish(process)
    assert code == 0 and err.count("\n") == 1, err
    assert re.match(rf"mawm: agent 1 on node {re.escape(place)} was lost \(.*\); rollback to \d+ steps", err)
    assert "nodes: " in out and "done: " in out
    assert differences(undisturbed, folder) == [] and read_facts(folder)["not_exact"] == []
    assert (undisturbed / "channel.csv").read_bytes() == (folder / "channel.csv").read_bytes()
    assert "# rollback to" in read_facts(folder)["commands"][-1]


@pytest.fixture
def home(nodes: Nodes) -> Iterator[dict[str, str]]:
    """Variables of a run with a home folder of its own, and with what a killed cluster leaves in Ray's folder."""
    folder = Path(nodes.folder) / "home"
    (folder / "ray").mkdir(parents=True)
    (folder / "ray/ray_current_cluster").write_text("127.0.0.1:9")
    yield {"HOME": str(folder), "RAY_TMPDIR": str(folder), "RAY_AUTH_MODE": ""}
    shutil.rmtree(folder)


def test_local_cluster_joins_no_killed_one_and_leaves_nothing(
    home: dict[str, str], undisturbed: Path, tmp_path: Path
) -> None:
    code, _, err = finish(train(tmp_path / "run", "--placement", "ray", "--ray-address", "local", **home))
    assert (code, err) == (0, "") and differences(undisturbed, tmp_path / "run") == []
    assert not (Path(home["HOME"]) / ".ray").exists()


def test_address_of_a_killed_cluster_is_reported_in_one_line(home: dict[str, str], tmp_path: Path) -> None:
    code, _, err = finish(train(tmp_path / "run", "--placement", "ray", "--ray-address", "127.0.0.1:9", **home))
    assert code == 2 and err.count("\n") == 1, err
    assert err.startswith("mawm: no Ray cluster answers at '127.0.0.1:9'")


def test_sigterm_to_all_processes_of_a_run_saves(home: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = train(folder, "--placement", "ray", "--ray-address", "local", *ENDLESS, before=os.setsid, **home)
    try:
        wait_until(lambda: bool(checkpoints(folder)), process)
        holders = children(process.pid)
        started = [*holders, *(pid for holder in holders for pid in children(holder))]
        os.killpg(process.pid, signal.SIGTERM)
        code, out, err = finish(process)
        assert code == 143 and f"saved at {checkpoints(folder)[-1].env_steps} steps" in out, err
        assert len(started) > 1
        wait_until(lambda: not any(is_running(pid) for pid in started), seconds=30.0)
    finally:
        process.kill()
