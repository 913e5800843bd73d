"""The doctor: each rule speaks of a log with its fault and not of its neighbour; environments are examined."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from odd_env import Plain
from test_own_environment import EXAMPLE

from mawm.auditing.examine import examine
from mawm.build import write_config
from mawm.configs.train import TrainConfig
from mawm.doctor import main
from mawm.results.faults import RULES, findings_of
from mawm.results.load import load_runs
from mawm.train import main as train

STEPS = [1000 * i for i in range(1, 21)]
HEALTHY: dict[str, Any] = {
    "agent_0/actor/entropy_share": np.linspace(0.9, 0.06, 20),
    "agent_0/world_model/kl": np.linspace(2.0, 1.5, 20),
    "agent_0/world_model/obs_loss": np.geomspace(4.0, 0.2, 20),
    "agent_0/world_model/skipped_updates": 0.0,
    "agent_0/behaviour/skipped_updates": 0.0,
    "agent_0/critic/value_bias": 0.4,
    "agent_0/critic/mean_return": np.linspace(2.0, 9.0, 20),
    "agent_0/critic/advantage_scale": 0.6,
    "channel/nominal_bandwidth": 0.05,
    "channel/experience/realised_bandwidth": 0.0417,
    "channel/experience/offered_bandwidth": 0.05,
    "channel/experience/sent_items": 100.0,
    "channel/rollouts/realised_bandwidth": 0.0417,
    "channel/rollouts/offered_bandwidth": 0.05,
    "channel/rollouts/sent_items": 100.0,
    "eval/episodes": 64.0,
    "eval/distinct_battles": 60.0,
    "eval/distinct_battles_sampled": 64.0,
    "eval/win_rate": 0.95,
    "eval/win_rate_low": 0.87,
    "eval/win_rate_high": 0.98,
    "eval/win_rate_sampled": 0.8,
    "eval/win_rate_sampled_low": 0.69,
    "eval/win_rate_sampled_high": 0.88,
    "eval/return": 19.0,
    "eval/return_sampled": 17.0,
}
RISING = np.concatenate([np.geomspace(4.0, 0.2, 8), np.full(6, 0.2), np.full(6, 0.32)])
LOST = {f"eval/win_rate{mode}{end}": 0.0 for mode in ("", "_sampled") for end in ("", "_low", "_high")}
GAP = {"eval/win_rate": 0.6, "eval/win_rate_low": 0.48, "eval/win_rate_high": 0.71}


def write_log(folder: Path, changes: dict[str, Any], config: TrainConfig | None = None) -> Path:
    """A run of 20 rows: the healthy one with some tags changed, or removed if None. Numbers stand for constant tags."""
    tags = {tag: value for tag, value in (HEALTHY | changes).items() if value is not None}
    curves = {tag: np.broadcast_to(np.asarray(value, float), 20).tolist() for tag, value in tags.items()}
    rows = [{"env_steps": n, **{tag: values[i] for tag, values in curves.items()}} for i, n in enumerate(STEPS)]
    folder.mkdir(parents=True)
    write_config(folder, config or replace(TrainConfig(), env_steps=20_000), {})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], float]] = {
    # rule: the tag of the finding, a log with the fault, its neighbour without it, and the number that is shown
    "entropy": (
        "agent_0/actor/entropy_share", {"agent_0/actor/entropy_share": 0.01, **LOST},
        {"agent_0/actor/entropy_share": 0.01}, 0.01,
    ),
    "kl": ("agent_0/world_model/kl", {"agent_0/world_model/kl": 0.04}, {"agent_0/world_model/kl": 0.06}, 0.04),
    "bandwidth": (
        "channel/experience/realised_bandwidth", {"channel/experience/realised_bandwidth": 0.02},
        {"channel/experience/realised_bandwidth": 0.02, "channel/experience/sent_items": 10.0}, 0.02,
    ),
    "model error": (
        "agent_0/world_model/obs_loss", {"agent_0/world_model/obs_loss": RISING},
        {"agent_0/world_model/obs_loss": RISING.clip(0.25)}, 0.32,
    ),
    "greedy": (
        "eval/win_rate less eval/win_rate_sampled",
        {**GAP, "eval/win_rate_sampled": 0.3, "eval/win_rate_sampled_low": 0.2, "eval/win_rate_sampled_high": 0.42},
        {**GAP, "eval/win_rate_sampled": 0.3, "eval/win_rate_sampled_low": 0.1, "eval/win_rate_sampled_high": 0.6}, 0.3,
    ),
    "repeats": ("eval/distinct_battles", {"eval/distinct_battles": 1.0}, {"eval/distinct_battles": 7.0}, 1.0),
    "no evaluation": (
        "env_steps", {tag: None for tag in HEALTHY if tag.startswith("eval/")}, {}, 20_000.0,
    ),
    "skipped": (
        "agent_0/behaviour/skipped_updates", {"agent_0/behaviour/skipped_updates": np.linspace(0, 3, 20)}, {}, 3.0,
    ),
    "value bias": (
        "agent_0/critic/value_bias", {"agent_0/critic/value_bias": -2.5}, {"agent_0/critic/value_bias": -1.5}, -2.5,
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_rule_speaks_of_its_fault_and_not_of_the_neighbouring_log(rule: str, tmp_path: Path) -> None:
    tag, fault, neighbour, value = CASES[rule]
    (faulty, healthy), _ = load_runs([write_log(tmp_path / "a", fault), write_log(tmp_path / "b", neighbour)])
    (finding,) = findings_of(faulty)
    assert (finding.tag, finding.value) == (tag, pytest.approx(value, rel=0.02))
    assert list(RULES[rule](faulty)) == [finding]
    assert abs(finding.value - finding.limit) > 0 and finding.advice and findings_of(healthy) == []


def test_bandwidth_rule_speaks_of_too_little_and_too_much_but_not_of_methods_without_sharing(tmp_path: Path) -> None:
    tag = "channel/rollouts/realised_bandwidth"
    silent = {tag: 0.0, "channel/rollouts/sent_items": 0.0}
    alone = replace(TrainConfig(), env_steps=20_000, method="independent")
    paths = [
        write_log(tmp_path / "silent", silent), write_log(tmp_path / "loud", {tag: 0.06}),
        write_log(tmp_path / "alone", silent, alone),
    ]  # fmt: skip
    runs, _ = load_runs(paths)
    assert [[(f.tag, f.limit) for f in findings_of(run)] for run in runs] == [
        [(tag, 0.025)], [(tag, pytest.approx(0.055))], [],
    ]  # fmt: skip


def test_greedy_rule_compares_returns_where_no_battle_is_won(tmp_path: Path) -> None:
    far = write_log(tmp_path / "far", {**LOST, "eval/return": -2.0, "eval/return_sampled": -9.0})
    near = write_log(tmp_path / "near", {**LOST, "eval/return": -6.0, "eval/return_sampled": -9.0})
    (one, other), _ = load_runs([far, near])
    assert [f.tag for f in findings_of(one)] == ["eval/return less eval/return_sampled"] and findings_of(other) == []


def test_run_that_is_too_short_for_its_first_evaluation_has_no_finding(tmp_path: Path) -> None:
    config = replace(TrainConfig(), env_steps=100_000)
    config = replace(config, schedule=replace(config.schedule, eval_every=30_000))
    (early,), _ = load_runs([write_log(tmp_path / "early", CASES["no evaluation"][1], config)])
    assert findings_of(early) == []


def test_doctor_prints_findings_or_that_nothing_looks_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(tmp_path / "a", {}), write_log(tmp_path / "b", CASES["skipped"][1])
    assert main([str(tmp_path / "a")]) == 0
    assert "Nothing looks wrong (9 rules" in capsys.readouterr().out
    assert main([str(tmp_path), "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [len(entry["findings"]) for entry in runs] == [0, 1]
    assert set(runs[1]["findings"][0]) == {"fault", "tag", "value", "limit", "advice"}
    assert main([str(tmp_path / "b")]) == 0
    assert "! updates were skipped, because they were not finite: agent_0/behaviour/skipped_updates is 3 (limit 0)" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    "args", [["nowhere"], ["."], [], ["x", "--map", "a:b"], ["--map", "3m"], ["--map", "no_mod:f"]]
)
def test_doctor_ends_with_one_line_where_nothing_can_be_read(
    args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(args)
    assert end.value.code == 2 and capsys.readouterr().err.count("\n") == 1


def test_doctor_finds_nothing_wrong_in_a_tiny_real_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "run")
    settings = ["--preset", "debug", "--placement", "inline", "--map", "odd_env:Plain", "--env-steps", "150"]
    assert train([*settings, "--run-dir", folder]) == 0
    capsys.readouterr()
    assert main([folder]) == 0
    assert "Nothing looks wrong" in capsys.readouterr().out


def test_examination_of_a_sound_environment_remarks_nothing() -> None:
    found = examine("odd_env:Plain", battles=10, limit=50)
    assert found.facts["PettingZoo's tests"] == {"API test": "passed", "seed test": "passed"}
    assert found.remarks == []
    sizes = found.facts["actions"], found.facts["observation numbers"]
    assert (found.facts["agents"], *sizes) == (["red", "blue"], 3, 3)
    assert found.facts["battles"] == {"played": 10, "ended by their rules": 10, "won": 0, "mean length": 4.0}
    words = " ".join(found.sentences)
    assert "2 learners, one for each agent (red, blue)" in words and "runs show returns instead of win rates" in words
    assert "10 of 10 battles ended by their own rules. They took 4 steps on average. The return" in words


class Poor(Plain):
    """Four kinds of bad numbers, no reward, no end, and noise that no seed determines."""

    chance = np.random.default_rng()

    def look(self, agent: str) -> Any:
        """A constant, a narrow range far from zero, a tiny number, an outlier once."""
        bad = 1e6 if self.t == 100 else self.chance.random()
        return np.array([3.0, 1000.0 + self.chance.random(), 1e-3 * self.chance.random(), bad], np.float32)

    def step(self, actions: dict[str, int]) -> Any:
        """No reward, no end."""
        self.t += 1
        flags = dict.fromkeys(self.agents, False)
        return self.seen(), dict.fromkeys(self.agents, 0.0), flags, flags, {agent: {} for agent in self.agents}


class Breaks(Plain):
    """Raises an error at its third step."""

    def step(self, actions: dict[str, int]) -> Any:
        """Fail at the third step."""
        if self.t == 2:
            raise KeyError("wall")
        return super().step(actions)


def test_examination_of_a_poor_environment_names_each_fault() -> None:
    found = examine("test_doctor:Poor", battles=2, limit=150)
    said = {remark.fault: remark.about for remark in found.remarks}
    assert "on average; the others were cut, at most after 150 steps" in " ".join(found.sentences)
    assert said.pop("PettingZoo's seed test fails")
    assert said == {
        "numbers of the observation never change": "component 0 (1 of 4)",
        "numbers are in a narrow range far from zero": "component 1 (1 of 4)",
        "numbers are tiny beside others": "component 2 (1 of 4)",
        "numbers have outliers": "component 3 (1 of 4)",
        "random play is never rewarded": "300 steps",
        "no battle ended before the limit": "--own.episode-limit 150",
    }


def test_examination_names_opposing_rewards_and_failures_in_the_middle_of_a_battle() -> None:
    said = {remark.fault: remark.about for remark in examine("test_parallel_answers:ZeroSum", 10, 60).remarks}
    assert "the rewards of red and blue oppose each other" in said["the rewards of agents oppose each other"]
    said = {remark.fault: remark.about for remark in examine("test_doctor:Breaks", 10, 60).remarks}
    assert "step raised KeyError: 'wall'" in said["the environment fails while it is played"]


class Late(Plain):
    """One reward of 1, at the last of its 150 steps."""

    def step(self, actions: dict[str, int]) -> Any:
        """Pay at the end."""
        self.t += 1
        over = self.t == 150
        flags, cut = dict.fromkeys(self.agents, over), dict.fromkeys(self.agents, False)
        rewards, infos = dict.fromkeys(self.agents, float(over)), {agent: {} for agent in self.agents}
        seen = self.seen()
        self.agents = [] if over else self.agents
        return seen, rewards, flags, cut, infos


def test_examination_names_the_unit_by_which_a_learner_divides_rewards() -> None:
    found = examine("test_doctor:Late", battles=2, limit=200)
    assert found.facts["rewards"]["unit"] == 1.0  # the discount of .99 to the power 150 would give .22


class Leaves(Plain):
    """Ends the process at its third step."""

    def step(self, actions: dict[str, int]) -> Any:
        """End the process."""
        if self.t == 2:
            raise SystemExit(0)
        return super().step(actions)


def test_examination_names_an_environment_that_ends_its_process() -> None:
    said = {remark.fault: remark.about for remark in examine("test_doctor:Leaves", 3, 60).remarks}
    assert said["the environment ends its process"] == "sys.exit(0) in step 3"


def test_examination_of_the_published_example_remarks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "published.py").write_text(EXAMPLE, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    found = examine("published:make", battles=20, limit=20)
    assert found.remarks == [] and found.facts["battles repeat under a seed"]


class NewSpaces(Plain):
    """A new space object at each call."""

    def action_space(self, agent: str) -> Any:
        """Three actions."""
        return spaces.Discrete(3)


def test_examination_remarks_once_that_spaces_are_made_anew_and_runs_pettingzoos_tests_all_the_same() -> None:
    found = examine("test_doctor:NewSpaces", 3, 60)
    assert [(remark.fault, remark.about) for remark in found.remarks] == [
        ("each call makes a new space", "action_space")
    ]
    assert all(result.startswith("passed") for result in found.facts["PettingZoo's tests"].values())


class SharedSpaces(Plain):
    """All copies have the same spaces, which PettingZoo's seed test does not accept."""

    kept = {name: (spaces.Box(-1.0, 1.0, (3,), np.float32), spaces.Discrete(3)) for name in Plain.possible_agents}  # noqa: RUF012

    def spaces_of(self, agent: str) -> Any:
        """The spaces of the class."""
        return self.kept[agent]


def test_examination_tells_a_failing_seed_test_from_battles_that_do_not_repeat() -> None:
    advice = {remark.fault: remark.advice for remark in examine("test_doctor:SharedSpaces", 3, 60).remarks}
    assert "two copies gave equal answers" in advice["PettingZoo's seed test fails"]
    advice = {remark.fault: remark.advice for remark in examine("test_doctor:Poor", 1, 60).remarks}
    assert "draw every random number" in advice["PettingZoo's seed test fails"]


class FewerActions(Plain):
    """One agent has three actions and the other one two; all are allowed."""

    def spaces_of(self, agent: str) -> Any:
        """Two actions for blue."""
        kept = super().spaces_of(agent)
        return kept if agent == "red" else (kept[0], self.__dict__.setdefault("two", spaces.Discrete(2)))


def test_share_of_allowed_actions_does_not_count_actions_that_an_agent_does_not_have() -> None:
    found = examine("test_doctor:FewerActions", 3, 60)
    assert found.facts["allowed share of actions"] == 1.0
    assert any("all actions are allowed" in sentence for sentence in found.sentences)
