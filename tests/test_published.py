"""Published win rates beside a run's."""

import pytest

from mawm.envs.skirmish.maps import map_names
from mawm.trained.published import card_for, published


def test_published_tables_name_their_source_and_hold_percentages_of_known_maps() -> None:
    tables = published()
    assert len(tables) >= 5 and all(table.source and table.protocol for table in tables)
    assert {name for table in tables for name in table.maps} <= set(map_names())
    numbers = [values for table in tables for rates in table.maps.values() for values in rates.values()]
    assert all(1 <= len(values) <= 2 and min(values) >= 0 and max(values) <= 100 for values in numbers)


@pytest.mark.parametrize(
    ("env_steps", "found"),
    [(19_999, None), (20_000, 50_000), (70_000, 50_000), (71_000, 100_000), (250_000, 100_000), (300_000, None)],
)
def test_card_is_of_the_nearest_published_number_of_steps(env_steps: int, found: int | None) -> None:
    card = card_for("3m", env_steps, "the embedded engine")  # 70 711 is as far from 50 000 as from 100 000
    assert (card.env_steps if card else None) == found


@pytest.mark.parametrize("place", [("market", 50_000), ("mine.toml", 50_000), ("3m", 0)])
def test_nothing_is_printed_where_nothing_is_published(place: tuple[str, int]) -> None:
    assert card_for(*place, "the embedded engine") is None


def test_card_shows_each_number_with_its_source_and_the_caveat() -> None:
    card = card_for("2s_vs_1sc", 24_000, "the embedded engine")
    assert card is not None
    text = " ".join(" ".join(card.lines()).split())
    # As in MACT's table and in MATWM's.
    assert "MARIE 92 (7.5), MATWM 96.7 (3.1), MBVD 0, MAPPO 60 (11.4) MACT's comparison" in text
    assert "MATWM 96 MATWM (arXiv 2506.18537, Table 2), as copied by a third party: median" in text
    assert "after 50000 environment steps" in text and "one run of 24000 steps on the embedded engine" in text
    facts = card.facts()
    assert facts["tables"][0]["win_rate_percent"]["MACT"] == [91.9, 7.4] and facts["caveat"] == card.caveat


def test_caveat_names_no_other_number_of_steps_where_they_agree() -> None:
    card = card_for("3m", 50_000, "the stand-in")
    assert card is not None and " after " not in card.caveat and "on the stand-in" in card.caveat
