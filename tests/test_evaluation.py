"""The interval of a win rate; and a run is a function of its settings: twice the same, and the same when resumed."""

from pathlib import Path

import numpy as np
import pytest

from mawm import train
from mawm.checkpoint import newest
from mawm.evaluation import Evaluation


@pytest.mark.parametrize(
    ("wins", "battles", "low", "high"),
    [(5, 10, 0.2366, 0.7634), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (288, 320, 0.8622, 0.9282)],
)
def test_the_interval_is_wilsons(wins: int, battles: int, low: float, high: float) -> None:
    interval = Evaluation(battles, wins, 0.0, 0.0).interval()
    assert interval == pytest.approx((low, high), abs=2e-4)


def debug_run(folder: Path, *steps: int) -> dict[str, np.ndarray]:
    """Arrays of the last checkpoint after training to each of `steps`, resuming in between."""
    flags = ["--preset", "debug", "--placement", "inline", "--bandwidth", "1", "--schedule.eval-every", "600"]
    assert train.main([*flags, "--env-steps", str(steps[0]), "--run-dir", str(folder)]) == 0
    for more in steps[1:]:
        assert train.main(["--resume", str(folder), "--env-steps", str(more)]) == 0
    return {f"{part}/{name}": a for part, (arrays, _) in newest(folder).load().items() for name, a in arrays.items()}


def test_the_same_settings_and_a_resumed_run_give_the_same_numbers_bit_for_bit(tmp_path: Path) -> None:
    once, again, resumed = (
        debug_run(tmp_path / "a", 1200),
        debug_run(tmp_path / "b", 1200),
        debug_run(tmp_path / "c", 600, 1200),
    )
    for other in (again, resumed):
        assert once.keys() == other.keys()
        assert [name for name in once if not np.array_equal(once[name], other[name])] == []
