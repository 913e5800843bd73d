"""Signal handlers: the first signal decides the exit code; no traceback, and no process survives."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
from real_runs import ENVIRONMENT, Started, children, finish, handles_signals, is_running, read_until, train, wait_until

from mawm.run_folder.checkpoint import checkpoints
from mawm.runtime import processes, signals
from mawm.runtime.signals import Stopping

BEGIN = """
import atexit, multiprocessing, os, signal, sys, time
from mawm.runtime import processes, signals


def press():
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)


class Pressed:
    def __del__(self, kill=os.kill, me=os.getpid(), numbers=(signal.SIGINT, signal.SIGTERM)):
        for number in numbers:
            kill(me, number)


def pressed(*args, change=signal.signal):
    press()
    before = change(*args)
    press()
    return before


listening = signals.Stopping(until_exit=True)
"""
STOPPED = """
with listening:
    listening.stop = lambda: None
    os.kill(os.getpid(), signal.SIGINT)
    signals.SAME_REQUEST_S = 0.0  # as if time had passed
"""
SLOW = pytest.mark.slow
FIRST = "mawm: stopping after this round; once more to quit at once\n"
SECOND = "mawm: quit at once; saved checkpoints are intact\n"


def script(text: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", BEGIN + text]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    "when",
    ["    signal.signal = pressed\n", "atexit.register(press)\n", "at_the_end = Pressed()\n"],
    ids=["while handlers are changed", "at exit", "while modules are cleared"],
)
@pytest.mark.parametrize("code", [130, 0])
def test_final_exit_code_is_not_changed_by_signals(when: str, code: int) -> None:
    begun = STOPPED if code else "with listening:\n    signals.SAME_REQUEST_S = 0.0\n"
    done = script(f"{begun}{when}sys.exit({code})")
    assert (done.returncode, done.stderr) == (code, FIRST if code else "")


@pytest.mark.parametrize(
    "where",
    [
        "    press()\n",
        "    try:\n        press()\n    except BaseException:\n        pass\n",
        "    try:\n        1 / 0\n    except ZeroDivisionError:\n        press()\n",
        "    Pressed()\n",
        "    sys.stderr.flush = press\n    print('', end='', file=sys.stderr, flush=True)\n",
    ],
    ids=["plainly", "where exceptions are swallowed", "in a handler of exceptions", "in a destructor", "in a write"],
)
def test_second_signal_ends_the_process_in_any_code(where: str) -> None:
    done = script(f"{STOPPED}{where}    print('went on')\nprint('went on')")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", FIRST + SECOND)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_ends_a_process_without_a_run(number: signal.Signals) -> None:
    done = script(f"with listening:\n    os.kill(os.getpid(), {int(number)})\n    print('went on')")
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", SECOND)


HALF_STARTED = """
from multiprocessing import util


def presses(*args, spawn=util.spawnv_passfds):
    pid = spawn(*args)
    print(pid, flush=True)
    press()
    return pid
"""


@pytest.mark.parametrize("half", [False, True], ids=["at work", "half started"])
def test_child_processes_end_at_a_second_signal(half: bool) -> None:
    started = "    p = multiprocessing.get_context('spawn').Process(target=time.sleep, args=(1000,))\n"
    started += "    processes.resource_tracker.ensure_running()\n"
    started += "    util.spawnv_passfds = presses\n" if half else ""
    started += "    processes.start(p)\n    print(p.pid, flush=True)\n    press()\n    time.sleep(1000)\n"
    done = script(HALF_STARTED + STOPPED + started)
    assert (done.returncode, done.stderr) == (130, FIRST + SECOND)
    pids = {int(line) for line in done.stdout.split()}
    assert len(pids) == 1 and not any(is_running(pid) for pid in pids)


def test_stopped_sweep_has_the_exit_code_of_the_first_signal() -> None:
    done = script(
        "from types import SimpleNamespace\n"
        "from mawm import sweep\n"
        "at_the_end = Pressed()\n"
        "atexit.register(press)\n"
        "state = dict(runs={}, folder='out', jobs=1, count=lambda state: 0, stop=lambda: None)\n"
        "sys.exit(sweep._run(SimpleNamespace(**state, work=lambda board: press())))"
    )
    assert done.returncode == 130 and "goes on where this one stopped" in done.stdout
    assert done.stderr == 2 * "mawm: every run saves and ends; once more to quit at once\n"


def test_starting_child_process_survives_signals() -> None:
    process = get_context("spawn").Process(target=processes.ignore_signals)
    processes.start(process)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(process.pid or 0, number)
    process.join()
    assert process.exitcode == 0
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(processes.STOP_SIGNALS)


def test_stopping_without_until_exit_raises_and_restores_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "SAME_REQUEST_S", 0.0)
    before = [signal.getsignal(number) for number in processes.STOP_SIGNALS]
    with Stopping(until_exit=False) as listening:
        listening.stop = lambda: None
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    assert listening.exit_code == 143
    assert [signal.getsignal(number) for number in processes.STOP_SIGNALS] == before


def burst(process: Started, number: signal.Signals) -> None:
    """Send a signal to the process group of a run, as a terminal does, repeatedly until it ends."""
    end = time.monotonic() + 60.0
    while process.poll() is None:
        os.killpg(process.pid, number)  # a process that ended but was not waited for still has its process group
        time.sleep(0.002)
        assert time.monotonic() < end, "it does not end"


@pytest.mark.parametrize(
    "when",
    [
        "it loads",
        pytest.param("it starts its learners", marks=SLOW),
        "it plays",
        pytest.param("it has saved", marks=SLOW),
        pytest.param("it is done", marks=SLOW),
    ],
)
def test_run_with_repeated_signals_has_the_exit_code_of_the_first(when: str, tmp_path: Path) -> None:
    number = signal.SIGTERM if when == "it plays" else signal.SIGINT
    steps = "200" if when == "it is done" else "1000000"
    folder, out = tmp_path / "run", ""
    # One learner's process is enough but where the moment is that in which several of them are started.
    method = "both" if when == "it starts its learners" else "centralized"
    process = train(
        folder, "--env-steps", steps, "--placement", "process", "--method", method, before=os.setsid, warm=False
    )
    try:
        wait_until(lambda: handles_signals(process.pid), process)
        if when == "it starts its learners":
            read_until(process.stdout, "curves: ")
            wait_until(lambda: len(children(process.pid)) > 1, process)
        elif when == "it is done":
            out = read_until(process.stdout, "done: ")
        elif when != "it loads":
            wait_until(lambda: bool(checkpoints(folder)), process)
        if when == "it has saved":
            process.send_signal(number)
            out = read_until(process.stdout, "saved at ")
        started = children(process.pid)
        burst(process, number)
        code, _, err = finish(process)
    finally:
        process.kill()
    quit_, done = SECOND in err, "done: " in out
    assert code == 128 + number or (done and not quit_ and code == 0)
    assert err in (FIRST + SECOND, FIRST, SECOND, ""), err
    wait_until(lambda: not any(is_running(pid) for pid in started))
