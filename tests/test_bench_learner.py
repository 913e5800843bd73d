"""The benchmarks of the learner: stacked learners, torch.compile, and the command of the GPU checks."""

import json
import subprocess
from typing import Any

import pytest

from mawm.agents.compute import prepare_process
from mawm.benchmarks import gpu, stack
from mawm.configs.presets import load_preset

ROW = {"speedup_over_plain": 12.0, "seconds_per_iteration": 0.1}


@pytest.mark.slow
def test_stacked_learners_and_the_plain_learner_are_timed_in_one_row() -> None:
    prepare_process("float32")
    row = stack.measure(load_preset("debug").agent, agents=2, device="cpu", repeats=1)
    assert all(value > 0.0 for value in row.values())
    assert row["speedup_over_plain"] == pytest.approx(row["plain_seconds_per_iteration"] / row["seconds_per_iteration"])
    parts = row["world_model_update_s"] * 5 + 4 * (row["rollout_s"] + row["policy_epoch_s"])
    assert row["seconds_per_iteration"] == pytest.approx(parts)
    assert row["floor_seconds"] < row["seconds_per_iteration"]


def test_gpu_checks_without_a_gpu_are_a_user_error_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit) as stopped:
        gpu.main([])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines() == ["mawm: this machine has no GPU that torch can use"]


@pytest.mark.parametrize(
    ("three", "eight", "missed"),
    [
        ({}, {"seconds_per_iteration": 0.15}, []),
        ({"speedup_over_plain": 9.0}, {"seconds_per_iteration": 0.151}, ["speedup", "8 agents"]),
        ({"seconds_per_iteration": 0.13}, {}, ["iteration"]),
    ],
)
def test_gpu_benchmark_names_the_bars_that_are_missed(
    three: dict[str, float], eight: dict[str, float], missed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "\n".join(json.dumps(ROW | change) for change in ({}, three, eight))
    answer: Any = subprocess.CompletedProcess([], 0, lines, "")
    monkeypatch.setattr(gpu, "_called", lambda words, seconds: answer)
    (row,) = gpu.benchmark()
    failed = [name for name, fine in row["bars"].items() if not fine]
    assert len(failed) == len(missed) and all(
        name.startswith(start) for name, start in zip(failed, missed, strict=True)
    )


def test_gpu_benchmark_that_fails_shows_the_end_of_its_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    answer: Any = subprocess.CompletedProcess([], 1, "", "first\nlast")
    monkeypatch.setattr(gpu, "_called", lambda words, seconds: answer)
    (row,) = gpu.benchmark()
    assert row["said"] == ["first", "last"] and row["bars"] == {"benchmark runs": False}
