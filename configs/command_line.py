"""What the commands share: a user's mistake becomes one line and exit code 2, never a traceback."""

import contextlib
import difflib
import io
import re
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, NoReturn, TypeVar, get_type_hints

from mawm.configs.ranges import Ranges, allowed, shown
from mawm.runtime.console import hush

T = TypeVar("T")


def fail(message: str) -> NoReturn:
    """Say what is wrong in one line and end with exit code 2."""
    print(f"mawm: {' '.join(message.splitlines())}", file=sys.stderr)
    raise SystemExit(2)


def parse(
    target: Callable[..., T],
    *,
    prog: str,
    description: str,
    default: Any = None,
    args: list[str] | None = None,
    ranges: Ranges | None = None,
) -> T:
    """Parse the command line into `target`; a mistake is told in one line with the nearest valid choice.

    `ranges` of its numbers, by the last part of their names, are told too; to keep them is the caller's affair.
    """
    import tyro  # only commands need it

    said = io.StringIO()
    args = sys.argv[1:] if args is None else args
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(target, prog=prog, description=description, default=default, args=args)
    except SystemExit as end:
        if end.code == 2:
            fail(one_line(said.getvalue(), flags(target, ranges or {}), args))
        sys.stderr.write(said.getvalue())
        raise
    except BrokenPipeError:  # `--help | head`: the reader has seen enough
        hush()
        raise SystemExit(0) from None


def flags(target: Any, ranges: Ranges, prefix: str = "--") -> dict[str, str]:
    """What each argument of a command (a dataclass) must be, by its name on the command line."""
    found: dict[str, str] = {}
    hints = get_type_hints(target, include_extras=True) if is_dataclass(target) else {}
    for entry in fields(target) if is_dataclass(target) else ():
        hint, settings = hints[entry.name], getattr(hints[entry.name], "__metadata__", ())
        plain = hint.__origin__ if settings else hint
        name = f"{prefix}{entry.name.replace('_', '-')}"
        if is_dataclass(plain):
            # tyro.conf.arg(name="") puts the members of a group on the level of the group.
            flat = any(getattr(setting, "name", None) == "" for setting in settings)
            found |= flags(plain, ranges, prefix if flat else f"{name}.")
        else:
            found[name] = allowed(entry.name, plain, ranges)
    return found


def one_line(box: str, known: dict[str, str], args: list[str]) -> str:
    """The text of a boxed message without its frame and title, in one line, with what would have been valid.

    `known`: what the arguments of the command must be; `args`: what was typed.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", box)
    # Frames are drawn with lines, or with + - | where the terminal has no more than ASCII.
    inside = [line for line in text.splitlines() if not line.lstrip().startswith(("╭", "╰", "├", "+-"))]
    said = re.sub(r"\s+", " ", re.sub(r"[│─━┃]+|-{9,}|(?m:^\||\|$)", " ", "\n".join(inside))).strip()
    said = re.sub(r" For full helptext, .+$", "", said)
    said = re.sub(r"^(?:Value error|Missing argument|Unrecognized options|Parsing error) (?=[A-Z])", "", said)
    for explained in (_unknown(said, known), _invalid(said, known, args)):
        if explained:
            return explained
    return f"{said.rstrip('. ')}. See --help"


def _unknown(said: str, known: dict[str, str]) -> str:
    found = re.match(r"Unrecognized options: (.+?)(?:,| Arguments| Perhaps| Available|$)", said)
    if not found:
        return ""
    word = found[1].split("=")[0]
    hints = " ".join(re.split(r"Arguments similar to \S+:|Perhaps you meant:", said)[1:])
    near = [*dict.fromkeys(re.findall(r"(?<!\S)--[\w.-]+", hints))]
    if word.startswith("--"):
        near = near or difflib.get_close_matches(word.replace("_", "-"), known, 1, cutoff=0.0)
    choices = re.search(r"subcommands: (.+)", said)
    valid = ", ".join(near[:3]) or (choices[1] if choices else "")
    return f"unknown argument {shown(word)}{f'; nearest: {valid}' if valid else ''}. See --help"


def _invalid(said: str, known: dict[str, str], args: list[str]) -> str:
    """A value of the wrong type, none of the choices, or no value where one belongs."""
    found = re.match(
        r"(?:Error parsing |Missing value for argument '|.*invalid choice .* for argument ')(--[\w.-]+)", said
    )
    flag = found[1].rstrip(".") if found else ""
    if flag not in known:
        return ""
    if said.startswith("Missing"):
        return f"{flag} must be {known[flag]}; got nothing"
    typed = _typed(flag, args)
    near = difflib.get_close_matches(typed, re.findall(r"[^ ,]+", known[flag]), 1)
    return f"{flag} must be {known[flag]}; got {shown(typed)}{f'; did you mean {near[0]!r}?' if near else ''}"


def _typed(flag: str, args: list[str]) -> str:
    """The last value of an argument, as it was typed: boxes break lines inside of values."""
    value = ""
    for i, arg in enumerate(args):
        name, equals, rest = arg.partition("=")
        if name.replace("_", "-") == flag:
            value = rest if equals else "".join(args[i + 1 : i + 2])
    return value
