"""The site of the documentation: each page and module has one place, no warnings. The Dockerfile."""

import importlib.util
import json
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import mawm

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
NOT_ON_THE_SITE = ("mawm.__main__", "mawm.benchmarks")
"""The list of commands, and the measurements of docs/performance.md."""


def test_site_has_each_page_in_one_place() -> None:
    index = (DOCS / "index.md").read_text("utf-8")
    trees = re.findall(r"```\{toctree\}\n(.*?)```", index, re.DOTALL)
    lines = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    shown = Counter(re.sub(r"^.*<(.*)>$", r"\1", line) for line in lines)
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")} - {"index"}
    assert set(shown) == pages and set(shown.values()) == {1}


def test_reference_has_each_module_once() -> None:
    names = [name for path in (DOCS / "reference").glob("*.md") for name in modules_asked_by(path)]
    modules = [each.name for each in pkgutil.walk_packages(mawm.__path__, "mawm.") if not each.ispkg]
    below = {module: [name for name in names if f"{module}.".startswith(f"{name}.")] for module in modules}
    left_out = [module for module, places in below.items() if not places]
    assert [name for name in left_out if not f"{name}.".startswith(tuple(f"{each}." for each in NOT_ON_THE_SITE))] == []
    assert [module for module, places in below.items() if len(places) > 1] == []


def modules_asked_by(page: Path) -> list[str]:
    """The packages and modules that the comment of a reference page names; all of them exist."""
    (found,) = re.findall(r"<!-- modules: ([\w. ]+) -->", page.read_text("utf-8"))
    names = found.split()
    assert [name for name in names if importlib.util.find_spec(name) is None] == []
    return names


@pytest.mark.slow
def test_site_is_built_without_a_warning_and_its_links_lead_to_pages(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for page in tmp_path.rglob("*.html"):
        text = page.read_text("utf-8")
        local = [link for link in re.findall(r'(?:href|src)="([^"#?]+)', text) if "://" not in link]
        assert [link for link in local if not link.startswith("data:") and not (page.parent / link).exists()] == []
    threshold = (tmp_path / "reference/sharing.html").read_text("utf-8")
    assert 'id="mawm.sharing.threshold.Threshold"' in threshold and "<!-- modules" not in threshold


def test_dockerfile_runs_the_first_command_of_the_readme() -> None:
    lines = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ").splitlines()
    said = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if line and not line.startswith("#")}
    first = re.search(r"&& (python -m mawm\.train .*)", (ROOT / "README.md").read_text("utf-8"))
    assert first is not None and " ".join(json.loads(said["CMD"])) == first[1]
    assert said["USER"] == "mawm" and said["VOLUME"] == f"{said['WORKDIR']}/runs"
    version = re.fullmatch(r"python:3\.(\d+)-slim", said["FROM"])
    assert version is not None and int(version[1]) >= 11
    copied = [name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]]
    assert copied and [name for name in copied if not (ROOT / name).exists()] == []
    installs = [line for line in lines if "pip install" in line and not line.startswith("#")]
    assert len(installs) == 2 and all("-c constraints.txt" in line for line in installs)
