"""The command that compares the contract with recorded outputs of SMAC's own code."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mawm.envs.skirmish.golden import check_file, compare, main

GOLDEN = Path(__file__).parent / "golden"
OUTPUTS = [
    *("obs", "state", "avail", "opt_obs", "order_perm", "max_reward", "obs_size"),
    *("tr_reward", "tr_reward_sparse", "tr_reward_signed", "tr_terminated", "tr_battle_won", "tr_dead_allies"),
    *("tr_dead_enemies", "tr_end_code", "tr_limit_key_continuing", "tr_state", "tr_avail"),
]


def corrupt(tmp_path, array):
    """A copy of 2s3z's file in which one value of one array is off by one."""
    with np.load(GOLDEN / "2s3z.npz") as archive:
        data = dict(archive)
    values = data[array].copy()
    flat = values.reshape(-1)
    flat[0] = not flat[0] if values.dtype == np.bool_ else flat[0] + 1
    data[array] = values
    np.savez(tmp_path / "2s3z.npz", **data)
    return tmp_path


def test_golden_command_passes_on_all_stored_maps():
    run = subprocess.run(
        [sys.executable, "-m", "mawm.envs.skirmish.golden", str(GOLDEN)],
        cwd=GOLDEN.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "8 files, 0 arrays differ" in run.stdout


@pytest.mark.parametrize("array", OUTPUTS)
def test_golden_command_names_one_wrong_value(tmp_path, capsys, array):
    assert main([str(corrupt(tmp_path, array))]) == 1
    bad = [line for line in capsys.readouterr().out.splitlines() if "MISMATCH" in line]
    assert any(line.split()[:2] == ["2s3z.npz", array] for line in bad), bad


def test_golden_command_compares_every_output_of_smac():
    assert {check.array for check in check_file(GOLDEN / "MMM.npz")} >= set(OUTPUTS)


def test_golden_command_counts_nan_as_mismatch():
    assert not compare("x", np.array([np.nan], np.float32), np.array([1.0], np.float32)).good


def test_golden_command_counts_a_wrong_shape_as_mismatch():
    assert not compare("x", np.zeros((2, 3)), np.zeros((2, 4))).good


def test_golden_command_refuses_an_empty_folder_in_one_line(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(tmp_path) in error


def test_golden_command_refuses_a_file_that_is_no_archive_in_one_line(tmp_path, capsys):
    (tmp_path / "broken.npz").write_bytes(b"not an archive")
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "broken.npz" in error


def test_golden_command_names_a_missing_array(tmp_path):
    with np.load(GOLDEN / "3m.npz") as archive:
        data = dict(archive)
    del data["tr_reward"]
    np.savez(tmp_path / "3m.npz", **data)
    with pytest.raises(ValueError, match="tr_reward"):
        check_file(tmp_path / "3m.npz")
