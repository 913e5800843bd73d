"""What a run says: a terminal that is gone, or a log on a full disk, stops nothing."""

import contextlib
import os
import sys


def tell(line: str) -> None:
    """A line on stderr, if it can be written."""
    with contextlib.suppress(OSError):
        print(f"mawm: {line}", file=sys.stderr, flush=True)


def tell_from_handler(line: str) -> None:
    """A line on stderr from a signal handler. It goes past the buffers, since a write into them may be interrupted."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: a stream without a file
        os.write(sys.stderr.fileno(), f"mawm: {line}\n".encode())


def show(line: str) -> None:
    """A line on stdout, if it can be written."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


def hush() -> None:
    """At a command's end: let what cannot be written go, so that the interpreter's last flush fails nothing."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
