"""docs/architecture.md names existing files, functions and tables, and shows every folder."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PLACES = sorted(set(re.findall(r"`([\w/]+\.py): (\w+)`", PAGE)))


def names_in(path: Path) -> set[str]:
    """Functions, classes, methods and module-level tables of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assigned = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    targets = [target for node in assigned for target in getattr(node, "targets", [getattr(node, "target", None)])]
    found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


@pytest.mark.parametrize(("file", "name"), PLACES)
def test_architecture_page_names_existing_code(file: str, name: str) -> None:
    assert name in names_in(ROOT / file)


def test_architecture_page_has_at_least_twenty_rows() -> None:
    table = PAGE[PAGE.index("## Where do I look for") :]
    assert table.count("\n| ") - 2 >= 20 and len(PLACES) >= 30


def test_architecture_picture_shows_every_folder() -> None:
    picture = PAGE[PAGE.index("```text") : PAGE.index("The way of one observation")]
    folders = {path.parent.name for path in (ROOT / "mawm").glob("*/__init__.py") if not path.parent.is_symlink()}
    assert [name for name in (*folders, "agents", "envs", "configs", "benchmarks") if f"{name}/" not in picture] == []
