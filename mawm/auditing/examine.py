"""Examines a user's environment: PettingZoo's tests, spaces, scales, masks, ends and speed."""

import contextlib
import functools
import io
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mawm.agents.config import BehaviourConfig
from mawm.agents.scales import ObservationScale, RewardUnit
from mawm.envs.checked import CheckedEnv, EnvFault
from mawm.envs.other_kinds import as_parallel
from mawm.envs.pettingzoo import own_parallel_env
from mawm.envs.success import AUTO, with_success
from mawm.runtime.import_user_code import load_factory
from mawm.seeds import allowed_actions
from mawm.types import Origin, Role, Segment, Spaces, VectorEnv

CYCLES = 100
"""Steps that each of PettingZoo's tests plays at most."""
FAR = 20.0
"""A number is in a narrow range far from zero if its middle is this many times its range away from zero."""
SMALL = 0.02
"""Largest magnitude, after the learner's scaling, at which a number is hard to see beside the others."""
OUTLIER = 100.0
"""A number has an outlier if its largest magnitude is this many times its 99th percentile."""
MOST_NAMED = 5
OPPOSED = "the rewards of agents oppose each other"


@dataclass(frozen=True)
class Remark:
    """One likely fault of an environment."""

    fault: str
    about: str
    """What it is about: an agent, a component, a test."""
    advice: str

    def __str__(self) -> str:
        return f"{self.fault}: {self.about}. {self.advice}"


@dataclass
class Examination:
    """The result: facts by name, sentences about the learner, and remarks."""

    facts: dict[str, Any] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)

    def remark(self, fault: str, about: str, advice: str) -> None:
        """Add a remark."""
        self.remarks.append(Remark(fault, about, advice))


@dataclass
class Played:
    """What random battles showed. T steps of N agents."""

    action_counts: list[int]
    """The number of actions of each agent."""
    obs: list[np.ndarray] = field(default_factory=list)
    """Observations (N, O) of each step."""
    alive: list[np.ndarray] = field(default_factory=list)
    avail: list[np.ndarray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    begins: list[bool] = field(default_factory=list)
    """Whether a battle begins with the step."""
    lengths: list[int] = field(default_factory=list)
    terminated: int = 0
    won: int = 0
    said: list[str] = field(default_factory=list)
    """Warnings of the adapter."""
    seconds: float = 0.0


def examine(name: str, battles: int, limit: int, seed: int = 0, success: str = AUTO) -> Examination:
    """Examine the environment of `module:factory` in `battles` battles of random allowed actions.

    `limit` cuts a battle, and `success` says which are won, as in mawm.train. All steps are kept in memory. ValueError
    if the environment cannot be made, or fails at its first step.
    """
    try:
        made = own_parallel_env(name, 1, seed, limit, success=success)
    except ValueError:
        raise
    except Exception as error:  # the environment may raise anything
        raise ValueError(f"environment {name}: {type(error).__name__}: {error}") from None
    found = Examination()
    found.facts["environment"] = name
    found.facts["battles repeat under a seed"] = repeats = _repeats(name, limit, seed)
    found.facts["PettingZoo's tests"] = _pettingzoo_tests(name, found, repeats)
    spaces, played = made.spaces, Played(made.action_counts)
    made.watch(played.said.append)
    env = with_success(CheckedEnv(made, name), success)
    try:
        _play(env, battles, np.random.default_rng(seed), played)
    except EnvFault as fault:
        found.remark("the environment fails while it is played", str(fault), "Correct this first")
    except SystemExit as end:
        text = f"sys.exit({end.code!r}) in step {len(played.rewards) + 1}"
        found.remark("the environment ends its process", text, "Correct this first")
    finally:
        with contextlib.suppress(Exception):  # a fault in `close` comes too late to matter
            env.close()
    made.judge_rewards()
    _spaces(spaces, found)
    for rule in (_observations, _rewards, _masks, _ends, _speed):
        if played.rewards:
            rule(spaces, played, found)
    for sentence in dict.fromkeys(played.said):
        found.remark(OPPOSED, sentence, "See docs/own_environment.md")
    return found


def _repeats(name: str, limit: int, seed: int) -> bool:
    """Whether two copies give the same answers, bit for bit, to the same seed and actions; False if one fails."""
    try:
        copies = [own_parallel_env(name, 1, seed, limit) for _ in range(2)]
        rng = np.random.default_rng(seed)
        answers = [copy.reset() for copy in copies]
        for _ in range(CYCLES):
            if any(a.tobytes() != vars(answers[1])[field].tobytes() for field, a in vars(answers[0]).items()):
                return False
            actions = allowed_actions(answers[0].avail, rng)
            answers = [copy.step(actions) for copy in copies]
    except (Exception, SystemExit):  # the examination names the fault when it plays
        return False
    return True


def _pettingzoo_tests(name: str, found: Examination, repeats: bool) -> dict[str, str]:
    """The results of PettingZoo's own tests; a failure becomes a remark. `repeats`: the result of `_repeats`."""
    from pettingzoo.test import parallel_api_test, parallel_seed_test

    factory = load_factory("map", name)

    anew: list[str] = []
    with contextlib.suppress(Exception):  # the tests below name the fault
        anew = _spaces_made_anew(as_parallel(factory())[0])
    if anew:
        advice = (
            "PettingZoo asks for the same object at each call: decorate the method with functools.cache. Its tests "
            "were run with the spaces of the first call"
        )
        found.remark("each call makes a new space", " and ".join(anew), advice)

    def make() -> Any:
        env = as_parallel(factory())[0]
        for method in anew:
            setattr(env, method, functools.cache(getattr(env, method)))
        return env

    equal = (
        "Yet two copies gave equal answers to the same seed and actions in 100 steps, so a run can go on exactly. The "
        "test also needs that copies do not share their spaces, and that all actions are allowed"
    )
    unequal = (
        "A run goes on exactly only if a battle depends on reset(seed) and the actions alone: draw every random number "
        "from a generator that reset seeds"
    )
    results = {}
    for title, test, advice in (
        ("API test", lambda: parallel_api_test(make(), num_cycles=CYCLES),
         "The adapter may still understand it; PettingZoo's documentation describes the API"),
        ("seed test", lambda: parallel_seed_test(make, num_cycles=CYCLES), equal if repeats else unequal),
    ):  # fmt: skip
        problem, notes = _outcome(test)
        results[title] = f"failed: {problem}" if problem else "passed"
        if notes:
            results[title] += f", with {len(notes)} warning(s): {notes[0]}"
        if problem:
            found.remark(f"PettingZoo's {title} fails", problem, advice)
    return results


def _spaces_made_anew(env: Any) -> list[str]:
    """Those of action_space and observation_space that return another object at each call."""
    agent = env.possible_agents[0]
    methods = ("action_space", "observation_space")
    return [method for method in methods if getattr(env, method)(agent) is not getattr(env, method)(agent)]


def _outcome(test: Callable[[], Any]) -> tuple[str, list[str]]:
    """The failure of a test (empty if it passed), and the texts of its warnings."""
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        try:
            test()
            problem = ""
        except (Exception, SystemExit) as error:  # the tests and the environment may raise anything
            problem = f"{type(error).__name__}: {' '.join(str(error).split())[:200] or 'without a message'}"
    return problem, list(dict.fromkeys(" ".join(str(note.message).split())[:200] for note in caught))


def _play(env: VectorEnv, battles: int, rng: np.random.Generator, played: Played) -> None:
    """Play battles with random allowed actions."""
    step, length = env.reset(), 0
    while len(played.lengths) < battles:
        played.obs.append(step.obs[0].copy())
        played.alive.append(step.alive[0].copy())
        played.avail.append(step.avail[0].copy())
        actions = allowed_actions(step.avail, rng)
        begun = time.perf_counter()
        with contextlib.redirect_stdout(sys.stderr):
            step = env.step(actions)
        played.seconds += time.perf_counter() - begun
        played.rewards.append(float(step.reward[0]))
        played.begins.append(length == 0)
        length += 1
        if step.terminated[0] or step.truncated[0]:
            played.lengths.append(length)
            played.terminated += int(step.terminated[0])
            played.won += int(step.battle_won[0])
            length = 0


def _spaces(spaces: Spaces, found: Examination) -> None:
    found.facts["agents"] = list(spaces.agents)
    found.facts["actions"], found.facts["observation numbers"] = spaces.n_actions, spaces.obs_size
    learners = "learner" if spaces.n_agents == 1 else "learners"
    if spaces.conversion:
        found.facts["conversion"] = spaces.conversion
        found.sentences.append(f"{spaces.conversion}.")
    found.sentences.append(
        f"{spaces.n_agents} {learners}, one for each agent ({', '.join(spaces.agents[:MOST_NAMED])}"
        f"{', ...' if spaces.n_agents > MOST_NAMED else ''}). Each chooses one of {spaces.n_actions} actions from "
        f"{spaces.obs_size} numbers."
    )
    if spaces.n_actions == 1:
        found.remark("there is only one action", "action_space", "There is nothing to choose")


def _observations(spaces: Spaces, played: Played, found: Examination) -> None:
    """Ranges of the observations, and numbers that the learner's scaling does not help."""
    rows = np.concatenate([obs[alive] for obs, alive in zip(played.obs, played.alive, strict=True)])
    if not len(rows):
        return
    low, high, size = rows.min(0), rows.max(0), np.abs(rows).max(0)
    found.facts["observations"] = {"low": float(low.min()), "high": float(high.max())}
    scale = ObservationScale(spaces.obs_size)
    for row in rows:
        scale.widen([row[np.newaxis]])
    divisor = scale.divisor().numpy()
    how = "are used as they are" if np.allclose(divisor, 1.0) else "are divided by their largest magnitudes so far"
    found.sentences.append(f"Observations lie in [{low.min():.4g}, {high.max():.4g}]; they {how}.")
    spread = high - low
    middle = np.abs(high + low) / 2
    usual = np.percentile(np.abs(rows), 99, axis=0)
    for fault, where, advice in (
        ("numbers of the observation never change", spread == 0, "They say nothing: leave them out"),
        ("numbers are in a narrow range far from zero", (spread > 0) & (middle > FAR * spread),
         "The learner sees nearly constant numbers: subtract the middle of their range"),
        ("numbers are tiny beside others", (spread > 0) & (size / divisor < SMALL), "Enlarge them"),
        ("numbers have outliers", (usual > 0) & (size > OUTLIER * usual),
         "One outlier makes all usual values small: clip them, or use another number for missing values"),
    ):  # fmt: skip
        if where.any():
            found.remark(fault, _components(np.flatnonzero(where), spaces.obs_size), advice)


def _components(which: np.ndarray, of: int) -> str:
    named = ", ".join(map(str, which[:MOST_NAMED].tolist()))
    return f"component {named}{', ...' if len(which) > MOST_NAMED else ''} ({len(which)} of {of})"


def _rewards(spaces: Spaces, played: Played, found: Examination) -> None:
    """The scale of the rewards."""
    rewards = np.array(played.rewards)
    unit, paid = _reward_unit(spaces, played), float((rewards != 0.0).mean())
    found.facts["rewards"] = {
        "low": float(rewards.min()), "high": float(rewards.max()), "share of steps with a reward": paid,
        "unit": unit,
    }  # fmt: skip
    if paid == 0.0 and not played.said:
        advice = "The learner gets no signal: pay parts of the task, or play more battles (--battles)"
        found.remark("random play is never rewarded", f"{len(rewards)} steps", advice)
    found.sentences.append(
        f"The team's reward is the mean of its agents' rewards: {rewards.min():.4g} to {rewards.max():.4g}, not zero "
        f"in {100 * paid:.1f} % of the steps. After these battles a learner divides rewards by {unit:.4g}."
    )


def _reward_unit(spaces: Spaces, played: Played) -> float:
    """The unit of rewards of a learner with default settings that has seen these battles."""
    unit = RewardUnit(BehaviourConfig().discount, 1)
    rewards, firsts = list[float](), list[bool]()
    for reward, begins in zip(played.rewards, played.begins, strict=True):
        # The arrival before a battle's first step has no reward.
        rewards += [0.0, reward] if begins else [reward]
        firsts += [True, False] if begins else [False]
    steps = len(rewards)
    unit.take(
        [
            Segment(
                Origin(0, Role.PRIMARY, 0), 0, 0, np.zeros((steps, spaces.obs_size), np.float32),
                np.zeros(steps, np.int64), np.array(rewards, np.float32), np.zeros(steps, np.bool_), np.array(firsts),
                np.ones((steps, spaces.n_actions), np.bool_),
            )
        ]
    )  # fmt: skip
    return unit.value


def _masks(spaces: Spaces, played: Played, found: Examination) -> None:
    """How many actions are allowed, and how often agents are dead."""
    avail, alive = np.array(played.avail), np.array(played.alive)
    own = np.array(played.action_counts)
    allowed = float(avail[alive].sum() / (alive * own).sum()) if alive.any() else 0.0
    found.facts["allowed share of actions"], found.facts["dead share"] = allowed, float(1.0 - alive.mean())
    words = "all actions are allowed" if allowed == 1.0 else f"masks allow {100 * allowed:.0f} % of the actions"
    found.sentences.append(
        f"While an agent lives, {words}. Agents are dead in {100 * (1 - alive.mean()):.0f} % of the steps."
    )


def _ends(spaces: Spaces, played: Played, found: Examination) -> None:
    """How battles end, and whether they are won."""
    lengths, returns = played.lengths, _returns(played)
    found.facts["returns"] = {
        "mean": float(returns.mean()), "low": float(returns.min()), "high": float(returns.max()),
    } if lengths else None  # fmt: skip
    found.facts["battles"] = {
        "played": len(lengths), "ended by their rules": played.terminated, "won": played.won,
        "mean length": float(np.mean(lengths)) if lengths else None,
    }  # fmt: skip
    cut = f"; the others were cut, at most after {spaces.episode_limit} steps (--own.episode-limit)"
    cut = cut if played.terminated < len(lengths) else ""
    if lengths:
        found.sentences.append(
            f"{played.terminated} of {len(lengths)} battles ended by their own rules. They took {np.mean(lengths):.0f} "
            f"steps on average{cut}. "
            f"The return of random play is {returns.mean():.4g} on average, and {returns.min():.4g} to "
            f"{returns.max():.4g} in a battle."
        )
    if lengths and min(lengths) >= spaces.episode_limit:
        advice = "Raise it if battles are longer by their nature; the learner never sees their end"
        found.remark("no battle ended before the limit", f"--own.episode-limit {spaces.episode_limit}", advice)
    found.sentences.append(
        f"{played.won} of these battles were won." if played.won
        else "No battle was won, or infos[agent]['battle_won'] is never given: runs show returns instead of win rates. "
        "Say what a success is (--success 'return>=NUMBER'), or set --agent.behaviour.entropy-decay below 1 "
        "(docs/own_environment.md)."
    )  # fmt: skip


def _returns(played: Played) -> np.ndarray:
    """The return of each battle that has ended."""
    ends = np.cumsum(played.lengths)
    return np.array([sum(played.rewards[end - length : end]) for end, length in zip(ends, played.lengths, strict=True)])


def _speed(spaces: Spaces, played: Played, found: Examination) -> None:
    per_s = len(played.rewards) / max(played.seconds, 1e-9)
    found.facts["steps per second"] = per_s
    found.sentences.append(
        f"One copy plays {per_s:,.0f} steps per second: 50 000 environment steps take {50_000 / per_s / 60:.1f} min "
        "without learning."
    )


def lines_of(found: Examination) -> Iterator[str]:
    """The examination as lines of text."""
    for title, result in found.facts["PettingZoo's tests"].items():
        yield f"PettingZoo's {title}: {result}"
    yield from found.sentences
    for remark in found.remarks:
        yield f"! {remark}"
    if not found.remarks:
        yield "Nothing looks wrong."
