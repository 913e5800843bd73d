"""The page of `mawm.watch` in a real browser: it loads, plays, scrubs, and shows the clicked agent."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import OpenPage, headless_chromium, open_page
from watch_pages import GOLDEN, battles_of, own_page

from mawm.watch import main
from mawm.watching import page as pages

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WIDTHS = (1280, 400)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("watch") / "page.html"
    assert main([str(GOLDEN), "-o", str(out), "--battles", "2", "--mode", "sample"]) == 0
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with headless_chromium() as started:
        yield started


@pytest.fixture(params=WIDTHS)
def opened(request: pytest.FixtureRequest, browser: "Browser", written: Path) -> Iterator[OpenPage]:
    """The page after its battle is shown; at the end no message and no request may have come."""
    with open_page(browser, written, request.param, 800) as shown:
        shown.page.wait_for_function("document.querySelectorAll('#agents button').length === 3")
        yield shown
        assert shown.messages == []
        assert [address for address in shown.requests if not address.startswith(("file:", "data:"))] == []


def text(opened: OpenPage, place: str) -> str:
    """The text of an element."""
    return opened.page.inner_text(place)


def ink(opened: OpenPage, canvas: str) -> int:
    """Number of different colours on a canvas."""
    count: int = opened.page.evaluate(
        """(id) => {
          const shown = document.getElementById(id);
          const copy = Object.assign(document.createElement("canvas"), { width: shown.width, height: shown.height });
          const pen = copy.getContext("2d", { willReadFrequently: true });
          pen.drawImage(shown, 0, 0);
          return new Set(new Uint32Array(pen.getImageData(0, 0, copy.width, copy.height).data.buffer)).size;
        }""",
        canvas,
    )
    return count


def steps(written: Path) -> int:
    """Steps of the first battle."""
    return int(battles_of(written.read_text("utf-8"))[0]["steps"])


def test_page_fits_the_screen_and_draws_the_field(opened: OpenPage) -> None:
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert ink(opened, "field") > 50 and ink(opened, "timeline") > 5
    assert text(opened, "h1") == "3m: both after 384 steps"
    assert "sampled actions, seed 0" in text(opened, "#facts")
    assert opened.page.locator("#charts svg").count() == 2
    assert opened.page.locator("#belief tbody tr").count() == 6


def test_page_plays_and_pauses(opened: OpenPage, written: Path) -> None:
    opened.page.select_option("#speed", "8")
    opened.page.click("#play")
    assert text(opened, "#play") == "Pause"
    opened.page.wait_for_function("Number(document.getElementById('scrub').value) >= 3")
    opened.page.keyboard.press("Space")
    assert text(opened, "#play") == "Play"
    held = text(opened, "#clock")
    opened.page.wait_for_timeout(400)
    assert text(opened, "#clock") == held and not held.startswith("step 0 ")
    opened.page.click("#play")
    opened.page.wait_for_function("!document.getElementById('outcome').hidden")
    assert text(opened, "#clock").startswith(f"step {steps(written)} of {steps(written)} ")
    assert text(opened, "#play") == "Play"


def test_picture_that_is_older_than_its_click_does_not_move_time_back(opened: OpenPage) -> None:
    code = "(() => { play(true); lastTick = 1000; tick(990); state.playing = false; return state.time; })()"
    assert opened.page.evaluate(code) == 0


def test_scrubbing_and_keys_move_through_the_battle(opened: OpenPage, written: Path) -> None:
    opened.page.fill("#scrub", "4")
    assert text(opened, "#clock").startswith("step 4 of ")
    before = ink(opened, "field")
    for key, step in (("ArrowRight", 5), ("ArrowLeft", 4), ("End", steps(written)), ("Home", 0)):
        opened.page.keyboard.press(key)
        assert text(opened, "#clock").startswith(f"step {step} of "), key
    assert ink(opened, "field") != before
    opened.page.click("#next")
    opened.page.click("#next")
    opened.page.click("#back")
    assert text(opened, "#clock").startswith("step 1 of ")
    returns = opened.page.evaluate("state.battle.returns")
    opened.page.click("#last")
    assert text(opened, "#clock").endswith(f"return {returns[-1]:.2f}")
    opened.page.keyboard.press("+")
    assert opened.page.input_value("#speed") == "2"


def test_click_on_an_agent_shows_its_belief(opened: OpenPage) -> None:
    opened.page.fill("#scrub", "3")
    assert text(opened, "#agent-facts").startswith("agent 0, marine")
    first = text(opened, "#belief")
    place = opened.page.evaluate("[at.x(state.battle.x(3, 2)), at.y(state.battle.y(3, 2))]")
    opened.page.click("#field", position={"x": place[0], "y": place[1]})
    assert text(opened, "#agent-facts").startswith("agent 2, marine")
    assert text(opened, "#belief") != first
    opened.page.click("#agents button:nth-child(2)")
    assert text(opened, "#agent-facts").startswith("agent 1, marine")
    opened.page.keyboard.press("0")
    assert text(opened, "#belief") == first
    opened.page.click("#field", position={"x": 2, "y": 2})  # nobody stands there
    assert text(opened, "#agent-facts").startswith("agent 0, marine")


def test_steps_ahead_change_the_ghosts_and_the_errors(opened: OpenPage) -> None:
    opened.page.fill("#scrub", "3")
    drawn, said = ink(opened, "field"), text(opened, "#future-note")
    opened.page.keyboard.press("[")
    assert text(opened, "#future-note") != said
    opened.page.fill("#ahead", "1")
    assert text(opened, "#ahead-value") == "1"
    opened.page.uncheck("#show-future")
    opened.page.uncheck("#show-belief")
    assert ink(opened, "field") != drawn


def test_click_on_a_segment_goes_to_its_first_step(opened: OpenPage) -> None:
    opened.page.keyboard.press("End")
    opened.page.click("#sharing tbody tr >> nth=-1")
    first = opened.page.get_attribute("#sharing tbody tr >> nth=-1", "data-first")
    assert text(opened, "#clock").startswith(f"step {first} of ")
    assert "now" in (opened.page.get_attribute("#sharing tbody tr >> nth=-1", "class") or "")


def test_another_battle_can_be_chosen(opened: OpenPage, written: Path) -> None:
    opened.page.select_option("#battle", "1")
    second = battles_of(written.read_text("utf-8"))[1]["steps"]
    opened.page.wait_for_function(f"document.getElementById('scrub').max === '{second}'")
    assert text(opened, "#clock").startswith(f"step 0 of {second} ")


def test_page_shows_what_its_data_hold(opened: OpenPage) -> None:
    """The numbers that the scripts read are those that the battle's arrays hold."""
    found = opened.page.evaluate(
        "({x: state.battle.x(2, 4), health: state.battle.health(2, 4), action: state.battle.action(2, 1)})"
    )
    assert found["x"] == opened.page.evaluate("state.battle.arrays.x[2 * 6 + 4] / 100")
    assert 0 < found["health"] <= 45 and 1 <= found["action"] <= 8


def test_first_line_tells_how_the_battle_ended_and_how_good_belief_and_imagination_are(opened: OpenPage) -> None:
    tiles = opened.page.locator("#summary .tile b")
    errors = opened.page.evaluate("state.battle.agents[0].errors")
    assert tiles.count() == 4
    assert tiles.nth(0).inner_text() == opened.page.evaluate("state.battle.end")
    assert tiles.nth(1).inner_text().endswith(" cells off")
    for ahead in (1, 2):
        opened.page.fill("#ahead", str(ahead))
        model, still = errors["cells"][ahead - 1], errors["still_cells"][ahead - 1]
        share = f"{abs(round(100 * (still - model) / still))} % {'less' if model <= still else 'more'} error"
        assert tiles.nth(2).inner_text() == share
    sent = opened.page.evaluate("state.battle.segments.filter((segment) => segment.fate === 'sent').length")
    assert tiles.nth(3).inner_text().startswith("nothing" if not sent else f"{sent} of ")


@pytest.mark.parametrize("render_mode", ["rgb_array", None])
def test_page_of_another_environment_shows_its_pictures_or_says_why_there_are_none(
    browser: "Browser", tmp_path: Path, render_mode: str | None
) -> None:
    out = tmp_path / "own.html"
    out.write_text(pages.page(own_page("both", render_mode)), "utf-8")
    with open_page(browser, out, 400, 800) as shown:
        page = shown.page
        page.wait_for_function("document.querySelectorAll('#agents button').length === 2")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.is_visible("#field") is (render_mode is not None)
        assert page.is_visible("#no-field") is (render_mode is None)
        assert not page.is_visible("#show-sight")
        page.fill("#scrub", "5")
        assert text(shown, "#clock").startswith("step 5 of 7 ")
        if render_mode:
            row = "state.battle.pictures.copy.getContext('2d').getImageData(0, 3, 24, 1).data"
            assert page.evaluate(f"[...{row}].filter((_, k) => k % 4 === 0).indexOf(10)") == 5
            assert ink(shown, "field") > 1
        else:
            assert "No field is drawn: its render_mode is None; let its factory" in text(shown, "#no-field")
        assert text(shown, "#agent-facts") == "agent 1, right: takes part"
        assert page.locator("#belief tbody tr").count() == 2 and "5.00" in text(shown, "#belief")
        page.keyboard.press("End")
        assert "The battle is over" in text(shown, "#belief-note")
        assert shown.messages == []
