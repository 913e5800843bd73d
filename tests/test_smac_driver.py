"""`--env smac` and `--env smacv2`: the unmodified packages on the stand-in (`make smac`)."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mawm.envs.standin.settings import MARKER

pytestmark = pytest.mark.slow
SMALL = ["--preset", "debug", "--schedule.battles", "2", "--schedule.eval-battles", "3", "--placement", "inline"]


@pytest.fixture(scope="module")
def game(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables with a stand-in as the game."""
    for name in ("smac", "smacv2", "pysc2", "s2clientprotocol", "websockets"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the package {name} is not installed (docs/starcraft.md)")
    from mawm.envs.standin.install import compile_engine, install

    folder = tmp_path_factory.mktemp("game")
    install(folder)
    compile_engine()
    return os.environ | {"SC2PATH": str(folder)}


def command(name: str, *args: str) -> list[str]:
    return [sys.executable, "-m", f"mawm.{name}", *args]


def games_of(root: str) -> list[int]:
    """Process ids of running games of an installation."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has ended
            continue
        if b"-listen" in words and any(word.startswith(root.encode()) for word in words):
            found.append(int(folder.name))
    return found


@pytest.mark.parametrize(("package", "map_name"), [("smac", "3m"), ("smacv2", "10gen_zerg_5_vs_5")])
def test_package_is_trained_resumed_and_evaluated_and_leaves_no_process(
    package: str, map_name: str, game: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    args = ["--env", package, "--map", map_name, *SMALL, "--env-steps", "200", "--run-dir", str(folder)]
    first = subprocess.run(command("train", *args), env=game, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    assert f"the package {package} with the game stand-in" in first.stdout
    again = subprocess.run(
        command("train", "--resume", str(folder), "--env-steps", "300"), env=game, capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("cannot continue running battles, so new ones begin") == 1
    facts = json.loads((folder / "config.json").read_text())
    assert facts["game"] == "stand-in" and "from 208 steps on: new battles" in facts["not_exact"][0]
    played = subprocess.run(
        command("evaluate", str(folder), "--episodes", "5", "--json"), env=game, capture_output=True, text=True
    )
    assert played.returncode == 0, played.stderr
    assert (found := json.loads(played.stdout))["episodes"] == 5 and found["game"] == "stand-in"
    other = tmp_path / "other"  # the folder of a real game, as far as its files tell
    shutil.copytree(game["SC2PATH"], other)
    (other / MARKER).unlink()
    resumed = subprocess.run(
        command("train", "--resume", str(folder), "--env-steps", "400"),
        env=game | {"SC2PATH": str(other)},
        capture_output=True,
        text=True,
    )
    assert resumed.returncode == 2 and resumed.stderr.count("\n") == 1
    assert "the run was played with the game stand-in, and SC2PATH leads to StarCraft II" in resumed.stderr
    assert games_of(game["SC2PATH"]) == []


def playing(args: list[str], game: dict[str, str]) -> subprocess.Popen[str]:
    """A run whose games play: it has printed its first report."""
    run = subprocess.Popen(command("train", *args), env=game, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stdout is not None
    while not run.stdout.readline().startswith("steps "):
        assert run.poll() is None
    return run


def test_killed_game_is_replaced_and_the_run_goes_on(game: dict[str, str], tmp_path: Path) -> None:
    args = ["--env", "smac", "--map", "3m", *SMALL, "--env-steps", "900", "--schedule.eval-every", "2000"]
    with playing([*args, "--run-dir", str(tmp_path / "run")], game) as run:
        os.kill(games_of(game["SC2PATH"])[0], signal.SIGKILL)
        out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err
    assert err.count("the game is replaced and its battle is cut (1 of 3)") == 1
    assert "done: 912 steps" in out
    assert games_of(game["SC2PATH"]) == []


def test_games_end_when_the_run_is_killed(game: dict[str, str], tmp_path: Path) -> None:
    args = ["--env", "smac", "--map", "3m", *SMALL, "--env-steps", "100000", "--run-dir", str(tmp_path / "run")]
    with playing(args, game) as run:
        assert len(games_of(game["SC2PATH"])) == 2
        run.kill()
    until = time.monotonic() + 30
    while games_of(game["SC2PATH"]) and time.monotonic() < until:
        time.sleep(0.2)
    assert games_of(game["SC2PATH"]) == []


def test_missing_game_is_one_line_that_says_where_it_must_be(game: dict[str, str], tmp_path: Path) -> None:
    nowhere = game | {"SC2PATH": str(tmp_path)}
    done = subprocess.run(
        command("train", "--env", "smac", "--preset", "debug"), env=nowhere, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"there is no StarCraft II in {tmp_path}" in done.stderr and "python -m mawm.standin DIR" in done.stderr


@pytest.mark.parametrize(
    ("faults", "code", "said"),
    [
        ({"delay_s": 0.01}, 0, ""),
        ({"shuffled": True}, 0, ""),
        ({"late": 3}, 0, ""),
        ({"dies_after": 150}, 1, "after 3 new games within 1000 environment steps it is not replaced"),
        ({"hangs_after": 150}, 1, "gave no answer within 2 s (after 3 new games"),
    ],
    ids=["delay", "shuffled", "late", "dies", "hangs"],
)
def test_run_with_a_faulty_game_ends_or_says_why_and_leaves_no_process(
    faults: dict[str, Any], code: int, said: str, game: dict[str, str], tmp_path: Path
) -> None:
    from mawm.envs.standin.install import install
    from mawm.envs.standin.settings import Faults, Settings

    faulty = game | {"SC2PATH": str(tmp_path / "game")}
    install(tmp_path / "game", Settings(faults=Faults(**faults)))
    args = ["--env", "smac", "--map", "3m", *SMALL, "--env-steps", "300", "--own.timeout-s", "2" if code else "60"]
    args += ["--schedule.eval-every", "1000", "--run-dir", str(tmp_path / "run")]
    done = subprocess.run(command("train", *args), env=faulty, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr
    assert games_of(faulty["SC2PATH"]) == []
