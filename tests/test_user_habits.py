"""What users do to commands: closed outputs, links, odd paths, edited code, agents in another order, long battles."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from real_runs import ROOT

from mawm import evaluate as evaluate_command
from mawm import export
from mawm.build import write_config
from mawm.configs.command_line import parse
from mawm.configs.presets import load_preset
from mawm.configs.sweeps import Grid
from mawm.envs.market.vector import MarketVectorEnv
from mawm.envs.pettingzoo import own_parallel_env
from mawm.envs.process import ProcessEnv
from mawm.envs.registry import environment_of, make_env
from mawm.evaluation import evaluate
from mawm.gating import build as gating_build
from mawm.report import _about
from mawm.results.load import load_runs
from mawm.results.study import Study
from mawm.run_folder.checkpoint import write
from mawm.run_folder.locate import RunFolder, find_run_folder
from mawm.run_folder.manifest import read_config, resumed_facts
from mawm.runtime.import_user_code import load_factory, source_digests
from mawm.runtime.signals import Stopping
from mawm.runtime.training_progress import Progress
from mawm.train import Command, main

DEBUG = load_preset("debug")
OWN = replace(DEBUG, map="odd_env:Plain", method="ippo")
TRAIN = ("--preset", "debug", "--placement", "inline", "--method", "ippo", "--schedule.eval-battles", "2")
HERE = os.pathsep.join([str(ROOT), str(ROOT / "tests")])


def run(command: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command; `mawm.X` at its beginning stands for `python -m mawm.X`."""
    line = re.sub(r"^mawm\.", f"{sys.executable} -m mawm.", command)
    settings = {**os.environ, "PYTHONPATH": HERE, "OMP_NUM_THREADS": "1", **env}
    return subprocess.run(line, shell=True, cwd=folder, env=settings, capture_output=True, text=True, timeout=280)


@pytest.mark.slow
def test_each_agent_keeps_its_learner_when_the_environment_lists_them_in_another_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = [*TRAIN, "--map", "odd_env:Reversed", "--run-dir", "my run", "--env-steps"]
    monkeypatch.setenv("ORDER", "red blue green")  # read in the environment's process
    assert main([*command, "60"]) == 0
    out, _ = capsys.readouterr()
    assert "Next: python -m mawm.evaluate 'my run'\n" in out and "--logdir ." in out
    assert "battles are cut after 200 steps (--own.episode-limit)" in out
    assert "return greedy" in out and "win rate" not in out
    monkeypatch.setenv("ORDER", "green red blue")
    assert main([*command, "120"]) == 0
    assert capsys.readouterr().err == ""
    assert read_config(Path("my run")).own.agents == ("red", "blue", "green")
    scores = []
    for order in ("red blue green", "blue green red"):
        monkeypatch.setenv("ORDER", order)
        assert evaluate_command.main(["my run", "--episodes", "5", "--json"]) == 0
        scores.append(json.loads(capsys.readouterr().out))
    assert scores[0] == scores[1] and scores[0]["episodes"] == 5


@pytest.mark.slow
def test_explorers_get_the_recorded_order_of_agents_when_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    orders, make = [], gating_build.make_env

    def watched(settings: Any, purpose: str, batch: int) -> Any:
        orders.append(settings.own.agents)
        return make(settings, purpose, batch)

    monkeypatch.setattr(gating_build, "make_env", watched)
    train = ["independent" if word == "ippo" else word for word in TRAIN]  # a gate protects a world model
    command = [*train, "--map", "odd_env:Reversed", "--gate", "strict", "--run-dir", "run", "--env-steps"]
    for order, steps in (("red blue green", "60"), ("green red blue", "120")):
        monkeypatch.setenv("ORDER", order)
        assert main([*command, steps]) == 0
    assert orders[0] == orders[-1] == ("red", "blue", "green")


def test_long_battles_are_replayed_though_the_replay_takes_longer_than_one_answer_may() -> None:
    make = partial(own_parallel_env, "odd_env:Slow", 1, 0, 1000)
    env = ProcessEnv(make, 1.0)
    env.timeout_s = 0.6
    try:
        env.restore(
            {"battle": np.zeros(1, np.int64), "length": np.array([60]), "actions": np.ones((1, 60, 2), np.int64)}
        )
        assert env.snapshot()["length"].tolist() == [60]
    finally:
        env.close()


def test_environment_may_start_and_end_processes_of_its_own() -> None:
    env = ProcessEnv(partial(own_parallel_env, "odd_env:WithProcess", 1, 0, 9), 60.0)
    assert (env.reset().obs == 2.0).all()
    env.close()
    assert env.process.exitcode == 0  # closed in time, so it was not killed


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "redirection", [pytest.param(">&-", marks=SLOW), pytest.param("2>&-", marks=SLOW), ">&- 2>&- <&-"]
)
def test_closed_outputs_change_no_exit_code(redirection: str, tmp_path: Path) -> None:
    assert run(f"mawm.train --preset debug --map nowhere {redirection}", tmp_path).returncode == 2
    show = "from mawm.runtime.console import *; open_outputs(); print_stdout('x'); print_stderr('y'); flush_output()"
    assert run(f'{sys.executable} -c "{show}" {redirection}', tmp_path).returncode == 0
    file = "f = open('log', 'w'); import os; os.write(1, b'x'); os.write(2, b'y')"
    code = f"from mawm.runtime.console import open_outputs; open_outputs(); {file}"
    assert run(f'{sys.executable} -c "{code}" {redirection}', tmp_path).returncode == 0
    assert (tmp_path / "log").read_bytes() == b""


def write_run(folder: Path, seed: int = 0, **facts: Any) -> None:
    """The settings and one row of a finished run."""
    folder.mkdir(parents=True)
    config = replace(DEBUG, map=facts.pop("map", "3m"), seed=seed, env_steps=100)
    write_config(folder, config, facts)
    (folder / "metrics.jsonl").write_text(json.dumps({"env_steps": 100, "eval/win_rate": 0.5}) + "\n")


def test_runs_behind_links_are_found_once_also_if_a_link_leads_upwards(tmp_path: Path) -> None:
    write_run(tmp_path / "elsewhere/run")
    (tmp_path / "runs/deep").mkdir(parents=True)
    for name in ("one", "deep/two"):
        (tmp_path / "runs" / name).symlink_to(tmp_path / "elsewhere/run")
    (tmp_path / "runs/deep/up").symlink_to(tmp_path / "runs")
    runs, warnings = load_runs([tmp_path / "runs"])
    assert ([one.env_steps for one in runs], warnings) == ([100], [])


def test_map_files_of_one_name_are_different_maps(tmp_path: Path) -> None:
    for folder, digest in (("m1", "aa" * 32), ("m2", "bb" * 32)):
        write_run(tmp_path / folder, map=f"{folder}/x.toml", map_sha256=digest)
    write_run(tmp_path / "again", seed=1, map="m1/x.toml", map_sha256="aa" * 32)
    study = Study.load([tmp_path])
    assert study.maps == ["m1/x.toml", "m2/x.toml"] and len(study.runs) == 3
    shutil.rmtree(tmp_path / "m1")
    write_run(tmp_path / "edited", map="m2/x.toml", map_sha256="cc" * 32)
    assert set(Study.load([tmp_path / "m2", tmp_path / "edited"]).maps) == {"x.toml, bbbbbbbb", "x.toml, cccccccc"}
    assert Study.load([tmp_path / "m2"]).maps == ["x.toml"]


def test_report_of_an_own_environment_names_no_engine(tmp_path: Path) -> None:
    write_run(tmp_path / "own", map="my_env:make")
    write_run(tmp_path / "trade", map="market")
    own, both = (Study.load([path]) for path in (tmp_path / "own", tmp_path))
    assert "Battles on my_env:make ran in the user's own environment, not in an engine of mawm." in _about(own)
    assert not any("engine," in line for line in _about(both))
    write_run(tmp_path / "engine")
    assert any("Battles ran in the embedded engine" in line for line in _about(Study.load([tmp_path])))


def refused(command: Any, args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a command that ends with exit code 2."""
    with pytest.raises(SystemExit) as end:
        command(args)
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.count("\n") == 1 and error.startswith("mawm: ")
    return error


@pytest.mark.parametrize("name", ["study.json", "study.jsonl.gz"])
def test_output_that_is_a_folder_is_refused_in_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run")
    (tmp_path / name).mkdir()
    said = refused(export.main, [str(tmp_path / "run"), "-o", str(tmp_path / name)], capsys)
    assert "it is a folder; give the name of a file" in said
    (tmp_path / "file").touch()
    said = refused(export.main, [str(tmp_path / "run"), "-o", str(tmp_path / "file" / name)], capsys)
    assert "cannot be written" in said


SCRIPT = "import argparse\nargparse.ArgumentParser(prog='mine').parse_args(['--preset', 'x'])\ndef make(): pass\n"


def test_module_that_reads_the_command_line_at_its_import_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_script.py").write_text(SCRIPT)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["--preset", "debug", "--map", "my_script:make"])
    said = capsys.readouterr().err.splitlines()
    assert end.value.code == 2 and "mine: error: unrecognized arguments" in said[-2]
    assert "map 'my_script:make' cannot be loaded (the import of my_script ended the process (sys.exit(2))" in said[-1]
    assert "belongs under if __name__ == '__main__'" in said[-1]
    done = run("mawm.train --preset debug", tmp_path, MAWM_PLUGINS="my_script", PYTHONPATH=f"{ROOT}:{tmp_path}")
    assert done.returncode == 2
    assert "MAWM_PLUGINS names the module 'my_script', whose import ended the process" in done.stderr.splitlines()[-1]


LOUD = """
import faulthandler, logging, sys
faulthandler.enable(open("faults", "w"))
logging.getLogger("loud").addHandler(logging.StreamHandler())
print("old", file=sys.stderr)
def make(): logging.getLogger("loud").error("made")
"""


def test_module_prints_and_logs_at_its_import_and_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_loud.py").write_text(LOUD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    load_factory("map", "my_loud:make")()
    assert capsys.readouterr().err == "old\nmade\n"


def test_edited_code_of_an_environment_is_told_and_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_rules.py").write_text("PAY = 1\n")
    (tmp_path / "my_task.py").write_text("import my_rules\ndef make(): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    load_factory("map", "my_task:make")
    before = {"sources": source_digests("my_task:make")}
    assert set(before["sources"]) == {"my_task: my_rules.py", "my_task: my_task.py"}
    assert resumed_facts(before, {"sources": source_digests("my_task:make")}, 50, "again")[1] == 0
    (tmp_path / "my_rules.py").write_text("PAY = -5\n")
    facts, new = resumed_facts(before, {"sources": source_digests("my_task:make")}, 50, "again")
    assert (facts["not_exact"], new) == (
        ["from 50 steps on: your files were edited (my_task: my_rules.py)"],
        1,
    )


def test_run_continues_with_another_timeout_and_with_names_that_an_earlier_version_did_not_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = find_run_folder(OWN, Path("x"), fresh=False)
    write_config(place.folder, OWN, {})
    write(place.folder, 10, {"run": ({}, {})}, keep=2)
    later = replace(OWN, own=replace(OWN.own, timeout_s=5.0, agents=("red", "blue")))
    assert find_run_folder(later, Path("x"), fresh=False) == RunFolder(Path("x"), begun=True)
    write_config(place.folder, later, {})
    turned = replace(OWN, own=replace(OWN.own, agents=("blue", "red")))
    assert find_run_folder(turned, Path("x"), fresh=False) == RunFolder(Path("x"), begun=True)
    with pytest.raises(ValueError, match="no run with these settings"):
        find_run_folder(replace(OWN, own=replace(OWN.own, agents=("blue", "pink"))), Path("x"), fresh=False)


def test_evaluation_command_plays_as_many_copies_of_an_environment_as_the_training() -> None:
    env = make_env(OWN, "test", 320)
    assert env.batch == OWN.schedule.battles
    env.close()
    assert f"after {OWN.own.episode_limit} steps" in environment_of(OWN).about(OWN)


class Idle:
    """A team that holds."""

    members = ((0, 1, 2),)

    def begin(self, slot: str, batch: int) -> None:
        """Nothing to remember."""

    def act(self, obs: np.ndarray, *rest: Any, **more: Any) -> np.ndarray:
        """Hold."""
        return np.zeros(obs.shape[:2], np.int64)


def test_evaluation_tells_how_many_battles_have_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[int] = []
    evaluate(MarketVectorEnv(4, 0), Idle(), 10, watch=lambda mode, ended: told.append(ended))  # type: ignore[arg-type]
    assert told == sorted(told) and set(told) == {0, 4, 8, 10} and told[-1] == 10
    monkeypatch.setattr(evaluate_command.time, "monotonic", iter([0.0, 9.0, 10.0, 11.0, 25.0]).__next__)
    watch = evaluate_command._Progress(10)
    for ended in (1, 2, 3, 4):
        watch("greedy", ended)
    assert re.findall(r"mawm: (\d) of 10 battles with greedy", capsys.readouterr().err) == ["2", "4"]


def test_progress_shows_returns_until_a_battle_was_won(capsys: pytest.CaptureFixture[str]) -> None:
    stand = SimpleNamespace(collector=SimpleNamespace(env_steps=5), wall_s=1.0, env_steps=10)
    progress = Progress(wins=False)
    zero = {"eval/win_rate": 0.0, "eval/win_rate_low": 0.0, "eval/win_rate_high": 0.5, "eval/return": 2.5}
    zero |= {name.replace("win_rate", "win_rate_sampled"): 0.0 for name in list(zero)[:3]} | {
        "eval/return_sampled": 1.25
    }
    progress(stand, zero | {"train/win_rate": 0.0, "train/return": 7.0})  # type: ignore[arg-type]
    progress(stand, {"train/win_rate": 0.1, "train/return": 8.0})  # type: ignore[arg-type]
    before, after = capsys.readouterr().out.splitlines()
    assert "return greedy 2.5  sampled 1.25  train 7" in before and "win rate" not in before
    assert "win rate greedy 0 % [0, 50]  sampled 0 % [0, 0]  train 10 %" in after


@pytest.mark.parametrize(("word", "steps"), [("1e5", 100_000), ("2.5e3", 2500), ("1_000", 1000), ("7.0", 7)])
def test_whole_numbers_may_be_written_with_an_exponent(word: str, steps: int) -> None:
    assert parse(Command, prog="x", description="", args=["--env-steps", word]).config.env_steps == steps
    assert parse(Grid, prog="x", description="", args=["--seeds", "1e1"]).seeds == 10


@pytest.mark.parametrize("word", ["1e-1", "2.5", "nan", "inf", "1e99999999", "ten"])
def test_number_that_is_not_whole_is_refused(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(lambda args: parse(Command, prog="x", description="", args=args), ["--env-steps", word], capsys)
    assert "--env-steps must be a whole number" in said and repr(word) in said


@pytest.mark.parametrize("args", [["--fresh", "True"], ["--fresh", "yes"], ["--fresh=True"]])
def test_value_after_a_switch_is_refused_with_how_to_write_it(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(lambda args: parse(Command, prog="x", description="", args=args), args, capsys)
    assert "--fresh stands alone, without a value; --no-fresh switches it off" in said


def test_closed_terminal_stops_a_run_like_sigterm_but_not_under_nohup() -> None:
    asked: list[int] = []
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
    try:
        with Stopping(until_exit=False) as stopping:
            stopping.stop = lambda: asked.append(1)
            os.kill(os.getpid(), signal.SIGHUP)
            assert (asked, stopping.exit_code) == ([1], 129)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with Stopping(until_exit=False) as stopping:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stopping.number == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("name", ["train", "sweep", "evaluate"])
def test_help_may_be_cut_by_its_reader(name: str, tmp_path: Path) -> None:
    done = run(f"mawm.{name} --help | head -1", tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("usage")
