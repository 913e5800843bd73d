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
