"""The placements of a run: the choice, changes at a resume, sweeps, and settings that exclude each other."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mawm import sweep
from mawm.build import resolve_placement
from mawm.configs.presets import load_preset, merge
from mawm.run_folder.locate import find_run_folder
from mawm.run_folder.manifest import read_config, resumed_facts
from mawm.train import main


def test_auto_means_a_stack_on_a_gpu_for_learners_that_can_be_stacked() -> None:
    def placed(device: str = "cuda:0", **changes: Any) -> str:
        return resolve_placement(merge(load_preset("debug"), changes, "test"), learners=3, device=device, cores=2)

    assert placed() == placed(placement="stack") == placed("cpu", placement="stack") == "stack"
    assert placed("cpu") == "process" and placed("cpu", placement="inline") == "inline"
    assert placed(precision="bf16") == placed(placement="inline") == "inline"
    assert placed(method="ippo") == placed(method="mappo", placement="stack") == "inline"


def test_run_of_the_same_command_on_another_device_is_the_same_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(Path(__file__).parent / "golden/run-0.2.0", folder)
    config = read_config(folder)
    assert config.device == "cpu"
    assert find_run_folder(replace(config, device="cuda"), folder, fresh=False).begun


def test_dry_run_of_a_stacked_sweep_estimates_learners_that_cannot_be_stacked(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--methods", "ippo", "independent", "--placement", "stack", "--train-preset", "debug", "--seeds", "1"]
    assert sweep.main([*words, "--env-steps", "100", "--dry-run", "--out", f"{tmp_path}/out"]) == 0
    assert "2 runs of 2 kinds" in capsys.readouterr().out


def test_run_goes_on_in_the_other_placement_and_is_told_that_it_is_not_exact(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--preset", "debug", "--device", "cpu", "--bandwidth", "0.5"]
    assert main([*small, "--placement", "inline", "--env-steps", "200", "--run-dir", f"{tmp_path}/run"]) == 0
    assert "in this process" in capsys.readouterr().out
    resume = ["--resume", f"{tmp_path}/run"]
    assert main([*resume, "--placement", "stack", "--env-steps", "300"]) == 0
    said = capsys.readouterr()
    assert "not exact from 224 steps on: learners stacked, before one after another" in said.err
    assert "in one stack in this process" in said.out
    assert main([*resume, "--placement", "inline", "--env-steps", "400"]) == 0
    assert "learners one after another, before stacked" in capsys.readouterr().err


def test_placement_without_a_stack_is_exact_after_a_run_that_did_not_name_its_learners() -> None:
    _, new = resumed_facts({"device": "cpu"}, {"device": "cpu", "learners": "one after another"}, 5, "train")
    assert new == 0
    facts, new = resumed_facts({"device": "cpu"}, {"device": "cpu", "learners": "stacked"}, 5, "train")
    assert new == 1 and "learners stacked" in facts["not_exact"][0]


def test_precision_bf16_with_a_stack_is_an_error_that_names_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--preset", "debug", "--placement", "stack", "--precision", "bf16", "--device", "cpu"])
    assert stopped.value.code == 2
    assert "use --placement inline, or --precision auto" in capsys.readouterr().err
