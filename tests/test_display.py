"""The progress of commands: redrawn in place on a terminal, plain lines elsewhere; how signals end a live display."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from real_runs import ENVIRONMENT, SHORT, on_terminal, read_terminal
from rich.console import Console

from mawm.configs.sweeps import Grid
from mawm.configs.train import TrainConfig
from mawm.runtime.training_progress import Row
from mawm.sweeps.board import SweepTable
from mawm.sweeps.grid import expand
from mawm.sweeps.manifest import Entry
from mawm.sweeps.progress import Progress

CHOSEN = "from mawm.runtime.display import choose_display; print(type(choose_display()).__name__)"
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
"""The escape sequences that hide and show the cursor."""
FIRST = "mawm: stopping after this round; once more to quit at once"
SECOND = "mawm: quit at once; saved checkpoints are intact"
DISPLAY = """
import os, signal, sys, time
from mawm.runtime import signals
from mawm.runtime.display import choose_display

signals.SAME_REQUEST_S = 0.0
with signals.Stopping(until_exit=True) as stopping:
    stopping.display = choose_display()
    stopping.stop = lambda: None
    with stopping.display.showing("a body"):
        time.sleep(0.5)
"""
PRESS = "        os.kill(os.getpid(), signal.SIGINT)\n"


def shown(*command: str, **env: str) -> tuple[str, int]:
    """What a command shows on a terminal, and its exit code."""
    process, terminal = on_terminal(*command, **env)
    text = read_terminal(terminal)
    os.close(terminal)
    return text, process.wait(60)


@pytest.mark.parametrize(
    ("env", "chosen"),
    [
        ({}, "LiveDisplay"),
        ({"NO_COLOR": "1"}, "LiveDisplay"),
        ({"TERM": "dumb"}, "PlainLines"),
        ({"PYTHONIOENCODING": "latin-1"}, "PlainLines"),
    ],
    ids=["terminal", "without colours", "dumb terminal", "without Unicode"],
)
def test_terminal_has_a_live_display_if_it_can_redraw(env: dict[str, str], chosen: str) -> None:
    assert shown("-c", CHOSEN, **env) == (f"{chosen}\r\n", 0)


def test_pipe_has_plain_lines_even_with_forced_colours_and_does_not_load_rich() -> None:
    command = [sys.executable, "-c", f"{CHOSEN}; import sys; print('rich' in sys.modules)"]
    env = {**ENVIRONMENT, "FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}
    assert subprocess.check_output(command, env=env, text=True) == "PlainLines\nFalse\n"


def test_lines_appear_above_the_body_and_warnings_in_a_file_stay_there(tmp_path: Path) -> None:
    lines = "        stopping.display.print_line('a [63, 84] line')\n        print('a warning', file=sys.stderr)\n"
    text, _ = shown("-c", DISPLAY + lines)
    assert text.startswith(f"{HIDE}a body") and text.endswith(f"a body\r\n{SHOW}")
    assert "\r\x1b[2Ka [63, 84] line\r\na body" in text and "\r\x1b[2Ka warning\r\na body" in text
    log = tmp_path / "log"
    to_file = f"import os, sys\nsys.stderr = open({str(log)!r}, 'w')\nos.dup2(sys.stderr.fileno(), 2)\n"
    text, _ = shown("-c", to_file + DISPLAY + lines + PRESS)
    assert log.read_text().splitlines() == [FIRST, "a warning"] and "warning" not in text


def test_first_signal_shows_its_message_and_the_second_restores_the_cursor() -> None:
    text, code = shown("-c", DISPLAY + PRESS + "        time.sleep(0.6)\n")
    assert code == 0 and text.endswith(f"{FIRST}\r\na body\r\n{SHOW}")
    text, code = shown("-c", DISPLAY + PRESS + "        time.sleep(0.6)\n" + PRESS + "        print('went on')\n")
    assert code == 130 and text.endswith(f"{FIRST}\r\na body\r\n{SHOW}{SECOND}\r\n")
    text, code = shown("-c", DISPLAY + PRESS + PRESS)
    assert code == 130 and text.endswith(f"a body\r\n{SHOW}{FIRST}\r\n{SECOND}\r\n")


def test_error_during_the_display_restores_the_cursor() -> None:
    text, code = shown("-c", DISPLAY + "        1 / 0\n")
    assert code == 1 and text.rpartition(HIDE)[2].partition(SHOW)[2].endswith("ZeroDivisionError: division by zero\r\n")


def test_closed_terminal_does_not_end_the_process(tmp_path: Path) -> None:
    ignore = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    process, terminal = on_terminal(
        "-c", f"{ignore}{DISPLAY}        time.sleep(2)\nopen({str(tmp_path / 'end')!r}, 'w')\nos._exit(0)"
    )
    read_terminal(terminal, "a body")
    os.close(terminal)
    assert process.wait(60) == 0 and (tmp_path / "end").exists()


def test_training_on_a_terminal_shows_a_bar_and_ends_with_a_clean_line(tmp_path: Path) -> None:
    text, code = shown("-m", "mawm.train", *SHORT, "--env-steps", "300", "--run-dir", str(tmp_path / "run"))
    before, _, after = text.rpartition(HIDE)
    frames, _, end = after.partition(SHOW)
    last = frames.rpartition("\x1b[1A")[2]
    assert code == 0 and "curves: tensorboard" in before and end.startswith("done: 3") and SHOW not in end
    assert "━" in last and "steps 3" in last and "win rate greedy 0 % [0, 49]" in last and "bandwidth " in last


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_training_on_a_terminal_saves_and_shows_the_cursor(number: signal.Signals, tmp_path: Path) -> None:
    args = (*SHORT, "--env-steps", "1000000", "--run-dir", str(tmp_path / "run"))
    process, terminal = on_terminal("-m", "mawm.train", *args, columns=60)
    read_terminal(terminal, "steps 6")
    process.send_signal(number)
    frames, _, end = read_terminal(terminal).partition(SHOW)
    os.close(terminal)
    assert process.wait(60) == 128 + number
    assert FIRST in frames and end.startswith("saved at ") and end.endswith(f"--resume {tmp_path / 'run'}\r\n")


def lines_of(body: Any, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=10, markup=False, emoji=False, highlight=False)
    console.print(body)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [30, 60, 80, 120])
def test_bodies_fit_terminals_of_any_width(width: int) -> None:
    rates = {f"eval/win_rate{kind}{end}": 0.75 for kind in ("", "_sampled") for end in ("", "_low", "_high")}
    run: Any = SimpleNamespace(collector=SimpleNamespace(env_steps=12_345), env_steps=60_000, wall_s=1.0)
    row = lines_of(Row(run, {"train/win_rate": 0.5}, rates, 25.0), width)
    grid = Grid(maps=("3m", "2s_vs_1sc"), methods=("both",), selectors=("adaptive", "gaussian"), seeds=5)
    runs = {each.name: each for each in expand([grid], lambda _: TrainConfig(), lambda _: True)}
    states = {name: Entry([], "done", win_rate=0.75) for name in runs} | {list(runs)[-1]: Entry([], "running", 1)}
    runner: Any = SimpleNamespace(
        runs=runs, manifest=SimpleNamespace(runs=states), active=[], jobs=1, count=lambda state: 0,
        progress=lambda run: Progress(12_345, 3000.0, 0.5, 0.25),
    )  # fmt: skip
    table = lines_of(SweepTable(runner), width)
    assert max(len(line) for line in [*row, *table]) <= width
    assert len(table) <= 10 and table[-1].startswith("0 of 20 done, 0 running")
    if width >= 60:
        assert row[1].startswith("win rate greedy 75 % [75, 75]  sampled 75 % [75, 75]")
        assert "12k/50k" in table[-2] and "2s_vs_1sc" in table[-2] and "training" in table[-2]
