"""Runs the notebooks of the docs without Jupyter: their Python cells in one namespace, their bash cells in a shell."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jupytext
import matplotlib

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "docs" / "notebooks"
WRITE = "%%writefile "
BASH = "%%bash\n"


def cells_of(path: Path) -> list[str]:
    """The code cells of a notebook, as Jupyter gets them."""
    notebook = jupytext.read(path)
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def run(path: Path, folder: Path) -> list[Any]:
    """Run all cells in a folder; returns the figures that they drew, in order.

    Raises what a cell raises; AssertionError if a shell command fails.
    """
    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.close("all")
    names: dict[str, Any] = {"__name__": "__main__"}
    before, sys.path[:0] = Path.cwd(), [str(folder)]
    os.chdir(folder)
    try:
        for number, cell in enumerate(cells_of(path), 1):
            if cell.startswith(BASH):
                shell(cell.removeprefix(BASH), folder)
            elif cell.startswith(WRITE):
                name, _, text = cell.removeprefix(WRITE).partition("\n")
                (folder / name.strip()).write_text(text + "\n", "utf-8")
            else:
                exec(compile(cell, f"{path.name}, cell {number}", "exec"), names)
        return [pyplot.figure(number) for number in pyplot.get_fignums()]
    finally:
        os.chdir(before)
        sys.path.remove(str(folder))


def shell(commands: str, folder: Path) -> None:
    """Run the commands of a cell, with this Python as `python`, and with the notebook's folder in its path."""
    python = Path(sys.executable).parent
    paths = {"PATH": f"{python}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    done = subprocess.run(
        ["bash", "-euc", commands], cwd=folder, env={**os.environ, **paths}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    print(done.stdout, end="")


def main() -> None:
    """Run every notebook in `build/notebooks` and save its figures beside it: `make notebooks`."""
    for path in sorted(NOTEBOOKS.glob("*.md")):
        if sys.argv[1:] and path.stem not in sys.argv[1:]:
            continue
        folder = ROOT / "build" / "notebooks" / path.stem
        folder.mkdir(parents=True, exist_ok=True)
        for number, drawn in enumerate(run(path, folder), 1):
            drawn.savefig(path.with_name(f"{path.stem}_figure{number}.png"), dpi=110, bbox_inches="tight")
            print(f"{path.stem}: figure {number}", flush=True)


if __name__ == "__main__":
    main()
