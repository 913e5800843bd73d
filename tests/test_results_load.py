"""Run folders: what is read, how runs are grouped, and that broken folders are reported."""

import json
import math
from pathlib import Path

import pytest
from results_study import win_rate_rows, write_run

from mawm.results.cells import best_bandwidths, group
from mawm.results.load import load_runs
from mawm.results.study import Study


def test_run_has_its_settings_and_results(tmp_path: Path) -> None:
    rows = win_rate_rows({1000: 0.25, 2000: 0.5})
    sharing = {"selector": "quantile", "channel": "real", "wire": "float16", "budget_bytes_per_step": 40.0}
    write_run(tmp_path / "deep" / "run", rows, map="2s3z", method="rollouts", seed=3, bandwidth=0.01, sharing=sharing)
    (run,), said = load_runs([tmp_path])
    assert (run.map, run.method, run.bandwidth) == ("2s3z", "rollouts", 0.01)
    assert run.variant == "selector quantile, wire float16, budget bytes per step 40.0"
    assert (run.seed, run.env_steps, run.finished, said) == (3, 2000, True, [])
    steps, rates = run.curve("eval/win_rate")
    assert (steps.tolist(), rates.tolist()) == ([1000, 2000], [0.25, 0.5])


def test_final_win_rate_is_of_the_last_policy(tmp_path: Path) -> None:
    rows = win_rate_rows({1000: 0.9, 2000: 0.5})
    write_run(tmp_path / "a", rows, {"win_rate": 0.625, "episodes": 320})
    write_run(tmp_path / "b", rows)
    write_run(tmp_path / "c", rows, {"win_rate": 0.95, "episodes": 320, "env_steps": 1000})
    runs, said = load_runs([tmp_path])
    assert [run.final("win_rate") for run in runs] == [0.625, 0.5, 0.5]
    assert len(said) == 1 and "earlier policy" in said[0]


def test_run_values_that_are_not_numbers_leave_gaps(tmp_path: Path) -> None:
    rows = [{"env_steps": 1, "a": None}, {"env_steps": 2, "a": 0.5}, {"env_steps": 3, "a": math.inf, "b": "text"}]
    write_run(tmp_path / "run", rows)
    (run,), _ = load_runs([tmp_path])
    assert run.curve("a")[0].tolist() == [2]
    assert math.isnan(run.last("b"))


def test_run_bytes_come_from_the_total_or_from_the_rate(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [{"env_steps": 10, "channel/sent_bytes": 70.0, "channel/bytes_per_env_step": 1.0}])
    write_run(tmp_path / "b", [{"env_steps": 10, "channel/bytes_per_env_step": 6.0}])
    runs, _ = load_runs([tmp_path])
    assert [run.bytes_sent()[1].tolist() for run in runs] == [[70], [60]]


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("config.json", None, "no config.json"),
        ("config.json", "{", "cannot be read"),
        ("config.json", "[]", "not an object"),
        ("config.json", '{"config": {"map": "3m"}}', "sharing.bandwidth"),
        ("config.json", '{"config": {"method": 3, "map": "3m", "sharing": {"bandwidth": 1}}}', "no method"),
        ("metrics.jsonl", None, "no metrics.jsonl"),
        ("metrics.jsonl", "", "no row"),
        ("metrics.jsonl", "torn", "no row"),
    ],
)
def test_study_names_a_broken_folder_with_its_reason(tmp_path: Path, file: str, text: str | None, reason: str) -> None:
    good = write_run(tmp_path / "good", win_rate_rows({1: 0.5}))
    broken = write_run(tmp_path / "broken", win_rate_rows({1: 0.5}))
    if text is None:
        (broken / file).unlink()
    else:
        (broken / file).write_text(text)
    runs, said = load_runs([tmp_path])
    assert [run.folder for run in runs] == [good]
    assert str(broken) in said[-1] and reason in said[-1] and "\n" not in said[-1]


def test_study_reports_torn_lines_empty_folders_and_missing_paths(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", win_rate_rows({1: 0.5, 2: 0.75}), evaluation={"episodes": 3})
    with (run / "metrics.jsonl").open("a") as log:
        log.write('{"env_steps": 3, "eval/w')
    (tmp_path / "void").mkdir()
    runs, said = load_runs([tmp_path, tmp_path / "nowhere"])
    assert runs[0].final("win_rate") == 0.75
    told = "\n".join(said)
    assert all(word in told for word in ("line 3", "no win_rate", "empty folder", "no such folder"))


def test_study_names_plugins_that_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(2):
        write_run(tmp_path / f"{seed}", win_rate_rows({1: 0.5}), method="lost", seed=seed, facts={"plugins": ["mine"]})
    assert [line for line in Study.load([tmp_path]).warnings if "MAWM_PLUGINS=mine" in line] != []
    monkeypatch.setenv("MAWM_PLUGINS", "mine")
    assert Study.load([tmp_path]).warnings == []


def test_study_ignores_checkpoints_below_a_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", win_rate_rows({1: 0.5}))
    (run / "ck-1").mkdir()
    (run / "ck-1" / "config.json").write_text("{}")
    assert [len(found) for found in load_runs([tmp_path])] == [1, 0]


def test_study_cells_group_seeds_and_ignore_bandwidth_without_a_channel(tmp_path: Path) -> None:
    for i, (method, bandwidth) in enumerate(
        (("both", 0.05), ("both", 0.1), ("independent", 0.05), ("independent", 0.1))
    ):
        for seed in (1, 0):
            folder = tmp_path / f"{i}_{seed}"
            write_run(folder, win_rate_rows({1: bandwidth}), method=method, bandwidth=bandwidth, seed=seed + 2 * i)
    cells, said = group(load_runs([tmp_path])[0])
    shown = [(cell.label, [run.seed for run in cell.runs]) for cell in cells]
    assert shown == [("Both-0.05", [0, 1]), ("Both-0.1", [2, 3]), ("Independent", [4, 5, 6, 7])]
    assert said == []
    assert [cell.label for cell in best_bandwidths(cells, lambda cell: 1.0)] == ["Both-0.05", "Independent"]


def test_study_reports_duplicate_seeds_and_mixed_settings(tmp_path: Path) -> None:
    write_run(tmp_path / "a", win_rate_rows({1: 0.5}), schedule={"battles": 8})
    write_run(tmp_path / "b", win_rate_rows({1: 0.9}), schedule={"battles": 8})
    write_run(tmp_path / "c", win_rate_rows({1: 0.7}), schedule={"battles": 4}, seed=1)
    (cell,), said = group(load_runs([tmp_path])[0])
    assert cell.finals == {0: 0.5, 1: 0.7}
    assert any(str(tmp_path / "b") in line for line in said)
    assert any("schedule.battles" in line for line in said)


def test_study_counts_unfinished_runs_only_on_request(tmp_path: Path) -> None:
    write_run(tmp_path / "whole", win_rate_rows({1000: 0.5}), env_steps=1000)
    write_run(tmp_path / "part", win_rate_rows({400: 0.5}), env_steps=1000, seed=1)
    assert [len(Study.load([tmp_path], unfinished).runs) for unfinished in (False, True)] == [1, 2]
    assert "400 of 1000 steps" in Study.load([tmp_path]).warnings[0]
    with pytest.raises(ValueError, match="1 unfinished, see --unfinished"):
        Study.load([tmp_path / "part"])


def test_run_facts_keep_further_keys(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", win_rate_rows({1: 0.5}), facts={"versions": {"torch": "2"}, "commands": ["x"]})
    assert load_runs([run])[0][0].facts == {"versions": {"torch": "2"}, "commands": ["x"]}
    assert "config" in json.loads((run / "config.json").read_text())


def test_study_reports_differing_runs_of_one_seed_and_counts_the_longer(tmp_path: Path) -> None:
    short, long = win_rate_rows({1000: 0.1}), win_rate_rows({1000: 0.1, 2000: 0.9})
    write_run(tmp_path / "a", short, method="both", env_steps=1000)
    write_run(tmp_path / "b", long, method="both", env_steps=2000)
    study = Study.load([tmp_path])
    assert [run.folder.name for run in study.runs] == ["b"]
    assert any("other env_steps" in line and line.endswith("b alone counts") for line in study.warnings)


def test_study_warns_of_different_step_budgets_on_a_map(tmp_path: Path) -> None:
    write_run(tmp_path / "a", win_rate_rows({1000: 0.1}), method="both", env_steps=1000)
    write_run(tmp_path / "b", win_rate_rows({2000: 0.1}), method="independent", env_steps=2000)
    assert any("runs of 1,000 and 2,000 steps" in line for line in Study.load([tmp_path]).warnings)


def test_run_ignores_sampled_evaluation_as_greedy_and_huge_numbers(tmp_path: Path) -> None:
    rows = win_rate_rows({1000: 0.9})
    write_run(tmp_path / "a", rows, {"win_rate": 0.1, "episodes": 320, "mode": "sample"}, seed=0)
    write_run(tmp_path / "b", rows, {"win_rate": 10**400, "episodes": 320}, seed=1)
    runs, said = load_runs([tmp_path])
    assert [run.final("win_rate") for run in runs] == [0.9, 0.9]
    assert any("mode 'sample', not greedy" in line for line in said)


def test_study_separates_centralized_with_a_wire_and_reports_changed_map_files(
    tmp_path: Path,
) -> None:
    rows = win_rate_rows({1000: 0.9})
    for seed, wire in enumerate(("float32", "float16")):
        write_run(tmp_path / wire, rows, method="centralized", seed=seed, sharing={"wire": wire})
    for seed, folder in enumerate(("x", "y")):
        write_run(tmp_path / folder, rows, method="both", seed=seed, map=f"/{folder}/mine.toml")
    study = Study.load([tmp_path])
    assert {cell.variant for cell in study.cells if cell.method == "centralized"} == {"", "wire float16"}
    assert any("differ in map" in line for line in study.warnings)


def test_runs_in_the_game_on_its_stand_in_and_on_the_engine_are_different_maps(tmp_path: Path) -> None:
    rows = win_rate_rows({1000: 0.5})
    write_run(tmp_path / "engine", rows)
    for name, game in (("game", {"game": "StarCraft II"}), ("other", {"game": "stand-in"}), ("unknown", {})):
        write_run(tmp_path / name, rows, env="smac", facts={"version": "0.2.0", **game})
    runs = load_runs([tmp_path])[0]
    engines = {run.map: run.engine for run in runs}
    assert engines.pop("3m").startswith("embedded engine")
    assert engines == {
        "3m (StarCraft II)": "",
        "3m (stand-in)": "stand-in for StarCraft II",
        "3m (unknown game)": "unknown game",
    }
    assert len({cell.map for cell in group(runs)[0]}) == 4
