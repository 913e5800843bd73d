"""The places for a sweep's processes: the port, and real sweeps on submitit, a stand-in for SLURM, and Ray."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import fake_slurm
import pytest
from real_runs import ENVIRONMENT, differences, process_stat, wait_until

from mawm.configs.sweeps import ExecutorConfig, Grid, extra_parameters
from mawm.configs.train import TrainConfig
from mawm.storage.lock import FolderLock, holder
from mawm.sweep import main
from mawm.sweeps.executors import LOST, LocalExecutor, Task
from mawm.sweeps.grid import expand
from mawm.sweeps.manifest import Manifest
from mawm.sweeps.open_executor import open_executor
from mawm.sweeps.runner import TRIES, Runner
from mawm.sweeps.slurm_executor import run_in_job

submitit_only = pytest.mark.skipif(not importlib.util.find_spec("submitit"), reason="needs the extra slurm (submitit)")
ray_only = pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs the extra ray")
SLEEP = (
    "-c",
    "import signal, time\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore SIGINT
    "print('up', flush=True)\ntime.sleep(60)",
)


def task(folder: Path, *command: str) -> Task:
    return Task("name", command, folder / "logs" / "out", folder / "logs" / "log")


def test_local_executor_starts_answers_and_stops(tmp_path: Path) -> None:
    executor = LocalExecutor()
    started = executor.start(task(tmp_path, *SLEEP))
    wait_until(lambda: (tmp_path / "logs" / "out").read_text() == "up\n")
    assert started.poll() is None and started.status().startswith("running (process ")
    started.stop()
    wait_until(lambda: started.poll() is not None)
    assert started.status() == f"ended (exit code {started.poll()})"
    assert "KeyboardInterrupt" in (tmp_path / "logs" / "log").read_text()


def test_job_forwards_the_notice_of_its_end_and_counts_as_lost(tmp_path: Path) -> None:
    def notify() -> None:
        wait_until(lambda: (tmp_path / "logs" / "out").exists() and bool((tmp_path / "logs" / "out").read_text()))
        for number in (signal.SIGTERM, signal.SIGUSR2):  # SLURM may send both
            os.kill(os.getpid(), number)

    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(143)))\n"
        "print('up', flush=True)\ntime.sleep(60)"
    )
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    thread = threading.Thread(target=notify)
    thread.start()
    try:
        assert run_in_job(task(tmp_path, "-c", code)) == LOST
    finally:
        thread.join()
        for number, handler in before.items():
            signal.signal(number, handler)
    assert (tmp_path / "logs" / "out").read_text() == "up\nsaved\n"
    assert run_in_job(task(tmp_path, "-c", "raise SystemExit(3)")) == 3
    for number, handler in before.items():
        signal.signal(number, handler)


class Scripted:
    """An executor whose trainings end at once with given codes; evaluations succeed."""

    name = "scripted"

    def __init__(self, folder: Path, codes: list[int]) -> None:
        self.folder, self.codes, self.saved = folder, codes, 0

    def start(self, task: Task) -> "Scripted":
        """End the task."""
        if "mawm.evaluate" in task.command:
            task.output.parent.mkdir(exist_ok=True)
            task.output.write_text(json.dumps({"env_steps": 10**9, "win_rate": 0.5}))
            self.code = 0
        else:
            self.code = self.codes.pop(0)
            self.saved += self.code == LOST
        return self

    def poll(self) -> int:
        """The exit code."""
        return self.code

    def status(self) -> str:
        """The exit code, as text."""
        return f"ended ({self.code})"

    def stop(self) -> None:
        """Never called."""
        raise AssertionError("nobody stops the sweep")


@pytest.mark.parametrize(
    ("codes", "saves", "state", "exit_codes"),
    [
        ([LOST, LOST, LOST, 0], True, "done", []),
        ([LOST, LOST], False, "failed", [LOST, LOST]),
        ([LOST, 1, 0], True, "done", [1]),
        ([1, 1], True, "failed", [1, 1]),
    ],
)
def test_loss_of_a_machine_is_no_attempt_if_the_run_has_saved_more(
    codes: list[int], saves: bool, state: str, exit_codes: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = Scripted(tmp_path, codes)
    monkeypatch.setattr(
        "mawm.sweeps.runner.checkpoints",
        lambda folder: [SimpleNamespace(env_steps=100 * executor.saved)] if saves and executor.saved else [],
    )
    runs = expand([Grid(methods=("ippo",), seeds=1)], lambda _: TrainConfig(), lambda _: False)
    manifest = Manifest(tmp_path)
    runner = Runner(tmp_path, runs, manifest, 1, FolderLock(tmp_path), executor)
    runner.work(lambda runner: None, pause=0.0)
    entry = manifest.runs["3m_ippo_s0"]
    assert (entry.state, entry.exit_codes, executor.codes) == (state, exit_codes, [])
    assert TRIES == 2 and entry.said == (f"ended ({exit_codes[-1]})" if exit_codes else "")


@pytest.mark.parametrize(("name", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_executor_without_its_package_names_the_command_that_installs_it(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SystemExit) as end:
        main(["--executor", name, "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.count("\n") == 1 and not (tmp_path / "out").exists()
    assert f"needs the package {package}: pip install -c constraints.txt -e '.[{name}]'" in error


def test_extra_options_of_sbatch_are_names_with_or_without_values() -> None:
    assert extra_parameters(("account=me", "gres=gpu:1", "exclusive")) == {
        "account": "me", "gres": "gpu:1", "exclusive": True,
    }  # fmt: skip
    for wrong in ("--account=me", "account=", "=me", ""):
        with pytest.raises(ValueError, match="takes options as NAME=VALUE or NAME"):
            extra_parameters((wrong,))


@submitit_only
def test_slurm_without_its_commands_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(ValueError, match="needs SLURM's commands"),
        open_executor(ExecutorConfig(executor="slurm"), tmp_path),
    ):
        raise AssertionError("there is no SLURM here")


RUNS = ("3m_independent_s0", "3m_independent_s1")


def sweep(folder: Path, *args: str, **env: str) -> "subprocess.Popen[str]":
    command = [
        sys.executable, "-m", "mawm.sweep", "--methods", "independent", "--train-preset", "debug", "--env-steps", "500",
        "--seeds", "2", "--jobs", "2", "--train-args=--schedule.save-every 60", *args, "--out", str(folder),
    ]  # fmt: skip
    return subprocess.Popen(
        command,
        env={**ENVIRONMENT, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep on this machine without a stop."""
    folder = tmp_path_factory.mktemp("undisturbed")
    process = sweep(folder)
    _, error = process.communicate(timeout=900)
    assert process.returncode == 0, error
    return folder


def assert_equal(folder: Path, other: Path, runs: tuple[str, ...] = RUNS) -> None:
    for name in runs:
        assert differences(folder / name, other / name) == []
        first, second = (json.loads((each / name / "evaluation.json").read_text()) for each in (folder, other))
        assert {key: value for key, value in first.items() if key != "seconds"} == {
            key: value for key, value in second.items() if key != "seconds"
        }


def wait_for_checkpoints(folder: Path, process: "subprocess.Popen[str]", runs: tuple[str, ...] = RUNS) -> None:
    wait_until(lambda: all(any((folder / name).glob("ck-*")) for name in runs), process)


def finish(process: "subprocess.Popen[str]", code: int) -> str:
    out, error = process.communicate(timeout=900)
    assert process.returncode == code, (out, error)
    return out


@pytest.mark.slow
@submitit_only
def test_preempted_and_stopped_sweep_of_submitit_ends_like_an_undisturbed_one(
    undisturbed: Path, tmp_path: Path
) -> None:
    def job() -> int:
        return int(json.loads((tmp_path / "slurm" / f"{RUNS[0]}.json").read_text())["job"])

    on_submitit = ("--executor", "slurm", "--slurm.cluster", "local")
    first = sweep(tmp_path, *on_submitit)
    wait_for_checkpoints(tmp_path, first, RUNS[:1])
    preempted = job()
    os.kill(preempted, signal.SIGTERM)
    wait_until(lambda: job() != preempted, first)  # within one call the job is submitted again
    wait_until(lambda: holder(tmp_path / RUNS[0]) is not None, first)
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does
    out, error = first.communicate(timeout=900)
    assert first.returncode == 130 and "the same command goes on" in out and "Traceback" not in error, (out, error)
    assert [holder(tmp_path / name) for name in RUNS] == [None, None]
    finish(sweep(tmp_path, *on_submitit), 0)
    assert_equal(tmp_path, undisturbed)
    entries = json.loads((tmp_path / "manifest.json").read_text())["runs"]
    assert [entries[name]["exit_codes"] for name in RUNS] == [[], []] and entries[RUNS[0]]["attempts"] >= 2


@pytest.mark.slow
@submitit_only
def test_job_in_the_queue_of_slurm_outlives_its_sweep_and_continues_after_its_time_limit(
    undisturbed: Path, tmp_path: Path
) -> None:
    env, queue, out = fake_slurm.commands(tmp_path / "queue"), tmp_path / "queue", tmp_path / "out"
    options = ("--slurm.partition", "cpu", "--slurm.notice-s", "77", "--slurm.extra", "account=me", "exclusive")
    on_slurm = ("--seeds", "1", "--executor", "slurm", *options)
    (queue / "hold").touch()
    killed = sweep(out, *on_slurm, **env)
    wait_until(lambda: (out / "slurm" / f"{RUNS[0]}.json").exists(), killed)
    killed.kill()
    killed.communicate()
    second = sweep(out, *on_slurm, **env)
    assert second.stdout is not None
    wait_until(lambda: "queued (job 1: PENDING)" in second.stdout.readline(), second)  # type: ignore[union-attr]
    (queue / "hold").unlink()
    wait_for_checkpoints(out, second, RUNS[:1])
    run = holder(out / RUNS[0])
    assert run
    for pid in (run, int((queue / "1.step").read_text())):  # SLURM notifies every process of the job
        os.kill(pid, signal.SIGUSR2)
    finish(second, 0)
    scripts = fake_slurm.submitted(queue)
    assert [script.count("--job-name=mawm-3m_independent_s0-evaluate") for script in scripts] == [0, 0, 1]
    for line in ("partition=cpu", "signal=USR2@77", "account=me", "exclusive", "no-requeue", "time=240", "mem=4GB"):
        assert f"#SBATCH --{line}\n" in scripts[0]
    assert_equal(out, undisturbed, RUNS[:1])


@pytest.mark.slow
@ray_only
def test_sweep_on_ray_that_loses_a_node_and_is_stopped_ends_like_an_undisturbed_one(
    undisturbed: Path, tmp_path: Path
) -> None:
    token, before = Path.home() / ".ray" / "auth_token", time.time()
    first = sweep(tmp_path, "--executor", "ray")
    wait_for_checkpoints(tmp_path, first, RUNS[:1])
    run = holder(tmp_path / RUNS[0])
    assert run
    actor = int(process_stat(run)[1])
    os.kill(actor, signal.SIGKILL)
    os.kill(run, signal.SIGKILL)
    wait_until(lambda: holder(tmp_path / RUNS[0]) not in (None, run), first)
    first.send_signal(signal.SIGINT)
    assert "the same command goes on" in finish(first, 130)
    finish(sweep(tmp_path, "--executor", "ray"), 0)
    assert_equal(tmp_path, undisturbed)
    entries = json.loads((tmp_path / "manifest.json").read_text())["runs"]
    assert [entries[name]["exit_codes"] for name in RUNS] == [[], []] and entries[RUNS[0]]["attempts"] >= 2
    assert not token.exists() or token.stat().st_mtime < before
