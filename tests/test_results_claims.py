"""The claims of the paper: each verdict follows from the interval of its differences, and from nothing else."""

from pathlib import Path

import pytest
from results_study import write_run

from mawm.results.aggregate import Estimate
from mawm.results.claims import above, claims_table, not_above, not_below
from mawm.results.study import Study


@pytest.mark.parametrize(
    ("low", "high", "verdicts"),
    [
        (0.02, 0.20, ("holds", "holds", "cannot be decided with these seeds")),
        (0.06, 0.20, ("holds", "holds", "does not hold")),
        (-0.04, 0.04, ("does not hold", "holds", "holds")),
        (-0.20, 0.20, ("cannot be decided with these seeds",) * 3),
        (-0.20, -0.06, ("does not hold", "does not hold", "holds")),
    ],
)
def test_verdicts_by_the_interval_of_a_difference(low: float, high: float, verdicts: tuple[str, str, str]) -> None:
    gain = Estimate((low + high) / 2, low, high, 5)
    assert (above(gain), not_below(gain), not_above(gain)) == verdicts


def test_a_claim_needs_three_seeds() -> None:
    assert above(Estimate(0.5, float("nan"), float("nan"), 2)) == "cannot be decided: fewer than three seeds"


def write_cell(
    folder: Path, name: str, method: str, levels: list[float], bandwidth: float = 0.05, **sharing: str
) -> None:
    """One run for each level: its sampled win rate is the level from the first evaluation on."""
    for seed, level in enumerate(levels, start=10):
        rows = [
            {"env_steps": steps, "wall_s": 1.0, "eval/win_rate": 0.0, "eval/win_rate_sampled": level}
            for steps in (0, 1000)
        ]
        options = {
            "map": name,
            "method": method,
            "seed": seed,
            "env_steps": 1000,
            "sharing": {"bandwidth": bandwidth, **sharing},
        }
        write_run(
            folder / "_".join([name, method, str(bandwidth), *sharing.values(), str(seed)]),
            rows,
            {"win_rate": level},
            **options,
        )


def test_claims_table_compares_areas_by_seed_on_the_maps_of_each_claim(tmp_path: Path) -> None:
    write_cell(tmp_path, "3m", "independent", [0.2, 0.3, 0.4])
    write_cell(tmp_path, "3m", "rollouts", [0.6, 0.7, 0.8])
    write_cell(tmp_path, "3m", "both", [0.6, 0.7, 0.8])
    write_cell(tmp_path, "3m", "both", [0.6, 0.7, 0.8], bandwidth=1.0)
    write_cell(tmp_path, "3m", "centralized", [0.9, 0.9, 0.9])
    write_cell(tmp_path, "2s3z", "independent", [0.2, 0.3, 0.4])
    write_cell(tmp_path, "2s3z", "rollouts", [0.3, 0.4, 0.5])
    table = claims_table(Study.load([tmp_path]).cells)
    assert table is not None
    found = {row[:3]: row[3:] for row in table.rows}
    sharing, alone = "sharing beats independent learning", "- independent"
    assert found[(sharing, "3m", f"rollouts 0.05 {alone}")] == ("+40.0 points [+40.0, +40.0]", "holds")
    assert found[(sharing, "2s3z", f"rollouts 0.05 {alone}")] == ("+10.0 points [+10.0, +10.0]", "holds")
    beats = ("sharing beats centralized", "3m", "both 0.05 - centralized")
    assert found[beats] == ("-20.0 points [-30.0, -10.0]", "does not hold")
    assert found[("a small bandwidth is as good as all", "3m", "both 0.05 - both 1")][1] == "holds"
    assert found[("experience and rollouts do not add up", "3m", "both 0.05 - rollouts 0.05")][1] == "holds"
    alike = ("rollouts help more where agents are alike", "3m - 2s3z", "gain of rollouts")
    assert found[alike] == ("+30.0 points [+30.0, +30.0]", "holds")
    assert not any(row[1] == "2m_vs_1z" for row in table.rows)


def test_claims_table_needs_two_methods_that_a_claim_compares(tmp_path: Path) -> None:
    write_cell(tmp_path, "3m", "centralized", [0.9])
    assert claims_table(Study.load([tmp_path]).cells) is None


def test_claims_table_judges_controls_like_claims(tmp_path: Path) -> None:
    write_cell(tmp_path, "3m", "both", [0.6, 0.7, 0.8])
    write_cell(tmp_path, "3m", "both", [0.3, 0.4, 0.5], channel="self")
    write_cell(tmp_path, "3m", "both", [0.6, 0.7, 0.8], selector="gaussian")
    table = claims_table(Study.load([tmp_path]).cells)
    assert table is not None
    assert table.rows == (
        (
            "the data of other agents matter",
            "3m",
            "both 0.05 - both 0.05 (channel self)",
            "+30.0 points [+30.0, +30.0]",
            "holds",
        ),
        (
            "a threshold that follows the share matters",
            "3m",
            "both 0.05 - both 0.05 (selector gaussian)",
            "+0.0 points [+0.0, +0.0]",
            "does not hold",
        ),
    )
