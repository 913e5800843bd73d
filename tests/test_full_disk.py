"""Runs whose disk is full: a limit on the size of files, and a file system of four megabytes."""

import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_runs import Figure, differences, finish, rows, train, train_here, wait_until

from mawm.run_folder.checkpoint import checkpoints, newest


def begun(folder: Path) -> int:
    """Start a run, stop it by SIGTERM and return the steps of its last checkpoint."""
    process = train(folder)
    wait_until(lambda: any(c.env_steps > 150 for c in checkpoints(folder)), process)
    process.terminate()
    code, _, err = finish(process)
    assert code == 143, err
    return newest(folder).env_steps


def told(err: str, folder: Path) -> None:
    """Assert that three failed saves were reported with path, needed and free bytes, and that the run stopped."""
    lines = [line for line in err.splitlines() if "no checkpoint could be written" in line]
    assert len(lines) == 3 and all(str(folder) in line for line in lines), err
    assert all(re.search(r"it needs about [\d,]+ bytes, [\d,]+ are free", line) for line in lines)
    assert "The run stops; its last complete checkpoint is intact" in lines[-1] and "Traceback" not in err


@pytest.mark.slow
def test_run_with_a_file_size_limit_stops_and_its_old_checkpoint_loads(
    undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], figure: Figure
) -> None:
    folder = tmp_path / "run"
    before = begun(folder)
    kept = rows(folder)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # less than a learner's weights

    code, _, err = finish(train(folder, before=limited))
    assert code == 3
    told(err, folder)
    said: list[str] = []
    assert newest(folder, said.append).env_steps == before and said == []
    assert rows(folder)[: len(kept)] == kept and len(rows(folder)) > len(kept)
    code, _, err = train_here(folder, capsys=capsys)
    assert (code, err) == (0, "") and differences(undisturbed, folder) == []
    figure(
        "files that may not grow",
        "3 failed saves told, exit 3, the old checkpoint loads; without the limit bit for bit",
    )


@pytest.fixture
def small() -> Iterator[Path]:
    """A file system with room for a few checkpoints."""
    folder = Path(tempfile.mkdtemp())
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("file systems may not be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_run_on_a_full_disk_stops_and_resumes_bit_exactly_with_room_again(
    undisturbed: Path, small: Path, figure: Figure
) -> None:
    folder = small / "run"
    before = begun(folder)
    ballast = small / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small).free - 200_000))
    code, _, err = finish(train(folder))
    assert code == 3
    told(err, folder)
    said: list[str] = []
    assert newest(folder, said.append).env_steps == before and said == []
    ballast.unlink()
    code, _, err = finish(train(folder))
    assert (code, err) == (0, "") and differences(undisturbed, folder) == []
    figure("a full file system", "3 failed saves told, exit 3, nothing torn; with room again bit for bit")
