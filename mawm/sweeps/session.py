"""One call of mawm.sweep or mawm.tune: the lock of its folder, its signals, and its display."""

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from mawm.runtime.display import choose_display
from mawm.runtime.processes import ignore_signals, stop_signals
from mawm.storage.lock import FolderLock
from mawm.sweeps.board import Board
from mawm.sweeps.grid import PlannedRun
from mawm.sweeps.manifest import Manifest
from mawm.sweeps.runner import Runner, check_folders


def open_folder(out: Path, runs: list[PlannedRun]) -> tuple[FolderLock, Manifest]:
    """Make the folder and its lock, and read its manifest.

    ValueError if the folder has other runs or another process's lock.
    """
    out.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(out)
    manifest = Manifest(out)
    check_folders(out, runs, manifest)
    return lock, manifest


def work(runner: Runner, first_line: str, each_round: Callable[[Runner], None] = lambda runner: None) -> int:
    """Run all runs under a display. `each_round` is called once per round.

    Returns 0, or 128 + the number of the first signal, after which every run saves and ends. Signals are ignored
    afterwards, until this process ends.
    """
    stopped: list[int] = []
    display = choose_display()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.append(number)
        runner.stop()
        display.print_from_handler("every run saves and ends; once more to quit at once")

    for number in stop_signals():
        signal.signal(number, stop)
    try:
        print_line(first_line)
        board = Board(runner, display)

        def show(runner: Runner) -> None:
            each_round(runner)
            board(runner)

        with display.showing(board.table):
            runner.work(show)
        return 128 + stopped[0] if stopped else 0
    finally:
        ignore_signals()


def print_line(line: str) -> None:
    """Print a line. An error of the output is ignored: the runs continue without a terminal."""
    with contextlib.suppress(OSError):
        print(line, flush=True)
