"""A condensed study has the tables and figures of the run folders that it was made from."""

import gzip
import json
from pathlib import Path

import pytest
from results_study import write_run, write_study

from mawm import export
from mawm.results.figures import FIGURES, make
from mawm.results.study import Study
from mawm.results.tables import difference_table, facts_table, results_table, runs_table


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study"), seeds=3)


def test_condensed_study_has_the_tables_of_its_runs(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("scipy")
    file = tmp_path / "data" / "study.jsonl.gz"
    assert export.main([str(study), "-o", str(file)]) == 0
    assert "runs on 2 map(s)" in capsys.readouterr().out
    before, after = Study.load([study]), Study.load([tmp_path])
    assert len(after.runs) == len(before.runs) > 20 and after.warnings == before.warnings
    for name in before.maps:
        assert results_table(name, after.cells) == results_table(name, before.cells)
        assert difference_table(name, after.cells) == difference_table(name, before.cells)
    assert (runs_table(after.cells), facts_table(after.runs)) == (runs_table(before.cells), facts_table(before.runs))


def test_condensed_study_draws_every_figure(study: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from mawm.results.drawing import Look

    export.main([str(study), "-o", str(tmp_path / "study.jsonl.gz")])
    cells = {place: Study.load([place]).cells for place in (study, tmp_path / "study.jsonl.gz")}
    drawn = [{name: isinstance(make(name, each, Look()), str) for name in FIGURES} for each in cells.values()]
    assert drawn[0] == drawn[1] and not all(drawn[0].values())


def test_condensed_study_is_small_and_byte_identical(study: Path, tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        export.main([str(study), "-o", str(tmp_path / name)])
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    folders = sum(file.stat().st_size for file in study.rglob("*") if file.is_file())
    assert (tmp_path / "a.jsonl.gz").stat().st_size < folders / 4


def test_condensed_numbers_keep_five_digits_integers_and_gaps(tmp_path: Path) -> None:
    rows = [
        {"env_steps": 1000, "channel/sent_bytes": 123456789.0, "agent_0/critic/loss": 1.23456789},
        {"env_steps": 2000, "eval/win_rate": 0.5, "time/unused": 3.0},
    ]
    write_run(tmp_path / "run", rows, {"win_rate": 0.75})
    export.main([str(tmp_path / "run"), "-o", str(tmp_path / "s.jsonl.gz")])
    (run,) = Study.load([tmp_path / "s.jsonl.gz"]).runs
    first, second = run.rows
    assert first == {"env_steps": 1000, "channel/sent_bytes": 123456789, "agent_0/critic/loss": 1.2346}
    assert second == {"env_steps": 2000, "eval/win_rate": 0.5} and run.final("win_rate") == 0.75
    assert run.folder.name == "run" and run.facts["python"] == "3.11.7"


@pytest.mark.parametrize(
    "line", ["{", "3", '{"run": "x"}', '{"run": "x", "saved": {}, "tags": {}, "evaluation": null}']
)
def test_condensed_study_skips_and_reports_an_invalid_line(line: str, tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl.gz"
    write_run(tmp_path / "run", [{"env_steps": 1000, "eval/win_rate": 0.5}])
    export.main([str(tmp_path / "run"), "-o", str(file)])
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()) + f"{line}\n".encode()))
    study = Study.load([file])
    assert len(study.runs) == 1
    assert [said for said in study.warnings if "line 2 is no run" in said and str(file) in said]


@pytest.mark.parametrize("damage", [b"", b"no gzip", gzip.compress(json.dumps({"a": 1}).encode(), mtime=0)[:-6]])
def test_condensed_study_that_is_damaged_is_named(damage: bytes, tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl.gz"
    file.write_bytes(damage)
    with pytest.raises(ValueError, match=r"s\.jsonl\.gz"):
        Study.load([file])


def test_export_to_an_unknown_file_ending_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        export.main([str(tmp_path), "-o", "study.csv"])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and "study.csv" in said and ".jsonl.gz" in said
