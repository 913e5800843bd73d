"""Wheel, source distribution, editable install and checkout have the same modules and data."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINKS = ("agents", "benchmarks", "configs", "envs")
DATA = {
    "envs/skirmish/units.json": "mawm/envs/skirmish/units.json",
    "envs/skirmish/maps/3m.toml": "mawm/envs/skirmish/maps/3m.toml",
    "configs/presets/paper.toml": "mawm/configs/presets/paper.toml",
    **{name: name for name in ("mawm/watching/page.html", "mawm/watching/page.css", "mawm/watching/field.js")},
}
ENGINE_STEP = """
import mawm, numpy as np
from mawm.envs.skirmish.vector import SkirmishVectorEnv
env = SkirmishVectorEnv("3m", 1, seed=0)
step = env.step(env.reset().avail.argmax(axis=-1).astype(np.int64))
print(mawm.__file__, step.obs.shape)
"""


def run(*command: str, cwd: Path, **env: str) -> str:
    """Output of a command that must succeed, run outside the checkout with nothing of this process's module path."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "NUMBA"))}
    done = subprocess.run(command, cwd=cwd, env=clean | env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def listed_from(folder: Path) -> str:
    """Code that prints every module of the package found in a folder."""
    listing = "print(*sorted(module.name for module in pkgutil.walk_packages(mawm.__path__, 'mawm.')))"
    return f"import pkgutil, sys; sys.path.insert(0, {str(folder)!r}); import mawm; {listing}"


def build(kind: str, tree: Path, out: Path) -> Path:
    """One distribution of `kind` (wheel, editable, sdist) built from a tree by the declared backend."""
    out.mkdir()
    code = f"import setuptools.build_meta as backend; backend.build_{kind}({str(out)!r})"
    run(sys.executable, "-c", code, cwd=tree)
    (made,) = out.iterdir()
    return made


def unpack(wheel: Path, target: Path) -> Path:
    """A wheel installed into a folder of its own, without its dependencies."""
    pip = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile")
    run(sys.executable, *pip, "--target", str(target), str(wheel), cwd=target.parent)
    return target


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, in which builds may leave files."""
    copy = tmp_path_factory.mktemp("source") / "mawm"
    litter = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "runs", "venv", "*.egg-info", "golden")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=litter)
    return copy


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tree, tmp_path_factory.mktemp("wheel") / "dist")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(wheel, tmp_path_factory.mktemp("installed") / "site")


def test_wheel_contains_every_source_file_once(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    sources = [
        path for folder in ("mawm", *LINKS) for path in (ROOT / folder).rglob("*.py") if "build" not in path.parts
    ]
    own = [path for path in sources if not any(part.is_symlink() for part in path.parents)]
    expected = [path.relative_to(ROOT).as_posix() for path in own]
    expected = [name if name.startswith("mawm/") else f"mawm/{name}" for name in expected]
    assert sorted(name for name in names if name.endswith(".py")) == sorted(expected)


def test_wheel_contains_data_files_and_py_typed(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    maps = {f"mawm/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "envs/skirmish/maps").rglob("*.toml")}
    assert len(maps) >= 23
    assert names >= maps | set(DATA.values()) | {"mawm/py.typed"}


def test_sdist_contains_data_files_and_tests(tree: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tree, tmp_path / "dist")) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert set(names) >= {*DATA, "constraints.txt", "tests/test_packaging.py", "agents/agent.py", "setup.cfg"}
    assert not [name for name in names if name.startswith(tuple(f"mawm/{link}/" for link in LINKS))]


def test_installed_wheel_shows_train_help(installed: Path, tmp_path: Path) -> None:
    shown = run(sys.executable, "-m", "mawm.train", "--help", cwd=tmp_path, PYTHONPATH=str(installed))
    assert "--bandwidth" in shown


def test_installed_wheel_plays_a_step_of_a_battle(installed: Path, tmp_path: Path) -> None:
    played = run(sys.executable, "-c", ENGINE_STEP, cwd=tmp_path, PYTHONPATH=str(installed), NUMBA_DISABLE_JIT="1")
    assert played.startswith(str(installed))
    assert played.endswith("(1, 3, 30)\n")


def test_wheel_and_checkout_have_the_same_modules(installed: Path, tree: Path) -> None:
    from_wheel = run(sys.executable, "-I", "-S", "-c", listed_from(installed), cwd=tree)
    from_checkout = run(sys.executable, "-I", "-S", "-c", listed_from(tree), cwd=tree)
    assert "mawm.agents.agent" in from_wheel.split()
    assert from_wheel == from_checkout


def test_editable_install_needs_no_symlinks(installed: Path, tree: Path, tmp_path: Path) -> None:
    bare = tmp_path / "no-links"
    shutil.copytree(tree, bare, symlinks=True)
    for link in LINKS:
        (bare / "mawm" / link).unlink()
    site = unpack(build("editable", bare, tmp_path / "dist"), tmp_path / "site")
    names = run(sys.executable, "-I", "-S", "-c", listed_from(installed), cwd=tree).split()
    find = f"print(*(importlib.util.find_spec(name).origin for name in {names}))"
    code = f"import site, importlib.util; site.addsitedir({str(site)!r}); {find}"
    origins = run(sys.executable, "-I", "-S", "-c", code, cwd=tmp_path).split()
    assert len(origins) == len(names)
    assert all(origin.startswith(str(bare)) for origin in origins)
