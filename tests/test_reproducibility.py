"""Runs with the same settings have the same numbers, also when resumed; control channels."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from real_runs import rows

from mawm import train
from mawm.run_folder.checkpoint import newest


def debug_run(folder: Path, *steps: int, sharing: tuple[str, ...] = ("--bandwidth", "1")) -> dict[str, np.ndarray]:
    """Arrays of the last checkpoint after training to each of `steps`, resuming in between."""
    flags = ["--preset", "debug", "--placement", "inline", "--schedule.eval-every", "400", *sharing]
    assert train.main([*flags, "--env-steps", str(steps[0]), "--run-dir", str(folder)]) == 0
    for more in steps[1:]:
        assert train.main(["--resume", str(folder), "--env-steps", str(more)]) == 0
    return {f"{part}/{name}": a for part, (arrays, _) in newest(folder).parts.items() for name, a in arrays.items()}


def test_run_is_bit_for_bit_reproducible_also_when_resumed(tmp_path: Path) -> None:
    once, again, resumed = (
        debug_run(tmp_path / "a", 800),
        debug_run(tmp_path / "b", 800),
        debug_run(tmp_path / "c", 400, 800),
    )
    for other in (again, resumed):
        assert once.keys() == other.keys()
        assert [name for name in once if not np.array_equal(once[name], other[name])] == []
    first, second = rows(tmp_path / "a"), rows(tmp_path / "c")
    assert first == second and len(first) >= 8


def rows_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "channel.csv").read_text().splitlines()))


SHARING = {
    "self": ("--channel", "self", "--bandwidth", "1"),
    "shared budget": ("--selector", "random", "--bandwidth", "0.9", "--budget-bytes-per-step", "40"),
}


@pytest.mark.parametrize("name", ["self", "shared budget"])
def test_self_channel_and_byte_budget_hold_in_a_run(name: str, tmp_path: Path) -> None:
    debug_run(tmp_path, 400, sharing=SHARING[name])
    rows = [row for row in rows_of(tmp_path) if row["bytes"] != "0"]
    assert rows
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    if name == "shared budget":
        assert 0 < last["channel/bytes_per_env_step"] <= 40
    else:
        assert {row["sender"] == row["receiver"] for row in rows} == {True}


def test_control_channels_send_as_many_items_with_equal_gradient_steps(tmp_path: Path) -> None:
    steps, sent = [], []
    for name in ("real", "self", "shuffled", "random"):
        arrays = debug_run(tmp_path / name, 400, sharing=("--channel", name, "--bandwidth", "1"))
        steps.append({tag: int(a.reshape(-1)[0]) for tag, a in arrays.items() if tag.endswith("/step")})
        table = rows_of(tmp_path / name)
        sent.append(sum(int(row["sent"]) for row in table if row["kind"] == "experience"))
    assert len(steps[0]) >= 9 and all(other == steps[0] for other in steps)
    assert min(sent) > 0 and max(sent) <= 1.2 * min(sent)
