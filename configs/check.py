"""What a configuration must satisfy before anything starts: rules with the value, the range and the key in one line."""

import difflib
from dataclasses import fields, is_dataclass
from typing import Any

from mawm.configs.train import TrainConfig, is_own
from mawm.factory import load_factory
from mawm.selectors.registry import NAMES

# fmt: off
_POSITIVE = (
    "env_steps", "battles", "round_steps", "updates_per_behaviour", "log_every", "eval_every", "eval_battles",
    "save_every", "save_minutes", "keep_checkpoints",
    "deter", "groups", "classes", "hidden", "layers", "obs_scale", "batch",
    "seq_len", "lr", "clip", "horizon", "actor_lr", "critic_lr", "epochs", "starts", "minibatch", "bins",
    "capacity", "window", "observations", "others", "snapshot_every", "stale_rounds", "rollout",
    "minibatches", "reward_scale",
    "explorers", "dimension", "population", "floor", "probes", "evolve_every", "keeps",
    "traders", "steps", "most",
    "episode_limit", "timeout_s",
)
_SHARES = (
    "bandwidth", "elite", "explorer_starts", "unimix", "discount", "lam", "entropy_decay", "entropy_target",
    "target_decay", "turn",
)
_NOT_NEGATIVE = (
    "seed", "prefill", "warmup", "updates_per_step", "free_nats", "dyn_scale", "rep_scale", "action_scale", "entropy",
    "ppo_clip", "budget_bytes_per_step", "value_weight",
    "closeness", "weight", "lr_warmup", "noise", "signal_noise", "cost", "impact", "gap",
)
# fmt: on
_CHOICES = {"decoder_grads": ("flow", "detach")}


def check(config: TrainConfig) -> None:
    """Raise ValueError for the first setting that is out of its range, naming key, value and range."""
    _walk(config, "")
    if is_own(config.map):
        load_factory("map", config.map)
    _selector(config.sharing.selector)
    if config.sharing.window < 2:
        raise ValueError(f"sharing.window is {config.sharing.window}; a window needs at least 2 values")
    search = config.gating.search
    elites = round(search.elite * search.population)
    if elites < max(2, config.gating.explorers) or elites > search.population:
        raise ValueError(
            f"gating: search.elite {search.elite:g} of search.population {search.population} keeps {elites}; "
            f"there must be 2 at least, and one for each of the {config.gating.explorers} explorers"
        )
    if config.agent.world_model.classes > 256:
        raise ValueError(
            f"agent.world_model.classes is {config.agent.world_model.classes}; a class index is one byte: at most 256"
        )
    if config.agent.behaviour.bins < 3:
        raise ValueError(f"agent.behaviour.bins is {config.agent.behaviour.bins}; two-hot needs at least 3 bins")
    if config.agent.world_model.seq_len < 2:
        raise ValueError(
            f"agent.world_model.seq_len is {config.agent.world_model.seq_len}; a stretch needs at least 2 steps"
        )


def _selector(name: str) -> None:
    if ":" in name:
        load_factory("selector", name)
    elif name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, 1)
        meant = f": did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"selector {name!r} is none of {', '.join(NAMES)}, nor module:factory with one of your own{meant}"
        )


def _walk(node: Any, path: str) -> None:
    for entry in fields(node):
        value, name = getattr(node, entry.name), f"{path}{entry.name}"
        if is_dataclass(value):
            _walk(value, f"{name}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            _number(entry.name, name, value)
        elif entry.name in _CHOICES and value not in _CHOICES[entry.name]:
            raise ValueError(f"{name} is {value!r}; choose from {', '.join(_CHOICES[entry.name])}")


def _number(key: str, name: str, value: float) -> None:
    if not abs(value) < float("inf"):
        raise ValueError(f"{name} is {value}; it must be a finite number")
    if key in _SHARES and not 0.0 <= value <= 1.0:
        raise ValueError(
            f"{name} is a share and must lie in [0, 1]; got {value:g}: did you mean {min(1.0, max(0.0, value)):g}?"
        )
    if key in _POSITIVE and value <= 0:
        raise ValueError(f"{name} must be greater than 0; got {value:g}")
    if key in _NOT_NEGATIVE and value < 0:
        raise ValueError(f"{name} must not be negative; got {value:g}")
