"""`--log`: where the rows of a run go besides `metrics.jsonl`."""

import csv
import json
import re
import sys
from pathlib import Path

import pytest
from real_runs import ROOT, rows

from mawm.storage.loggers import Csv, Guarded, make_loggers
from mawm.train import main

OWN = re.search(r"```python\n(# my_log.py.*?)```", (ROOT / "docs/loggers.md").read_text("utf-8"), re.DOTALL)[1]  # type: ignore[index]
TRAIN = ("--preset", "debug", "--placement", "inline", "--method", "ippo", "--map", "market", "--market.steps", "10")


class Failing:
    """A writer whose second row fails."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def write(self, env_steps: int, wall_s: float, metrics: dict[str, float]) -> None:
        """The second call fails."""
        self.calls.append("write")
        if len(self.calls) == 2:
            raise ConnectionError("no route")

    def close(self) -> None:
        """Note the call."""
        self.calls.append("close")


def values_in(folder: Path) -> list[tuple[int, str, float]]:
    """The values of metrics.csv."""
    with (folder / "metrics.csv").open() as file:
        return [(int(row["env_steps"]), row["tag"], float(row["value"])) for row in csv.DictReader(file)]


def test_csv_drops_later_and_incomplete_lines_when_a_run_goes_on(tmp_path: Path) -> None:
    first = Csv(tmp_path)
    first.write(10, 1.0, {"a": 0.5, "b,c": float("nan")})
    first.write(20, 2.0, {"a": 0.1})
    first.close()
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("damaged\n15,2.")
    again = Csv(tmp_path, 15)
    again.write(18, 2.5, {"d": 1.0})
    again.close()
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines == ["env_steps,wall_s,tag,value", "10,1.0,a,0.5", '10,1.0,"b,c",nan', "18,2.5,d,1.0"]


def test_failing_logger_of_others_is_told_once_and_stops_no_run() -> None:
    told: list[str] = []
    inner = Failing()
    logger = Guarded(inner, "mine:make", told.append)
    for steps in range(4):
        logger.write(steps, 0.0, {"a": 1.0})
    logger.close()
    assert inner.calls == ["write", "write"]
    assert told == ["--log mine:make failed and gets no more rows (ConnectionError: no route)"]


def test_logger_that_cannot_begin_is_told_and_the_others_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no_service.py").write_text("def make(folder, resume_at):\n    raise OSError('no service')\n")
    monkeypatch.syspath_prepend(tmp_path)
    told: list[str] = []
    made = make_loggers(("no_service:make", "csv"), tmp_path, None, told.append)
    assert len(made) == 2 and told == ["--log no_service:make could not begin and gets no rows (OSError: no service)"]
    for writer in made:
        writer.close()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tensorbord", "log is 'tensorbord'; it must be one of jsonl, tensorboard, csv, wandb, mlflow, or module:fact"),
        ("nowhere:make", "log 'nowhere:make' cannot be loaded"),
        ("wandb", "--log wandb needs a package: pip install -c constraints.txt -e '.[wandb]'"),
    ],
)
def test_unknown_logger_is_refused_before_the_run_folder_exists(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as end:
        main([*TRAIN, "--log", name])
    assert end.value.code == 2 and said in capsys.readouterr().err and not (tmp_path / "runs").exists()


def test_run_writes_csv_and_a_writer_of_the_docs_and_changes_its_loggers_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_log.py").write_text(OWN, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert main([*TRAIN, "--env-steps", "350", "--run-dir", "run", "--log", "csv", "my_log:PrintReturns"]) == 0
    assert not list(Path("run").glob("events.*"))
    expected = [
        (row["env_steps"], tag, value)
        for row in rows(Path("run"))
        for tag, value in row.items()
        if tag not in ("env_steps", "wall_s") and value is not None
    ]
    logged = [value for value in values_in(Path("run")) if value[2] == value[2] and not value[1].startswith("time/")]
    assert logged == expected
    told = [
        (int(steps), float(value))
        for steps, value in map(str.split, (tmp_path / "run/returns.txt").read_text().splitlines())
    ]
    assert told == [(row["env_steps"], row["eval/return"]) for row in rows(Path("run")) if "eval/return" in row]
    assert main(["--resume", "run", "--env-steps", "450", "--log", "tensorboard"]) == 0
    assert list(Path("run").glob("events.*")) and json.loads(Path("run/config.json").read_text())["config"]["log"] == [
        "tensorboard"
    ]
    sys.modules.pop("my_log")


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_offline_logger_has_the_rows_of_metrics_jsonl_and_goes_on_in_the_same_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    options = ("--log", name, "--run-dir", str(tmp_path / "run"), "--schedule.eval-gif-every", "1")
    skirmish = ("--preset", "debug", "--placement", "inline", "--method", "ippo", "--map", "3m")
    assert main([*skirmish, *options, "--env-steps", "350"]) == 0
    identity = (tmp_path / f"run/{name}-id").read_text()
    assert main(["--resume", str(tmp_path / "run"), "--env-steps", "450"]) == 0
    assert (tmp_path / f"run/{name}-id").read_text() == identity
    if name == "wandb":
        assert len(list((tmp_path / "run/wandb").glob(f"offline-run-*-{identity.strip()}/run-*.wandb"))) == 2
        return
    import mlflow

    client = mlflow.MlflowClient((tmp_path / "run/mlruns").resolve().as_uri())
    history = client.get_metric_history(identity.strip(), "eval/return")
    logged = [(row["env_steps"], row["eval/return"]) for row in rows(tmp_path / "run") if "eval/return" in row]
    assert sorted({(entry.step, entry.value) for entry in history}) == logged
    assert {item.path for item in client.list_artifacts(identity.strip())} == {"config.json", "films"}
    assert client.get_run(identity.strip()).info.status == "FINISHED"
