"""Compare the contract functions with arrays from SMAC's code: `python -m mawm.envs.skirmish.golden DIR`."""

import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish.contract import Contract, agent_order, make_contract, settle, write_views
from mawm.envs.skirmish.contract_options import observe_options, optional_obs_size
from mawm.envs.skirmish.layout import BODY, COOLDOWN, ENERGY, HP, SHIELD, X, Y

TOLERANCE = 1e-5
"""Largest absolute error of floats; other types must be equal."""
COLUMNS = {"x": X, "y": Y, "health": HP, "shield": SHIELD, "energy": ENERGY, "weapon_cooldown": COOLDOWN}
USAGE = "usage: python -m mawm.envs.skirmish.golden DIR   (DIR holds the .npz files of SMAC's arrays)"

Table = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Check:
    """The comparison of one array: number of rows (first axis), largest absolute error, whether it passes."""

    array: str
    rows: int
    error: float
    good: bool
    note: str = ""


def compare(array: str, ours: NDArray[np.generic], theirs: NDArray[np.generic]) -> Check:
    """Compare one array: floats with a tolerance, other types exactly."""
    rows = len(theirs) if theirs.ndim else 1
    if ours.shape != theirs.shape:
        return Check(array, rows, np.inf, good=False, note=f"shape {ours.shape}, SMAC has {theirs.shape}")
    tolerance = TOLERANCE if np.issubdtype(theirs.dtype, np.floating) else 0.0
    difference = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    bad = np.argwhere(~(difference <= tolerance))  # the negated comparison also finds NaN
    note = f"{len(bad)} values differ, first at {bad[0].tolist()}" if len(bad) else ""
    return Check(array, rows, float(difference.max(initial=0.0)), good=not note, note=note)


def contract_of(data: Table) -> Contract:
    """The contract with the kinds, maxima, grid and limit of a file."""
    health, shield = (
        np.concatenate([data[f"ally_{k}_max"], data[f"enemy_{k}_max"]]).astype(np.float64) for k in ("health", "shield")
    )
    allies, enemies = ([str(kind) for kind in data[f"{side}_kind"]] for side in ("ally", "enemy"))
    return make_contract(
        allies, enemies, int(data["episode_limit"]), data["pathing_grid"].astype(np.bool_), health, shield
    )


def bodies_of(data: Table, prefix: str = "") -> NDArray[np.float64]:
    """The units of all layouts, or of all transitions (prefix `tr_`), as rows (..., U, BODY) of the engine."""
    lead = data[f"{prefix}ally_x"].shape[:-1]
    n, m = data[f"{prefix}ally_x"].shape[-1], data[f"{prefix}enemy_x"].shape[-1]
    bodies = np.zeros((*lead, n + m, BODY))
    for name, column in COLUMNS.items():
        bodies[..., :n, column] = data[f"{prefix}ally_{name}"]
        bodies[..., n:, column] = data[f"{prefix}enemy_{name}"]
    return bodies


def check_sizes(c: Contract, data: Table) -> Iterator[Check]:
    """Compare the scalars that are functions of the kinds."""
    for name in ("n_agents", "n_enemies", "n_actions", "obs_size", "state_size", "max_reward"):
        yield compare(name, np.asarray(getattr(c, name)), data[name])


def check_layouts(c: Contract, data: Table) -> Iterator[Check]:
    """Compare observation, state and mask of single layouts, with and without options, and the order of agents."""
    bodies = bodies_of(data)
    last = last_actions(data["last_action"])
    kinds: dict[str, type] = {"obs": np.float32, "avail": np.bool_, "state": np.float32}
    views: list[NDArray[Any]] = [np.zeros(data[name].shape, kind) for name, kind in kinds.items()]
    obs, avail, state = views
    if (obs.shape[-1], avail.shape[-1], state.shape[-1]) != (c.obs_size, c.n_actions, c.state_size):
        # `check_sizes` reports the sizes. Kernels do not check bounds, so they must not write here.
        yield Check("obs", len(obs), np.inf, good=False, note="sizes differ")
        return
    for row in range(len(obs)):
        write_views(c, bodies[row], last[row], obs[row], avail[row], state[row])
    yield compare("obs", obs, data["obs"])
    yield compare("state", state, data["state"])
    yield compare("avail", avail, data["avail"])
    yield from check_options(c, data, bodies, last, avail)
    order = [
        agent_order(kinds, x, y, [str(kind) for kind in data["ally_kind"]])
        for kinds, x, y in zip(data["order_kind"].tolist(), data["order_x"], data["order_y"], strict=True)
    ]
    yield compare("order_perm", np.array(order).reshape(data["order_perm"].shape), data["order_perm"])


def last_actions(one_hot: NDArray[np.generic]) -> NDArray[np.int64]:
    """Indices (..., N) of one-hot last actions (..., N, A), -1 where there is none."""
    hot = one_hot.astype(np.bool_)
    return np.where(hot.any(-1), hot.argmax(-1), -1).astype(np.int64)


def check_options(
    c: Contract, data: Table, bodies: NDArray[np.float64], last: NDArray[np.int64], avail: NDArray[np.bool_]
) -> Iterator[Check]:
    """Compare the observation with last actions, pathing grid and terrain height."""
    theirs = data["opt_obs"]
    height = np.ascontiguousarray(data["terrain_height"], np.float64)
    place = {int(index): row for row, index in enumerate(data["layout_index"])}
    ours = np.zeros((len(theirs), c.n_agents, optional_obs_size(c)), np.float32)
    for k, index in enumerate(data["opt_index"]):
        row = place[int(index)]
        for i in range(c.n_agents):
            observe_options(c, height, bodies[row], i, avail[row, i], last[row], ours[k, i])
    yield compare("opt_obs", ours, theirs)


def check_transitions(c: Contract, data: Table) -> Iterator[Check]:
    """Compare rewards, ends, counts, states and masks after each step of short parts of battles."""
    bodies = bodies_of(data, "tr_")
    actions = data["tr_actions"].astype(np.int64)
    names: tuple[str, ...] = ("reward", "reward_sparse", "reward_signed", "terminated", "battle_won")
    names += ("dead_allies", "dead_enemies", "end_code", "limit_key_continuing", "state", "avail")
    ours = {name: np.zeros_like(data[f"tr_{name}"]) for name in names}
    obs = np.zeros((c.n_agents, c.obs_size), np.float32)
    avail, state = np.zeros((c.n_agents, c.n_actions), np.bool_), np.zeros(c.state_size, np.float32)
    for case, length in enumerate(data["tr_len"].tolist()):
        for name in names:  # values after the end of a case are not from SMAC, so they are copied and compare as equal
            used = length + (name == "avail")
            ours[name][case, used:] = data[f"tr_{name}"][case, used:]
        for t in range(length + 1):
            last = actions[case, t - 1] if t else np.full(c.n_agents, -1, np.int64)
            write_views(c, bodies[case, t], last, obs, avail, state)
            ours["avail"][case, t] = avail
            if t:  # the state after the step that led to t
                ours["state"][case, t - 1] = state
        for t in range(length):
            _settle(c, bodies[case, t : t + 2], int(data["tr_start_step"][case]) + t + 1, ours, (case, t))
    for name in names:
        yield compare(f"tr_{name}", ours[name], data[f"tr_{name}"])


def _settle(c: Contract, pair: NDArray[np.float64], steps: int, ours: Table, at: tuple[int, int]) -> None:
    """Write the three kinds of reward, the end and the counts of one step; `pair` (2, U, BODY): before and after it."""
    before = np.ascontiguousarray(pair[0][:, [HP, SHIELD]])
    # Dead units may keep old shields, but `settle` counts only units that lived before the step.
    reward, code, over, timeout = settle(c, before, pair[1], steps, False, False)
    dead = pair[1][:, HP] <= 0.0
    values = {
        "reward": reward,
        "reward_sparse": settle(c, before, pair[1], steps, True, False)[0],
        "reward_signed": settle(c, before, pair[1], steps, False, True)[0],
        "terminated": over,
        "battle_won": code == 1,
        "dead_allies": dead[: c.n_agents].sum(),
        "dead_enemies": dead[c.n_agents :].sum(),
        "end_code": code,
        "limit_key_continuing": timeout,
    }
    for name, value in values.items():
        ours[name][at] = value


def check_file(path: Path) -> list[Check]:
    """All checks of one file. ValueError if the file does not have the format."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            data: Table = dict(archive)
        c = contract_of(data)
        return [*check_sizes(c, data), *check_layouts(c, data), *check_transitions(c, data)]
    except KeyError as error:
        raise ValueError(
            f"{path}: {error} is missing or unknown; the format is described in tests/golden/README.md"
        ) from None
    except (BadZipFile, zlib.error, EOFError, OSError, ValueError, IndexError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as SMAC's arrays: {error}") from None


def main(arguments: list[str]) -> int:
    """Check a folder and print a line per array. Exit code 0: all equal; 1: a mismatch; 2: no arrays to compare."""
    if arguments in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    if len(arguments) != 1:
        print(f"error: got {len(arguments)} arguments; expected one folder; {USAGE}", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    files = sorted(folder.glob("*.npz")) if folder.is_dir() else []
    if not files:
        print(f"error: '{folder}' is not a folder with .npz files, such as tests/golden", file=sys.stderr)
        return 2
    failed = 0
    for path in files:
        try:
            checks = check_file(path)
        except ValueError as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            return 2
        for check in checks:
            word = "ok" if check.good else f"MISMATCH {check.note}"
            print(f"{path.name:24} {check.array:24} rows {check.rows:5d}  largest error {check.error:.3g}  {word}")
        failed += sum(not check.good for check in checks)
    print(f"{len(files)} files, {failed} arrays differ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
