"""The command line: a mistake costs one line and exit code 2; the help is short."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mawm.configs.settings import settings_of
from mawm.evaluate import main as evaluate
from mawm.methods import METHODS
from mawm.train import Command
from mawm.train import main as train
from mawm.types import Common


def mawm(command: str, *args: str, cwd: Path, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    root = Path(__file__).parents[1]
    env = {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", "PYTHONIOENCODING": encoding}
    return subprocess.run(
        [sys.executable, "-m", f"mawm.{command}", *args], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls a command's `main` in this process, in an empty folder: exit code, output, errors.

    It shows what a process shows without the imports of one; `mawm` above starts a process.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mawm"])

    def run(main: Callable[[list[str]], int], *args: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main(list(args))
        except SystemExit as end:
            assert isinstance(end.code, int)
            code = end.code
        return code, *capsys.readouterr()

    return run


def test_train_process_with_a_mistake_has_exit_code_2_and_one_line(tmp_path: Path) -> None:
    done = mawm("train", "--method", "bth", cwd=tmp_path)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1) and list(
        tmp_path.iterdir()
    ) == []
    names = ", ".join(METHODS)
    assert f"--method must be one of {names}; got 'bth'; did you mean 'both'?" in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--map", "3n"], "did you mean '3m'"),
        (["--bandwidth", "2"], "got 2"),
        (["--device", "cuda:99"], "'cuda:99'"),
        (["--preset", "defualt"], "did you mean 'default'"),
        (["--env", "smac"], "--env skirmish"),
        (
            ["--behaviour.entropy", "1"],
            "unknown argument '--behaviour.entropy'; did you mean --agent.behaviour.entropy?",
        ),
        (["extra"], "unknown argument 'extra'. See --help"),
        (["--seed", "x"], "--seed must be a whole number in [0, 1000000000000000000]; got 'x'"),
        (["--schedule.battles", "1.5"], "--schedule.battles must be a whole number in [1, 4096]; got '1.5'"),
        (
            ["--env-steps", str(10**30)],
            f"--env-steps must be a whole number in [1, 1000000000000]; got {10**30}; did you",
        ),
        (["--agent.world_model.deter", "9" * 5000], "--agent.world-model.deter must be a whole number in [1, 8192]"),
        (["--preset", "debug", "--agent.replay.capacity", "31"], "agent.replay.capacity is 31; it must be at least 32"),
        (["--gate", "strict", "--search.keeps", "47"], "gating.search.keeps is 47; it must be at least 48"),
        (["--sede", "3"], "unknown argument '--sede'; did you mean '--seed'? See --help"),
        (["--horizon", "3"], "unknown argument '--horizon'; did you mean --agent.behaviour.horizon?"),
        (["--bandwidth", "nan"], "--bandwidth must be a number in [0, 1]; got nan"),
        (["--agent.replay.capacity", "1"], "must be a whole number in [2, 100000000]; got 1; did you mean 2?"),
        (["--selector", "math:sqrt"], "sharing.selector is 'math:sqrt'; it must be callable with bandwidth"),
    ],
)
def test_train_mistake_is_one_line_with_exit_code_2_and_no_files(
    args: list[str], said: str, call: Call, tmp_path: Path
) -> None:
    code, out, err = call(train, *args)
    assert code == 2
    assert said in err and len(err.splitlines()) == 1
    assert out == "" and list(tmp_path.iterdir()) == []


def test_train_names_a_flag_without_its_value(tmp_path: Path) -> None:
    """In a process of its own, because the number of lines depends on where they are written."""
    done = mawm("train", "--seed", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert "Missing value for argument '--seed'" in done.stderr and len(done.stderr.splitlines()) <= 5


def test_train_mistake_reads_the_same_on_an_ascii_terminal(tmp_path: Path) -> None:
    for args in (["--seed", "x"], ["--sede", "3"]):
        told = {mawm("train", *args, cwd=tmp_path, encoding=name).stderr for name in ("utf-8", "ascii")}
        assert len(told) == 1 and "--+" not in told.pop()


def test_train_reports_too_little_memory_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def make_team(*_: object) -> None:
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mawm.build.make_team", make_team)
    assert train(["--preset", "debug"]) == 1
    said = capsys.readouterr().err
    assert (
        said
        == "mawm: there is not enough memory (Unable to allocate 9 TiB); smaller sizes or fewer battles need less\n"
    )


def test_train_help_is_at_most_80_lines_of_common_settings(tmp_path: Path) -> None:
    short, whole = (mawm("train", name, cwd=tmp_path).stdout for name in ("--help", "--help-all"))
    assert "python -m mawm.train --map 3m --bandwidth 0.05" in short
    settings = list(settings_of(Command()))
    common = [setting for setting in settings if Common in getattr(setting.kind, "__metadata__", ())]
    lines = short.splitlines()
    assert len(lines) <= 80 and max(map(len, lines)) <= 100
    assert [line.split()[0] for line in lines if line.startswith("  --")] == [setting.flag for setting in common]
    assert lines[-1].endswith(f"--help-all lists the other {len(settings) - len(common)} settings too.")
    assert all(setting.flag in whole for setting in settings)


def test_train_help_loads_neither_torch_nor_numba(tmp_path: Path) -> None:
    code = (
        "import sys; from mawm.train import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print('loaded', sorted({'torch', 'numba', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.stdout.endswith("loaded []\n")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere"], "nowhere is not a run's folder: it holds no config.json"),
        (["nowhere", "--episodes", "0"], "--episodes must be a whole number in [1, 1000000]; got 0; did you mean 1?"),
        (["nowhere", "--rule", "spawn-jitter=1"], "did you mean '--rules'"),
        (["nowhere", "--rules.spawn-jitter", "1"], "nowhere is not a run's folder"),
        (["nowhere", "--replace", "agent_0:random", "--share", "1.5"], "--share must be a list, each item a number in"),
        (["nowhere", "--share", "0.5"], "name them with --replace AGENT:random"),
    ],
)
def test_evaluate_mistake_is_one_line_with_exit_code_2(args: list[str], said: str, call: Call) -> None:
    code, _, err = call(evaluate, *args)
    assert code == 2
    assert said in err and len(err.splitlines()) == 1


def test_evaluate_names_a_missing_argument(call: Call) -> None:
    # tyro frames this message in several lines; it has no public way to shorten it (docs/reliability.md).
    code, _, err = call(evaluate)
    assert code == 2 and "Missing from python -m mawm.evaluate" in err and "PATH" in err


def test_train_help_into_a_closed_pipe_has_no_traceback():
    """`--help | head -1`: no traceback. The pipe is closed before the command writes its first line."""
    command = [sys.executable, "-m", "mawm.train", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait(60) == 0
