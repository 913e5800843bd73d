"""The loggers of a run, chosen by `--log`: TensorBoard, CSV, Weights & Biases, MLflow, or a writer of your own.

`metrics.jsonl` is written in any case, because reports and sweeps read it.
"""

import csv
import importlib.util
import io
import json
import math
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mawm.runtime.import_user_code import load_factory
from mawm.storage.atomic_files import append_whole, write_whole
from mawm.storage.metrics_log import JsonLines, RetryingWriter, TensorBoard, Writer
from mawm.types import Metrics

PROJECT = "mawm"
"""Name of the project in Weights & Biases (unless WANDB_PROJECT names another), and of the experiment in MLflow."""


HEAD = "env_steps,wall_s,tag,value\n"


class Csv:
    """`metrics.csv` with a line for each value: env_steps, wall_s, tag, value. Tags may appear in the middle of a run.

    On a resume, lines after `resume_at` steps are dropped.
    """

    def __init__(self, folder: Path, resume_at: int | None = None) -> None:
        path = folder / "metrics.csv"
        lines = path.read_text().splitlines(keepends=True) if path.exists() and resume_at is not None else []
        kept = [line for line in lines if line.endswith("\n") and _steps(line) <= (resume_at or 0)]
        write_whole(path, HEAD + "".join(kept))
        self._file = path.open("ab", buffering=0)

    def write(self, env_steps: int, wall_s: float, metrics: Metrics) -> None:
        """Append the lines of one row. OSError if the disk is full: then no part of them is written."""
        text = io.StringIO()
        lines = ((env_steps, round(wall_s, 3), *item) for item in metrics.items())
        csv.writer(text, lineterminator="\n").writerows(lines)
        append_whole(self._file, text.getvalue().encode())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _steps(line: str) -> float:
    """The environment steps of a line of metrics.csv; infinite for its first line and for a damaged one."""
    steps = line.partition(",")[0]
    return int(steps) if steps.isdecimal() else math.inf


class WeightsAndBiases:
    """A run of Weights & Biases; a resumed run goes on in the same one. WANDB_MODE=offline needs no network.

    The axis is the value `env_steps` and not the step of wandb, which never goes back, as a resumed run may.
    """

    def __init__(self, folder: Path, resume_at: int | None = None) -> None:
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), dir=str(folder), name=folder.name,
            id=_identity(folder / "wandb-id", lambda: uuid.uuid4().hex[:12]), resume="allow",
            config=json.loads((folder / "config.json").read_text("utf-8")),
        )  # fmt: skip
        self._run.define_metric("*", step_metric="env_steps")

    def write(self, env_steps: int, wall_s: float, metrics: Metrics) -> None:
        """Log one row."""
        self._run.log({"env_steps": env_steps, "wall_s": wall_s, **metrics})

    def write_gif(self, env_steps: int, tag: str, gif: bytes, size: tuple[int, int]) -> None:
        """Log an animated GIF as a video."""
        import wandb

        self._run.log({"env_steps": env_steps, tag: wandb.Video(io.BytesIO(gif), format="gif")})

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


class MLflow:
    """A run of MLflow; a resumed run goes on in the same one. Without MLFLOW_TRACKING_URI it lies in FOLDER/mlruns."""

    def __init__(self, folder: Path, resume_at: int | None = None) -> None:
        import mlflow

        address = os.environ.get("MLFLOW_TRACKING_URI") or (folder / "mlruns").resolve().as_uri()
        if address.startswith("file:"):
            # MLflow asks to confirm that runs shall be files; a folder that belongs to one run needs no database.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        self._client = mlflow.MlflowClient(address)
        self.run_id = _identity(folder / "mlflow-id", lambda: self._new_run(folder.name))
        self._client.log_artifact(self.run_id, str(folder / "config.json"))

    def _new_run(self, name: str) -> str:
        found = self._client.get_experiment_by_name(PROJECT)
        experiment = found.experiment_id if found else self._client.create_experiment(PROJECT)
        return str(self._client.create_run(experiment, run_name=name).info.run_id)

    def write(self, env_steps: int, wall_s: float, metrics: Metrics) -> None:
        """Log one row."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        values = {"wall_s": wall_s, **metrics}
        self._client.log_batch(self.run_id, [Metric(tag, value, now, env_steps) for tag, value in values.items()])

    def write_gif(self, env_steps: int, tag: str, gif: bytes, size: tuple[int, int]) -> None:
        """Keep an animated GIF among the artifacts of the run."""
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / f"{tag.replace('/', '_')}_{env_steps}.gif"
            file.write_bytes(gif)
            self._client.log_artifact(self.run_id, str(file), "films")

    def close(self) -> None:
        """Mark the run as finished."""
        self._client.set_terminated(self.run_id)


def _identity(file: Path, new: Callable[[], str]) -> str:
    """The name of a run at a service, kept in the run's folder."""
    if not file.exists():
        write_whole(file, f"{new()}\n")
    return file.read_text().strip()


LOGGERS: dict[str, Callable[[Path, int | None], Writer]] = {
    "tensorboard": TensorBoard, "csv": Csv, "wandb": WeightsAndBiases, "mlflow": MLflow,
}  # fmt: skip
"""Loggers by the name in `--log`; each is made from the run's folder and the steps at which the run is resumed."""
FILES = ("tensorboard", "csv")
"""Loggers that write all or nothing, so that their rows can be kept while the disk is full."""


class Guarded:
    """A logger of others, which stops no run: after its first error it is told once and gets no more rows."""

    def __init__(self, writer: Writer, name: str, warn: Callable[[str], None]) -> None:
        self._writer, self._name, self._warn = writer, name, warn
        self._failed = False

    def write(self, env_steps: int, wall_s: float, metrics: Metrics) -> None:
        """Write a row, unless the logger has failed."""
        self._call("write", env_steps, wall_s, metrics)

    def write_gif(self, env_steps: int, tag: str, gif: bytes, size: tuple[int, int]) -> None:
        """Write a film, if the logger takes films."""
        if hasattr(self._writer, "write_gif"):
            self._call("write_gif", env_steps, tag, gif, size)

    def close(self) -> None:
        """Close the logger."""
        self._call("close")

    def _call(self, method: str, *arguments: Any) -> None:
        if self._failed:
            return
        try:
            getattr(self._writer, method)(*arguments)
        except Exception as error:  # other people's code may raise anything
            self._failed = True
            self._warn(f"--log {self._name} failed and gets no more rows ({type(error).__name__}: {error})")


def check_loggers(names: Sequence[str]) -> None:
    """ValueError for a logger that does not exist, or whose package is missing."""
    for name in names:
        if ":" in name:
            load_factory("log", name)
        elif name not in (*LOGGERS, "jsonl"):
            raise ValueError(
                f"log is {name!r}; it must be one of jsonl, {', '.join(LOGGERS)}, or module:factory of your own writer"
            )
        elif name not in ("jsonl", *FILES) and importlib.util.find_spec(name) is None:
            raise ValueError(f"--log {name} needs a package: pip install -c constraints.txt -e '.[{name}]'")


def make_loggers(
    names: Sequence[str], folder: Path, resume_at: int | None, warn: Callable[[str], None]
) -> list[RetryingWriter | Guarded]:
    """`metrics.jsonl`, and the loggers of `names`. Those of other packages and of users are guarded."""
    made: list[RetryingWriter | Guarded] = [
        RetryingWriter(JsonLines(folder / "metrics.jsonl", resume_at), "metrics.jsonl", warn)
    ]
    for name in dict.fromkeys(names):
        if name in FILES:
            file = {"tensorboard": "the event file", "csv": "metrics.csv"}[name]
            made.append(RetryingWriter(LOGGERS[name](folder, resume_at), file, warn))
        elif name != "jsonl":
            make = load_factory("log", name) if ":" in name else LOGGERS[name]
            try:
                made.append(Guarded(make(folder, resume_at), name, warn))
            except Exception as error:  # a service that cannot be reached, or the user's code
                warn(f"--log {name} could not begin and gets no rows ({type(error).__name__}: {error})")
    return made
