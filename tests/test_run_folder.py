"""Which run folder a command uses."""

from dataclasses import replace
from pathlib import Path

import pytest

from mawm.build import write_config
from mawm.configs.presets import load_preset
from mawm.run_folder.checkpoint import write
from mawm.run_folder.locate import RunFolder, find_run_folder
from mawm.run_folder.manifest import map_digest, resumed_facts
from mawm.run_folder.saver import UNSAVED

CONFIG = load_preset("debug")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def begun(place: RunFolder, *, saved: bool = True) -> Path:
    """Write the folder of a run with a checkpoint, or of one stopped before the first."""
    write_config(place.folder, CONFIG, {})
    (place.folder / "metrics.jsonl").write_text("{}\n")
    if saved:
        write(place.folder, 10, {"run": ({}, {})}, keep=2)
    return place.folder


def test_same_settings_resume_their_folder_and_other_settings_get_a_new_one() -> None:
    first = begun(find_run_folder(CONFIG, None, fresh=False))
    assert first == Path("runs/3m_both_b0.05_s0")
    assert find_run_folder(CONFIG, None, fresh=False) == RunFolder(first, begun=True)
    longer = replace(CONFIG, env_steps=10**6, placement="process")
    assert find_run_folder(longer, None, fresh=False) == RunFolder(first, begun=True)
    other = replace(CONFIG, schedule=replace(CONFIG.schedule, warmup=7))
    assert find_run_folder(other, None, fresh=False) == RunFolder(Path("runs/3m_both_b0.05_s0-2"), begun=False)


def test_fresh_starts_a_new_folder_and_refuses_a_named_non_empty_one() -> None:
    first = begun(find_run_folder(CONFIG, None, fresh=False))
    assert find_run_folder(CONFIG, None, fresh=True) == RunFolder(Path("runs/3m_both_b0.05_s0-2"), begun=False)
    with pytest.raises(ValueError, match="is not empty, and --fresh wants a new one"):
        find_run_folder(CONFIG, first, fresh=True)
    with pytest.raises(ValueError, match="holds no run with these settings"):
        find_run_folder(replace(CONFIG, seed=5), first, fresh=False)


def test_run_stopped_before_its_first_checkpoint_restarts_in_its_folder() -> None:
    first = begun(find_run_folder(CONFIG, None, fresh=False), saved=False)
    (first / "notes.txt").write_text("mine")
    place = find_run_folder(CONFIG, None, fresh=False)
    assert place == RunFolder(first, begun=False)
    place.clear()
    assert [path.name for path in first.iterdir()] == [".unsaved", "notes.txt"]


def test_clear_deletes_nothing_of_a_run_with_a_checkpoint() -> None:
    first = begun(find_run_folder(CONFIG, None, fresh=False))
    before = sorted(first.rglob("*"))
    find_run_folder(CONFIG, None, fresh=False).clear()
    assert sorted(first.rglob("*")) == before


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"config": {"map": 7}}', b'{"config": 7}', b"[" * 10**5, b"\xff"]
)
def test_folder_with_unreadable_settings_is_not_used(content: bytes) -> None:
    folder = begun(find_run_folder(CONFIG, None, fresh=False))
    (folder / "config.json").write_bytes(content)
    assert find_run_folder(CONFIG, None, fresh=False).folder != folder


def test_file_in_place_of_the_run_folder_is_not_touched() -> None:
    Path("runs").mkdir()
    Path("runs/3m_both_b0.05_s0").write_text("a file")
    assert find_run_folder(CONFIG, None, fresh=False).folder == Path("runs/3m_both_b0.05_s0-2")
    with pytest.raises(ValueError, match="holds no run"):
        find_run_folder(CONFIG, Path("runs/3m_both_b0.05_s0"), fresh=False)


@pytest.mark.parametrize("left", ["ck-000000010", "evaluation.json"])
def test_folder_that_may_have_had_a_checkpoint_is_not_cleared(left: str) -> None:
    """Its checkpoints may have been moved, deleted or of an older layout: the curves must not be lost."""
    folder = begun(find_run_folder(CONFIG, None, fresh=False), saved=False)
    (folder / left).mkdir() if left.startswith("ck") else (folder / left).write_text("{}")
    assert find_run_folder(CONFIG, None, fresh=False).folder != folder
    with pytest.raises(ValueError, match="no run with these settings that could go on"):
        find_run_folder(CONFIG, folder, fresh=False)


def test_folder_with_a_log_past_the_first_save_is_not_cleared() -> None:
    folder = begun(find_run_folder(CONFIG, None, fresh=False), saved=False)
    every = CONFIG.schedule.save_every
    (folder / "metrics.jsonl").write_text("".join(f'{{"env_steps": {n}}}\n' for n in (every - 1, every + 1, every + 2)))
    assert find_run_folder(CONFIG, None, fresh=False).folder != folder


def test_changed_map_file_of_the_same_name_is_another_run(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("one")
    config = replace(CONFIG, map=str(own))
    place = find_run_folder(config, None, fresh=False)
    write_config(place.folder, config, {"map_sha256": map_digest(config)})
    write(place.folder, 10, {"run": ({}, {})}, keep=2)
    assert find_run_folder(config, None, fresh=False) == RunFolder(place.folder, begun=True)
    own.write_text("two")
    assert find_run_folder(config, None, fresh=False).folder != place.folder


def test_folder_with_only_a_lock_file_is_free() -> None:
    folder = find_run_folder(CONFIG, None, fresh=False).folder
    for name in (".lock", ".pid"):
        (folder / name).write_text("1")
    assert find_run_folder(CONFIG, folder, fresh=True) == RunFolder(folder, begun=False)


def test_run_that_never_saved_restarts_despite_its_log() -> None:
    place = find_run_folder(CONFIG, None, fresh=False)
    place.clear()
    begun(place, saved=False)
    (place.folder / "metrics.jsonl").write_text("".join(f'{{"env_steps": {n}}}\n' for n in range(0, 5000, 100)))
    assert find_run_folder(CONFIG, place.folder, fresh=False) == place
    (place.folder / UNSAVED).unlink()  # it was saved once: its checkpoints were moved away
    with pytest.raises(ValueError, match="holds no run with these settings that could go on"):
        find_run_folder(CONFIG, place.folder, fresh=False)


def test_run_of_one_game_is_not_resumed_with_another() -> None:
    with pytest.raises(
        ValueError, match=r"the game stand-in, and SC2PATH leads to StarCraft II: set SC2PATH to the run"
    ):
        resumed_facts({"game": "stand-in"}, {"game": "StarCraft II"}, 100, "train")


def test_resumed_run_of_the_same_game_has_one_line_about_its_new_battles() -> None:
    facts, new = resumed_facts({"game": "stand-in"}, {"game": "stand-in"}, 100, "train")
    assert new == 1 and facts["not_exact"][0].startswith("from 100 steps on: new battles")
