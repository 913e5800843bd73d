"""Which folder a command means."""

from dataclasses import replace
from pathlib import Path

import pytest

from mawm.build import write_config
from mawm.configs.presets import load_preset
from mawm.run_folder.checkpoint import write
from mawm.run_folder.locate import RunFolder, find_run_folder
from mawm.run_folder.manifest import map_digest
from mawm.run_folder.saver import UNSAVED

CONFIG = load_preset("debug")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def begun(place: RunFolder, *, saved: bool = True) -> Path:
    """Leave a run behind, with a checkpoint or stopped before the first one."""
    write_config(place.folder, CONFIG, {})
    (place.folder / "metrics.jsonl").write_text("{}\n")
    if saved:
        write(place.folder, 10, {"run": ({}, {})}, keep=2)
    return place.folder


def test_the_same_run_goes_on_whatever_its_steps_and_placement_and_another_one_finds_a_folder_of_its_own() -> None:
    first = begun(find_run_folder(CONFIG, None, fresh=False))
    assert first == Path("runs/3m_both_b0.05_s0")
    assert find_run_folder(CONFIG, None, fresh=False) == RunFolder(first, begun=True)
    longer = replace(CONFIG, env_steps=10**6, placement="process")
    assert find_run_folder(longer, None, fresh=False) == RunFolder(first, begun=True)
    other = replace(CONFIG, schedule=replace(CONFIG.schedule, warmup=7))
    assert find_run_folder(other, None, fresh=False) == RunFolder(Path("runs/3m_both_b0.05_s0-2"), begun=False)


def test_fresh_begins_in_a_new_folder_and_never_in_a_named_one_that_is_not_empty() -> None:
    first = begun(find_run_folder(CONFIG, None, fresh=False))
    assert find_run_folder(CONFIG, None, fresh=True) == RunFolder(Path("runs/3m_both_b0.05_s0-2"), begun=False)
    with pytest.raises(ValueError, match="is not empty, and --fresh wants a new one"):
        find_run_folder(CONFIG, first, fresh=True)
    with pytest.raises(ValueError, match="holds no run with these settings"):
        find_run_folder(replace(CONFIG, seed=5), first, fresh=False)


def test_what_was_stopped_before_its_first_checkpoint_begins_anew_in_its_folder() -> None:
    first = begun(find_run_folder(CONFIG, None, fresh=False), saved=False)
    (first / "notes.txt").write_text("mine")
    place = find_run_folder(CONFIG, None, fresh=False)
    assert place == RunFolder(first, begun=False)
    place.clear()
    assert [path.name for path in first.iterdir()] == [".unsaved", "notes.txt"]


def test_clearing_a_run_with_a_checkpoint_deletes_nothing() -> None:
    first = begun(find_run_folder(CONFIG, None, fresh=False))
    before = sorted(first.rglob("*"))
    find_run_folder(CONFIG, None, fresh=False).clear()
    assert sorted(first.rglob("*")) == before


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"config": {"map": 7}}', b'{"config": 7}', b"[" * 10**5, b"\xff"]
)
def test_a_folder_with_settings_that_cannot_be_read_is_left_alone(content: bytes) -> None:
    folder = begun(find_run_folder(CONFIG, None, fresh=False))
    (folder / "config.json").write_bytes(content)
    assert find_run_folder(CONFIG, None, fresh=False).folder != folder


def test_a_file_in_the_way_is_left_alone() -> None:
    Path("runs").mkdir()
    Path("runs/3m_both_b0.05_s0").write_text("a file")
    assert find_run_folder(CONFIG, None, fresh=False).folder == Path("runs/3m_both_b0.05_s0-2")
    with pytest.raises(ValueError, match="holds no run"):
        find_run_folder(CONFIG, Path("runs/3m_both_b0.05_s0"), fresh=False)


@pytest.mark.parametrize("left", ["ck-000000010", "evaluation.json"])
def test_where_a_checkpoint_may_have_been_nothing_is_cleared(left: str) -> None:
    """Moved to another disk, deleted to save room, of an older layout: the curves are still somebody's."""
    folder = begun(find_run_folder(CONFIG, None, fresh=False), saved=False)
    (folder / left).mkdir() if left.startswith("ck") else (folder / left).write_text("{}")
    assert find_run_folder(CONFIG, None, fresh=False).folder != folder
    with pytest.raises(ValueError, match="no run with these settings that could go on"):
        find_run_folder(CONFIG, folder, fresh=False)


def test_a_log_that_goes_on_past_the_first_save_is_not_cleared() -> None:
    folder = begun(find_run_folder(CONFIG, None, fresh=False), saved=False)
    every = CONFIG.schedule.save_every
    (folder / "metrics.jsonl").write_text("".join(f'{{"env_steps": {n}}}\n' for n in (every - 1, every + 1, every + 2)))
    assert find_run_folder(CONFIG, None, fresh=False).folder != folder


def test_another_map_under_the_same_name_is_another_run(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("one")
    config = replace(CONFIG, map=str(own))
    place = find_run_folder(config, None, fresh=False)
    write_config(place.folder, config, {"map_sha256": map_digest(config)})
    write(place.folder, 10, {"run": ({}, {})}, keep=2)
    assert find_run_folder(config, None, fresh=False) == RunFolder(place.folder, begun=True)
    own.write_text("two")
    assert find_run_folder(config, None, fresh=False).folder != place.folder


def test_a_folder_with_a_lock_alone_is_free() -> None:
    folder = find_run_folder(CONFIG, None, fresh=False).folder
    for name in (".lock", ".pid"):
        (folder / name).write_text("1")
    assert find_run_folder(CONFIG, folder, fresh=True) == RunFolder(folder, begun=False)


def test_a_run_that_never_could_save_begins_anew_whatever_its_logs_say() -> None:
    place = find_run_folder(CONFIG, None, fresh=False)
    place.clear()
    begun(place, saved=False)
    (place.folder / "metrics.jsonl").write_text("".join(f'{{"env_steps": {n}}}\n' for n in range(0, 5000, 100)))
    assert find_run_folder(CONFIG, place.folder, fresh=False) == place
    (place.folder / UNSAVED).unlink()  # it was saved once: its checkpoints were moved away
    with pytest.raises(ValueError, match="holds no run with these settings that could go on"):
        find_run_folder(CONFIG, place.folder, fresh=False)
