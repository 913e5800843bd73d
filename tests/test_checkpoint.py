"""Checkpoints are complete or not used: round trips, damage, failed writes, shared table pieces."""

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from real_runs import Figure

from mawm import __version__
from mawm.benchmarks.saving import measure
from mawm.configs.presets import load_preset
from mawm.run_folder.checkpoint import Checkpoint, Part, base_for, checkpoints, newest, set_aside, write
from mawm.run_folder.checkpoint_writer import MANIFEST
from mawm.run_folder.saver import Saver, SavingFailed
from mawm.storage.append_only_tables import MOST_PIECES, MOST_ROWS
from mawm.storage.retry_writes import Retrying
from mawm.storage.safe_read import DamagedError, digest


def test_checkpoint_round_trip_keeps_only_the_last(tmp_path: Path) -> None:
    for steps in (10, 20, 30):
        write(tmp_path, steps, {"run": ({"x": np.arange(steps)}, {"n": steps})}, keep=2)
    assert [c.env_steps for c in checkpoints(tmp_path)] == [20, 30]
    arrays, rest = newest(tmp_path).parts["run"]
    assert np.array_equal(arrays["x"], np.arange(30)) and rest == {"n": 30}


def test_torn_checkpoint_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, 10, {"run": ({"x": np.zeros(1)}, {})}, keep=2)
    (tmp_path / "ck-000000020").mkdir()
    (tmp_path / "writing-ck-000000030").mkdir()
    assert newest(tmp_path).env_steps == 10


def test_newest_without_a_checkpoint_raises(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no checkpoint"):
        newest(tmp_path)


def test_checkpoint_of_the_same_step_is_not_rewritten(tmp_path: Path) -> None:
    first = write(tmp_path, 10, {"run": ({"x": np.zeros(1)}, {})}, keep=2)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in first.iterdir())
    write(tmp_path, 10, {"run": ({"x": np.zeros(1)}, {})}, keep=2)
    assert sorted((path.name, path.stat().st_mtime_ns) for path in first.iterdir()) == before


def test_interrupted_removal_leaves_no_loadable_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(path: Path, ignore_errors: bool = False) -> None:
        if path.exists():
            (path / "run.json").unlink()
            raise KeyboardInterrupt

    for steps in (10, 20):
        write(tmp_path, steps, {"run": ({"x": np.zeros(1)}, {})}, keep=2)
    monkeypatch.setattr("mawm.run_folder.checkpoint.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 30, {"run": ({"x": np.zeros(1)}, {})}, keep=2)
    assert (tmp_path / "ck-000000010").exists()
    assert [c.env_steps for c in checkpoints(tmp_path)] == [20, 30]


def table(end: int, since: Sequence[int] | None = None, keeps: int = 25) -> dict[str, np.ndarray]:
    """Rows of a table of one stream that holds the last `keeps`, since an earlier end."""
    start = max(0, end - keeps)
    at = np.arange(max(start, since[0] if since else 0), end)
    rows = {"lane": 0 * at, "at": at, "obs": np.repeat(at[:, None], 5, 1).astype(np.float32)}
    return {f"rows/own/{k}": v for k, v in {**rows, "start": np.array([start]), "end": np.array([end])}.items()}


def saved(folder: Path, *steps: int) -> Path:
    """Write small checkpoints as a run does; returns the folder of the newest one."""
    rng = np.random.default_rng(0)
    for step in steps:
        base = base_for(folder)
        learner = {"weights/actor/w": rng.normal(size=(8, 8)).astype(np.float32)}
        learner |= table(step, base.since("learner_agent_0").get("own") if base else None)
        parts: dict[str, Part] = {"learner_agent_0": (learner, {"round": step}), "run": ({}, {"wall_s": 1.5})}
        write(folder, step, parts, 2, base)
    return folder / f"ck-{steps[-1]:09d}"


def told(folder: Path) -> tuple[int, list[str]]:
    """The step of the checkpoint that is used, and the messages about others."""
    said: list[str] = []
    return newest(folder, said.append).env_steps, said


@pytest.mark.parametrize(("flips", "cuts"), [(200, 40), pytest.param(1000, 100, marks=pytest.mark.slow)])
def test_bit_flips_and_truncations_are_detected_and_the_previous_checkpoint_is_used(
    flips: int, cuts: int, tmp_path: Path, figure: Figure
) -> None:
    last, rng = saved(tmp_path, 2, 4, 6, 10, 20), np.random.default_rng(1)  # with shared pieces
    assert len(list(last.glob("*.own.*"))) == 3
    files = sorted(path for path in last.iterdir())
    sizes = np.array([path.stat().st_size for path in files])
    assert told(tmp_path) == (20, [])
    for trial in range(flips + cuts):
        path = files[rng.choice(len(files), p=sizes / sizes.sum())] if trial % 2 else files[trial // 2 % len(files)]
        whole = path.read_bytes()
        if trial < flips:
            at = int(rng.integers(len(whole)))
            path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << int(rng.integers(8)))]) + whole[at + 1 :])
        else:
            path.write_bytes(whole[: int(rng.integers(len(whole)))])
        used, said = told(tmp_path)
        # Space between what the manifest says is no part of it.
        if path.name == MANIFEST and used == 20:
            assert json.loads(path.read_bytes()) == json.loads(whole) and trial < flips
        else:
            assert used == 10 and len(said) == 1 and str(last) in said[0] and "skipped" in said[0], (path, trial)
        path.write_bytes(whole)
    assert told(tmp_path) == (20, [])
    figure(f"{flips} flipped bits, {cuts} truncations of a checkpoint", "all noticed, the one before used and named")


@pytest.mark.parametrize("what", ["missing", "extra", "link"])
def test_missing_extra_or_linked_file_in_a_checkpoint_is_detected(what: str, tmp_path: Path) -> None:
    last = saved(tmp_path, 10, 20)
    victim = last / "learner_agent_0.safetensors"
    if what == "extra":
        (last / "more.json").write_text("{}")
    else:
        victim.rename(tmp_path / "elsewhere")
        if what == "link":
            victim.symlink_to(tmp_path / "elsewhere")
    used, said = told(tmp_path)
    assert used == 10 and len(said) == 1
    expected = {"missing": "is missing", "extra": "does not belong", "link": "not a regular file"}[what]
    assert expected in said[0] and ("more.json" if what == "extra" else victim.name) in said[0]


def test_newest_raises_when_every_checkpoint_is_damaged(tmp_path: Path) -> None:
    (saved(tmp_path, 10) / "run.json").write_text("{}")
    with pytest.raises(DamagedError, match="none of the 1 checkpoints"):
        newest(tmp_path, lambda line: None)


def test_damaged_checkpoint_is_replaced_at_the_same_step(tmp_path: Path) -> None:
    (saved(tmp_path, 10, 20) / "run.json").write_text("{}")
    saved(tmp_path, 20)
    assert told(tmp_path) == (20, [])


def test_checkpoint_of_another_layout_is_refused_naming_both_versions(tmp_path: Path) -> None:
    manifest = saved(tmp_path, 10) / MANIFEST
    manifest.write_text(manifest.read_text().replace('"schema": 2', '"schema": 1').replace(__version__, "0.0"))
    with pytest.raises(DamagedError, match=rf"layout 1 \(mawm 0.0\); this is layout 2 \(mawm {__version__}\)"):
        Checkpoint(manifest.parent, 10).load()


def test_failed_save_leaves_no_files_and_keeps_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, 10)
    said: list[str] = []
    saver = Saver(tmp_path, 2, [], said.append)
    parts: dict[str, Part] = {"run": ({"x": np.zeros(100)}, {})}

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("mawm.run_folder.checkpoint_writer.write_synced", full)
        for step in (20, 30):
            assert not saver.save(step, lambda base: parts)
        assert len(said) == 2 and all(str(tmp_path) in line and "needs about 800 bytes" in line for line in said)
        assert "attempt 2 of 3" in said[1] and re.search(r"[\d,]+ are free", said[1])
        assert sorted(path.name for path in tmp_path.iterdir()) == ["ck-000000010"] and told(tmp_path) == (10, [])
        with pytest.raises(SavingFailed, match="The run stops; its last complete checkpoint is intact"):
            saver.save(40, lambda base: parts)
    assert saver.save(50, lambda base: parts)
    assert told(tmp_path) == (50, []) and saver.failed == 0


def test_checkpoint_waits_for_rows_the_log_could_not_write(tmp_path: Path) -> None:
    """Rows that a full disk held back are written before the next checkpoint; otherwise none is written."""
    said: list[str] = []
    log, room = tmp_path / "metrics.jsonl", [False]

    def append(row: str) -> None:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        log.write_text((log.read_text() if log.exists() else "") + row)

    rows = Retrying(append, "metrics.jsonl", said.append)
    saver = Saver(tmp_path, 2, [rows], said.append)
    rows("a")
    rows("b")
    assert said == ["metrics.jsonl cannot be written (No space left on device); its rows are kept for a retry"]
    assert not saver.save(10, lambda base: {"run": ({}, {})}) and checkpoints(tmp_path) == []
    assert "rows of the logs are not written yet" in said[1]
    room[0] = True
    assert saver.save(10, lambda base: {"run": ({}, {})})
    assert log.read_text() == "ab" and said[2] == "metrics.jsonl is complete again" and len(said) == 3


def test_leftovers_are_removed_and_damaged_checkpoints_are_set_aside(tmp_path: Path) -> None:
    last = saved(tmp_path, 10, 20)
    shutil.copytree(last, tmp_path / "writing-ck-000000015")  # complete, but for the rename
    (tmp_path / "damaged-ck-000000003").mkdir()
    (tmp_path / "ck-000000005").mkdir()
    (last / "run.json").write_text("{}")
    assert told(tmp_path)[0] == 10
    set_aside(tmp_path, 10)
    saved(tmp_path, 12, 14)
    left = ["ck-000000012", "ck-000000014", "damaged-ck-000000020"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_unreadable_checkpoint_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = saved(tmp_path, 10, 20)

    def broken(path: Path) -> str:
        if path.parent == last:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return digest(path)

    monkeypatch.setattr("mawm.run_folder.checkpoint.digest", broken)
    used, said = told(tmp_path)
    assert used == 10 and "Input/output error" in said[0]


def test_table_pieces_are_hard_linked_with_the_checkpoint_before_the_last_only(tmp_path: Path) -> None:
    def files(step: int) -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in (tmp_path / f"ck-{step:09d}").glob("*.own.*")}

    before: list[dict[str, int]] = []
    for step in (10, 14, 18, 21, 25, 30, 45, 46):
        saved(tmp_path, step)
        arrays, rest = newest(tmp_path).parts["learner_agent_0"]
        assert arrays["rows/own/at"].tolist() == list(range(max(0, step - 25), step)) and rest == {"round": step}
        assert np.array_equal(arrays["rows/own/obs"][:, 0], arrays["rows/own/at"])
        now = files(step)
        if before:
            assert not set(now.values()) & set(before[-1].values())
        if len(before) > 1:
            kept = now.items() & before[-2].items()
            assert len(kept) == len(now) - 1  # one piece is new, of the others none was written
        before.append(now)
    assert [len(names) for names in before] == [
        1,
        1,
        2,
        2,
        3,
        3,
        2,
        2,
    ]  # what no longer holds a row that counts is left behind


def harm_manifest(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["tables"]["learner_agent_0"]["own"]["pieces"][-1]["end"][0] += 2
    (folder / MANIFEST).write_text(json.dumps(manifest))


def harm_piece(folder: Path) -> None:
    """Change a byte in place, so that all hard links see it."""
    path = min(folder.glob("*.own.*"))
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (harm_manifest, "its seal does not match its content"),
        (harm_piece, "its SHA-256 differs from the manifest's"),
        (lambda folder: min(folder.glob("*.own.*")).unlink(), "cannot be read (No such file or directory)"),
        (lambda folder: (folder / MANIFEST).write_text('{"filez": 1}'), "has layout None"),
    ],
)
def test_damage_in_a_shared_checkpoint_is_reported_and_not_copied(
    harm: Callable[[Path], None], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harm(saved(tmp_path, 2, 4, 6, 10).with_name("ck-000000006"))
    for step in (14, 18):
        saved(tmp_path, step)
        told_of = capsys.readouterr().err
        assert (said in told_of and "the next checkpoint shares no rows with it" in told_of) == (step == 14)
        assert newest(tmp_path).parts["learner_agent_0"][0]["rows/own/at"].tolist() == list(range(step))
    assert told(tmp_path) == (18, [])


def test_slow_lane_does_not_keep_old_rows_of_other_lanes(tmp_path: Path) -> None:
    depth, most = 100, 0
    for save in range(1, 40):
        end = np.array([50 * save, save])
        start = np.maximum(end - depth, 0)
        base = base_for(tmp_path)
        since = base.since("x").get("own") if base else None
        first = start if since is None else np.maximum(start, since)
        lane, at = (
            np.repeat([0, 1], end - first),
            np.concatenate([np.arange(a, b) for a, b in zip(first, end, strict=True)]),
        )
        rows = {f"rows/own/{k}": v for k, v in {"lane": lane, "at": at, "start": start, "end": end}.items()}
        write(tmp_path, save, {"x": (rows, {})}, 2, base)
        held = newest(tmp_path).parts["x"][0]["rows/own/at"]
        assert held.tolist() == [*range(start[0], end[0]), *range(start[1], end[1])]
        _, tables = Checkpoint(tmp_path / f"ck-{save:09d}", save).listed()
        most = max(most, sum(piece.rows for piece in tables["x"]["own"].pieces))
    assert 2 * depth < most <= (MOST_ROWS + 1) * 2 * depth


def test_table_pieces_are_copied_where_hard_links_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(old: Path, new: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr("mawm.run_folder.checkpoint_writer.os.link", unsupported)
    last = saved(tmp_path, 2, 4, 6, 10)
    pieces = list(last.glob("*.own.*"))
    assert len(pieces) == 2 and all(path.stat().st_nlink == 1 for path in pieces)
    assert newest(tmp_path).parts["learner_agent_0"][0]["rows/own/at"].tolist() == list(range(10))


def test_checkpoint_that_reads_otherwise_than_written_is_discarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, 2, 4)
    monkeypatch.setattr("mawm.run_folder.checkpoint_writer.digest", lambda path: digest(path)[::-1])
    with pytest.raises(OSError, match="the file differs from what was written"):
        saved(tmp_path, 6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ck-000000002", "ck-000000004"]


def test_table_in_many_pieces_is_rewritten_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed, most = 8, 0
    assert allowed < MOST_PIECES
    monkeypatch.setattr("mawm.storage.append_only_tables.MOST_PIECES", allowed)  # the number alone differs
    for step in range(1, 3 * allowed):
        base = base_for(tmp_path)
        rows = table(step, base.since("learner").get("own") if base else None, keeps=1000)
        write(tmp_path, step, {"learner": (rows, {})}, 2, base)
        pieces = len(list((tmp_path / f"ck-{step:09d}").glob("*.own.*")))
        most = max(most, pieces)
        assert np.array_equal(newest(tmp_path).parts["learner"][0]["rows/own/at"], np.arange(step))
    assert most == allowed and pieces < allowed


def test_saving_benchmark_measures_saves_of_new_rows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mawm.benchmarks.saving.TIMED_STEPS", 100)  # a noisy time of a step will do here
    config = load_preset("debug")
    agent = replace(config.agent, replay=replace(config.agent.replay, capacity=8000))
    schedule = replace(config.schedule, save_every=200)
    row = measure(replace(config, agent=agent, schedule=schedule, placement="inline"), 1)
    assert row["save_every"] == 200 and 0 < row["share_of_wall"] < 1 and row["save_s"] > 0
    assert row["save_mb"] < 0.5 * row["whole_mb"] and row["whole_mb"] > 2


@pytest.mark.slow
def test_saving_takes_at_most_two_percent_of_the_time(figure: Figure) -> None:
    row = measure(load_preset("default"), os.cpu_count() or 1)
    assert row["share_of_wall"] <= 0.02 and row["replay_rows"] == 250_000
    share, ratio = 100 * row["share_of_wall"], row["whole_over_this"]
    figure(
        "a checkpoint every 5 000 steps of 3m, own replays full",
        f"{share:.2f} % of the time; all rows: {ratio:.1f}-fold",
    )
