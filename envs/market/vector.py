"""Parallel markets in which a team of traders follows a hidden trend."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.envs.checked import check_actions
from mawm.envs.market.rules import MarketRules
from mawm.types import Bools, Floats, Ints, Spaces, Step

HOLD, BUY, SELL = 0, 1, 2
OBS_SIZE = 5
SAVED = ("session", "time", "position", "seen", "earned")
SCALE = 0.5
"""Rewards are this factor times the profit, so that returns are of the order of those of SMAC battles."""


class MarketVectorEnv:
    """B parallel sessions with N traders each.

    A trader observes, each in about [-1, 1]: its signal, the last price move, its position, the team's last net volume,
    and the remaining time.

    The trend r_t is 1 or -1 and changes its sign with probability `turn` per step. In a step each trader trades at most
    one unit. Then the price moves by r_t + noise, or by (1 - gap) r_t + noise in explorers' markets (`explored`). The
    next signal of each trader is r_{t+1} + independent noise. Reward: SCALE x the mean over traders of position x move
    - |trade| (cost + impact x crowd), where crowd is the part of the team's net volume beyond the own trade, in its
    direction. A session is won if the sum of its rewards is above 0.

    Session k of a seed is a function of (seed, k, actions). Row b plays sessions b, b + B, b + 2B, ...
    """

    def __init__(self, batch: int, seed: int, rules: MarketRules | None = None, *, explored: bool = False) -> None:
        if batch < 1:
            raise ValueError(f"batch is {batch}; it must be at least 1")
        self.rules = r = rules or MarketRules()
        self.batch, self.explored = batch, explored
        self.spaces = Spaces(r.traders, 3, OBS_SIZE, 3 + r.traders, r.steps)
        self._seed = seed
        self._session = np.arange(batch, dtype=np.int64) - batch
        self._time = np.zeros(batch, np.int64)
        self._position = np.zeros((batch, r.traders), np.int64)
        self._last = np.zeros((batch, 2), np.float64)  # the last move and the last net volume
        self._earned = np.zeros(batch, np.float64)
        # These do not depend on actions; they are drawn for a whole session at its beginning.
        self._trend = np.zeros((batch, r.steps + 1), np.float64)
        self._shocks = np.zeros((batch, r.steps), np.float64)
        self._signals = np.zeros((batch, r.steps + 1, r.traders), np.float64)

    def _draw(self, row: int) -> None:
        r = self.rules
        rng = np.random.default_rng(np.random.SeedSequence((self._seed, int(self._session[row]))))
        turns = np.where(rng.random(r.steps + 1) < r.turn, -1.0, 1.0)
        self._trend[row] = np.cumprod(turns) * (1.0 if rng.random() < 0.5 else -1.0)
        self._shocks[row] = r.noise * rng.standard_normal(r.steps)
        noise = r.signal_noise * rng.standard_normal((r.steps + 1, r.traders))
        self._signals[row] = self._trend[row][:, None] + noise

    def _begin(self, rows: NDArray[np.int64]) -> None:
        self._session[rows] += self.batch
        for row in rows:
            self._draw(row)
        self._time[rows] = 0
        self._position[rows] = 0
        self._last[rows] = 0.0
        self._earned[rows] = 0.0

    def reset(self) -> Step:
        """Begin new sessions in all rows."""
        self._begin(np.arange(self.batch))
        return Step.begun(*self._views())

    def step(self, actions: Ints) -> Step:
        """Trade once in every session. ValueError names the first action that is not available."""
        check_actions(actions, self._views()[1], self._session, "session", "trader")
        r, rows = self.rules, np.arange(self.batch)
        trade = np.where(actions == BUY, 1, np.where(actions == SELL, -1, 0))
        self._position += trade
        trend = self._trend[rows, self._time] * (1.0 - r.gap if self.explored else 1.0)
        move = trend + self._shocks[rows, self._time]
        volume = trade.sum(1)
        crowd = np.maximum(0, trade * volume[:, None] - np.abs(trade))
        cost = np.abs(trade) * r.cost + r.impact * crowd
        reward = SCALE * (self._position * move[:, None] - cost).mean(1)
        self._earned += reward
        self._last = np.stack([move, volume], 1)
        self._time += 1
        over = self._time == r.steps
        won = over & (self._earned > 0.0)
        final_obs, final_avail, final_alive, _ = self._views()
        if over.any():
            self._begin(np.flatnonzero(over))
        now = self._views()
        never = np.zeros(self.batch, np.bool_)
        return Step(*now, reward.astype(np.float32), over, never, won, final_obs, final_avail, final_alive)

    def _views(self) -> tuple[Floats, Bools, Bools, Floats]:
        """The present obs (B, N, O), avail (B, N, A), alive (B, N), state (B, S)."""
        r, rows = self.rules, np.arange(self.batch)
        shape = self._position.shape
        left = 1.0 - self._time / r.steps
        common = np.stack([self._last[:, 0] / 2.0, self._last[:, 1] / r.traders, left], 1)[:, None]
        own = np.stack([self._signals[rows, self._time] / 2.0, self._position / r.most], -1)
        obs = np.concatenate([own, np.broadcast_to(common, (*shape, 3))], -1)[..., [0, 2, 1, 3, 4]]
        avail = np.stack([np.ones(shape, np.bool_), self._position < r.most, self._position > -r.most], -1)
        trend = self._trend[rows, self._time]
        state = np.concatenate([trend[:, None], common[:, 0, 1:], self._position / r.most], 1)
        return obs.astype(np.float32), avail, np.ones(shape, np.bool_), state.astype(np.float32)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The complete state for `restore`."""
        arrays = self._session, self._time, self._position, self._last, self._earned
        return {name: array.copy() for name, array in zip(SAVED, arrays, strict=True)}

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> None:
        """Continue from a snapshot. ValueError if its sizes differ."""
        if snapshot["position"].shape != self._position.shape:
            raise ValueError(f"snapshot has shape {snapshot['position'].shape}; this market has {self._position.shape}")
        self._session, self._time, self._position, self._last, self._earned = (snapshot[name].copy() for name in SAVED)
        for row in range(self.batch):
            self._draw(row)

    def close(self) -> None:
        """Nothing to close."""
