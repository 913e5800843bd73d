"""`mawm.watch`: what the page holds equals what engine, agents and selectors did."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn_env import LENGTH
from PIL import Image
from watch_pages import GOLDEN, battles_of, own_page, unpacked

from mawm.agents.rssm import Latent
from mawm.build import make_team
from mawm.configs.train import TrainConfig
from mawm.envs.skirmish.battles import make_battles
from mawm.envs.skirmish.layout import HP, SHIELD, X, Y
from mawm.filming.recording import Battle, recordable
from mawm.run_folder.checkpoint import Loaded
from mawm.run_folder.manifest import read_config
from mawm.seeds import named_seed
from mawm.sharing.codec import Wire, segment_bytes
from mawm.sharing.threshold import Quantile
from mawm.trained.run import TrainedRun, load_run
from mawm.watch import main
from mawm.watching import page as pages
from mawm.watching.beliefs import Belief, belief_of, errors_of
from mawm.watching.features import features_of
from mawm.watching.offers import ObservedSelector
from mawm.watching.packed import UNSEEN, packed
from mawm.watching.recording import play


def battles_in(path: Path) -> list[dict[str, Any]]:
    """The battles of a written page, with unpacked fields."""
    return [{**battle, "arrays": unpacked(battle["field"])} for battle in battles_of(path.read_text("utf-8"))]


def watch(out: Path, *options: str, run: Path = GOLDEN) -> list[dict[str, Any]]:
    """Run the command, and read its page."""
    assert main([str(run), "-o", str(out), *options]) == 0
    return battles_in(out)


def untrained(method: str, map_name: str = "3m") -> TrainedRun:
    """A team of any method with its first weights, with the small networks of the golden run."""
    config: TrainConfig = replace(read_config(GOLDEN), method=method, map=map_name)
    config = replace(config, sharing=replace(config.sharing, bandwidth=0.05))
    spaces = make_battles(map_name, 1, 0).spaces
    team = make_team(config, spaces, "cpu", "inline")
    trained = TrainedRun(config, Loaded(GOLDEN, 0, {}), spaces, team)  # type: ignore[arg-type]
    for learner in trained.world_models:
        learner.model_trainer.updates = 1  # learners without an update send nothing
    return trained


def content(trained: TrainedRun, agent: int = 0) -> dict[str, Any]:
    """The content of a page with one battle of a team."""
    env = recordable(trained.config, "test")
    return pages.watched(trained, env, [next(play(trained, env, "sample", 0))], "sample", 0, agent)


def changed_run(folder: Path, **settings: Any) -> Path:
    """The golden run as if it had other settings."""
    shutil.copytree(GOLDEN, folder)
    saved = json.loads((folder / "config.json").read_text())
    for name, value in settings.items():
        saved["config"][name] = saved["config"][name] | value if isinstance(value, dict) else value
    (folder / "config.json").write_text(json.dumps(saved))
    return folder


@pytest.fixture(scope="module")
def recorded() -> tuple[TrainedRun, Battle]:
    trained = load_run(GOLDEN)
    env = recordable(trained.config, "test")
    return trained, next(play(trained, env, "sample", 0))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("watch") / "page.html"
    watch(out, "--battles", "2", "--mode", "sample", "--agent", "1")
    return out


def test_page_holds_the_positions_health_and_rewards_of_the_engine(written: Path) -> None:
    env = make_battles("3m", 1, named_seed(0, "battles/test"), read_config(GOLDEN).rules)
    step = env.reset()
    for number, battle in enumerate(battles_in(written)):
        arrays = battle["arrays"]
        assert battle["number"] == number and battle["steps"] == len(arrays["actions"]) > 5
        for frame, actions in enumerate(arrays["actions"]):
            for name, column, unit in (("x", X, 100), ("y", Y, 100), ("hp", HP, 10), ("shield", SHIELD, 10)):
                told, real = arrays[name][frame] / unit, np.maximum(env.bodies[0, :, column], 0.0)
                assert np.abs(told - real).max() <= 0.5 / unit + 1e-9
            seen = unpacked(battle["agents"][2]["view"])["seen"][frame]
            features = features_of(env, Battle(0, ("marine",) * 6), 2)
            sees = features.seen(step.obs[0, 2])
            assert (seen[~sees] == UNSEEN).all()
            offsets = seen[:, :2] / 100 * features.sight
            assert np.allclose(offsets[sees], features.offsets(step.obs[0, 2])[sees], atol=0.046)
            step = env.step(actions[None].astype(np.int64))
            assert arrays["reward"][frame] == step.reward[0]
        dead = arrays["hp"][-1] == 0
        assert [dead[:3].sum(), dead[3:].sum()] == env.deaths[0].tolist()
        assert (battle["end"] == "won") == bool(step.battle_won[0])
        assert (battle["end"] == "time limit") == bool(step.truncated[0])


@pytest.mark.parametrize("map_name", ["2s_vs_1sc", "10gen_zerg_5_vs_5"])
def test_bodies_after_a_step_are_those_of_the_engine_also_at_the_end(map_name: str) -> None:
    env, rng = make_battles(map_name, 1, 3), np.random.default_rng(0)
    step, ended, agents = env.reset(), 0, env.spaces.n_agents
    while ended < 2:
        actions = np.array([[rng.choice(np.flatnonzero(mask)) for mask in step.avail[0]]])
        kept = env.snapshot()
        after = env.bodies_after(0, actions[0])
        assert all(np.array_equal(array, kept[name]) for name, array in env.snapshot().items())
        step = env.step(actions)
        if step.terminated[0] or step.truncated[0]:
            ended += 1
            dead = after[:, HP] <= 0.0
            assert [dead[:agents].sum(), dead[agents:].sum()] == env.deaths[0].tolist()
        else:
            assert np.array_equal(after, env.bodies[0])


def test_bodies_after_a_forbidden_action_are_refused() -> None:
    env = make_battles("3m", 1, 0)
    env.reset()
    with pytest.raises(ValueError, match="agent 1: action 0 is not available"):
        env.bodies_after(0, np.array([1, 0, 1]))


def test_same_seed_writes_the_same_page_and_another_seed_another_battle(tmp_path: Path) -> None:
    one, same, other = (tmp_path / f"{name}.html" for name in ("one", "same", "other"))
    for out, seed in ((one, "4"), (same, "4"), (other, "5")):
        watch(out, "--mode", "sample", "--seed", seed)
    assert one.read_bytes() == same.read_bytes()
    assert battles_in(one)[0]["arrays"]["x"].tobytes() != battles_in(other)[0]["arrays"]["x"].tobytes()


def test_gif_is_the_first_battle_of_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "films" / "battle.gif"
    battles = watch(tmp_path / "page.html", "--battles", "2", "--gif", str(out))
    with Image.open(out) as image:
        assert image.format == "GIF" and image.n_frames > battles[0]["steps"]  # type: ignore[attr-defined]
    assert out.stat().st_size <= 1_000_000 and not list(out.parent.glob("*.new"))
    assert f"{out}: the first battle; {out.stat().st_size / 1e6:.2f} MB" in capsys.readouterr().out


def test_greedy_and_sampled_actions_differ(tmp_path: Path, written: Path) -> None:
    greedy = watch(tmp_path / "greedy.html", "--mode", "greedy")[0]
    assert greedy["arrays"]["actions"].tobytes() != battles_in(written)[0]["arrays"]["actions"].tobytes()
    views = unpacked(greedy["agents"][0]["view"])
    alive = greedy["arrays"]["hp"][:-1, 0] > 0
    taken = np.take_along_axis(views["policy"], greedy["arrays"]["actions"][:, :1].astype(np.int64), 1)[:, 0]
    assert (taken == views["policy"].max(1))[alive].all()


def test_page_is_one_small_file_without_addresses(written: Path) -> None:
    text = written.read_text("utf-8")
    assert len(text) < 2 * 1_000_000
    assert not any(word in text for word in ("src=", "@import", "url(", "fetch(", '<link rel="stylesheet"'))


def test_believed_observation_is_decoded_from_the_acting_state_and_imagination_follows_the_prior(
    recorded: tuple[TrainedRun, Battle],
) -> None:
    trained, battle = recorded
    learner = trained.world_models[1]
    model = learner.acting.model
    features = features_of(recordable(trained.config, "test"), battle, 1)
    belief = belief_of(learner, battle, 1, features, 4)
    states = Latent(*(torch.from_numpy(np.stack(part)[:, 1]) for part in (battle.deter, battle.stoch)))
    with torch.no_grad():
        decoded = model.rssm.scale.raw(model.decode_observation(states))
        likeliest = Latent(states.deter, model.rssm.prior(states.deter).argmax(-1))
        expected = model.rssm.scale.raw(model.decode_observation(likeliest))
    assert np.allclose(belief.decoded, decoded.numpy(), atol=1e-5)
    # One step ahead: the deterministic state of the next step, in which the next observation has no part.
    assert np.allclose(belief.imagined[:-1, 0], expected.numpy()[1:], atol=1e-4)
    assert np.allclose(belief.policy.sum(1), 1.0, atol=1e-5)
    assert belief.imagined.shape == (battle.steps, 4, trained.team.learners[1].spaces.obs_size)  # type: ignore[attr-defined]


def test_errors_of_imagined_futures_equal_a_calculation_by_hand() -> None:
    features = features_of(make_battles("2m_vs_1z", 1, 0), Battle(0, ("marine", "marine", "zealot")), 0)
    enemy, ally = features.places
    obs = np.zeros((4, features.own + 1), np.float32)
    obs[:, enemy + 1] = 1 / 3  # in sight in all frames, and moves by 0.9 cells a step to the east
    obs[:, enemy + 2], obs[:, enemy + 4] = [0.0, 0.1, 0.2, 0.3], 1.0
    obs[0, [ally + 1, ally + 4]] = 0.5  # in sight in the first frame only, so it is never compared
    imagined = np.zeros((3, 2, obs.shape[1]), np.float32)
    imagined[:, 0], imagined[:2, 1] = obs[1:], obs[2:]
    imagined[:, 0, enemy + 3] += 0.2  # 1.8 cells too far to the north
    found = errors_of(imagined, obs, np.array([True, True, True, False]), np.ones(obs.shape[1], np.float32), features)
    assert found.count.tolist() == [2, 1]  # the agent is dead in the last frame
    assert found.cells == pytest.approx([1.8, 0.0], abs=1e-5)
    assert found.still_cells == pytest.approx([0.9, 1.8], abs=1e-5)
    assert found.features == pytest.approx([np.sqrt(0.04 / obs.shape[1]), 0.0], abs=1e-6)
    squares = [(0.01 + 0.25 + 0.25 + 0.01) / 2, 0.04 + 0.25 + 0.25]
    assert found.still_features == pytest.approx(np.sqrt(np.array(squares) / obs.shape[1]), abs=1e-6)


def test_segments_have_the_size_of_their_messages_and_cover_each_agents_life(written: Path) -> None:
    config = read_config(GOLDEN)
    spaces = make_battles("3m", 1, 0).spaces
    for battle in battles_in(written):
        for agent in range(3):
            own = [segment for segment in battle["segments"] if segment["agent"] == agent]
            frames = [frame for segment in own for frame in range(segment["first"], segment["last"] + 1)]
            life = int((battle["arrays"]["hp"][:, agent] > 0).sum())
            assert frames == list(range(min(life + 1, battle["steps"] + 1)))
            for segment in own:
                length = segment["last"] - segment["first"] + 1
                assert segment["bytes"] == segment_bytes(length, spaces.obs_size, spaces.n_actions, Wire())
                assert list(segment["losses"]) == ["avail", "terminal", "reward", "kl"]
                assert config.agent.world_model.seq_len * 1.5 > length


def test_a_run_that_sends_everything_shows_all_segments_as_sent(tmp_path: Path) -> None:
    run = changed_run(tmp_path / "run", sharing={"selector": "all", "bandwidth": 1.0, "budget": "report"})
    battle = watch(tmp_path / "page.html", run=run)[0]
    assert {segment["fate"] for segment in battle["segments"]} == {"sent"}


def test_observed_selector_names_the_loss_that_decided_an_offer() -> None:
    selector = ObservedSelector(Quantile(0.05, ("avail", "terminal", "reward", "kl")))
    rng = np.random.default_rng(0)
    for _ in range(60):
        selector.propose(rng.random((1, 4)), np.array([20]), [])
    plain, spike = np.full((1, 4), 0.5), np.array([[0.5, 0.5, 9.0, 0.5]])
    assert not selector.propose(plain, np.array([20]), [])[0] and selector.winner == ""
    assert selector.z is not None and selector.needed is not None and selector.z < selector.needed
    assert selector.propose(spike, np.array([20]), [])[0] and selector.winner == selector.largest == "reward"
    assert selector.losses == (0.5, 0.5, 9.0, 0.5)
    assert selector.z > selector.needed > 0.0


@pytest.mark.parametrize(
    ("method", "believes", "said"),
    [
        ("both", True, "Each agent's own selector (adaptive, bandwidth"),
        ("independent", True, "share no experience"),
        ("centralized", True, "All experience reaches the one model"),
        ("ippo", False, "no world model"),
        ("mappo", False, "no world model"),
    ],
)
def test_page_of_each_kind_of_method_shows_the_beliefs_that_it_has(method: str, believes: bool, said: str) -> None:
    data = content(untrained(method))
    (battle,) = data["battles"]
    assert data["model"] is believes and said in data["sharing"]
    assert [("view" in agent) for agent in battle["agents"]] == [believes] * 3
    fates = {segment["fate"] for segment in battle["segments"]}
    assert fates == ({"sent"} if method == "centralized" else {"kept"} if believes else set())
    assert "<script" in pages.page(data)


def test_page_of_another_environment_holds_its_pictures_and_its_observations_as_numbers() -> None:
    data = own_page()
    (battle,) = data["battles"]
    assert not data["engine"] and data["map"] == "drawn_env:Counting"
    assert battle["kinds"] == ["left", "right"] and battle["end"] == "over" and battle["steps"] == LENGTH
    assert battle["pictures"]["every"] == 1
    agent = battle["agents"][1]
    assert agent["places"] == [0, 1]  # the third number never changes
    view = unpacked(agent["view"])
    ranges = [np.array(agent[name]) for name in ("low", "high")]
    real = ranges[0] + (view["real"].astype(float) + 32767) / 65534 * (ranges[1] - ranges[0])
    frames = np.arange(LENGTH + 1)
    assert np.allclose(real, np.stack([frames, np.sin(frames)], 1), atol=1e-3)
    assert view["future"].shape == (LENGTH, data["horizon"], 2)
    assert agent["errors"]["count"][0] == LENGTH and agent["errors"]["cells"] == [None] * data["horizon"]
    assert unpacked(battle["field"])["alive"].tolist() == [[1, 1]] * (LENGTH + 1)


def test_page_of_an_environment_without_pictures_says_why() -> None:
    (battle,) = own_page("ippo", None)["battles"]
    assert battle["pictures"]["why"].startswith("its render_mode is None; let its factory return it with render_mode=")
    assert "view" not in battle["agents"][0]


def test_beliefs_that_do_not_fit_are_left_out_but_those_of_the_first_agent_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = content(untrained("both"), 2)["battles"][0]
    sizes = {name: len(json.dumps(whole[name])) for name in whole}
    room = len(json.dumps(whole)) - sizes["agents"] + 1.5 * len(json.dumps(whole["agents"][2]))
    monkeypatch.setattr(pages, "MOST_BYTES", int(room))
    battle = content(untrained("both"), 2)["battles"][0]
    assert [("view" in agent) for agent in battle["agents"]] == [False, False, True]


@pytest.mark.slow
@pytest.mark.parametrize("map_name", ["27m_vs_30m", "10gen_terran_20_vs_23"])
def test_battle_of_a_large_map_takes_at_most_1_mb_whatever_its_agents_believe(
    map_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)

    def noisy(*args: Any) -> Belief:
        """A belief without any regularity, which cannot be compressed."""
        found = belief_of(*args)
        decoded, imagined = (rng.random(x.shape, dtype=np.float32) * 2 - 1 for x in (found.decoded, found.imagined))
        return replace(found, decoded=decoded, imagined=imagined)

    monkeypatch.setattr(pages, "belief_of", noisy)
    monkeypatch.setattr(pages, "horizon_of", lambda trained: pages.MOST_AHEAD)
    data = content(untrained("both", map_name))
    (battle,) = data["battles"]
    assert len(pages.page(data)) < 1_000_000
    shown = ["view" in agent for agent in battle["agents"]]
    assert shown[0] and not all(shown)


def test_packed_arrays_come_back_unchanged() -> None:
    rng = np.random.default_rng(1)
    arrays = {
        "a": rng.integers(-128, 127, (3, 1, 7)).astype(np.int8),
        "b": rng.integers(-999, 999, (5,)).astype(np.int16),
        "c": rng.random((2, 3)).astype(np.float32),
        "d": np.zeros((0, 5), np.int16),
    }
    found = unpacked(packed(arrays))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array)


@pytest.mark.parametrize(
    ("settings", "options", "said"),
    [
        (
            {"map": "market"},
            [],
            "world_model weight rssm.action_in is missing from the checkpoint or has another shape",
        ),
        ({}, ["--gif", "battle.png"], "--gif battle.png: the film is a GIF file; give a name that ends in .gif"),
        ({}, ["--agent", "3"], "--agent 3: the team has the agents 0 to 2; name one of them"),
        ({}, ["--battles", "0"], "--battles must be a whole number in [1, 100]; got 0"),
        ({}, ["--mode", "best"], "--mode"),
        ({"map": "8m"}, [], "its checkpoint lacks 'learner_agent_3': it was saved by another version"),
    ],
)
def test_run_that_cannot_be_watched_is_refused_in_one_line(
    settings: dict[str, Any], options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = changed_run(tmp_path / "run", **settings)
    with pytest.raises(SystemExit) as end:
        main([str(run), *options])
    told = capsys.readouterr().err
    assert end.value.code == 2 and told.count("\n") == 1 and said in told
    assert not (run / "watch.html").exists()


def test_folder_without_a_run_or_checkpoint_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = changed_run(tmp_path / "run")
    shutil.rmtree(run / "ck-000000384")
    for arguments, said in (
        ([str(tmp_path)], "holds no config.json"),
        ([str(run)], "checkpoint"),
        ([str(GOLDEN), "-o", str(tmp_path / "page.txt")], "give a name that ends in .html"),
    ):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        told = capsys.readouterr().err
        assert end.value.code == 2 and told.count("\n") == 1 and said in told
