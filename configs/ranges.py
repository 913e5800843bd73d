"""What every setting may be: one table, by the last part of a setting's key, which several groups may share.

Both ends are allowed. An upper end is generous: a larger value could only be a mistake, or more than memory holds.
"""

from typing import Any, Literal, get_args, get_origin

Ranges = dict[str, tuple[float, float]]
MANY = 10**12
"""Steps: more than any run will play."""
SHARE = (0.0, 1.0)
SWITCH = (0.0, 1.0)
WEIGHT = (0.0, 1e6)
RATE = (1e-12, 10.0)
LENGTH = (0.0, 128.0)

# fmt: off
RANGES: Ranges = {
    # the run, and its schedule
    "seed": (0, 10**18), "env_steps": (1, MANY),
    "battles": (1, 4096), "round_steps": (1, 10_000), "prefill": (0, MANY), "warmup": (0, 10**9),
    "updates_per_step": (0.0, 100.0), "updates_per_behaviour": (0.01, 1000.0),
    "log_every": (1, MANY), "eval_every": (1, MANY), "eval_battles": (1, 10_000),
    "save_every": (1, MANY), "save_minutes": (0.001, 1e6), 
    "keep_checkpoints": (2, 1000),  # where one is damaged the other is used
    # sharing; a window of one value has no deviation
    "bandwidth": SHARE, "window": (2, 10**6), "rollout_window": (2, 10**6),
    "budget_bytes_per_step": (0.0, 1e12), "stale_rounds": (1, 10**6),
    # gating
    "explorers": (1, 4096), "dimension": (1, 4096), "population": (2, 100_000), "elite": SHARE,
    "floor": (1e-6, 1e3), "closeness": WEIGHT, "probes": (1, 100_000), "evolve_every": (1, MANY), "keeps": (1, 10**8),
    # networks and how they are fitted; a class index is one byte, a stretch has two steps, two-hot needs three bins
    "deter": (1, 8192), "groups": (1, 256), "classes": (1, 256), "hidden": (1, 4096), "layers": (1, 8),
    "predictor_layers": (1, 8),
    "bins": (3, 4096), "unimix": SHARE, "free_nats": WEIGHT, "dyn_scale": WEIGHT, "rep_scale": WEIGHT,
    "obs_scale": (1e-6, 1e6), "action_scale": WEIGHT,
    "batch": (1, 10_000), "seq_len": (2, 1000), "capacity": (2, 10**8), "recent_steps": (1, 10**8),
    "recent_share": SHARE, "recent_starts": SHARE,
    "lr": RATE, "actor_lr": RATE, "critic_lr": RATE, "lr_warmup": (0, 10**9), "clip": (1e-6, 1e9),
    # behaviour
    "horizon": (1, 1000), "starts": (1, 100_000), "explorer_starts": SHARE, "epochs": (1, 1000),
    "minibatch": (1, 10**7), "discount": SHARE, "lam": SHARE, "target_decay": SHARE, "averaging": SHARE,
    "entropy": WEIGHT, "entropy_target": SHARE, "entropy_final": SHARE, "entropy_decay": SHARE, "ppo_clip": WEIGHT,
    "rollout": (1, 100_000),
    # information
    "weight": WEIGHT, "observations": (1, 100_000), "others": (1, 1000), "snapshot_every": (1, MANY),
    # the embedded engine
    "spawn_spacing": (0.01, 10.0), "spawn_jitter": LENGTH, "cliff_margin": (0.0, 8.0), "threat": SWITCH,
    "missiles": SWITCH, "yielding": SHARE, "least_turn": SWITCH, "carry_cooldown": SWITCH,
    "backswing": SWITCH,
    # an environment of one's own
    "episode_limit": (1, 10**6), "timeout_s": (0.1, 1e6),
    # the market
    "traders": (1, 100), "steps": (1, 10_000), "turn": SHARE, "noise": WEIGHT, "signal_noise": WEIGHT,
    "most": (1, 10**6), "cost": WEIGHT, "impact": WEIGHT, "gap": WEIGHT,
}
# fmt: on
PRODUCTS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("agent.world_model.groups", "agent.world_model.classes"), 8192),
    (("agent.world_model.batch", "agent.world_model.seq_len"), 10**6),
    (("agent.behaviour.starts", "agent.behaviour.horizon"), 10**6),
    (("agent.information.observations", "agent.information.others"), 10**6),
    (("schedule.battles", "schedule.round_steps"), 10**6),
    (("schedule.battles", "agent.ppo.rollout"), 10**7),
    (("gating.search.population", "gating.search.probes"), 10**6),
    (("gating.search.population", "gating.search.dimension"), 10**7),
    (("schedule.battles", "market.steps", "market.traders"), 10**8),
    (("schedule.eval_battles", "market.steps", "market.traders"), 10**8),
    (("gating.explorers", "market.steps", "market.traders"), 10**8),
)
"""Settings that are the sides of one array, each of which may be large while the others are small."""


def allowed(name: str, hint: Any, ranges: Ranges = RANGES) -> str:
    """What the setting `name` (the last part of its key) of type `hint` may be, as a phrase after "must be"."""
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    if get_origin(hint) is tuple:
        return f"a list, each item {allowed(name, get_args(hint)[0], ranges)}"
    kind = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(hint, "a path")
    return f"{kind} in {interval(name)}" if hint in (int, float) and name in ranges else kind


def interval(name: str) -> str:
    """The range of a setting in brackets."""
    low, high = RANGES[name]
    return f"[{number(low)}, {number(high)}]"


def number(value: float) -> str:
    """A number as it could be typed."""
    return f"{value:.12g}" if isinstance(value, float) else shown(value)


def shown(value: Any) -> str:
    """A value as a message quotes it: in one line, and not endless."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
