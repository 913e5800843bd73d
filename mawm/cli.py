"""What the commands share: a user's mistake becomes one line and exit code 2, never a traceback."""

import contextlib
import io
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


def fail(message: str) -> NoReturn:
    """Say what is wrong in one line and end with exit code 2."""
    print(f"mawm: {message}", file=sys.stderr)
    raise SystemExit(2)


def parse(
    target: Callable[..., T], *, prog: str, description: str, default: Any = None, args: list[str] | None = None
) -> T:
    """Parse the command line into `target`; a mistake is told in one line with the nearest valid choice."""
    import tyro  # only commands need it

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(target, prog=prog, description=description, default=default, args=args)
    except SystemExit as end:
        if end.code == 2:
            fail(one_line(said.getvalue()))
        sys.stderr.write(said.getvalue())
        raise


def one_line(box: str) -> str:
    """The text of a boxed message without its frame, in one line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", box)
    text = re.sub(r"[╭╮╰╯│─━┃]+", " ", text)
    return re.sub(r"\s+", " ", text).strip()
