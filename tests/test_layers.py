"""The structure of the code: import layers, no method flags, no global randomness, bounded sizes."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from mawm.methods import METHODS as PLANS

METHODS = set(PLANS)
ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("mawm", "agents", "envs", "configs", "benchmarks")
TYPING = ("TYPE_CHECKING", "typing.TYPE_CHECKING")
FOLDED = (
    "agents", "auditing", "benchmarks", "cluster", "configs", "envs", "filming", "gating", "results", "run_folder",
    "runtime", "sharing", "storage", "sweeps", "trained", "watching",
)  # fmt: skip
"""Folders: each has one place in the table below, whatever modules it has."""

# Lowest first. A folder or module imports from lines above its own alone; within a folder imports form no cycle.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("types", "seeds"),
    ("runtime",),
    ("storage",),
    ("sharing", "envs"),
    ("agents", "methods"),
    ("configs", "team"),
    ("cluster", "collect", "nonfinite"),
    ("schedule", "evaluation"),
    ("gating", "filming"),
    ("loop",),
    ("run_folder",),
    ("build",),
    ("estimates",),
    ("results",),
    ("auditing", "trained"),
    ("watching",),
    ("audit", "train", "doctor", "evaluate", "export", "plot", "report", "standin", "verify", "watch"),
    ("sweeps",),
    ("sweep", "tune"),
    ("benchmarks",),
    ("bench", "__main__"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


@cache
def sources() -> dict[str, Path]:
    """Every module of the package by its dotted name below `mawm`."""
    found = {}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            if any(parent.is_symlink() for parent in path.parents):
                continue
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[1:] if folder == "mawm" else parts).removesuffix("__init__").rstrip(".")] = path
    return found


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def modules(*prefixes: str) -> list[tuple[str, Path]]:
    """The modules below some prefixes: (name, path)."""
    return [(name, path) for name, path in sources().items() if not prefixes or name.startswith(prefixes)]


def imported(path: Path) -> Iterator[str]:
    """Dotted names of the modules a file imports, wherever in the file it does so (but not for annotations alone)."""
    annotations = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.If) and dotted(node.test) in TYPING]
    skipped = {id(inner) for block in annotations for inner in ast.walk(block)}
    for node in ast.walk(tree_of(path)):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> set[str]:
    """The package's own modules a file imports, by their names below `mawm`."""
    names = {name.removeprefix("mawm.") for name in imported(path) if name.startswith("mawm.")}
    return names & {name for name, path in sources().items() if path.name != "__init__.py"}


def unit(module: str) -> str:
    """What the table ranks: a folder as a whole, or a module that lies directly in `mawm`."""
    folder = module.partition(".")[0]
    return folder if folder in FOLDED else module


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a chain of names and attributes, or an empty string."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def test_every_module_has_a_layer() -> None:
    assert {unit(name) for name in sources()} - {""} == RANK.keys()


def test_at_most_12_modules_lie_directly_in_the_package() -> None:
    commands = {*COMMANDS, "bench"}
    assert len({name for name in sources() if "." not in name} - {*FOLDED, *commands, "__main__"}) <= 12


def test_imports_go_to_strictly_lower_layers() -> None:
    edges = [(unit(name), unit(used)) for name, path in modules() for used in own_imports(path)]
    assert [(a, b) for a, b in edges if a != b and RANK[b] >= RANK[a]] == []


def test_imports_form_no_cycle() -> None:
    graph = {name: own_imports(path) - {name} for name, path in modules()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(sources())


def test_environments_import_neither_torch_nor_agents() -> None:
    banned = ("torch", "mawm.agents", "mawm.sharing", "mawm.team", "mawm.loop", "mawm.build", "mawm.configs")
    found = [(name, used) for name, path in modules("envs") for used in imported(path) if used.startswith(banned)]
    assert found == []


def test_agents_import_no_logging_and_no_other_agents() -> None:
    allowed = {
        "types",
        "seeds",
        "sharing.broadcast",
        "sharing.codec",
        "sharing.provenance",
        "sharing.selection_statistics",
    }
    found = {used for _, path in modules("agents") for used in own_imports(path) if not used.startswith("agents.")}
    assert found - allowed == set()


def test_only_methods_py_compares_method_names() -> None:
    found = []
    for name, path in modules():
        if name == "methods":
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Compare | ast.MatchValue):
                words = {leaf.value for leaf in ast.walk(node) if isinstance(leaf, ast.Constant)}
                found += [(name, node.lineno) for word in words & METHODS if isinstance(word, str)]
    assert found == []


def test_loop_and_agents_contain_no_method_name() -> None:
    texts = [(name, tree_of(path)) for name, path in modules("agents", "loop", "collect", "team")]
    words = [(name, node.value) for name, tree in texts for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert [(name, word) for name, word in words if word in METHODS - {"experience", "rollouts"}] == []


def test_code_uses_no_global_random_state() -> None:
    numpy_allowed = {"Generator", "default_rng", "SeedSequence", "PCG64", "Philox", "BitGenerator"}
    drawing = {"rand", "randn", "randint", "randperm", "multinomial", "bernoulli", "normal", "rand_like", "randn_like"}
    found = []
    for name, path in modules():
        # The plain baseline samples as plain code does, by torch.distributions; the audit's leaks are what they are.
        if name.startswith("benchmarks") or name == "auditing.leaks":
            continue
        for node in ast.walk(tree_of(path)):
            word = dotted(node)
            if word.startswith(("np.random.", "numpy.random.")) and word.split(".")[2] not in numpy_allowed:
                found.append((name, word))
            if word in ("torch.manual_seed", "torch.seed", "torch.default_generator") and name != "train":
                found.append((name, word))
            if isinstance(node, ast.Call) and dotted(node.func).removeprefix("torch.") in drawing:
                owner = dotted(node.func).partition(".")[0]
                if owner == "torch" and "generator" not in {keyword.arg for keyword in node.keywords}:
                    found.append((name, dotted(node.func)))
    assert found == []


def test_pythons_global_generator_is_only_seeded_for_smacv2() -> None:
    users = {name for name, path in modules() for used in imported(path) if used.partition(".")[0] == "random"}
    # SMACv2 draws from it, in the process of its game.
    assert users == {"envs.starcraft.game"}


def test_tests_import_modules_of_this_checkout() -> None:
    """An older editable install on the same interpreter would serve a module that no longer exists here."""
    found = set()
    statement = re.compile(r"^\s*from mawm\.?([\w.]*) import ([\w, (]+)", re.MULTILINE)  # in code as text, too
    for path in (ROOT / "tests").glob("*.py"):
        for base, names in statement.findall(path.read_text("utf-8")):
            package = base not in sources() or sources()[base].name == "__init__.py"
            used = [f"{base}.{name.split()[0]}".lstrip(".") for name in names.split(", ")] if package else [base]
            found |= {(path.name, name) for name in used if name not in sources() and name != "__version__"}
    assert found == set()


def test_code_uses_no_pickle() -> None:
    found = []
    for name, path in modules():
        found += [
            (name, used) for used in imported(path) if used.partition(".")[0] in ("pickle", "cloudpickle", "joblib")
        ]
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and dotted(node.func) in ("torch.save", "torch.load"):
                found.append((name, dotted(node.func)))
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
                found.append((name, "allow_pickle"))
    assert found == []


def test_modules_have_no_generic_names() -> None:
    sediment = {"utils", "util", "common", "helpers", "misc"}
    assert [name for name in sources() if sediment & set(name.split("."))] == []


def test_files_and_functions_are_short() -> None:
    paths = [*sources().values(), *(ROOT / "tests").glob("*.py")]
    long_files = {str(p.relative_to(ROOT)): n for p in paths if (n := len(p.read_text("utf-8").splitlines())) > 400}
    functions = [(p, node) for p in paths for node in ast.walk(tree_of(p)) if isinstance(node, ast.FunctionDef)]
    lengths = {f"{p.relative_to(ROOT)}:{f.name}": (f.end_lineno or f.lineno) - f.lineno + 1 for p, f in functions}
    assert (long_files, {name: n for name, n in lengths.items() if n > 60}) == ({}, {})


def asserts(function: ast.AST, checking: set[str]) -> bool:
    """Whether a function holds an assertion: a statement, an expected error, or a call of a function that asserts."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            called = dotted(node.func)
            last = called.rpartition(".")[2]
            if called in ("pytest.raises", "pytest.warns") or last in checking or last.startswith("assert_"):
                return True
    return False


@pytest.mark.parametrize("path", sorted((ROOT / "tests").glob("test_*.py")), ids=lambda path: path.stem)
def test_every_test_asserts(path: Path) -> None:
    functions = {node.name: node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef)}
    checking: set[str] = set()
    for _ in range(3):  # helpers that call helpers
        checking |= {name for name, node in functions.items() if asserts(node, checking)}
    tests = [name for name in functions if name.startswith("test_")]
    assert tests
    assert [name for name in tests if name not in checking] == []


COMMANDS = (
    "", "train", "doctor", "evaluate", "export", "plot", "report", "standin", "sweep", "tune", "verify", "audit",
    "watch",
)  # fmt: skip


def test_importing_a_command_loads_no_heavy_package() -> None:
    heavy = {
        "torch",
        "numba",
        "pysc2",
        "smac",
        "tensorboard",
        "matplotlib",
        "scipy",
        "rich",
        "ray",
        "submitit",
        "optuna",
    }
    names = [f"mawm.{name}".rstrip(".") for name in COMMANDS]
    code = f"import sys, importlib\nfor name in {names}:\n    importlib.import_module(name)\n"
    code += f"    print(name, sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{name} []" for name in names]
