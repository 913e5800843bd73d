"""Console output of a run. A closed terminal or a full disk behind a redirected output does not stop the run."""

import contextlib
import os
import sys


def open_outputs() -> None:
    """At the start of a command: output that was closed by the caller goes nowhere (`command >&-`).

    Otherwise the next file that is opened would get the number of the closed one, and what is printed would go into it.
    """
    for number, mode in ((0, "r"), (1, "w"), (2, "w")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            os.set_inheritable(number, True)
        name = ("stdin", "stdout", "stderr")[number]
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - it stays open


def print_stderr(line: str) -> None:
    """Print a line on stderr; an error of the output is ignored."""
    with contextlib.suppress(OSError):
        print(f"mawm: {line}", file=sys.stderr, flush=True)


def print_stderr_from_handler(line: str) -> None:
    """The same for signal handlers, unbuffered: the signal may have interrupted a buffered write."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: a stream without a file
        os.write(sys.stderr.fileno(), f"mawm: {line}\n".encode())


def print_stdout(line: str) -> None:
    """Print a line on stdout; an error of the output is ignored."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


def flush_output() -> None:
    """At the end of a command: drop output that cannot be written, so that the interpreter's last flush cannot fail."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, stream.fileno())
            os.close(devnull)
