"""The `plot` extra: asked for when a command needs it, in one line where it is missing."""

import importlib.util

from mawm.configs.command_line import fail

PACKAGES = ("matplotlib", "scipy", "jinja2")


def require_plot_extra() -> None:
    """End with exit code 2 and the pip command where matplotlib, scipy or jinja2 is not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        fail(f"figures, intervals and pages need {', '.join(missing)}: pip install -c constraints.txt -e '.[plot]'")
