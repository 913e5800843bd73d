"""SIGINT and SIGTERM during a run: it saves within ten seconds, and its exit code is right."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from real_runs import (
    ENVIRONMENT,
    Figure,
    Started,
    children,
    finish,
    is_running,
    read_until,
    train,
    wait_for_cpu,
    wait_until,
)

from mawm.run_folder.checkpoint import checkpoints, newest
from mawm.runtime.signals import SAME_REQUEST_S

ENDLESS = ("--env-steps", "1000000", "--schedule.eval-every", "100", "--schedule.eval-battles", "64")
AT_ONCE_S = 10.0
"""Longer than ending a run takes on a busy machine, and shorter than the work that the run was doing."""


def holds(process: Started, folder: Path) -> None:
    """Wait until the run has locked its folder."""
    wait_until(lambda: (folder / ".pid").exists() and (folder / ".pid").read_text() == f"{process.pid}\n", process)


def second_signal(process: Started) -> int:
    """Send two signals to a busy run and assert that the second one ends it and its child processes at once.

    Returns its exit code.
    """
    process.send_signal(signal.SIGINT)
    read_until(process.stderr, "once more to quit at once")
    time.sleep(SAME_REQUEST_S + 0.1)  # counted from when it was told
    assert process.poll() is None
    started = children(process.pid)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert time.monotonic() - asked < AT_ONCE_S, err
    assert err == "mawm: quit at once; saved checkpoints are intact\n" and "saved at" not in out
    wait_until(lambda: not any(is_running(pid) for pid in started), seconds=AT_ONCE_S)
    return code


@pytest.mark.parametrize("times", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_run_saves_within_ten_seconds_of_a_signal(times: int, tmp_path: Path, figure: Figure) -> None:
    rng, took, saves = np.random.default_rng(times), [], [0]
    for n in range(times):
        process = train(tmp_path / "run", *ENDLESS)
        try:
            holds(process, tmp_path / "run")
            if n == 0:
                wait_until(
                    lambda: bool(checkpoints(tmp_path / "run")), process
                )  # the first one is sure to come mid-run
            time.sleep(float(rng.uniform(0.0, 6.0)) if n else 0.0)  # building, playing, learning, saving, evaluating
            number = (signal.SIGINT, signal.SIGTERM)[int(rng.integers(2))]
            asked = time.monotonic()
            process.send_signal(number)
            code, out, err = finish(process)
            took.append(time.monotonic() - asked)
        finally:
            process.kill()
        assert code == 128 + number and "Traceback" not in err, err
        said: list[str] = []
        if "quit at once; saved" not in err:  # where the run had begun
            steps = newest(tmp_path / "run", said.append).env_steps
            assert f"saved at {steps} steps" in out and steps > saves[-1] and said == []
            saves.append(steps)
    assert max(took) < 10.0 and len(saves) > 1
    figure(
        f"SIGINT or SIGTERM, {times} times",
        f"ended in {max(took):.1f} s at most; of {len(saves) - 1} mid-run all saved",
    )


@pytest.mark.parametrize("placement", ["inline", "process"])
def test_run_ends_at_once_at_a_second_signal_and_its_checkpoint_loads(placement: str, tmp_path: Path) -> None:
    slow = ("--schedule.eval-every", "200", "--schedule.eval-battles", "10000", "--placement", placement)
    process = train(tmp_path / "run", *ENDLESS, *slow)
    try:
        wait_until(lambda: any(c.env_steps > 180 for c in checkpoints(tmp_path / "run")), process)
        wait_for_cpu(process, 1.0)  # the next round ended at 224 steps: it evaluates now, for long
        assert second_signal(process) == 130
    finally:
        process.kill()
    said: list[str] = []
    assert newest(tmp_path / "run", said.append).env_steps > 180 and said == []


@pytest.mark.slow
def test_run_does_not_wait_for_busy_learners_at_a_second_signal(tmp_path: Path) -> None:
    slow = ("--schedule.updates-per-step", "50", "--schedule.prefill", "32", "--schedule.warmup", "50000")
    process = train(tmp_path / "run", *ENDLESS, *slow, "--placement", "process")
    try:
        wait_until(lambda: any((tmp_path / "run").glob("events.*")), process)  # the workers are there
        wait_for_cpu(process, 3.0)  # they fit for minutes now
        assert second_signal(process) == 130
    finally:
        process.kill()


@pytest.mark.slow
def test_run_of_paper_sizes_saves_within_ten_seconds_of_a_signal(tmp_path: Path, figure: Figure) -> None:
    """A signal waits for the end of the round: the preset's rounds are short, because its updates take long."""
    folder, took = tmp_path / "run", []
    begun = ("--schedule.prefill", "64", "--schedule.warmup", "2", "--schedule.log-every", "16")
    command = [sys.executable, "-m", "mawm.train", "--preset", "paper", *begun, "--run-dir", str(folder)]
    for pause_s in (0.0, 2.0, 4.0):
        process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        while not re.match(r"steps (9[6-9]|[1-9]\d\d)", process.stdout.readline()):
            assert process.poll() is None
        time.sleep(pause_s)
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code, out, err = finish(process)
        took.append(time.monotonic() - asked)
        assert code == 143 and f"saved at {newest(folder).env_steps} steps" in out and "Traceback" not in err, err
    assert max(took) < 10.0
    figure("SIGTERM at the paper's sizes, 3 times", f"saved and ended in {max(took):.1f} s at most")
