"""What the commands share: a user's mistake becomes one line and exit code 2, never a traceback."""

import contextlib
import difflib
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
    """The text of a boxed message without its frame and title, in one line, with the nearest valid choice."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", box)
    inside = [line for line in text.splitlines() if not line.lstrip().startswith(("╭", "╰", "├"))]
    said = re.sub(r"\s+", " ", re.sub(r"[│─━┃]+", " ", " ".join(inside))).strip()
    said = re.sub(r" For full helptext, .+$", "", said)
    unknown = re.match(r"Unrecognized options: (.+?)(?:,| Arguments| Perhaps| Available|$)", said)
    if unknown:
        word = unknown[1].split("=")[0]
        hints = " ".join(re.split(r"Arguments similar to \S+:|Perhaps you meant:", said)[1:])
        near = [*dict.fromkeys(re.findall(r"(?<!\S)--[\w.-]+", hints))]
        choices = re.search(r"subcommands: (.+)", said)
        valid = ", ".join(near[:3]) or (choices[1] if choices else "")
        return f"unknown argument {word!r}{f'; nearest: {valid}' if valid else ''}. See --help"
    choice = re.search(r"invalid choice '(.*?)' for argument '(.*?)'. Expected one of \((.*?),?\)", said)
    if choice:
        words = [word.strip(" '") for word in choice[3].split(",")]
        near = difflib.get_close_matches(choice[1], words, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        return f"{choice[2]} must be one of {', '.join(words)}; got {choice[1]!r}{meant}"
    return f"{said.rstrip('.')}. See --help"
