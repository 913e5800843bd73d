"""The metrics log: its rows, resuming, and averages."""

import json
from pathlib import Path

import pytest

from mawm.storage.metrics_log import Averages, JsonLines


def test_metrics_rows_are_json_with_null_for_non_finite(tmp_path: Path) -> None:
    writer = JsonLines(tmp_path / "m.jsonl")
    writer.write(5, 1.0, {"a": 2.0, "b": float("nan")})
    writer.close()
    assert json.loads((tmp_path / "m.jsonl").read_text()) == {"env_steps": 5, "wall_s": 1.0, "a": 2.0, "b": None}


def test_metrics_log_drops_later_and_torn_rows_on_resume(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"env_steps": 1}\n{"env_steps": 9}\n{"env_st')
    JsonLines(path, resume_at=5).close()
    assert path.read_text() == '{"env_steps": 1}\n'


def test_metrics_averages_are_means_since_the_last_flush() -> None:
    averages = Averages()
    for value in (1.0, 2.0):
        averages.add({"loss": value}, "agent_0/")
    assert averages.flush() == {"agent_0/loss": pytest.approx(1.5)}
    assert averages.flush() == {}
