"""How well world models foresee what their team meets once it is deployed."""

import numpy as np

from mawm.collect import Collector
from mawm.configs.train import TrainConfig
from mawm.team import Team
from mawm.types import Metrics, VectorEnv


def model_errors(env: VectorEnv, team: Team, config: TrainConfig, mode: str) -> Metrics:
    """Errors a step ahead, meant over learners, in battles of `env` that nobody explores in; and in their replays.

    deployed/obs_error, deployed/reward_error, trained/obs_error, trained/reward_error (`ModelTrainer.errors`); the gap
    is deployed less trained. Empty for learners without a world model.
    """
    agent = config.agent
    collector = Collector(env, team, seq_len=agent.world_model.seq_len, discount=agent.behaviour.discount)
    segments = collector.collect(2 * env.spaces.episode_limit, mode)
    found: list[Metrics] = team.map("model_error", segments)
    return {tag: float(np.mean([errors[tag] for errors in found])) for tag in found[0]}
