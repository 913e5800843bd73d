"""The settings of nested dataclasses. Their annotated types define the allowed values, which pydantic validates."""

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
    """Its name in files, after the names of its groups: `sharing.bandwidth`."""
    flag: str
    """Its name on the command line: `--bandwidth`."""
    kind: Any
    """Its type, possibly `Annotated`."""
    value: Any

    @property
    def annotations(self) -> tuple[Any, ...]:
        """The annotations of its type."""
        return _annotations(self.kind)


def settings_of(node: Any, path: str = "", prefix: str = "--") -> Iterator[Setting]:
    """All settings of a group and of its nested groups."""
    hints = get_type_hints(type(node), include_extras=True)
    for entry in fields(node):
        value, kind = getattr(node, entry.name), hints[entry.name]
        flag = f"{prefix}{entry.name.replace('_', '-')}"
        if is_dataclass(value):
            # tyro.conf.arg(name="") gives the members of a group flags without the group's name.
            flat = any(getattr(annotation, "name", None) == "" for annotation in _annotations(kind))
            yield from settings_of(value, f"{path}{entry.name}.", prefix if flat else f"{flag}.")
        else:
            yield Setting(type(node), f"{path}{entry.name}", flag, kind, value)


def valid(node: T, name_of: Callable[[Setting], str]) -> T:
    """Validate all settings of a group, and convert their values to the types of the settings.

    ValueError for the first invalid setting: its name from `name_of`, the allowed values, its value, and the nearest
    allowed value.
    """
    from pydantic import ValidationError  # `--help` does not need it

    try:
        return cast(T, _validator(cast(Any, type(node))).validate_python([node])[0])
    except ValidationError as error:
        wrong = [entry["loc"] for entry in error.errors()]
    for setting, loc in product(settings_of(node), wrong):
        # For unions and lists, pydantic's location also contains the member's name or the item's index.
        parts, value, kind = setting.path.split("."), setting.value, setting.kind
        if [part for part in loc if part in parts] == parts:
            if isinstance(loc[-1], int):
                value, kind = value[loc[-1]], get_args(_plain(kind))[0]
            must = f"{name_of(setting)} must be {allowed(setting.kind)}"
            raise ValueError(f"{must}; got {shown(value)}{_proposal(value, kind)}")
    raise AssertionError(wrong)


@cache
def _validator(kind: type) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    # A list, because pydantic accepts no configuration for a dataclass itself.
    return TypeAdapter(list[kind], config=ConfigDict(strict=True, revalidate_instances="always"))  # type: ignore[valid-type]


def allowed(kind: Any) -> str:
    """The allowed values of a setting of this type, as a phrase after "must be"."""
    plain = _plain(kind)
    if get_origin(plain) is Literal:
        return f"one of {', '.join(map(str, get_args(plain)))}"
    if get_origin(plain) is tuple:
        return f"a list, each item {allowed(get_args(plain)[0])}"
    phrase = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(plain, "a path")
    return phrase + "".join(f" in [{shown(low)}, {shown(high)}]" for low, high in _intervals(kind))


def nearest(value: Any, choices: Iterable[str]) -> str:
    """A phrase that proposes the nearest of some choices, or an empty text."""
    close = difflib.get_close_matches(value, list(choices), 1, 0.4) if isinstance(value, str) else []
    return f"; did you mean {close[0]!r}?" if close else ""


def shown(value: Any) -> str:
    """A value as text for a message: one line of at most 60 characters."""
    try:
        text = f"{value:.12g}" if isinstance(value, float) else repr(value)
    except ValueError:  # an integer of thousands of digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _proposal(value: Any, kind: Any) -> str:
    plain = _plain(kind)
    for low, high in _intervals(kind):
        if type(value) in (int, float) and (value < low or value > high):
            return f"; did you mean {shown(min(high, max(low, value)))}?"
    return nearest(value, get_args(plain)) if get_origin(plain) is Literal else ""


def _intervals(kind: Any) -> list[tuple[Any, Any]]:
    return [(entry.ge, entry.le) for entry in _annotations(kind) if isinstance(entry, Interval)]


def _plain(kind: Any) -> Any:
    return kind.__origin__ if _annotations(kind) else kind


def _annotations(kind: Any) -> tuple[Any, ...]:
    return getattr(kind, "__metadata__", ())
