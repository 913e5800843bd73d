"""The commands: mistakes cost one line, and the help teaches."""

import subprocess
import sys
from pathlib import Path

import pytest


def mawm(command: str, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[1]
    env = {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [sys.executable, "-m", f"mawm.{command}", *args], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--map", "3n"], "did you mean '3m'"),
        (["--bandwidth", "2"], "got 2"),
        (["--device", "cuda:99"], "'cuda:99'"),
        (["--preset", "defualt"], "did you mean 'default'"),
        (["--env", "smac"], "--env skirmish"),
        (
            ["--method", "bth"],
            "--method must be one of independent, experience, rollouts, both, centralized, ippo, mappo; got",
        ),
        (["--behaviour.entropy", "1"], "unknown argument '--behaviour.entropy'; nearest: --agent.behaviour.entropy"),
        (["extra"], "unknown argument 'extra'. See --help"),
        (["--seed", "x"], "--seed must be a whole number in [0, 1000000000000000000]; got 'x'"),
        (["--seed"], "--seed must be a whole number in [0, 1000000000000000000]; got nothing"),
    ],
)
def test_a_mistake_is_one_line_with_exit_code_2_and_leaves_nothing(args: list[str], said: str, tmp_path: Path) -> None:
    done = mawm("train", *args, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_help_teaches(tmp_path: Path) -> None:
    done = mawm("train", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "python -m mawm.train --map 3m --bandwidth 0.05" in done.stdout


def test_help_answers_without_loading_torch_or_numba(tmp_path: Path) -> None:
    code = (
        "import sys; from mawm.train import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print('loaded', sorted({'torch', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.stdout.endswith("loaded []\n")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere"], "nowhere is not a run's folder: it holds no config.json"),
        ([], "Missing from python -m mawm.evaluate: PATH"),
        (["nowhere", "--episodes", "0"], "--episodes must be at least 1; got 0"),
        (["nowhere", "--mode", "gredy"], "did you mean 'greedy'?"),
    ],
)
def test_a_mistake_in_evaluate_is_one_line_too(args: list[str], said: str, tmp_path: Path) -> None:
    done = mawm("evaluate", *args, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
