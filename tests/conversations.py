"""Recorded conversations of SMAC's packages (`smac_player.py`): replays of what they sent, and comparisons.

`python tests/conversations.py`, with both packages installed, records those of tests/golden/conversations anew.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.vector import SkirmishVectorEnv

GOLDEN = Path(__file__).parent / "golden" / "conversations"
RECORDED = {
    "smac": ("3m", "8m", "2s3z", "3s5z", "MMM", "2m_vs_1z", "2s_vs_1sc", "corridor"),
    "smacv2": ("protoss_5_vs_5", "terran_5_vs_5", "zerg_5_vs_5"),
}
SEED = 1
PLAYER = Path(__file__).parent / "smac_player.py"
TOLERANCE = 2e-6
"""Positions and healths cross the wire as float32."""
READ = ("x", "y", "health", "shield", "energy", "cooldown")


def record(package, name, out, seed=1, battles=2, root=None):
    """Let a package play battles on the stand-in in `root`; the recorded arrays."""
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"SC2PATH": str(root)}
    command = [sys.executable, str(PLAYER), package, name, str(seed), str(battles), str(out)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return load(out)


def load(path):
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def requests_of(data):
    """The requests of a conversation, as bytes."""
    ends = np.cumsum(data["lengths"])
    sent = data["sent"].tobytes()
    return [sent[end - length : end] for end, length in zip(ends.tolist(), data["lengths"].tolist(), strict=True)]


def replayed_units(data, game):
    """What SMAC would make of this game's answers: units (T, U, 6) as recorded, by answering the recorded requests."""
    from s2clientprotocol import sc2api_pb2 as sc_pb

    arrivals = {number: t for t, number in enumerate(data["at"].tolist())}
    out = np.zeros_like(data["units"])
    for number, request in enumerate(requests_of(data)):
        answer = game.answer(request)
        if answer is None:
            assert number == len(data["lengths"]) - 1, "only the last request quits"
            continue
        response = sc_pb.Response.FromString(answer)
        assert list(response.error) == [], (number, response.error)
        if number in arrivals:
            t = arrivals[number]
            place = {tag: u for u, tag in enumerate(data["tags"][t].tolist())}
            out[t] = 0.0 if data["first"][t] else out[t - 1]
            out[t, :, 2] = 0.0
            for unit in response.observation.observation.raw_data.units:
                row = unit.pos.x, unit.pos.y, unit.health, unit.shield, unit.energy, unit.weapon_cooldown
                out[t, place[unit.tag]] = row
    return out


class Renumbered:
    """Arrays of the embedded engine in SMAC's numbers.

    SMAC numbers the allies of each battle by kind, x and y. The engine numbers agents of one kind by their places
    before the random shift, so agent a of SMAC is agent `order[a]` of the engine.
    """

    def __init__(self, contract, order):
        self.c, self.order = contract, order
        self.enemy = 5 + int(contract.enemy_shields) + contract.type_bits
        self.ally = 5 + int(contract.ally_shields) + contract.type_bits
        self.healers = [a for a in range(len(order)) if contract.medivac_rule and contract.healer[order[a]]]

    def actions(self, actions):
        """Actions of the engine's agents (1, N) from those of SMAC's."""
        out = np.zeros((1, len(self.order)), np.int64)
        for a, action in enumerate(actions.tolist()):
            heals = a in self.healers and action >= 6
            out[0, self.order[a]] = 6 + self.order[action - 6] if heals else action
        return out

    def avail(self, avail):
        """Masks (N, A)."""
        out = avail[self.order].copy()
        for a in self.healers:
            out[a, 6 : 6 + len(self.order)] = avail[self.order[a], 6 + self.order]
        return out

    def obs(self, obs, avail):
        """Observations (N, O) of agents with these masks, which are in SMAC's numbers already."""
        out, first = obs[self.order].copy(), 4 + self.c.n_enemies * self.enemy
        for a, row in enumerate(self.order):
            others = [b for b in self.order if b != row]
            for k, b in enumerate(others):
                at = first + (b - (b > row)) * self.ally
                out[a, first + k * self.ally : first + (k + 1) * self.ally] = obs[row, at : at + self.ally]
        for a in self.healers:  # the feature "may be attacked" is the heal mask at the same index (a quirk of SMAC)
            for k in range(self.c.n_enemies):
                seen = out[a, 4 + k * self.enemy + 4] > 0.0
                out[a, 4 + k * self.enemy] = seen and avail[a, 6 + k]
        return out

    def state(self, state, actions):
        """The state (S,), with SMAC's last actions (-1: none)."""
        out, width = state.copy(), self.ally - 1
        for a, row in enumerate(self.order):
            out[a * width : (a + 1) * width] = state[row * width : (row + 1) * width]
        last = out[len(out) - len(self.order) * self.c.n_actions :].reshape(len(self.order), self.c.n_actions)
        last[:] = actions[:, None] == np.arange(self.c.n_actions)
        return out


def errors_against_engine(data, name, seed=1, rules=None):
    """Largest errors of what SMAC returned, against the vector environment with the same seed and actions.

    The state of a battle's last arrival is not compared: the vector environment's already shows the next battle.
    """
    env = SkirmishVectorEnv(name, 1, seed, rules)
    step, obs, worst = env.reset(), iter(data["obs"]), dict.fromkeys(("obs", "state", "reward"), 0.0)
    agents, numbers = env.contract.n_agents, None

    def differ(key, ours, theirs):
        worst[key] = max(worst[key], float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max()))

    for t in range(len(data["at"])):
        over, actions = False, data["actions"][t].astype(np.int64)
        if data["first"][t]:
            tags = data["tags"][t]
            numbers = Renumbered(env.contract, tags[:agents] - tags.min())
        else:
            step = env.step(numbers.actions(actions))
            over = bool(data["ended"][t])
            differ("reward", step.reward[0], data["reward"][t])
            ends = (step.terminated[0] or step.truncated[0], step.battle_won[0], step.truncated[0])
            assert ends == (over, data["won"][t], data["limit"][t]), t
            dead = data["units"][t][:, 2] <= 0.0
            assert env.deaths[0].tolist() == [dead[:agents].sum(), dead[agents:].sum()], t
        avail = numbers.avail((step.final_avail if over else step.avail)[0])
        np.testing.assert_array_equal(avail, data["avail"][t], err_msg=str(t))
        if t % 4 == 0:
            differ("obs", numbers.obs((step.final_obs if over else step.obs)[0], avail), next(obs))
        if not over:
            differ("state", numbers.state(step.state[0], actions), data["state"][t])
    assert abs(env.contract.max_reward - data["max_reward"]) < 1e-9 and env.contract.limit == data["limit_steps"]
    return worst


def main():
    """Record all golden conversations, with the rules under which they hold."""
    from mawm.envs.standin.install import compile_engine, install

    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        compile_engine()
        GOLDEN.mkdir(exist_ok=True)
        for package, names in RECORDED.items():
            for name in names:
                data = record(package, name, GOLDEN / f"{name}.npz", SEED, root=folder)
                sys.stdout.write(f"{name}: {len(data['at'])} arrivals, {data['won'].sum()} won\n")
    (GOLDEN / "rules.json").write_text(json.dumps(asdict(Rules()), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
