"""CheckedEnv: every fault of an environment is named, and no part of a faulty step is used."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from real_runs import Figure

from mawm.collect import Collector
from mawm.envs.checked import CheckedEnv, EnvFault
from mawm.envs.market.vector import MarketVectorEnv
from mawm.sharing.provenance import Gate
from mawm.types import Ints, Role, Segment, Step

HOLD = np.zeros((4, 3), np.int64)


def with_(field: str, at: tuple[int, ...], value: Any) -> Callable[[Step], Step]:
    """A fault: one number of a field of the step is replaced."""

    def change(step: Step) -> Step:
        array = getattr(step, field).copy()
        array[at] = value
        return replace(step, **{field: array})

    return change


def as_(field: str, make: Callable[[np.ndarray], Any]) -> Callable[[Step], Any]:
    return lambda step: replace(step, **{field: make(getattr(step, field))})


def raises(error: BaseException) -> Callable[[Step], Step]:
    def fail(step: Step) -> Step:
        raise error

    return fail


FAULTS: dict[str, tuple[Callable[[Step], Any], str]] = {
    "raises": (raises(RuntimeError("the game is gone")), "raised RuntimeError: the game is gone"),
    "raises without arguments": (raises(ConnectionError()), "raised ConnectionError: without a message"),
    "no answer in time": (raises(TimeoutError("no answer within 2 s")), "step gave no answer within 2 s"),
    "NaN": (with_("obs", (2, 1, 3), np.nan), "agent 1: obs holds nan; expected finite numbers"),
    "Inf in the state": (with_("state", (2, 0), np.inf), "state holds inf"),
    "NaN reward": (with_("reward", (2,), np.nan), "reward holds nan"),
    "a wrong shape": (as_("obs", lambda x: x[:, :, :-1]), "obs is float32 (4, 3, 4); expected float32 (4, 3, 5)"),
    "a wrong type": (as_("obs", lambda x: x.astype(np.float64)), "obs is float64 (4, 3, 5); expected float32"),
    "no array": (as_("reward", list), "reward is list None; expected float32 (4,)"),
    "another number of agents": (as_("avail", lambda x: x[:, :2]), "avail is bool (4, 2, 3); expected bool (4, 3, 3)"),
    "no action": (with_("avail", (2, 1), False), "agent 1: avail forbids every action; expected at least one"),
    "two ends": (
        lambda s: with_("truncated", (2,), True)(with_("terminated", (2,), True)(s)), "both true; at most one may be",
    ),
    "won without an end": (with_("battle_won", (2,), True), "battle_won is true in a battle that has not ended"),
    "no step at all": (lambda step: (0, True, {}), "step returned tuple; expected a Step"),
}  # fmt: skip


class Faulty(MarketVectorEnv):
    """A market with one fault at its n-th step (0: at its reset)."""

    def __init__(self, fault: Callable[[Step], Any], at: int) -> None:
        super().__init__(4, 0)
        self.fault, self.at, self.played = fault, at, 0

    def reset(self) -> Step:
        """Reset, or have the fault."""
        step = super().reset()
        return self.fault(step) if self.at == 0 else step

    def step(self, actions: Ints) -> Step:
        """Step, or have the fault."""
        self.played += 1
        step = super().step(actions)
        return self.fault(step) if self.played == self.at else step


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("at", [1, 12, 23, 30])
def test_checked_env_fault_names_environment_battle_step_agent_and_field(name: str, at: int, figure: Figure) -> None:
    fault, said = FAULTS[name]
    env = CheckedEnv(Faulty(fault, at), "market (train)")
    env.reset()
    for _ in range(at - 1):
        env.step(HOLD)
    with pytest.raises(EnvFault) as caught:
        env.step(HOLD)
    battle, step = (2 + 4 * (at > 24), at - 24 * (at > 24))
    message = str(caught.value)
    assert said in message and message.startswith("environment market (train), battle ")
    if name not in ("raises", "raises without arguments", "no answer in time") and "expected float32" not in said:
        assert f"battle {battle}, step {step}" in message or "expected bool" in said or "Step" in said
    with pytest.raises(EnvFault, match="market"):
        env.step(HOLD)  # what it holds now is unknown
    figure(f"{len(FAULTS)} faults at the first, a middle and the last step", "told by battle, step, agent and field")


def test_checked_env_checks_final_masks_of_truncated_battles_only() -> None:
    def ends(by: str) -> Callable[[Step], Step]:
        def change(step: Step) -> Step:
            over = with_(by, (2,), True)(with_("terminated" if by == "truncated" else "truncated", (2,), False)(step))
            return with_("final_avail", (2, 1), False)(over)

        return change

    for by, said in (("truncated", "battle 2, step 24, agent 1: final_avail forbids every action"), ("terminated", "")):
        env = CheckedEnv(Faulty(ends(by), 24), "market")
        env.reset()
        for _ in range(23):
            env.step(HOLD)
        if said:
            with pytest.raises(EnvFault, match=said):
                env.step(HOLD)
        else:
            env.step(HOLD)


def test_checked_env_detects_a_fault_at_reset() -> None:
    with pytest.raises(EnvFault, match=r"environment market, battle 2, step 1, agent 1: obs holds nan"):
        CheckedEnv(Faulty(FAULTS["NaN"][0], 0), "market").reset()


class Holding:
    """A team that holds."""

    members = ((0, 1, 2),)

    def begin(self, slot: str, batch: int) -> None:
        """Nothing to remember."""

    def act(self, obs: np.ndarray, *rest: Any, **more: Any) -> Ints:
        """Hold."""
        return np.zeros(obs.shape[:2], np.int64)


def test_checked_env_passes_no_row_of_a_faulty_step() -> None:
    def collected(env: MarketVectorEnv) -> list[Segment]:
        collector = Collector(CheckedEnv(env, "market"), Holding(), seq_len=5, discount=0.99)  # type: ignore[arg-type]
        rows: list[Segment] = []
        try:
            for _ in range(20):
                rows += collector.collect(1, "sample")[0]
        except EnvFault:
            return rows
        return rows

    whole, cut = collected(MarketVectorEnv(4, 0)), collected(Faulty(FAULTS["NaN"][0], 15))
    assert 0 < len(cut) < len(whole)
    for one, other in zip(whole, cut, strict=False):
        assert one.obs.tobytes() == other.obs.tobytes() and np.isfinite(other.obs).all()
        Gate(Role.PRIMARY).check(other.origin)


def test_checked_env_passes_a_value_error_and_continues() -> None:
    env = CheckedEnv(MarketVectorEnv(4, 0), "market")
    env.reset()
    with pytest.raises(ValueError, match="session 0, trader 0: action 7 is not available"):
        env.step(HOLD + 7)
    assert np.isfinite(env.step(HOLD).reward).all()


def test_checked_env_changes_no_step_and_its_snapshot_continues() -> None:
    plain, guarded, other = MarketVectorEnv(4, 0), *(CheckedEnv(MarketVectorEnv(4, 0), "market") for _ in range(2))
    plain.reset(), guarded.reset()
    for t in range(40):
        if t == 30:
            other.restore(guarded.snapshot())
        expected, step = plain.step(HOLD), guarded.step(HOLD)
        assert all(np.array_equal(x, y) for x, y in zip(vars(expected).values(), vars(step).values(), strict=True))
        if t >= 30:
            again = other.step(HOLD)
            assert np.array_equal(again.obs, step.obs)
    assert np.array_equal(guarded._battles, other._battles) and np.array_equal(guarded._steps, other._steps)
