"""Presets: TOML files that list only what differs from the defaults."""

import tomllib
from dataclasses import fields, is_dataclass, replace
from importlib import resources
from typing import Any, TypeVar

from mawm.configs.settings import nearest, shown, valid
from mawm.configs.train import TrainConfig

T = TypeVar("T")


def names_in(folder: str) -> list[str]:
    """The TOML files of a folder that comes with the package, without their endings."""
    entries = (resources.files("mawm.configs") / folder).iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))


def text_of(folder: str, name: str, also: str = "") -> str:
    """One of these files. ValueError for an unknown name, with the nearest one, and what could be given `also`."""
    known = names_in(folder)
    if name not in known:
        what = folder.removesuffix("s")
        raise ValueError(f"there is no {what} {name!r}{nearest(name, known)} (choose from: {', '.join(known)}{also})")
    return (resources.files("mawm.configs") / folder / f"{name}.toml").read_text()


def load_preset(name: str) -> TrainConfig:
    """The configuration of a preset. ValueError for an unknown name, with the nearest one."""
    return merge(TrainConfig(), tomllib.loads(text_of("presets", name)), f"preset {name}")


def merge(base: T, changes: dict[str, Any], where: str) -> T:
    """`base` (a dataclass) with nested changes; ValueError names an unknown key and the nearest, or a wrong value."""
    if not changes:  # the default preset: `--help` needs no judge, which takes a tenth of a second to load
        return base
    changed: T = _laid_over(base, changes, where)
    return valid(changed, lambda setting: f"{where}.{setting.path}")


def _laid_over(base: Any, changes: dict[str, Any], where: str) -> Any:
    known = [entry.name for entry in fields(base)]
    done: dict[str, Any] = {}
    for key, value in changes.items():
        if key not in known:
            raise ValueError(
                f"{where}: unknown key {shown(key)}{nearest(key, known)} (choose from: {', '.join(known)})"
            )
        old = getattr(base, key)
        if is_dataclass(old):
            if not isinstance(value, dict):
                raise ValueError(f"{where}.{key} must be a table of settings; got {shown(value)}")
            done[key] = _laid_over(old, value, f"{where}.{key}")
        else:
            done[key] = tuple(value) if isinstance(old, tuple) and isinstance(value, list) else value
    return replace(base, **done)
