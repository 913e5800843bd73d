"""What the commands share: a user's mistake becomes a short message and exit code 2, never a traceback."""

import sys
from collections.abc import Callable
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin

from mawm.configs.settings import Setting, nearest, settings_of, shown, valid
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
) -> T:
    """Parse the command line into `target`, a dataclass, or end the process: a mistake has exit code 2."""
    import tyro  # only commands need it

    args = sys.argv[1:] if args is None else args
    try:
        command, unknown = tyro.cli(
            target,
            prog=prog,
            description=description,
            default=default,
            args=args,
            registry=_takes_any_text(),
            return_unknown_args=True,
        )
    except BrokenPipeError:  # `--help | head`: the reader has seen enough
        hush()
        raise SystemExit(0) from None
    if unknown:
        fail(_unknown(unknown[0].partition("=")[0], command))
    try:
        return valid(command, _name)
    except ValueError as error:
        fail(str(error))


def _unknown(word: str, command: Any) -> str:
    flags = [setting.flag for setting in settings_of(command)]
    same = [flag for flag in flags if flag.endswith(f".{word.lstrip('-')}")]
    meant = f"; did you mean {' or '.join(same)}?" if same else nearest(word.replace("_", "-"), flags)
    return f"unknown argument {shown(word)}{meant if word.startswith('-') and meant else '.'} See --help"


def _name(setting: Setting) -> str:
    import tyro

    positional = tyro.conf.Positional in getattr(setting.kind, "__metadata__", ())
    return setting.path.upper() if positional else setting.flag


def _takes_any_text() -> Any:
    """Rules by which tyro hands on a text that is no number or none of the choices: `valid` judges all values alike."""
    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

    registry = ConstructorRegistry()

    @registry.primitive_rule
    def rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        choices = ",".join(map(str, get_args(info.type))) if get_origin(info.type) is Literal else ""
        made: Any = str if choices else info.type
        if made not in (int, float) and not choices:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar=f"{{{choices}}}" if choices else made.__name__.upper(),
            instance_from_str=lambda words: _made(made, words[0]),
            is_instance=lambda value: isinstance(value, made),
            str_from_instance=lambda value: [str(value)],
        )

    return registry


def _made(kind: Callable[[str], Any], word: str) -> Any:
    try:
        return kind(word)
    except ValueError:
        return word
