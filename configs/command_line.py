"""Parses the command lines of all commands. A user's mistake gives a short message and exit code 2, no traceback."""

import contextlib
import itertools
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin

from mawm.configs.settings import Setting, nearest, settings_of, shown, valid
from mawm.envs.checked import EnvFault
from mawm.runtime.console import flush_output, open_outputs, print_stderr
from mawm.types import Common

T = TypeVar("T")


def fail(message: str) -> NoReturn:
    """Print an error message in one line and exit with code 2."""
    print(f"mawm: {' '.join(message.splitlines())}", file=sys.stderr)
    raise SystemExit(2)


@contextlib.contextmanager
def user_errors(where: str = "") -> Iterator[None]:
    """A context whose ValueError or OSError is the user's mistake: one line that begins with `where`, exit code 2."""
    try:
        yield
    except (OSError, ValueError) as error:
        fail(f"{where}{error}")


@contextlib.contextmanager
def environment_faults() -> Iterator[None]:
    """A context in which a fault of the environment ends the process with one line and exit code 1."""
    try:
        yield
    except EnvFault as fault:
        print_stderr(str(fault))
        raise SystemExit(1) from None


@contextlib.contextmanager
def writing(flag: str, path: Path) -> Iterator[None]:
    """A context that writes the file or folder of a flag; an error ends the process with one line and exit code 2."""
    try:
        yield
    except OSError as error:
        what = error.filename or path
        reason = "it is a folder; give a file" if isinstance(error, IsADirectoryError) else error.strerror or error
        fail(f"{flag} {path}: {what} cannot be written ({reason})")


def make_folder(flag: str, path: Path) -> None:
    """Make the folder of a flag."""
    with writing(flag, path):
        path.mkdir(parents=True, exist_ok=True)


def make_parent(flag: str, path: Path) -> None:
    """Before long work: make the folder of a file, and check that the file may be written."""
    make_folder(flag, path.parent)
    if path.is_dir():
        fail(f"{flag} {path}: it is a folder; give the name of a file")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        fail(f"{flag} {path}: it cannot be written (permission denied)")


def parse(
    target: Callable[..., T],
    *,
    prog: str,
    description: str,
    default: Any = None,
    args: list[str] | None = None,
    brief: bool = False,
) -> T:
    """Parse the command line into `target`, a dataclass; exit with code 2 after a mistake.

    With `brief`, `--help` shows the settings of `default` that are marked as `Common`; `--help-all` shows all.
    """
    import tyro  # it loads slowly, and only commands need it

    args = sys.argv[1:] if args is None else args
    open_outputs()
    try:
        if brief and not {"-h", "--help"}.isdisjoint(args):
            print(_brief_help(prog, description, default), flush=True)
            raise SystemExit(0)
        command, unknown = tyro.cli(
            target,
            prog=prog,
            description=description,
            default=default,
            args=["--help" if arg == "--help-all" else arg for arg in args],
            registry=_accept_any_text(),
            return_unknown_args=True,
        )
    except BrokenPipeError:  # `--help | head`: the reader closed the pipe
        flush_output()
        raise SystemExit(0) from None
    except SystemExit:  # after `--help`, whose reader may have closed the pipe, or after an error
        flush_output()
        raise
    if unknown:
        fail(_unknown(unknown[0].partition("=")[0], command, args))
    with user_errors():
        return valid(command, _name)


SWITCH_VALUES = ("true", "false", "yes", "no", "on", "off", "1", "0")
"""Words that people write after a switch, which has no value."""


def _unknown(word: str, command: Any, args: list[str]) -> str:
    switches = {setting.flag: setting.value for setting in settings_of(command) if isinstance(setting.value, bool)}
    before = args[args.index(word) - 1] if word in args[1:] else ""
    joined = next((flag for flag, _, value in (arg.partition("=") for arg in args) if value == word), "")
    before = (joined or before).replace("_", "-")
    if word.lower() in SWITCH_VALUES and before in switches:
        return _stands_alone(before)
    if word.replace("_", "-") in switches:
        return _stands_alone(word.replace("_", "-"))
    flags = [setting.flag for setting in settings_of(command)]
    same = [flag for flag in flags if flag.endswith(f".{word.lstrip('-')}")]
    proposal = f"; did you mean {' or '.join(same)}?" if same else nearest(word.replace("_", "-"), flags)
    return f"unknown argument {shown(word)}{proposal if word.startswith('-') and proposal else '.'} See --help"


def _stands_alone(flag: str) -> str:
    """The message about a switch with a value."""
    group, dot, name = flag.removeprefix("--").rpartition(".")
    return f"{flag} stands alone, without a value; --{group}{dot}no-{name} switches it off. See --help"


def _name(setting: Setting) -> str:
    import tyro

    return setting.path.upper() if tyro.conf.Positional in setting.annotations else setting.flag


def _accept_any_text() -> Any:
    """Rules with which tyro accepts any text for numbers and choices, so that `valid` checks all values."""
    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

    registry = ConstructorRegistry()

    @registry.primitive_rule
    def rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        choices = ",".join(map(str, get_args(info.type))) if get_origin(info.type) is Literal else ""
        kind: Any = str if choices else info.type
        if kind not in (int, float) and not choices:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar=f"{{{choices}}}" if choices else kind.__name__.upper(),
            instance_from_str=lambda words: _converted(kind, words[0]),
            is_instance=lambda value: isinstance(value, kind),
            str_from_instance=lambda value: [str(value)],
        )

    return registry


def _converted(kind: Callable[[str], Any], word: str) -> Any:
    try:
        return kind(word)
    except ValueError:
        return _whole(word) if kind is int else word


def _whole(word: str) -> int | str:
    """The whole number that a word like 1e5 or 2.5e3 writes; the word itself if it writes none."""
    try:
        number = Decimal(word)
        return int(number) if number.is_finite() and number.adjusted() < 30 and number == int(number) else word
    except ArithmeticError:  # no number
        return word


def _brief_help(prog: str, description: str, default: Any) -> str:
    """The flag, default value and first help sentence of each common setting."""
    from tyro import MISSING_NONPROP
    from tyro.constructors import ConstructorRegistry, StructTypeInfo

    known = list(settings_of(default))
    common = [setting for setting in known if Common in setting.annotations]
    lines = [f"usage: {prog} [OPTIONS]", "", description]
    for group, settings in itertools.groupby(common, lambda setting: setting.group):
        lines += ["", _first_sentence((group.__doc__ or "").partition(" (")[0]).partition(":")[0] + ":"]
        spec = ConstructorRegistry.get_struct_spec(StructTypeInfo.make(group, MISSING_NONPROP, in_union_context=False))
        docs = {field.name: field.helptext for field in getattr(spec, "fields", ())}
        for setting in settings:
            doc = docs[setting.path.rpartition(".")[2]]
            lines += _entry(setting, _first_sentence(doc() if callable(doc) else doc))
    more = f"Values are the defaults. --help-all lists the other {len(known) - len(common)} settings too."
    return "\n".join([*lines, "", more])


def _first_sentence(text: str | None) -> str:
    return " ".join((text or "").split()).partition(". ")[0].rstrip(".")


def _entry(setting: Setting, meaning: str) -> list[str]:
    value = "PATH" if setting.value is None else "" if setting.value is False else str(setting.value)
    left = f"{setting.flag} {value}"
    return textwrap.wrap(f"  {left:<30}  {meaning}", 100, break_on_hyphens=False, subsequent_indent=" " * 34)
