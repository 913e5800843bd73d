"""Plays short runs and writes, for every round, hashes of the run's whole state.

`python tests/resume_cases.py straight FOLDER CASE...` plays each case to its end and saves on the way; `resumed`
continues from that checkpoint in another process. The hashes do not depend on what a checkpoint contains: they cover
all attributes of the run's objects.
"""

import hashlib
import json
import shutil
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mawm.agents.compute import prepare_process
from mawm.agents.replay import Replay
from mawm.build import make_run, make_team
from mawm.configs.presets import load_preset, merge
from mawm.configs.train import TrainConfig
from mawm.envs.registry import make_env
from mawm.gating.build import make_explorer_hook
from mawm.loop import Run, evaluate_log_and_save, round_
from mawm.run_folder.checkpoint import Checkpoint, Loaded, checkpoints

BEFORE, AFTER = 9, 5
"""Rounds before the save, and after it."""
ROUND = 32
"""Environment steps of a round."""
# Everything that can happen happens in every round or every second one.
BUSY = {
    "env_steps": (BEFORE + AFTER) * ROUND,
    "sharing": {"bandwidth": 0.5, "window": 20, "rollout_window": 20},
    "gating": {"explorers": 3, "search": {"evolve_every": 64, "population": 20, "probes": 8, "keeps": 200}},
    "schedule": {
        "prefill": ROUND,
        "updates_per_step": 0.07,
        "updates_per_behaviour": 0.7,
        "keep_checkpoints": 100,
        "log_every": 4 * ROUND,  # the save on the way lies between two rows of the log
        "eval_every": 5 * ROUND,
        "eval_battles": 2,
        "save_every": 5 * ROUND,
    },
    "agent": {
        "replay": {"capacity": 200},
        "world_model": {"lr_warmup": 50, "seq_len": 4},
        "behaviour": {"advantage_scale": "percentiles"},  # the normalisation that has a memory
        "information": {"snapshot_every": 2 * ROUND, "kind": "none"},
    },
}
METHODS: dict[str, dict[str, Any]] = {
    "independent": {"method": "independent"},
    "experience": {"method": "experience", "sharing": {"selector": "quantile"}},
    "rollouts": {"method": "rollouts", "sharing": {"selector": "random"}},
    "both": {"method": "both"},
    "centralized": {"method": "centralized"},
    "ippo": {"method": "ippo"},
    "mappo": {"method": "mappo"},
    "strict": {"gating": {"gate": "strict"}, "agent": {"information": {"kind": "param_ig"}}},
    "policy": {"gating": {"gate": "policy"}, "agent": {"information": {"kind": "policy_mi"}}},
    "open": {"gating": {"gate": "open", "explorer": "random"}, "agent": {"information": {"kind": "param_ig"}}},
}
"""Methods and gates."""
CHANNELS: dict[str, dict[str, Any]] = {
    "both, as printed and late": {"sharing": {"selector": "gaussian", "channel": "stale", "stale_rounds": 3}},
    "both, one shared budget, at random": {"sharing": {"channel": "random", "budget_bytes_per_step": 400.0}},
    "both, their own": {"sharing": {"channel": "self", "wire": "float16"}},
    "both, shuffled": {"sharing": {"channel": "shuffled"}},
    "both, lost and late": {"link": {"loss": 0.3, "delay": 2, "topology": "ring"}},
    "both, their own, lost and late": {"sharing": {"channel": "self"}, "link": {"loss": 0.3, "delay": 2}},
    "the market": {"map": "market", "gating": {"gate": "policy"}},
    "a map of SMACv2": {"map": "10gen_terran_5_vs_5"},
}
"""Other ways of sharing, and other maps."""
CASES = METHODS | CHANNELS


def config_of(case: str) -> TrainConfig:
    """The debug preset, kept busy, with a case's changes."""
    return merge(merge(load_preset("debug"), BUSY, "busy"), CASES[case], case)


def leaves(node: Any, path: str, seen: dict[int, Any]) -> Iterator[tuple[str, bytes]]:
    """All numbers, arrays, texts and generators below an object, each with its path."""
    if isinstance(node, np.ndarray):
        yield path, f"{node.dtype} {node.shape}".encode() + node.tobytes()
    elif isinstance(node, torch.Tensor):
        yield (
            path,
            node.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
            if node.dim()
            else str(node.item()).encode(),
        )
    elif isinstance(node, np.random.Generator):
        yield path, repr(node.bit_generator.state).encode()
    elif isinstance(node, torch.Generator):
        yield path, node.get_state().numpy().tobytes()
    elif node is None or isinstance(node, (bool, int, float, str, bytes, Enum, np.generic)):
        yield path, repr(node).encode()
    elif id(node) not in seen:
        seen[id(node)] = node  # kept alive, so that no other object gets its id
        for name, below in children(node):
            yield from leaves(below, f"{path}.{name}", seen)


def children(node: Any) -> Iterable[tuple[str, Any]]:
    """What an object consists of, by name."""
    if isinstance(node, Replay):  # its arrays have room to spare, and a full ring has no first row
        return node.state().items()
    if isinstance(node, dict):
        return ((str(key), value) for key, value in node.items())
    if isinstance(node, (set, frozenset, list, tuple, deque)):
        return ((str(i), item) for i, item in enumerate(sorted(node) if isinstance(node, (set, frozenset)) else node))
    ours = type(node).__module__.startswith("mawm.") or isinstance(node, torch.nn.Module)
    return vars(node).items() if ours and hasattr(node, "__dict__") else ()


LEFT_OUT = ("run.wall_s", "run.saved_at_s", "run.writers", "run.nonfinite", "run.save", "run.write_ledger")
"""The clock, and files that are written to."""
SCRATCH = ("env.env._scratch", "env.env._work", "explorer_hook.explorers.view")
"""Buffers that are overwritten before they are read."""


def digest(run: Run, folder: Path) -> dict[str, str]:
    """A short hash of every leaf of a run except those left out, and the checkpoints written since the save."""
    saved = [c.env_steps for c in checkpoints(folder) if c.env_steps > BEFORE * ROUND]
    return {"saved": str(saved)} | {
        path: hashlib.blake2b(data, digest_size=6).hexdigest()
        for path, data in leaves(run, "run", {})
        if not path.startswith(LEFT_OUT) and not any(name in path for name in SCRATCH)
    }


def start(config: TrainConfig, folder: Path, resume: Loaded | None = None) -> Run:
    """A run in this process."""
    folder.mkdir(parents=True, exist_ok=True)
    env = make_env(config, "train", config.schedule.battles)
    team = make_team(config, env.spaces, "cpu", "inline")
    return make_run(config, env, team, make_explorer_hook(config, env.spaces), folder, lambda *_: None, resume)


def play(run: Run, folder: Path, rounds: int) -> Iterator[dict[str, str]]:
    """Play so many rounds; gives the digest after each."""
    for _ in range(rounds):
        play_round(run)
        yield digest(run, folder)


def play_round(run: Run) -> None:
    """Play one round as `mawm.loop.train` does."""
    round_(run)
    evaluate_log_and_save(run)


def on_the_way(folder: Path) -> Loaded:
    """Load the checkpoint of round BEFORE; later ones are deleted."""
    steps = BEFORE * ROUND
    for checkpoint in checkpoints(folder):
        if checkpoint.env_steps > steps:
            shutil.rmtree(checkpoint.path)
    path = folder / f"ck-{steps:09d}"
    return Loaded(path, steps, Checkpoint(path, steps).load())


def close(run: Run) -> None:
    """Close the files of a run."""
    for writer in run.writers:
        writer.close()


def main(what: str, folder: Path, *cases: str) -> None:
    """Play cases and write the digests of the rounds after the save into a file each."""
    prepare_process("float32")
    for case in cases:
        at = folder / case.replace(" ", "-")
        config = config_of(case)
        if what == "straight":
            run = start(config, at)
            for _ in range(BEFORE):
                play_round(run)
            run.save(run)
            digests = list(play(run, at, AFTER))
        else:
            run = start(config, at, on_the_way(at))
            digests = list(play(run, at, AFTER))
        close(run)
        (folder / f"{at.name}-{what}.json").write_text(json.dumps(digests))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
