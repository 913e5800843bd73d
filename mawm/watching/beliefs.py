"""What an agent's world model holds while it acts: the decoded observation, the policy, and the imagined future."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mawm.agents.actor_critic import policy_logits
from mawm.agents.agent import Agent
from mawm.agents.rssm import Latent
from mawm.filming.recording import Battle
from mawm.types import Floats
from mawm.watching.features import Features


@dataclass(frozen=True, eq=False)
class Belief:
    """One agent's view of a battle of T steps, with the weights that act.

    decoded (T, O): the observation that the private decoder makes of the latent state z_t, h_t after o_t was observed.
    policy (T, A): probabilities of the actions. imagined (T, H, O): the decoded observations of the next H arrivals,
    imagined at step t. `errors` compares them with what happened. divisor (O,): the agent's scale of each number.
    """

    agent: int
    decoded: Floats
    policy: Floats
    imagined: Floats
    errors: "Errors"
    divisor: Floats


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors of imagined futures at the horizons 1..H, and of the baseline that nothing changes: each array (H,).

    features: root of the mean squared error of the scaled observation. cells: mean distance, in cells, of the decoded
    from the true relative position, over the units that are in sight at both times. count: pairs of a step and an
    arrival, both in the agent's life. NaN where there is no pair.
    """

    features: NDArray[np.float64]
    still_features: NDArray[np.float64]
    cells: NDArray[np.float64]
    still_cells: NDArray[np.float64]
    count: NDArray[np.int64]


@torch.no_grad()
def belief_of(learner: Agent, battle: Battle, agent: int, features: Features, horizon: int) -> Belief:
    """The view of environment agent `agent`, for which `learner` acts, with futures of `horizon` steps."""
    model, actor = learner.acting.model, learner.acting.actor
    deter = torch.from_numpy(np.stack([x[agent] for x in battle.deter]))
    latent = Latent(deter, torch.from_numpy(np.stack([x[agent] for x in battle.stoch])))
    avail = torch.from_numpy(np.stack([x[agent] for x in battle.avail]))
    policy = torch.softmax(policy_logits(actor, latent, avail), -1)
    actions = torch.from_numpy(np.stack(battle.actions)[:, agent])
    decoded = _decoded(learner, latent)
    imagined = _imagined(learner, latent, actions, horizon)
    obs = np.stack([x[agent] for x in battle.obs])
    alive = np.stack([x[agent] for x in battle.alive])
    divisor = model.rssm.scale.divisor().numpy()
    errors = errors_of(imagined, obs, alive, divisor, features)
    return Belief(agent, decoded, policy.numpy(), imagined, errors, divisor)


def _decoded(learner: Agent, latent: Latent) -> Floats:
    """Raw observations (..., O) that the private decoder makes of latent states."""
    model = learner.acting.model
    raw: Floats = model.rssm.scale.raw(model.decode_observation(latent)).numpy()
    return raw


def _imagined(learner: Agent, latent: Latent, actions: Tensor, horizon: int) -> Floats:
    """Decoded observations (T, H, O): from every state, the prior's likeliest latents under the actions then taken.

    The actions are those of the agent itself, so that the future can be compared with what happened. After the
    battle's end the last action is repeated; nothing is compared there.
    """
    rssm = learner.acting.model.rssm
    steps = len(actions)
    no_reset, unseen = torch.zeros(steps, dtype=torch.bool), torch.zeros(steps, learner.spaces.obs_size)
    out = []
    for ahead in range(horizon):
        taken = actions[torch.arange(ahead, ahead + steps).clamp(max=steps - 1)]
        # h' does not depend on the observation; the posterior's z' does, and the prior's replaces it.
        deter = rssm.observe_step(latent, unseen, taken, no_reset, None).deter
        latent = Latent(deter, rssm.prior(deter).argmax(-1))
        out.append(_decoded(learner, latent))
    return np.stack(out, 1)


def errors_of(imagined: Floats, obs: Floats, alive: NDArray[np.bool_], divisor: Floats, features: Features) -> Errors:
    """Errors of imagined observations (T, H, O) against the true ones (T+1, O) of an agent alive at (T+1,)."""
    steps, horizon = imagined.shape[:2]
    rows: list[list[float]] = []
    for h in range(1, horizon + 1):
        starts = np.arange(max(0, steps + 1 - h))
        starts = starts[alive[starts] & alive[starts + h]]
        truth, now, future = obs[starts + h], obs[starts], imagined[starts, h - 1]
        both = features.seen(truth) & features.seen(now)
        rows.append(
            [
                *(_rms((guess - truth) / divisor) for guess in (future, now)),
                *(_miss(features, guess, truth, both) for guess in (future, now)),
                len(starts),
            ]
        )
    model, still, cells, still_cells, count = np.array(rows, np.float64).reshape(horizon, 5).T
    return Errors(model, still, cells, still_cells, count.astype(np.int64))


def _rms(difference: Floats) -> float:
    return float(np.sqrt(np.square(difference, dtype=np.float64).mean())) if difference.size else np.nan


def _miss(features: Features, guess: Floats, truth: Floats, counted: NDArray[np.bool_]) -> float:
    """Mean distance in cells of guessed from true relative positions, over the counted units."""
    gaps = np.linalg.norm(features.offsets(guess) - features.offsets(truth), axis=-1)[counted]
    return float(gaps.mean(dtype=np.float64)) if gaps.size else np.nan
