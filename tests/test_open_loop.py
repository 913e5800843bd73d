"""Why SMACv2's maps exist: a sequence of actions that ignores all observations wins on SMAC's map, but not on these."""

import numpy as np
import pytest

from mawm.envs.skirmish.battles import make_battles
from tests.engine_arena import ATTACK, STOP, attack_nearest

RECORDED, TRIED, REPLAYS, FRESH = 100, 25, 48, 400


def scripted(env, step):
    """Fighters attack the nearest enemy; medivacs heal the first ally that they may heal, and else stand still."""
    actions = attack_nearest(env, step)
    if hasattr(env, "kinds"):
        heals = env.contract.healer[env.kinds[:, : env.contract.n_agents]] & step.alive
        may = step.avail[:, :, ATTACK:]
        actions = np.where(heals, np.where(may.any(2), ATTACK + may.argmax(2), STOP), actions)
    return actions


def play(env, choose):
    """Play each row's first battle by `choose(step, t)`; its actions (T, B, N) and whether it was won (B,)."""
    step, played = env.reset(), []
    going, won = np.ones(env.batch, bool), np.zeros(env.batch, bool)
    while going.any():
        played.append(choose(step, len(played)))
        step = env.step(played[-1])
        won |= step.battle_won & going
        going &= ~(step.terminated | step.truncated)
    return np.array(played), won


def replayed(name, actions, battles, seed):
    """Share of battles that a sequence (T, N) wins. A forbidden action becomes stop, or no-op of a dead agent."""

    def choose(step, t):
        wished = np.broadcast_to(actions[min(t, len(actions) - 1)], step.alive.shape)
        allowed = np.take_along_axis(step.avail, wished[..., None], 2)[..., 0]
        return np.where(allowed, wished, step.alive.astype(np.int64))

    return play(make_battles(name, battles, seed), choose)[1].mean()


def best_open_loop(name):
    """Win rates of the script, and of the best of its winning sequences, on battles that did not choose it."""
    env = make_battles(name, RECORDED, 1)
    actions, won = play(env, lambda step, t: scripted(env, step))
    sequences = [actions[:, row] for row in np.flatnonzero(won)[:TRIED]]
    rates = [replayed(name, sequence, REPLAYS, 2) for sequence in sequences]
    return won.mean(), replayed(name, sequences[int(np.argmax(rates))], FRESH, 3)


@pytest.mark.slow
@pytest.mark.parametrize("race", ["protoss", "terran", "zerg"])
def test_open_loop_policy_wins_at_most_a_tenth_of_drawn_battles(race, figure):
    script, best = best_open_loop(f"10gen_{race}_5_vs_5")
    figure(f"a fixed sequence of actions on 10gen_{race}_5_vs_5", f"wins {best:.3f} (the script: {script:.2f})")
    assert script > 0.1 and best <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("race", ["protoss", "terran", "zerg"])
def test_random_preferences_over_allowed_actions_win_few_drawn_battles(race, figure):
    """For each step and agent a random order of actions, attacks first; the mask says which one is the first allowed.

    Such a policy sees no observation, but the mask tells it who is in range.
    """
    name, rng, rates = f"10gen_{race}_5_vs_5", np.random.default_rng(4), []
    for _ in range(40):
        env = make_battles(name, 256, 5)
        order = rng.random((env.contract.limit, 1, env.contract.n_agents, env.contract.n_actions))
        order[..., ATTACK:] += 1.0
        rates.append(play(env, lambda step, t, order=order: np.where(step.avail, order[t], -1.0).argmax(2))[1].mean())
    figure(f"random preferences over allowed actions on {name}", f"win {np.mean(rates):.3f}, the best {max(rates):.3f}")
    assert np.mean(rates) < 0.25


@pytest.mark.slow
def test_open_loop_policy_wins_most_battles_of_a_map_of_smac(figure):
    script, best = best_open_loop("2s3z")
    figure("a fixed sequence of actions on 2s3z", f"wins {best:.3f} (the script: {script:.2f})")
    assert best > 0.5


def test_recorded_actions_win_the_same_drawn_battle_again():
    env = make_battles("10gen_protoss", 16, 1)
    actions, won = play(env, lambda step, t: scripted(env, step))
    row = int(np.flatnonzero(won)[0])
    again = make_battles("10gen_protoss", 1, 1, first_battle=row)
    assert play(again, lambda step, t: actions[t, row][None])[1].all()
