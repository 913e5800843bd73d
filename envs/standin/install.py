"""Writes a folder that PySC2 takes for the game: a launcher, placeholder maps and the marker file."""

import shlex
import shutil
import sys
from importlib import resources
from pathlib import Path

from mawm.envs.skirmish.maps import load_map, map_names
from mawm.envs.standin.played_map import FLAT, FLAT_TEXT
from mawm.envs.standin.settings import MARKER, Settings, write_marker

EXECUTABLES = ("SC2_x64", "SC2.app/Contents/MacOS/SC2")
"""Where PySC2 looks for the executable of a version: on Linux, on macOS."""
_SIGNS = ("Versions", "SC2Data", ".build.info", "StarCraft II.app", "StarCraft II.exe")
_LAUNCHER = """#!/bin/sh
# Starts mawm's stand-in for the game. This is not StarCraft II. Written by: python -m mawm.standin
# The client's settings for its own interpreter must not reach this one.
unset PYTHONHOME PYTHONSTARTUP PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION
export PYTHONPATH={path}
exec {python} -m mawm.envs.standin.serve "$@"
"""


def install(root: Path, settings: Settings | None = None, maps: tuple[Path, ...] = ()) -> None:
    """Write a stand-in into a folder that is new, empty, or holds a stand-in; `maps` are map files of one's own.

    Its own interpreter runs it, whatever interpreter its clients have. ValueError, before anything is written, if the
    folder holds the real game or other files, if a map cannot be read, or if a package is missing.
    """
    settings = settings or Settings()
    try:
        from mawm.envs.standin.game import BUILDS
        from mawm.envs.standin.serve import PATH  # noqa: F401 (needs the package of the websocket)
    except (ImportError, TypeError) as error:  # TypeError: Blizzard's own files beside today's protobuf
        raise ValueError(
            f"the stand-in needs the protocol files and websockets ({error}): pip install 'mawm[starcraft]'; if another"
            " package brought old protocol files, also: pip install --force-reinstall --no-deps pys2clientprotocol"
        ) from None
    _check_folder(root)
    contents = {path.stem: _map_text(path) for path in maps}
    _, build = BUILDS[settings.rules.version]
    shutil.rmtree(root / "Versions", ignore_errors=True)  # a launcher of another version
    package = Path(__file__).resolve().parents[2]
    path = package.parent if package.name == "mawm" else package
    text = _LAUNCHER.format(path=shlex.quote(str(path)), python=shlex.quote(sys.executable))
    for name in EXECUTABLES:
        executable = root / "Versions" / f"Base{build}" / name
        executable.parent.mkdir(parents=True, exist_ok=True)
        executable.write_text(text, encoding="utf-8")
        executable.chmod(0o755)
    (root / "Replays").mkdir(exist_ok=True)
    folder = root / "Maps" / "SMAC_Maps"
    folder.mkdir(parents=True, exist_ok=True)
    source = resources.files("mawm.envs.skirmish") / "maps"
    texts = {name: (source / f"{name}.toml").read_text(encoding="utf-8") for name in map_names()}
    for name, content in (texts | dict.fromkeys(FLAT, FLAT_TEXT) | contents).items():
        target = folder / f"{name}.SC2Map"
        if not (target.is_file() and target.read_bytes().startswith(b"MPQ")):  # a real map file is kept
            target.write_text(content, encoding="utf-8")
    write_marker(root, settings)


def compile_engine(settings: Settings | None = None) -> None:
    """Compile the engine once, so that the first battle of a client does not wait for it."""
    from mawm.envs.skirmish.field import Field

    field = Field(load_map("3m"), 0, (settings or Settings()).rules)
    field.stop(1)
    field.play(1)


def _check_folder(root: Path) -> None:
    if root.exists() and not root.is_dir():
        raise ValueError(f"{root} is a file; name a folder")
    if (root / MARKER).is_file() or not root.exists() or not any(root.iterdir()):
        return
    if any((root / sign).exists() for sign in _SIGNS):
        raise ValueError(f"{root} holds a StarCraft II (and no {MARKER}): it stays as it is; name a new folder")
    raise ValueError(f"{root} is not empty and holds no {MARKER}: name a new folder")


def _map_text(path: Path) -> str:
    if path.suffix != ".toml":
        raise ValueError(f"map file '{path}' must end in .toml (docs/engine.md)")
    load_map(path)  # explains a mistake
    return path.read_text(encoding="utf-8")
