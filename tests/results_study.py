"""Writes synthetic run folders as `mawm.train` does, with curves that a test can compute by hand."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

AGENTS = ("agent_0", "agent_1")
LOSSES = ("obs_loss", "action_loss", "reward_loss", "terminal_loss", "avail_loss", "kl")


def write_run(folder: Path, rows: list[dict[str, Any]], evaluation: Any = None, **config: Any) -> Path:
    """One run folder; `config` overrides what a plain run asks for, other facts come in `facts`."""
    facts = config.pop("facts", {"version": "0.1.0", "python": "3.11.7", "device": "cpu", "cores": 2})
    sharing = {"bandwidth": config.pop("bandwidth", 0.05), "window": 1500, **config.pop("sharing", {})}
    asked = {"map": "3m", "method": "both", "seed": 0, "env_steps": 0, "env": "skirmish", "sharing": sharing}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"config": asked | config, **facts}))
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    if evaluation is not None:
        (folder / "evaluation.json").write_text(json.dumps(evaluation))
    return folder


def win_rate_rows(rates: dict[int, float]) -> list[dict[str, Any]]:
    """Rows of the log that contain evaluations only."""
    return [{"env_steps": steps, "wall_s": steps / 70, "eval/win_rate": rate} for steps, rate in rates.items()]


def learned_rows(method: str, bandwidth: float, seed: int, ceiling: float) -> list[dict[str, Any]]:
    """Rows of a run that learns up to a ceiling, with every tag that a figure needs."""
    noise = np.random.default_rng([seed, zlib.crc32(method.encode())])
    owners = ("team",) if method == "centralized" else AGENTS
    rows = []
    for steps in range(500, 10_001, 500):
        share = steps / 10_000
        row: dict[str, Any] = {"env_steps": steps, "wall_s": steps / 70}
        for owner in owners:
            row |= {f"{owner}/world_model/{loss}": 2 * np.exp(-2 * share) + noise.random() / 5 for loss in LOSSES}
            row |= {f"{owner}/critic/loss": 1 + share + noise.random() / 5, f"{owner}/actor/loss": noise.normal() / 50}
        if method in ("experience", "rollouts", "both"):
            used = 0.95 * bandwidth + noise.random() * 0.04 * bandwidth
            row |= {"channel/realised_bandwidth": used, "channel/sent_bytes": used * 2e5 * steps}
        if steps % 1000 == 0:
            rate = float(np.clip(ceiling * share + noise.normal() / 20, 0, 1))
            row |= {"eval/win_rate": rate, "eval/return": 20 * rate, "eval/episodes": 64.0}
            row |= {"eval/win_rate_sampled": 0.8 * rate}
        rows.append(row)
    return rows


def write_study(folder: Path, seeds: int = 5, maps: tuple[str, ...] = ("2s_vs_1sc", "3m")) -> Path:
    """All five methods, three bandwidths each: everything the figures and the report show."""
    for name, harder in ((name, 1.0 if name == "3m" else 0.9) for name in maps):
        for method, ceiling in (("independent", 0.4), ("centralized", 1.0)):
            for seed in range(seeds):
                _write(folder, name, method, 0.05, seed, ceiling * harder)
        for method, best in (("experience", 0.01), ("rollouts", 0.05), ("both", 0.05)):
            for bandwidth in (0.01, 0.05, 1.0):
                for seed in range(seeds):
                    _write(folder, name, method, bandwidth, seed, (0.9 if bandwidth == best else 0.7) * harder)
    return folder


def _write(folder: Path, name: str, method: str, bandwidth: float, seed: int, ceiling: float) -> None:
    rows = learned_rows(method, bandwidth, seed, ceiling)
    rate = rows[-1]["eval/win_rate"]
    evaluation = {"win_rate": rate, "low": rate - 0.05, "high": rate + 0.05, "episodes": 320}
    evaluation |= {"win_rate_sampled": 0.8 * rate}
    where = folder / name / f"{method}_b{bandwidth:g}_s{seed}"
    options = {"map": name, "method": method, "seed": seed, "bandwidth": bandwidth, "env_steps": 10_000}
    write_run(where, rows, evaluation, **options)
