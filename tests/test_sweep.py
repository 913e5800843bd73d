"""Sweeps: grids, manifests, and real sweeps that are killed or have failing runs."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from real_runs import on_terminal, read_terminal, read_until, wait_until

from mawm.build import write_config
from mawm.configs.presets import names_in
from mawm.configs.sweeps import Grid, load_sweep
from mawm.configs.train import TrainConfig
from mawm.storage.lock import FolderLock, holder
from mawm.sweep import main
from mawm.sweeps.board import results
from mawm.sweeps.grid import PlannedRun, expand
from mawm.sweeps.manifest import Entry, Manifest
from mawm.sweeps.progress import Progress, progress_of
from mawm.sweeps.runner import check_folders

ROOT = Path(__file__).parents[1]
DEBUG = ("--train-preset", "debug", "--env-steps", "600", "--seeds", "1", "--jobs", "2")
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}


def runs_of(*grids: Grid) -> list[PlannedRun]:
    return expand(list(grids), lambda _: TrainConfig(), lambda method: method in ("experience", "rollouts", "both"))


def test_grid_ignores_bandwidth_for_methods_without_a_channel() -> None:
    runs = runs_of(Grid(methods=("independent", "both"), bandwidth=(0.05, 1.0), seeds=2, first_seed=7))
    names = ("independent", "both_b0.05", "both_b1")
    assert [run.name for run in runs] == [f"3m_{name}_s{seed}" for seed in (7, 8) for name in names]
    last = runs[-1]
    assert (last.config.sharing.bandwidth, last.config.seed, last.config.method) == (1.0, 8, "both")
    assert last.args[:8] == ("--map", "3m", "--method", "both", "--seed", "8", "--bandwidth", "1")


def test_grid_names_controls_and_merges_overlapping_grids() -> None:
    one, two = Grid(methods=("both",), seeds=1), Grid(methods=("both",), selectors=("adaptive", "random"), seeds=1)
    assert [run.name for run in runs_of(one, two)] == ["3m_both_b0.05_s0", "3m_both_b0.05_random_s0"]


def test_grid_refuses_two_different_runs_of_one_name() -> None:
    with pytest.raises(ValueError, match=r"3m_both_b0.05_s0.*999"):
        runs_of(Grid(methods=("both",), seeds=1), Grid(methods=("both",), seeds=1, env_steps=999))


@pytest.mark.parametrize("name", names_in("sweeps"))
def test_packaged_sweep_expands_to_runs(name: str) -> None:
    runs = runs_of(*load_sweep(name))
    assert len({run.name for run in runs}) == len(runs) >= 9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[grid]]\nmap = ['3m']", "unknown key 'map'; did you mean 'maps'"),
        ("[[grid]]\nseeds = '5'", "grid 1.seeds must be a whole number in [1, 10000]; got '5'"),
        ("[[grid]]\nbandwidth = 0.5", "bandwidth must be a list, each item a number in [0, 1]; got 0.5"),
        ("[[grid]]\nbandwidth = ['a']", "bandwidth must be a list, each item a number in [0, 1]; got 'a'"),
        ("seeds = 5", "one or more tables"),
        ("grid = [5]", "one or more tables"),
        ("[[grid", "grid.toml"),
        ("grid = " + "[" * 100_000, "grid.toml"),
        ("grid = " + "9" * 5000, "grid.toml"),
    ],
)
def test_wrong_sweep_file_error_names_the_key(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text(text)
    with pytest.raises(ValueError, match=re.escape(said)):
        load_sweep(str(tmp_path / "grid.toml"))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--maps", "3m", "3n"), "'3n' is unknown; did you mean '3m'"),
        (("--bandwidth", "0.1", "2"), "each item a number in [0, 1]; got 2; did you mean 1?"),
        (("--methods", "bth"), "there is no method 'bth'"),
        (("--selectors", "gausian"), "did you mean 'gaussian'"),
        (("--channels", "rael"), "did you mean 'real'"),
        (("--maps", "3m", "3m"), "each once"),
        (("--seeds", "0"), "--seeds must be a whole number in [1, 10000]; got 0"),
        (("--seeds", "20261121"), "--seeds must be a whole number in [1, 10000]; got 20261121"),
        (("--jobs", "0"), "--jobs must be a whole number in [1, 4096]; got 0"),
        (("--preset", "qick"), "did you mean 'quick'"),
        (("--preset", "quick", "--seeds", "5"), "got --seeds, too: leave one of them out"),
        (("--train-args=--help",), "--train-args holds --help"),
        (("--train-args=--device cuda:7",), "device 'cuda:7' is not on this machine"),
        (("--methods", "ippo", "--train-args=--gate strict"), "--gate strict protects a world model"),
        (("--selectors", "no_such_module:f"), "cannot be loaded"),
        (("--train-args=--seed 3",), "--train-args holds --seed"),
        (("--evaluate-args=--rules.spawn-jiter 1",), "did you mean 'spawn-jitter'"),
        (("--evaluate-args=--episode 1",), "did you mean '--episodes'"),
        (("--train-args=--agent.behaviour.horizn 3",), "--agent.behaviour.horizon"),
    ],
)
def test_sweep_refuses_wrong_input_before_it_starts(
    args: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*args, "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_sweep_dry_run_prints_the_cost_and_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*DEBUG, "--methods", "independent", "both", "--dry-run", "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["3m_independent", "3m_both_b0.05"]
    assert lines[2].startswith("2 runs of 2 kinds; 2 at a time: about 0m")
    assert not (tmp_path / "out").exists()


def test_manifest_interrupted_while_written_is_the_old_one(tmp_path: Path) -> None:
    runs = runs_of(Grid(methods=("both",), seeds=2))
    Manifest(tmp_path).plan(runs, "first")
    (tmp_path / "manifest.json.new").write_text('{"version": 1, "runs": {"3m_b')  # killed in the middle
    manifest = Manifest(tmp_path)
    assert list(manifest.runs) == [run.name for run in runs]
    assert manifest.commands == ["first"]


def test_manifest_accepts_more_runs_and_steps_but_no_other_settings(tmp_path: Path) -> None:
    Manifest(tmp_path).plan(runs_of(Grid(methods=("both",), seeds=1)), "first")
    manifest = Manifest(tmp_path)
    manifest.plan(runs_of(Grid(methods=("both",), seeds=2, env_steps=70_000)), "second")
    assert len(manifest.runs) == 2 and "70000" in Manifest(tmp_path).runs["3m_both_b0.05_s0"].args
    with pytest.raises(ValueError, match=r"3m_both_b0.05_s0 with other settings"):
        manifest.plan(runs_of(Grid(methods=("both",), seeds=1, train_args="--precision bf16")), "third")


def test_manifest_refuses_fewer_steps_than_a_run_was_started_for(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.plan(runs_of(Grid(methods=("both",), seeds=1)), "first")
    manifest.plan(runs_of(Grid(methods=("both",), seeds=1, env_steps=40_000)), "not begun")
    manifest.runs["3m_both_b0.05_s0"].attempts = 1
    with pytest.raises(ValueError, match="begun for 40000 steps; got 30000"):
        manifest.plan(runs_of(Grid(methods=("both",), seeds=1, env_steps=30_000)), "third")


def test_sweep_refuses_a_folder_with_other_contents(tmp_path: Path) -> None:
    runs = runs_of(Grid(methods=("both",), seeds=1))
    folder = tmp_path / "3m_both_b0.05_s0"
    folder.mkdir()
    check_folders(tmp_path, runs, Manifest(tmp_path))  # an empty one is in nobody's way
    (folder / "notes.txt").write_text("precious")
    with pytest.raises(ValueError, match="is in the way: it holds no run of this sweep"):
        check_folders(tmp_path, runs, Manifest(tmp_path))
    other = replace(runs[0].config, schedule=replace(runs[0].config.schedule, battles=2))
    write_config(folder, other, {})
    with pytest.raises(ValueError, match="holds a run with other settings"):
        check_folders(tmp_path, runs, Manifest(tmp_path))
    write_config(folder, replace(runs[0].config, env_steps=7, placement="inline"), {})
    check_folders(tmp_path, runs, Manifest(tmp_path))


def test_sweep_reports_a_file_in_place_of_the_folder_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(SystemExit) as end:
        main(["--methods", "ippo", "--seeds", "1", "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert end.value.code == 2 and "out" in error and error.count("\n") == 1


def test_manifest_that_is_invalid_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(ValueError, match=r"manifest.json is not a sweep's manifest"):
        Manifest(tmp_path)


def test_folder_lock_is_exclusive_and_names_its_holder(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    code = (
        "import sys; from pathlib import Path; from mawm.storage.lock import FolderLock\n"
        "lock = FolderLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        assert holder(tmp_path) == other.pid
        with pytest.raises(ValueError, match=f"in use by process {other.pid}"):
            FolderLock(tmp_path)
        other.kill()
    assert holder(tmp_path) is None
    FolderLock(tmp_path).release()


def sweep(folder: Path, *args: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "mawm.sweep", *DEBUG, *args, "--out", str(folder)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_sweep_survives_kill_9_repeats_no_run_and_reports_failures(tmp_path: Path) -> None:
    """The first call is killed with one run done and one in training; the second has a run that cannot work."""
    evaluate = "--evaluate-args=--episodes 20 --rules.spawn-jitter 0.5"
    first = sweep(tmp_path, evaluate, "--methods", "ippo", "independent")
    done, training = tmp_path / "3m_ippo_s0" / "evaluation.json", tmp_path / "3m_independent_s0"
    wait_until(lambda: any(training.glob("ck-*")), first)
    child = holder(training)
    assert child
    os.kill(child, signal.SIGSTOP)  # so that it is still in training when the other one is done
    wait_until(done.exists, first)
    first.kill()
    first.communicate()
    os.kill(child, signal.SIGKILL)
    before = done.stat().st_mtime_ns
    second = sweep(tmp_path, evaluate, "--methods", "ippo", "independent", "both", "--selectors", "own_selector:broken")
    out, error = second.communicate(timeout=400)
    manifest = json.loads((tmp_path / "manifest.json").read_text())["runs"]
    assert second.returncode == 1
    assert {name: entry["state"] for name, entry in manifest.items()} == {
        "3m_ippo_s0": "done", "3m_independent_s0": "done",
        "3m_both_b0.05_own_selector.broken_s0": "failed",
    }  # fmt: skip
    assert done.stat().st_mtime_ns == before and manifest["3m_ippo_s0"]["attempts"] == 1
    assert manifest["3m_independent_s0"]["attempts"] == 2
    assert manifest["3m_both_b0.05_own_selector.broken_s0"]["exit_codes"] == [1, 1]
    assert "3m_both_b0.05_own_selector.broken_s0 failed with exit code 1: mawm: out of order" in error
    assert "\x1b" not in out and "2 of 3 done, 1 failed" in out
    assert [row["label"] for row in json.loads(done.read_text())["rows"]] == ["spawn-jitter 0.5"]
    rows = [json.loads(line)["env_steps"] for line in (training / "metrics.jsonl").read_text().splitlines()]
    assert rows == sorted(set(rows)) and rows[-1] >= 600


@pytest.mark.slow
def test_sweep_waits_for_a_run_that_outlived_it_and_ctrl_c_leaves_it_running(tmp_path: Path) -> None:
    args = ("--methods", "independent", "--env-steps", "15000")  # long enough on a fast machine too
    with sweep(tmp_path, *args) as first:
        wait_until(lambda: any((tmp_path / "3m_independent_s0").glob("ck-*")))
        first.kill()
    child = holder(tmp_path / "3m_independent_s0")
    with sweep(tmp_path, *args) as second:
        read_until(second.stdout, "1 runs into")  # it listens to signals
        second.send_signal(signal.SIGINT)
        out, _ = second.communicate(timeout=30)
    assert second.returncode == 130 and "the same command goes on" in out
    assert child and holder(tmp_path / "3m_independent_s0") == child
    with sweep(tmp_path, *args) as third:
        third.communicate(timeout=300)
    entry = json.loads((tmp_path / "manifest.json").read_text())["runs"]["3m_independent_s0"]
    assert third.returncode == 0 and entry["state"] == "done" and entry["exit_codes"] == []


@pytest.mark.slow
def test_sweep_continues_with_a_closed_stdout(tmp_path: Path) -> None:
    process = sweep(tmp_path, "--methods", "ippo", "independent")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(300) in (0, 120)  # 120: nobody took the last line
    assert process.stderr is not None
    process.stderr.close()
    states = [entry["state"] for entry in json.loads((tmp_path / "manifest.json").read_text())["runs"].values()]
    assert states == ["done", "done"]


@pytest.mark.slow
def test_sweep_ctrl_c_saves_every_run_and_shows_a_table_on_a_terminal(tmp_path: Path) -> None:
    args = (*DEBUG, "--methods", "independent", "both", "--env-steps", "4000", "--out", str(tmp_path))
    process, terminal = on_terminal("-m", "mawm.sweep", *args)
    wait_until(lambda: all(any((tmp_path / f"3m_{name}_s0").glob("ck-*")) for name in ("independent", "both_b0.05")))
    process.send_signal(signal.SIGINT)
    shown = read_terminal(terminal)
    os.close(terminal)
    assert process.wait(60) == 130
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown)  # without styles
    assert "map method      variant seed" in plain
    assert re.search(r"3m  both        b0.05 +0 +\d+/4000 .* training", plain)
    assert "mawm: every run saves and ends; once more to quit at once" in shown
    last = shown.rpartition("\x1b[?25l")[2].partition("\x1b[?25h")
    *rows, summary = last[0].splitlines()[-3:]
    assert all("/4000 " in row and "pending" in row for row in rows)
    assert summary.startswith("0 of 2 done, 0 running, 0 failed")
    assert last[2].startswith("stopped: 0 of 2 done") and "goes on where this one stopped" in last[2]
    states = [entry["state"] for entry in json.loads((tmp_path / "manifest.json").read_text())["runs"].values()]
    assert states == ["pending", "pending"]
    assert holder(tmp_path / "3m_independent_s0") is None


def test_sweep_shows_both_win_rates_and_reads_older_evaluations(tmp_path: Path) -> None:
    entry = Entry([])
    entry.evaluated({"win_rate": 0.75, "win_rate_sampled": 0.284})
    assert results(TrainConfig(), entry, ".1f") == "win rate greedy 75.0 %, sampled 28.4 %"
    entry.evaluated({"win_rate": 0.5})
    assert results(TrainConfig(), entry) == "win rate greedy 50 %, sampled -"
    row = {"env_steps": 5, "wall_s": 1.0, "eval/win_rate": 0.5, "eval/win_rate_sampled": 0.25}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    assert progress_of(tmp_path) == Progress(5, 1.0, 0.5, 0.25)


def test_sweep_shows_returns_where_no_battle_is_known_to_be_won() -> None:
    entry, own = Entry([]), replace(TrainConfig(), map="my_env:make")
    assert results(own, entry) == "return greedy -, sampled -"
    entry.evaluated({"win_rate": 0.0, "win_rate_sampled": 0.0, "return": -12.345678, "return_sampled": 3.0})
    assert results(own, entry) == "return greedy -12.35, sampled 3"
    assert results(replace(own, success="return>=5"), entry) == "win rate greedy 0 %, sampled 0 %"
    entry.evaluated({"win_rate": 0.5, "win_rate_sampled": 0.0, "return": 1.0})
    assert results(own, entry) == "win rate greedy 50 %, sampled 0 %"
