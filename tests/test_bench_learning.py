"""`mawm.bench learning`: the table it computes from runs, and that it resumes a sweep."""

import json
from pathlib import Path
from typing import Any

import pytest
from results_study import write_run

from mawm import bench
from mawm.benchmarks.learning import rows, text
from mawm.envs.skirmish.maps import map_names


def run(folder: Path, seed: int, sampled: list[float], greedy: list[float], **config: Any) -> None:
    points = zip(sampled, greedy, strict=True)
    log = [
        {
            "env_steps": 1000 * i,
            "wall_s": 60.0 * i * (seed + 1),
            "eval/win_rate_sampled": a,
            "eval/win_rate": b,
            "train/win_rate": a / 2,
        }
        for i, (a, b) in enumerate(points, 1)
    ]
    evaluation = {"win_rate": 0.75, "win_rate_sampled": sampled[-1], "episodes": 100, "env_steps": 1000 * len(sampled)}
    write_run(folder / f"{config}_{seed}", log, evaluation, seed=seed, **config)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    run(tmp_path, 0, [0.1, 0.5, 0.4, 0.8], [0.6, 0.9, 0.7, 0.7], map="3m", method="ippo")
    run(tmp_path, 1, [0.1, 0.3, 0.5, 0.6], [0.1, 0.5, 0.8, 0.9], map="3m", method="ippo")
    run(tmp_path, 2, [0.9, 0.9, 0.9, 0.9], [0.9, 0.9, 0.9, 0.9], map="3m", method="ippo")
    run(tmp_path, 0, [0.0, 0.0, 0.0, 0.1], [0.0, 0.0, 0.0, 0.0], map="8m", method="ippo")
    return tmp_path


def test_bench_learning_level_not_reached_counts_as_late(study: Path) -> None:
    (row,) = rows(study, ("3m",), ("ippo",), range(3))
    assert row.sampled.steps == {
        50: [2000, 3000, 1000],
        80: [4000, None, 1000],
        90: [None, None, 1000],
        95: [None, None, None],
    }
    assert [row.sampled.median(level) for level in (50, 80, 90)] == [2000, 4000, None]
    assert row.greedy.steps[90] == [2000, 4000, 1000] and row.greedy.final == [0.75] * 3
    assert row.sampled.final == [0.8, 0.6, 0.9] and row.minutes == 8.0
    assert row.training.steps[50] == [None, None, None] and row.training.final == [0.4, 0.3, 0.45]
    assert json.loads(json.dumps(row.json()))["sampled_median"] == {"50": 2000, "80": 4000, "90": None, "95": None}


def test_bench_learning_counts_requested_seeds_only(study: Path) -> None:
    assert [row.seeds for row in rows(study, ("3m", "8m"), ("ippo",), range(2))] == [[0, 1], [0]]


def test_bench_learning_prints_published_figures_below_their_map(study: Path) -> None:
    lines = list(text(rows(study, ("3m", "8m"), ("ippo",), range(3))))
    starts = [line.split()[0] for line in lines[2:] if not line.startswith("            ")]
    assert starts == ["map", "3m", *["published"] * 4, "8m", *["published"] * 4]
    assert any("real game: MAPPO 54-57 % at 50k" in line for line in lines)
    assert "2k [1k - 3k]" in lines[3] and "4k [1k - -]" in lines[3] and "- [1k - -]" in lines[3]
    assert "80 % [90 - 60]" in lines[3]
    assert {row.map for row in rows(study, ("3m", "8m"), ("ippo",), range(3))} <= set(map_names())


@pytest.mark.slow
def test_bench_learning_trains_missing_runs_and_prints_a_row_per_method(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["learning", "--maps", "3m", "--methods", "ippo", "--seeds", "1", "--env-steps", "100", "--json"]
    said = []
    for _ in range(2):  # the second time nothing is left to train
        assert bench.main([*command, "--out", str(tmp_path)]) == 0
        said.append(capsys.readouterr().out)
    (row,) = [json.loads(line) for line in said[0].splitlines()]
    assert said[0] == said[1] and (row["map"], row["method"], row["seeds"]) == ("3m", "ippo", [10])
    assert row["env_steps"] >= 100 and "MAPPO" in row["published"]


def test_bench_learning_reports_a_mistake_as_the_sweep_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        bench.main(["learning", "--maps", "4m", "--out", str(tmp_path)])
    assert stopped.value.code == 2 and "4m" in capsys.readouterr().err


def test_bench_learning_of_existing_runs_starts_none(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["learning", "--runs", str(study), "--methods", "ippo", "mappo", "--first-seed", "0"]
    assert bench.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines if "ippo" in line] == [["3m", "ippo"], ["8m", "ippo"]]
    with pytest.raises(SystemExit) as stopped:
        bench.main([*command[:-1], "7"])
    assert stopped.value.code == 2 and "holds no run" in capsys.readouterr().err
