"""Presets: TOML files that list only what differs from the defaults."""

import difflib
import tomllib
import types
from dataclasses import fields, is_dataclass, replace
from importlib import resources
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from mawm.configs.train import TrainConfig

T = TypeVar("T")


def preset_names() -> list[str]:
    """The presets that come with the package."""
    folder = resources.files("mawm.configs") / "presets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_preset(name: str) -> TrainConfig:
    """The configuration of a preset. ValueError for an unknown name, with the nearest one."""
    if name not in preset_names():
        raise ValueError(f"there is no preset {name!r}{nearest(name, preset_names())}")
    text = (resources.files("mawm.configs") / "presets" / f"{name}.toml").read_text()
    return merge(TrainConfig(), tomllib.loads(text), f"preset {name}")


def merge(base: T, changes: dict[str, Any], where: str) -> T:
    """`base` (a dataclass) with nested changes; ValueError names an unknown key and the nearest, or a wrong type."""
    assert is_dataclass(base) and not isinstance(base, type)
    hints = get_type_hints(type(base))
    known = [f.name for f in fields(base)]
    done: dict[str, Any] = {}
    for key, value in changes.items():
        if key not in known:
            raise ValueError(f"{where}: unknown key {key!r}{nearest(key, known)}")
        old = getattr(base, key)
        path = f"{where}.{key}"
        done[key] = merge(old, _table(value, path), path) if is_dataclass(old) else _checked(value, hints[key], path)
    merged: T = replace(base, **done)
    return merged


def nearest(value: str, choices: list[str]) -> str:
    """A phrase that names the nearest valid choice, and all of them where they are few."""
    close = difflib.get_close_matches(value, choices, n=1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return hint + (f" (choose from: {', '.join(choices)})" if len(choices) <= 30 else "")


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a table of settings; got {value!r}")
    return value


def _checked(value: Any, hint: Any, where: str) -> Any:
    if get_origin(hint) is Literal:
        choices = [str(c) for c in get_args(hint)]
        if value not in choices:
            raise ValueError(f"{where} is {value!r}{nearest(str(value), choices)}")
        return value
    if get_origin(hint) is tuple:
        if not isinstance(value, list) or not value:
            raise ValueError(f"{where} must be a list of {get_args(hint)[0].__name__}; got {value!r}")
        return tuple(_checked(item, get_args(hint)[0], where) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if (
        isinstance(hint, types.UnionType)
        or not isinstance(value, hint)
        or (isinstance(value, bool) and hint is not bool)
    ):
        raise ValueError(f"{where} must be {hint.__name__}; got {value!r}")
    return value
