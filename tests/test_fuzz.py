"""Random settings, from files and from the command line: valid, or refused in one line that names the key."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mawm.configs.check import check
from mawm.configs.presets import load_preset, merge
from mawm.configs.train import TrainConfig
from mawm.train import configure

EXAMPLES = [(450, 50), pytest.param(18_000, 2_000, marks=pytest.mark.slow)]
"""Of settings as a file gives them, and of command lines."""


def leaves(node: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all settings."""
    found = []
    for entry in fields(node):
        value, here = getattr(node, entry.name), (*path, entry.name)
        found += leaves(value, here) if is_dataclass(value) else [here]
    return found


LEAVES = leaves(TrainConfig())
FLAT = {"sharing", "gating"}
"""Groups whose settings have no prefix on the command line."""
numbers = st.one_of(
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0, 1, -1, 0.5, 1e-9]),
)
words = st.one_of(st.sampled_from(["both", "bth", "gaussian", "3m", "", "nan", "1e999", "0x10"]), st.text(max_size=12))
values = st.one_of(numbers, words, st.booleans(), st.none(), st.lists(st.integers(), max_size=2))


@st.composite
def changes(draw: st.DrawFn) -> tuple[tuple[str, ...], Any]:
    """A setting, sometimes with a letter too many, and any value."""
    path = draw(st.sampled_from(LEAVES))
    if draw(st.integers(0, 9)) == 0:
        path = (*path[:-1], path[-1] + draw(st.sampled_from(["x", "_", "s"])))
    return path, draw(values)


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    return {path[0]: nested(path[1:], value) if path[1:] else value}


@pytest.mark.parametrize(("files", "lines"), EXAMPLES)
def test_any_setting_is_valid_or_refused_in_one_line_that_names_it(
    files: int, lines: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    relaxed = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
    seen = {"valid": 0, "refused": 0}

    @settings(max_examples=files, derandomize=True, **relaxed)
    @given(changes())
    def from_a_file(change: tuple[tuple[str, ...], Any]) -> None:
        path, value = change
        try:
            check(merge(load_preset("debug"), nested(path, value), "fuzz"))
        except ValueError as error:
            seen["refused"] += 1
            said = str(error)
            assert "\n" not in said.replace(repr(value), "") and path[-1] in said, (path, value, said)
            return
        seen["valid"] += 1
        assert path in LEAVES and value is not None

    @settings(max_examples=lines, derandomize=True, **relaxed)
    @given(changes())
    def from_the_command_line(change: tuple[tuple[str, ...], Any]) -> None:
        path, value = change
        name = ".".join(path[1:] if path[0] in FLAT and len(path) > 1 else path).replace("_", "-")
        capsys.readouterr()
        try:
            config = configure(["--preset", "debug", f"--{name}", str(value)])
        except SystemExit as end:
            seen["refused"] += 1
            said = capsys.readouterr().err
            assert end.code == 2 and said.startswith("mawm: ") and "Traceback" not in said, (path, value, said)
            return
        seen["valid"] += 1
        assert isinstance(config, TrainConfig)

    from_a_file()
    from_the_command_line()
    assert seen["valid"] > 20 and seen["refused"] > 100, seen
    assert list(tmp_path.iterdir()) == []
