"""`mawm.evaluate`: a table of a trained team under the rules of its training and under others."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mawm.evaluate import main

GOLDEN = Path(__file__).parent / "golden/run-0.2.0"
COUNTS = ("episodes", "distinct_battles", "distinct_battles_sampled")


def printed(capsys: pytest.CaptureFixture[str], *args: str, run: Path = GOLDEN) -> dict[str, Any]:
    """The output of `mawm.evaluate --json` for 6 battles."""
    assert main([str(run), "--episodes", "6", "--json", *args]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *args: str, run: Path = GOLDEN) -> str:
    """The error line of a refused command."""
    with pytest.raises(SystemExit) as end:
        main([str(run), "--episodes", "6", *args])
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1
    return said


def moved(folder: Path, map_name: str) -> Path:
    """The golden run as if it had been trained on another map."""
    shutil.copytree(GOLDEN, folder)
    saved = json.loads((folder / "config.json").read_text())
    saved["config"]["map"] = map_name
    (folder / "config.json").write_text(json.dumps(saved))
    return folder


def test_evaluate_under_other_rules_keeps_the_row_of_the_training_rules(capsys: pytest.CaptureFixture[str]) -> None:
    alone, both = printed(capsys), printed(capsys, "--rules.spawn-jitter", "5")
    shifted = both.pop("shifted")
    assert both == alone
    assert all(isinstance(both[name], int) and 1 <= both[name] <= 6 for name in COUNTS)
    assert shifted.pop("rules") == {"spawn_jitter": 5.0}
    assert shifted.keys() == alone.keys() - {"low", "high", "env_steps"} - {
        k for k in alone if k.startswith(("dep", "tr"))
    }
    assert shifted != {name: alone[name] for name in shifted}


def test_evaluate_under_the_training_rules_repeats_their_row(capsys: pytest.CaptureFixture[str]) -> None:
    both = printed(capsys, "--rules.spawn_jitter=0.1", "--rules.threat", "1")
    shifted = both.pop("shifted")
    assert shifted.pop("rules") == {"spawn_jitter": 0.1, "threat": 1.0}
    assert shifted == {name: both[name] for name in shifted}


def test_evaluate_prints_one_table_with_a_row_for_each_set_of_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(GOLDEN), "--episodes", "6", "--rules.spawn-jitter", "0.5", "--rules.version", "5.0"]) == 0
    about, header, trained, shifted, *_ = capsys.readouterr().out.splitlines()
    assert about == "3m, 384 environment steps; 6 battles greedy, the same sampled"
    names = ("rules", "win rate, greedy", "win rate, sampled", "return, greedy / sampled", "distinct battles")
    starts = [header.index(name) for name in names]
    cells = [
        [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)] for line in (trained, shifted)
    ]
    assert [row[0] for row in cells] == ["as trained", "spawn-jitter 0.5, version 5.0"]
    assert all(" % [" in rate and rate.endswith("]") for row in cells for rate in row[1:3])
    assert all(" / " in row[3] and " / " in row[4] for row in cells)


def test_evaluate_refuses_a_rule_out_of_range_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--rules.spawn-jitter must be a number in [0, 128]; got -1" in refused(capsys, "--rules.spawn-jitter", "-1")


@pytest.mark.parametrize("map_name", ["market", "my_env:make"])
def test_evaluate_refuses_rules_for_an_environment_without_rules(
    map_name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "--rules.missiles", "0", run=moved(tmp_path / "run", map_name))
    assert (
        f"--rules.missiles is a rule of the embedded engine's battles, and the run's environment '{map_name}'" in said
    )
