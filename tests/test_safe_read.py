"""Hostile files: nothing is executed, memory and time are bounded, the error names the cause."""

import json
import pickle
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_runs import Figure
from safetensors.numpy import save

from mawm.run_folder.checkpoint import Checkpoint
from mawm.run_folder.checkpoint_writer import MANIFEST, SCHEMA, seal
from mawm.storage.safe_read import DamagedError, digest, read_json, read_tensors

EXECUTED: list[str] = []


class Payload:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return EXECUTED.append, ("executed",)


def header(fields: str, data: bytes = b"") -> bytes:
    """The bytes of a tensor file with any header."""
    return struct.pack("<Q", len(fields)) + fields.encode() + data


def entry(**changes: Any) -> str:
    facts: dict[str, Any] = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    return json.dumps({"w": facts | changes})


TENSORS = {
    "a pickle": (pickle.dumps(Payload()), "header"),
    "a header of 400 GB": (struct.pack("<Q", 400 << 30) + b"{}", "429,496,729,600"),
    "a header of 200 MB": (struct.pack("<Q", 200 << 20) + b" " * (201 << 20), "header of 209,715,200"),
    "a shape of 400 GB": (header(entry(shape=[10**11]), b"12345678"), ""),
    "a shape that overflows": (header(entry(shape=[2**40, 2**40]), b"12345678"), ""),
    "a negative shape": (header(entry(shape=[-2]), b"12345678"), ""),
    "offsets past the end": (header(entry(data_offsets=[0, 1 << 40]), b"12345678"), ""),
    "an unknown dtype": (header(entry(dtype="OBJECT"), b"12345678"), ""),
    "a doubled key": (header(entry()[:-1] + ", " + entry()[1:], b"12345678"), "'w' appears twice"),
    "a deep header": (header("[" * 100_000), "header"),
    "a huge integer": (header('{"w": ' + "9" * 100_000 + "}"), "header"),
    "weights of NaN": (
        save({"weights/actor/w": np.full(3, np.nan, np.float32)}),
        "weights/actor/w holds non-finite numbers",
    ),
    "an optimiser of Inf": (save({"optimiser/actor/exp_avg": np.full(3, np.inf)}), "optimiser/actor/exp_avg holds"),
    "nothing": (b"", "header"),
    "three bytes": (b"abc", "header"),
}
OBJECTS = {
    "a list": (b"[1, 2]", "not a JSON object"),
    "deep nesting": (b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested"),
    "a doubled key": (b'{"a": {"b": 1, "b": 2}}', "'b' appears twice"),
    "a huge integer": (b'{"a": ' + b"9" * 100_000 + b"}", "digits"),
    "a pickle": (pickle.dumps(Payload()), ""),
    "no UTF-8": (b'{"a": "\xff\xfe"}', ""),
}


@pytest.mark.parametrize(
    ("read", "content", "said"),
    [(read_tensors, *case) for case in TENSORS.values()] + [(read_json, *case) for case in OBJECTS.values()],
    ids=[f"tensors, {name}" for name in TENSORS] + [f"JSON, {name}" for name in OBJECTS],
)
def test_hostile_file_is_refused_by_name_within_a_second(
    read: Callable[[Path], Any], content: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "part.bin"
    path.write_bytes(content)
    began = time.process_time()
    with pytest.raises(DamagedError) as caught:
        read(path)
    assert str(path) in str(caught.value) and said in str(caught.value) and len(str(caught.value)) < 600
    assert time.process_time() - began < 1.0 and EXECUTED == []


READ_ALL = """
import resource, sys
from pathlib import Path
from mawm.storage.safe_read import DamagedError, read_json, read_tensors

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        (read_json if path.suffix == ".json" else read_tensors)(path)
    except DamagedError:
        continue
    sys.exit(f"{path} was read")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_hostile_files_take_at_most_200_mb(tmp_path: Path, figure: Figure) -> None:
    """In a new process, because an earlier peak of memory would hide that of reading."""
    for kind, files in ((".safetensors", TENSORS), (".json", OBJECTS)):
        for number, (content, _) in enumerate(files.values()):
            (tmp_path / f"{number}{kind}").write_bytes(content)
    done = subprocess.run([sys.executable, "-c", READ_ALL, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    grown_mb = int(done.stdout) / 1024
    assert grown_mb <= 200
    figure(
        f"{len(TENSORS) + len(OBJECTS)} hostile files",
        f"refused by name in 1 s, nothing executed, {grown_mb:.0f} MB",
    )


def test_file_over_the_size_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "part.json"
    with path.open("wb") as file:
        file.truncate(400 << 30)  # a sparse file
    with pytest.raises(DamagedError, match="at most"):
        read_json(path)
    with pytest.raises(DamagedError, match="429,496,729,600 bytes; at most"):
        read_tensors(path)


def seal_up(folder: Path, files: dict[str, Any], tables: Any) -> None:
    """Write a manifest with these contents and a valid seal."""
    manifest = {"schema": SCHEMA, "files": files, "tables": tables}
    (folder / MANIFEST).write_text(json.dumps({**manifest, "seal": seal(manifest)}))


@pytest.mark.parametrize("name", ["../outside.json", "/etc/passwd", "a/b.json", "x.pkl", "..", ""])
def test_manifest_naming_a_file_outside_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text("{}")
    folder = tmp_path / "ck-000000010"
    folder.mkdir()
    files = {name: {"bytes": 2, "sha256": digest(outside)}}
    seal_up(folder, files, {})
    with pytest.raises(DamagedError, match="no part of a checkpoint"):
        Checkpoint(folder, 10).load()


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (["run.own.000000001"] * 2, "lists a file twice"),
        ([], "run.own.000000001 lacks run.own.000000001.json"),
        (["run.own.000000002"], "lacks run.own.000000002.safetensors"),
        ("nonsense", "the manifest's `tables`"),
        (["run.own.000000001"], "the pieces of own do not fit each other"),
    ],
)
def test_inconsistent_table_pieces_are_refused(pieces: Any, said: str, tmp_path: Path) -> None:
    folder = tmp_path / "ck-000000010"
    folder.mkdir()
    rows = {"lane": np.full(3, 7), "at": np.arange(3), "start": np.zeros(1), "end": np.full(1, 3)}
    (folder / "run.own.000000001.safetensors").write_bytes(save(rows))
    (folder / "run.safetensors").write_bytes(save({}))
    (folder / "run.json").write_text("{}")
    files = {p.name: {"bytes": p.stat().st_size, "sha256": digest(p)} for p in folder.iterdir()}
    listed = [{"file": f"{name}.safetensors", "rows": 3, "end": [3]} for name in pieces]
    seal_up(folder, files, {"run": {"own": {"held": 3, "pieces": listed} if said[-1] != "`" else pieces}})
    with pytest.raises(DamagedError, match=said):
        Checkpoint(folder, 10).load()


def test_json_with_200_000_keys_is_checked_within_a_second(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{" + ", ".join(f'"k{i}": 0' for i in range(200_000)) + ', "k7": 1}')
    began = time.process_time()
    with pytest.raises(DamagedError, match="'k7' appears twice"):
        read_json(path)
    assert time.process_time() - began < 1.0


def test_sound_files_are_read_as_written(tmp_path: Path) -> None:
    arrays = {
        "weights/w": np.arange(6, dtype=np.float32).reshape(2, 3),
        "count": np.array([2**40]),
        "empty": np.zeros(0),
    }
    (tmp_path / "x.safetensors").write_bytes(save(arrays))
    read = read_tensors(tmp_path / "x.safetensors")
    assert read.keys() == arrays.keys() and all(np.array_equal(read[name], arrays[name]) for name in arrays)
    (tmp_path / "x.json").write_text('{"a": [1, {"b": NaN}]}')
    assert read_json(tmp_path / "x.json")["a"][0] == 1
