"""The live display on a terminal: a body at the bottom that rich redraws; other output appears above it."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.control import Control
from rich.live import Live
from rich.text import Text

from mawm.runtime.console import print_stderr_from_handler

REDRAW_S = 1.0
"""Seconds between two checks whether the body or the size of the terminal has changed."""
LOOK_S = 0.25
"""Seconds between two checks whether a signal handler has left a message."""
LAST_FRAME_S = 0.5
"""Seconds that a signal handler waits at most for the end of a redraw."""


class LiveDisplay:
    """Redraws the body once a second, if it has changed, in a thread of its own: a round of training can take long.

    A signal handler must not print with rich: it may have interrupted rich itself. So its messages become part of the
    body, and the thread draws them.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._body: RenderableType = ""
        self._messages: list[str] = []
        """From signal handlers."""
        self._drawn = 0
        """Number of messages that are on the terminal."""
        self._active = False
        self._frozen = False
        """Whether the process is about to end, so that nothing may be drawn over the last message."""
        self._drawing = threading.Lock()
        self._ended = threading.Event()
        self._restore = f"\n{Control.show_cursor(True)}".encode()
        self._stderr_too = bool(sys.stderr and sys.stderr.isatty())
        """Whether stderr is a terminal, too: its lines are then printed above the body."""
        self._live = Live(
            console=console, get_renderable=self._frame, auto_refresh=False, redirect_stderr=self._stderr_too
        )

    @contextlib.contextmanager
    def showing(self, body: RenderableType) -> Iterator[None]:
        """A context in which the body is shown. If the terminal fails, the run continues without a display."""
        self._body = body
        thread = threading.Thread(target=self._redraw, name="mawm-display", daemon=True)
        try:
            self._active = True
            with contextlib.suppress(OSError):
                self._live.start(refresh=True)
            thread.start()
            yield
        finally:
            self._ended.set()
            if thread.ident is not None:
                thread.join()
            with contextlib.suppress(OSError):
                self._live.stop()
            self._active = False
            self._print_messages()

    def show(self, body: RenderableType) -> None:
        """Replace the body at the next redraw."""
        self._body = body

    def print_line(self, line: str) -> None:
        """Print a line above the body."""
        with contextlib.suppress(OSError):
            self._console.print(line, soft_wrap=True)

    def print_from_handler(self, line: str, *, last: bool = False) -> None:
        """Print a line from a signal handler. After the `last` one the process ends at once, so it is printed here."""
        if self._active and self._stderr_too and not last:
            self._messages.append(line)
            return
        if self._active and last:
            self._frozen = True
            self._drawing.acquire(timeout=LAST_FRAME_S)  # with a limit: this thread may hold a lock that a redraw needs
            with contextlib.suppress(OSError):
                os.write(self._console.file.fileno(), self._restore)
            self._print_messages()
        print_stderr_from_handler(line)

    def _print_messages(self) -> None:
        """Print the messages that came after the last redraw."""
        for line in self._messages[self._drawn :]:
            print_stderr_from_handler(line)

    def _redraw(self) -> None:
        # The main thread must get every signal, because a signal ends the call in which that thread waits.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        looks = 0
        shown: tuple[str, ConsoleDimensions] | None = None
        with contextlib.suppress(OSError):
            while not self._ended.wait(LOOK_S):
                looks += 1
                content = shown
                if looks * LOOK_S >= REDRAW_S:
                    looks, content = 0, (str(self._body), self._console.size)
                if content != shown or len(self._messages) > self._drawn:
                    shown = content
                    with self._drawing:
                        if not self._frozen:
                            self._live.refresh()

    def _frame(self) -> Group:
        messages = list(self._messages)
        self._drawn = len(messages)
        return Group(*(Text(f"mawm: {message}") for message in messages), self._body)
