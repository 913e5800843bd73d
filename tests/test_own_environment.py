"""`--map module:factory`: the example of the docs, and the same environment with crashes and hangs."""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
from real_runs import ROOT, differences, finish, is_running, rows, wait_until
from warm_process import WarmProcess

from mawm.envs.checked import CheckedEnv
from mawm.envs.pettingzoo import own_parallel_env
from mawm.run_folder.checkpoint import newest
from mawm.train import main

EXAMPLE = re.search(
    r"```python\n(# my_env.py.*?)```", (ROOT / "docs/own_environment.md").read_text("utf-8"), re.DOTALL
)[1]  # type: ignore[index]
EXAMPLES = {
    name: code
    for code, name in re.findall(
        r"```python\n(# (my_\w+)\.py.*?)```", (ROOT / "docs/own_environment.md").read_text("utf-8"), re.DOTALL
    )
}
"""All modules of the docs by their names."""
BAD = """
import os, pathlib, signal, sys, time
from my_env import Meeting

here, steps = pathlib.Path(__file__).parent, 0
(here / f"pid-{os.getpid()}").touch()


class Bad(Meeting):
    def step(self, actions):
        global steps
        steps += 1
        if steps >= 130 and once("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        if steps >= 200 and once("hung"):
            time.sleep(1000)
        seen, *rest = super().step(actions)
        if steps >= 110 and os.path.exists(here / "hung") and once("spoilt"):
            seen["blue"][0] = float("nan")
        return seen, *rest


def once(what):
    try:
        (here / what).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


class Stuck(Meeting):
    forever = False

    def step(self, actions):
        global steps
        steps += 1
        if steps >= 140 and (once("stuck") or self.forever):
            time.sleep(1000)
        return super().step(actions)


class StuckForEver(Stuck):
    forever = True


class Gone(Meeting):
    def step(self, actions):
        global steps
        steps += 1
        if steps >= 140:
            raise RuntimeError("the server is gone")
        return super().step(actions)
"""
CONVERTED = {
    "my_env": ("red blue", ""),
    "my_pole": ("agent", "Gymnasium environment CartPole-v1, a team of one agent"),
    "my_light": ("agent_0 agent_1", "Gymnasium environment Light, 2 agents from its tuples of spaces"),
    "my_foraging": (
        "agent_0 agent_1",
        "Gymnasium environment Foraging-8x8-2p-2f-v3, 2 agents from its tuples of spaces",
    ),
    "my_spread": ("agent_0 agent_1 agent_2", "PettingZoo AECEnv simple_spread_v3, converted by aec_to_parallel"),
}
"""The agents of the docs' examples, and how they are converted."""
EXTRAS = {"my_foraging": "lbforaging", "my_spread": "mpe2"}
OPTIONS = ("--preset", "debug", "--placement", "inline", "--env-steps", "300", "--schedule.save-every", "100")
PLAIN = ("--method", "ippo")
"""For tests in which the learner does not matter."""
OWN = ("--own.episode-limit", "20", "--own.timeout-s", "5")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the environment of the docs and with faulty ones."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_env.py").write_text(EXAMPLE, "utf-8")
    (folder / "bad_env.py").write_text(BAD, "utf-8")
    return folder


def command(place: Path, name: str, *args: str) -> WarmProcess:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(place)]), "OMP_NUM_THREADS": "1"}
    return WarmProcess(f"mawm.{name}", *args, env=env, cwd=place, before=os.setsid)


def nothing_left_over(place: Path) -> None:
    """Assert that no process of an environment is left after ten seconds."""
    pids = [int(path.name.removeprefix("pid-")) for path in place.glob("pid-*")]
    assert pids
    wait_until(lambda: not any(is_running(pid) for pid in pids), seconds=10.0)


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> Path:
    code, out, err = finish(command(place, "train", *OPTIONS, *OWN, "--map", "my_env:make"))
    assert (code, err) == (0, "")
    assert "environment my_env:make, your own" in out and "skirmish" not in out
    return place / "runs/my_env.make_both_b0.05_s0"


def test_own_environment_of_the_docs_trains_and_is_evaluated(undisturbed: Path, place: Path) -> None:
    assert newest(undisturbed).env_steps >= 300 and rows(undisturbed)[-1]["eval/episodes"] == 4.0
    code, out, err = finish(command(place, "evaluate", str(undisturbed), "--episodes", "3", "--json"))
    assert code == 0, err
    assert json.loads(out)["episodes"] == 3


def test_docs_have_an_example_of_every_door() -> None:
    assert EXAMPLES.keys() == CONVERTED.keys()
    assert all(code.count("\n") <= 12 for name, code in EXAMPLES.items() if name not in ("my_env", "my_light"))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", CONVERTED)
def test_example_of_the_docs_plays_and_is_converted_as_the_docs_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name], reason="the extra `environments` is not installed")
    (tmp_path / f"{name}.py").write_text(EXAMPLES[name], "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    env = CheckedEnv(own_parallel_env(f"{name}:make", 2, 0, 20), name)
    sys.modules.pop(name)
    agents, conversion = CONVERTED[name]
    assert (" ".join(env.spaces.agents), env.spaces.conversion) == (agents, conversion)
    step, paid, ended = env.reset(), 0.0, 0
    for _ in range(60):
        step = env.step(step.avail.argmax(-1))
        paid, ended = paid + abs(float(step.reward.sum())), ended + int((step.terminated | step.truncated).sum())
    assert ended >= 2 and (paid > 0.0 or name == "my_foraging")  # who does not move finds no food
    env.close()


def test_run_with_environment_kill_hang_and_nan_ends_bit_for_bit_undisturbed(undisturbed: Path, place: Path) -> None:
    code, _, err = finish(command(place, "train", *OPTIONS, *OWN, "--map", "bad_env:Bad", "--run-dir", "bad"))
    assert code == 0, err
    killed, hung, spoilt = err.splitlines()
    assert "environment bad_env:Bad (train)" in killed and "its process was killed by SIGKILL" in killed
    assert "step gave no answer within 5 s" in hung
    assert "agent 1: obs holds nan" in spoilt and "(3 of 3)" in spoilt
    assert differences(undisturbed, place / "bad") == []  # of the replays' rows too
    nothing_left_over(place)


def test_run_with_a_permanent_environment_fault_ends_in_one_line_with_a_loadable_checkpoint(place: Path) -> None:
    code, _, err = finish(command(place, "train", *OPTIONS, *OWN, "--map", "bad_env:Gone", *PLAIN, "--run-dir", "gone"))
    assert code == 1 and "Traceback" not in err
    *restarts, last = err.splitlines()
    assert [line.endswith(f"({n} of 3)") for n, line in enumerate(restarts, 1)] == [True] * 3
    assert last.startswith("mawm: environment bad_env:Gone (train), battle ") and "it is not restarted" in last
    assert "step raised RuntimeError: the server is gone (bad_env.py, line" in last
    assert 100 <= newest(place / "gone").env_steps < 300
    nothing_left_over(place)


@pytest.mark.parametrize("name", ["Stuck", pytest.param("StuckForEver", marks=pytest.mark.slow)])
def test_signal_during_an_environment_hang_ends_the_run_within_ten_seconds(name: str, place: Path) -> None:
    (place / "stuck").unlink(missing_ok=True)
    patient = ("--own.timeout-s", "1000", "--map", f"bad_env:{name}", "--run-dir", name)
    process = command(place, "train", *OPTIONS, *OWN, *PLAIN, *patient, "--env-steps", "1000000")
    try:
        wait_until((place / "stuck").exists, process)
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code, out, err = finish(process)
    finally:
        process.kill()
    assert code == 143 and time.monotonic() - asked < 10.5 and "Traceback" not in err, err
    if name == "Stuck":  # a fresh one took its place, so that the round could end
        assert "was killed by SIGKILL; it is restarted" in err
        assert f"saved at {newest(place / name).env_steps} steps" in out
    else:
        assert "quit at once; saved checkpoints are intact" in err and newest(place / name).env_steps >= 100
    nothing_left_over(place)


@pytest.mark.slow
def test_sigterm_to_the_process_group_saves_and_leaves_no_process(place: Path) -> None:
    longer = (*PLAIN, "--env-steps", "1000000", "--run-dir", "long")
    process = command(place, "train", *OPTIONS, *OWN, "--map", "bad_env:Meeting", *longer)
    try:
        wait_until(lambda: any((place / "long").glob("ck-*")), process)
        os.killpg(process.pid, signal.SIGTERM)
        code, out, err = finish(process)
        assert code == 143 and "saved at" in out and "Traceback" not in err, err
    finally:
        process.kill()
    nothing_left_over(place)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nonsense:make", "map 'nonsense:make' cannot be loaded (No module named 'nonsense')"),
        ("my_env:nobody", "map 'my_env:nobody' cannot be loaded (module 'my_env' has no attribute 'nobody')"),
        ("my_env:np", "map 'my_env:np' is of type module and cannot be called; it must be module:factory"),
    ],
)
def test_unloadable_map_is_refused_in_one_line_without_a_folder(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_env.py").write_text(EXAMPLE, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_env", raising=False)
    with pytest.raises(SystemExit) as end:
        main(["--preset", "debug", "--map", name])
    sys.modules.pop("my_env", None)  # the next test has a file of its own
    error = capsys.readouterr().err
    assert end.value.code == 2 and said in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()
