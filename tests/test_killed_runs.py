"""Processes that are killed: the last checkpoint loads, and the same command resumes the run."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from real_runs import ENVIRONMENT, Figure, differences, finish, rows, train, train_here, wait_until

from mawm.run_folder.checkpoint import checkpoints, newest
from mawm.run_folder.manifest import read_facts

SAVER = """
import sys
from pathlib import Path
import numpy as np
from mawm.run_folder.checkpoint import base_for, checkpoints, newest, write

folder = Path(sys.argv[1])
step = newest(folder).env_steps if checkpoints(folder) else 0
while True:
    step += 1
    base, start = base_for(folder), max(0, step - 40)
    at = np.arange(max([start] + (base.since("learner").get("own", []) if base else [])), step)
    table = {"lane": 0 * at, "at": at, "start": np.array([start]), "end": np.array([step])}
    arrays = {"x": np.full(200_000, step), **{f"rows/own/{name}": column for name, column in table.items()}}
    write(folder, step, {"learner": (arrays, {"step": step}), "run": ({}, {"step": step})}, 2, base)
    print(step, flush=True)
"""
KILLS = [10, pytest.param(200, marks=pytest.mark.slow)]


@pytest.mark.parametrize("kills", KILLS)
def test_last_reported_save_loads_after_a_kill(kills: int, tmp_path: Path, figure: Figure) -> None:
    rng, told = np.random.default_rng(kills), 0
    for _ in range(kills):
        command = [sys.executable, "-c", SAVER, str(tmp_path)]
        with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            # Some are killed while they begin, or in their first save; the others some saves later.
            begun = "" if rng.random() < 0.3 else process.stdout.readline()
            time.sleep(float(rng.uniform(0.0, 0.08 if begun else 0.4)))
            process.kill()
            lines = [begun, *process.stdout.read().splitlines()]
        told = max([told, *(int(line) for line in lines if line.strip().isdigit())])
        if told == 0 and not checkpoints(tmp_path):
            continue
        passed_over: list[str] = []
        found = newest(tmp_path, passed_over.append)
        assert passed_over == [] and found.env_steps in (told, told + 1)
        learner, step = found.parts["learner"][0], found.env_steps
        assert (learner["x"] == step).all() and learner["rows/own/at"].tolist() == list(range(max(0, step - 40), step))
        assert found.parts["run"][1] == {"step": found.env_steps}
    assert told >= kills // 2
    assert len(list(tmp_path.iterdir())) <= 4  # two that are kept, one torn, one being written
    figure(f"kill -9 while saving, {kills} times", f"0 torn, 0 lost of {told:,} saves, 0 repairs by hand")


@pytest.mark.parametrize(("kills", "steps"), [(1, 700), pytest.param(20, 4000, marks=pytest.mark.slow)])
def test_killed_run_resumes_bit_exactly_with_the_same_command(
    kills: int,
    steps: int,
    undisturbed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    figure: Figure,
) -> None:
    rng, folder, lost = np.random.default_rng(kills), tmp_path / "run", [0]
    for _ in range(kills):
        process, had = train(folder, "--env-steps", str(steps)), saved_at(folder)
        while process.poll() is None and saved_at(folder) == had:
            time.sleep(0.01)
        time.sleep(float(rng.uniform(0.0, 0.3)))  # it plays, learns, saves, evaluates
        assert process.poll() is None, process.communicate()
        process.kill()
        process.communicate()
        said: list[str] = []
        assert newest(folder, said.append).env_steps > had and said == []
        logged = [row["env_steps"] for row in rows(folder)]  # none yet, if it was killed right after its first save
        lost.append(max(logged, default=0) - saved_at(folder))
    assert max(lost) <= 60 + 32  # an interval and the round in which it ends
    code, _, err = train_here(folder, "--env-steps", str(steps), capsys=capsys)
    assert code == 0, err
    whole = undisturbed
    if steps != 700:
        whole = tmp_path / "whole"
        assert finish(train(whole, "--env-steps", str(steps)))[0] == 0
    assert differences(whole, folder) == [] and newest(folder).env_steps >= steps
    assert list(folder.glob("writing-*")) == []
    code, said_at_end, _ = train_here(folder, "--env-steps", str(steps), capsys=capsys)
    assert code == 0 and "nothing to do" in said_at_end and "--fresh" in said_at_end
    figure(
        f"kill -9 of a training, {kills} time(s)", "one interval lost at most; ends bit for bit like an undisturbed run"
    )


def saved_at(folder: Path) -> int:
    return max((c.env_steps for c in checkpoints(folder)), default=0) if folder.exists() else 0


def test_second_run_in_one_folder_is_refused_naming_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = train(tmp_path / "run", "--env-steps", "1000000")
    try:
        wait_until(lambda: saved_at(tmp_path / "run") > 0, first)
        with pytest.raises(SystemExit) as second:
            train_here(tmp_path / "run", "--env-steps", "1000000", capsys=capsys)
        err = capsys.readouterr().err
        assert second.value.code == 2 and f"is in use by process {first.pid}" in err and err.count("\n") == 1
        first.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        out, err = first.communicate(timeout=60)
        assert time.monotonic() - asked < 10.0 and first.returncode == 143 and "saved at" in out, err
    finally:
        first.kill()
        first.communicate()


def test_ctrl_c_to_all_processes_saves_and_the_run_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    options = ("--placement", "process", "--env-steps", "1000000")
    process = train(folder, *options, before=os.setsid)
    try:
        wait_until(lambda: saved_at(folder) > 0, process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        code, out, err = finish(process)
        saved = newest(folder).env_steps
        assert code == 130 and f"saved at {saved} steps" in out and "Traceback" not in err, err
    finally:
        process.kill()
    code, _, err = train_here(folder, "--env-steps", str(saved + 40), capsys=capsys)
    assert code == 0 and newest(folder).env_steps >= saved + 40, err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_run_continues_when_its_output_cannot_be_written(tmp_path: Path) -> None:
    options = ["--preset", "debug", "--placement", "inline", "--env-steps", "200", "--run-dir", "run"]
    command = [sys.executable, "-m", "mawm.train", *options]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, cwd=tmp_path, env=ENVIRONMENT, stdout=full, stderr=full, timeout=120, check=False
        )
    assert done.returncode == 0 and newest(tmp_path / "run").env_steps >= 200


@pytest.mark.slow
def test_run_does_not_depend_on_omp_num_threads(undisturbed: Path, tmp_path: Path) -> None:
    """The run sets one thread per learner itself, so resuming on another machine does not change the numbers."""
    code, out, err = finish(train(tmp_path / "run", OMP_NUM_THREADS="2", MKL_NUM_THREADS="2"))
    assert code == 0, err
    assert differences(undisturbed, tmp_path / "run") == []
    said = re.search(r"run folder .*, at most ([\d,]+) MB", out)
    taken = sum(path.stat().st_size for path in (tmp_path / "run").rglob("*") if path.is_file()) / 1e6
    assert said is not None and 0.02 * float(said[1]) < taken < float(said[1])  # it takes no more than it declared


def test_resume_with_other_versions_or_threads_is_reported_as_not_exact(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert train_here(folder, "--env-steps", "200", capsys=capsys)[0] == 0
    assert read_facts(folder)["not_exact"] == []
    settings = json.loads((folder / "config.json").read_text())
    settings["threads"], settings["packages"]["torch"] = 4, "2.9.9"
    (folder / "config.json").write_text(json.dumps(settings))
    steps = newest(folder).env_steps
    code, _, err = train_here(folder, "--env-steps", "320", capsys=capsys)
    lines = read_facts(folder)["not_exact"]
    assert code == 0 and [f"mawm: not exact {line}" for line in lines] == err.splitlines()
    assert lines[1] == f"from {steps} steps on: threads 1, before 4" and len(lines) == 2
    assert "packages {" in lines[0] and "'torch': '2.9.9'" in lines[0]
    code, _, err = train_here(folder, "--env-steps", "380", capsys=capsys)
    facts = read_facts(folder)
    assert (code, err) == (0, "") and facts["not_exact"] == lines and len(facts["commands"]) == 3
