"""Presets: TOML files with the settings that differ from the defaults."""

import tomllib
from dataclasses import fields, is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from mawm.configs.settings import nearest, shown, valid
from mawm.configs.train import TrainConfig

T = TypeVar("T")


def names_in(folder: str) -> list[str]:
    """Names of the TOML files in a folder of the package, without their suffix."""
    entries = (resources.files("mawm.configs") / folder).iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))


def read_packaged(folder: str, name: str, alternative: str = "") -> str:
    """The text of one of these files. ValueError for an unknown name; it lists the names and the `alternative`."""
    known = names_in(folder)
    if name not in known:
        kind = folder.removesuffix("s")
        choices = f"{', '.join(known)}{alternative}"
        raise ValueError(f"there is no {kind} {name!r}{nearest(name, known)} (choose from: {choices})")
    return (resources.files("mawm.configs") / folder / f"{name}.toml").read_text()


def load_document(folder: str, name: str) -> dict[str, Any]:
    """The content of one of these files, or of a path that ends in .toml. ValueError if it cannot be read."""
    if name.endswith(".toml"):
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{name}: cannot be read ({error})") from None
    else:
        text = read_packaged(folder, name, ", or a path that ends in .toml")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # invalid TOML, an integer of thousands of digits, or deep nesting
        raise ValueError(f"{name}: {error}") from None


def load_preset(name: str) -> TrainConfig:
    """The configuration of a preset. ValueError for an unknown name."""
    return merge(TrainConfig(), tomllib.loads(read_packaged("presets", name)), f"preset {name}")


def merge(base: T, changes: dict[str, Any], where: str) -> T:
    """`base` (a dataclass) with nested changes. ValueError for an unknown key or a wrong value."""
    if not changes:  # the default preset: without validation, which takes a tenth of a second to load, for `--help`
        return base
    changed: T = _merged(base, changes, where)
    return valid(changed, lambda setting: f"{where}.{setting.path}")


def _merged(base: Any, changes: dict[str, Any], where: str) -> Any:
    known = [entry.name for entry in fields(base)]
    new: dict[str, Any] = {}
    for key, value in changes.items():
        if key not in known:
            raise ValueError(
                f"{where}: unknown key {shown(key)}{nearest(key, known)} (choose from: {', '.join(known)})"
            )
        old = getattr(base, key)
        if is_dataclass(old):
            if not isinstance(value, dict):
                raise ValueError(f"{where}.{key} must be a table of settings; got {shown(value)}")
            new[key] = _merged(old, value, f"{where}.{key}")
        else:
            new[key] = tuple(value) if isinstance(old, tuple) and isinstance(value, list) else value
    return replace(base, **new)
