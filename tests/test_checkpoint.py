"""Checkpoints are complete or absent."""

from pathlib import Path

import numpy as np
import pytest

from mawm.checkpoint import checkpoints, newest, write


def test_round_trip_and_only_the_last_are_kept(tmp_path: Path) -> None:
    for steps in (10, 20, 30):
        write(tmp_path, steps, {"run": ({"x": np.arange(steps)}, {"n": steps})}, keep=2)
    assert [c.env_steps for c in checkpoints(tmp_path)] == [20, 30]
    arrays, rest = newest(tmp_path).load()["run"]
    assert np.array_equal(arrays["x"], np.arange(30)) and rest == {"n": 30}


def test_a_torn_checkpoint_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, 10, {"run": ({"x": np.zeros(1)}, {})}, keep=2)
    (tmp_path / "ck-000000020").mkdir()
    (tmp_path / "writing-ck-000000030").mkdir()
    assert newest(tmp_path).env_steps == 10


def test_no_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        newest(tmp_path)


def test_a_checkpoint_of_the_same_step_is_left_as_it_is(tmp_path: Path) -> None:
    first = write(tmp_path, 10, {"run": ({"x": np.zeros(1)}, {})}, keep=2)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in first.iterdir())
    write(tmp_path, 10, {"run": ({"x": np.zeros(1)}, {})}, keep=2)
    assert sorted((path.name, path.stat().st_mtime_ns) for path in first.iterdir()) == before


def test_an_interrupted_removal_leaves_nothing_that_passes_for_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, ignore_errors: bool = False) -> None:
        if path.exists():
            (path / "run.json").unlink()
            raise KeyboardInterrupt

    for steps in (10, 20):
        write(tmp_path, steps, {"run": ({"x": np.zeros(1)}, {})}, keep=2)
    monkeypatch.setattr("mawm.checkpoint.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 30, {"run": ({"x": np.zeros(1)}, {})}, keep=2)
    assert (tmp_path / "ck-000000010").exists()
    assert [c.env_steps for c in checkpoints(tmp_path)] == [20, 30]
