"""`python -m mawm` lists the commands."""

import subprocess
import sys
from pathlib import Path

from mawm.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parent.parent


def run_package(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mawm", *words], cwd=ROOT, capture_output=True, text=True, check=False)


def test_package_help_lists_every_command() -> None:
    done = run_package()
    assert done.returncode == 0 and done.stderr == ""
    commands = {path.stem for path in (ROOT / "mawm").glob("*.py") if "def main(" in path.read_text()} - {"__main__"}
    assert commands == set(COMMANDS)
    assert [line.split()[2] for line in done.stdout.splitlines()[:-1]] == [f"mawm.{name}" for name in COMMANDS]


def test_unknown_command_is_refused_naming_the_commands() -> None:
    done = run_package("trian")
    assert done.returncode == 2 and done.stdout == ""
    assert "'trian'" in done.stderr and "python -m mawm.train" in done.stderr
