"""What a setting may be is its type, beside its field: read here for messages and judged by pydantic."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from itertools import product
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from annotated_types import Interval

T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """One setting of nested groups, which are dataclasses."""

    group: type
    path: str
    """Its name in files, with those of its groups: `sharing.bandwidth`."""
    flag: str
    """Its name on the command line: `--bandwidth`."""
    kind: Any
    """Its type, with what stands beside it."""
    value: Any


def settings_of(node: Any, path: str = "", prefix: str = "--") -> Iterator[Setting]:
    """All settings of a group and of the groups in it."""
    hints = get_type_hints(type(node), include_extras=True)
    for entry in fields(node):
        value, kind = getattr(node, entry.name), hints[entry.name]
        flag = f"{prefix}{entry.name.replace('_', '-')}"
        if is_dataclass(value):
            # tyro.conf.arg(name="") puts the members of a group on the level of the group.
            flat = any(getattr(beside, "name", None) == "" for beside in _beside(kind))
            yield from settings_of(value, f"{path}{entry.name}.", prefix if flat else f"{flag}.")
        else:
            yield Setting(type(node), f"{path}{entry.name}", flag, kind, value)


def valid(node: T, named: Callable[[Setting], str]) -> T:
    """`node`, a group whose values may be anything, with values of the right types.

    ValueError in one line for the first setting that is not what it must be: its name by `named`, what it must be, what
    it is, and the nearest value that it could be.
    """
    from pydantic import ValidationError  # `--help` needs none

    try:
        return cast(T, _judge(cast(Any, type(node))).validate_python([node])[0])
    except ValidationError as error:
        wrong = [entry["loc"] for entry in error.errors()]
    for setting, loc in product(settings_of(node), wrong):
        # Of a place in a union or a list pydantic gives the member's name or the item's number, too.
        parts, value, kind = setting.path.split("."), setting.value, setting.kind
        if [part for part in loc if part in parts] == parts:
            if isinstance(loc[-1], int):
                value, kind = value[loc[-1]], get_args(_plain(kind))[0]
            must = f"{named(setting)} must be {allowed(setting.kind)}"
            raise ValueError(f"{must}; got {shown(value)}{_meant(value, kind)}")
    raise AssertionError(wrong)


@cache
def _judge(kind: type) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    # A list, because pydantic takes a configuration for types that can have none of their own alone.
    return TypeAdapter(list[kind], config=ConfigDict(strict=True, revalidate_instances="always"))  # type: ignore[valid-type]


def allowed(kind: Any) -> str:
    """What a setting of this type may be, as a phrase after "must be"."""
    plain = _plain(kind)
    if get_origin(plain) is Literal:
        return f"one of {', '.join(map(str, get_args(plain)))}"
    if get_origin(plain) is tuple:
        return f"a list, each item {allowed(get_args(plain)[0])}"
    phrase = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(plain, "a path")
    return phrase + "".join(f" in [{shown(low)}, {shown(high)}]" for low, high in _ends(kind))


def nearest(value: Any, choices: Iterable[str]) -> str:
    """A phrase that names the nearest of some choices, or nothing."""
    close = difflib.get_close_matches(value, list(choices), 1, 0.4) if isinstance(value, str) else []
    return f"; did you mean {close[0]!r}?" if close else ""


def shown(value: Any) -> str:
    """A value as a message quotes it: in one line, and not endless."""
    try:
        text = f"{value:.12g}" if isinstance(value, float) else repr(value)
    except ValueError:  # an integer of thousands of digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _meant(value: Any, kind: Any) -> str:
    plain = _plain(kind)
    for low, high in _ends(kind):
        if type(value) in (int, float) and (value < low or value > high):
            return f"; did you mean {shown(min(high, max(low, value)))}?"
    return nearest(value, get_args(plain)) if get_origin(plain) is Literal else ""


def _ends(kind: Any) -> list[tuple[Any, Any]]:
    return [(beside.ge, beside.le) for beside in _beside(kind) if isinstance(beside, Interval)]


def _plain(kind: Any) -> Any:
    return kind.__origin__ if _beside(kind) else kind


def _beside(kind: Any) -> tuple[Any, ...]:
    return getattr(kind, "__metadata__", ())
