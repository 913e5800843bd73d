"""Likely faults of a run, found in its log: one small rule for each kind. docs/doctor.md describes them.

The limits were chosen so that no rule has a finding in the runs that are known to have learned (2s_vs_1sc and 2s3z,
method `both`, 16 000 to 32 000 steps). The comment at each limit gives the values of those runs.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mawm.results.record import RunRecord

LATE = 0.25
"""Part of the log, at its end, whose mean a rule judges: single rows vary by a factor of two."""
LEAST_ROWS = 3
"""Rows with a tag in the late part that a judgement needs. A run of the preset debug has fewer."""
ENTROPY_DEAD = 0.02
"""Largest share of the possible entropy that counts as dead. Runs that win all battles end at 0.05 to 0.25."""
WON = 0.9
"""Win rate from which a policy without entropy is no fault."""
KL_COLLAPSED = 0.05
"""Largest KL, as a share of the free nats, that counts as collapsed. The known runs stay above 1.2."""
BANDWIDTH_RATIOS = (0.5, 1.1)
"""Allowed ratio of the realised to the nominal share. The known runs end at 0.83, since nothing is sent at first."""
LEAST_ITEMS = 50
"""Items that the nominal share should have sent before the share is judged."""
ERROR_RISES = 1.5
"""Factor over its lowest earlier level at which the model's error counts as rising. The known runs: at most 1.12."""
GAP = 0.25
"""Smallest difference of the greedy and sampled win rates that counts as far. The known runs: at most 0.19."""
RETURN_GAP = 0.5
"""The same for returns, as a share of the larger one, where no battle is won. The known runs: at most 0.3."""
DISTINCT = 0.1
"""Largest share of distinct battles that counts as repeating. The known runs begin at 0.16 and end above 0.9."""
VALUE_BIAS = 0.25
"""Smallest bias of the values, as a share of the mean return, that counts as large. The known runs: at most 0.13."""


@dataclass(frozen=True)
class Finding:
    """One likely fault."""

    fault: str
    tag: str
    """The tag of the log, or the setting."""
    value: float
    limit: float
    advice: str
    """What to try."""

    def __str__(self) -> str:
        return f"{self.fault}: {self.tag} is {self.value:.4g} (limit {self.limit:.4g}). {self.advice}"


Rule = Callable[[RunRecord], Iterator[Finding]]


def findings_of(run: RunRecord) -> list[Finding]:
    """The findings of all rules."""
    return [finding for rule in RULES.values() for finding in rule(run)]


def _entropy(run: RunRecord) -> Iterator[Finding]:
    found = _lowest(run, "actor/entropy_share")
    if found is not None and found[1] < ENTROPY_DEAD and max(_last(run, "eval/win_rate"), 0.0) < WON:
        yield Finding(
            "the entropy of the policy is dead, and it does not win", *found, ENTROPY_DEAD,
            "The policy tries nothing new. Raise --agent.behaviour.entropy-target and --agent.behaviour.entropy-final; "
            "if you set --agent.behaviour.entropy-decay, set it nearer to 1",
        )  # fmt: skip


def _kl(run: RunRecord) -> Iterator[Finding]:
    limit = KL_COLLAPSED * float(_setting(run, "agent", "world_model", "free_nats", default=1.0))
    found = _lowest(run, "world_model/kl")
    if found is not None and found[1] < limit:
        yield Finding(
            "the KL has collapsed: the latent state holds nothing that the model does not predict", *found, limit,
            "This is right only if nothing in the environment is random or hidden. Otherwise lower "
            "--agent.world-model.free-nats, and look at the scale of the observations with mawm.doctor --map",
        )  # fmt: skip


def _bandwidth(run: RunRecord) -> Iterator[Finding]:
    budget = float(_setting(run, "sharing", "budget_bytes_per_step", default=0.0))
    nominal = run.last("channel/nominal_bandwidth")
    if not run.shares or budget > 0.0 or not 0.0 < nominal < 1.0:
        return
    for kind in ("experience", "rollouts"):
        tag = f"channel/{kind}/realised_bandwidth"
        realised, sent = run.last(tag), run.last(f"channel/{kind}/sent_items")
        if math.isnan(realised) or nominal * _made(run, kind, realised, sent) < LEAST_ITEMS:
            continue
        low, high = (nominal * ratio for ratio in BANDWIDTH_RATIOS)
        if not low <= realised <= high:
            offered = run.last(f"channel/{kind}/offered_bandwidth")
            advice = (
                f"The selector offers {offered:.4g}: with a share that is too small try --selector adaptive, whose "
                "threshold follows the share; with one that is too large --budget enforce"
            )
            fault = f"the realised share of {kind} is far from the nominal one ({nominal:g})"
            yield Finding(fault, tag, realised, low if realised < low else high, advice)


def _made(run: RunRecord, kind: str, realised: float, sent: float) -> float:
    """About how many items were made: from the share that was sent, or from the steps if nothing was."""
    if realised > 0.0 and sent > 0.0:
        return sent / realised
    updates = float(_setting(run, "schedule", "updates_per_step", default=0.4))
    length = int(_setting(run, "agent", "world_model", "seq_len", default=20))
    starts = int(_setting(run, "agent", "behaviour", "starts", default=100))
    begun = max(0.0, run.env_steps - float(_setting(run, "schedule", "prefill", default=0)))
    return {"experience": begun / length, "rollouts": begun * updates * starts}[kind]


def _model_error(run: RunRecord) -> Iterator[Finding]:
    rises = []
    for tag in _tags(run, "world_model/obs_loss"):
        values = run.curve(tag)[1]
        size = max(LEAST_ROWS, len(values) // 5)
        if len(values) >= 3 * size:
            levels = np.convolve(values, np.ones(size) / size, "valid")
            rises.append((float(levels[-1]), ERROR_RISES * float(levels[:-size].min()), tag))
    value, limit, tag = max(rises, default=(0.0, 1.0, ""), key=lambda rise: rise[0] / max(rise[1], 1e-12))
    if value > limit:
        yield Finding(
            "the error of the world model rises", tag, value, limit,
            "The policy reaches states that the model does not know, or the model is too small or learns too fast: "
            "raise --schedule.updates-per-step or --agent.world-model.hidden, or lower --agent.world-model.lr",
        )  # fmt: skip


def _greedy(run: RunRecord) -> Iterator[Finding]:
    greedy, sampled = _last(run, "eval/win_rate"), _last(run, "eval/win_rate_sampled")
    apart = run.last("eval/win_rate_low") > run.last("eval/win_rate_sampled_high")
    apart |= run.last("eval/win_rate_high") < run.last("eval/win_rate_sampled_low")
    if apart and abs(greedy - sampled) > GAP:
        yield _gap("eval/win_rate", greedy, "eval/win_rate_sampled", sampled, GAP)
    elif max(greedy, sampled) == 0.0:
        one, other = run.last("eval/return"), run.last("eval/return_sampled")
        scale = max(abs(one), abs(other))
        if scale > 0.0 and abs(one - other) > RETURN_GAP * scale and len(run.curve("eval/return")[1]) >= LEAST_ROWS:
            yield _gap("eval/return", one, "eval/return_sampled", other, RETURN_GAP * scale)


def _gap(tag: str, greedy: float, other: str, sampled: float, limit: float) -> Finding:
    better = "greedy" if greedy > sampled else "sampled"
    return Finding(
        f"greedy play is far from sampled play ({other} is {sampled:.4g}; {better} is better)", f"{tag} less {other}",
        greedy - sampled, math.copysign(limit, greedy - sampled),
        "Train longer: the policy has not settled. If greedy play is worse, its most probable actions were never tried "
        "together: raise --agent.behaviour.greedy-battles; if it is better, lower the entropy's target",
    )  # fmt: skip


def _repeats(run: RunRecord) -> Iterator[Finding]:
    battles = run.last("eval/episodes")
    for tag in ("eval/distinct_battles", "eval/distinct_battles_sampled"):
        distinct = run.last(tag)
        if battles >= 10 and distinct <= max(1.0, DISTINCT * battles):
            yield Finding(
                f"the evaluation repeats the same battles ({battles:g} were played)", tag, distinct, DISTINCT * battles,
                "The win rate rests on few battles. Draw the start of a battle from the seed of reset, or use "
                "--rules.spawn-jitter in the embedded engine",
            )  # fmt: skip


def _never_evaluated(run: RunRecord) -> Iterator[Finding]:
    every = float(_setting(run, "schedule", "eval_every", default=0))
    evaluated = any(tag.startswith("eval/") for row in run.rows for tag in row)
    if not evaluated and run.env_steps >= min(every, float(run.config.get("env_steps", every))):
        yield Finding(
            "the evaluation never ran", "env_steps", float(run.env_steps), every,
            "Lower --schedule.eval-every below the steps of the run, or see whether the evaluation failed on stderr",
        )  # fmt: skip


def _skipped(run: RunRecord) -> Iterator[Finding]:
    for part in ("world_model", "behaviour", "information"):
        tags = {tag: run.last(tag) for tag in _tags(run, f"{part}/skipped_updates")}
        if tags and max(tags.values()) > 0:
            tag = max(tags, key=lambda name: tags[name])
            yield Finding(
                "updates were skipped, because they were not finite", tag, tags[tag], 0.0,
                "The folder's incident-* hold their batches. Lower the learning rate, and look for huge or constant "
                "observations with mawm.doctor --map",
            )  # fmt: skip


def _value_bias(run: RunRecord) -> Iterator[Finding]:
    worst: tuple[float, Finding] | None = None
    for tag in _tags(run, "critic/value_bias"):
        name = tag.partition("/")[0]
        bias, mean = _late(run, tag), abs(_late(run, f"{name}/critic/mean_return"))
        limit = VALUE_BIAS * max(mean, _late(run, f"{name}/critic/advantage_scale"))
        if limit > 0.0 and abs(bias) > limit and (worst is None or abs(bias) / limit > worst[0]):
            advice = (
                "The critic and the real returns disagree, mostly because the model's rewards or ends are wrong: see "
                "python -m mawm.bench values RUN, and the tags world_model/reward_loss and terminal_loss"
            )
            fault = f"the bias of the values is large (the mean return is {mean:.4g})"
            worst = abs(bias) / limit, Finding(fault, tag, bias, math.copysign(limit, bias), advice)
    if worst is not None:
        yield worst[1]


RULES: dict[str, Rule] = {
    "entropy": _entropy,
    "kl": _kl,
    "bandwidth": _bandwidth,
    "model error": _model_error,
    "greedy": _greedy,
    "repeats": _repeats,
    "no evaluation": _never_evaluated,
    "skipped": _skipped,
    "value bias": _value_bias,
}
"""All rules. A run without the tags of a rule has no finding of it."""


def _setting(run: RunRecord, *path: str, default: float) -> Any:
    """A setting by its path; the default if an earlier version did not have it."""
    node: Any = run.config
    for name in path:
        node = node.get(name) if isinstance(node, dict) else None
    return default if node is None else node


def _tags(run: RunRecord, ending: str) -> list[str]:
    """The tags of all learners with an ending, in order."""
    pattern = re.compile(rf"(agent_\d+|team)/{re.escape(ending)}")
    return sorted({tag for row in run.rows for tag in row if pattern.fullmatch(tag)})


def _last(run: RunRecord, tag: str) -> float:
    """The last value of a tag; minus infinity if it was never logged."""
    value = run.last(tag)
    return -math.inf if math.isnan(value) else value


def _late(run: RunRecord, tag: str) -> float:
    """The mean of a tag over the late part of the log; nan if it has too few rows."""
    steps, values = run.curve(tag)
    late = values[steps >= (1.0 - LATE) * run.env_steps]
    return float(late.mean()) if len(late) >= LEAST_ROWS else math.nan


def _lowest(run: RunRecord, ending: str) -> tuple[str, float] | None:
    """The learner's tag with the lowest late mean, and this mean; None if no learner has enough rows."""
    means = ((tag, _late(run, tag)) for tag in _tags(run, ending))
    return min((each for each in means if not math.isnan(each[1])), key=lambda each: each[1], default=None)
