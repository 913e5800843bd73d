"""Films of battles: pictures of the field, GIFs, and what environments draw of themselves."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_env import HEIGHT, LENGTH, WIDTH, Counting
from numpy.typing import NDArray
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import IMAGES, EventAccumulator
from watch_pages import unpacked

from mawm.configs.presets import load_preset
from mawm.envs.checked import CheckedEnv, rendered
from mawm.envs.market.vector import MarketVectorEnv
from mawm.envs.pettingzoo import ParallelVectorEnv
from mawm.envs.skirmish.layout import HP, X, Y
from mawm.filming import gif as gifs
from mawm.filming.drawing import ALLY, ENEMY, STRIP, FieldFilm, PictureFilm, film_of
from mawm.filming.first_battles import FirstBattles, first_battle_of
from mawm.filming.gif import END_MS, STEP_MS, Gif, gif_of
from mawm.filming.recording import Battle, RecordedBattles, recordable
from mawm.storage.metrics_log import TensorBoard
from mawm.types import Ints
from mawm.watching import picture_packing
from mawm.watching.picture_packing import packed_pictures

CONFIG = replace(load_preset("debug"), map="2m_vs_1z")


def played(env: Any, seed: int = 0) -> tuple[Battle, list[tuple[int, ...]]]:
    """A battle with random actions, and these actions."""
    battles, rng, actions = RecordedBattles(env), np.random.default_rng(seed), []
    step = battles.reset()
    while battles.finished is None:
        joint: Ints = np.array([[rng.choice(np.flatnonzero(mask)) for mask in step.avail[0]]])
        actions.append(tuple(joint[0].tolist()))
        step = battles.step(joint)
    return battles.finished, actions


@pytest.fixture(scope="module")
def fought() -> tuple[FieldFilm, list[tuple[int, ...]], Gif]:
    env = recordable(CONFIG, "eval")
    battle, actions = played(env)
    film = film_of(battle, env)
    assert isinstance(film, FieldFilm)
    return film, actions, gif_of(film)


def frames_of(data: bytes) -> Iterator[tuple[Image.Image, int]]:
    """Each picture of a GIF and its milliseconds."""
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "GIF" and image.info["loop"] == 0
        for number in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(number)
            yield image.convert("RGB"), image.info["duration"]


def near(picture: NDArray[np.uint8], at: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    """Whether a colour lies within 14 pixels of a place (x, y)."""
    x, y = at
    part = picture[max(0, y - 14) : y + 15, max(0, x - 14) : x + 15].astype(int)
    return bool((np.abs(part - colour).sum(-1) < 60).any())


def test_living_units_are_drawn_in_their_colours_where_they_stand(fought: tuple[FieldFilm, Any, Gif]) -> None:
    film = fought[0]
    west, east, south, north = film.scene.extent()
    size = 400, round(400 * film.shape)
    scale = min(size[0] / (east - west), size[1] / (north - south))
    for frame in (0, film.steps // 2, film.steps):
        picture = film.picture(frame, size)
        assert picture.shape == (size[1] + STRIP, size[0], 3)
        for unit, body in enumerate(film.battle.bodies[frame]):
            x = size[0] / 2 + (body[X] - (west + east) / 2) * scale
            y = STRIP + size[1] / 2 - (body[Y] - (south + north) / 2) * scale
            own, other = (ALLY, ENEMY) if unit < 2 else (ENEMY, ALLY)
            if body[HP] > 0.0:
                assert near(picture, (round(x), round(y)), own), (frame, unit)
            alone = np.linalg.norm(film.battle.bodies[frame][:, [X, Y]] - body[[X, Y]], axis=1)
            if (np.delete(alone, unit) * scale > 60).all() and not film.battle.hits[max(0, frame - 1)].size:
                assert not near(picture, (round(x), round(y)), other), (frame, unit)


def test_unit_between_two_frames_lies_between_its_places(fought: tuple[FieldFilm, Any, Gif]) -> None:
    scene = fought[0].scene
    moved = np.abs(scene.place[1] - scene.place[0]).max(-1) > 0.1
    assert moved.any()
    assert np.allclose(scene.places_at(0.25), 0.75 * scene.place[0] + 0.25 * scene.place[1])


def test_gif_repeats_shows_every_step_and_holds_its_end(fought: tuple[FieldFilm, Any, Gif]) -> None:
    film, _, gif = fought
    frames = list(frames_of(gif.data))
    assert len(gif.data) <= gifs.MOST_BYTES and gif.note == ""
    assert frames[0][0].size == gif.size
    step_ms = STEP_MS if film.steps <= gifs.LONG else gifs.LONG_STEP_MS
    assert sum(shown for _, shown in frames) == film.steps * step_ms + END_MS
    whole = film.picture(film.steps, (gif.size[0], gif.size[1] - STRIP)).astype(int)
    assert np.abs(np.asarray(frames[-1][0]).astype(int) - whole).mean() < 4.0  # 255 colours
    assert np.abs(np.asarray(frames[0][0]).astype(int) - whole).mean() > 0.5


def test_gif_that_would_be_too_large_leaves_out_steps_and_says_so(
    fought: tuple[FieldFilm, Any, Gif], monkeypatch: pytest.MonkeyPatch
) -> None:
    film = fought[0]
    monkeypatch.setattr(gifs, "STEPS_DOWN", ((0.5, 1), (0.5, 4)))
    gif = gif_of(film, 40_000)
    assert len(gif.data) <= 40_000 and gif.note == "one picture for 4 steps, to stay below 0.04 MB"
    with pytest.raises(ValueError, match="does not fit into a GIF"):
        gif_of(film, 100)


def test_environment_draws_only_if_asked_and_also_the_last_picture_of_a_battle() -> None:
    made: list[Counting] = []
    env = CheckedEnv(ParallelVectorEnv(lambda: made.append(Counting()) or made[-1], 2, 0, 100), "counting")
    env.reset()
    still = np.zeros((2, 2), np.int64)
    for _ in range(LENGTH):
        env.step(still)
    assert [one.drawn for one in made] == [0, 0]  # as in training
    assert rendered(env).pictures[0][0, :, 1].argmin() == 0
    for time in range(1, LENGTH):
        env.step(still)
        (picture,) = rendered(env).pictures
        assert picture.shape == (HEIGHT, WIDTH, 3) and picture[0, :, 1].argmin() == time
    env.step(still)
    assert [picture[0, :, 1].argmin() for picture in rendered(env).pictures] == [LENGTH, 0]
    assert made[1].drawn == 0


def test_recorded_battle_of_an_environment_has_a_picture_for_every_arrival() -> None:
    env = CheckedEnv(ParallelVectorEnv(Counting, 1, 0, 100), "counting")
    battles = RecordedBattles(env)
    battles.reset()
    for number in range(2):
        for _ in range(LENGTH):
            battles.step(np.zeros((1, 2), np.int64))
        battle = battles.finished
        assert battle is not None and battle.number == number and battle.end == "over"
        assert [picture[0, :, 1].argmin() for picture in battle.pictures] == list(range(LENGTH + 1))
        assert [obs[0, 0] for obs in battle.obs] == list(range(LENGTH + 1))


@pytest.mark.parametrize(
    ("mode", "answer", "why"),
    [
        (None, None, "its render_mode is None; let its factory return it with render_mode='rgb_array'"),
        ("human", None, "its render_mode is 'human'"),
        ("rgb_array", RuntimeError("no display"), "its render raised RuntimeError: no display (drawn_env.py, line"),
        ("rgb_array", "text", "its render returned str; expected an array of uint8 of shape (height, width, 3)"),
        ("rgb_array", [[1], [2, 3]], "its render raised ValueError"),
        ("rgb_array", np.zeros((4, 4, 3)), "its render returned float64 (4, 4, 3)"),
        ("rgb_array", np.zeros((0, 4, 3), np.uint8), "its render returned uint8 (0, 4, 3)"),
    ],
)
def test_environment_without_pictures_says_why_and_goes_on(mode: str | None, answer: Any, why: str) -> None:
    env = CheckedEnv(ParallelVectorEnv(lambda: Counting(mode, answer), 1, 0, 100), "counting")
    battle, _ = played(env)
    assert battle.steps == LENGTH and battle.pictures == [] and battle.why.startswith(why)
    assert packed_pictures(battle) == {"why": battle.why}
    with pytest.raises(ValueError, match="there is nothing to draw: its render"):
        PictureFilm(battle)


def test_environment_without_a_method_for_pictures_is_recorded_without_them() -> None:
    battle, _ = played(CheckedEnv(MarketVectorEnv(1, 0), "market"))
    assert battle.why == "this kind of environment draws no pictures" and len(battle.obs) == battle.steps + 1


def test_large_picture_with_a_fourth_channel_is_scaled_down_and_keeps_its_colours() -> None:
    answer = np.zeros((600, 1200, 4), np.uint8)
    answer[:, 600:] = (200, 100, 50, 7)
    (picture,) = ParallelVectorEnv(lambda: Counting(answer=answer), 1, 0, 9).render().pictures
    assert picture.shape == (240, 480, 3)
    assert picture[0, 0].tolist() == [0, 0, 0] and picture[-1, -1].tolist() == [200, 100, 50]


def unpacked_pictures(stored: dict[str, Any]) -> NDArray[np.uint8]:
    """The pictures (F, height, width, 3) that the page shows."""
    pixels = np.bitwise_xor.accumulate(unpacked(stored["packed"])["pixels"], axis=0)
    found: NDArray[np.uint8] = np.frombuffer(bytes.fromhex(stored["palette"]), np.uint8).reshape(256, 3)[pixels]
    return found


def test_pictures_of_few_colours_come_back_unchanged() -> None:
    battle, _ = played(CheckedEnv(ParallelVectorEnv(Counting, 1, 0, 100), "counting"))
    stored = packed_pictures(battle)
    assert (stored["width"], stored["height"], stored["every"], stored["note"]) == (WIDTH, HEIGHT, 1, "")
    assert np.array_equal(unpacked_pictures(stored), np.stack(battle.pictures))


def test_pictures_that_do_not_fit_are_scaled_down_then_left_out_and_the_page_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (40, 60, 3), np.uint8) for _ in range(9)]
    battle = Battle(0, pictures=noise)
    monkeypatch.setattr(picture_packing, "STEPS_DOWN", ((60, 1), (30, 1), (30, 2), (20, 4)))
    for most, side, every in ((40_000, 60, 1), (10_000, 30, 1), (6_000, 30, 2)):
        monkeypatch.setattr(picture_packing, "MOST_PICTURE_BYTES", most)
        stored = packed_pictures(battle)
        assert len(stored["packed"]["data"]) <= most and (stored["width"], stored["every"]) == (side, every)
        assert stored["note"] == (
            "" if every == 1 else "Only every 2nd step has a picture, so that the page stays small."
        )
    monkeypatch.setattr(picture_packing, "MOST_PICTURE_BYTES", 10)
    assert packed_pictures(battle) == {"why": "its 9 pictures do not fit into 0 kB"}


def test_film_of_an_evaluation_shows_the_battle_of_its_actions(fought: tuple[FieldFilm, Any, Gif]) -> None:
    _, actions, gif = fought
    assert first_battle_of(CONFIG, actions) == gif


def test_battle_of_another_length_is_not_filmed(fought: tuple[FieldFilm, Any, Gif]) -> None:
    for wrong in (fought[1][:-1], [*fought[1], fought[1][-1]]):
        with pytest.raises(ValueError, match="it is not repeatable"):
            first_battle_of(CONFIG, wrong)


def test_every_second_evaluation_is_filmed_and_a_failure_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written, told, made = [], [], []

    def film(config: Any, actions: Any) -> Gif:
        made.append(actions)
        if len(made) > 3:
            raise ValueError("there is nothing to draw")
        return Gif(b"gif", (1, 1))

    monkeypatch.setattr("mawm.filming.first_battles.first_battle_of", film)
    schedule = replace(CONFIG.schedule, eval_every=100, eval_gif_every=2)
    films = FirstBattles(replace(CONFIG, schedule=schedule), lambda steps, *gif: written.append(steps), told.append)
    for steps in (100, 204, 300, 408, 500, 600, 800, 1000):
        films(steps, [(0, 0)])
    assert written == [204, 408, 600] and len(made) == 4
    assert told == [
        "no film of the first battle of an evaluation (schedule.eval_gif_every 2): there is nothing to draw"
    ]
    off = FirstBattles(CONFIG, lambda steps, *gif: written.append(steps), told.append)
    off(100, [(0, 0)])
    assert len(made) == 4


@pytest.mark.slow
def test_films_change_no_number_of_a_run_and_stand_in_its_event_file(tmp_path: Path) -> None:
    from real_runs import differences

    from mawm.train import main

    options = ["--preset", "debug", "--placement", "inline", "--env-steps", "300", "--schedule.eval-every", "100"]
    for name, every in (("plain", "0"), ("filmed", "1")):
        assert main([*options, "--run-dir", str(tmp_path / name), "--schedule.eval-gif-every", every]) == 0
    assert differences(tmp_path / "plain", tmp_path / "filmed") == []
    for name, steps in (("plain", []), ("filmed", [128, 224, 320])):
        events = EventAccumulator(str(tmp_path / name), {IMAGES: 0})
        events.Reload()
        found = events.Images("eval/first_battle") if steps else events.Tags()["images"]
        assert [image.step for image in found] == steps if steps else found == []
        assert all(image.encoded_image_string.startswith(b"GIF89a") for image in found)


def test_gif_that_cannot_be_written_is_lost_and_does_not_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    board = TensorBoard(tmp_path)
    monkeypatch.setattr(board._writer.file_writer, "add_summary", full)
    board.write_gif(5, "eval/first_battle", b"GIF89a", (1, 1))
    monkeypatch.setattr(board, "_open", full)
    board.write_gif(6, "eval/first_battle", b"GIF89a", (1, 1))  # a new file cannot be opened either
    monkeypatch.undo()
    board.write(7, 1.0, {"a": 1.0})
    board.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert events.Tags()["images"] == [] and [event.value for event in events.Scalars("a")] == [1.0]
