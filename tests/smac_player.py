"""Plays battles with the unmodified package smac or smacv2 on a stand-in; records what it sent and made of the answers.

`python smac_player.py PACKAGE MAP SEED BATTLES OUT.npz`, with SC2PATH set. For smac MAP is a map's name, for
smacv2 RACE_N_vs_M. It runs in a process of its own, because PySC2 knows the maps of only one of the two packages.

Arrays: `sent` (bytes of all requests, one after another) and `lengths`; for each of T arrivals (a reset or a step) `at`
(number of the request whose answer it shows), `first` (whether it begins a battle), `actions` (N,), `units` (N + M, 6:
x, y, health, shield, energy, cooldown; a dead unit has health 0 and its last other values), `tags` (N + M), `state`,
`avail`, `reward`, `ended`, `won`, `limit`; `obs` of every `OBS_EVERY`-th arrival.
"""

import random
import sys

import numpy as np

OBS_EVERY = 4
RACES = {
    "protoss": (["stalker", "zealot", "colossus"], []),
    "terran": (["marine", "marauder", "medivac"], ["medivac"]),
    "zerg": (["zergling", "hydralisk", "baneling"], ["baneling"]),
}


def team_map(name, seed):
    """SMACv2's environment as its examples set it up."""
    from smacv2.env.starcraft2.wrapper import StarCraftCapabilityEnvWrapper

    race, n, _, m = name.split("_")
    kinds, exceptions = RACES[race]
    team = {"dist_type": "weighted_teams", "unit_types": kinds, "weights": [0.45, 0.45, 0.1], "observe": True}
    start = {"dist_type": "surrounded_and_reflect", "p": 0.5, "map_x": 32, "map_y": 32}
    config = {"n_units": int(n), "n_enemies": int(m), "start_positions": start}
    config["team_gen"] = team | {"exception_unit_types": exceptions}
    env = StarCraftCapabilityEnvWrapper(
        capability_config=config, map_name=f"10gen_{race}", conic_fov=False, obs_own_pos=True, use_unit_ranges=True,
        min_attack_range=2, continuing_episode=True, seed=seed,
    )  # fmt: skip
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (SMACv2 draws from these global generators)
    reseed(env.env_key_to_distribution_map.values(), np.random.default_rng(seed))
    return env, env.env


def reseed(distributions, rng):
    """Replace the generators of SMACv2's distributions, which have no seed, also of those inside others."""
    for distribution in distributions:
        for key, value in vars(distribution).items():
            if key == "rng":
                distribution.rng = rng
            elif hasattr(value, "generate"):
                reseed([value], rng)


def v1_map(name, seed):
    from smac.env import StarCraft2Env

    env = StarCraft2Env(map_name=name, seed=seed, continuing_episode=True)
    return env, env


def unit_rows(inner):
    every = [*inner.agents.values(), *inner.enemies.values()]
    rows = [[u.pos.x, u.pos.y, u.health, u.shield, u.energy, u.weapon_cooldown] for u in every]
    return np.array(rows, np.float32), np.array([u.tag for u in every], np.int64)


def choose(avail, rng, together):
    """A random available action, but three times in four an attack where one is available.

    With `together` all attack the first enemy that they may attack, and stop if there is none: this wins battles.
    """
    weights = rng.random(avail.shape)
    weights[:, 6:] += rng.random((len(avail), 1)) < 0.75
    if together:
        weights = np.tile(np.arange(avail.shape[1], 0, -1.0), (len(avail), 1))
        weights[:, 1], weights[:, 2:6] = 0.5, 0.25
    return np.where(avail, weights, -1.0).argmax(1)


def main(package, name, seed, battles, out):
    from pysc2.lib import protocol

    sent, write = [], protocol.StarcraftProtocol._write

    def recording(self, request):
        sent.append(request.SerializeToString())
        write(self, request)

    protocol.StarcraftProtocol._write = recording
    env, inner = (v1_map if package == "smac" else team_map)(name, int(seed))
    rng, rows = np.random.default_rng(int(seed)), {}

    def arrive(actions, reward=0.0, ended=False, info=None):
        units, tags = unit_rows(inner)
        avail = np.array(env.get_avail_actions(), np.bool_)
        values = {
            "at": len(sent) - 1, "first": info is None, "actions": actions.astype(np.int8), "units": units,
            "tags": tags, "state": np.asarray(env.get_state(), np.float32), "avail": avail,
            "reward": np.float64(reward), "ended": ended, "won": bool(info and info["battle_won"]),
            "limit": bool(info and info.get("episode_limit")),
        }  # fmt: skip
        if len(rows.get("at", [])) % OBS_EVERY == 0:
            values["obs"] = np.array(env.get_obs(), np.float32)
        for key, value in values.items():
            rows.setdefault(key, []).append(value)
        return avail

    for battle in range(int(battles)):
        env.reset()
        avail, ended = arrive(np.full(inner.n_agents, -1)), False
        while not ended:
            actions = choose(avail, rng, battle % 2 == 1)
            reward, ended, info = env.step(actions)
            avail = arrive(actions, reward, ended, info)
    env.close()
    rows["sent"] = np.frombuffer(b"".join(sent), np.uint8)
    rows["lengths"] = np.array([len(message) for message in sent], np.int32)
    np.savez_compressed(out, max_reward=inner.max_reward, limit_steps=inner.episode_limit, **rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
