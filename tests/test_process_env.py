"""Environments in processes of their own: after hangs, crashes and invalid answers battles continue bit for bit."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from own_env import FAULTS, Moody, Shaky
from real_runs import Figure, is_running, wait_until

from mawm.envs.checked import CheckedEnv, EnvFault
from mawm.envs.market.vector import MarketVectorEnv
from mawm.envs.process import ProcessDied, ProcessEnv
from mawm.envs.restarting import RestartingEnv
from mawm.types import Step, VectorEnv

ROOT = Path(__file__).parents[1]
BATCH, LENGTH = 12, 24
"""Sessions of a market have 24 steps."""
HOLD = np.zeros((BATCH, 3), np.int64)
SAID = {
    "raises": "step raised RuntimeError: the game is gone (own_env.py, line",
    "raises without arguments": "step raised ConnectionError: without a message",
    "hangs": "step gave no answer within 1 s",
    "hangs in compiled code": "step gave no answer within 1 s",
    "is killed": "step raised ProcessDied: its process was killed by SIGKILL",
    "ends": "step raised ProcessDied: its process ended with exit code 7",
    "NaN": "agent 1: obs holds nan",
    "Inf": "state holds inf",
    "a wrong shape": "reward is float32 (12, 1); expected float32 (12,)",
    "a wrong type": "obs is float64 (12, 3, 5); expected float32",
    "another number of agents": "avail is bool (12, 2, 3); expected bool (12, 3, 3)",
    "no action": "agent 1: avail forbids every action",
    "StarCraft's answer after a crash": "step returned tuple; expected a Step",
}


def patient(make: Callable[[], VectorEnv]) -> ProcessEnv:
    """A ProcessEnv with a time limit that a busy machine keeps."""
    return ProcessEnv(make, 120.0)


def hurried(env: RestartingEnv) -> None:
    """Shorten the time limit before a step that hangs; the environment that replaces it has the long one."""
    assert isinstance(env._env, CheckedEnv) and isinstance(env._env.env, ProcessEnv)
    env._env.env.timeout_s = 1.0


def restarting(make: Callable[[], VectorEnv]) -> RestartingEnv:
    return RestartingEnv(lambda: CheckedEnv(patient(make), "market"), "market")


def alike(one: Step, other: Step) -> bool:
    return all(vars(one)[name].tobytes() == value.tobytes() for name, value in vars(other).items())


def played(steps: int, seed: int = 0) -> Iterator[tuple[np.ndarray, Step]]:
    """Actions and steps of a market without faults."""
    plain, rng = MarketVectorEnv(BATCH, 0), np.random.default_rng(seed)
    step = plain.reset()
    for _ in range(steps):
        free = rng.random(step.avail.shape) * step.avail
        actions = free.argmax(-1)
        step = plain.step(actions)
        yield actions, step


@pytest.mark.parametrize(
    ("at", "faults"),
    [(12, tuple(FAULTS)), (1, ("raises", "hangs", "NaN")), (24, ("raises without arguments", "is killed", "Inf"))],
    ids=["within a battle", "at its first step", "at its last step"],
)
def test_restarting_env_continues_bit_for_bit_after_a_fault(
    at: int, faults: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], figure: Figure
) -> None:
    plan = {2 * LENGTH * k + at: fault for k, fault in enumerate(faults)}
    with closing(restarting(partial(Shaky, BATCH, plan, tmp_path))) as env:
        env.reset()
        for t, (actions, expected) in enumerate(played(max(plan) + 3)):
            if plan.get(t + 1, "").startswith("hangs"):
                hurried(env)
            assert alike(expected, env.step(actions)), (t, plan)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(faults)
    for line, fault in zip(lines, faults, strict=True):
        assert SAID[fault] in line and "it is restarted and its battles are continued" in line
    figure(f"{len(FAULTS)} faults of an environment in its process", "told once each, battles go on bit for bit")


def test_restarting_env_recovers_from_faults_at_construction_reset_and_snapshot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(restarting(partial(Shaky, BATCH, {-1: "raises", 0: "NaN"}, tmp_path))) as env:
        env.reset()
        told = capsys.readouterr().err
        assert "environment market: construction raised RuntimeError: the game is gone" in told and "(2 of 3)" in told
        for actions, expected in played(5):
            assert alike(expected, env.step(actions))
        assert isinstance(env._env, CheckedEnv) and isinstance(env._env.env, ProcessEnv)
        env._env.env.process.kill()
        kept = env.snapshot()
        assert "snapshot raised ProcessDied: its process was killed by SIGKILL" in capsys.readouterr().err
        assert kept["time"].tolist() == [5] * BATCH and kept["guard/steps"].tolist() == [5] * BATCH


@pytest.mark.parametrize("fault", ["raises", "ends"])
def test_restarting_env_gives_up_after_three_restarts(fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(restarting(partial(Shaky, BATCH, {3: fault}))) as env:
        env.reset()
        env.step(HOLD), env.step(HOLD)
        with pytest.raises(EnvFault, match="after 3 restarts within 1000 environment steps") as caught:
            env.step(HOLD)
    assert SAID[fault] in str(caught.value) and "environment market, battle 0, 1, 2, 3, ..., step 3" in str(
        caught.value
    )
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_restarting_env_refuses_an_environment_that_is_not_deterministic(tmp_path: Path) -> None:
    with closing(restarting(partial(Moody, BATCH, {4: "raises"}, tmp_path))) as env:
        env.reset()
        for _ in range(3):
            env.step(HOLD)
        with pytest.raises(EnvFault, match=r"is not deterministic under a seed.*its obs is not.*the game is gone"):
            env.step(HOLD)


def test_process_env_times_out_passes_value_errors_and_leaves_no_process() -> None:
    env = patient(partial(Shaky, BATCH, {2: "hangs"}))
    assert env.spaces == MarketVectorEnv(BATCH, 0).spaces and env.batch == BATCH
    env.reset()
    with pytest.raises(ValueError, match="session 0, trader 0: action 7 is not available"):
        env.step(HOLD + 7)
    env.reset()
    env.step(HOLD)
    env.timeout_s, began = 1.0, time.monotonic()
    with pytest.raises(TimeoutError, match="no answer within 1 s"):
        env.step(HOLD)
    assert 1.0 <= time.monotonic() - began < 20.0 and not is_running(env.process.pid or 0)
    with pytest.raises(ProcessDied, match="killed by SIGKILL"):
        env.reset()
    env.close()


def test_process_env_never_reads_an_answer_after_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(patient(partial(Shaky, BATCH, {}))) as env:
        poll = env._pipe.poll

        def interrupted(timeout: float) -> bool:
            assert poll(timeout)  # the answer comes while the interruption is on its way
            raise KeyboardInterrupt

        monkeypatch.setattr(env._pipe, "poll", interrupted)
        with pytest.raises(KeyboardInterrupt):
            env.reset()
        monkeypatch.undo()
        assert not is_running(env.process.pid or 0)
        with pytest.raises(ProcessDied):
            env.step(HOLD)


PARENT = """
import os, sys, threading, time
from functools import partial
from pathlib import Path
import numpy as np
from own_env import WithChild
from mawm.envs.process import ProcessEnv

env = ProcessEnv(partial(WithChild, 12, {1: "hangs"}, Path(sys.argv[1])), 60.0)
env.reset()
print(env.process.pid, flush=True)
threading.Thread(target=env.step, args=(np.zeros((12, 3), np.int64),), daemon=True).start()
while not Path(sys.argv[1]).with_name("1").exists():  # at its first step it leaves a mark and hangs
    time.sleep(0.01)
"""


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "", "raise SystemExit(3)"])
def test_process_env_ends_with_its_parent_even_while_it_hangs(end: str, tmp_path: Path) -> None:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", PARENT + end, str(tmp_path / "pid")],
        env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    pids = [int(done.stdout), int((tmp_path / "pid").read_text())]
    assert done.returncode in (-9, 0, 3) and done.stderr.startswith("welcome"), done.stderr
    wait_until(lambda: not any(is_running(pid) for pid in pids), seconds=30.0)
