"""Which parameters each loss of Eqs. 1-3 trains, and where losses are masked."""

import numpy as np
import pytest
import torch

from mawm.agents.config import ReplayConfig, WorldModelConfig
from mawm.agents.information.term import Intrinsic
from mawm.agents.model_trainer import ModelTrainer, _with_context
from mawm.agents.pooled_replay import PooledReplay
from mawm.agents.world_model import Batch, WorldModel
from mawm.sharing.provenance import Gate
from mawm.types import Origin, Role, Segment, Spaces

CONFIG = WorldModelConfig(deter=8, groups=3, classes=4, hidden=8, batch=4, seq_len=6)
T, B, OBS, A = 6, 4, 5, 7


def make_model(**changes):
    config = WorldModelConfig(**{**CONFIG.__dict__, **changes})
    return WorldModel(OBS, A, config, bins=11, generator=torch.Generator().manual_seed(0))


def make_batch(own=(True, True, True, True), seed=0):
    rng = np.random.default_rng(seed)
    first = np.zeros((T, B), bool)
    first[0, 0] = first[3, 1] = True
    return Batch(
        obs=torch.from_numpy(rng.normal(size=(T, B, OBS)).astype(np.float32)),
        prev_action=torch.from_numpy(rng.integers(0, A, (T, B))),
        reward=torch.from_numpy(rng.random((T, B), dtype=np.float32)),
        terminal=torch.from_numpy(rng.random((T, B)) < 0.2),
        is_first=torch.from_numpy(first),
        reset=torch.from_numpy(first),
        avail=torch.from_numpy(rng.random((T, B, A)) < 0.5),
        own=torch.tensor(own),
    )


def noise(seed=1):
    return torch.from_numpy(np.random.default_rng(seed).random((T, B, CONFIG.groups), dtype=np.float32))


def touched(model, value):
    model.zero_grad()
    value.sum().backward()
    return {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}


def randomise_outputs(model):
    """Zero-initialised outputs would hide gradients: give them weights."""
    with torch.no_grad():
        for p in model.reward_head.parameters():
            p.add_(0.1 * torch.ones_like(p) * torch.arange(p.numel()).reshape(p.shape).cos())


EQUATIONS = {
    "obs": {"rssm", "decoders_in", "obs_decoder"},
    "action": {"rssm", "decoders_in", "action_decoder"},
    "reward": {"rssm", "predictors_in", "reward_head"},
    "terminal": {"rssm", "predictors_in", "terminal_head"},
    "avail": {"rssm", "predictors_in", "avail_head"},
    "dyn": {"rssm"},
    "rep": {"rssm"},
}


@pytest.mark.parametrize("name", list(EQUATIONS))
def test_loss_trains_its_own_head_and_the_rssm_only(name):
    model = make_model()
    randomise_outputs(model)
    losses, _ = model.losses(make_batch(), noise())
    assert touched(model, getattr(losses, name)) == EQUATIONS[name]


@pytest.mark.parametrize("name", ["obs", "action"])
def test_detached_decoder_sends_no_gradient_to_the_rssm(name):
    model = make_model(decoder_grads="detach")
    losses, _ = model.losses(make_batch(), noise())
    assert touched(model, getattr(losses, name)) == EQUATIONS[name] - {"rssm"}


def grads(model, value):
    model.zero_grad()
    value.sum().backward(retain_graph=True)
    return {n: p.grad.abs().max().item() for n, p in model.named_parameters() if p.grad is not None}


def test_balanced_kl_trains_prior_by_dyn_and_posterior_by_rep():
    model = make_model()
    losses, _ = model.losses(make_batch(), noise())
    dyn, rep = grads(model, losses.dyn), grads(model, losses.rep)
    assert dyn["rssm.prior_out.layers.0.weight"] > 0 and rep.get("rssm.prior_out.layers.0.weight", 0.0) == 0
    assert rep["rssm.posterior_out.layers.0.weight"] > 0
    assert torch.equal(losses.dyn, losses.rep)


def test_received_rows_train_predictors_and_kl_but_no_decoder():
    model = make_model()
    randomise_outputs(model)
    received = make_batch(own=(True, True, False, False))
    losses, _ = model.losses(received, noise())
    assert losses.obs[:, 2:].eq(0).all() and losses.action[:, 2:].eq(0).all()
    assert losses.obs[:, :2].gt(0).all()
    for name in ("reward", "terminal", "avail", "dyn"):
        assert getattr(losses, name)[1:, 2:].gt(0).all(), name
    nothing_own = make_batch(own=(False,) * 4)
    losses, _ = model.losses(nothing_own, noise())
    objective = model.objective(losses, nothing_own.own)
    names = touched(model, objective)
    assert "predictors_in" in names and not names & {"decoders_in", "obs_decoder", "action_decoder"}


def test_eq_1_is_averaged_over_own_rows_only():
    model = make_model(obs_scale=1.0, action_scale=0.0)
    batch = make_batch(own=(True, False, False, False))
    losses, _ = model.losses(batch, noise())
    rest = losses._replace(**{n: torch.zeros_like(losses.obs) for n in ("reward", "terminal", "avail")})
    floor = CONFIG.free_nats * (CONFIG.dyn_scale + CONFIG.rep_scale)
    quiet = rest._replace(dyn=torch.zeros_like(losses.dyn), rep=torch.zeros_like(losses.rep))
    assert model.objective(quiet, batch.own).item() == pytest.approx(losses.obs[:, 0].mean().item() + floor, rel=1e-5)


def test_free_nats_stop_the_kl_below_the_floor():
    model = make_model(free_nats=100.0, obs_scale=0.0, action_scale=0.0)
    batch = make_batch()
    losses, _ = model.losses(batch, noise())
    model.zero_grad()
    model.objective(losses, batch.own).backward()
    assert (
        model.rssm.prior_out.layers[0].weight.grad is None
        or model.rssm.prior_out.layers[0].weight.grad.abs().max() == 0
    )


def test_first_arrival_has_no_prediction_loss():
    model = make_model()
    randomise_outputs(model)
    batch = make_batch()
    losses, _ = model.losses(batch, noise())
    # Stretch 0 begins with a battle: its KL counts, there is no reward. The others begin inside one: neither counts.
    assert losses.dyn[0, 0] > 0 and losses.dyn[0, 1:].eq(0).all()
    assert losses.reward[0].eq(0).all() and losses.action[0].eq(0).all()
    assert losses.reward[3, 1] == 0 and losses.action[3, 1] == 0 and losses.dyn[3, 1] > 0


def received_piece(start):
    """Through the replay's only entrance for received experience: a piece of a battle that begins at step `start`."""
    spaces = Spaces(n_agents=1, n_actions=A, obs_size=OBS, state_size=0, episode_limit=20)
    replay = PooledReplay(spaces, ReplayConfig(capacity=100), 1, Gate(Role.PRIMARY))
    rng = np.random.default_rng(0)
    at = np.arange(start, start + T)
    never, avail = np.zeros(T, bool), np.ones((T, A), bool)
    obs = rng.random((T, OBS), dtype=np.float32)
    piece = Segment(Origin(1, Role.PRIMARY, 0), 0, start, obs, at % A, at.astype(np.float32), never, at == 0, avail)
    replay.remember([piece])
    replay.admit([piece, piece])
    # A stretch of the received ring that holds the end of one piece and the beginning of the next one.
    rows = replay.received.sample(64, T, np.random.default_rng(1))
    return Batch(*(torch.from_numpy(x) for x in rows), own=torch.zeros(64, dtype=torch.bool))


@pytest.mark.parametrize(("start", "past_is_known"), [(0, True), (7, False)])
def test_received_segment_resets_memory_and_has_a_first_kl_only_at_battle_start(start, past_is_known):
    model = make_model()
    randomise_outputs(model)
    batch = received_piece(start)
    rng = torch.Generator().manual_seed(0)
    losses, _ = model.losses(batch, torch.rand(T, 64, CONFIG.groups, generator=rng))
    begins = batch.reward == start  # the first arrival of the piece; rewards count the steps of the battle
    inside = begins.clone()
    inside[0] = False
    assert inside.any() and batch.reset[begins].all() and not batch.reset[~begins].any()
    assert bool((losses.dyn[begins] > 0).all()) is past_is_known
    assert bool((losses.dyn[begins] == 0).all()) is not past_is_known
    assert (losses.reward[begins] == 0).all()
    last = batch.reward == start + T - 1
    last[0] = False  # there, it is the stretch that has no known past
    assert last.any() and (losses.reward[last] > 0).all()


def test_memory_does_not_cross_battles():
    model = make_model()
    batch = make_batch()
    obs = batch.obs.clone().requires_grad_()
    _, post = model.losses(batch._replace(obs=obs), noise())
    post.deter[3:, 1].sum().backward()
    assert obs.grad[:3, 1].eq(0).all()
    assert obs.grad[3:, 1].abs().sum() > 0


def test_observation_loss_is_the_gaussian_formula():
    model = make_model()
    batch = make_batch()
    losses, post = model.losses(batch, noise())
    mean, _ = model.decode(post)
    expected = 0.5 * ((mean - batch.obs) ** 2).sum(-1)
    assert torch.allclose(losses.obs, expected)


def test_reward_of_a_terminal_arrival_is_predicted_by_outputs_of_its_own():
    model = make_model(reward_output="squared", end_rewards="apart")
    outputs = torch.tensor([[1.0, 7.0], [1.0, 7.0]])  # 1 if the battle goes on, 7 if it ends
    loss = model.reward_loss(outputs, torch.tensor([3.0, 3.0]), torch.tensor([False, True]))
    assert loss.tolist() == [2.0, 8.0]  # (1 - 3)^2 / 2, (7 - 3)^2 / 2
    # Odds 1 to 3 and 1 to 1: 0.25 x 7 + 0.75 x 1 and 0.5 x 7 + 0.5 x 1.
    expected = model.expected_reward(outputs, torch.tensor([1.0 / 3.0, 1.0]).log())
    assert expected.tolist() == pytest.approx([2.5, 4.0])


def test_shared_outputs_predict_the_reward_of_every_arrival():
    model = make_model(reward_output="squared", end_rewards="shared")
    outputs, ended = torch.tensor([[1.0], [7.0]]), torch.tensor([False, True])
    assert model.reward_loss(outputs, torch.tensor([3.0, 3.0]), ended).tolist() == [2.0, 8.0]
    assert model.expected_reward(outputs, torch.tensor([0.0, 9.0])).tolist() == [1.0, 7.0]


def test_one_step_errors_match_hand_computation():
    spaces = Spaces(n_agents=1, n_actions=A, obs_size=OBS, state_size=0, episode_limit=20)
    config = WorldModelConfig(deter=8, groups=3, classes=4, hidden=8, batch=4, seq_len=3)
    model = WorldModel(OBS, A, config, bins=11, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in model.obs_decoder.parameters():
            parameter.zero_()  # it expects zeros; the reward's head begins at zero by itself
    replay = PooledReplay(spaces, ReplayConfig(capacity=100), 1, Gate(Role.PRIMARY))
    rng = np.random.default_rng(0)
    trainer = ModelTrainer(model, replay, rng, rng, Intrinsic(), "cpu")

    def segment(steps: int, level: float) -> Segment:
        first = np.arange(steps) == 0
        obs = np.where(first[:, None], 99.0, level) * np.ones((steps, OBS), np.float32)
        zeros, avail = np.zeros(steps, np.int64), np.ones((steps, A), np.bool_)
        reward = np.where(first, 99.0, 2.0 * level).astype(np.float32)
        origin = Origin(0, Role.PRIMARY, 0)
        return Segment(origin, 0, 0, obs.astype(np.float32), zeros, reward, first & False, first, avail)

    assert trainer.errors([segment(4, 1.0)]) == {}, "nothing was ever there to be fitted on"
    replay.remember([segment(3, 0.5)])
    before = rng.bit_generator.state
    # What is first in a battle or in a stretch cannot be foreseen and is not counted (there the numbers are 99).
    errors = trainer.errors([segment(4, 1.0)])
    assert errors["deployed/obs_error"] == pytest.approx(1.0)
    assert errors["deployed/reward_error"] == pytest.approx(4.0, rel=1e-4)
    assert errors["trained/obs_error"] == pytest.approx(0.25)
    assert errors["trained/reward_error"] == pytest.approx(1.0, rel=1e-4)
    assert rng.bit_generator.state == before


def test_imagination_starts_after_five_arrivals_or_a_whole_battle():
    first, reset = np.zeros((8, 3), bool), np.zeros((8, 3), bool)
    reset[0] = True
    first[0, 0] = True  # a battle from its beginning
    first[3, 1] = reset[3, 1] = True  # a battle's end, then the next battle
    reset[2, 2] = True  # a battle's end, then a received piece from mid-battle
    assert _with_context(first, reset).astype(int).T.tolist() == [
        [1, 1, 1, 1, 1, 1, 1, 1],
        [0, 0, 0, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 0, 0, 1],
    ]


def test_score_is_a_mean_over_arrivals_that_have_the_loss():
    spaces = Spaces(n_agents=1, n_actions=A, obs_size=OBS, state_size=0, episode_limit=20)
    model = make_model()
    randomise_outputs(model)
    rng = np.random.default_rng(0)
    trainer = ModelTrainer(
        model,
        PooledReplay(spaces, ReplayConfig(capacity=100), 1, Gate(Role.PRIMARY)),
        rng,
        rng,
        Intrinsic(),
        "cpu",
    )

    def piece(steps, start, last_reward=0.0):
        draw = np.random.default_rng(7)
        first = np.arange(start, start + steps) == 0
        obs, reward = draw.random((steps, OBS), dtype=np.float32), np.zeros(steps, np.float32)
        reward[-1] = last_reward
        never, avail = np.zeros(steps, bool), np.ones((steps, A), bool)
        return Segment(
            Origin(0, Role.PRIMARY, 0), 0, start, obs, np.zeros(steps, np.int64), reward, never, first, avail
        )

    def scores(*pieces):
        return trainer.losses_of(list(pieces), np.random.default_rng(3))

    (inside,) = scores(piece(5, 7))
    (opening,) = scores(piece(5, 0))
    batch, _ = trainer._padded([piece(5, 7)])
    losses, _ = model.losses(batch, trainer._noise(np.random.default_rng(3), 5, 1))
    expected = [losses.avail.mean(), losses.terminal.mean(), losses.reward[1:].mean(), losses.dyn[1:].mean()]
    assert inside.tolist() == pytest.approx([float(x.detach()) for x in expected], rel=1e-5)
    assert opening[:3].tolist() == pytest.approx(inside[:3].tolist(), rel=1e-5)
    assert opening[3] != inside[3], "where a battle begins, the first KL counts"
    (won,) = scores(piece(5, 7, last_reward=11.0))
    assert won[2] != pytest.approx(inside[2], rel=1e-3), "the reward of the last arrival counts"
    # ExplorerHook a longer one a segment is filled up with zeros, which count nowhere.
    longer, same = scores(piece(9, 7), piece(5, 7))
    assert np.isfinite(longer).all() and same[0] == pytest.approx(inside[0], rel=0.2)
