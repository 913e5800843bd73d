"""Shows the progress of a command: a live display on a terminal, plain lines elsewhere; `choose_display` decides."""

import contextlib
import sys
from typing import TYPE_CHECKING, Union

from mawm.runtime.console import print_stderr_from_handler, print_stdout

if TYPE_CHECKING:
    from mawm.runtime.live_display import LiveDisplay

Display = Union["PlainLines", "LiveDisplay"]
"""What is shown (a body) has two forms: `str(body)` is plain text, and rich renders it for the live display."""


class PlainLines:
    """Prints every body and every line once, for pipes, files and terminals that cannot redraw."""

    def showing(self, body: object) -> contextlib.AbstractContextManager[None]:
        """A context in which bodies are shown. Nothing is printed before the first call of `show`."""
        return contextlib.nullcontext()

    def show(self, body: object) -> None:
        """Print a body."""
        print_stdout(str(body))

    def print_line(self, line: str) -> None:
        """Print a line."""
        print_stdout(line)

    def print_from_handler(self, line: str, *, last: bool = False) -> None:
        """Print a line from a signal handler."""
        print_stderr_from_handler(line)


def choose_display() -> Display:
    """A live display if stdout is a terminal that can redraw lines and show Unicode; otherwise plain lines."""
    if not (sys.stdout and sys.stdout.isatty()):  # stdout is None if the process was started with a closed one
        return PlainLines()
    from rich.console import Console  # only here: other processes start without rich

    console = Console(file=sys.stdout, markup=False, emoji=False, highlight=False)
    if not console.is_interactive or not console.encoding.startswith("utf"):
        return PlainLines()
    from mawm.runtime.live_display import LiveDisplay

    return LiveDisplay(console)
