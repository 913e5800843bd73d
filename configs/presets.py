"""Presets: TOML files that list only what differs from the defaults."""

import difflib
import tomllib
from dataclasses import fields, is_dataclass, replace
from importlib import resources
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from mawm.configs.ranges import allowed, shown
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
            raise ValueError(f"{where}: unknown key {shown(key)}{nearest(key, known)}")
        old = getattr(base, key)
        path = f"{where}.{key}"
        if is_dataclass(old):
            done[key] = merge(old, _table(value, path), path)
        else:
            done[key] = _checked(value, hints[key], key, path)
    merged: T = replace(base, **done)
    return merged


def nearest(value: str, choices: list[str]) -> str:
    """A phrase that names the nearest valid choice, and all of them where they are few."""
    close = difflib.get_close_matches(value, choices, n=1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return hint + (f" (choose from: {', '.join(choices)})" if len(choices) <= 30 else "")


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a table of settings; got {shown(value)}")
    return value


def _checked(value: Any, hint: Any, name: str, where: str) -> Any:
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        if not isinstance(value, list) or not value:
            raise ValueError(f"{where} must be {allowed(name, hint)}; got {shown(value)}")
        return tuple(_checked(entry, item, name, where) for entry in value)
    if get_origin(hint) is Literal:
        fits = value in get_args(hint)
    elif hint is float:
        # An integer beyond any float is no number that a setting could be.
        fits = isinstance(value, float) or (type(value) is int and abs(value) < 2**1023)
    else:
        fits = type(value) is hint
    if not fits:
        near = nearest(value, list(get_args(hint))) if get_origin(hint) is Literal and isinstance(value, str) else ""
        raise ValueError(f"{where} must be {allowed(name, hint)}; got {shown(value)}{near.partition(' (')[0]}")
    return float(value) if hint is float else value
