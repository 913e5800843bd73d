"""`mawm.export --policy`: an agent's acting step as a program that runs without mawm."""

import copy
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from trained_runs import GOLDEN, fresh_run

from mawm import export
from mawm.envs.registry import make_env
from mawm.trained.program import Mode, policy_of, write_program
from mawm.trained.run import TrainedRun, load_run

DOCUMENT = (Path(__file__).parents[1] / "docs/evaluating.md").read_text("utf-8")
(SNIPPET,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
WITHOUT_MAWM = f"""
import sys
sys.path.append(sys.argv[1])  # the folder of torch; without the module `site`, links to other folders are not followed
try:
    import mawm
    raise SystemExit("mawm can be imported")
except ModuleNotFoundError:
    pass
{SNIPPET}
torch.set_num_threads(1)
for file in sys.argv[2:]:
    record = torch.load(file + ".record", weights_only=True)
    policy = Policy(file, record["actions"].shape[1])
    steps = zip(record["obs"], record["mask"], record["first"], record["noise"])
    actions = torch.stack([policy.act(*step) for step in steps])
    print(policy.about["agent"], policy.about["mode"], torch.equal(actions, record["actions"]))
print("mawm" in sys.modules)
"""


def battles_of(run: TrainedRun, agent: int, mode: Mode, steps: int, rows: int) -> dict[str, Tensor]:
    """Real battles of the team: inputs of one agent's steps, its random numbers, and its actions (T, B)."""
    learner: Any
    learner, place = run.learner_of(agent)
    lanes = len(learner.members) * rows
    draws = policy_of(run, run.agents[agent], mode).step.noise
    rng, kept = copy.deepcopy(learner.rngs["evaluate"]), []
    run.team.begin("eval", rows)
    with closing(make_env(run.config, "test", rows)) as env:
        step, first = env.reset(), np.ones(rows, np.bool_)
        for _ in range(steps):
            noise = rng.random((lanes, draws), dtype=np.float32)[place * rows : (place + 1) * rows]
            actions = run.team.act(step.obs, step.avail, first, slot="eval", mode=mode)
            kept.append((step.obs[:, agent].copy(), step.avail[:, agent].copy(), first, noise, actions[:, agent]))
            step = env.step(actions)
            first = step.terminated | step.truncated
    names = ("obs", "mask", "first", "noise", "actions")
    return {name: torch.from_numpy(np.stack(part)) for name, part in zip(names, zip(*kept, strict=True), strict=True)}


def recorded(run: TrainedRun, agent: int, mode: Mode, rows: int, file: Path) -> str:
    """Write 70 steps of a team's battles beside the program of one of its agents; returns the program's name."""
    record = battles_of(run, agent, mode, 70, rows)
    assert record["first"][1:].any() and len(record["actions"].unique()) > 2  # several battles, several actions
    torch.save(record, f"{file}.record")
    return str(file)


def written(run: TrainedRun, agent: int, mode: Mode, rows: int, file: Path) -> str:
    """Write the program of an agent and its record."""
    write_program(policy_of(run, run.agents[agent], mode), file)
    return recorded(run, agent, mode, rows, file)


def run_without_mawm(folder: Path, *files: str) -> list[str]:
    """What the lines of the document print for the files, in an interpreter that cannot import mawm."""
    site = str(Path(torch.__file__).parents[1])
    command = [sys.executable, "-I", "-S", "-c", WITHOUT_MAWM, site, *files]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_exported_policies_act_as_in_their_team_where_mawm_cannot_be_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new" / "model.pt2"
    assert export.main([str(GOLDEN), "--policy", str(file), "--agent", "agent_1", "--mode", "sample"]) == 0
    said = capsys.readouterr().out
    assert "agent_1 of agent_0, agent_1, agent_2 on 3m after 384 environment steps, sampled actions" in said
    assert str(Path(export.__file__).parent).encode() not in file.read_bytes()  # no path of this machine
    model = recorded(load_run(GOLDEN), 1, "sample", 2, file)
    plain = written(fresh_run("mappo"), 2, "sample", 3, tmp_path / "plain.pt2")
    assert run_without_mawm(tmp_path, model, plain) == ["agent_1 sample True", "agent_2 sample True", "False"]


@pytest.mark.slow
def test_exported_policy_of_each_kind_of_learner_acts_as_in_its_team(tmp_path: Path) -> None:
    files, said = [], []
    for i, method in enumerate(("both", "centralized", "ippo", "mappo")):
        for rows in (1, 4):
            mode: Mode = "greedy" if rows == 4 and i < 2 else "sample"
            files.append(written(fresh_run(method), i % 3, mode, rows, tmp_path / f"{method}{rows}.pt2"))
            said.append(f"agent_{i % 3} {mode} True")
    assert run_without_mawm(tmp_path, *files) == [*said, "False"]


def test_exported_policy_depends_on_its_noise_and_forgets_at_the_beginning_of_a_battle(tmp_path: Path) -> None:
    space: dict[str, Any] = {}
    write_program(policy_of(fresh_run("ippo"), "agent_0", "sample"), tmp_path / "p.pt2")
    exec(SNIPPET, space)
    policy = space["Policy"](tmp_path / "p.pt2", battles=2)
    obs = torch.linspace(-1.0, 1.0, policy.about["observation"]).repeat(2, 1)
    mask = torch.ones(2, policy.about["actions"], dtype=torch.bool)
    start, on = torch.ones(2, dtype=torch.bool), torch.tensor([True, False])
    assert policy.act(obs, mask, start, torch.tensor([[0.0], [0.999]])).tolist() == [0, policy.about["actions"] - 1]
    begun = policy.memory[0].clone()
    policy.act(obs, mask, on)
    assert torch.allclose(policy.memory[0][0], begun[0]) and not torch.allclose(policy.memory[0][1], begun[1])


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--policy", "p.pt"], "give a name that ends in .pt2"),
        (["--policy", "p.pt2", "-o", "x.json"], "give one of them"),
        (["--agent", "agent_1"], "name its file, as in --policy agent_0.pt2"),
        (["--policy", "p.pt2", "--agent", "agent_9"], "its agents are agent_0, agent_1, agent_2"),
    ],
)
def test_mistake_in_the_export_of_a_policy_is_one_line(
    args: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        export.main([str(GOLDEN), *args])
    err = capsys.readouterr().err
    assert end.value.code == 2 and said in err and err.count("\n") == 1
