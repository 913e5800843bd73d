"""Sets one thread per process for all tests, orders and marks them, and prints the figures of `make storm`.

Two threads lose up to 17-fold beside a busy neighbour. A test of robustness reports what it tried and the result by the
fixture `figure`; `make storm` prints these in a table.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

# Read when torch, numpy or numba load, so before anything imports them.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")


LONGEST = (
    "killed_runs", "resume_exact", "run_signals", "signal_handlers", "fuzz", "sweep", "small_worlds", "selectors",
    "full_disk", "pettingzoo",
)  # fmt: skip
"""Files that take longest. They come first, so that no process works alone at the end."""


CORE = (
    # engine
    "contract", "drawn_contract", "drawn_golden", "drawn_maps", "engine_determinism", "engine_fidelity", "engine_rules",
    "field", "golden_command", "hunting", "skirmish_maps", "targeting",
    # learner
    "acting_memory", "actor_critic", "averaged", "collect", "entropy_weight", "information", "loop", "nets", "ppo",
    "replay", "returns", "scales", "world_model",
    # sharing
    "budget", "channel", "codec", "golden_losses", "isolation", "selectors",
)  # fmt: skip
"""Files of the marker `core`: what to run at every edit (`make core`). Their slow tests do not belong to it."""


@pytest.hookimpl(tryfirst=True)  # before pytest selects by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of `CORE`, and put the longest files first."""
    for item in items:
        if item.path.stem.removeprefix("test_") in CORE and item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.core)
    first = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: first.get(item.path.stem, len(first)))


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short uninterrupted run (`real_runs.train`)."""
    from real_runs import finish, train  # once the threads are set

    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    code, _, err = finish(train(folder))
    assert code == 0, err
    return folder


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str, str], None]:
    """A function that records what was tried and its result."""
    return lambda tried, came: record_property("figure", f"| {tried} | {came} |")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of figures where the slow tests ran."""
    if "slow or" not in str(config.option.markexpr):
        return
    passed = terminalreporter.stats.get("passed", [])
    told = [text for report in passed for key, text in report.user_properties if key == "figure"]
    if told:
        terminalreporter.section("what was survived")
        for line in ("| tried | came of it |", "|---|---|", *dict.fromkeys(told)):
            terminalreporter.write_line(line)
