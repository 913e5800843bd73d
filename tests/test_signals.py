"""Signals at any time: saved within ten seconds, the right exit code, and the same command goes on."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from real_runs import ENVIRONMENT, Figure, ended, train

from mawm.checkpoint import checkpoints, newest

ENDLESS = ("--env-steps", "1000000", "--schedule.eval-every", "100", "--schedule.eval-battles", "64")


def holds(process: subprocess.Popen[str], folder: Path) -> None:
    """Wait until the run has its folder."""
    while not ((folder / ".pid").exists() and (folder / ".pid").read_text() == f"{process.pid}\n"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize("times", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_a_signal_at_any_time_saves_within_ten_seconds(times: int, tmp_path: Path, figure: Figure) -> None:
    rng, took, saves = np.random.default_rng(times), [], [0]
    for n in range(times):
        process = train(tmp_path / "run", *ENDLESS)
        try:
            holds(process, tmp_path / "run")
            time.sleep(float(rng.uniform(0.0, 6.0)) if n else 5.0)  # building, playing, learning, saving, evaluating
            number = (signal.SIGINT, signal.SIGTERM)[int(rng.integers(2))]
            asked = time.monotonic()
            process.send_signal(number)
            code, out, err = ended(process)
            took.append(time.monotonic() - asked)
        finally:
            process.kill()
        assert code == 128 + number and "Traceback" not in err, err
        said: list[str] = []
        if "quit at once; what" not in err:  # where the run had begun
            steps = newest(tmp_path / "run", said.append).env_steps
            assert f"saved at {steps} steps" in out and steps > saves[-1] and said == []
            saves.append(steps)
    assert max(took) < 10.0 and len(saves) > 1
    figure(
        f"SIGINT or SIGTERM, {times} times",
        f"ended in {max(took):.1f} s at most; of {len(saves) - 1} mid-run all saved",
    )


@pytest.mark.parametrize("placement", ["inline", "process"])
def test_a_second_signal_ends_at_once_and_what_was_saved_loads(placement: str, tmp_path: Path) -> None:
    slow = ("--schedule.eval-every", "400", "--schedule.eval-battles", "10000", "--placement", placement)
    process = train(tmp_path / "run", *ENDLESS, *slow)
    try:
        while not [c for c in checkpoints(tmp_path / "run") if c.env_steps > 300]:
            time.sleep(0.02)
        time.sleep(1.0)  # it evaluates now, for many seconds
        process.send_signal(signal.SIGINT)
        time.sleep(0.7)
        assert process.poll() is None
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        code, out, err = ended(process)
    finally:
        process.kill()
    assert code == 130 and time.monotonic() - asked < 2.0 and "saved at" not in out
    assert "once more to quit at once" in err and "quit at once; what was saved is intact" in err
    assert "Traceback" not in err
    said: list[str] = []
    assert newest(tmp_path / "run", said.append).env_steps > 300 and said == []


def test_a_second_signal_does_not_wait_for_learners_that_are_busy(tmp_path: Path) -> None:
    slow = ("--schedule.updates-per-step", "50", "--schedule.prefill", "32", "--schedule.warmup", "5000")
    process = train(tmp_path / "run", *ENDLESS, *slow, "--placement", "process")
    try:
        while "run folder" not in process.stdout.readline():  # type: ignore[union-attr]
            assert process.poll() is None
        time.sleep(5.0)  # the workers fit for a minute now
        process.send_signal(signal.SIGINT)
        time.sleep(0.7)
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        code, _, err = ended(process)
    finally:
        process.kill()
    assert code == 130 and time.monotonic() - asked < 2.0 and "Traceback" not in err, err


@pytest.mark.slow
def test_a_signal_is_answered_in_time_at_the_papers_sizes(tmp_path: Path, figure: Figure) -> None:
    """Rounds are what a signal waits for: the preset's are short, because its updates take long."""
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
        code, out, err = ended(process)
        took.append(time.monotonic() - asked)
        assert code == 143 and f"saved at {newest(folder).env_steps} steps" in out and "Traceback" not in err, err
    assert max(took) < 10.0
    figure("SIGTERM at the paper's sizes, 3 times", f"saved and ended in {max(took):.1f} s at most")
