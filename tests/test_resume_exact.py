"""A run resumed in another process equals the uninterrupted run in every round, bit for bit."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import resume_cases
from real_runs import Figure, rows
from resume_cases import AFTER, BEFORE, CHANNELS, METHODS, close, config_of, on_the_way, play, play_round, start

from mawm.agents.compute import prepare_process
from mawm.run_folder.checkpoint import Loaded, Part
from mawm.run_folder.run_state import parts_of

Rounds = list[dict[str, str]]
Played = tuple[Loaded, dict[str, Part], Rounds]
"""A case's state on the way, that of a run that has not begun, and the digests of the rounds that follow."""


FAST = ("both", "centralized", "mappo", "policy")
"""The methods and gates that the fast suite plays. The state of each other one consists of parts that these have, too.

`independent`, `experience` and `rollouts` are parts of `both` (tests/test_selectors.py saves and loads every selector),
`ippo` has the learner of `mappo` for each agent, `strict` and `open` have the explorers of `policy`
(tests/test_information.py saves and loads both kinds of information).
"""


def run_script(what: str, folder: Path, hash_seed: str, cases: Iterable[str]) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, resume_cases.__file__, what, str(folder), *cases]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def both_ways(folder: Path, cases: Iterable[str]) -> Path:
    """Play cases to their end in one process, and resume them in another one."""
    run_script("straight", folder, "1", cases)
    for case in cases:
        shutil.copytree(folder / name_of(case), folder / "kept" / name_of(case))
    run_script("resumed", folder, "2", cases)
    return folder


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return both_ways(tmp_path_factory.mktemp("methods"), FAST)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return both_ways(tmp_path_factory.mktemp("others"), [case for case in (*METHODS, *CHANNELS) if case not in FAST])


def name_of(case: str) -> str:
    return case.replace(" ", "-")


def rounds(folder: Path, case: str, what: str) -> Rounds:
    found: Rounds = json.loads((folder / f"{name_of(case)}-{what}.json").read_text())
    return found


CASES = [pytest.param(case, marks=() if case in FAST else pytest.mark.slow) for case in (*METHODS, *CHANNELS)]


@pytest.mark.parametrize("case", CASES)
def test_resume_is_bit_exact_in_every_round(case: str, request: pytest.FixtureRequest, figure: Figure) -> None:
    folder = request.getfixturevalue("methods" if case in FAST else "others")
    one, other = (rounds(folder, case, what) for what in ("straight", "resumed"))
    for number, (a, b) in enumerate(zip(one, other, strict=True), 1):
        assert [path for path in sorted(a.keys() | b.keys()) if a.get(path) != b.get(path)] == [], number
    assert len(one) == AFTER == 5 and sum(one[0][path] != one[-1].get(path) for path in one[0]) > 100
    kept, again = folder / "kept" / name_of(case), folder / name_of(case)
    assert rows(kept) == rows(again) and len(rows(again)) >= 5
    assert (kept / "channel.csv").read_text() == (again / "channel.csv").read_text()
    what = "methods and gates" if case in METHODS else "other channels and maps"
    figure(f"going on in another process: {what}", f"{AFTER} rounds, each bit for bit")


def test_resume_continues_tensorboard_curves_without_gap_or_duplicate(methods: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
        events = EventAccumulator(str(run)).Reload()
        tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith("time/")]
        return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}

    one, other = curves(methods / "kept" / "both"), curves(methods / "both")
    assert one == other and len(one["train/return"]) >= 5
    assert len(list((methods / "both").glob("events.*"))) == 2


def pieces(parts: dict[str, Part]) -> dict[str, list[tuple[str, ...]]]:
    """The pieces of a run's state by name: arrays that belong together, and each setting of the rest."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for part, (arrays, rest) in parts.items():
        if part in ("learner_agent_0", "learner_agent_2"):
            continue  # as learner_agent_1
        for name in arrays:
            kind = name.split("/")
            found.setdefault(f"{part}/{'/'.join(kind[:2] if kind[0] != 'stream' else kind[:1])}", []).append(
                (part, "arrays", name)
            )
        for path in below(rest, 3):
            found[f"{part}: {'.'.join(path)}"] = [(part, "rest", *path)]
    return found


def below(node: dict[str, Any], depth: int) -> list[tuple[str, ...]]:
    """Paths of the values of nested dicts, at most `depth` deep."""
    found: list[tuple[str, ...]] = []
    for key, value in node.items():
        whole = not isinstance(value, dict) or not value or depth == 1 or "bit_generator" in value or key == "averages"
        deeper = [()] if whole else below(value, depth - 1)
        found += [(key, *path) for path in deeper]
    return found


def without(parts: dict[str, Part], fresh: dict[str, Part], piece: list[tuple[str, ...]]) -> dict[str, Part] | None:
    """The state with one piece as it is in a run that has not begun; None if it is the same there."""
    changed = {part: (dict(arrays), json.loads(json.dumps(rest))) for part, (arrays, rest) in parts.items()}
    differs = False
    for part, kind, *path in piece:
        old, new, target = (state[part][kind == "rest"] for state in (parts, fresh, changed))
        for key in path[:-1]:
            old, new, target = old[key], new[key], target[key]  # type: ignore[assignment,call-overload]
        key, was = path[-1], plain(old[path[-1]])
        if key in new:
            target[key] = new[key]
            differs |= was != plain(new[key])
        else:
            del target[key]
            differs = True
    return changed if differs else None


def plain(value: Any) -> Any:
    """A value as something that can be compared."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tobytes()
    return json.dumps(value)


NEEDS_A_FAULT = ("explorers: failure", "skipped", "refused_non_finite", "learned_from")
"""Pieces that change only by faults: their round trip has a test of its own."""
MADE_ANEW = {
    "run/step/": "",  # all but obs and avail: the next step's come before they are read
    "run/env/last": "",  # actions that the state vector shows: written with every step
    "explorers/collector/first": "",  # explorers have no memory that a new battle would clear
    "learned_from": "open",  # each round's explorers say it again
    "exploration.won": "",  # told before each update
    "experience.budget": "both, one shared budget, at random",  # the rollouts' is the same one
}
"""Pieces that may be dropped without an effect, and in which case ("": in all)."""
CONSTANT = (
    "battles/rows",  # how many there are
    "run: agents",  # the names of the agents
    "exploration.slow",  # it waits until the policy is no longer uniform, which takes longer than these runs
    "agent_1: intrinsic", "channel.delivery",  # nothing, where neither has a memory; in other cases what they have
    "rollouts.picks.", "rollouts.selector.losses",  # of a rollout nobody counts phases, and it has one loss alone
    "run: wall_s",
)  # fmt: skip
"""Pieces that change in no case, and why."""
NAMED = (
    "optimiser/world_model", "optimiser/actor", "weights/slow_critic", "weights/actor", "memory/train", "rows/own",
    "rows/received", "generators.act", "generators.model", "generators.behaviour", "generators.gains", "selector.past",
    "selector.losses", "selector.sigmas", "budget.tokens", "advantages.spread", "exploration.error", "reward_unit",
    "intrinsic/snapshots", "run/env/bodies", "run/step/obs", "run/stream", "schedule.", "search.rng", "explorers/psi",
    "evolved_at",
)  # fmt: skip
"""The pieces that the fast suite drops one by one."""
MUTATED = (
    "policy",
    "open",
    "both, one shared budget, at random",
    "both, as printed and late",
    "both, lost and late",
    "ippo",
)


def half_played(case: str, folder: Path) -> Played:
    """A case's state on the way, that of a run that has not begun, and the rounds that follow."""
    prepare_process("float32")
    config = config_of(case)
    run = start(config, folder / "run")
    for _ in range(BEFORE):
        play_round(run)
    run.save(run)
    expected = list(play(run, folder / "run", AFTER))
    fresh = start(config, folder / "fresh")
    parts = parts_of(fresh)
    close(run), close(fresh)
    return on_the_way(folder / "run"), parts, expected


def unnoticed(case: str, parts: dict[str, Part], expected: Rounds, folder: Path) -> bool:
    """Whether a run that goes on from these parts plays the expected rounds all the same."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        run = start(config_of(case), folder, Loaded(folder, BEFORE * resume_cases.ROUND, parts))
        same = all(played == digests for played, digests in zip(play(run, folder, AFTER), expected, strict=True))
        close(run)
    except Exception:  # a piece that others lean on
        return False
    return same


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Played]:
    """`half_played` of a case, once for all tests."""
    return cache(lambda case: half_played(case, tmp_path_factory.mktemp("half-played")))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files of runs that could not begin
@pytest.mark.parametrize(
    ("case", "named"),
    [("policy", NAMED), *(pytest.param(case, ("",), marks=pytest.mark.slow) for case in MUTATED)],
)
def test_resume_is_not_bit_exact_when_one_state_piece_is_dropped(
    case: str, named: tuple[str, ...], played: Callable[[str], Played], tmp_path: Path, figure: Figure
) -> None:
    saved, fresh, expected = played(case)
    assert not unnoticed(case, {}, expected, tmp_path / "none") and unnoticed(
        case, saved.parts, expected, tmp_path / "all"
    )
    missed, noticed = [], []
    for name, piece in pieces(saved.parts).items():
        changed = without(saved.parts, fresh, piece)
        if any(part in name for part in named) and changed is not None and name != "run: wall_s":
            (missed if unnoticed(case, changed, expected, tmp_path / "mutant") else noticed).append(name)
    excused = [part for part, only in MADE_ANEW.items() if only in ("", case)]
    assert [name for name in missed if not any(part in name for part in excused)] == []
    assert all(any(part in name for name in noticed) for part in named) and len(noticed) >= len(named)
    figure(
        f"pieces of state left out one by one ({case})",
        f"{len(noticed)} of {len(noticed)} noticed within {AFTER} rounds",
    )


@pytest.mark.slow
def test_every_state_piece_changes_in_some_case(played: Callable[[str], Played]) -> None:
    moved, all_ = set(), set()
    for case in MUTATED:
        saved, fresh, _ = played(case)
        for name, piece in pieces(saved.parts).items():
            all_.add(name)
            if without(saved.parts, fresh, piece) is not None:
                moved.add(name)
    excused = (*NEEDS_A_FAULT, *MADE_ANEW, *CONSTANT)
    still = [name for name in sorted(all_ - moved) if not any(part in name for part in excused)]
    assert still == []


def test_state_that_only_faults_change_survives_resume(played: Callable[[str], Played], tmp_path: Path) -> None:
    saved = deepcopy(played("policy")[0])
    parts = saved.parts
    rest = parts["learner_agent_1"][1]
    rest["skipped"] = {"world_model": [3, 1], "actor": [4, 0], "critic": [5, 2]}
    rest["experience"]["selector"]["refused_non_finite"] = 6
    parts["explorers"] = ({}, {"evolved_at": 64, "failure": "gone", "told": {"env_steps": 3.0}})
    run = start(config_of("policy"), tmp_path / "again", saved)
    again = parts_of(run)
    close(run)
    for part, (arrays, others) in parts.items():
        assert plain({**others, "wall_s": 0}) == plain({**again[part][1], "wall_s": 0})
        assert {name: plain(a) for name, a in arrays.items()} == {name: plain(a) for name, a in again[part][0].items()}
